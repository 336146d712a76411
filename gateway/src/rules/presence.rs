//! Something that stays in a camera's zone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::Change;
use crate::observation::Sighting;

/// Anything of `labels` (anything at all if there are none) in `zone` for `dwell`; cleared when
/// the zone has been watched and found empty for `grace`. Both in media time, as the camera
/// counts it: missing pictures neither raise nor clear anything.
#[derive(Debug)]
pub(super) struct Presence {
    zone: Arc<str>,
    labels: Vec<String>,
    dwell: Duration,
    grace: Duration,
    /// Bins of which a full one explains what lies here.
    bins: Vec<Arc<str>>,
    /// The one that did when the present alert began.
    full_bin: Option<Arc<str>>,
    state: State,
}

#[derive(Debug)]
enum State {
    Clear,
    /// Open, with the dwell that people were last told.
    Open {
        told: Duration,
    },
}

impl Presence {
    pub(super) fn new(
        zone: Arc<str>,
        labels: Vec<String>,
        dwell: Duration,
        grace: Duration,
        bins: Vec<Arc<str>>,
    ) -> Self {
        Presence {
            zone,
            labels,
            dwell,
            grace,
            bins,
            full_bin: None,
            state: State::Clear,
        }
    }

    /// Open from an earlier run.
    pub(super) fn latch(&mut self) {
        self.state = State::Open { told: self.dwell };
    }

    /// The full bin that explains what lies here: of those in `full` when it began, and the same
    /// until it ends.
    pub(super) fn full_bin(
        &mut self,
        change: Change,
        full: &HashSet<Arc<str>>,
    ) -> Option<Arc<str>> {
        if matches!(change, Change::Began { .. }) {
            self.full_bin = self.bins.iter().find(|bin| full.contains(*bin)).cloned();
        }
        self.full_bin.clone()
    }

    /// Looks at what was seen at `at`. New pictures, or twice the dwell that was last told,
    /// are worth an update.
    pub(super) fn look(&mut self, seen: &Sighting, at: jiff::Timestamp) -> Option<Change> {
        if seen.zone != self.zone {
            return None;
        }
        if !seen.present {
            let over = matches!(self.state, State::Open { .. }) && seen.dwell >= self.grace;
            if over {
                self.state = State::Clear;
            }
            return over.then_some(Change::Ended);
        }
        if !self.labels.is_empty() && !self.labels.contains(&seen.label) {
            return None;
        }
        match &mut self.state {
            State::Clear if seen.dwell >= self.dwell => {
                self.state = State::Open { told: seen.dwell };
                Some(Change::Began {
                    since: at.checked_sub(seen.dwell).unwrap_or(at),
                })
            }
            State::Open { told } if !seen.evidence.is_empty() || seen.dwell >= *told * 2 => {
                *told = seen.dwell.max(*told);
                Some(Change::Moved)
            }
            _ => None,
        }
    }
}
