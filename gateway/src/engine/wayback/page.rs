//! What the console shows of the way back.

use std::{collections::BTreeMap, sync::PoisonError};

use super::Engine;
use crate::console::{Precision, RecentVerdict, SilenceStatus, VerdictsStatus};

/// Rules whose precision is shown, those that were judged most often.
const SHOWN: usize = 500;

impl Engine {
    /// Renews what the console shows of verdicts.
    pub(in crate::engine) fn show_verdicts(&mut self) {
        let now = self.clock.now();
        let silences = self.ledger.silenced(now).map(|silence| SilenceStatus {
            subject: silence.subject.to_owned(),
            rule: silence.rule.to_owned(),
            until: silence.until.to_string(),
        });
        let silences: Vec<_> = silences.collect();
        let Some(way) = &mut self.way else { return };
        let changed = silences.len()
            != self
                .progress
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .verdicts
                .silences
                .len();
        if std::mem::replace(&mut way.is_shown, true) && !changed {
            return;
        }
        let recent = way
            .book
            .recent()
            .map(|(alert, known, standing)| RecentVerdict {
                alert: alert.to_owned(),
                subject: known.device.clone(),
                rule: known.rule.clone(),
                kind: known.kind,
                status: standing.status,
                at: standing.at.to_string(),
                reason: standing.reason.clone(),
                case_no: standing.case_no.clone(),
                picture: standing.picture.clone(),
                by: standing.by.clone(),
            });
        let recent = recent.collect();
        let mut precision: Vec<_> = way.book.precision().collect();
        precision.sort_by_key(|(_, _, tally)| std::cmp::Reverse(tally.judged()));
        precision.truncate(SHOWN);
        let precision = precision
            .into_iter()
            .map(|(subject, rule, tally)| Precision {
                subject: subject.to_owned(),
                rule: rule.to_owned(),
                right: tally.right,
                wrong: tally.wrong,
                share: tally.share(),
                interval: tally.interval(),
            });
        let verdicts = VerdictsStatus {
            by_status: slugs(way.by_status.iter().map(|(status, n)| (status.slug(), *n))),
            answers: slugs(way.by_result.iter().map(|(result, n)| (result.slug(), *n))),
            deferred: way.deferred,
            recent,
            precision: precision.collect(),
            silences,
            reloaded: way.reloaded.clone(),
        };
        self.progress().verdicts = verdicts;
    }
}

fn slugs<'s>(counts: impl Iterator<Item = (&'s str, u64)>) -> BTreeMap<String, u64> {
    counts.map(|(slug, n)| (slug.to_owned(), n)).collect()
}
