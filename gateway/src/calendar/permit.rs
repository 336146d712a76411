//! Permits: leave to use a zone for a time, with an id.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    Edge, Window, YEARS,
    days::{self, DateError},
    instant,
};

/// Hours that local clocks are ahead of UTC.
const OFFSETS: std::ops::RangeInclusive<i64> = -12..=14;

/// Leave to use some zones from one moment to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    pub id: String,
    /// `CAMERA/ZONE`.
    pub zones: Vec<String>,
    /// Whom it was given to. Kept from the child, which has no use for it.
    pub holder: Option<String>,
    pub from: Timestamp,
    /// Not included.
    pub to: Timestamp,
    /// Within `from` and `to`, only then; at any time when empty.
    pub windows: Vec<Window>,
}

impl Permit {
    pub fn is_for(&self, place: &str) -> bool {
        self.zones.iter().any(|zone| zone == place)
    }

    /// As the child needs it.
    pub fn without_holder(&self) -> Permit {
        Permit {
            holder: None,
            ..self.clone()
        }
    }
}

/// Why a text is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    #[error("\"{0}\" is no time as in 2026-10-01 17:00")]
    Form(String),
    #[error(transparent)]
    Date(#[from] DateError),
    #[error("{0} is not in the years {first} to {last}", first = YEARS.start(), last = YEARS.end())]
    Year(String),
    #[error("no clock on earth is as far from UTC as that of {0}")]
    Offset(String),
}

/// `2026-10-01 17:00` in local time, or with its offset as RFC 3339 has it, or a whole day: its
/// begin for a start, its end for an end.
///
/// # Errors
/// It is written otherwise, or there is no such time.
pub fn moment(text: &str, zone: &TimeZone, edge: Edge) -> Result<Timestamp, MomentError> {
    let form = || MomentError::Form(text.into());
    if text.len() <= 10 {
        let date = days::date(text)?;
        let date = match edge {
            Edge::Start => date,
            Edge::End => date.tomorrow().map_err(|_| form())?,
        };
        // The begin of a day, also where it is the end of another.
        return Ok(instant(zone, date.at(0, 0, 0, 0), Edge::Start));
    }
    let day = text.get(..10).ok_or_else(form)?;
    let date = days::date(day)?;
    let time = text
        .get(10..)
        .and_then(|rest| rest.strip_prefix([' ', 'T']));
    // A leap second would be taken for the one before.
    let time = time.filter(|t| !t.contains(":60")).ok_or_else(form)?;
    if let Some(midnight) = time.strip_prefix("24:00")
        && matches!(midnight, "" | ":00")
    {
        let date = date.tomorrow().map_err(|_| form())?;
        return Ok(instant(zone, date.at(0, 0, 0, 0), edge));
    }
    if time.ends_with('Z') || time.contains('+') || time.contains('-') {
        let at: Timestamp = format!("{day}T{time}").parse().map_err(|_| form())?;
        let clock = time.find(['Z', '+', '-']).and_then(|end| time.get(..end));
        let shown: DateTime = format!("{day}T{}", clock.unwrap_or_default())
            .parse()
            .map_err(|_| form())?;
        let ahead = instant(&TimeZone::UTC, shown, edge).duration_since(at);
        if !OFFSETS.contains(&ahead.as_hours()) {
            return Err(MomentError::Offset(text.into()));
        }
        let year = at.to_zoned(TimeZone::UTC).year();
        return if YEARS.contains(&year) {
            Ok(at)
        } else {
            Err(MomentError::Year(text.into()))
        };
    }
    let good = matches!(time.len(), 5 | 8)
        && time.bytes().enumerate().all(|(i, b)| match i {
            2 | 5 => b == b':',
            _ => b.is_ascii_digit(),
        });
    if !good {
        return Err(form());
    }
    let local: DateTime = format!("{day}T{time}").parse().map_err(|_| form())?;
    Ok(instant(zone, local, edge))
}
