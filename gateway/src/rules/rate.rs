//! A figure that changes too fast.

use std::{collections::VecDeque, time::Duration};

use super::{Change, Reading, Told};

/// A rate ends when it falls below this share of the limit.
pub const RATE_CLEAR: f64 = 0.5;

/// Readings kept of one window; more often than this a window, readings are thinned, so that
/// memory does not follow the device's pace.
const SAMPLES: u32 = 32;

/// Change per minute over `window` at or beyond `per_minute`, whose sign is the direction.
///
/// The change is taken from the newest reading that is at least `window` old, or else from the
/// oldest there is, and divided by the time between them but never by less than `window`: so a
/// jump as large as a whole window's allowance fires at once, two readings a second apart do
/// not, and a device that reports more seldom than `window` is judged by what it reports.
/// Time is when readings came, on the monotonic clock.
#[derive(Debug)]
pub(super) struct Rate {
    per_minute: f64,
    window: Duration,
    /// (when, value), oldest first.
    samples: VecDeque<(Duration, f64)>,
    open: Option<Told>,
}

impl Rate {
    pub(super) fn new(per_minute: f64, window: Duration) -> Self {
        Rate {
            per_minute,
            window,
            // The thinned window, the reading before it and the newest.
            samples: VecDeque::with_capacity(SAMPLES as usize + 2),
            open: None,
        }
    }

    /// Open from an earlier run.
    pub(super) fn latch(&mut self) {
        self.open = Some(Told::new(None, self.per_minute));
    }

    pub(super) fn look(&mut self, reading: Reading) -> Option<Change> {
        let now = reading.now.mono;
        let age = |&(when, _): &(Duration, f64)| now.saturating_sub(when);
        while self.samples.get(1).is_some_and(|s| age(s) >= self.window) {
            self.samples.pop_front();
        }
        let oldest = self.samples.front().copied();
        if self
            .samples
            .back()
            .is_none_or(|s| age(s) >= self.window / SAMPLES)
        {
            self.samples.push_back((now, reading.value));
        }
        let (when, value) = oldest?;
        let elapsed = now.saturating_sub(when);
        let minutes = elapsed.max(self.window).as_secs_f64() / 60.0;
        // In units of the limit: its sign folds both directions into one.
        let share = (reading.value - value) / minutes / self.per_minute;
        match &mut self.open {
            // A window that was not watched whole (after a restart) cannot say that it is over.
            Some(_) if share < RATE_CLEAR && elapsed >= self.window => {
                self.open = None;
                Some(Change::Ended)
            }
            Some(told) => told.moved(reading.value),
            None if share >= 1.0 => {
                self.open = Some(Told::new(Some(reading.value), self.per_minute));
                Some(Change::Began { since: reading.at })
            }
            None => None,
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.samples.len()
    }
}
