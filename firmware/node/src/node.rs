//! The node as a whole: its registers, and what happens when they are written.

use wangge_protocol::node::{
    INPUT_MIRROR, Identity, IdentityError, MAP_VERSION, NodeKind, Quality, holding as h, input,
    log, long, reset, status, words,
};

use crate::{
    log::{Entry, Log},
    meter::Meter,
    modbus::{Counts, Refusal, Registers},
    records::Records,
    setup::Setup,
    storage::{Found, Snapshot, StorageError},
    waste_bin::Bin,
};

/// Totals that changed are stored after so long, ms: what flows in that time is what a loss of
/// power can cost.
pub const SAVE_TOTALS_AFTER: u64 = 600_000;
/// After storage failed it is tried again so much later, ms: a page of flash takes 10,000
/// erasures, and an emulator's flash none.
const SAVE_AGAIN_AFTER: u64 = 600_000;

/// What measures. One image can be either; the identity page says which.
#[expect(
    clippy::large_enum_variant,
    reason = "a node has one of them, and no heap"
)]
#[derive(Debug)]
pub enum Device {
    /// A waste bin.
    Bin(Bin),
    /// A water meter.
    Meter(Meter),
}

impl Device {
    fn kind(&self) -> NodeKind {
        match self {
            Device::Bin(_) => NodeKind::Bin,
            Device::Meter(_) => NodeKind::Meter,
        }
    }

    fn input(&self, address: u16, setup: &Setup, now: u64) -> Option<u16> {
        match self {
            Device::Bin(bin) => bin.input(address, setup, now),
            Device::Meter(meter) => meter.input(address, setup, now),
        }
    }

    /// Quality registers and what stands in them; a repeated entry is harmless.
    fn qualities(&self) -> [(u16, Quality); 3] {
        match self {
            Device::Bin(bin) => bin.qualities(),
            Device::Meter(meter) => [meter.quality(); 3],
        }
    }

    fn record(&mut self, setup: &Setup, due: bool) -> Option<[u16; 4]> {
        match self {
            Device::Bin(bin) => bin.record(setup, due),
            Device::Meter(meter) => meter.record(setup, due),
        }
    }
}

/// What the image knows of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Board family and board ([`wangge_protocol::node::layout`]).
    pub hardware: u16,
    /// Version of the firmware, major and minor byte.
    pub firmware: u16,
    /// The image's counter.
    pub counter: u32,
    /// Why it started, one of [`reset`].
    pub reset: u16,
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
pub struct Node {
    /// What measures.
    pub device: Device,
    /// How it is set up.
    pub setup: Setup,
    /// Bits of [`status`].
    pub status: u16,
    /// What the board measures of itself.
    pub vitals: Vitals,
    /// What the Modbus server counted.
    pub counts: Counts,
    about: About,
    serial: u64,
    starts: u16,
    records: Records,
    log: Log,
    qualities: [(u16, Quality); 3],
    /// When the last record was made, ms.
    recorded: u64,
    /// A master changed the set-up: it is no longer the one in the identity page.
    set_up_by_master: bool,
    saving: Saving,
    now: u64,
}

/// What is to be stored, and when.
#[derive(Debug, Default)]
struct Saving {
    /// Something changed that cannot wait.
    urgent: bool,
    /// Totals as they are in storage.
    totals: Option<(u64, u64)>,
    /// The number up to which records are reserved in storage.
    reserved: u16,
    /// When storage was written last, or failed to be, ms.
    tried: u64,
    failed: bool,
}

impl Node {
    /// Starts with what the board read: the identity page, and storage.
    ///
    /// What is damaged is told in [`status`] and in the log, and never guessed at: a node without
    /// an identity is a bin with the set-up that all bins come with; one whose storage is lost
    /// has its initial set-up, and totals that cannot be believed.
    pub fn start(
        about: About,
        identity: &Result<Identity, IdentityError>,
        stored: Result<Found, StorageError>,
    ) -> Self {
        let mut status = 0;
        match identity {
            Ok(identity) if identity.hardware == about.hardware => {}
            Err(IdentityError::Blank) => status |= status::BARE,
            Ok(_) | Err(_) => status |= status::IDENTITY,
        }
        let identity = identity.as_ref().ok();
        let kind = identity.map_or(NodeKind::Bin, |identity| identity.kind);
        let initial = identity.map_or(&[][..], |identity| &identity.initial);
        let (snapshot, fresh, failure) = match stored {
            Ok(Found::Snapshot(snapshot)) => (snapshot, false, None),
            Ok(Found::Nothing) => (Snapshot::default(), true, None),
            Ok(Found::Lost) => {
                status |= status::SET_UP;
                (Snapshot::default(), false, None)
            }
            Err(error) => (Snapshot::default(), false, Some(error)),
        };
        let stored_setup = snapshot.setup.map(|bytes| Setup::from_bytes(kind, &bytes));
        if stored_setup == Some(None) {
            status |= status::SET_UP;
        }
        let own = Setup::initial(kind, initial);
        if own.is_err() {
            status |= status::SET_UP;
        }
        if about.reset == reset::WATCHDOG {
            status |= status::WATCHDOG;
        }
        let set_up_by_master = matches!(stored_setup, Some(Some(_)));
        let setup = stored_setup.flatten().or(own.clone().ok());
        let totals = if fresh { Some((0, 0)) } else { snapshot.totals };
        let device = match kind {
            NodeKind::Bin => Device::Bin(Bin::default()),
            NodeKind::Meter => Device::Meter(Meter::new(totals)),
        };
        let mut node = Node {
            qualities: device.qualities(),
            device,
            setup: setup.unwrap_or_else(|| Setup::new(kind)),
            status,
            vitals: Vitals::default(),
            counts: Counts::default(),
            about,
            serial: identity.map_or(0, |identity| identity.serial),
            starts: snapshot.starts.wrapping_add(1),
            records: Records::after(snapshot.records),
            log: Log::default(),
            recorded: 0,
            set_up_by_master,
            // The start is counted at once.
            saving: Saving {
                urgent: true,
                totals: snapshot.totals,
                reserved: snapshot.records,
                ..Saving::default()
            },
            now: 0,
        };
        node.note(log::STARTED, about.reset);
        if own.is_err() {
            // At most MOST_VALUES.
            node.note(log::INITIAL, initial.len() as u16);
        }
        if let Some(error) = failure {
            node.storage_failed(error);
        }
        node
    }

