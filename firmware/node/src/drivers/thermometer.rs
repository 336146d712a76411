//! TI's TMP102 and TMP112. Two registers; the driver crate for them compiles a parser of
//! Markdown and two of Rust.

use embedded_hal::i2c::I2c;
use wangge_protocol::node::Quality;

use super::Shared;
use crate::waste_bin::Reading;

const ADDRESS: u8 = 0x48;
/// The configuration's high byte has two bits that are always 1 (data sheet, 7.5.3.2); the part
/// has no other way of saying who it is.
const TEMPERATURE: u8 = 0;
const CONFIGURATION: u8 = 1;
const ALWAYS: u8 = 0b0110_0000;
/// It shuts itself down, or converts once only: its figure is old.
const ASLEEP: u8 = 1;

/// Temperature, 0.1 °C, of the sensor on this bus; ask once a second.
///
/// # Errors
/// [`Quality::Missing`], [`Quality::Stuck`] for one that does not measure.
pub fn temperature<I: I2c>(bus: &Shared<I>) -> Reading<i16> {
    bus.renew();
    let [who, _] = register(bus, CONFIGURATION)?;
    if who & ALWAYS != ALWAYS {
        return Err(Quality::Missing);
    }
    if who & ASLEEP != 0 {
        return Err(Quality::Stuck);
    }
    // 12 bits at the high end of 16, or 13 where the lowest bit says so, of a sixteenth degree.
    let raw = i16::from_be_bytes(register(bus, TEMPERATURE)?);
    let sixteenths = raw >> if raw & 1 == 1 { 3 } else { 4 };
    // At most 2,560 in size.
    Ok((i32::from(sixteenths) * 10 / 16) as i16)
}

fn register<I: I2c>(mut bus: &Shared<I>, register: u8) -> Reading<[u8; 2]> {
    let mut bytes = [0; 2];
    let asked = bus.write_read(ADDRESS, &[register], &mut bytes);
    asked.map(|()| bytes).map_err(|_| Quality::Missing)
}

#[cfg(test)]
mod tests {
    use std::vec;

    use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

    use super::*;

    fn ask(transactions: &[Transaction]) -> Reading<i16> {
        let mut mock = Mock::new(transactions);
        let bus = Shared::new(mock.clone());
        let reading = temperature(&bus);
        mock.done();
        reading
    }

    fn configuration(high: u8) -> Transaction {
        Transaction::write_read(ADDRESS, vec![CONFIGURATION], vec![high, 0xA0])
    }

    fn figure(bytes: [u8; 2]) -> Transaction {
        Transaction::write_read(ADDRESS, vec![0], bytes.to_vec())
    }

    #[test]
    fn the_data_sheets_figures() {
        // Table 7-3: 127.9375, 25, 0, -0.25 and -55 degrees.
        for (bytes, tenths) in [
            ([0x7F, 0xF0], 1_279),
            ([0x19, 0x00], 250),
            ([0x00, 0x00], 0),
            ([0xFF, 0xC0], -2),
            ([0xC9, 0x00], -550),
            // Extended mode: 150 degrees.
            ([0x4B, 0x01], 1_500),
        ] {
            assert_eq!(ask(&[configuration(0x60), figure(bytes)]), Ok(tenths));
        }
    }

    #[test]
    fn a_bus_that_is_stuck_is_no_temperature() {
        // All zeros would be 0 degrees.
        assert_eq!(ask(&[configuration(0)]), Err(Quality::Missing));
        assert_eq!(ask(&[configuration(0x20)]), Err(Quality::Missing));
        assert_eq!(ask(&[configuration(0xFF)]), Err(Quality::Stuck));
        assert_eq!(ask(&[configuration(0x61)]), Err(Quality::Stuck));
        let nobody = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
        for error in [nobody, ErrorKind::Bus, ErrorKind::ArbitrationLoss] {
            let failed = configuration(0x60).with_error(error);
            assert_eq!(ask(&[failed]), Err(Quality::Missing));
            let failed = figure([0, 0]).with_error(error);
            assert_eq!(ask(&[configuration(0x60), failed]), Err(Quality::Missing));
        }
    }
}
