//! What the platform decided about which alert, and how often each rule was right. Pure.
//!
//! Verdicts may come in any order and more than once. The *standing* verdict of an alert is the
//! latest by its own time (`at`; at the same moment the one further along, then the greater id),
//! so that every order of arrival ends in the same state. What comes late is noted and changes
//! nothing else. A verdict that says it was made well after it came counts from when it came:
//! otherwise a platform whose clock was once ahead could not judge its alert again.
//!
//! Stored are `verdict/` ALERT for each alert that may still be judged, and `precision/` SUBJECT
//! NUL RULE. When there are more than [`MAX_ALERTS`], the oldest alert can no longer be judged;
//! what its verdict counted for stays counted.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use wangge_protocol::{AlertData, AnswerResult, EventKind, Verdict, VerdictStatus};

use super::{Change, moment, precision::Tally};

/// Alerts that can be judged; at 200 bytes each, 2 MB in memory and on disk.
pub const MAX_ALERTS: usize = 10_000;
/// Verdicts on one alert.
pub const MAX_VERDICTS: usize = 16;
/// Rules whose precision is kept; a station has at most a few thousand.
pub const MAX_RULES: usize = 10_000;
/// Latest verdicts that are shown.
pub const RECENT: usize = 50;
/// Letters of a reason that are kept.
const KEPT_REASON: usize = 200;

/// How far a platform's clock may be ahead of the station's before its time is not taken as it is.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(10);

const ALERT: &[u8] = b"verdict/";
const PRECISION: &[u8] = b"precision/";

/// An alert that may be judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub device: String,
    pub rule: String,
    pub kind: EventKind,
    /// RFC 3339.
    pub raised_at: String,
    /// Every verdict that was taken, so that a repeat is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taken: Vec<Taken>,
    /// The standing one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    id: String,
    status: VerdictStatus,
    at: Timestamp,
}

/// The verdict that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub id: String,
    pub status: VerdictStatus,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_no: Option<String>,
    /// SHA-256 of the platform's picture: the name alone, nothing is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Standing {
    fn rank(&self) -> (Timestamp, usize, &str) {
        let status = VerdictStatus::ALL.iter().position(|s| *s == self.status);
        (self.at, status.unwrap_or_default(), &self.id)
    }
}

/// What a verdict came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub result: AnswerResult,
    /// Why it was not taken, or why it does not count as it stands.
    pub reason: Option<String>,
    /// Of the alert, when this verdict is the standing one from now on.
    pub now_standing: Option<VerdictStatus>,
}

impl Judged {
    fn not(result: AnswerResult, reason: impl Into<String>) -> Self {
        Judged {
            result,
            reason: Some(reason.into()),
            now_standing: None,
        }
    }
}

/// All alerts that may be judged.
#[derive(Debug, Default)]
pub struct Book {
    /// By id, which begins with the time of raising: the first is the oldest.
    alerts: BTreeMap<String, Known>,
    precision: BTreeMap<(String, String), Tally>,
    /// Alerts whose standing verdict changed, the newest last.
    recent: VecDeque<String>,
    changes: Vec<Change>,
}

impl Book {
    /// The book as an earlier run left it in `state`; keys of others are passed over, and so is
    /// what cannot be read: its alert can no longer be judged.
    pub fn restore(state: &[(Vec<u8>, Vec<u8>)]) -> Book {
        let mut book = Book::default();
        for (key, value) in state {
            if let Some(id) = key.strip_prefix(ALERT) {
                let id = String::from_utf8_lossy(id).into_owned();
                match serde_json::from_slice(value) {
                    Ok(known) => drop(book.alerts.insert(id, known)),
                    Err(_) => book.changes.push((key.clone(), None)),
                }
            } else if let Some(name) = key.strip_prefix(PRECISION) {
                let name = String::from_utf8_lossy(name);
                if let (Some((device, rule)), Ok(tally)) =
                    (name.split_once('\0'), serde_json::from_slice(value))
                {
                    let row = (device.to_owned(), rule.to_owned());
                    book.precision.insert(row, tally);
                }
            }
        }
        let mut judged: Vec<_> = book
            .alerts
            .iter()
            .filter_map(|(id, known)| Some((known.standing.as_ref()?.at, id.clone())))
            .collect();
        judged.sort_unstable();
        let skip = judged.len().saturating_sub(RECENT);
        book.recent = judged.into_iter().skip(skip).map(|(_, id)| id).collect();
        book
    }

    /// An alert was raised: from now on it can be judged.
    pub fn raised(&mut self, alert: &AlertData) {
        if self.alerts.contains_key(&alert.alert_id) {
            return;
        }
        let known = Known {
            device: alert.device.clone(),
            rule: alert.rule.clone(),
            kind: alert.kind,
            raised_at: alert.raised_at.clone(),
            taken: Vec::new(),
            standing: None,
        };
        self.store(&alert.alert_id, &known);
        self.alerts.insert(alert.alert_id.clone(), known);
        while self.alerts.len() > MAX_ALERTS
            && let Some((oldest, _)) = self.alerts.pop_first()
        {
            self.recent.retain(|id| *id != oldest);
            self.changes.push((alert_key(&oldest), None));
        }
    }

