//! The rule engine: observations in, changes out. Pure; takes `now`.

use std::sync::Arc;

use jiff::Timestamp;
use wangge_protocol::{AlertMeasurement, AlertSighting, EventKind, EvidenceRef, Severity};

/// What a rule found about one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Device or camera id.
    pub subject: Arc<str>,
    /// Rule id; (subject, rule) names at most one open alert.
    pub rule: String,
    pub kind: EventKind,
    pub severity: Severity,
    pub what: Transition,
    /// When the condition began, changed or ended.
    pub at: Timestamp,
    pub measurement: Option<AlertMeasurement>,
    pub sighting: Option<AlertSighting>,
    pub evidence: Vec<EvidenceRef>,
    /// For health: the source's own sentence.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The condition holds from now on.
    Began,
    /// It still holds, with newer figures.
    Continues,
    /// It ended.
    Ended,
}
