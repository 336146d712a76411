//! How much of a line's budget is spent. Pure: the courier adds and stores.
//!
//! What is stored runs ahead of what is spent by a step, so that a power cut forgets nothing: after
//! it, up to a step counts as spent that was not.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::config::line::{Budget, Period};

/// Of the budget, from which on people are warned.
pub const LOW: f64 = 0.8;
/// Parts of a budget that are stored at once: a step is 0.5 % of it.
const STEPS: u64 = 200;

/// How far a budget has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ample,
    /// [`LOW`] is spent.
    Low,
    Spent,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// e.g. `2026-11` or `2026-11-26`.
    period: String,
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Meter {
    budget: Budget,
    zone: TimeZone,
    period: String,
    spent: u64,
    /// What is stored, or is to be.
    stored: u64,
    dirty: bool,
}

impl Meter {
    /// Goes on from what an earlier run stored; what cannot be read counts as nothing spent.
    pub fn new(budget: Budget, zone: TimeZone, stored: Option<&[u8]>, now: Timestamp) -> Self {
        let mut meter = Meter {
            budget,
            zone,
            period: String::new(),
            spent: 0,
            stored: 0,
            dirty: false,
        };
        let stored = stored.and_then(|bytes| serde_json::from_slice::<Stored>(bytes).ok());
        if let Some(stored) = stored {
            meter.period = stored.period;
            meter.spent = stored.bytes;
            meter.stored = stored.bytes;
        }
        meter.turn(now);
        meter
    }

    /// A new day or month begins with nothing spent. A clock that jumps, either way, begins one,
    /// too: otherwise a wrong date could close the line for years.
    pub fn turn(&mut self, now: Timestamp) {
        let date = now.to_zoned(self.zone.clone()).date();
        let period = match self.budget.per {
            Period::Day => date.to_string(),
            Period::Month => date.strftime("%Y-%m").to_string(),
        };
        if self.period != period {
            self.period = period;
            (self.spent, self.stored, self.dirty) = (0, 0, true);
        }
    }

    /// So many bytes went over the line.
    pub fn add(&mut self, bytes: u64, now: Timestamp) {
        self.turn(now);
        self.spent = self.spent.saturating_add(bytes);
        let step = self.budget.bytes / STEPS;
        if self.spent.saturating_add(step / 2) > self.stored {
            self.stored = self.spent.saturating_add(step);
            self.dirty = true;
        }
    }

    /// What has to be stored, if anything changed enough; it counts as stored then.
    pub fn take_changed(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.dirty).then(|| self.encode(self.stored))
    }

    /// The exact figure, for an orderly end.
    pub fn exact(&self) -> Vec<u8> {
        self.encode(self.spent)
    }

    fn encode(&self, bytes: u64) -> Vec<u8> {
        let stored = Stored {
            period: self.period.clone(),
            bytes,
        };
        // A string and a number: this cannot fail.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Bytes in this period so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// What was agreed.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// How far it has gone.
    pub fn level(&self) -> Level {
        if self.spent >= self.budget.bytes {
            Level::Spent
        } else if self.spent as f64 >= self.budget.bytes as f64 * LOW {
            Level::Low
        } else {
            Level::Ample
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: Budget = Budget {
        bytes: 1_000_000,
        per: Period::Month,
    };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn meter(budget: Budget, stored: Option<&[u8]>, now: &str) -> Meter {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        Meter::new(budget, zone, stored, at(now))
    }

    #[test]
    fn levels_change_at_their_bytes() {
        let now = "2026-11-26T00:00:00Z";
        for (bytes, level) in [
            (0, Level::Ample),
            (799_999, Level::Ample),
            (800_000, Level::Low),
            (999_999, Level::Low),
            (1_000_000, Level::Spent),
            (u64::MAX, Level::Spent),
        ] {
            let mut meter = meter(MONTH, None, now);
            meter.add(bytes, at(now));
            assert_eq!(meter.level(), level, "{bytes}");
        }
    }

    #[test]
    fn a_new_day_or_month_of_the_stations_own_calendar_begins_with_nothing() {
        let day = Budget {
            per: Period::Day,
            ..MONTH
        };
        // Midnight in Shanghai is 16:00 UTC.
        for (budget, before, after) in [
            (day, "2026-11-26T15:59:59Z", "2026-11-26T16:00:00Z"),
            (MONTH, "2026-11-30T15:59:59Z", "2026-11-30T16:00:00Z"),
        ] {
            let mut meter = meter(budget, None, before);
            meter.add(5, at(before));
            assert_eq!(meter.spent(), 5);
            meter.add(7, at(after));
            assert_eq!(meter.spent(), 7);
        }
    }

    #[test]
    fn a_clock_that_jumps_a_year_and_back_does_not_close_the_line() {
        let mut meter = meter(MONTH, None, "2027-11-26T00:00:00Z");
        meter.add(2_000_000, at("2027-11-26T00:00:00Z"));
        assert_eq!(meter.level(), Level::Spent);
        meter.turn(at("2026-11-26T00:00:00Z"));
        assert_eq!(meter.level(), Level::Ample);
    }

    #[test]
    fn nothing_spent_is_forgotten_and_a_step_at_most_is_counted_twice() {
        let now = "2026-11-26T00:00:00Z";
        let mut first = meter(MONTH, None, now);
        let mut disk = None;
        let mut writes = 0;
        for _ in 0..500 {
            first.add(1_000, at(now));
            if let Some(bytes) = first.take_changed() {
                disk = Some(bytes);
                writes += 1;
            }
            let again = meter(MONTH, disk.as_deref(), now);
            assert!(again.spent() >= first.spent());
            assert!(again.spent() <= first.spent() + MONTH.bytes / STEPS);
        }
        assert!(writes <= 250, "{writes}");
        let exact = meter(MONTH, Some(&first.exact()), now);
        assert_eq!(exact.spent(), 500_000);
    }

    #[test]
    fn another_months_or_a_garbled_figure_counts_as_nothing() {
        let now = "2026-11-26T00:00:00Z";
        for stored in [
            r#"{"period":"2026-10","bytes":9}"#,
            r#"{"period":"2026-11-26","bytes":9}"#,
            "{",
            "",
        ] {
            assert_eq!(meter(MONTH, Some(stored.as_bytes()), now).spent(), 0);
        }
    }
}