    /// The bin, if it is one, and how it is set up.
    pub fn bin(&mut self) -> Option<(&mut Bin, &Setup)> {
        match &mut self.device {
            Device::Bin(bin) => Some((bin, &self.setup)),
            Device::Meter(_) => None,
        }
    }

    /// The meter, if it is one, and how it is set up.
    pub fn meter(&mut self) -> Option<(&mut Meter, &Setup)> {
        match &mut self.device {
            Device::Meter(meter) => Some((meter, &self.setup)),
            Device::Bin(_) => None,
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

    /// What has to be stored now, if anything; tell [`Node::saved`] how it went.
    pub fn to_save(&self) -> Option<Snapshot> {
        let since = self.now.saturating_sub(self.saving.tried);
        if self.saving.failed && since < SAVE_AGAIN_AFTER {
            return None;
        }
        let totals = self.totals() != self.saving.totals && since >= SAVE_TOTALS_AFTER;
        let numbers = self.records.reserved() != self.saving.reserved;
        (self.saving.urgent || totals || numbers).then(|| self.snapshot())
    }

    /// What has to be stored before the power is gone: totals that changed.
    pub fn to_save_at_once(&self) -> Option<Snapshot> {
        let changed = self.totals() != self.saving.totals;
        (changed && !self.saving.failed).then(|| self.snapshot())
    }

    /// A snapshot was written, or could not be.
    pub fn saved(&mut self, snapshot: &Snapshot, result: Result<(), StorageError>) {
        self.saving.tried = self.now;
        match result {
            Ok(()) => {
                self.saving.urgent = false;
                self.saving.failed = false;
                self.saving.totals = snapshot.totals;
                self.saving.reserved = snapshot.records;
                self.status &= !status::STORAGE;
            }
            Err(error) => {
                self.storage_failed(error);
                // A total that never was in storage began at 0 with this start, as with every.
                if let (None, Device::Meter(meter)) = (self.saving.totals, &mut self.device) {
                    meter.distrust();
                }
            }
        }
    }

    fn storage_failed(&mut self, error: StorageError) {
        self.saving.failed = true;
        self.status |= status::STORAGE;
        self.note(log::STORAGE, error as u16);
    }

    fn totals(&self) -> Option<(u64, u64)> {
        match &self.device {
            Device::Bin(_) => None,
            Device::Meter(meter) => meter.totals(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            setup: self.set_up_by_master.then(|| self.setup.to_bytes()),
            totals: self.totals(),
            starts: self.starts,
            records: self.records.reserved(),
        }
    }

    fn common(&self, address: u16) -> Option<u16> {
        let of = |first: u16, parts: &[u16]| parts.get(usize::from(address - first)).copied();
        let id = &self.about;
        match address {
            input::MAP_VERSION => Some(MAP_VERSION),
            input::KIND => Some(self.device.kind() as u16),
            input::HARDWARE => Some(id.hardware),
            input::FIRMWARE => Some(id.firmware),
            input::IMAGE_COUNTER..input::SERIAL => of(input::IMAGE_COUNTER, &words(id.counter)),
            input::SERIAL..input::UPTIME => {
                let [high, low] = [(self.serial >> 32) as u32, self.serial as u32].map(words);
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

impl Registers for Node {
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
            h::METER_TOTAL..h::METER_END => {
                self.input(address - h::METER_TOTAL + input::METER_VOLUME)
            }
            _ => self.setup.get(address),
        }
    }

    fn write(&mut self, first: u16, values: &[u16]) -> Result<(), Refusal> {
        // A receipt and a total change no set-up and go alone.
        if let (h::RECEIPT, [number]) = (first, values) {
            self.records.receipt(*number);
            return Ok(());
        }
        if let (h::METER_TOTAL, [high, low]) = (first, values)
            && let Some((meter, setup)) = self.meter()
        {
            meter.set_total(long([*high, *low]), setup);
            self.saving.urgent = true;
            self.note(log::SET_UP, first);
            return Ok(());
        }
        let before = self.setup.clone();
        self.setup.set(first, values)?;
        if self.setup != before {
            self.set_up_by_master = true;
            self.saving.urgent = true;
            self.status &= !status::SET_UP;
            self.note(log::SET_UP, first);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
