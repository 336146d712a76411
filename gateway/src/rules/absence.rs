//! A device from which nothing is heard.

use std::time::Duration;

use super::Change;

/// Nothing heard for `after`, on the monotonic clock; the start of the gateway counts as
/// having heard everyone, so nobody is missing before `after` has passed.
#[derive(Debug)]
pub(super) struct Absence {
    after: Duration,
    open: bool,
}

impl Absence {
    pub(super) fn new(after: Duration) -> Self {
        Absence { after, open: false }
    }

    /// Open from an earlier run.
    pub(super) fn latch(&mut self) {
        self.open = true;
    }

    /// The device was heard.
    pub(super) fn heard(&mut self) -> Option<Change> {
        std::mem::take(&mut self.open).then_some(Change::Ended)
    }

    /// Whether the device has just become missing, after `silent` without a word.
    pub(super) fn missing(&mut self, silent: Duration) -> bool {
        let missing = !self.open && silent >= self.after;
        self.open |= missing;
        missing
    }
}
