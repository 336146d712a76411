//! What verdicts and silences do to alerts.
//!
//! - `accepted`, `filed`: nothing but a note; an alert that an earlier verdict closed here is
//!   opened again if its condition still holds.
//! - `rejected`: closed, and quiet for this (subject, rule) until the condition has been away for
//!   [`REOPEN`]: what the platform does not want is not told it again and again.
//! - `resolved`, `closed`: closed. If the condition still holds after `verdicts.reopen_after`, the
//!   same alert is opened again and says so; for a rule about figures only once its device has
//!   been heard since, because an old figure proves nothing.
//! - A silence holds back what a rule has to say: an open alert gets no updates, no alert is
//!   raised. Its end is told all the same, and what still holds when the silence is over is
//!   raised then.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use wangge_protocol::{AlertState, VerdictStatus};

use super::{
    AlertError, Outbound, REOPEN,
    desk::Desk,
    directory::Directory,
    ledger::{Alert, Ledger, Phase},
    text::Cause,
};
use crate::{
    clock::Now,
    config::{Condition, Config},
    rules::{Finding, Transition},
};

const SILENCE: &[u8] = b"silence/";

/// Rules that are silenced, by (subject, rule).
#[derive(Debug, Default)]
pub(super) struct Silences(HashMap<(Arc<str>, String), Silence>);

#[derive(Debug)]
struct Silence {
    until: Timestamp,
    /// The same, monotonic: a clock that jumps neither ends nor prolongs it.
    end: Duration,
    /// What would have been raised.
    held: Option<Finding>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    until: Timestamp,
}

/// A silence as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silenced<'a> {
    pub subject: &'a str,
    pub rule: &'a str,
    pub until: Timestamp,
}

impl Silences {
    /// None lasts longer than `longest` from now on, whatever a clock that is wrong says.
    pub(super) fn restore(state: &[(Vec<u8>, Vec<u8>)], longest: Duration, now: Now) -> Self {
        let mut silences = Silences::default();
        for (key, value) in state {
            let name = key.strip_prefix(SILENCE).map(String::from_utf8_lossy);
            let name = name.as_deref().and_then(|name| name.split_once('\0'));
            let (Some((subject, rule)), Ok(Stored { until })) =
                (name, serde_json::from_slice(value))
            else {
                continue;
            };
            // What is over ends with the first tick, which also forgets it on disk.
            silences.set((subject.into(), rule.to_owned()), until, now);
        }
        for silence in silences.0.values_mut() {
            silence.end = silence.end.min(now.mono + longest);
        }
        silences
    }

    fn set(&mut self, rule: (Arc<str>, String), until: Timestamp, now: Now) {
        let left = Duration::try_from(until.duration_since(now.wall)).unwrap_or_default();
        let held = self.0.remove(&rule).and_then(|before| before.held);
        let end = now.mono + left;
        self.0.insert(rule, Silence { until, end, held });
    }

    pub(super) fn covers(&self, subject: &str, rule: &str, now: Now) -> bool {
        !self.0.is_empty()
            && self
                .0
                .get(&(Arc::from(subject), rule.to_owned()))
                .is_some_and(|silence| now.mono < silence.end)
    }

    fn key((subject, rule): &(Arc<str>, String)) -> Vec<u8> {
        [SILENCE, subject.as_bytes(), b"\0", rule.as_bytes()].concat()
    }
}

