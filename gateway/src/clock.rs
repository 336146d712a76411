//! Time as the pure parts see it, and how far the time of day can be believed.

mod kernel;
mod trust;

use std::time::{Duration, Instant};

use jiff::Timestamp;

pub use kernel::{Uptime, synchronised};
pub use trust::{Change, Doubt, Reading, Stamp, StateChange, Trust, built};

/// One moment on both clocks.
///
/// Wall time goes into records; everything that waits, expires or measures a rate uses
/// `mono`, so that a clock jump neither fires nor hides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The system clock.
    pub wall: Timestamp,
    /// Since the process started.
    pub mono: Duration,
}

/// The running process's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose `mono` starts at zero now.
    pub fn start() -> Self {
        Clock {
            start: Instant::now(),
        }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        Now {
            wall: Timestamp::now(),
            mono: self.start.elapsed(),
        }
    }
}
