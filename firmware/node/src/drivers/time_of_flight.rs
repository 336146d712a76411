//! ST's VL53L0X: distance by light, to 2 m.

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, Operation};
use vl53l0x::VL53L0x;
use wangge_protocol::node::Quality;

use super::{Failed, Shared};
use crate::waste_bin::Reading;

const ADDRESS: u8 = 0x29;
/// `RESULT_RANGE_STATUS`; bits 3 to 6 say how the measurement went, 11 is well (ST's API,
/// `VL53L0X_get_pal_range_status`).
const STATUS: u8 = 0x14;
const WELL: u8 = 11;
/// It measures so often, ms; it is read once a second.
const EVERY: u32 = 200;
/// So many readings without a new measurement, and it hangs.
const PATIENCE: u8 = 3;
/// After a failure it is tried again so many readings later: starting one that hangs takes
/// 0.4 s in which the bus gets no answer.
const PAUSE: u8 = 30;
/// What the data sheet promises, mm.
const BLIND: u16 = 30;
const FARTHEST: u16 = 2_000;

/// Pulse periods of the laser, before and while it measures; as the part encodes them they are 3
/// to 8 (ST's API, `VL53L0X_set_vcsel_pulse_period`).
const PERIODS: [u8; 2] = [0x50, 0x70];

/// The bus as the driver crate sees it. It divides by what the two periods say, so rubbish there
/// must not reach it: it is an error of the bus.
struct Checked<'a, I>(&'a Shared<I>);

impl<I: I2c> ErrorType for Checked<'_, I> {
    type Error = Failed;
}

impl<I: I2c> I2c for Checked<'_, I> {
    fn read(&mut self, address: u8, read: &mut [u8]) -> Result<(), Failed> {
        self.0.read(address, read)
    }

    fn write(&mut self, address: u8, write: &[u8]) -> Result<(), Failed> {
        self.0.write(address, write)
    }

    fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Failed> {
        self.0.write_read(address, write, read)?;
        match (write, &*read) {
            ([register], [period]) if PERIODS.contains(register) && !(3..=8).contains(period) => {
                Err(Failed::new(ErrorKind::Bus))
            }
            _ => Ok(()),
        }
    }

    fn transaction(&mut self, address: u8, all: &mut [Operation<'_>]) -> Result<(), Failed> {
        self.0.transaction(address, all)
    }
}

/// The sensor, plugged in or not.
#[allow(missing_debug_implementations)] // the driver has none
pub struct TimeOfFlight<'a, I: I2c> {
    bus: &'a Shared<I>,
    chip: Option<VL53L0x<Checked<'a, I>>>,
    waited: u8,
    pause: u8,
}

impl<'a, I: I2c> TimeOfFlight<'a, I> {
    /// On this bus.
    pub fn new(bus: &'a Shared<I>) -> Self {
        TimeOfFlight {
            bus,
            chip: None,
            waited: 0,
            pause: 0,
        }
    }

    /// Its newest measurement, mm; ask once a second. `None` while the first one is on its way.
    pub fn read(&mut self) -> Option<Reading<u16>> {
        self.bus.renew();
        let read = self.try_read();
        if read == Err(Quality::Missing) {
            self.chip = None;
        }
        read.transpose()
    }

    fn try_read(&mut self) -> Result<Option<u16>, Quality> {
        let mut bus = self.bus;
        let Some(chip) = &mut self.chip else {
            if let Some(left) = self.pause.checked_sub(1) {
                self.pause = left;
                return Err(Quality::Missing);
            }
            self.pause = PAUSE;
            let mut chip = VL53L0x::new(Checked(self.bus)).map_err(|_| Quality::Missing)?;
            let started = chip.start_continuous(EVERY);
            started.map_err(|_| Quality::Missing)?;
            (self.chip, self.waited, self.pause) = (Some(chip), 0, 0);
            return Ok(None);
        };
        let mut status = [0];
        let asked = bus.write_read(ADDRESS, &[STATUS], &mut status);
        asked.map_err(|_| Quality::Missing)?;
        let mm = match chip.read_range_mm() {
            Ok(mm) => mm,
            // The driver speaks an older `nb`, whose only other case is to wait.
            Err(error) if is_wait(&error) && self.waited < PATIENCE => {
                self.waited += 1;
                return Ok(None);
            }
            Err(_) => return Err(Quality::Missing),
        };
        self.waited = 0;
        match (status[0] >> 3 & 0xF, mm) {
            (WELL, ..BLIND) => Err(Quality::TooNear),
            (WELL, BLIND..=FARTHEST) => Ok(Some(mm)),
            _ => Err(Quality::NoEcho),
        }
    }
}

