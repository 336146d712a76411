//! The durable outbox: nothing is sent before it is here, nothing leaves before its receipt.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wangge_protocol::EvidenceRef;

/// Position of a record; rises by one for ever, over all lanes.
pub type Seq = u64;

/// What kind of record it is; the order is the order of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Class {
    Alert = 0,
    Gap = 1,
    Telemetry = 2,
}

/// One queue: an uplink (its index in the configuration is stored by name, see `Spool::open`)
/// and a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    pub uplink: u8,
    pub class: Class,
}

/// Something to deliver, encoded once; opaque from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub lane: Lane,
    /// `alerts` or the telemetry stream's name, for the accounts.
    pub stream: String,
    /// CloudEvent id, which the receipt echoes.
    pub id: String,
    /// How many readings (1 for an alert) this record stands for in the accounts.
    pub count: u32,
    /// Pictures that must be delivered first; already in the evidence store.
    pub evidence: Vec<EvidenceRef>,
    /// The message, at most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// R3: sled keeps values up to 4 KiB safely; this leaves room for the frame around the body.
pub const MAX_BODY: usize = 3_584;

/// A record that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: Seq,
    pub record: Record,
}

/// What becomes durable together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub records: Vec<Record>,
    /// Small facts that must survive a restart (open alerts): key -> value, `None` removes.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Where every record went, per stream: `accepted = receipted + dropped + held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamAccount {
    #[serde(rename = "in")]
    pub accepted: u64,
    #[serde(rename = "out")]
    pub receipted: u64,
    pub held: u64,
    pub dropped: u64,
}

/// What the spool says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub streams: BTreeMap<String, StreamAccount>,
    /// Bytes on disk: database and evidence.
    pub bytes: u64,
    pub quota: u64,
    /// Group commits so far.
    pub syncs: u64,
    /// Why it accepts nothing, if it does not.
    pub refusing: Option<String>,
}

// temporary: stand-in until the spool is merged.
#[derive(Debug)]
pub struct CheckReport;
impl CheckReport {
    pub fn is_sound(&self) -> bool {
        true
    }
}
impl std::fmt::Display for CheckReport {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
pub fn check(_: &std::path::Path) -> Result<CheckReport, std::io::Error> {
    Err(std::io::Error::other("not merged yet"))
}
