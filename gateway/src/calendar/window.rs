//! Weekly windows: `mon-fri 17:00-22:00`.

use std::fmt;

use jiff::{
    ToSpan,
    civil::{Date, DateTime},
};
use serde::{Deserialize, Serialize};

use super::{
    Days,
    days::{DateError, Dates},
};

/// Words of one window's days.
pub const MAX_DAYS: usize = 16;
/// Words that days may be called by, besides dates.
pub const DAY_WORDS: &[&str] = &[
    "mon", "tue", "wed", "thu", "fri", "sat", "sun", "workday", "restday", "holiday",
];
const DAY: u16 = 24 * 60;

/// A span of the day on some days. It belongs to the day on which it begins, also when it
/// crosses midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Every day when empty.
    days: Vec<Day>,
    /// Minutes since midnight, 0..1440.
    from: u16,
    /// Minutes since the same midnight, `from`+1..=`from`+1439 or 1440.
    to: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Day {
    /// Days of the week, 0 is Monday; the first may be the later: `fri-mon`.
    Week(u8, u8),
    Workday,
    Restday,
    Holiday,
    Dates(Dates),
}

/// Why a text is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("it is empty")]
    Empty,
    #[error("it has more than one span of time")]
    TwoSpans,
    #[error("it has a span of time before the days")]
    Order,
    #[error("\"{0}\" is no span of time as in 17:00-22:00")]
    Span(String),
    #[error("\"{0}\" is no time of day from 00:00 to 24:00")]
    Time(String),
    #[error("it begins and ends at {0}")]
    Equal(String),
    #[error("it begins at 24:00")]
    BeginsAtMidnight,
    #[error("there is no day \"{0}\"")]
    Day(String),
    #[error("\"{0}\" is a range of what has no order")]
    Range(String),
    #[error(transparent)]
    Date(#[from] DateError),
    #[error("it has more than {MAX_DAYS} days")]
    ManyDays,
    #[error("it has a character of a Chinese keyboard, {0:?}")]
    FullWidth(char),
}

impl WindowError {
    /// What to write instead.
    pub fn help(&self) -> &'static str {
        match self {
            WindowError::Empty => "for example \"mon-fri 17:00-22:00\"",
            WindowError::TwoSpans => {
                "write one span without spaces, as in 17:00-22:00, and another window for the next"
            }
            WindowError::Order => "write the days first: \"mon-fri 17:00-22:00\"",
            WindowError::Span(_) | WindowError::Time(_) => {
                "hours and minutes of 24 hours, as in 17:00-22:00; 22:00-02:00 crosses midnight"
            }
            WindowError::Equal(_) => "write 00:00-24:00 for the whole day",
            WindowError::BeginsAtMidnight => "write 00:00 of the day after",
            WindowError::Day(_) => {
                "mon to sun, workday, restday, holiday, or a date as in 2026-10-01"
            }
            WindowError::Range(_) => {
                "ranges go from day to day of the week, as in mon-fri, or from date to date, as \
                 in 2026-10-01..2026-10-07"
            }
            WindowError::Date(_) => "dates are written 2026-10-01 or 2026-10-01..2026-10-07",
            WindowError::ManyDays => "write two windows",
            WindowError::FullWidth(_) => "write `:` `,` `-` and digits as on an English keyboard",
        }
    }
}

impl Window {
    /// `[DAYS] [FROM-TO]`: days separated by commas, every day when left out; the whole day
    /// when the span is left out.
    ///
    /// # Errors
    /// It is written otherwise.
    pub fn parse(text: &str) -> Result<Window, WindowError> {
        let foreign = |c: &char| {
            matches!(
                c,
                '：' | '，' | '、' | '－' | '—' | '–' | '～' | '０'..='９'
            )
        };
        if let Some(c) = text.chars().find(foreign) {
            return Err(WindowError::FullWidth(c));
        }
        let (mut days, mut span) = (String::new(), None);
        for word in text.split_whitespace() {
            match (word.contains(':'), span) {
                (true, None) => span = Some(word),
                (true, Some(_)) => return Err(WindowError::TwoSpans),
                (false, None) => days.push_str(word),
                // `17:00 - 22:00`, or days behind the span.
                (false, Some(_)) if word == "-" => return Err(WindowError::TwoSpans),
                (false, Some(_)) => return Err(WindowError::Order),
            }
        }
        if days.is_empty() && span.is_none() {
            return Err(WindowError::Empty);
        }
        let (from, to) = span.map_or(Ok((0, DAY)), parse_span)?;
        let days = match days.as_str() {
            "" => Vec::new(),
            list => list
                .split(',')
                .map(parse_day)
                .collect::<Result<Vec<_>, _>>()?,
        };
        if days.len() > MAX_DAYS {
            return Err(WindowError::ManyDays);
        }
        Ok(Window { days, from, to })
    }