    /// Takes a verdict; `now` where the clock is believed.
    pub fn judge(&mut self, verdict: &Verdict, now: Option<Timestamp>) -> Judged {
        let Some(known) = self.alerts.get_mut(&verdict.alert_id) else {
            let reason = "this station has no such alert, or no longer";
            return Judged::not(AnswerResult::UnknownAlert, reason);
        };
        let Some(at) = moment(&verdict.at) else {
            return Judged::not(AnswerResult::Invalid, "`at` is no moment");
        };
        if let Some(taken) = known.taken.iter().find(|taken| taken.id == verdict.id) {
            if (taken.status, taken.at) != (verdict.status, at) {
                let reason = "another verdict on this alert had this id";
                return Judged::not(AnswerResult::Invalid, reason);
            }
            return Judged {
                result: AnswerResult::Repeated,
                reason: None,
                now_standing: None,
            };
        }
        if known.taken.len() == MAX_VERDICTS {
            let reason = format!("this alert has {MAX_VERDICTS} verdicts already");
            return Judged::not(AnswerResult::Failed, reason);
        }
        known.taken.push(Taken {
            id: verdict.id.clone(),
            status: verdict.status,
            at,
        });
        let ahead = now.filter(|now| at.duration_since(*now) > MAX_AHEAD);
        let mut said = ahead.map(|now| {
            format!(
                "`at` is after {now}, the station's time, and counts as that: are the clocks right?"
            )
        });
        let given = Standing {
            id: verdict.id.clone(),
            status: verdict.status,
            at: ahead.unwrap_or(at),
            reason: verdict.reason.as_deref().map(kept),
            case_no: verdict.case_no.clone(),
            picture: verdict.picture.clone(),
            by: verdict.by.clone(),
        };
        let before = known.standing.as_ref();
        let is_later = before.is_none_or(|before| before.rank() < given.rank());
        let mut now_standing = None;
        if is_later {
            let old = before.map(|before| before.status.is_right());
            let row = (known.device.clone(), known.rule.clone());
            known.standing = Some(given);
            now_standing = Some(verdict.status);
            self.recent.retain(|id| *id != verdict.alert_id);
            self.recent.push_back(verdict.alert_id.clone());
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
            self.count(row, old, verdict.status.is_right());
        } else if let Some(before) = before {
            said = Some(format!(
                "noted, and nothing changes: verdict {} ({}, {}) is later",
                before.id,
                before.status.slug(),
                before.at
            ));
        }
        if let Some(known) = self.alerts.get(&verdict.alert_id).cloned() {
            self.store(&verdict.alert_id, &known);
        }
        Judged {
            result: AnswerResult::Applied,
            reason: said,
            now_standing,
        }
    }

    fn count(&mut self, row: (String, String), old: Option<bool>, new: bool) {
        if old == Some(new) {
            return;
        }
        if self.precision.len() >= MAX_RULES && !self.precision.contains_key(&row) {
            return;
        }
        let key = [PRECISION, row.0.as_bytes(), b"\0", row.1.as_bytes()].concat();
        let tally = self.precision.entry(row).or_default();
        let side = |tally: &mut Tally, right: bool, by: i64| {
            let side = if right {
                &mut tally.right
            } else {
                &mut tally.wrong
            };
            *side = side.saturating_add_signed(by);
        };
        if let Some(old) = old {
            side(tally, old, -1);
        }
        side(tally, new, 1);
        let value = serde_json::to_vec(tally).unwrap_or_default();
        self.changes.push((key, Some(value)));
    }

    fn store(&mut self, id: &str, known: &Known) {
        // Strings and numbers: this cannot fail.
        let value = serde_json::to_vec(known).unwrap_or_default();
        self.changes.push((alert_key(id), Some(value)));
    }

    /// What has to be stored since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The alert, if it can be judged.
    pub fn alert(&self, id: &str) -> Option<&Known> {
        self.alerts.get(id)
    }

    /// Latest verdicts with their alerts, the newest first.
    pub fn recent(&self) -> impl Iterator<Item = (&str, &Known, &Standing)> {
        self.recent.iter().rev().filter_map(|id| {
            let known = self.alerts.get(id)?;
            Some((id.as_str(), known, known.standing.as_ref()?))
        })
    }

    /// Every rule that was judged, as (device or camera, rule).
    pub fn precision(&self) -> impl Iterator<Item = (&str, &str, Tally)> {
        let rows = self.precision.iter();
        rows.map(|((device, rule), tally)| (device.as_str(), rule.as_str(), *tally))
    }
}

fn alert_key(id: &str) -> Vec<u8> {
    [ALERT, id.as_bytes()].concat()
}

fn kept(reason: &str) -> String {
    match reason.char_indices().nth(KEPT_REASON) {
        Some((end, _)) => format!("{}…", reason.get(..end).unwrap_or_default()),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
