//! The durable outbox: nothing is sent before it is here, nothing leaves before its receipt.
//!
//! # What holds at all times
//! 1. `append` answers only when the whole batch survives a power cut (R1); records become
//!    readable to `peek` not before that.
//! 2. Sequence numbers rise by one per record over all lanes and are never given twice, so
//!    `last number = live records + removed records`. The engine keeps changes in order (a power
//!    cut leaves a prefix), and the counters are written after the records they count and before
//!    the removals they count. So a record with a higher number than the last one counted was
//!    never answered and goes, a batch is there whole or not at all, and fewer records than
//!    counted are a loss, which every opening looks for.
//! 3. A record leaves on `settle` (its receipt came) or into a gap record, which is spooled and
//!    delivered like any other (R8, R9). Per stream: accepted = receipted + dropped + held.
//! 4. No value is over 4 KiB (R3). Pictures are files, synced before the record that names them
//!    (R4, [`evidence`]).
//! 5. After any write or sync error nothing is acknowledged until the database was closed and
//!    opened again; a failed sync is never repeated on the same descriptor.
//!
//! # On disk, under `storage.path`
//! ```text
//! lock         flock of the one process that may write here, with its pid
//! outbox/      the engine: one sled tree
//!                00 'c'                        counters: last u64, removed u64 (big endian), and
//!                                              the state changes that come after them
//!                00 'u' ID                     name of the uplink that lanes call ID
//!                00 'v'                        layout version, 1
//!                00 'b'                        the station's age when it was made, seconds u64
//!                01 KEY                        small state (open alerts)
//!                02 ID CLASS SEQ(u64 BE)       record, framed with its own checksum (record.rs)
//! mark         high-water mark (R13): counters outside the engine, in two slots
//! ballast      space to give back when the disk is full (R5)
//! evidence/    pictures by SHA-256
//! sealed/      originals that only the holder of a key can open, by their picture's SHA-256
//! retention    what is known of each picture for its term
//! age          time that the station has counted
//! audit/       what was deleted, when and why
//! quarantine/  databases that could not be read
//! ```
//!
//! # Operation
//! One OS thread owns the engine. It takes all waiting commands, writes their appends as one
//! batch, syncs once, and answers all of them: the more load, the bigger the groups. Receipts
//! ride along with the next group, and go by themselves within [`SETTLE_DELAY`].
//!
//! # Rotation
//! Once a day, and when the database takes many times what it holds, the live records move into a
//! fresh one, which takes the place of the old by a rename that an opening can finish (R10,
//! `rotate.rs`). Nobody is answered meanwhile; numbers, counters and the mark go on.
//!
//! # Recovery
//! [`Spool::open`] copies the files, if they are few, because sled cuts off what it cannot read; it
//! then tries, each step guarded against errors and panics, and each including a read
//! of every record (R11): the database as it is; a copy without sled's snapshot; what can be read,
//! copied into a new one; an empty one. What is replaced goes to `quarantine/`. What the counters
//! or the mark say was there and is not is counted and becomes a gap record. A full or read-only
//! disk is not damage: nothing is replaced then, and the running daemon tries again until it
//! is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wangge_protocol::EvidenceRef;

mod accounts;
mod age;
mod buffer;
mod check;
mod command;
mod engine;
mod error;
pub mod evidence;
mod export;
mod gaps;
mod handle;
mod home;
mod lanes;
mod load;
mod mark;
mod quota;
mod read;
mod record;
mod redo;
mod retention;
mod rotate;
mod sealed;
mod sled_engine;
mod sled_pool;
mod store;
#[cfg(test)]
mod tests;
mod upkeep;
mod worker;

pub use check::{CheckReport, LaneReport, check};
pub use engine::{Cut, Engine, EngineError, MAX_KEY, MAX_VALUE, Visitor, WriteBatch};
pub use error::SpoolError;
pub use export::{ExportError, ExportReport, Origin, Progress, export};
pub use handle::{Spool, evidence_dir};
pub use home::{Rung, lock};
pub use load::Recovery;
pub use sealed::{SealedError, SealedStore};
pub use sled_engine::SledEngine;
pub use worker::SETTLE_DELAY;

