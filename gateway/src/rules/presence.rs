//! Something that stays in a camera's zone.

use std::{sync::Arc, time::Duration};

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
    ) -> Self {
        Presence {
            zone,
            labels,
            dwell,
            grace,
            state: State::Clear,
        }
    }

    /// Open from an earlier run.
    pub(super) fn latch(&mut self) {
        self.state = State::Open { told: self.dwell };
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
