//! From acceleration to tilt.

use wangge_protocol::node::Quality;

use super::Reading;

/// What standing still looks like, thousandths of g. Outside of it the bin is being moved, or
/// the sensor is broken, and gravity's direction is not to be had.
const STILL: core::ops::RangeInclusive<i32> = 700..=1_300;

/// Tilt from upright, 0.1°, of a bin whose z axis points up; thousandths of g.
///
/// # Errors
/// [`Quality::OutOfRange`] when it is not gravity that was measured.
pub fn tilt([x, y, z]: [i16; 3]) -> Reading<u16> {
    let square = |v: i16| i32::from(v).pow(2) as f32;
    let flat = libm::sqrtf(square(x) + square(y));
    let length = libm::sqrtf(square(x) + square(y) + square(z));
    if !STILL.contains(&(length as i32)) {
        return Err(Quality::OutOfRange);
    }
    let degrees = libm::atan2f(flat, f32::from(z)).to_degrees();
    // 0 to 180 degrees.
    Ok(libm::roundf(degrees * 10.0) as u16)
}
