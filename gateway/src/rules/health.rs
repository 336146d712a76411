//! The state of a device as its own source reports it.

use wangge_protocol::{EventKind, Text};

use super::Change;
use crate::observation::Health;

/// Open from a fault until the source says that all is well.
#[derive(Debug, Default)]
pub(super) struct HealthLatch {
    open: Option<Fault>,
}

#[derive(Debug, Default)]
struct Fault {
    /// `None` after a restart, until the source reports.
    known: Option<(EventKind, Text)>,
}

/// What a word about health changes.
#[derive(Debug, PartialEq)]
pub(super) enum HealthChange {
    Began,
    /// The same fault, in other words.
    Reworded,
    /// Another fault; the old kind ends.
    Replaced(EventKind),
    /// All is well; the kind that was open, if this run knows it.
    Ended(Option<EventKind>),
}

impl HealthLatch {
    /// Open from an earlier run.
    pub(super) fn latch(&mut self) {
        self.open = Some(Fault::default());
    }

    /// The subject delivered something that can be believed. That ends a fault of an earlier
    /// run which its source has not spoken of since: a source reports changes, and for one
    /// that works from its start there is none.
    pub(super) fn delivered(&mut self) -> Option<Change> {
        self.open
            .take_if(|fault| fault.known.is_none())
            .map(|_| Change::Ended)
    }

    /// The kind of the open fault.
    pub(super) fn kind(&self) -> Option<EventKind> {
        self.open.as_ref()?.known.as_ref().map(|(kind, _)| *kind)
    }

    pub(super) fn look(&mut self, health: &Health) -> Option<HealthChange> {
        let Health::Fault { what, reason } = health else {
            let fault = self.open.take()?;
            return Some(HealthChange::Ended(fault.known.map(|(kind, _)| kind)));
        };
        let change = match &self.open {
            None => Some(HealthChange::Began),
            // The first word after a restart about what was open before: nothing new.
            Some(Fault { known: None }) => None,
            Some(Fault {
                known: Some((kind, _)),
            }) if kind != what => Some(HealthChange::Replaced(*kind)),
            Some(Fault {
                known: Some((_, old)),
            }) if old == reason => return None,
            Some(_) => Some(HealthChange::Reworded),
        };
        self.open = Some(Fault {
            known: Some((*what, reason.clone())),
        });
        change
    }
}
