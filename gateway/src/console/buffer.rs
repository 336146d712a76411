//! How long the storage would last.

use std::{collections::VecDeque, time::Duration};

/// The rate is measured over this time.
const WINDOW: Duration = Duration::from_secs(3_600);
/// One sample in this time is kept.
const STEP: Duration = Duration::from_secs(60);
/// Below this, a rate is a guess.
const LEAST: Duration = Duration::from_secs(120);

/// Measures how fast the storage fills, from samples of its size. Pure: it is told the time.
#[derive(Clone, Debug, Default)]
pub struct BufferGauge {
    /// Time since start, bytes.
    samples: VecDeque<(Duration, u64)>,
}

impl BufferGauge {
    /// Takes a sample: bytes on disk at `now` (`clock::Now::mono`). More than one a minute are
    /// not kept.
    pub fn sample(&mut self, now: Duration, bytes: u64) {
        if let Some((last, _)) = self.samples.back()
            && now.saturating_sub(*last) < STEP
        {
            return;
        }
        self.samples.push_back((now, bytes));
        while let Some((first, _)) = self.samples.front()
            && now.saturating_sub(*first) > WINDOW
        {
            self.samples.pop_front();
        }
    }

    /// Hours until `quota` bytes are full if it goes on as in the last hour; `None` while the
    /// storage does not grow, or before there is enough to say so.
    pub fn hours_left(&self, now: Duration, bytes: u64, quota: u64) -> Option<f64> {
        let (first_at, first) = *self.samples.front()?;
        let time = now.saturating_sub(first_at);
        if time < LEAST {
            return None;
        }
        let grown = bytes.checked_sub(first).filter(|grown| *grown > 0)? as f64;
        let free = quota.saturating_sub(bytes) as f64;
        Some(free / grown * time.as_secs_f64() / 3_600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn grows_by_a_megabyte_a_minute() {
        let mut gauge = BufferGauge::default();
        for i in 0..600u32 {
            gauge.sample(MINUTE * i, u64::from(i) * 1_000_000);
        }
        let left = gauge.hours_left(MINUTE * 600, 600_000_000, 1_200_000_000);
        assert!((left.expect("an estimate") - 10.0).abs() < 0.01, "{left:?}");
        assert!(gauge.samples.len() <= 62, "an hour of minutes");
    }

    #[test]
    fn says_nothing_too_early_or_while_it_shrinks() {
        let mut gauge = BufferGauge::default();
        assert_eq!(gauge.hours_left(MINUTE, 5, 10), None);
        gauge.sample(Duration::ZERO, 1_000);
        assert_eq!(gauge.hours_left(MINUTE, 2_000, 10_000), None);
        assert_eq!(gauge.hours_left(MINUTE * 5, 1_000, 10_000), None);
        assert_eq!(gauge.hours_left(MINUTE * 5, 500, 10_000), None);
    }

    #[test]
    fn a_full_storage_has_no_hours_left() {
        let mut gauge = BufferGauge::default();
        gauge.sample(Duration::ZERO, 1_000);
        assert_eq!(gauge.hours_left(MINUTE * 5, 20_000, 10_000), Some(0.0));
    }
}
