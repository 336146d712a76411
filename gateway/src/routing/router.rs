//! Follows every alert from tier to tier.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use wangge_protocol::{
    AlertState, Digest, EventKind, EvidenceRef, Routing, Severity, Tier, VerdictStatus,
};

use super::{
    DayRow, JUMP, MEMORY, Plan, Route, SETTLED_MEMORY, Start, StateChange, WorkTime,
    digest::Book,
    entry::{self, Entry, Stored},
};
use crate::{clock::Now, config::Config};

/// What the router has to know of a message about an alert.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub alert_id: &'a str,
    pub kind: EventKind,
    pub severity: Severity,
    pub state: AlertState,
    pub evidence: &'a [EvidenceRef],
}

/// Where a message goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    /// Uplinks, by their place in the configuration.
    pub uplinks: Vec<u8>,
    /// What the message says of it; nothing at a station without tiers.
    pub routing: Option<Routing>,
    /// Whether a copy has to be held, so that the pictures are still there when the alert goes
    /// to another tier.
    pub hold: bool,
}

/// An alert that has to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    pub alert_id: String,
    pub from: Tier,
    pub to: Tier,
    /// Whether it goes on because `from` did not settle it in time; else nobody serves that tier
    /// any more.
    pub late: bool,
    /// Its first pictures.
    pub evidence: Vec<EvidenceRef>,
}

/// Where an open alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The highest tier that has it.
    pub tier: Tier,
    /// While somebody still has time.
    pub deadline: Option<Timestamp>,
    /// The deadline passed, there is no higher tier, and nobody has answered.
    pub late: bool,
}

/// See the module's parent.
#[derive(Debug)]
pub struct Router {
    plan: Plan,
    work: WorkTime,
    /// Uplinks that carry alerts, with their tiers; none means all that there is.
    uplinks: Vec<(u8, Vec<Tier>)>,
    /// Tiers that an uplink serves.
    served: BTreeSet<Tier>,
    alerts: BTreeMap<String, Entry>,
    /// On the way to another tier: who had it until now.
    moving: BTreeMap<String, (Tier, Counted)>,
    book: Book,
    /// To be stored.
    dirty: BTreeSet<String>,
    /// Whether copies need not be held any longer.
    released: bool,
    clock: Option<Now>,
}

/// Whether leaving a tier counts as late there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Late,
    Moved,
}

impl Router {
    /// The router of a station as an earlier run left it in `state`; keys of others are passed
    /// over. The second part says what could not be read.
    pub fn restore(config: &Config, state: &[(Vec<u8>, Vec<u8>)]) -> (Router, Vec<String>) {
        let uplinks: Vec<_> = (0u8..)
            .zip(&config.uplinks)
            .filter(|(_, uplink)| uplink.alerts)
            .map(|(index, uplink)| (index, uplink.tiers.clone()))
            .collect();
        let profile = &config.profile;
        let mut router = Router {
            plan: profile.routing.clone(),
            work: WorkTime {
                hours: profile.working.hours.clone(),
                urgent: profile.working.urgent.clone(),
                days: config.calendars.days.clone(),
                time_zone: config.station.time_zone.clone(),
            },
            served: uplinks.iter().flat_map(|(_, t)| t).copied().collect(),
            uplinks,
            alerts: BTreeMap::new(),
            moving: BTreeMap::new(),
            book: Book::default(),
            dirty: BTreeSet::new(),
            released: true,
            clock: None,
        };
        let mut unreadable = Vec::new();
        for (key, value) in state {
            match entry::decode(key, value) {
                None => {}
                Some(Ok(Stored::Route(alert_id, entry))) => {
                    router.alerts.insert(alert_id, entry);
                }
                Some(Ok(Stored::Day(date, kind, counts))) => router.book.put(date, kind, counts),
                Some(Ok(Stored::Digested(date))) => router.book.digested = Some(date),
                Some(Err(reason)) => unreadable.push(reason),
            }
        }
        (router, unreadable)
    }

