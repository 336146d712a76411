//! Temperature, and how fast it rises.

use heapless::Deque;
use wangge_protocol::node::Quality;

use super::Reading;

/// Over so long the rise is measured, ms: short enough for a fire, long enough that sunlight on
/// a lid is none.
const WINDOW: u64 = 120_000;
/// Samples of the window, one every tenth of it.
const SAMPLES: usize = 12;
/// A rise over less than this says nothing, ms.
const SHORTEST: u64 = 30_000;
/// What the thermometers that are supported can measure, 0.1 °C.
const RANGE: core::ops::RangeInclusive<i16> = -400..=1_250;

/// Filters a thermometer's readings.
#[derive(Debug)]
pub struct Heat {
    figure: Reading<i16>,
    samples: Deque<(u64, i16), SAMPLES>,
}

impl Default for Heat {
    fn default() -> Self {
        Heat {
            figure: Err(Quality::Starting),
            samples: Deque::new(),
        }
    }
}

impl Heat {
    /// One reading at `now`, ms; 0.1 °C.
    pub fn push(&mut self, reading: Reading<i16>, now: u64) {
        self.figure = reading.and_then(|tenths| {
            if RANGE.contains(&tenths) {
                Ok(tenths)
            } else {
                Err(Quality::OutOfRange)
            }
        });
        let Ok(tenths) = self.figure else {
            self.samples.clear();
            return;
        };
        while self
            .samples
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW)
        {
            self.samples.pop_front();
        }
        let step = WINDOW / SAMPLES as u64;
        if self
            .samples
            .back()
            .is_none_or(|(at, _)| now.saturating_sub(*at) >= step)
        {
            if self.samples.is_full() {
                self.samples.pop_front();
            }
            // There is room now.
            let _ = self.samples.push_back((now, tenths));
        }
    }

    /// The temperature, 0.1 °C.
    pub fn figure(&self) -> Reading<i16> {
        self.figure
    }

    /// How it rises, 0.1 °C/min; not known before half a minute has been seen.
    pub fn rate(&self) -> Option<i16> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let span = last.0 - first.0;
        if span < SHORTEST {
            return None;
        }
        let rise = (i64::from(last.1) - i64::from(first.1)) * 60_000;
        let span = i64::try_from(span).unwrap_or(i64::MAX);
        Some((rise / span).clamp(-32_000, 32_000) as i16)
    }
}
