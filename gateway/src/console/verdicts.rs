//! What the platform decided, as the console shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wangge_protocol::{EventKind, VerdictStatus};

/// Verdicts, how right rules were by them, and what commands left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerdictsStatus {
    /// Verdicts that became the standing one since the start, by what was decided.
    pub by_status: BTreeMap<String, u64>,
    /// Answers to verdicts and commands since the start, by result.
    pub answers: BTreeMap<String, u64>,
    /// Not taken because too many answers wait for their receipts.
    pub deferred: u64,
    /// Latest standing verdicts, the newest first.
    pub recent: Vec<RecentVerdict>,
    /// Rules that were judged, most often judged first.
    pub precision: Vec<Precision>,
    /// Rules that are silent now.
    pub silences: Vec<SilenceStatus>,
    /// What came of the last time that the file was read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reloaded: Option<String>,
}

/// The verdict that stands on an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentVerdict {
    /// The alert's id.
    pub alert: String,
    /// Device or camera.
    pub subject: String,
    pub rule: String,
    pub kind: EventKind,
    pub status: VerdictStatus,
    /// When it was decided, RFC 3339.
    pub at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_no: Option<String>,
    /// SHA-256 of the platform's picture, which stays there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How often a rule was right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Device or camera.
    pub subject: String,
    /// Of a camera `zone:` and the zone.
    pub rule: String,
    /// Alerts accepted, filed, resolved or closed.
    pub right: u64,
    /// Alerts rejected.
    pub wrong: u64,
    /// Share that was right, 0 to 1.
    pub share: Option<f64>,
    /// Wilson's interval of that share, 95 of 100.
    pub interval: Option<(f64, f64)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceStatus {
    /// Device or camera.
    pub subject: String,
    pub rule: String,
    /// RFC 3339.
    pub until: String,
}
