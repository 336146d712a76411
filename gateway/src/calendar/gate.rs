//! A calendar that is asked often.

use std::sync::Arc;

use jiff::Timestamp;

use super::{By, Calendar, Permit, Phase, State};

/// The use that ended last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub by: By,
    /// When it ended.
    pub at: Timestamp,
    /// When the grace after it was over.
    pub forbidden_since: Timestamp,
}

/// A calendar and what goes now, looked up again when that is over or time went back.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    calendar: Arc<Calendar>,
    known: Option<(Phase, Option<Ended>)>,
}

impl Gate {
    pub fn new(calendar: Arc<Calendar>) -> Gate {
        Gate {
            calendar,
            known: None,
        }
    }

    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// What goes at `at`; for forbidden time, what ended last before it.
    pub fn look(&mut self, at: Timestamp) -> (State, Option<Ended>) {
        if let Some((phase, ended)) = self.known
            && phase.from <= at
            && at < phase.to
        {
            return (phase.state, ended);
        }
        let phase = self.calendar.at(at);
        let ended = match phase.state {
            State::Forbidden => self.calendar.ended(at),
            _ => None,
        };
        self.known = Some((phase, ended));
        (phase.state, ended)
    }

    /// Takes other permits.
    pub fn set_permits(&mut self, permits: &[Permit]) {
        self.calendar = Arc::new(self.calendar.with_permits(permits));
        self.known = None;
    }
}