    /// Holidays and make-up days are those of `config` from now on, for deadlines to come.
    pub fn reconfigure(&mut self, config: &Config) {
        self.work.days = config.calendars.days.clone();
    }

    /// Every uplink that carries alerts.
    pub fn uplinks(&self) -> Vec<u8> {
        self.uplinks.iter().map(|(index, _)| *index).collect()
    }

    /// Where a message of the ledger goes; follows what it says.
    pub fn step(&mut self, change: Change<'_>, now: Now) -> Routed {
        self.watch_clock(now);
        let moved = self.moving.remove(change.alert_id);
        if !self.alerts.contains_key(change.alert_id) {
            if change.state != AlertState::Raised {
                // Raised by an earlier program, or its entry was lost: everyone may have it.
                return self.everywhere();
            }
            let entry = self.begin(change, now);
            self.book
                .count(self.date(now), entry.kind, entry.tier, |c| &mut c.received);
            self.alerts.insert(change.alert_id.to_owned(), entry);
        }
        let date = self.date(now);
        let tiers = !self.served.is_empty();
        let Some(entry) = self.alerts.get_mut(change.alert_id) else {
            return Routed::default(); // It was put there above.
        };
        let before = entry.clone();
        let mut begun_again = false;
        if entry.evidence.is_empty() {
            entry.evidence = change.evidence.to_vec();
        }
        match change.state {
            AlertState::Cleared => entry.over = Some(now.wall),
            AlertState::Raised | AlertState::Updated => {
                if entry.settled && entry.over.is_some() {
                    begun_again = true;
                }
                entry.over = None;
            }
        }
        if let Some((from, counted)) = moved {
            let tier = entry.tier;
            if counted == Counted::Late {
                self.book.count(date, entry.kind, from, |c| &mut c.late);
                self.book
                    .count(date, entry.kind, from, |c| &mut c.escalated);
            } else {
                // It leaves no trace at a tier that is no more.
                self.book.count(date, entry.kind, from, |c| &mut c.in_time);
            }
            self.book.count(date, entry.kind, tier, |c| &mut c.received);
            self.dirty.insert(change.alert_id.to_owned());
        }
        if *entry != before || change.state == AlertState::Raised {
            self.dirty.insert(change.alert_id.to_owned());
        }
        if begun_again {
            self.begin_again(change.alert_id, now);
        }
        let Some(entry) = self.alerts.get(change.alert_id).cloned() else {
            return Routed::default();
        };
        let needed = self.needs_pictures(&entry);
        let hold = needed && !change.evidence.is_empty();
        self.released |= before != entry && !needed;
        Routed {
            uplinks: self.uplinks_of(&entry.reach),
            routing: tiers.then(|| Routing {
                tier: entry.tier,
                escalated_from: moved.map(|(from, _)| from),
                deadline: entry
                    .deadline
                    .filter(|_| entry.waits())
                    .map(|at| at.to_string()),
            }),
            hold,
        }
    }

    /// The platform, or somebody at the station, decided about an alert: from now on nobody
    /// waits for them. `false` if no such alert is open.
    pub fn verdict(&mut self, alert_id: &str, status: VerdictStatus, now: Now) -> bool {
        self.watch_clock(now);
        let date = self.date(now);
        let Some(entry) = self.alerts.get_mut(alert_id) else {
            return false;
        };
        let done = match status {
            VerdictStatus::Accepted | VerdictStatus::Filed => false,
            VerdictStatus::Rejected | VerdictStatus::Resolved | VerdictStatus::Closed => true,
        };
        if !entry.answered {
            entry.answered = true;
            if !entry.late {
                let (kind, tier) = (entry.kind, entry.tier);
                self.book.count(date, kind, tier, |c| &mut c.in_time);
            }
        }
        entry.settled = done;
        self.dirty.insert(alert_id.to_owned());
        self.released = true;
        true
    }

