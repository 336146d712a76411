//! A device's clock, as devices write it.

use jiff::Timestamp;

/// Unix numbers from here on are milliseconds: as seconds they would be in the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// RFC 3339 with an offset.
pub fn from_text(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no time: RFC 3339 with an offset is expected"))
}

/// Unix seconds or milliseconds.
pub fn from_number(value: f64) -> Result<Timestamp, String> {
    let seconds = if value.abs() >= MILLISECONDS_FROM {
        value / 1e3
    } else {
        value
    };
    // Microseconds are all that an f64 of today's seconds holds.
    let micros = (seconds * 1e6).round();
    if !micros.is_finite() || micros.abs() > 9e17 {
        return Err(format!("{value} is no time"));
    }
    Timestamp::from_microsecond(micros as i64).map_err(|_| format!("{value} is no time"))
}

/// Unix seconds or milliseconds, whole.
pub fn from_integer(value: i64) -> Result<Timestamp, String> {
    let time = if value.unsigned_abs() >= MILLISECONDS_FROM as u64 {
        Timestamp::from_millisecond(value)
    } else {
        Timestamp::from_second(value)
    };
    time.map_err(|_| format!("{value} is no time"))
}
