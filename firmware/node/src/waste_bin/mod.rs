//! A waste bin: from raw readings of its sensors to figures that can be believed, or a reason
//! why not.

mod distance;
mod heat;
mod tilt;

pub use distance::Distance;
pub use heat::Heat;
pub use tilt::tilt;

use wangge_protocol::node::{INVALID, INVALID_SIGNED, Quality, bin_flags, holding as h, input};

use crate::setup::Setup;

/// A figure, or why there is none.
pub type Reading<T> = Result<T, Quality>;

/// Rubbish counts as full until it is this much lower again, 0.1 %.
const FULL_HYSTERESIS: u16 = 50;
/// mV; two lithium cells are more than the parts stand.
const MOST_BATTERY: u32 = 6_000;
/// The floor may be this much farther away than set up: a dent, a sensor that reads long.
const BELOW_FLOOR: u16 = 100;

/// The bin.
#[derive(Debug)]
pub struct Bin {
    distance: Distance,
    fill: Reading<u16>,
    tilt: Reading<u16>,
    heat: Heat,
    battery: Option<u16>,
    lid: Option<bool>,
    /// When the distance was measured last, ms.
    measured: u64,
    full: bool,
    /// Fill level and flags of the last record.
    recorded: Option<(Reading<u16>, u16)>,
}

impl Default for Bin {
    fn default() -> Self {
        Bin {
            distance: Distance::default(),
            fill: Err(Quality::Starting),
            tilt: Err(Quality::Starting),
            heat: Heat::default(),
            battery: None,
            lid: None,
            measured: 0,
            full: false,
            recorded: None,
        }
    }
}

impl Bin {
    /// The distance sensor said so at `now`, ms; mm.
    pub fn distance(&mut self, reading: Reading<u16>, now: u64, setup: &Setup) {
        self.measured = now;
        self.distance.push(reading, now);
        self.fill = self.distance.figure().and_then(|mm| fill(mm, setup));
        if let Ok(fill) = self.fill {
            let mark = 1_000 - if self.full { FULL_HYSTERESIS } else { 0 };
            self.full = fill >= mark;
        }
    }

    /// The accelerometer said so: thousandths of g along the bin's x, y and z.
    pub fn acceleration(&mut self, reading: Reading<[i16; 3]>) {
        self.tilt = reading.and_then(tilt);
    }

    /// The thermometer said so at `now`, ms; 0.1 °C.
    pub fn temperature(&mut self, reading: Reading<i16>, now: u64) {
        self.heat.push(reading, now);
    }

    /// The pin behind the battery's divider has so many mV.
    pub fn battery(&mut self, mv: Option<u16>) {
        self.battery = mv;
    }

    /// The lid's contact is closed, or not; debounced.
    pub fn lid(&mut self, closed: bool) {
        self.lid = Some(closed);
    }

    /// One of its input registers at `now`, ms.
    pub fn input(&self, address: u16, setup: &Setup, now: u64) -> Option<u16> {
        let unsigned = |reading: Reading<u16>| reading.unwrap_or(INVALID);
        let quality = |reading: Option<Quality>| reading.unwrap_or(Quality::Good) as u16;
        Some(match address {
            input::BIN_FILL => unsigned(self.fill),
            input::BIN_DISTANCE => unsigned(self.distance.figure()),
            input::BIN_DISTANCE_QUALITY => quality(self.distance.figure().and(self.fill).err()),
            input::BIN_TILT => unsigned(self.tilt),
            input::BIN_TILT_QUALITY => quality(self.tilt.err()),
            input::BIN_TEMPERATURE => match self.heat.figure() {
                Ok(tenths) => tenths as u16,
                Err(_) => INVALID_SIGNED,
            },
            input::BIN_TEMPERATURE_RATE => match self.heat.rate() {
                Some(tenths) => tenths as u16,
                None => INVALID_SIGNED,
            },
            input::BIN_TEMPERATURE_QUALITY => quality(self.heat.figure().err()),
            input::BIN_BATTERY => battery(self.battery, setup),
            input::BIN_LID => lid(self.lid, setup),
            input::BIN_FLAGS => self.flags(setup),
            input::BIN_AGE => u16::try_from(now.saturating_sub(self.measured) / 1_000)
                .unwrap_or(INVALID - 1)
                .min(INVALID - 1),
            _ => return None,
        })
    }

