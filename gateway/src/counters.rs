//! Plain counters that stages raise and the console reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One source's work: `received = accepted + refused` for messages, polls and frames alike.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Messages, replies or frames that came in.
    pub received: Counter,
    /// Passed on as arrivals.
    pub accepted: Counter,
    /// Not believed: garbage, unknown, flood, implausible.
    pub refused: Counter,
    /// Connections lost or refused, time-outs.
    pub faults: Counter,
}

/// One uplink's work.
#[derive(Debug, Default)]
pub struct UplinkCounters {
    /// Connections that became ready to send.
    pub connected: Counter,
    /// Messages and pictures handed to the transport, repeats included.
    pub sent: Counter,
    /// Of these, repeats.
    pub resent: Counter,
    /// Receipts that settled something.
    pub receipted: Counter,
    /// Receipts for nothing we hold, or with a wrong hash.
    pub strange_receipts: Counter,
    /// Messages that the receiver will never take.
    pub poisoned: Counter,
    /// Connections lost or refused, time-outs, error answers.
    pub faults: Counter,
}
