//! Plain counters that stages raise and the console reads.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use wangge_protocol::Text;

use crate::config::line::Budget;

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

/// Whether a connection stands, and what last went wrong with it.
#[derive(Debug, Default)]
pub struct LinkState(Mutex<(bool, Option<String>)>);

impl LinkState {
    /// It stands.
    pub fn up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
    }

    /// It does not, and why, in a sentence for people.
    pub fn down(&self, reason: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (false, Some(reason.to_owned()));
    }

    /// Whether it stands, and the last reason why it did not.
    pub fn get(&self) -> (bool, Option<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Sentences of a child that are remembered.
pub const MAX_WEAKNESSES: usize = 16;

/// The vision child as its parent sees it.
#[derive(Debug, Default)]
pub struct ChildState(Mutex<Child>);

/// See [`ChildState`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// `None` while it is down.
    pub pid: Option<u32>,
    /// How often it had to be started again.
    pub restarts: u64,
    /// Bytes resident, if known.
    pub resident: Option<u64>,
    /// Why it last ended.
    pub last_error: Option<Text>,
    /// What it has to do without, one sentence each.
    pub weaknesses: Vec<String>,
}

impl ChildState {
    /// It runs.
    pub fn running(&self, pid: Option<u32>, resident: Option<u64>) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (child.pid, child.resident) = (pid, resident);
    }

    /// A new one starts, and will say what it has to do without.
    pub fn begins(&self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        child.weaknesses.clear();
    }

    /// It has to do without something; more than [`MAX_WEAKNESSES`] are not remembered.
    pub fn weakened(&self, weaknesses: Vec<String>) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for weakness in weaknesses {
            if child.weaknesses.len() < MAX_WEAKNESSES && !child.weaknesses.contains(&weakness) {
                child.weaknesses.push(weakness);
            }
        }
    }

    /// It ended, and why; another one follows.
    pub fn ended(&self, reason: Text) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (child.pid, child.resident) = (None, None);
        child.restarts += 1;
        child.last_error = Some(reason);
    }

    /// What is known now.
    pub fn get(&self) -> Child {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// One source's work: `received = accepted + refused + repeated` for messages, polls and frames
/// alike.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Messages, replies or frames that came in.
    pub received: Counter,
    /// Passed on as arrivals.
    pub accepted: Counter,
    /// Not believed: garbage, unknown, flood, implausible.
    pub refused: Counter,
    /// MQTT deliveries of what is already on disk: acknowledged again and not passed on.
    pub repeated: Counter,
    /// Of the refused MQTT messages: on a topic that no device has.
    pub unknown: Counter,
    /// Of the refused MQTT messages: not understood.
    pub garbage: Counter,
    /// Of the refused MQTT messages: under another device's id or on its topic.
    pub foreign: Counter,
    /// Of the refused MQTT messages: taken before, or older than what was taken.
    pub replayed: Counter,
    /// Of the refused MQTT messages: more than the device may send.
    pub flooded: Counter,
    /// Of the refused MQTT messages: retained by the broker and of no known age.
    pub stale: Counter,
    /// Connections lost or refused, time-outs.
    pub faults: Counter,
    /// Modbus: polls of an answering unit that did not happen within their period.
    pub missed: Counter,
}

/// What a line bears, and what of it is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineState {
    /// Whether its window is open, if it has some.
    pub open: Option<bool>,
    /// What was agreed, and bytes of it that are spent.
    pub budget: Option<(Budget, u64)>,
}

/// Shared [`LineState`].
#[derive(Debug, Default)]
pub struct LineGauge(Mutex<LineState>);

impl LineGauge {
    /// It is so now.
    pub fn set(&self, state: LineState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// How it was last.
    pub fn get(&self) -> LineState {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One uplink's work.
#[derive(Debug, Default)]
pub struct UplinkCounters {
    /// Its connection.
    pub link: LinkState,
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
    /// Verdicts and commands that came.
    pub came: Counter,
    /// Messages and entries from the platform that cannot even be answered.
    pub garbled: Counter,
    /// Verdicts and commands that were not taken, because too many came; they come again.
    pub deferred: Counter,
    /// Connections lost or refused, time-outs, error answers.
    pub faults: Counter,
    /// Bytes over the line in both directions, as far as they can be known.
    pub carried: Counter,
    /// Its windows and budget.
    pub line: LineGauge,
}
