//! Figures of each day, and the digests that are made of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Weekday},
};
use serde::{Deserialize, Serialize};
use wangge_protocol::{Counts, Digest, DigestRow, EventKind, Tier};

use super::{DigestPlan, Every, StateChange, entry};

/// Days whose figures are kept.
pub const KEPT_DAYS: i32 = 62;
/// Rows of one message: with them it stays below the largest that is sent.
pub const ROWS: usize = 20;

/// One day's figures of one kind at one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRow {
    /// Local date of the station, e.g. `2026-11-26`.
    pub date: Date,
    pub kind: EventKind,
    pub tier: Tier,
    #[serde(flatten)]
    pub counts: Counts,
}

/// All figures that are kept.
#[derive(Debug, Default)]
pub(super) struct Book {
    days: BTreeMap<(Date, EventKind), BTreeMap<Tier, Counts>>,
    /// The last day that a digest told of.
    pub(super) digested: Option<Date>,
    pub(super) version: u64,
    dirty: BTreeSet<(Date, EventKind)>,
    digested_dirty: bool,
}

impl Book {
    pub(super) fn put(&mut self, date: Date, kind: EventKind, counts: BTreeMap<Tier, Counts>) {
        self.days.insert((date, kind), counts);
        self.version += 1;
    }

    /// One more.
    pub(super) fn count(
        &mut self,
        date: Date,
        kind: EventKind,
        tier: Tier,
        figure: impl FnOnce(&mut Counts) -> &mut u32,
    ) {
        let day = self.days.entry((date, kind)).or_default();
        let figure = figure(day.entry(tier).or_default());
        *figure = figure.saturating_add(1);
        self.dirty.insert((date, kind));
        self.version += 1;
        // Beginning a day is the moment to forget the oldest. Days after today are of a clock
        // that was wrong; they are kept as long as others.
        let oldest = date.checked_sub(KEPT_DAYS.days()).unwrap_or(Date::MIN);
        while let Some((&key, _)) = self.days.first_key_value()
            && key.0 <= oldest
        {
            self.days.remove(&key);
            self.dirty.insert(key);
        }
    }

    pub(super) fn take_state(&mut self, state: &mut Vec<StateChange>) {
        for (date, kind) in std::mem::take(&mut self.dirty) {
            state.push(entry::day(date, kind, self.days.get(&(date, kind))));
        }
        if std::mem::take(&mut self.digested_dirty)
            && let Some(date) = self.digested
        {
            state.push(entry::digested(date));
        }
    }

    pub(super) fn rows(&self) -> Vec<DayRow> {
        let rows = self.days.iter().flat_map(|(&(date, kind), tiers)| {
            tiers.iter().map(move |(&tier, &counts)| DayRow {
                date,
                kind,
                tier,
                counts,
            })
        });
        rows.collect()
    }

    /// The digest that is due at local time `now`, if one is.
    pub(super) fn due(
        &mut self,
        plan: DigestPlan,
        now: DateTime,
        station: &str,
        open: u64,
    ) -> Vec<Digest> {
        let Ok(yesterday) = now.date().yesterday() else {
            return Vec::new();
        };
        let last = match self.digested {
            Some(date) if date <= yesterday => date,
            // At first, and after the clock was set back: from today on.
            _ => {
                self.digested = Some(yesterday);
                self.digested_dirty = true;
                return Vec::new();
            }
        };
        let to = match plan.every {
            Every::Day => yesterday,
            Every::Week => last_sunday(now.date()),
        };
        // Its hour has come today, or it should have been sent on a day before.
        let missed = last_day_told_before(to, plan.every).is_some_and(|before| last < before);
        if to <= last || (now.time() < plan.at && to == yesterday && !missed) {
            return Vec::new();
        }
        let oldest = to.checked_sub((KEPT_DAYS - 1).days()).unwrap_or(to);
        let from = last.tomorrow().unwrap_or(to).max(oldest);
        self.digested = Some(to);
        self.digested_dirty = true;
        digest(station, from, to, open, self.sum(from, to))
    }

    fn sum(&self, from: Date, to: Date) -> Vec<DigestRow> {
        let mut sums: BTreeMap<(EventKind, Tier), Counts> = BTreeMap::new();
        for (&(date, kind), tiers) in &self.days {
            if (from..=to).contains(&date) {
                for (&tier, counts) in tiers {
                    sums.entry((kind, tier)).or_default().add(counts);
                }
            }
        }
        let rows = sums
            .into_iter()
            .map(|((kind, tier), counts)| DigestRow { kind, tier, counts });
        rows.collect()
    }
}

/// The last day of the digest before the one that ends on `to`.
fn last_day_told_before(to: Date, every: Every) -> Option<Date> {
    let days = match every {
        Every::Day => 1,
        Every::Week => 7,
    };
    to.checked_sub(days.days()).ok()
}

fn last_sunday(today: Date) -> Date {
    let since = match today.weekday() {
        Weekday::Sunday => 7,
        day => i32::from(day.to_monday_zero_offset()) + 1,
    };
    today.checked_sub(since.days()).unwrap_or(today)
}

/// In as many parts as its rows need; one where nothing happened.
fn digest(station: &str, from: Date, to: Date, open: u64, rows: Vec<DigestRow>) -> Vec<Digest> {
    let chunks: Vec<Vec<DigestRow>> = match rows.is_empty() {
        true => vec![Vec::new()],
        false => rows.chunks(ROWS).map(<[DigestRow]>::to_vec).collect(),
    };
    let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    (1..)
        .zip(chunks)
        .map(|(part, rows)| Digest {
            station: station.to_owned(),
            from: from.to_string(),
            to: to.to_string(),
            part,
            parts,
            open,
            rows,
        })
        .collect()
}
