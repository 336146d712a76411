//! Water that runs when nobody uses any, and water that runs much too fast.

use std::time::Duration;

use jiff::{civil::Time, tz::TimeZone};

use super::{Change, Reading, Since, Told, threshold::Threshold};
use crate::config::Side;

/// A night counts as watched while readings come at least this often in the hold time; a
/// longer gap starts the watch anew, because missing data is no evidence of a leak.
pub const NIGHT_READINGS: u32 = 4;

/// A burst ends when the flow falls below this share of the limit.
pub const BURST_CLEAR: f64 = 0.8;

/// Flow at or above `flow` for `hold`.
pub(super) fn burst(flow: f64, hold: Duration) -> Threshold {
    Threshold::new(Side::Above, flow, flow * BURST_CLEAR, hold)
}

/// Flow never below `min_flow` within the night window for `hold` on end.
///
/// The window is local time of day, from `from` up to but not at `to`; it may cross midnight,
/// and is the whole day where both are the same. How long it was watched is measured on the
/// monotonic clock. One reading below `min_flow`, by night or day, ends a leak: a leak does
/// not pause.
#[derive(Debug)]
pub(super) struct NightFlow {
    tz: TimeZone,
    from: Time,
    to: Time,
    min_flow: f64,
    hold: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    /// Flow since then, last confirmed at `last` (monotonic).
    Watching {
        since: Since,
        last: Duration,
    },
    Open(Told),
}

impl NightFlow {
    pub(super) fn new(tz: TimeZone, from: Time, to: Time, min_flow: f64, hold: Duration) -> Self {
        NightFlow {
            tz,
            from,
            to,
            min_flow,
            hold,
            state: State::Idle,
        }
    }

    /// Open from an earlier run.
    pub(super) fn latch(&mut self) {
        self.state = State::Open(Told::new(None, self.min_flow));
    }

    pub(super) fn look(&mut self, reading: Reading) -> Option<Change> {
        let runs = reading.value >= self.min_flow;
        if let State::Open(told) = &mut self.state {
            if runs {
                return told.moved(reading.value);
            }
            self.state = State::Idle;
            return Some(Change::Ended);
        }
        if !runs || !self.is_night(self.tz.to_datetime(reading.at).time()) {
            self.state = State::Idle;
            return None;
        }
        let now = reading.now.mono;
        let since = match self.state {
            State::Watching { since, last }
                if now.saturating_sub(last) <= self.hold / NIGHT_READINGS =>
            {
                since
            }
            _ => Since::from(reading),
        };
        if now.saturating_sub(since.mono) < self.hold {
            self.state = State::Watching { since, last: now };
            return None;
        }
        self.state = State::Open(Told::new(Some(reading.value), self.min_flow));
        Some(Change::Began { since: since.at })
    }

    /// While the time of day is not known: what is open ends when the water stops, and no night
    /// begins.
    pub(super) fn look_without_clock(&mut self, reading: Reading) -> Option<Change> {
        match self.state {
            State::Open(_) => self.look(reading),
            State::Idle | State::Watching { .. } => {
                self.state = State::Idle;
                None
            }
        }
    }

    fn is_night(&self, time: Time) -> bool {
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }
}
