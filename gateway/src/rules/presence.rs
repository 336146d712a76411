//! Something that stays in a camera's zone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use wangge_protocol::Text;

use super::Change;
use crate::{
    calendar::{Calendar, Ended, Gate, Permit},
    config::Among,
    observation::Sighting,
};

/// Anything of `labels` (anything at all if there are none) in `zone` for `dwell`; cleared when
/// the zone has been watched and found empty for `grace`. Both in media time, as the camera
/// counts it: missing pictures neither raise nor clear anything.
///
/// Only forbidden time counts, by the camera's time and this side's own calendar: whatever the
/// child says of other times is passed over. When use is permitted, what is open is cleared.
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
    among: Among,
    gate: Gate,
    /// The camera's time minus ours: footage may be replayed.
    ahead: SignedDuration,
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

/// What a look at a sighting came to.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) change: Change,
    /// Of what was seen, the time that counts.
    pub(super) dwell: Duration,
    /// What permitted it before, if anything did.
    pub(super) ended: Option<Ended>,
    /// What the calendar says of it.
    pub(super) note: Option<Text>,
}

impl Presence {
    pub(super) fn new(
        zone: Arc<str>,
        labels: Vec<String>,
        (dwell, grace): (Duration, Duration),
        among: Among,
        calendar: Arc<Calendar>,
        bins: Vec<Arc<str>>,
    ) -> Self {
        Presence {
            zone,
            labels,
            dwell,
            grace,
            bins,
            full_bin: None,
            among,
            gate: Gate::new(calendar),
            ahead: SignedDuration::ZERO,
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

    pub(super) fn set_permits(&mut self, permits: &[Permit]) {
        self.gate.set_permits(permits);
    }

    pub(super) fn calendar(&self) -> &Calendar {
        self.gate.calendar()
    }

    /// Looks at the clock: an alert ends when its use is permitted, pictures or not.
    pub(super) fn tick(&mut self, wall: Timestamp) -> Option<(Timestamp, Text)> {
        if !matches!(self.state, State::Open { .. }) {
            return None;
        }
        let at = wall.checked_add(self.ahead).unwrap_or(wall);
        let (now, _) = self.gate.look(at);
        let why = self.calendar().permitted(now, at)?;
        self.state = State::Clear;
        Some((at, why))
    }

    /// Looks at what was seen while the time of day is not known: an empty zone is empty at any
    /// hour, and no more can be said.
    pub(super) fn look_without_clock(&mut self, seen: &Sighting) -> Option<Looked> {
        let is_open = matches!(self.state, State::Open { .. });
        if seen.zone != self.zone || seen.present || !is_open || seen.dwell < self.grace {
            return None;
        }
        self.state = State::Clear;
        Some(Looked {
            change: Change::Ended,
            dwell: seen.dwell,
            ended: None,
            note: None,
        })
    }

    /// Looks at what was seen at `at`, when our clock says `wall`. New pictures, or twice the
    /// dwell that was last told, are worth an update.
    pub(super) fn look(
        &mut self,
        seen: &Sighting,
        at: Timestamp,
        wall: Timestamp,
    ) -> Option<Looked> {
        if seen.zone != self.zone {
            return None;
        }
        self.ahead = at.duration_since(wall);
        let (now, ended) = self.gate.look(at);
        let permitted = self.calendar().permitted(now, at);
        let looked = |change, dwell, note| {
            Some(Looked {
                change,
                dwell,
                ended,
                note,
            })
        };
        let is_open = matches!(self.state, State::Open { .. });
        if !seen.present && is_open && seen.dwell >= self.grace {
            self.state = State::Clear;
            return looked(Change::Ended, seen.dwell, None);
        }
        if permitted.is_some() {
            self.state = State::Clear;
            return is_open.then(|| looked(Change::Ended, seen.dwell, permitted))?;
        }
        let asked = self.labels.is_empty() || self.labels.contains(&seen.label);
        let ours = match self.among {
            Among::All => true,
            Among::Arrived => !seen.left_behind,
            Among::LeftBehind => seen.left_behind,
        };
        if !seen.present || !asked || !ours {
            return None;
        }
        // Whatever the child counted, it was not forbidden before.
        let most = ended.map(|e| at.duration_since(e.forbidden_since).unsigned_abs());
        let dwell = most.map_or(seen.dwell, |most| seen.dwell.min(most));
        let change = match &mut self.state {
            State::Clear if dwell >= self.dwell => {
                self.state = State::Open { told: dwell };
                Change::Began {
                    since: at.checked_sub(dwell).unwrap_or(at),
                }
            }
            State::Open { told } if !seen.evidence.is_empty() || dwell >= *told * 2 => {
                *told = dwell.max(*told);
                Change::Moved
            }
            _ => return None,
        };
        let note = ended.map(|ended| self.calendar().forbidden(ended, at));
        looked(change, dwell, note)
    }
}
