//! What is in memory of one spool lane, and the course of each thing that is being delivered.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use wangge_protocol::TYPE_RAISED;

use crate::spool::{Class, Record, Seq};

/// Names a thing to deliver: a spool entry, or a picture by its SHA-256 in hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    Entry(Class, Seq),
    Picture(Arc<str>),
}

/// Where a thing stands; times are `Now::mono`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// May be sent.
    Ready,
    /// Not before `until`; a rest for `silence` ends as soon as the other side is heard again.
    Resting { until: Duration, silence: bool },
    /// The transport has it.
    Handed { at: Duration },
    /// It left at `since`, and the receipt should be here by `due`.
    Awaiting { since: Duration, due: Duration },
    /// A picture that needs no more sending: delivered, or given up.
    Done { delivered: bool },
}

/// The course of one thing.
#[derive(Clone, Debug)]
pub struct Course {
    pub state: State,
    /// Sent at least once.
    pub sent: bool,
    /// Silences and refusals so far; they lengthen the back-off.
    pub failures: u32,
    /// Times that the receiver said it will never take it.
    pub strikes: u32,
}

impl Course {
    pub fn new() -> Self {
        Course {
            state: State::Ready,
            sent: false,
            failures: 0,
            strikes: 0,
        }
    }

    /// On its way or waiting for its receipt.
    pub fn flying(&self) -> bool {
        matches!(self.state, State::Handed { .. } | State::Awaiting { .. })
    }
}

/// A spool entry in memory.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: String,
    pub stream: String,
    /// Shared with every repeat.
    pub body: Bytes,
    /// Of `body`, computed once; only where receipts are compared with it.
    pub sha256: Option<[u8; 32]>,
    /// SHA-256 of the pictures that go before it.
    pub pictures: Vec<Arc<str>>,
    /// The alert that it is about: its messages keep their order.
    pub subject: Option<String>,
    pub course: Course,
}

impl Item {
    pub fn new(record: Record, pictures: Vec<Arc<str>>, hashed: bool) -> Self {
        let subject = match record.lane.class {
            Class::Alert => envelope(&record.body).map(|e| e.subject),
            _ => None,
        };
        Item {
            subject,
            id: record.id,
            stream: record.stream,
            sha256: hashed.then(|| Sha256::digest(&record.body).into()),
            body: record.body.into(),
            pictures,
            course: Course::new(),
        }
    }
}

/// What the queue must know of a message that is opaque to it otherwise.
#[derive(Deserialize)]
struct Envelope {
    subject: String,
    #[serde(rename = "type")]
    event_type: String,
}

fn envelope(body: &[u8]) -> Option<Envelope> {
    serde_json::from_slice(body).ok()
}

/// Whether an alert begins with this message, so that none of its own can come after it.
pub fn begins_alert(record: &Record) -> bool {
    envelope(&record.body).is_some_and(|e| e.event_type == TYPE_RAISED)
}

/// The part of a spool lane that is in memory: everything between the oldest entry without a
/// receipt and `after`, and what of [`Lane::ahead`] has no receipt.
#[derive(Debug)]
pub struct Lane {
    pub items: BTreeMap<Seq, Item>,
    /// Items in [`State::Ready`], oldest first.
    pub ready: BTreeSet<Seq>,
    /// The last entry taken from the spool.
    pub after: Option<Seq>,
    /// The spool may hold entries beyond `after`.
    pub more: bool,
    /// Most items in memory.
    pub limit: usize,
    /// Entries beyond `after` that were taken out of turn, until `after` has passed them.
    pub ahead: BTreeSet<Seq>,
    /// The last look in turn found as many as it asked for.
    pub backlog: bool,
}

impl Lane {
    pub fn new(limit: usize) -> Self {
        Lane {
            items: BTreeMap::new(),
            ready: BTreeSet::new(),
            after: None,
            more: true,
            limit,
            ahead: BTreeSet::new(),
            backlog: false,
        }
    }

    /// How many to take from the spool now; refills by halves, so that a busy lane asks for
    /// many at a time.
    pub fn wants(&self) -> Option<usize> {
        (self.more && self.items.len() <= self.limit / 2).then(|| self.limit - self.items.len())
    }

    /// Items in memory that were taken out of turn.
    pub fn early(&self) -> impl DoubleEndedIterator<Item = &Seq> {
        let from = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        self.ready.range((from, Bound::Unbounded))
    }
}
