//! Days: public holidays and the working days that make up for them (调休).

use std::{fmt, ops::RangeInclusive};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Years that a calendar may speak of; others are slips of the pen.
pub const YEARS: RangeInclusive<i16> = 2000..=2199;
/// So many days before a table of holidays ends, somebody should add the next year's.
pub const WARN_DAYS: i32 = 14;
/// Days between the first and the last of a range.
const MAX_RANGE: i32 = 366;

/// A day, or the days from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dates {
    pub first: Date,
    pub last: Date,
}

/// Why a text is no date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    #[error("\"{0}\" is no date as in 2026-10-01")]
    Form(String),
    #[error("there is no day {0}")]
    NoSuchDay(String),
    #[error("{0} is not in the years {first} to {last}", first = YEARS.start(), last = YEARS.end())]
    Year(String),
    #[error("{first} comes after {last}")]
    Backwards { first: Date, last: Date },
    #[error("from {first} to {last} is more than {MAX_RANGE} days")]
    Long { first: Date, last: Date },
}

/// `2026-10-01`.
///
/// # Errors
/// It is written otherwise, or there is no such day.
pub fn date(text: &str) -> Result<Date, DateError> {
    let form = || DateError::Form(text.into());
    let bytes = text.as_bytes();
    let is_date = bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        });
    if !is_date {
        return Err(form());
    }
    let number = |at: std::ops::Range<usize>| text.get(at).and_then(|t| t.parse::<i16>().ok());
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else {
        return Err(form());
    };
    if !YEARS.contains(&year) {
        return Err(DateError::Year(text.into()));
    }
    let (Ok(month), Ok(day)) = (i8::try_from(month), i8::try_from(day)) else {
        return Err(form());
    };
    Date::new(year, month, day).map_err(|_| DateError::NoSuchDay(text.into()))
}

impl Dates {
    /// `2026-10-01` or `2026-10-01..2026-10-07`.
    ///
    /// # Errors
    /// It is written otherwise, there is no such day, or the last comes before the first.
    pub fn parse(text: &str) -> Result<Dates, DateError> {
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (date(first)?, date(last)?),
            None => (date(text)?, date(text)?),
        };
        if first > last {
            return Err(DateError::Backwards { first, last });
        }
        if days_between(first, last) >= MAX_RANGE {
            return Err(DateError::Long { first, last });
        }
        Ok(Dates { first, last })
    }

    pub fn contains(&self, date: Date) -> bool {
        (self.first..=self.last).contains(&date)
    }
}

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}..{}", self.first, self.last)
        }
    }
}

/// The station's table of days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// Public holidays.
    pub holidays: Vec<Dates>,
    /// Saturdays and Sundays that are worked.
    pub workdays: Vec<Dates>,
    /// The last day that the table knows; later ones are plain days of the week.
    pub valid_until: Option<Date>,
}

impl Days {
    pub fn is_holiday(&self, date: Date) -> bool {
        self.holidays.iter().any(|d| d.contains(date))
    }

    /// Monday to Friday but for holidays, and the days that make up for them.
    pub fn is_workday(&self, date: Date) -> bool {
        self.workdays.iter().any(|d| d.contains(date))
            || (date.weekday().to_monday_zero_offset() < 5 && !self.is_holiday(date))
    }

    /// Days until the table ends, if that is soon: negative once it has.
    pub fn ends_in(&self, today: Date) -> Option<i32> {
        let left = days_between(today, self.valid_until?);
        (left <= WARN_DAYS).then_some(left)
    }
}

/// Days from one date to another.
fn days_between(from: Date, to: Date) -> i32 {
    // Dates are at most 22,000 years apart, which is within `i32`.
    from.until(to).map_or(0, |span| span.get_days())
}
