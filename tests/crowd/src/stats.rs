//! What all stations together saw.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Counters since the last [`Stats::take`].
#[derive(Debug, Default)]
pub struct Counts {
    /// Raise of a live alert to its receipt.
    pub live: Vec<Duration>,
    /// Alerts of the backlog that have their receipt.
    pub backlog: u64,
    /// When the last of them came.
    pub backlog_at: Option<Instant>,
    /// TCP to SUBACK.
    pub connects: Vec<Duration>,
    /// When the last of them stood.
    pub connected_at: Option<Instant>,
    /// Attempts that failed, and connections that ended by themselves.
    pub lost: u64,
    /// The last reason.
    pub reason: Option<String>,
    /// Sent again for want of a receipt.
    pub repeats: u64,
    /// Receipts that said no.
    pub refused: u64,
    /// PUBACKs.
    pub acked: u64,
}

/// Shared by all stations.
#[derive(Debug, Default)]
pub struct Stats(Mutex<Counts>);

impl Stats {
    /// Changes them.
    pub fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(
            &mut self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// What there is, and starts over.
    pub fn take(&self) -> Counts {
        self.with(std::mem::take)
    }
}

/// Count and percentiles, milliseconds.
pub fn percentiles(times: &mut [Duration]) -> Value {
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
        times
            .get(index)
            .map(|t| (t.as_secs_f64() * 10_000.0).round() / 10.0)
    };
    json!({ "count": times.len(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sample() {
        let mut times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        let told = percentiles(&mut times);
        assert_eq!(
            told,
            json!({ "count": 200, "p50": 100.0, "p95": 190.0, "p99": 198.0, "max": 200.0 })
        );
        assert_eq!(percentiles(&mut [])["p50"], Value::Null);
    }
}
