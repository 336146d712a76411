//! A bin's sensors on I2C, read together.

use embedded_hal::i2c::I2c;
use wangge_protocol::node::Quality;

use super::{Accelerometer, Shared, TimeOfFlight, temperature};
use crate::{setup::Setup, waste_bin::Bin};

/// What is plugged in of them; each one that is not is told as missing.
#[allow(missing_debug_implementations)] // the drivers have none
pub struct OnI2c<'a, I: I2c> {
    bus: &'a Shared<I>,
    light: TimeOfFlight<'a, I>,
    accelerometer: Accelerometer<'a, I>,
}

impl<'a, I: I2c> OnI2c<'a, I> {
    /// On this bus.
    pub fn new(bus: &'a Shared<I>) -> Self {
        OnI2c {
            bus,
            light: TimeOfFlight::new(bus),
            accelerometer: Accelerometer::new(bus),
        }
    }

    /// Reads them; once a second. The light's distance is asked for only where no other sensor
    /// measures it.
    pub fn read(&mut self, bin: &mut Bin, setup: &Setup, now: u64, with_distance: bool) {
        if with_distance && let Some(reading) = self.light.read() {
            bin.distance(reading, now, setup);
        }
        if let Some(reading) = self.accelerometer.read() {
            bin.acceleration(reading);
        }
        bin.temperature(temperature(self.bus), now);
    }
}

/// There is no bus to have sensors on.
pub fn without_i2c(bin: &mut Bin, setup: &Setup, now: u64, with_distance: bool) {
    if with_distance {
        bin.distance(Err(Quality::Missing), now, setup);
    }
    bin.acceleration(Err(Quality::Missing));
    bin.temperature(Err(Quality::Missing), now);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wangge_protocol::node::{NodeKind, input};

    use super::*;
    use crate::drivers::fake::Fake;

    #[test]
    fn each_is_missing_for_itself() {
        // A thermometer at 25 degrees, and nothing else.
        let fake = Fake::with(&[(0x48, 0, 0x19), (0x48, 1, 0x60)]);
        let bus = Shared::new(&fake);
        let mut sensors = OnI2c::new(&bus);
        let (mut bin, setup) = (Bin::default(), Setup::new(NodeKind::Bin));
        for second in 0..4 {
            sensors.read(&mut bin, &setup, second * 1_000, true);
        }
        let read = |at| bin.input(at, &setup, 4_000).unwrap();
        assert_eq!(read(input::BIN_TEMPERATURE), 253, "0x1960 is 25.4 degrees");
        for quality in [input::BIN_DISTANCE_QUALITY, input::BIN_TILT_QUALITY] {
            assert_eq!(read(quality), Quality::Missing as u16);
        }
        let mut without = Bin::default();
        for second in 0..4 {
            without_i2c(&mut without, &setup, second * 1_000, true);
        }
        assert!(
            without
                .qualities()
                .iter()
                .all(|(_, q)| *q == Quality::Missing)
        );
    }
}