    /// Whether a window begins on that day.
    pub fn is_on(&self, date: Date, table: &Days) -> bool {
        let weekday = date.weekday().to_monday_zero_offset() as u8;
        self.days.is_empty()
            || self.days.iter().any(|day| match day {
                Day::Week(first, last) if first <= last => (*first..=*last).contains(&weekday),
                Day::Week(first, last) => weekday >= *first || weekday <= *last,
                Day::Workday => table.is_workday(date),
                Day::Restday => !table.is_workday(date),
                Day::Holiday => table.is_holiday(date),
                Day::Dates(dates) => dates.contains(date),
            })
    }

    /// Local begin and end of the window that begins on that day; `None` at the end of time.
    pub fn on(&self, date: Date) -> Option<(DateTime, DateTime)> {
        let at = |minutes: u16| {
            let date = date.checked_add(i64::from(minutes / DAY).days()).ok()?;
            let minute = minutes % DAY;
            Some(date.at((minute / 60) as i8, (minute % 60) as i8, 0, 0))
        };
        Some((at(self.from)?, at(self.to)?))
    }

    /// Whether it goes by the table of holidays.
    pub fn needs_table(&self) -> bool {
        let by_table = |d: &Day| matches!(d, Day::Workday | Day::Restday | Day::Holiday);
        self.days.iter().any(by_table)
    }

    /// Whether it is on public holidays alone or among others.
    pub fn names_holidays(&self) -> bool {
        self.days.contains(&Day::Holiday)
    }
}

fn parse_span(text: &str) -> Result<(u16, u16), WindowError> {
    let span = || WindowError::Span(text.into());
    let (from, to) = text.split_once('-').ok_or_else(span)?;
    if to.contains('-') {
        return Err(WindowError::TwoSpans);
    }
    let (from, mut to) = (minutes(from)?, minutes(to)?);
    if from == DAY {
        return Err(WindowError::BeginsAtMidnight);
    }
    if from == to {
        return Err(WindowError::Equal(time(from)));
    }
    if to < from {
        to += DAY;
    }
    Ok((from, to))
}

/// `17:00` or `7:00`, minutes since midnight.
fn minutes(text: &str) -> Result<u16, WindowError> {
    let wrong = || WindowError::Time(text.into());
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let plain = text.bytes().all(|b| b.is_ascii_digit());
        (plain && digits.contains(&text.len())).then(|| text.parse::<u16>().ok())?
    };
    let (Some(hours), Some(minutes)) = (number(hours, 1..=2), number(minutes, 2..=2)) else {
        return Err(wrong());
    };
    let total = hours * 60 + minutes;
    if minutes >= 60 || total > DAY {
        return Err(wrong());
    }
    Ok(total)
}

fn parse_day(word: &str) -> Result<Day, WindowError> {
    let lower = word.to_ascii_lowercase();
    let week = |name: &str| {
        let names = DAY_WORDS.iter().take(7);
        names.zip(0u8..).find(|(n, _)| **n == name).map(|(_, i)| i)
    };
    match lower.as_str() {
        "workday" => return Ok(Day::Workday),
        "restday" => return Ok(Day::Restday),
        "holiday" => return Ok(Day::Holiday),
        _ => {}
    }
    if lower.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(Day::Dates(Dates::parse(&lower)?));
    }
    match lower.split_once('-') {
        None => match week(&lower) {
            Some(day) => Ok(Day::Week(day, day)),
            None => Err(WindowError::Day(word.into())),
        },
        Some((first, last)) => match (week(first), week(last)) {
            (Some(first), Some(last)) => Ok(Day::Week(first, last)),
            (None, _) if !DAY_WORDS.contains(&first) => Err(WindowError::Day(first.into())),
            (_, None) if !DAY_WORDS.contains(&last) => Err(WindowError::Day(last.into())),
            _ => Err(WindowError::Range(word.into())),
        },
    }
}

fn time(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, day) in self.days.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{day}")?;
        }
        if !self.days.is_empty() {
            f.write_str(" ")?;
        }
        let to = if self.to > DAY {
            self.to - DAY
        } else {
            self.to
        };
        write!(f, "{}-{}", time(self.from), time(to))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |day: u8| DAY_WORDS.get(usize::from(day)).copied().unwrap_or("?");
        match self {
            Day::Week(first, last) if first == last => f.write_str(name(*first)),
            Day::Week(first, last) => write!(f, "{}-{}", name(*first), name(*last)),
            Day::Workday => f.write_str("workday"),
            Day::Restday => f.write_str("restday"),
            Day::Holiday => f.write_str("holiday"),
            Day::Dates(dates) => write!(f, "{dates}"),
        }
    }
}
