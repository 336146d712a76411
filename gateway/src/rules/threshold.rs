//! A figure beyond a limit, with hysteresis and hold.

use std::time::Duration;

use super::{Change, Reading, Since, Told};
use crate::config::Side;

/// Raised at or beyond `raise` for `hold`, cleared beyond `clear` on the other side.
///
/// A hold needs two readings: one that begins it and one at least `hold` later with none on
/// the good side of `raise` between them. Silence after a single high reading proves nothing,
/// so it raises nothing.
#[derive(Debug)]
pub(super) struct Threshold {
    side: Side,
    raise: f64,
    clear: f64,
    hold: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Clear,
    Pending(Since),
    Open(Told),
}

impl Threshold {
    pub(super) fn new(side: Side, raise: f64, clear: f64, hold: Duration) -> Self {
        Threshold {
            side,
            raise,
            clear,
            hold,
            state: State::Clear,
        }
    }

    /// Open from an earlier run.
    pub(super) fn latch(&mut self) {
        self.state = State::Open(Told::new(None, self.raise));
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn look(&mut self, reading: Reading) -> Option<Change> {
        let (bad, good) = match self.side {
            Side::Above => (reading.value >= self.raise, reading.value < self.clear),
            Side::Below => (reading.value <= self.raise, reading.value > self.clear),
        };
        let since = match &mut self.state {
            State::Open(_) if good => {
                self.state = State::Clear;
                return Some(Change::Ended);
            }
            State::Open(told) => return told.moved(reading.value),
            _ if !bad => {
                self.state = State::Clear;
                return None;
            }
            State::Pending(since) => *since,
            State::Clear => Since::from(reading),
        };
        if reading.now.mono.saturating_sub(since.mono) < self.hold {
            self.state = State::Pending(since);
            return None;
        }
        self.state = State::Open(Told::new(Some(reading.value), self.raise));
        Some(Change::Began { since: since.at })
    }
}