    /// Its quality registers and what stands in them.
    pub fn qualities(&self) -> [(u16, Quality); 3] {
        let of = |fault: Option<Quality>| fault.unwrap_or(Quality::Good);
        [
            (
                input::BIN_DISTANCE_QUALITY,
                of(self.distance.figure().and(self.fill).err()),
            ),
            (input::BIN_TILT_QUALITY, of(self.tilt.err())),
            (input::BIN_TEMPERATURE_QUALITY, of(self.heat.figure().err())),
        ]
    }

    /// The figures of a record, if there is something worth telling, or `due` and anything to
    /// tell.
    pub fn record(&mut self, setup: &Setup, due: bool) -> Option<[u16; 4]> {
        if self.fill == Err(Quality::Starting) {
            return None;
        }
        let (fill, flags) = (self.fill, self.flags(setup));
        let worth = match self.recorded {
            None => true,
            Some((Ok(last), last_flags)) => {
                let moved = fill.map_or(true, |f| f.abs_diff(last) >= setup.value(h::BIN_CHANGE));
                moved || flags != last_flags
            }
            Some((Err(last), last_flags)) => fill != Err(last) || flags != last_flags,
        };
        if !worth && !due {
            return None;
        }
        self.recorded = Some((fill, flags));
        let temperature = self.heat.figure().unwrap_or(i16::MIN);
        let distance = self.distance.figure().unwrap_or(INVALID);
        Some([fill.unwrap_or(INVALID), distance, temperature as u16, flags])
    }

    fn flags(&self, setup: &Setup) -> u16 {
        let mut flags = 0;
        let hot = self
            .heat
            .figure()
            .is_ok_and(|t| t >= value(setup, h::BIN_FIRE_AT));
        let heating = self
            .heat
            .rate()
            .is_some_and(|r| r >= value(setup, h::BIN_FIRE_RATE));
        if hot || heating {
            flags |= bin_flags::FIRE;
        }
        if self.tilt.is_ok_and(|t| t >= setup.value(h::BIN_TILT_LIMIT)) {
            flags |= bin_flags::TILTED;
        }
        if self.full && self.fill.is_ok() {
            flags |= bin_flags::FULL;
        }
        flags
    }
}

/// A limit as a signed number; every limit is below 8,001.
fn value(setup: &Setup, address: u16) -> i16 {
    i16::try_from(setup.value(address)).unwrap_or(i16::MAX)
}

/// Fill level, 0.1 %, of rubbish at `mm` from the sensor.
fn fill(mm: u16, setup: &Setup) -> Reading<u16> {
    let (height, full_at) = (setup.value(h::BIN_HEIGHT), setup.value(h::BIN_FULL_AT));
    if height == 0 || full_at >= height {
        return Err(Quality::Unconfigured);
    }
    if mm > height + BELOW_FLOOR {
        return Err(Quality::OutOfRange);
    }
    let space = u32::from(height - full_at);
    let filled = u32::from(height.saturating_sub(mm));
    // At most 1,000.
    Ok((filled * 1_000 / space).min(1_000) as u16)
}

/// The battery, mV, from what its pin has; [`INVALID`] without a divider, or for what no battery
/// that is supported has.
fn battery(pin: Option<u16>, setup: &Setup) -> u16 {
    let divider = u32::from(setup.value(h::BIN_DIVIDER));
    let mv = pin.map(|mv| u32::from(mv) * divider / 100);
    match mv {
        Some(mv) if divider > 0 && mv <= MOST_BATTERY => mv as u16,
        _ => INVALID,
    }
}

/// 1 for an open lid, 0 for a closed one; [`INVALID`] without a contact.
fn lid(closed: Option<bool>, setup: &Setup) -> u16 {
    match (setup.value(h::BIN_LID_CONTACT), closed) {
        (1, Some(closed)) => u16::from(!closed),
        (2, Some(closed)) => u16::from(closed),
        _ => INVALID,
    }
}

#[cfg(test)]
mod tests;