/// Position of a record; rises by one for ever, over all lanes.
pub type Seq = u64;

/// What kind of record it is; the order is the order of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Class {
    /// Something that people must act on; never dropped for want of space.
    Alert = 0,
    /// What the station says of itself: what was dropped, and its answers to the platform.
    Gap = 1,
    /// Forwarded readings; thinned first when space runs out.
    Telemetry = 2,
}

impl Class {
    /// In the order of delivery.
    pub const ALL: [Class; 3] = [Class::Alert, Class::Gap, Class::Telemetry];

    /// The name in gap records and reports.
    pub fn name(self) -> &'static str {
        match self {
            Class::Alert => "alert",
            Class::Gap => "gap",
            Class::Telemetry => "telemetry",
        }
    }
}

/// One queue: an uplink (its index in the configuration is stored by name, see `Spool::open`)
/// and a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// Index of the uplink in the list given to [`Spool::open`].
    pub uplink: u8,
    /// What is in the queue.
    pub class: Class,
}

/// Something to deliver, encoded once; opaque from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The queue it joins.
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

/// Longest key of a [`Batch::state`] entry in bytes.
pub const MAX_STATE_KEY: usize = MAX_KEY - 1;

/// Stream under which gap records are accounted.
pub const GAP_STREAM: &str = "gaps";

/// Stream for records whose own stream cannot be known any more: lost or unreadable.
pub const UNKNOWN_STREAM: &str = "unknown";

/// Role of a picture in a record that goes nowhere with it, and is kept as long as its others.
pub const KEPT: &str = "kept";

/// A record that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub seq: Seq,
    /// What was appended, bit for bit.
    pub record: Record,
}

/// State as it is on disk: key and value.
pub type StateEntries = Vec<(Vec<u8>, Vec<u8>)>;

/// What becomes durable together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// New records.
    pub records: Vec<Record>,
    /// Small facts that must survive a restart (open alerts): key -> value, `None` removes.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Where every record went, per stream: `accepted = receipted + dropped + held`.
///
/// A record that goes to two uplinks counts twice. The figures start when the process starts;
/// what was held then counts as accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamAccount {
    /// Appended, and held when the process started.
    #[serde(rename = "in")]
    pub accepted: u64,
    /// Settled by a receipt.
    #[serde(rename = "out")]
    pub receipted: u64,
    /// On disk.
    pub held: u64,
    /// Accounted for by a gap record.
    pub dropped: u64,
}

impl StreamAccount {
    /// Whether every record taken is out, dropped or held.
    pub fn is_balanced(&self) -> bool {
        self.accepted == self.receipted + self.dropped + self.held
    }
}

/// What one class takes of the quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassUse {
    /// How many records or pictures are held.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes that the class may take.
    pub limit: u64,
}

/// What the spool says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The accounts.
    pub streams: BTreeMap<String, StreamAccount>,
    /// Bytes on disk: database and evidence.
    pub bytes: u64,
    /// Bytes of records and evidence that count against the quota; the database needs up to a
    /// few times the bytes of its records, and gives them back late.
    pub used: u64,
    /// The quota of everything together.
    pub quota: u64,
    /// Of `used`: above it only alerts are taken.
    pub watermark: u64,
    /// Per class of records, and `picture`.
    pub classes: BTreeMap<String, ClassUse>,
    /// Hours until the watermark is reached if nothing is delivered from now on and it comes in
    /// as in the last hour; `None` while nothing comes in.
    pub hours_left: Option<f64>,
    /// Group commits so far.
    pub syncs: u64,
    /// Databases replaced by a fresh one since the start (R10).
    pub rotations: u64,
    /// Why it accepts nothing, if it does not.
    pub refusing: Option<String>,
}
