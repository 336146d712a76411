//! Which alerts are open, and what each finding does to them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use wangge_protocol::{AlertData, AlertState, EvidenceRef, SourceKind, Tier};

use super::{
    AlertError, Outbound, REOPEN, Restored, UPDATES_PER_MINUTE,
    desk::Desk,
    directory::Directory,
    entry::{self, Entry, Hush},
    platform::Platform,
    text::Cause,
    verdict::Silences,
};
use crate::{
    clock::{Change, Doubt, Now, StateChange},
    config::Config,
    rules::{Finding, Transition},
};

/// Every alert of a station.
#[derive(Debug)]
pub struct Ledger {
    pub(super) desk: Desk,
    /// By subject; a subject has few.
    pub(super) alerts: HashMap<Arc<str>, Vec<Alert>>,
    allowance: Allowance,
    restored: Restored,
    pub(super) silences: Silences,
    /// See [`crate::config::Verdicts`].
    pub(super) reopen_after: Duration,
    /// To be stored, without a message.
    pub(super) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

#[derive(Debug)]
pub(super) struct Alert {
    /// The last message's, without pictures.
    pub(super) data: AlertData,
    pub(super) phase: Phase,
    /// It came back after it was cleared; its next end has to last.
    pub(super) flapped: bool,
    /// When the last message was made, monotonic.
    pub(super) told: Duration,
    /// What came too soon after it: newer figures, or in [`Phase::Ending`] the end.
    pub(super) waiting: Option<Finding>,
    /// Numbers of event codes that its (subject, rule) used.
    pub(super) series: BTreeMap<String, u64>,
    /// By which clock its first times were written, if that was not believed.
    pub(super) doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Open,
    /// The condition ended, but the alert flapped: it is cleared if nothing happens until then.
    Ending {
        until: Duration,
    },
    /// Cleared; reopened if the condition begins again before then.
    Closed {
        until: Duration,
    },
    /// The platform rejected it. While the condition holds nothing is said, nor if it begins
    /// again before `ended`.
    Quiet {
        ended: Option<Duration>,
    },
    /// The platform resolved or closed it, and the condition holds: opened again if it still does
    /// then. `heard`: something came from the subject since.
    Settled {
        until: Duration,
        heard: bool,
    },
}

impl Alert {
    /// Keeps a finding for later, instead of what waited before.
    pub(super) fn wait(&mut self, finding: Finding) {
        self.waiting = Some(self.with_pictures(finding));
    }

    /// The finding with the pictures that waited, if it has none of its own: pictures are not
    /// taken for nothing.
    pub(super) fn with_pictures(&mut self, mut finding: Finding) -> Finding {
        if let Some(earlier) = self.waiting.take()
            && finding.evidence.is_empty()
        {
            finding.evidence = earlier.evidence;
        }
        finding
    }

    /// Its entry on disk.
    pub(super) fn stored(&self, now: Now) -> (Vec<u8>, Option<Vec<u8>>) {
        self.entry(self.closed_at(now))
    }

    fn entry(&self, closed_at: Option<Timestamp>) -> (Vec<u8>, Option<Vec<u8>>) {
        let hush = match self.phase {
            Phase::Quiet { ended: None } => Some(Hush::Quiet),
            Phase::Quiet { ended: Some(_) } => Some(Hush::Ended),
            Phase::Settled { .. } => Some(Hush::Settled),
            _ => None,
        };
        let doubt = self.doubt.as_ref();
        let (key, value) = entry::encode(&self.data, closed_at, hush, &self.series, doubt);
        (key, Some(value))
    }
}

impl Ledger {
    /// The ledger of a station as an earlier run left it in `state` (see
    /// [`Outbound::state_change`]; keys of others are passed over). What the restart itself
    /// brings up waits in [`Ledger::take_restored`].
    ///
    /// # Errors
    /// An id is too long, or the profile's event code template cannot be used.
    pub fn restore(
        config: &Config,
        state: &[(Vec<u8>, Vec<u8>)],
        now: Now,
    ) -> Result<Ledger, AlertError> {
        let mut ledger = Ledger {
            desk: Desk {
                station: config.station.id.clone(),
                directory: Directory::new(config)?,
                platform: Platform::new(config.profile.clone())?,
                doubt: None,
            },
            alerts: HashMap::new(),
            allowance: Allowance::full(now),
            restored: Restored::default(),
            silences: Silences::restore(state, config.commands.max_silence, now),
            reopen_after: config.verdicts.reopen_after,
            changes: Vec::new(),
        };
        let mut entries = Vec::new();
        for (key, value) in state {
            match entry::decode(key, value) {
                None => {}
                Some(Ok(entry)) => {
                    ledger.desk.platform.used(&entry.series);
                    entries.push(entry);
                }
                Some(Err(unreadable)) => {
                    ledger.restored.unreadable.push(unreadable);
                    ledger.restored.state.push((key.clone(), None));
                }
            }
        }
        for entry in entries {
            ledger.take_up(entry, now);
        }
        Ok(ledger)
    }

