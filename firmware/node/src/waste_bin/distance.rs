//! From single echoes to a distance.

use heapless::Deque;
use wangge_protocol::node::Quality;

use super::Reading;

/// Median of so many: one wild echo changes nothing, and two do not either.
const WINDOW: usize = 5;
/// So many failures one after another are not bad luck.
const FAILURES: u8 = 3;
/// A sensor that gives the same figure to the last millimetre for so long hangs: sound and
/// light both scatter by more than that. An assumption of ours, ms.
const STUCK_AFTER: u64 = 24 * 3_600 * 1_000;
/// Farther than any sensor that is supported can see, mm.
const FARTHEST: u16 = 8_000;

/// Filters a distance sensor's readings.
#[derive(Debug)]
pub struct Distance {
    window: Deque<u16, WINDOW>,
    failures: u8,
    figure: Reading<u16>,
    /// The raw figure that has not changed, and since when, ms.
    same: Option<(u16, u64)>,
}

impl Default for Distance {
    fn default() -> Self {
        Distance {
            window: Deque::new(),
            failures: 0,
            figure: Err(Quality::Starting),
            same: None,
        }
    }
}

impl Distance {
    /// One reading at `now`, ms; mm.
    pub fn push(&mut self, reading: Reading<u16>, now: u64) {
        let reading = match reading {
            Ok(mm) if mm > FARTHEST => Err(Quality::OutOfRange),
            other => other,
        };
        let mm = match reading {
            Ok(mm) => mm,
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                // Too near is what a full bin looks like to the sensor, and no figure can be
                // made of it; like every failure it must be there more than once.
                if self.failures >= FAILURES {
                    self.window.clear();
                    self.same = None;
                    self.figure = Err(why);
                }
                return;
            }
        };
        self.failures = 0;
        let since = match self.same {
            Some((last, since)) if last == mm => since,
            _ => now,
        };
        self.same = Some((mm, since));
        if self.window.is_full() {
            self.window.pop_front();
        }
        // There is room now.
        let _ = self.window.push_back(mm);
        self.figure = if now.saturating_sub(since) >= STUCK_AFTER {
            Err(Quality::Stuck)
        } else {
            Ok(self.median())
        };
    }

    /// The distance, mm.
    pub fn figure(&self) -> Reading<u16> {
        self.figure
    }

    /// The value that so many of the others are not above. Sorting takes 1.8 KB of flash.
    fn median(&self) -> u16 {
        let half = self.window.len() / 2;
        let reached = |mm: &u16| self.window.iter().filter(|other| *other <= mm).count() > half;
        let high = self.window.iter().copied().filter(|mm| reached(mm));
        high.min().unwrap_or(0)
    }
}
