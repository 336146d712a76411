//! The rule engine: observations in, changes out. Pure; takes `now`.
//!
//! One file per kind of condition. Each is a small state machine over one subject's
//! observations that says only when something changes ([`Change`]); [`Engine`] finds the
//! conditions that an observation concerns and turns changes into [`Finding`]s.

mod absence;
mod engine;
mod flow;
mod health;
mod presence;
mod rate;
mod threshold;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use wangge_protocol::{AlertMeasurement, AlertSighting, EventKind, EvidenceRef, Severity, Text};

use crate::clock::Now;

pub use engine::{Engine, MAX_PARTS, PART_RULE};
pub use flow::{BURST_CLEAR, NIGHT_READINGS};
pub use rate::RATE_CLEAR;

/// What a rule found about one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Device or camera id, or the name of a part of the gateway.
    pub subject: Arc<str>,
    /// Rule id; (subject, rule) names at most one open alert.
    pub rule: String,
    /// The rule's kind; for health the fault's own.
    pub kind: EventKind,
    /// The rule's severity; the kind's own where the kind is not the rule's.
    pub severity: Severity,
    /// Began, continues or ended.
    pub what: Transition,
    /// When the condition began, changed or ended.
    pub at: Timestamp,
    /// The figure and the limit it crossed.
    pub measurement: Option<AlertMeasurement>,
    /// What the camera saw.
    pub sighting: Option<AlertSighting>,
    /// Pictures already safe on disk.
    pub evidence: Vec<EvidenceRef>,
    /// For health: the source's own sentence. For presence: what the zone's calendar says.
    pub reason: Option<Text>,
}

/// What a condition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The condition holds from now on.
    Began,
    /// It still holds, with newer figures.
    Continues,
    /// It ended.
    Ended,
}

/// A figure that moved by this share of the rule's limit since it was last reported is worth
/// an update.
pub const WORTH_TELLING: f64 = 0.05;

/// What a condition says after one look, when it has anything to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It holds, and has since then.
    Began { since: Timestamp },
    /// It holds, and its figure moved enough to be worth telling.
    Moved,
    /// It no longer holds.
    Ended,
}

/// One figure as a condition sees it.
#[derive(Clone, Copy, Debug)]
struct Reading {
    value: f64,
    /// When it was measured.
    at: Timestamp,
    /// When it came.
    now: Now,
}

/// When something began: for the record, and for waiting.
#[derive(Clone, Copy, Debug)]
struct Since {
    at: Timestamp,
    mono: Duration,
}

impl From<Reading> for Since {
    fn from(reading: Reading) -> Self {
        Since {
            at: reading.at,
            mono: reading.now.mono,
        }
    }
}

/// The figure that people were last told while a condition holds.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// `None` after a restart: the first reading then becomes the reference.
    value: Option<f64>,
    /// Least difference that is worth telling, in the figure's unit.
    step: f64,
}

impl Told {
    fn new(value: Option<f64>, limit: f64) -> Self {
        Told {
            value,
            step: limit.abs() * WORTH_TELLING,
        }
    }

    /// Whether `value` is worth telling; if so it is the new reference.
    fn moved(&mut self, value: f64) -> Option<Change> {
        let Some(told) = self.value else {
            self.value = Some(value);
            return None;
        };
        let distance = (value - told).abs();
        if distance > 0.0 && distance >= self.step {
            self.value = Some(value);
            return Some(Change::Moved);
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
