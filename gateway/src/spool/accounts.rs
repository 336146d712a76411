//! Per stream: accepted = receipted + dropped + held.

use std::collections::BTreeMap;

use super::{StreamAccount, UNKNOWN_STREAM};

/// The books, with what is staged but not yet durable kept apart.
#[derive(Debug, Default)]
pub struct Accounts {
    names: Vec<String>,
    /// With everything staged.
    staged: Vec<StreamAccount>,
    /// As of the last commit.
    durable: Vec<StreamAccount>,
}

impl Accounts {
    /// A record was staged.
    pub fn accept(&mut self, stream: &str, count: u32) {
        let account = self.staged(stream);
        account.accepted += u64::from(count);
        account.held += u64::from(count);
    }

    /// A held record was staged for dropping.
    pub fn drop_held(&mut self, stream: &str, count: u32) {
        let account = self.staged(stream);
        account.held = account.held.saturating_sub(count.into());
        account.dropped += u64::from(count);
    }

    /// A record was accepted only to be dropped.
    pub fn accept_and_drop(&mut self, stream: &str, count: u64) {
        let account = self.staged(stream);
        account.accepted += count;
        account.dropped += count;
    }

    /// A receipt came; nothing is lost if this is not durable yet.
    pub fn receipt(&mut self, stream: &str, count: u32) {
        let at = self.index(stream);
        for side in [&mut self.staged, &mut self.durable] {
            if let Some(account) = side.get_mut(at) {
                account.held = account.held.saturating_sub(count.into());
                account.receipted += u64::from(count);
            }
        }
    }

    /// What was staged is on disk.
    pub fn commit(&mut self) {
        self.durable.clone_from(&self.staged);
    }

    /// The durable books.
    pub fn durable(&self) -> BTreeMap<String, StreamAccount> {
        self.names
            .iter()
            .cloned()
            .zip(self.durable.iter().copied())
            .collect()
    }

    /// Goes on from the books of before a reopening; `self` holds what was found on disk.
    ///
    /// What is missing was dropped (a gap record says so); what came back (a receipt that did
    /// not reach the disk, an append whose sync failed) is accepted.
    pub fn resume(&mut self, before: &BTreeMap<String, StreamAccount>) {
        for (stream, before) in before {
            let account = self.staged(stream);
            account.receipted = before.receipted;
            account.dropped += before.dropped + before.held.saturating_sub(account.held);
            account.accepted = account.receipted + account.dropped + account.held;
        }
        // The missing ones are under their own names now.
        if self.names.iter().any(|name| name == UNKNOWN_STREAM) && !before.is_empty() {
            let missing_before = before.get(UNKNOWN_STREAM).map_or(0, |a| a.dropped);
            let account = self.staged(UNKNOWN_STREAM);
            account.dropped = missing_before;
            account.accepted = account.receipted + account.dropped + account.held;
        }
        self.commit();
    }

    fn staged(&mut self, stream: &str) -> &mut StreamAccount {
        let at = self.index(stream);
        &mut self.staged[at]
    }

    fn index(&mut self, stream: &str) -> usize {
        // A station has a handful of streams.
        match self.names.iter().position(|name| name == stream) {
            Some(at) => at,
            None => {
                self.names.push(stream.to_owned());
                self.staged.push(StreamAccount::default());
                self.durable.push(StreamAccount::default());
                self.names.len() - 1
            }
        }
    }
}
