//! Alerts that go from memory while the spool refuses to take them. They have numbers of their
//! own, beyond all of the spool's, and are never settled there; the same record comes from the
//! spool later.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{super::lane::Token, Queue};
use crate::spool::{Class, Record, Seq};

/// The first number of what the spool does not have.
const FIRST: Seq = 1 << 63;
/// Receipts that are remembered until the record comes from the spool; beyond, a record is sent
/// again, and the receiver knows its id.
const KNOWN: usize = 4_096;

/// What went from memory.
#[derive(Debug, Default)]
pub(super) struct Live {
    count: u64,
    /// Event id -> its number, while there is no receipt.
    going: HashMap<Arc<str>, Seq>,
    /// Event ids that have their receipt.
    receipted: BTreeSet<Arc<str>>,
}

/// Whether the spool has nothing under this number.
pub(super) fn is_live(seq: Seq) -> bool {
    seq >= FIRST
}

impl Queue {
    /// Takes an alert that the spool refuses.
    pub fn live(&mut self, record: Record) {
        if record.lane.class != Class::Alert {
            return;
        }
        let seq = FIRST + self.live.count;
        self.live.count += 1;
        self.live.going.insert(record.id.as_str().into(), seq);
        self.admit(seq, record);
    }

    /// A record comes from the spool: whether it has its receipt already, and is now settled.
    /// One that is still on its way from memory goes on from the spool.
    pub(super) fn went_from_memory(&mut self, seq: Seq, record: &Record) -> bool {
        if let Some(number) = self.live.going.remove(record.id.as_str()) {
            self.remove(Class::Alert, number);
        }
        let known = self.live.receipted.remove(record.id.as_str());
        if known {
            self.settled.push(seq);
        }
        known
    }

    /// The receiver has what went from memory, or will never take it.
    pub(super) fn live_done(&mut self, seq: Seq, id: &str, is_stored: bool) {
        self.live.going.retain(|_, number| *number != seq);
        if is_stored && self.live.receipted.len() < KNOWN {
            self.live.receipted.insert(id.into());
        }
    }

    /// The event id of something in memory.
    pub(super) fn id(&self, token: &Token) -> Option<String> {
        match token {
            Token::Entry(class, seq) => Some(self.lane(*class).items.get(seq)?.id.clone()),
            Token::Picture(_) => None,
        }
    }
}