    /// What has become due by `now`: for each of these the ledger writes a message, and
    /// [`Router::step`] takes it. An alert whose message does not come is due again.
    ///
    /// When the wall clock was set while the program ran, the time that has passed stays what
    /// the monotonic clock says: whatever began before goes along with the clock.
    pub fn tick(&mut self, now: Now) -> Vec<Escalation> {
        self.watch_clock(now);
        let date = self.date(now);
        let mut due = Vec::new();
        let mut gone = Vec::new();
        for (alert_id, entry) in &mut self.alerts {
            if let Some(over) = entry.over {
                let memory = if entry.settled {
                    SETTLED_MEMORY
                } else {
                    MEMORY
                };
                if later(over, memory) <= now.wall {
                    if !entry.answered && !entry.late {
                        let (kind, tier) = (entry.kind, entry.tier);
                        self.book.count(date, kind, tier, |c| &mut c.in_time);
                    }
                    gone.push(alert_id.clone());
                }
                continue;
            }
            let unserved = is_stranded(&self.uplinks, &self.served, entry);
            let overdue = entry.waits() && entry.deadline.is_some_and(|at| at <= now.wall);
            if !unserved && !overdue {
                continue;
            }
            match next(&self.served, &self.uplinks, entry.tier, unserved) {
                Some(to) => due.push(Escalation {
                    alert_id: alert_id.clone(),
                    from: entry.tier,
                    to,
                    late: overdue,
                    evidence: entry.evidence.clone(),
                }),
                None if overdue => {
                    entry.late = true;
                    self.book
                        .count(date, entry.kind, entry.tier, |c| &mut c.late);
                    self.dirty.insert(alert_id.clone());
                    self.released = true;
                }
                None => {}
            }
        }
        for alert_id in gone {
            self.alerts.remove(&alert_id);
            self.dirty.insert(alert_id);
            self.released = true;
        }
        for escalation in &due {
            self.go_on(escalation, now);
        }
        due
    }

    /// The message of an escalation could not be made, because the alert is not open any more:
    /// it ended in time.
    pub fn forget(&mut self, alert_id: &str, now: Now) {
        let moved = self.moving.remove(alert_id);
        if let Some(entry) = self.alerts.remove(alert_id) {
            let tier = moved.map_or(entry.tier, |(from, _)| from);
            let date = self.date(now);
            if !entry.answered && !entry.late {
                self.book.count(date, entry.kind, tier, |c| &mut c.in_time);
            }
            self.dirty.insert(alert_id.to_owned());
            self.released = true;
        }
    }

