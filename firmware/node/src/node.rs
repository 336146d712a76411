//! The node as a whole: its registers, and what happens when they are written.

use wangge_protocol::node::{
    INPUT_MIRROR, MAP_VERSION, NodeKind, Quality, holding as h, input, log, status, words,
};

use crate::{
    log::{Entry, Log},
    modbus::{Counts, Refusal, Registers},
    records::Records,
    setup::Setup,
};

/// What measures: a bin or a meter.
pub trait Device {
    /// What it is.
    const KIND: NodeKind;

    /// One of its own input registers at `now`, ms.
    fn input(&self, address: u16, setup: &Setup, now: u64) -> Option<u16>;

    /// Its quality registers and what stands in them; a repeated entry is harmless.
    fn qualities(&self) -> [(u16, Quality); 3];

    /// The figures of a record, if there is something worth telling, or `due` and anything to
    /// tell.
    fn record(&mut self, setup: &Setup, due: bool) -> Option<[u16; 4]>;
}

/// What the board knows of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Board family and revision.
    pub hardware: u16,
    /// Version of the firmware, major and minor byte.
    pub firmware: u16,
    /// The image's counter.
    pub counter: u32,
    /// 0 before provisioning.
    pub serial: u64,
}

/// What the board measures of itself, now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Supply, mV.
    pub supply: u16,
    /// Bytes of stack never used.
    pub stack_left: u16,
}

/// The node.
#[derive(Debug)]
pub struct Node<D> {
    /// What measures.
    pub device: D,
    /// How it is set up.
    pub setup: Setup,
    /// Bits of [`status`] that the board sets.
    pub status: u16,
    /// What the board measures of itself.
    pub vitals: Vitals,
    /// What the Modbus server counted.
    pub counts: Counts,
    /// How often it started.
    pub starts: u16,
    identity: Identity,
    records: Records,
    log: Log,
    qualities: [(u16, Quality); 3],
    /// When the last record was made, ms.
    recorded: u64,
    /// The set-up changed and is not stored yet.
    unsaved: bool,
    now: u64,
}

impl<D: Device> Node<D> {
    /// `stored` is what storage gave; anything but a good set-up is told in [`status::SET_UP`],
    /// except an empty storage's nothing.
    pub fn new(device: D, identity: Identity, stored: Option<&[u8]>) -> Self {
        let read = stored.map(|bytes| Setup::from_bytes(D::KIND, bytes));
        let mut status = 0;
        if read == Some(None) {
            status |= status::SET_UP;
        }
        if identity.serial == 0 {
            status |= status::BARE;
        }
        let qualities = device.qualities();
        Node {
            device,
            setup: read.flatten().unwrap_or_else(|| Setup::new(D::KIND)),
            status,
            vitals: Vitals::default(),
            counts: Counts::default(),
            starts: 0,
            identity,
            records: Records::default(),
            log: Log::default(),
            qualities,
            recorded: 0,
            unsaved: false,
            now: 0,
        }
    }

    /// Time goes on: `now` in ms since the start. Notes what changed, makes records.
    pub fn tick(&mut self, now: u64) {
        self.now = now;
        let qualities = self.device.qualities();
        for (old, new) in self.qualities.into_iter().zip(qualities) {
            if old != new {
                self.note(log::QUALITY, new.0 << 8 | new.1 as u16);
            }
        }
        self.qualities = qualities;
        let due = now.saturating_sub(self.recorded) >= u64::from(self.setup.period()) * 1_000;
        if let Some(figures) = self.device.record(&self.setup, due) {
            self.recorded = now;
            if let Some(number) = self.records.push(seconds(now), figures) {
                self.note(log::RECORD_LOST, number);
            }
        }
    }

    /// Writes down that something happened.
    pub fn note(&mut self, code: u16, argument: u16) {
        self.log.push(Entry {
            at: seconds(self.now),
            code,
            argument,
        });
    }

    /// The set-up as it has to be stored, once after every change.
    pub fn to_save(&mut self) -> Option<[u8; crate::setup::STORED]> {
        core::mem::take(&mut self.unsaved).then(|| self.setup.to_bytes())
    }

    fn common(&self, address: u16) -> Option<u16> {
        let of = |first: u16, parts: &[u16]| parts.get(usize::from(address - first)).copied();
        let id = &self.identity;
        match address {
            input::MAP_VERSION => Some(MAP_VERSION),
            input::KIND => Some(D::KIND as u16),
            input::HARDWARE => Some(id.hardware),
            input::FIRMWARE => Some(id.firmware),
            input::IMAGE_COUNTER..input::SERIAL => of(input::IMAGE_COUNTER, &words(id.counter)),
            input::SERIAL..input::UPTIME => {
                let [high, low] = [(id.serial >> 32) as u32, id.serial as u32].map(words);
                of(input::SERIAL, &[high[0], high[1], low[0], low[1]])
            }
            input::UPTIME..input::STARTS => of(input::UPTIME, &words(seconds(self.now))),
            input::STARTS => Some(self.starts),
            input::STATUS => Some(self.status),
            input::SUPPLY => Some(self.vitals.supply),
            input::STACK_LEFT => Some(self.vitals.stack_left),
            input::BAD_FRAMES => Some(self.counts.bad_frames),
            input::EXCEPTIONS => Some(self.counts.exceptions),
            input::RECORD => Some(self.records.newest()),
            input::RECORDS_LOST => Some(self.records.lost()),
            _ => None,
        }
    }

    fn oldest(&self, offset: u16) -> Option<u16> {
        let Some(record) = self.records.oldest() else {
            return (offset < 7).then_some(0);
        };
        let [high, low] = words(record.at);
        let [a, b, c, d] = record.figures;
        [record.number, high, low, a, b, c, d]
            .get(usize::from(offset))
            .copied()
    }
}

/// Uptime in whole seconds; 32 bits are 136 years.
fn seconds(ms: u64) -> u32 {
    (ms / 1_000) as u32
}

impl<D: Device> Registers for Node<D> {
    fn input(&self, address: u16) -> Option<u16> {
        match address {
            0..input::COMMON_END => self.common(address),
            input::OLDEST_RECORD..input::OLDEST_RECORD_END => {
                self.oldest(address - input::OLDEST_RECORD)
            }
            input::LOG..INPUT_MIRROR => self.log.register(address - input::LOG),
            _ => self.device.input(address, &self.setup, self.now),
        }
    }

    fn holding(&self, address: u16) -> Option<u16> {
        match address {
            h::RECEIPT => Some(self.records.oldest().map_or(0, |r| r.number)),
            INPUT_MIRROR.. => self.input(address - INPUT_MIRROR),
            _ => self.setup.get(address),
        }
    }

    fn write(&mut self, first: u16, values: &[u16]) -> Result<(), Refusal> {
        // A receipt changes no set-up and goes alone.
        if let (h::RECEIPT, [number]) = (first, values) {
            self.records.receipt(*number);
            return Ok(());
        }
        let before = self.setup.clone();
        self.setup.set(first, values)?;
        if self.setup != before {
            self.unsaved = true;
            self.status &= !status::SET_UP;
            self.note(log::SET_UP, first);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
