//! Who deals with an alert: 小事不出社区、难事不出街道、大事三级联动.
//!
//! A profile says for each severity, or kind, at which [`Tier`] an alert begins and how long it
//! may stay there without a verdict. [`Router`] follows each alert from message to message: it
//! says which uplinks get one, and which alerts have to go on to the next tier. Pure; time is an
//! argument, and what must survive a restart comes out of [`Router::take_state`], to be stored
//! in the batch of the message that it belongs to.
//!
//! What holds at all times:
//! 1. Every message of an alert goes to every uplink whose tier has the alert, and to those
//!    without a tier. A tier that no uplink serves is never given an alert: the next higher one
//!    that is served gets it, or else the next lower one.
//! 2. An alert that is open and has no verdict at its deadline goes on to the next tier that is
//!    served, once. It never goes back, and nothing that has it loses it.
//! 3. Deadlines are working time. A clock that is set moves them along (see [`Router::tick`]).
//! 4. At every tier, `received = in_time + late + waiting`.
//!
//! A station none of whose uplinks has a tier sends everything to all of them, at once.

mod digest;
mod entry;
pub mod held;
mod router;
mod term;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use jiff::civil::Time;
use wangge_protocol::{EventKind, Severity, Tier};

pub use digest::{DayRow, KEPT_DAYS};
pub use router::{Change, Escalation, Routed, Router, Whereabouts};
pub use term::{Term, TermError, WorkTime};

/// How long after its end an alert is still known, because it may begin again as the same: twice
/// the time in which alerts are reopened.
pub const MEMORY: Duration = Duration::from_secs(600);

/// The same of an alert that a verdict settled: it is opened again if its condition holds on.
pub const SETTLED_MEMORY: Duration = Duration::from_secs(8 * 86_400);

/// A clock that gains or loses more than this against the monotonic one was set.
pub const JUMP: Duration = Duration::from_secs(60);

/// Key and value to store; `None` removes.
pub type StateChange = (Vec<u8>, Option<Vec<u8>>);

/// What a profile says about tiers and deadlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By [`Severity`], in its order.
    pub severities: [Route; 4],
    /// Kinds that go another way than their severity.
    pub kinds: BTreeMap<EventKind, Route>,
    /// Deadlines of conditions for filing (立案条件): of a kind, and one severity of it or all.
    pub conditions: Vec<(EventKind, Option<Severity>, Term)>,
    pub digest: Option<DigestPlan>,
}

impl Plan {
    /// The way of an alert.
    pub fn route(&self, kind: EventKind, severity: Severity) -> Route {
        let by_severity = match severity {
            Severity::Info => 0,
            Severity::Minor => 1,
            Severity::Major => 2,
            Severity::Critical => 3,
        };
        let mut route = *self
            .kinds
            .get(&kind)
            .unwrap_or(&self.severities[by_severity]);
        let condition = self
            .conditions
            .iter()
            .find(|(of, only, _)| *of == kind && only.is_none_or(|only| only == severity));
        if let Some((_, _, deadline)) = condition {
            route.deadline = Some(*deadline);
        }
        route
    }
}

/// Where alerts begin, and how long each tier has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub start: Start,
    /// Without one an alert stays where it begins.
    pub deadline: Option<Term>,
}

/// Where an alert begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At one tier.
    At(Tier),
    /// At all of them at once.
    All,
}

/// When figures go up, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestPlan {
    pub every: Every,
    /// Local time of the station.
    pub at: Time,
    pub tier: Tier,
}

/// How often figures go up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Each day, of the day before.
    Day,
    /// Mondays, of the week before.
    Week,
}
