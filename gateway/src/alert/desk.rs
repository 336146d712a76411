//! Writes the messages about an alert.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use uuid::{NoContext, Uuid};
use wangge_protocol::{AlertData, AlertState, Text};

use super::{
    Outbound, REOPEN,
    directory::Directory,
    ledger::{Alert, Phase},
    message,
    platform::Platform,
    text::{self, Cause},
};
use crate::{
    clock::{Doubt, Now},
    rules::Finding,
};

/// What is needed to write messages.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) station: Arc<str>,
    pub(super) directory: Directory,
    pub(super) platform: Platform,
    /// See [`super::Ledger::set_clock`].
    pub(super) doubt: Option<Doubt>,
}

impl Desk {
    pub(super) fn may_update(&self, alert: &Alert, now: Now) -> bool {
        let rule = self.directory.rule(&alert.data.device, &alert.data.rule);
        let every = rule.map_or(REOPEN, |rule| rule.update_every);
        now.mono.saturating_sub(alert.told) >= every
    }

    pub(super) fn raise(
        &mut self,
        finding: &Finding,
        mut series: BTreeMap<String, u64>,
        now: Now,
    ) -> (Alert, Outbound) {
        let subject = self.directory.find(&finding.subject);
        let data = AlertData {
            alert_id: uuid(now.wall),
            revision: 0,
            state: AlertState::Raised,
            kind: finding.kind,
            severity: finding.severity,
            station: self.station.to_string(),
            device: finding.subject.to_string(),
            source: subject.source,
            rule: finding.rule.clone(),
            occurred_at: finding.at.to_string(),
            raised_at: now.wall.to_string(),
            cleared_at: None,
            text: Text {
                zh: String::new(),
                en: String::new(),
            },
            measurement: None,
            sighting: None,
            place: subject.place.clone(),
            platform: self
                .platform
                .codes(finding.kind, finding.severity, subject, &mut series),
            verdict: None,
            evidence: Vec::new(),
            routing: None,
        };
        let mut alert = Alert {
            data,
            phase: Phase::Open,
            flapped: false,
            told: now.mono,
            waiting: None,
            series,
            doubt: self.doubt.clone(),
        };
        let outbound = self.found(&mut alert, AlertState::Raised, finding, now);
        (alert, outbound)
    }

    pub(super) fn update(&self, alert: &mut Alert, finding: &Finding, now: Now) -> Outbound {
        alert.data.cleared_at = None;
        self.found(alert, AlertState::Updated, finding, now)
    }

    pub(super) fn close(&self, alert: &mut Alert, finding: Finding, now: Now) -> Outbound {
        alert.data.cleared_at = Some(finding.at.to_string());
        alert.phase = Phase::Closed {
            until: now.mono + REOPEN,
        };
        let finding = alert.with_pictures(finding);
        self.found(alert, AlertState::Cleared, &finding, now)
    }

    /// A message about what a rule found.
    pub(super) fn found(
        &self,
        alert: &mut Alert,
        state: AlertState,
        finding: &Finding,
        now: Now,
    ) -> Outbound {
        let when = self
            .directory
            .rule(&finding.subject, &finding.rule)
            .map(|rule| &rule.when);
        alert.data.measurement = finding.measurement.clone();
        alert.data.sighting = finding.sighting.clone();
        alert.data.evidence = finding.evidence.clone();
        let cause = Cause::Found(finding, when);
        self.message(alert, state, cause, now)
    }

    /// A cleared message without a finding, because there can be none any more.
    pub(super) fn clear(
        &self,
        alert: &mut Alert,
        cause: Cause<'_>,
        at: Timestamp,
        now: Now,
    ) -> Outbound {
        alert.data.cleared_at = Some(at.to_string());
        alert.phase = Phase::Closed {
            until: now.mono + REOPEN,
        };
        self.message(alert, AlertState::Cleared, cause, now)
    }

    pub(super) fn message(
        &self,
        alert: &mut Alert,
        state: AlertState,
        cause: Cause<'_>,
        now: Now,
    ) -> Outbound {
        let data = &mut alert.data;
        let subject = self.directory.find(&data.device);
        let text = text::compose(data.kind, state, subject, cause);
        // A subject that is gone keeps the place that it had.
        if !matches!(cause, Cause::SubjectRemoved) {
            data.place = subject.place.clone();
            data.source = subject.source;
            self.platform.locate(&mut data.platform, subject);
        }
        data.text = text;
        data.state = state;
        data.revision = data.revision.saturating_add(1);
        let event_id = uuid(now.wall);
        let body = message::encode(&event_id, now.wall, data);
        let evidence = std::mem::take(&mut data.evidence);
        alert.told = now.mono;
        alert.waiting = None;
        let state_change = alert.stored(now);
        let data = &alert.data;
        Outbound {
            event_id,
            alert_id: data.alert_id.clone(),
            device: data.device.clone(),
            kind: data.kind,
            source: data.source,
            state,
            severity: data.severity,
            text: data.text.clone(),
            evidence,
            body,
            state_change,
        }
    }
}

/// A UUIDv7 of that moment; before 1970 of its first millisecond.
pub(super) fn uuid(wall: Timestamp) -> String {
    let seconds = u64::try_from(wall.as_second()).unwrap_or(0);
    let nanos = u32::try_from(wall.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos)).to_string()
}
