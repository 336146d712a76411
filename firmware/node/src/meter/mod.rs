//! A water meter with a pulse output: pulses to litres, flow, and what is wrong with the pipe.

mod pulses;

pub use pulses::{Edge, Pulses};

use wangge_protocol::node::{
    INVALID, INVALID_LONG, Quality, holding as h, input, meter_flags, words,
};

use crate::setup::Setup;

/// Flow is measured between pulses; when none comes for so long it is nought, ms.
const STILL_AFTER: u64 = 120_000;
/// A pause that ends a leak's run, ms.
const PAUSE: u64 = 300_000;

/// The meter. Volumes are kept in pulses, so that nothing is rounded away.
#[derive(Debug)]
pub struct Meter {
    forward: u64,
    backward: u64,
    /// The last two pulses: when, ms, and whether forwards.
    last: Option<(u64, bool)>,
    interval: Option<u64>,
    running_since: Option<u64>,
    /// The totals came from storage, or there were none to begin with.
    quality: Quality,
    recorded: Option<u16>,
}

impl Meter {
    /// With the totals that storage gave, pulses forwards and backwards; `None` if it could not
    /// be read: the meter then counts on, and says that its totals cannot be believed.
    pub fn new(totals: Option<(u64, u64)>) -> Self {
        let (forward, backward) = totals.unwrap_or((0, 0));
        Meter {
            forward,
            backward,
            last: None,
            interval: None,
            running_since: None,
            quality: match totals {
                Some(_) => Quality::Good,
                None => Quality::Missing,
            },
            recorded: None,
        }
    }

    /// One pulse at `now`, ms.
    pub fn pulse(&mut self, forwards: bool, now: u64) {
        if forwards {
            self.forward += 1;
        } else {
            self.backward += 1;
        }
        self.interval = match self.last {
            Some((at, same)) if same == forwards => Some(now.saturating_sub(at).max(1)),
            _ => None,
        };
        let paused = self
            .last
            .is_none_or(|(at, _)| now.saturating_sub(at) > PAUSE);
        if paused || self.running_since.is_none() {
            self.running_since = Some(now);
        }
        self.last = Some((now, forwards));
    }

    /// Pulses forwards and backwards, to be stored; `None` if they cannot be believed.
    pub fn totals(&self) -> Option<(u64, u64)> {
        (self.quality == Quality::Good).then_some((self.forward, self.backward))
    }

    /// The totals are not what went through the pipe.
    pub fn distrust(&mut self) {
        self.quality = Quality::Missing;
    }

    /// The meter's dial shows so many litres: from now on the total can be believed.
    pub fn set_total(&mut self, litres: u32, setup: &Setup) {
        // To the nearest pulse; 1,000 l are a m³.
        self.forward = (u64::from(litres) * u64::from(setup.value(h::METER_PULSES)) + 500) / 1_000;
        self.quality = Quality::Good;
    }

    /// One of its input registers at `now`, ms.
    pub fn input(&self, address: u16, setup: &Setup, now: u64) -> Option<u16> {
        let part = |value: u32, first: u16| words(value).get(usize::from(address - first)).copied();
        match address {
            input::METER_VOLUME_LONG..input::METER_VOLUME => {
                let litres = self.litres_long(self.forward, setup).unwrap_or(u64::MAX);
                let place = 3 - (address - input::METER_VOLUME_LONG);
                Some((litres >> (16 * place)) as u16)
            }
            input::METER_VOLUME..input::METER_REVERSE => {
                part(self.litres(self.forward, setup), input::METER_VOLUME)
            }
            input::METER_REVERSE..input::METER_FLOW => {
                part(self.litres(self.backward, setup), input::METER_REVERSE)
            }
            input::METER_FLOW..input::METER_QUALITY => {
                part(self.flow(setup, now) as u32, input::METER_FLOW)
            }
            input::METER_QUALITY => Some(self.quality as u16),
            input::METER_FLAGS => Some(self.flags(setup, now)),
            input::METER_RUNNING => Some(self.running(now)),
            _ => None,
        }
    }

    /// Its quality register and what stands in it.
    pub fn quality(&self) -> (u16, Quality) {
        (input::METER_QUALITY, self.quality)
    }

    /// The figures of a record, if there is something worth telling, or `due`.
    pub fn record(&mut self, setup: &Setup, due: bool) -> Option<[u16; 4]> {
        let now = self.last.map_or(0, |(at, _)| at);
        let flags = self.flags(setup, now);
        if self.recorded == Some(flags) && !due {
            return None;
        }
        self.recorded = Some(flags);
        let [high, low] = words(self.litres(self.forward, setup));
        Some([high, low, self.flow(setup, now) as u16, flags])
    }

    /// Litres of so many pulses; a total that was lost is not known.
    fn litres_long(&self, pulses: u64, setup: &Setup) -> Option<u64> {
        let per_m3 = u64::from(setup.value(h::METER_PULSES).max(1));
        let known = self.quality == Quality::Good;
        let litres = pulses.checked_mul(1_000)? / per_m3;
        known.then_some(litres)
    }

    /// The same, if it fits.
    fn litres(&self, pulses: u64, setup: &Setup) -> u32 {
        let litres = self.litres_long(pulses, setup);
        litres
            .and_then(|litres| u32::try_from(litres).ok())
            .unwrap_or(INVALID_LONG)
    }

    /// Flow, l/h; negative backwards.
    fn flow(&self, setup: &Setup, now: u64) -> i32 {
        let (Some((at, forwards)), Some(interval)) = (self.last, self.interval) else {
            return 0;
        };
        let since = now.saturating_sub(at);
        if since > STILL_AFTER {
            return 0;
        }
        // Without a pulse for longer than the last interval the flow can only have fallen.
        let interval = interval.max(since);
        let pulses_per_m3 = u64::from(setup.value(h::METER_PULSES).max(1));
        let litres = 3_600_000 * 1_000 / (interval * pulses_per_m3);
        let litres = i32::try_from(litres).unwrap_or(i32::MAX);
        if forwards { litres } else { -litres }
    }

    /// Minutes that water has run without a pause.
    fn running(&self, now: u64) -> u16 {
        let (Some((at, _)), Some(since)) = (self.last, self.running_since) else {
            return 0;
        };
        if now.saturating_sub(at) > PAUSE {
            return 0;
        }
        u16::try_from(at.saturating_sub(since) / 60_000)
            .unwrap_or(INVALID - 1)
            .min(INVALID - 1)
    }

    fn flags(&self, setup: &Setup, now: u64) -> u16 {
        let flow = self.flow(setup, now);
        let mut flags = 0;
        if self.running(now) >= setup.value(h::METER_LEAK) {
            flags |= meter_flags::LEAK;
        }
        if flow > i32::from(setup.value(h::METER_BURST)) {
            flags |= meter_flags::BURST;
        }
        if flow < 0 {
            flags |= meter_flags::REVERSE;
        }
        flags
    }
}

#[cfg(test)]
mod tests;
