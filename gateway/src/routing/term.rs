//! Deadlines in working time: 工作时, 工作日, 紧急工作时.

use std::{fmt, sync::Arc};

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

use crate::calendar::{Days, Edge, Window, instant};

/// Largest number in a deadline: a working year and more in days.
pub const MAX_TERM: u16 = 500;
/// Days ahead in which a deadline is looked for.
const HORIZON: i32 = 1_500;

/// A span of working time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// 工作时: hours within the working hours.
    WorkingHours(u16),
    /// 工作日: to the end of the working hours of the n-th working day after the one that it
    /// begins on.
    WorkingDays(u16),
    /// 紧急工作时: hours within those that are kept for emergencies.
    UrgentHours(u16),
}

/// Why a text is no deadline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    #[error(
        "{0:?} is no deadline; write 4工作时, 1工作日 or 2紧急工作时, or in English 4 working hours, 1 working day or 2 urgent hours"
    )]
    Form(String),
    #[error("{0:?}: the number may be 1 to {MAX_TERM}")]
    Number(String),
}

impl Term {
    /// `4工作时` or `4 working hours`, and so on.
    ///
    /// # Errors
    /// It is written otherwise, or the number is 0 or over [`MAX_TERM`].
    pub fn parse(text: &str) -> Result<Term, TermError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let term: fn(u16) -> Term = match unit.trim() {
            "工作时" | "个工作时" | "working hour" | "working hours" => Term::WorkingHours,
            "工作日" | "个工作日" | "working day" | "working days" => Term::WorkingDays,
            "紧急工作时" | "个紧急工作时" | "urgent hour" | "urgent hours" => {
                Term::UrgentHours
            }
            _ => return Err(TermError::Form(text.into())),
        };
        if number.is_empty() {
            return Err(TermError::Form(text.into()));
        }
        let number = number.parse().ok().filter(|n| (1..=MAX_TERM).contains(n));
        number
            .map(term)
            .ok_or_else(|| TermError::Number(text.into()))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::WorkingHours(n) => write!(f, "{n}工作时"),
            Term::WorkingDays(n) => write!(f, "{n}工作日"),
            Term::UrgentHours(n) => write!(f, "{n}紧急工作时"),
        }
    }
}

/// When people work: a profile's hours on a station's days.
#[derive(Clone, Debug)]
pub struct WorkTime {
    /// Working hours.
    pub hours: Vec<Window>,
    /// Hours in which emergencies are dealt with.
    pub urgent: Vec<Window>,
    pub days: Arc<Days>,
    pub time_zone: TimeZone,
}

impl WorkTime {
    /// When a term that begins at `from` ends; `None` if there is not so much working time in
    /// the next four years.
    pub fn due(&self, from: Timestamp, term: Term) -> Option<Timestamp> {
        match term {
            Term::WorkingHours(hours) => self.after(&self.hours, from, hours),
            Term::UrgentHours(hours) => self.after(&self.urgent, from, hours),
            Term::WorkingDays(days) => self.end_of(from, days),
        }
    }

    fn after(&self, windows: &[Window], from: Timestamp, hours: u16) -> Option<Timestamp> {
        let mut left = i64::from(hours) * 3_600 * 1_000;
        let mut at = from;
        // A window that crosses midnight began the day before.
        let first = self.date(from).yesterday().ok()?;
        for date in self.dates(first) {
            for (begin, end) in self.spans(windows, date) {
                let begin = begin.max(at);
                if begin >= end {
                    continue;
                }
                let open = end.as_millisecond() - begin.as_millisecond();
                if left <= open {
                    return begin.checked_add(left.milliseconds()).ok();
                }
                left -= open;
                at = end;
            }
        }
        None
    }

    fn end_of(&self, from: Timestamp, days: u16) -> Option<Timestamp> {
        let first = self.date(from).tomorrow().ok()?;
        let ends = self.dates(first).filter_map(|date| {
            let spans = self.spans(&self.hours, date);
            spans.into_iter().map(|(_, end)| end).max()
        });
        ends.into_iter().nth(usize::from(days.checked_sub(1)?))
    }

    fn date(&self, at: Timestamp) -> Date {
        self.time_zone.to_datetime(at).date()
    }

    fn dates(&self, first: Date) -> impl Iterator<Item = Date> {
        (0..HORIZON).map_while(move |n| first.checked_add(n.days()).ok())
    }

    /// Windows that begin on a day, the earliest first.
    fn spans(&self, windows: &[Window], date: Date) -> Vec<(Timestamp, Timestamp)> {
        let on = windows.iter().filter(|w| w.is_on(date, &self.days));
        let mut spans: Vec<_> = on
            .filter_map(|window| window.on(date))
            .map(|(begin, end)| {
                (
                    instant(&self.time_zone, begin, Edge::Start),
                    instant(&self.time_zone, end, Edge::End),
                )
            })
            .collect();
        spans.sort_unstable();
        spans
    }
}