    /// What the restart brought up: to be stored and sent before anything else. Empty when
    /// called again.
    pub fn take_restored(&mut self) -> Restored {
        std::mem::take(&mut self.restored)
    }

    /// The clock by which times are written from now on, if it is not believed.
    pub fn set_clock(&mut self, doubt: Option<Doubt>) {
        self.desk.doubt = doubt;
    }

    /// Puts right the times of alerts that were raised by a doubted clock of this start, and
    /// returns what must be stored. What was sent is not repeated; the next message has them.
    pub fn correct(&mut self, change: &Change, wall: Timestamp) -> Vec<StateChange> {
        let mut stored = Vec::new();
        for alert in self.alerts.values_mut().flatten() {
            let Some(by) = alert.doubt.as_ref().and_then(|d| change.mends(d)) else {
                continue;
            };
            alert.doubt = None;
            let data = &mut alert.data;
            for time in [&mut data.occurred_at, &mut data.raised_at]
                .into_iter()
                .chain(&mut data.cleared_at)
            {
                let moved = time.parse::<Timestamp>().ok();
                if let Some(moved) = moved.and_then(|at| at.checked_add(by).ok()) {
                    *time = moved.to_string();
                }
            }
            let is_open = matches!(alert.phase, Phase::Open | Phase::Ending { .. });
            stored.push(alert.entry((!is_open).then_some(wall)));
        }
        stored
    }

    /// Records a finding; returns the message that it causes, if it causes one now.
    pub fn apply(&mut self, finding: Finding, now: Now) -> Option<Outbound> {
        let finding = self.unsilenced(finding, now)?;
        let alerts = self.alerts.entry(finding.subject.clone()).or_default();
        let found = alerts.iter_mut().find(|a| a.data.rule == finding.rule);
        let Some(alert) = found else {
            // An end of nothing is nothing; all else begins something.
            if finding.what == Transition::Ended {
                return None;
            }
            let (alert, outbound) = self.desk.raise(&finding, BTreeMap::new(), now);
            alerts.push(alert);
            return Some(outbound);
        };
        match (alert.phase, finding.what) {
            (Phase::Open, Transition::Ended) if alert.flapped => {
                alert.phase = Phase::Ending {
                    until: now.mono + REOPEN,
                };
                alert.wait(finding);
                None
            }
            (Phase::Open, Transition::Ended) => Some(self.desk.close(alert, finding, now)),
            (Phase::Quiet { ended: None }, Transition::Ended) => {
                let ended = Some(now.mono + REOPEN);
                alert.phase = Phase::Quiet { ended };
                self.changes.push(alert.stored(now));
                None
            }
            // It is closed already, and now rightly so.
            (Phase::Settled { .. }, Transition::Ended) => {
                alert.phase = Phase::Closed {
                    until: now.mono + REOPEN,
                };
                alert.waiting = None;
                self.changes.push(alert.stored(now));
                None
            }
            (_, Transition::Ended) => None,
            (Phase::Settled { .. }, _) => {
                alert.wait(finding);
                None
            }
            (Phase::Quiet { ended }, _) if ended.is_none_or(|until| now.mono < until) => {
                if ended.is_some() {
                    alert.phase = Phase::Quiet { ended: None };
                    self.changes.push(alert.stored(now));
                }
                None
            }
            (Phase::Open | Phase::Ending { .. }, _) => {
                alert.phase = Phase::Open;
                if self.desk.may_update(alert, now) && self.allowance.take(now) {
                    return Some(self.desk.update(alert, &finding, now));
                }
                alert.wait(finding);
                None
            }
            (Phase::Closed { until }, _) if now.mono < until && alert.data.kind == finding.kind => {
                alert.phase = Phase::Open;
                alert.flapped = true;
                Some(self.desk.update(alert, &finding, now))
            }
            (Phase::Closed { .. } | Phase::Quiet { .. }, _) => {
                let series = std::mem::take(&mut alert.series);
                let (fresh, outbound) = self.desk.raise(&finding, series, now);
                *alert = fresh;
                Some(outbound)
            }
        }
    }

