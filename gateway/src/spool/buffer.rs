//! How long the storage would last if nothing could be delivered from now on.

use std::{collections::VecDeque, time::Duration};

/// The rate is measured over this time.
const WINDOW: Duration = Duration::from_secs(3_600);
/// One sample in this time is kept.
const STEP: Duration = Duration::from_secs(60);
/// Below this, a rate is a guess.
const LEAST: Duration = Duration::from_secs(120);

/// Measures how fast records and pictures come in, from samples of the bytes taken since the
/// start. Pure: it is told the time.
#[derive(Clone, Debug, Default)]
pub struct BufferGauge {
    /// Time since start, bytes.
    samples: VecDeque<(Duration, u64)>,
}

impl BufferGauge {
    /// Takes a sample: bytes taken so far at `now`, a time since the start. More than one a minute
    /// are not kept.
    pub fn sample(&mut self, now: Duration, taken: u64) {
        if let Some((last, _)) = self.samples.back()
            && now.saturating_sub(*last) < STEP
        {
            return;
        }
        self.samples.push_back((now, taken));
        while let Some((first, _)) = self.samples.front()
            && now.saturating_sub(*first) > WINDOW
        {
            self.samples.pop_front();
        }
    }

    /// Hours until `free` bytes are full at the rate of the last hour; `None` while nothing comes
    /// in, or before there is enough to say so.
    pub fn hours_left(&self, now: Duration, taken: u64, free: u64) -> Option<f64> {
        let (first_at, first) = *self.samples.front()?;
        let time = now.saturating_sub(first_at);
        if time < LEAST {
            return None;
        }
        let came = taken.checked_sub(first).filter(|came| *came > 0)? as f64;
        Some(free as f64 / came * time.as_secs_f64() / 3_600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_megabyte_a_minute_comes_in() {
        let mut gauge = BufferGauge::default();
        for i in 0..600u32 {
            gauge.sample(MINUTE * i, u64::from(i) * 1_000_000);
        }
        let left = gauge.hours_left(MINUTE * 600, 600_000_000, 600_000_000);
        assert!((left.expect("an estimate") - 10.0).abs() < 0.01, "{left:?}");
        assert!(gauge.samples.len() <= 62, "an hour of minutes");
        assert_eq!(gauge.hours_left(MINUTE * 600, 600_000_000, 0), Some(0.0));
    }

    #[test]
    fn says_nothing_too_early_or_while_nothing_comes() {
        let mut gauge = BufferGauge::default();
        assert_eq!(gauge.hours_left(MINUTE, 5, 10), None);
        gauge.sample(Duration::ZERO, 1_000);
        assert_eq!(gauge.hours_left(MINUTE, 2_000, 10_000), None);
        assert_eq!(gauge.hours_left(MINUTE * 5, 1_000, 10_000), None);
        assert!(gauge.hours_left(MINUTE * 5, 1_001, 10_000).is_some());
    }
}
