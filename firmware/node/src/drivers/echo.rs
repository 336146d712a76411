//! Ultrasonic sensors that hold a line high for as long as the sound was on its way (HC-SR04,
//! JSN-SR04T and their like).

use wangge_protocol::node::Quality;

use crate::waste_bin::Reading;

/// Nothing came back: the sensors then hold the line for 38 ms and more.
const NO_ECHO_US: u32 = 38_000;

/// Distance in mm of an echo that took `us` microseconds there and back, at so many 0.1 °C.
///
/// Sound goes 331.3 m/s at 0 °C and 0.606 m/s faster for each degree (linear approximation for
/// dry air). `blind_mm` is how near the sensor cannot see, 250 mm for the waterproof ones.
///
/// # Errors
/// [`Quality::NoEcho`], [`Quality::TooNear`].
pub fn echo(us: u32, tenths: i16, blind_mm: u16) -> Reading<u16> {
    if us >= NO_ECHO_US {
        return Err(Quality::NoEcho);
    }
    // mm/s at this temperature.
    let speed = 331_300 + i64::from(tenths) * 606 / 10;
    let mm = i64::from(us) * speed / 2_000_000;
    let mm = u16::try_from(mm).map_err(|_| Quality::OutOfRange)?;
    if mm < blind_mm {
        return Err(Quality::TooNear);
    }
    Ok(mm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metre_at_twenty_degrees() {
        // 2 m at 343.42 m/s are 5,823.8 us.
        assert_eq!(echo(5_823, 200, 250), Ok(999));
        assert_eq!(echo(5_824, 200, 250), Ok(1_000));
        // In the frost the same time is a shorter way.
        assert_eq!(echo(5_826, -200, 250), Ok(929));
    }

    #[test]
    fn limits() {
        assert_eq!(echo(NO_ECHO_US - 1, 200, 250), Ok(6_524));
        assert_eq!(echo(NO_ECHO_US, 200, 250), Err(Quality::NoEcho));
        assert_eq!(echo(u32::MAX, 200, 250), Err(Quality::NoEcho));
        assert_eq!(echo(1_457, 200, 250), Ok(250));
        assert_eq!(echo(1_455, 200, 250), Err(Quality::TooNear));
        assert_eq!(echo(0, 200, 250), Err(Quality::TooNear));
    }
}
