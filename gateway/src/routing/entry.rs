//! What the router keeps on disk: one entry an alert, and one for each day's figures of a kind.
//!
//! Keys: `route/` alert id, `digest/` day `/` kind, and `digested`. Values: JSON.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wangge_protocol::{Counts, EventKind, EvidenceRef, Severity, Tier};

use super::StateChange;

const ROUTE: &str = "route/";
const DIGEST: &str = "digest/";
const DIGESTED: &str = "digested";
const VERSION: u32 = 1;

/// Where one alert is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) version: u32,
    pub(super) kind: EventKind,
    pub(super) severity: Severity,
    /// The highest tier that has it.
    pub(super) tier: Tier,
    /// Every tier that has it.
    pub(super) reach: Vec<Tier>,
    /// Since when `tier` has it.
    pub(super) since: Timestamp,
    pub(super) deadline: Option<Timestamp>,
    /// Somebody took it on, or said that it is none.
    pub(super) answered: bool,
    /// Somebody is done with it; if it begins again, they have to look again.
    pub(super) settled: bool,
    /// The deadline passed, and there was no higher tier to go to.
    pub(super) late: bool,
    /// When its condition ended.
    pub(super) over: Option<Timestamp>,
    /// Pictures that go along when it goes to another tier.
    pub(super) evidence: Vec<EvidenceRef>,
}

impl Entry {
    pub(super) const VERSION: u32 = VERSION;

    /// Whether `tier` still has to do something about it.
    pub(super) fn waits(&self) -> bool {
        !self.answered && !self.late && self.over.is_none()
    }
}

/// What was read of one key.
#[derive(Debug)]
pub(super) enum Stored {
    Route(String, Entry),
    Day(Date, EventKind, BTreeMap<Tier, Counts>),
    Digested(Date),
}

/// A key with its value; an entry that is gone has none.
pub(super) fn route(alert_id: &str, entry: Option<&Entry>) -> StateChange {
    ([ROUTE, alert_id].concat().into_bytes(), entry.map(json))
}

pub(super) fn day(
    date: Date,
    kind: EventKind,
    counts: Option<&BTreeMap<Tier, Counts>>,
) -> StateChange {
    (
        format!("{DIGEST}{date}/{kind}").into_bytes(),
        counts.map(json),
    )
}

pub(super) fn digested(date: Date) -> StateChange {
    (DIGESTED.into(), Some(json(&date)))
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Strings, numbers, and maps whose keys are strings: this cannot fail, and an empty value
    // would be reported as unreadable, not trusted.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads an entry; `None` if the key is not the router's.
pub(super) fn decode(key: &[u8], value: &[u8]) -> Option<Result<Stored, String>> {
    let key = std::str::from_utf8(key).ok()?;
    if let Some(alert_id) = key.strip_prefix(ROUTE) {
        let entry: Result<Entry, _> = read(value);
        return Some(match entry {
            Ok(entry) if entry.version == VERSION => Ok(Stored::Route(alert_id.into(), entry)),
            Ok(entry) => Err(format!(
                "{key} has version {}, this program reads {VERSION}",
                entry.version
            )),
            Err(fault) => Err(format!("{key} cannot be read: {fault}")),
        });
    }
    if let Some(name) = key.strip_prefix(DIGEST) {
        let parts = name.split_once('/');
        let parsed = parts.and_then(|(date, kind)| Some((date.parse().ok()?, kind.parse().ok()?)));
        return Some(match (parsed, read(value)) {
            (Some((date, kind)), Ok(counts)) => Ok(Stored::Day(date, kind, counts)),
            (None, _) => Err(format!("{key} names no day and kind")),
            (_, Err(fault)) => Err(format!("{key} cannot be read: {fault}")),
        });
    }
    (key == DIGESTED).then(|| match read(value) {
        Ok(date) => Ok(Stored::Digested(date)),
        Err(fault) => Err(format!("{key} cannot be read: {fault}")),
    })
}

fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|e| e.to_string())
}
