//! Spans of time, sizes and lengths as people write them.

use std::time::Duration;

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    /// Nothing, or a unit without a number.
    #[error("it has no number")]
    NoNumber,
    /// A number alone.
    #[error("it has no unit")]
    NoUnit,
    /// A unit that we do not know.
    #[error("its unit is unknown")]
    UnknownUnit,
    /// Does not fit.
    #[error("it is too large")]
    TooLarge,
}

/// Splits a leading decimal number off.
fn number(text: &str) -> Result<(f64, &str), UnitError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    // `parse` alone would take `.5`, `5.` and `inf`; people who write those mean something else.
    if !digits.starts_with(|c: char| c.is_ascii_digit())
        || !digits.ends_with(|c: char| c.is_ascii_digit())
    {
        return Err(UnitError::NoNumber);
    }
    let value = digits.parse().map_err(|_| UnitError::NoNumber)?;
    Ok((value, rest))
}

fn unit(rest: &str) -> (&str, &str) {
    let end = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.split_at(end)
}

/// `500ms`, `20s`, `1h30m`, `30d`.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    loop {
        let (value, after) = number(rest)?;
        let (name, after) = unit(after);
        let seconds = match name {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "" => return Err(UnitError::NoUnit),
            _ => return Err(UnitError::UnknownUnit),
        };
        let part = Duration::try_from_secs_f64(value * seconds).map_err(|_| UnitError::TooLarge)?;
        total = total.checked_add(part).ok_or(UnitError::TooLarge)?;
        if after.is_empty() {
            return Ok(total);
        }
        rest = after;
    }
}

/// `64KB`, `2GB`, `512MiB`; bytes.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    let (value, rest) = number(text)?;
    let factor: f64 = match rest {
        "B" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1_024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        "" => return Err(UnitError::NoUnit),
        _ => return Err(UnitError::UnknownUnit),
    };
    let bytes = (value * factor).round();
    // 2^53: beyond, an f64 no longer counts single bytes.
    if bytes > 9_007_199_254_740_992.0 {
        return Err(UnitError::TooLarge);
    }
    Ok(bytes as u64)
}

/// `1.2m`, `120cm`, `1200mm`; millimetres.
pub(super) fn length_mm(text: &str) -> Result<f64, UnitError> {
    let (value, rest) = number(text)?;
    match rest {
        "mm" => Ok(value),
        "cm" => Ok(value * 10.0),
        "m" => Ok(value * 1_000.0),
        "" => Err(UnitError::NoUnit),
        _ => Err(UnitError::UnknownUnit),
    }
}

/// The shortest way to write a span.
pub(super) fn show_duration(d: Duration) -> String {
    let ms = d.as_millis();
    for (unit, factor) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if ms >= factor && ms.is_multiple_of(factor) {
            return format!("{}{unit}", ms / factor);
        }
    }
    if ms == 0 {
        "0s".to_owned()
    } else {
        format!("{ms}ms")
    }
}

/// The shortest way to write a size.
pub(super) fn show_size(bytes: u64) -> String {
    for (unit, factor) in [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
    ] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// A length in metres, or millimetres below one.
pub(super) fn show_length(mm: f64) -> String {
    if mm >= 1_000.0 {
        format!("{}m", mm / 1_000.0)
    } else {
        format!("{mm}mm")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("2.5s", 2_500),
            ("1h30m", 5_400_000),
            ("30d", 2_592_000_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (text, error) in [
            ("", UnitError::NoNumber),
            ("s", UnitError::NoNumber),
            ("10", UnitError::NoUnit),
            ("10 s", UnitError::UnknownUnit),
            ("10S", UnitError::UnknownUnit),
            ("1h30", UnitError::NoUnit),
            (".5s", UnitError::NoNumber),
            ("5.s", UnitError::NoNumber),
            ("1.2.3s", UnitError::NoNumber),
            ("-1s", UnitError::NoNumber),
            ("infs", UnitError::NoNumber),
            ("99999999999999999999999d", UnitError::TooLarge),
            ("10秒", UnitError::UnknownUnit),
        ] {
            assert_eq!(duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64KB", 64_000),
            ("2GB", 2_000_000_000),
            ("1.5MB", 1_500_000),
            ("512MiB", 536_870_912),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, error) in [
            ("64", UnitError::NoUnit),
            ("64K", UnitError::UnknownUnit),
            ("GB", UnitError::NoNumber),
            ("64kb", UnitError::UnknownUnit),
            ("99999TB", UnitError::TooLarge),
        ] {
            assert_eq!(size(text), Err(error), "{text}");
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(length_mm("1.2m"), Ok(1_200.0));
        assert_eq!(length_mm("120cm"), Ok(1_200.0));
        assert_eq!(length_mm("1200mm"), Ok(1_200.0));
        assert_eq!(length_mm("1.2"), Err(UnitError::NoUnit));
        assert_eq!(length_mm("4ft"), Err(UnitError::UnknownUnit));
    }

    #[test]
    fn shown_texts_read_back() {
        for d in [0u64, 1, 20, 999, 1_000, 90_000, 5_400_000, 86_400_000] {
            let d = Duration::from_millis(d);
            assert_eq!(duration(&show_duration(d)), Ok(d));
        }
        for b in [1u64, 999, 64_000, 2_000_000_000, 1_500_001] {
            assert_eq!(size(&show_size(b)), Ok(b));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = duration(&text);
            let _ = size(&text);
            let _ = length_mm(&text);
        }
    }
}