impl Ledger {
    /// Takes the standing verdict on an alert; returns the message that it causes, if any. The
    /// change of state without a message is in [`Ledger::take_changes`].
    pub fn judge(
        &mut self,
        subject: &str,
        alert_id: &str,
        status: VerdictStatus,
        now: Now,
    ) -> Option<Outbound> {
        use VerdictStatus::{Accepted, Closed, Filed, Rejected, Resolved};
        let mut alerts = self.alerts.get_mut(subject)?.iter_mut();
        let alert = alerts.find(|alert| alert.data.alert_id == alert_id)?;
        alert.data.verdict = Some(status);
        let settled = Phase::Settled {
            until: now.mono + self.reopen_after,
            heard: false,
        };
        let soon = now.mono + REOPEN;
        let (phase, says) = match (status, alert.phase) {
            (Rejected, Phase::Open) => (Phase::Quiet { ended: None }, Some(AlertState::Cleared)),
            (Rejected, Phase::Ending { .. }) => {
                let ended = Some(soon);
                (Phase::Quiet { ended }, Some(AlertState::Cleared))
            }
            (Rejected, Phase::Settled { .. }) => (Phase::Quiet { ended: None }, None),
            (Rejected, Phase::Closed { until }) => (Phase::Quiet { ended: Some(until) }, None),
            (Resolved | Closed, Phase::Open) => (settled, Some(AlertState::Cleared)),
            (Resolved | Closed, Phase::Ending { .. }) => {
                (Phase::Closed { until: soon }, Some(AlertState::Cleared))
            }
            (Resolved | Closed, Phase::Quiet { ended: None }) => (settled, None),
            (Accepted | Filed, Phase::Quiet { ended: None } | Phase::Settled { .. }) => {
                (Phase::Open, Some(AlertState::Updated))
            }
            (
                Accepted | Filed | Resolved | Closed,
                Phase::Quiet {
                    ended: Some(until), ..
                },
            ) => (Phase::Closed { until }, None),
            (_, phase) => (phase, None),
        };
        alert.phase = phase;
        match says {
            Some(AlertState::Cleared) => {
                alert.data.cleared_at = Some(now.wall.to_string());
                let cause = Cause::Judged(status);
                Some(self.desk.message(alert, AlertState::Cleared, cause, now))
            }
            Some(state) => {
                alert.data.cleared_at = None;
                Some(self.desk.message(alert, state, Cause::Judged(status), now))
            }
            None => {
                self.changes.push(alert.stored(now));
                None
            }
        }
    }

    #[cfg(test)]
    pub(super) fn alerts_for_test(&self, subject: &str) -> Vec<(Option<VerdictStatus>, String)> {
        let alerts = self.alerts.get(subject).into_iter().flatten();
        let phase = |alert: &Alert| match alert.phase {
            Phase::Open => "open",
            Phase::Ending { .. } => "ending",
            Phase::Closed { .. } => "closed",
            Phase::Quiet { ended: None } => "quiet",
            Phase::Quiet { .. } => "quiet, ended",
            Phase::Settled { .. } => "settled",
        };
        alerts
            .map(|alert| (alert.data.verdict, phase(alert).to_owned()))
            .collect()
    }

    /// Something came from a subject: figures about it are fresh.
    pub fn heard(&mut self, subject: &str) {
        for alert in self.alerts.get_mut(subject).into_iter().flatten() {
            if let Phase::Settled { heard, .. } = &mut alert.phase {
                *heard = true;
            }
        }
    }

    /// Silences a rule until `until`; a time that has passed ends a silence.
    ///
    /// # Errors
    /// A sentence, where the station has no such rule.
    pub fn silence(
        &mut self,
        subject: &str,
        rule: &str,
        until: Timestamp,
        now: Now,
    ) -> Result<(), String> {
        if !self.desk.directory.knows(subject) {
            return Err(format!(
                "this station has no device or camera \"{subject}\""
            ));
        }
        if self.desk.directory.rule(subject, rule).is_none() {
            return Err(format!("\"{subject}\" has no rule \"{rule}\""));
        }
        let name = (Arc::from(subject), rule.to_owned());
        let value = serde_json::to_vec(&Stored { until }).unwrap_or_default();
        self.changes.push((Silences::key(&name), Some(value)));
        self.silences.set(name, until, now);
        Ok(())
    }