fn is_wait<E>(error: &nb::Error<E>) -> bool {
    matches!(error, nb::Error::WouldBlock)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::drivers::fake::Fake;

    /// A sensor that works and sees so many mm.
    fn works(mm: u16) -> Fake {
        let [high, low] = mm.to_be_bytes();
        Fake::with(&[
            (ADDRESS, 0xC0, 0xEE),
            (ADDRESS, 0x83, 1),
            (ADDRESS, 0x13, 7),
            (ADDRESS, STATUS, WELL << 3),
            (ADDRESS, PERIODS[0], 6),
            (ADDRESS, PERIODS[1], 4),
            (ADDRESS, 0x1E, high),
            (ADDRESS, 0x1F, low),
        ])
    }

    fn first_reading(fake: Fake) -> Option<Reading<u16>> {
        let bus = Shared::new(&fake);
        let mut sensor = TimeOfFlight::new(&bus);
        assert_eq!(sensor.read(), None, "it starts to measure");
        sensor.read()
    }

    #[test]
    fn limits() {
        for (mm, expected) in [
            (0, Err(Quality::TooNear)),
            (BLIND - 1, Err(Quality::TooNear)),
            (BLIND, Ok(BLIND)),
            (FARTHEST, Ok(FARTHEST)),
            (FARTHEST + 1, Err(Quality::NoEcho)),
            (8_190, Err(Quality::NoEcho)),
            (u16::MAX, Err(Quality::NoEcho)),
        ] {
            assert_eq!(first_reading(works(mm)), Some(expected), "{mm}");
        }
    }

    #[test]
    fn a_measurement_that_it_does_not_trust_itself_is_none() {
        for status in (0..16).filter(|s| *s != WELL) {
            let fake = works(500);
            fake.set(ADDRESS, STATUS, status << 3);
            assert_eq!(first_reading(fake), Some(Err(Quality::NoEcho)), "{status}");
        }
    }

    #[test]
    fn missing_is_told_and_looked_for_again() {
        let fake = works(500);
        fake.unplug();
        let bus = Shared::new(&fake);
        let mut sensor = TimeOfFlight::new(&bus);
        assert_eq!(sensor.read(), Some(Err(Quality::Missing)));
        let asked = fake.asked();
        for _ in 0..PAUSE {
            assert_eq!(sensor.read(), Some(Err(Quality::Missing)));
        }
        assert_eq!(fake.asked(), asked, "left alone for a while");
        fake.plug();
        assert_eq!(sensor.read(), None);
        assert_eq!(sensor.read(), Some(Ok(500)));
        fake.unplug();
        assert_eq!(
            sensor.read(),
            Some(Err(Quality::Missing)),
            "pulled while it runs"
        );
    }

    #[test]
    fn periods_that_cannot_be_are_no_division_by_zero() {
        for register in PERIODS {
            for (period, works_so) in [(2, false), (3, true), (8, true), (9, false), (0xFF, false)]
            {
                let fake = works(500);
                fake.set(ADDRESS, register, period);
                let bus = Shared::new(&fake);
                let read = TimeOfFlight::new(&bus).read();
                assert_eq!(read.is_none(), works_so, "{register:#x} {period}");
            }
        }
    }

    #[test]
    fn another_chip_at_its_address_is_none() {
        let fake = works(500);
        fake.set(ADDRESS, 0xC0, 0xEA);
        let bus = Shared::new(&fake);
        assert_eq!(TimeOfFlight::new(&bus).read(), Some(Err(Quality::Missing)));
    }

    #[test]
    fn one_that_hangs_does_not_hang_the_node() {
        // At its start: it never says that it is ready.
        for register in [0x83, 0x13] {
            let fake = works(500);
            fake.set(ADDRESS, register, 0);
            let bus = Shared::new(&fake);
            let mut sensor = TimeOfFlight::new(&bus);
            assert_eq!(sensor.read(), Some(Err(Quality::Missing)));
            assert!(fake.asked() <= 1_000, "{} transactions", fake.asked());
        }
        // While it measures.
        let fake = works(500);
        let bus = Shared::new(&fake);
        let mut sensor = TimeOfFlight::new(&bus);
        assert_eq!((sensor.read(), sensor.read()), (None, Some(Ok(500))));
        fake.set(ADDRESS, 0x13, 0);
        for _ in 0..PATIENCE {
            assert_eq!(sensor.read(), None);
        }
        assert_eq!(sensor.read(), Some(Err(Quality::Missing)));
    }

    proptest! {
        #[test]
        fn rubbish_in_its_registers_is_no_panic(
            rubbish in prop::collection::vec(any::<(u8, u8)>(), 0..200),
        ) {
            let fake = works(500);
            for (register, value) in rubbish {
                fake.set(ADDRESS, register, value);
            }
            fake.set(ADDRESS, 0xC0, 0xEE);
            let bus = Shared::new(&fake);
            let mut sensor = TimeOfFlight::new(&bus);
            for _ in 0..4 {
                if let Some(Ok(mm)) = sensor.read() {
                    prop_assert!((BLIND..=FARTHEST).contains(&mm));
                }
            }
        }
    }
}