    /// Forgets alerts that the ledger does not hold open, because its own entry of them was lost.
    pub fn reconcile<'a>(&mut self, open: impl Iterator<Item = &'a str>, now: Now) {
        let open: BTreeSet<&str> = open.collect();
        let lost = self
            .alerts
            .iter()
            .filter(|(id, entry)| entry.over.is_none() && !open.contains(id.as_str()));
        let lost: Vec<String> = lost.map(|(id, _)| id.clone()).collect();
        for alert_id in lost {
            self.forget(&alert_id, now);
        }
    }

    /// What changed since the last call; to be stored with the messages that came of it.
    pub fn take_state(&mut self) -> Vec<StateChange> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut state: Vec<_> = dirty
            .iter()
            .map(|id| entry::route(id, self.alerts.get(id)))
            .collect();
        self.book.take_state(&mut state);
        state
    }

    /// Whether there may be an alert of which no copy has to be held any longer, since the last
    /// call; true at first, for what an earlier run held.
    pub fn take_released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    /// Whether a copy of this alert's messages is needed.
    pub fn holds(&self, alert_id: &str) -> bool {
        self.alerts
            .get(alert_id)
            .is_some_and(|entry| self.needs_pictures(entry))
    }

    /// Where an open alert is, at a station with tiers.
    pub fn whereabouts(&self, alert_id: &str) -> Option<Whereabouts> {
        let entry = self.alerts.get(alert_id)?;
        (!self.served.is_empty()).then(|| Whereabouts {
            tier: entry.tier,
            deadline: entry.deadline.filter(|_| entry.waits()),
            late: entry.late && !entry.answered,
        })
    }

    /// Figures of every day that is kept, the oldest first.
    pub fn days(&self) -> Vec<DayRow> {
        self.book.rows()
    }

    /// Changes whenever [`Router::days`] does.
    pub fn days_version(&self) -> u64 {
        self.book.version
    }

    /// The digest that is due at `now`, in parts, and the uplinks that it goes to.
    pub fn digest(&mut self, now: Now, station: &str) -> (Vec<Digest>, Vec<u8>) {
        let Some(plan) = self.plan.digest.filter(|_| !self.served.is_empty()) else {
            return (Vec::new(), Vec::new());
        };
        let local = self.time_zone().to_datetime(now.wall);
        let open = self.alerts.values().filter(|entry| entry.waits()).count();
        let digest = self.book.due(plan, local, station, open as u64);
        (digest, self.uplinks_of(&[self.place(plan.tier)]))
    }

    fn time_zone(&self) -> &TimeZone {
        &self.work.time_zone
    }

    fn date(&self, now: Now) -> jiff::civil::Date {
        self.time_zone().to_datetime(now.wall).date()
    }

    fn everywhere(&self) -> Routed {
        Routed {
            uplinks: self.uplinks(),
            routing: None,
            hold: false,
        }
    }

    fn begin(&self, change: Change<'_>, now: Now) -> Entry {
        let route = self.plan.route(change.kind, change.severity);
        let (tier, reach) = match route.start {
            _ if self.served.is_empty() => (Tier::City, Tier::ALL.to_vec()),
            Start::All => {
                let all: Vec<Tier> = Tier::ALL.into_iter().skip(1).collect();
                let served: Vec<_> = all.into_iter().map(|tier| self.place(tier)).collect();
                let top = served.iter().max().copied().unwrap_or(Tier::City);
                (top, served)
            }
            Start::At(tier) => (self.place(tier), vec![self.place(tier)]),
        };
        Entry {
            version: Entry::VERSION,
            kind: change.kind,
            severity: change.severity,
            tier,
            reach,
            since: now.wall,
            deadline: self.deadline(route, now.wall),
            answered: false,
            settled: false,
            late: false,
            over: None,
            evidence: Vec::new(),
        }
    }

    /// What was settled goes on after all: whoever has it has as long as at first.
    fn begin_again(&mut self, alert_id: &str, now: Now) {
        let Some(entry) = self.alerts.get(alert_id) else {
            return;
        };
        let route = self.plan.route(entry.kind, entry.severity);
        let deadline = self.deadline(route, now.wall);
        let date = self.date(now);
        if let Some(entry) = self.alerts.get_mut(alert_id) {
            entry.since = now.wall;
            entry.deadline = deadline;
            entry.answered = false;
            entry.settled = false;
            entry.late = false;
            let (kind, tier) = (entry.kind, entry.tier);
            self.book.count(date, kind, tier, |c| &mut c.received);
        }
    }

    fn deadline(&self, route: Route, since: Timestamp) -> Option<Timestamp> {
        if self.served.is_empty() {
            return None;
        }
        self.work.due(since, route.deadline?)
    }

    /// The tier that gets what is meant for `tier`. The community always has its own.
    fn place(&self, tier: Tier) -> Tier {
        let serves = |t: &Tier| *t == Tier::Community || self.served.contains(t);
        if serves(&tier) {
            return tier;
        }
        let above = self.served.iter().find(|t| **t > tier);
        let below = self.served.iter().rev().find(|t| **t < tier);
        above.or(below).copied().unwrap_or(tier)
    }

    fn uplinks_of(&self, reach: &[Tier]) -> Vec<u8> {
        let gets = |tiers: &[Tier]| tiers.is_empty() || tiers.iter().any(|t| reach.contains(t));
        self.uplinks
            .iter()
            .filter(|(_, tiers)| gets(tiers))
            .map(|(index, _)| *index)
            .collect()
    }

    /// Pictures are needed while an alert may go to a tier that does not have them yet, and
    /// while the community deals with one that nobody else has.
    fn needs_pictures(&self, entry: &Entry) -> bool {
        let open = entry.over.is_none() && !entry.answered && !entry.late;
        let above = next(&self.served, &self.uplinks, entry.tier, false).is_some();
        open && !self.served.is_empty()
            && (entry.tier == Tier::Community || (above && entry.deadline.is_some()))
    }

    fn go_on(&mut self, escalation: &Escalation, now: Now) {
        let Some(entry) = self.alerts.get(&escalation.alert_id) else {
            return;
        };
        let route = self.plan.route(entry.kind, entry.severity);
        let deadline = self.deadline(route, now.wall);
        let all = self.served.is_empty();
        if let Some(entry) = self.alerts.get_mut(&escalation.alert_id) {
            entry.tier = escalation.to;
            if !entry.reach.contains(&escalation.to) {
                entry.reach.push(escalation.to);
            }
            if all {
                entry.reach = Tier::ALL.to_vec();
            }
            entry.since = now.wall;
            entry.deadline = deadline;
        }
        let counted = if escalation.late {
            Counted::Late
        } else {
            Counted::Moved
        };
        self.moving
            .insert(escalation.alert_id.clone(), (escalation.from, counted));
    }

    /// Moves what began before along when the wall clock was set.
    fn watch_clock(&mut self, now: Now) {
        let Some(known) = self.clock else {
            self.clock = Some(now);
            return;
        };
        let passed = SignedDuration::try_from(now.mono.saturating_sub(known.mono));
        let expected = passed.ok().and_then(|p| known.wall.checked_add(p).ok());
        let Some(expected) = expected else {
            return;
        };
        let jump = now.wall.duration_since(expected);
        if jump.unsigned_abs() < JUMP {
            return;
        }
        self.clock = Some(now);
        let moved: Vec<String> = self
            .alerts
            .iter()
            // What began after the time that the clock showed was written by a clock that was
            // ahead of it: the one that it is set to, as far as can be known.
            .filter(|(_, entry)| entry.since <= expected)
            .map(|(id, _)| id.clone())
            .collect();
        for id in moved {
            let Some(entry) = self.alerts.get(&id) else {
                continue;
            };
            let route = self.plan.route(entry.kind, entry.severity);
            let since = shift(entry.since, jump);
            let deadline = entry.deadline.and_then(|_| self.deadline(route, since));
            if let Some(entry) = self.alerts.get_mut(&id) {
                entry.since = since;
                entry.deadline = deadline;
                entry.over = entry.over.map(|over| shift(over, jump));
            }
            self.dirty.insert(id);
        }
    }
}

/// The tier that an alert goes on to: the next higher one that somebody serves. Where nobody
/// has the alert, the next lower one is better than none.
fn next(
    served: &BTreeSet<Tier>,
    uplinks: &[(u8, Vec<Tier>)],
    tier: Tier,
    unserved: bool,
) -> Option<Tier> {
    if served.is_empty() {
        return (unserved && !uplinks.is_empty()).then_some(Tier::City);
    }
    let above = served.iter().find(|t| **t > tier);
    let below = served.iter().rev().find(|_| unserved);
    above.or(below).copied()
}

/// Whether the tier that has an alert is no longer there: the configuration was changed.
fn is_stranded(uplinks: &[(u8, Vec<Tier>)], served: &BTreeSet<Tier>, entry: &Entry) -> bool {
    match served.is_empty() {
        true => !uplinks.is_empty() && entry.reach.len() < Tier::ALL.len(),
        false => entry.tier != Tier::Community && !served.contains(&entry.tier),
    }
}

fn shift(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