    /// Silences that are not over.
    pub fn silenced(&self, now: Now) -> impl Iterator<Item = Silenced<'_>> {
        let silences = self.silences.0.iter();
        silences
            .filter(move |(_, silence)| now.mono < silence.end)
            .map(|((subject, rule), silence)| Silenced {
                subject,
                rule,
                until: silence.until,
            })
    }

    /// The clock was set right: silences end by it from now on.
    pub fn recount_silences(&mut self, now: Now) {
        for silence in self.silences.0.values_mut() {
            let left = Duration::try_from(silence.until.duration_since(now.wall));
            silence.end = now.mono + left.unwrap_or_default();
        }
    }

    /// Changes of state since the last call that go with no message.
    pub fn take_changes(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        std::mem::take(&mut self.changes)
    }

    /// The finding, unless a silence holds it back.
    pub(super) fn unsilenced(&mut self, finding: Finding, now: Now) -> Option<Finding> {
        if self.silences.0.is_empty() {
            return Some(finding);
        }
        let name = (finding.subject.clone(), finding.rule.clone());
        let silence = self.silences.0.get_mut(&name);
        let Some(silence) = silence.filter(|silence| now.mono < silence.end) else {
            return Some(finding);
        };
        if finding.what == Transition::Ended {
            silence.held = None;
            return Some(finding);
        }
        let mut alerts = self.alerts.get_mut(&finding.subject).into_iter().flatten();
        let alert = alerts.find(|alert| alert.data.rule == finding.rule);
        match alert {
            Some(alert) if matches!(alert.phase, Phase::Open | Phase::Ending { .. }) => {
                alert.phase = Phase::Open;
                alert.wait(finding);
            }
            _ => silence.held = Some(finding),
        }
        None
    }

    /// Ends silences whose time has come, and raises what they held back; opens alerts again that
    /// were closed too early.
    pub(super) fn tick_verdicts(&mut self, now: Now, out: &mut Vec<Outbound>) {
        let over = self.silences.0.iter();
        let over: Vec<_> = over
            .filter(|(_, silence)| silence.end <= now.mono)
            .map(|(name, _)| name.clone())
            .collect();
        for name in over {
            self.changes.push((Silences::key(&name), None));
            if let Some(Silence {
                held: Some(finding),
                ..
            }) = self.silences.0.remove(&name)
            {
                out.extend(self.apply(finding, now));
            }
        }
        for alert in self.alerts.values_mut().flatten() {
            let Phase::Settled { until, heard } = alert.phase else {
                continue;
            };
            let silenced = self
                .silences
                .covers(&alert.data.device, &alert.data.rule, now);
            if until > now.mono || silenced || (!heard && self.desk.goes_by_figures(alert)) {
                continue;
            }
            alert.phase = Phase::Open;
            out.push(self.desk.reopen(alert, now));
        }
    }

    /// Goes on with another configuration: names, places and rules are the new ones, and alerts
    /// whose rules are gone end.
    ///
    /// # Errors
    /// As [`Ledger::restore`]; then nothing changed.
    pub fn reconfigure(&mut self, config: &Config, now: Now) -> Result<Vec<Outbound>, AlertError> {
        self.desk.directory = Directory::new(config)?;
        self.reopen_after = config.verdicts.reopen_after;
        let mut out = Vec::new();
        for alert in self.alerts.values_mut().flatten() {
            let is_ours = alert.data.source != wangge_protocol::SourceKind::Gateway;
            let directory = &self.desk.directory;
            let has_rule = directory
                .rule(&alert.data.device, &alert.data.rule)
                .is_some();
            if !is_ours || has_rule {
                continue;
            }
            match alert.phase {
                Phase::Open | Phase::Ending { .. } => {
                    out.push(self.desk.clear(alert, Cause::RuleRemoved, now.wall, now));
                }
                Phase::Quiet { .. } | Phase::Settled { .. } => {
                    alert.phase = Phase::Closed {
                        until: now.mono + REOPEN,
                    };
                    self.changes.push(alert.stored(now));
                }
                Phase::Closed { .. } => {}
            }
        }
        Ok(out)
    }
}

impl Desk {
    fn goes_by_figures(&self, alert: &Alert) -> bool {
        let rule = self.directory.rule(&alert.data.device, &alert.data.rule);
        rule.is_some_and(|rule| {
            matches!(
                rule.when,
                Condition::Threshold { .. }
                    | Condition::Rate { .. }
                    | Condition::NightFlow { .. }
                    | Condition::Burst { .. }
            )
        })
    }

    /// The condition of a settled alert still holds.
    fn reopen(&self, alert: &mut Alert, now: Now) -> Outbound {
        alert.data.cleared_at = None;
        if let Some(finding) = alert.waiting.take() {
            alert.data.measurement = finding.measurement;
            alert.data.sighting = finding.sighting;
            alert.data.evidence = finding.evidence;
        }
        let status = alert.data.verdict.unwrap_or(VerdictStatus::Closed);
        self.message(alert, AlertState::Updated, Cause::Reopened(status), now)
    }
}

impl Alert {
    /// How a closed or quiet alert is stored: since when, and whether the condition holds.
    pub(super) fn closed_at(&self, now: Now) -> Option<Timestamp> {
        let ends = match self.phase {
            Phase::Open | Phase::Ending { .. } => return None,
            Phase::Quiet { ended: None } | Phase::Settled { .. } => return Some(now.wall),
            Phase::Closed { until } | Phase::Quiet { ended: Some(until) } => until,
        };
        let left = ends.saturating_sub(now.mono);
        let ago = SignedDuration::try_from(REOPEN.saturating_sub(left)).unwrap_or_default();
        now.wall.checked_sub(ago).ok()
    }
}
