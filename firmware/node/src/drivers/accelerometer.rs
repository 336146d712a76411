//! ST's LIS2DH12: which way is down.

use embedded_hal::i2c::I2c;
use lis2dh12::{Lis2dh12, Mode, Odr, RawAccelerometer, SlaveAddr};
use wangge_protocol::node::Quality;

use super::Shared;
use crate::waste_bin::Reading;

/// The sensor, plugged in or not, at 0x19 (SA0 high, as most modules have it) or 0x18.
#[allow(missing_debug_implementations)] // the driver has none
pub struct Accelerometer<'a, I: I2c> {
    bus: &'a Shared<I>,
    chip: Option<Lis2dh12<&'a Shared<I>>>,
}

impl<'a, I: I2c> Accelerometer<'a, I> {
    /// On this bus.
    pub fn new(bus: &'a Shared<I>) -> Self {
        Accelerometer { bus, chip: None }
    }

    /// Thousandths of g along x, y and z; ask once a second. `None` while the first measurement
    /// is on its way.
    pub fn read(&mut self) -> Option<Reading<[i16; 3]>> {
        self.bus.renew();
        let read = self.try_read();
        if read.is_err() {
            // It may have lost its supply, and its settings: they are written anew.
            self.chip = None;
        }
        read.transpose()
    }

    fn try_read(&mut self) -> Result<Option<[i16; 3]>, Quality> {
        let Some(chip) = &mut self.chip else {
            self.chip = Some(start(self.bus).ok_or(Quality::Missing)?);
            return Ok(None);
        };
        let status = chip.get_status().map_err(|_| Quality::Missing)?;
        // It measures ten times a second.
        if !status.zyxda {
            return Err(Quality::Stuck);
        }
        let raw = chip.accel_raw().map_err(|_| Quality::Missing)?;
        // 12 bits at the high end of 16; one step is 1 mg at 2 g full scale (data sheet, 2.1).
        Ok(Some([raw.x, raw.y, raw.z].map(|axis| axis >> 4)))
    }
}

fn start<I: I2c>(bus: &Shared<I>) -> Option<Lis2dh12<&Shared<I>>> {
    let at = |high| Lis2dh12::new(bus, SlaveAddr::Alternative(high)).ok();
    let mut chip = at(true).or_else(|| at(false))?;
    chip.set_mode(Mode::HighResolution).ok()?;
    // A low byte and a high byte of the same measurement.
    chip.set_bdu(true).ok()?;
    chip.enable_axis((true, true, true)).ok()?;
    chip.set_odr(Odr::Hz10).ok()?;
    Some(chip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::Fake;

    const WHO_AM_I: u8 = 0x0F;
    const STATUS: u8 = 0x27;
    /// Several registers in one go have the address's high bit set.
    const OUT: u8 = 0x28 | 0x80;

    fn works(address: u8, axes: [i16; 3]) -> Fake {
        let fake = Fake::with(&[(address, WHO_AM_I, 0x33), (address, STATUS, 0x0F)]);
        for (at, axis) in (OUT..).step_by(2).zip(axes) {
            let [low, high] = (axis << 4).to_le_bytes();
            fake.set(address, at, low);
            fake.set(address, at + 1, high);
        }
        fake
    }

    #[test]
    fn gravity_at_either_address() {
        for address in [0x18, 0x19] {
            let fake = works(address, [-12, 34, 998]);
            let bus = Shared::new(&fake);
            let mut sensor = Accelerometer::new(&bus);
            assert_eq!(sensor.read(), None, "it starts to measure");
            assert_eq!(sensor.read(), Some(Ok([-12, 34, 998])));
        }
    }

    #[test]
    fn what_it_cannot_say_it_does_not_say() {
        let fake = works(0x19, [0, 0, 1_000]);
        let bus = Shared::new(&fake);
        let mut sensor = Accelerometer::new(&bus);
        fake.set(0x19, WHO_AM_I, 0x32);
        assert_eq!(sensor.read(), Some(Err(Quality::Missing)), "another chip");
        fake.set(0x19, WHO_AM_I, 0x33);
        assert_eq!(
            (sensor.read(), sensor.read()),
            (None, Some(Ok([0, 0, 1_000])))
        );
        // Its supply failed for a moment: it no longer measures, its last figures still stand.
        fake.set(0x19, STATUS, 0);
        assert_eq!(sensor.read(), Some(Err(Quality::Stuck)));
        fake.set(0x19, STATUS, 0x0F);
        assert_eq!(
            (sensor.read(), sensor.read()),
            (None, Some(Ok([0, 0, 1_000])))
        );
        fake.unplug();
        assert_eq!(sensor.read(), Some(Err(Quality::Missing)));
        assert_eq!(sensor.read(), Some(Err(Quality::Missing)));
    }
}