    /// Appends what has become due: updates that waited, and the end of alerts that flapped.
    /// A second between two ticks is enough.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Outbound>) {
        self.tick_verdicts(now, out);
        for alerts in self.alerts.values_mut() {
            for alert in alerts.iter_mut() {
                let due = match alert.phase {
                    Phase::Ending { until } => until <= now.mono,
                    // Only an update that waits may use up the allowance.
                    Phase::Open => {
                        alert.waiting.is_some()
                            && self.desk.may_update(alert, now)
                            && !self
                                .silences
                                .covers(&alert.data.device, &alert.data.rule, now)
                            && self.allowance.take(now)
                    }
                    Phase::Closed { .. } | Phase::Quiet { .. } | Phase::Settled { .. } => false,
                };
                let Some(finding) = alert.waiting.take_if(|_| due) else {
                    continue;
                };
                out.push(match finding.what {
                    Transition::Ended => self.desk.close(alert, finding, now),
                    _ => self.desk.update(alert, &finding, now),
                });
            }
            alerts.retain(|alert| match alert.phase {
                Phase::Closed { until } | Phase::Quiet { ended: Some(until) } => {
                    now.mono < until || !alert.series.is_empty()
                }
                Phase::Open | Phase::Ending { .. } => true,
                Phase::Quiet { ended: None } | Phase::Settled { .. } => true,
            });
        }
        self.alerts.retain(|_, alerts| !alerts.is_empty());
    }

    /// The message that brings an open alert, with these pictures, from one tier to another;
    /// `late` says whether because its deadline passed. `None` if it is not open.
    pub fn escalate(
        &mut self,
        alert_id: &str,
        (from, to): (Tier, Tier),
        late: bool,
        evidence: Vec<EvidenceRef>,
        now: Now,
    ) -> Option<Outbound> {
        let alerts = self.alerts.values_mut().flatten();
        let mut open =
            alerts.filter(|alert| matches!(alert.phase, Phase::Open | Phase::Ending { .. }));
        let alert = open.find(|alert| alert.data.alert_id == alert_id)?;
        // What waits to be told stays waiting: it may have newer pictures.
        let waiting = alert.waiting.take();
        let told = alert.told;
        alert.data.evidence = evidence;
        let cause = Cause::Escalated { from, to, late };
        let outbound = self.desk.message(alert, AlertState::Updated, cause, now);
        alert.waiting = waiting;
        alert.told = told;
        Some(outbound)
    }

    /// (subject, rule) of every alert whose condition holds, whatever the platform decided.
    pub fn open(&self) -> impl Iterator<Item = (Arc<str>, String)> {
        let over = |alert: &&Alert| match alert.phase {
            Phase::Closed { .. } | Phase::Quiet { ended: Some(_) } => true,
            Phase::Open | Phase::Ending { .. } => false,
            Phase::Quiet { ended: None } | Phase::Settled { .. } => false,
        };
        self.alerts.iter().flat_map(move |(subject, alerts)| {
            alerts
                .iter()
                .filter(move |alert| !over(alert))
                .map(|alert| (subject.clone(), alert.data.rule.clone()))
        })
    }

