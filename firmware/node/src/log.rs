//! The last things that happened, readable over registers.

use heapless::Deque;
use wangge_protocol::node::{LOG_ENTRIES, LOG_WORDS, words};

/// One thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Uptime, s.
    pub at: u32,
    /// [`wangge_protocol::node::log`].
    pub code: u16,
    /// What the code says it is.
    pub argument: u16,
}

/// The newest [`LOG_ENTRIES`] of them.
#[derive(Debug, Default)]
pub struct Log {
    entries: Deque<Entry, LOG_ENTRIES>,
    /// Number of the newest, modulo 65,536; 0 is none.
    newest: u16,
}

impl Log {
    /// Writes one down.
    pub fn push(&mut self, entry: Entry) {
        if self.entries.is_full() {
            self.entries.pop_back();
        }
        // There is room now.
        let _ = self.entries.push_front(entry);
        self.newest = self.newest.checked_add(1).unwrap_or(1);
    }

    /// Register `offset` of the log's block: number of the newest, then the entries.
    pub fn register(&self, offset: u16) -> Option<u16> {
        let Some(offset) = usize::from(offset).checked_sub(1) else {
            return Some(self.newest);
        };
        let (index, word) = (offset / LOG_WORDS, offset % LOG_WORDS);
        if index >= LOG_ENTRIES {
            return None;
        }
        let Some(entry) = self.entries.iter().nth(index) else {
            return Some(0);
        };
        let [high, low] = words(entry.at);
        [high, low, entry.code, entry.argument].get(word).copied()
    }
}
