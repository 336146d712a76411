//! What the ledger keeps on disk: one entry per (subject, rule), the last message's data.
//!
//! Key: `alert/` subject NUL rule. Value: JSON. An entry stays after its alert is cleared, so
//! that a condition that begins again soon finds its alert even over a restart, and sequence
//! numbers of event codes are not used twice; entries are as many as rules that ever fired.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wangge_protocol::AlertData;

use super::Unreadable;
use crate::clock::Doubt;

const PREFIX: &[u8] = b"alert/";
const VERSION: u32 = 1;

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    /// When the alert was cleared; `None` while it is open.
    pub(super) closed_at: Option<Timestamp>,
    /// Why it is closed, if that was the platform's doing.
    #[serde(default)]
    pub(super) hush: Option<Hush>,
    /// The last number used in each series of event codes.
    pub(super) series: BTreeMap<String, u64>,
    /// By which clock its times were written, if that was not believed.
    #[serde(default)]
    pub(super) doubt: Option<Doubt>,
    /// The last message's, without pictures.
    pub(super) data: AlertData,
}

/// How the platform's verdict closed an alert. A program that does not know this sees a closed
/// alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hush {
    /// Rejected, and its condition holds.
    Quiet,
    /// Rejected, and its condition has ended.
    Ended,
    /// Resolved or closed, and its condition holds.
    Settled,
}

/// Key and value of an entry.
pub(super) fn encode(
    data: &AlertData,
    closed_at: Option<Timestamp>,
    hush: Option<Hush>,
    series: &BTreeMap<String, u64>,
    doubt: Option<&Doubt>,
) -> (Vec<u8>, Vec<u8>) {
    #[derive(Serialize)]
    struct Written<'a> {
        version: u32,
        closed_at: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hush: Option<Hush>,
        series: &'a BTreeMap<String, u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        doubt: Option<&'a Doubt>,
        data: &'a AlertData,
    }
    let value = serde_json::to_vec(&Written {
        version: VERSION,
        closed_at,
        hush,
        series,
        doubt,
        data,
    });
    // Strings, numbers and maps with string keys: this cannot fail, and an empty value would
    // be reported as unreadable, not trusted.
    (key(&data.device, &data.rule), value.unwrap_or_default())
}

pub(super) fn key(subject: &str, rule: &str) -> Vec<u8> {
    [PREFIX, subject.as_bytes(), b"\0", rule.as_bytes()].concat()
}

/// Reads an entry; `None` if the key is not the ledger's.
pub(super) fn decode(key_: &[u8], value: &[u8]) -> Option<Result<Entry, Unreadable>> {
    let name = key_.strip_prefix(PREFIX)?;
    let unreadable = |reason: String| Unreadable {
        key: String::from_utf8_lossy(name).replace('\0', " / "),
        reason,
    };
    // The version first: another version's shape is not this one's fault.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    Some(match serde_json::from_slice::<Version>(value) {
        Ok(Version { version }) if version != VERSION => Err(unreadable(format!(
            "it has version {version}, this program reads {VERSION}"
        ))),
        Ok(_) => match serde_json::from_slice::<Entry>(value) {
            Ok(entry) if key(&entry.data.device, &entry.data.rule) == key_ => Ok(entry),
            Ok(_) => Err(unreadable("it is about another device or rule".into())),
            Err(e) => Err(unreadable(e.to_string())),
        },
        Err(e) => Err(unreadable(e.to_string())),
    })
}