    /// The last message of every alert that the platform holds open.
    pub fn list(&self) -> impl Iterator<Item = &AlertData> {
        self.alerts
            .values()
            .flatten()
            .filter(|alert| matches!(alert.phase, Phase::Open | Phase::Ending { .. }))
            .map(|alert| &alert.data)
    }

    /// The last message of an alert.
    pub fn alert(&self, subject: &str, alert_id: &str) -> Option<&AlertData> {
        let mut alerts = self.alerts.get(subject)?.iter();
        let alert = alerts.find(|alert| alert.data.alert_id == alert_id)?;
        Some(&alert.data)
    }

    /// The rule whose condition holds on a subject now, the gravest if there are several.
    pub fn open_on(&self, subject: &str) -> Option<&str> {
        let alerts = self.alerts.get(subject)?.iter();
        alerts
            .filter(|alert| matches!(alert.phase, Phase::Open))
            .max_by_key(|alert| alert.data.severity)
            .map(|alert| alert.data.rule.as_str())
    }

    fn take_up(&mut self, entry: Entry, now: Now) {
        let Entry {
            closed_at,
            hush,
            series,
            doubt,
            data,
        } = entry;
        let subject: Arc<str> = data.device.as_str().into();
        let mut alert = Alert {
            data,
            phase: Phase::Open,
            flapped: false,
            told: now.mono,
            waiting: None,
            series,
            doubt,
        };
        let holds = matches!(hush, Some(Hush::Quiet | Hush::Settled));
        let directory = &self.desk.directory;
        let has_rule = alert.data.source == SourceKind::Gateway
            || directory.rule(&subject, &alert.data.rule).is_some();
        if holds && has_rule {
            alert.phase = match hush {
                Some(Hush::Quiet) => Phase::Quiet { ended: None },
                // How long it was settled is not known; the time begins anew.
                _ => Phase::Settled {
                    until: now.mono + self.reopen_after,
                    heard: false,
                },
            };
        } else if let Some(closed_at) = closed_at {
            // Only wall time is known; a jump costs at worst an alert id.
            let ago = Duration::try_from(now.wall.duration_since(closed_at)).ok();
            match ago.and_then(|ago| REOPEN.checked_sub(ago)) {
                Some(left) if hush == Some(Hush::Ended) => {
                    let ended = Some(now.mono + left);
                    alert.phase = Phase::Quiet { ended };
                }
                Some(left) => {
                    alert.phase = Phase::Closed {
                        until: now.mono + left,
                    };
                }
                None if self.desk.platform.needs(&alert.series) => {
                    alert.phase = Phase::Closed { until: now.mono };
                }
                None => {
                    let key = entry::key(&alert.data.device, &alert.data.rule);
                    self.restored.state.push((key, None));
                    return;
                }
            }
        } else if alert.data.source != SourceKind::Gateway {
            let cause = if !self.desk.directory.knows(&subject) {
                Some(Cause::SubjectRemoved)
            } else if self
                .desk
                .directory
                .rule(&subject, &alert.data.rule)
                .is_none()
            {
                Some(Cause::RuleRemoved)
            } else {
                None
            };
            if let Some(cause) = cause {
                let outbound = self.desk.clear(&mut alert, cause, now.wall, now);
                self.restored.cleared.push(outbound);
            }
        }
        self.alerts.entry(subject).or_default().push(alert);
    }
}

/// [`UPDATES_PER_MINUTE`] as a bucket that fills by the monotonic clock.
#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Duration,
}

impl Allowance {
    fn full(now: Now) -> Allowance {
        Allowance {
            left: f64::from(UPDATES_PER_MINUTE),
            at: now.mono,
        }
    }

    fn take(&mut self, now: Now) -> bool {
        let most = f64::from(UPDATES_PER_MINUTE);
        let minutes = now.mono.saturating_sub(self.at).as_secs_f64() / 60.0;
        self.left = (self.left + minutes * most).min(most);
        self.at = now.mono;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}
