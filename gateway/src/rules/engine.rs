//! Which conditions an observation concerns, and what to say when one changes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use wangge_protocol::{AlertMeasurement, AlertSighting, EventKind, Severity, Text};

use super::{
    Change, Finding, Reading, Transition,
    absence::Absence,
    flow::{self, NightFlow},
    health::{HealthChange, HealthLatch},
    presence::Presence,
    rate::Rate,
    threshold::Threshold,
};
use crate::{
    calendar::Permit,
    clock::Now,
    config::{Camera, Condition, Device, Rule},
    observation::{Health, Observation, Quality, Quantity, Sighting, Value},
    vision::wire::Role,
};

mod reload;

/// Rule id of alerts about parts of the gateway itself, which have no configuration: any
/// subject that is neither device nor camera and reports health.
pub const PART_RULE: &str = "health";

/// Parts of the gateway that may report; more would be a fault of ours, and is ignored.
pub const MAX_PARTS: usize = 64;

/// All conditions of all subjects.
#[derive(Debug)]
pub struct Engine {
    index: HashMap<Arc<str>, usize>,
    subjects: Vec<Subject>,
    parts: usize,
    /// Bins that overflow at the moment: rubbish beside one is the service's fault.
    full: HashSet<Arc<str>>,
    /// The permits that were said last, for conditions that come later.
    permits: Option<Arc<[Permit]>>,
    /// Whether the time of day is known; if not, nothing begins that depends on it.
    clock_known: bool,
}

/// One device, camera or part of the gateway.
#[derive(Debug)]
struct Subject {
    id: Arc<str>,
    /// By [`Quantity`], so that a reading meets only the rules about it.
    figures: [Vec<Ruled<Figure>>; Quantity::ALL.len()],
    presences: Vec<Ruled<Presence>>,
    healths: Vec<Ruled<HealthLatch>>,
    absences: Vec<Ruled<Absence>>,
    /// When it was last heard, monotonic.
    heard: Duration,
}

#[derive(Debug)]
struct Ruled<C> {
    rule: Arc<Rule>,
    condition: C,
}

/// A condition about one quantity.
#[derive(Debug)]
struct Figure {
    limit: f64,
    state: FigureState,
}

#[derive(Debug)]
enum FigureState {
    Threshold(Threshold),
    Rate(Rate),
    NightFlow(NightFlow),
}

impl Figure {
    /// Only a threshold says that a bin is full.
    fn is_open(&self) -> bool {
        matches!(&self.state, FigureState::Threshold(threshold) if threshold.is_open())
    }
}

impl Engine {
    /// An engine for these subjects.
    ///
    /// `open` names, as (subject, rule), the alerts that an earlier run left open: their
    /// conditions hold until an observation says otherwise, so they are neither raised again
    /// nor forgotten.
    pub fn new(
        devices: &[Arc<Device>],
        cameras: &[Arc<Camera>],
        tz: TimeZone,
        open: &[(Arc<str>, String)],
        now: Now,
    ) -> Engine {
        let mut engine = Engine {
            index: HashMap::new(),
            subjects: Vec::new(),
            parts: 0,
            full: HashSet::new(),
            permits: None,
            clock_known: true,
        };
        for device in devices {
            engine.add(Subject::new(device.id.clone(), &device.rules, &tz, now));
        }
        for camera in cameras {
            engine.add(Subject::new(camera.id.clone(), &camera.rules, &tz, now));
        }
        for (subject, rule) in open {
            if rule == PART_RULE && !engine.index.contains_key(subject) {
                engine.add_part(subject, now);
            }
            let known = engine.index.get(subject);
            if let Some(subject) = known.and_then(|&i| engine.subjects.get_mut(i)) {
                subject.latch(rule);
                if subject.overflows() {
                    engine.full.insert(subject.id.clone());
                }
            }
        }
        engine
    }

    /// Says whether the time of day is known. While it is not, conditions with hours or permits
    /// begin nothing and permit nothing: nobody is accused by a clock that nobody believes.
    pub fn set_clock(&mut self, known: bool) {
        self.clock_known = known;
    }

    /// Looks at one observation and appends what changed.
    ///
    /// Implausible values show that the device is alive and nothing else.
    pub fn step(&mut self, observation: &Observation, now: Now, out: &mut Vec<Finding>) {
        if let Value::Permits(permits) = &observation.value {
            return self.set_permits(permits);
        }
        if matches!(observation.value, Value::Health(_))
            && !self.index.contains_key(&observation.subject)
        {
            self.add_part(&observation.subject, now);
        }
        let clock_known = self.clock_known;
        let known = self.index.get(&observation.subject);
        let Some(subject) = known.and_then(|&i| self.subjects.get_mut(i)) else {
            return;
        };
        let at = match observation.quality {
            Quality::ClockSuspect => now.wall,
            Quality::Good | Quality::Implausible => observation.at,
        };
        if !matches!(observation.value, Value::Health(Health::Fault { .. })) {
            subject.heard(at, now, out);
        }
        if observation.quality == Quality::Implausible {
            return;
        }
        if !matches!(observation.value, Value::Health(_)) {
            subject.delivered(at, out);
        }
        match &observation.value {
            Value::Measurement { quantity, value } if value.is_finite() => {
                let reading = Reading {
                    value: *value,
                    at,
                    now,
                };
                subject.measured(*quantity, reading, clock_known, out);
                if !subject.overflows() {
                    self.full.remove(&subject.id);
                } else if !self.full.contains(&subject.id) {
                    self.full.insert(subject.id.clone());
                }
            }
            Value::Measurement { .. } => {}
            Value::Sighting(sighting) => {
                let times = (at, now.wall, clock_known);
                subject.seen(sighting, times, &self.full, out);
            }
            Value::Permits(_) => {}
            Value::Health(health) => subject.said(health, at, out),
        }
    }

    /// Looks at the time: who has been silent for too long. A second between two ticks is
    /// enough.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Finding>) {
        for subject in &mut self.subjects {
            subject.tick(now, self.clock_known, out);
        }
    }

    /// Takes these permits, all there are, in place of those that went before.
    pub fn set_permits(&mut self, permits: &Arc<[Permit]>) {
        self.permits = Some(permits.clone());
        let presences = self.subjects.iter_mut().flat_map(|s| &mut s.presences);
        presences.for_each(|p| p.condition.set_permits(permits));
    }

    fn add(&mut self, subject: Subject) {
        self.index.insert(subject.id.clone(), self.subjects.len());
        self.subjects.push(subject);
    }

    fn add_part(&mut self, id: &Arc<str>, now: Now) {
        if self.parts == MAX_PARTS {
            return;
        }
        self.parts += 1;
        let rule = Arc::new(Rule {
            id: PART_RULE.into(),
            kind: EventKind::StorageFault,
            severity: EventKind::StorageFault.default_severity(),
            when: Condition::Health,
            update_every: Duration::ZERO,
        });
        self.add(Subject::new(id.clone(), &[rule], &TimeZone::UTC, now));
    }
}

impl Subject {
    fn new(id: Arc<str>, rules: &[Arc<Rule>], tz: &TimeZone, now: Now) -> Subject {
        let mut subject = Subject {
            id,
            figures: Default::default(),
            presences: Vec::new(),
            healths: Vec::new(),
            absences: Vec::new(),
            heard: now.mono,
        };
        for rule in rules {
            subject.watch(rule.clone(), tz);
        }
        subject
    }

    fn watch(&mut self, rule: Arc<Rule>, tz: &TimeZone) {
        let (quantity, limit, state) = match &rule.when {
            Condition::Threshold {
                quantity,
                side,
                raise,
                clear,
                hold,
            } => (
                *quantity,
                *raise,
                FigureState::Threshold(Threshold::new(*side, *raise, *clear, *hold)),
            ),
            Condition::Rate {
                quantity,
                per_minute,
                window,
            } => (
                *quantity,
                *per_minute,
                FigureState::Rate(Rate::new(*per_minute, *window)),
            ),
            Condition::NightFlow {
                from,
                to,
                min_flow,
                hold,
            } => (
                Quantity::Flow,
                *min_flow,
                FigureState::NightFlow(NightFlow::new(tz.clone(), *from, *to, *min_flow, *hold)),
            ),
            Condition::Burst { flow, hold } => (
                Quantity::Flow,
                *flow,
                FigureState::Threshold(flow::burst(*flow, *hold)),
            ),
            Condition::Absence { after } => {
                let condition = Absence::new(*after);
                return self.absences.push(Ruled { rule, condition });
            }
            Condition::Presence {
                zone,
                labels,
                dwell,
                grace,
                bins,
                among,
                calendar,
            } => {
                let times = (*dwell, *grace);
                let (zone, labels) = (zone.clone(), labels.clone());
                let condition =
                    Presence::new(zone, labels, times, *among, calendar.clone(), bins.clone());
                return self.presences.push(Ruled { rule, condition });
            }
            Condition::Health => {
                let condition = HealthLatch::default();
                return self.healths.push(Ruled { rule, condition });
            }
        };
        let condition = Figure { limit, state };
        self.figures[quantity as usize].push(Ruled { rule, condition });
    }

    /// A bin that is full, whichever rule found it.
    fn overflows(&self) -> bool {
        let mut figures = self.figures.iter().flatten();
        figures.any(|f| f.rule.kind == EventKind::BinOverflow && f.condition.is_open())
    }

    fn latch(&mut self, rule: &str) {
        for ruled in self.figures.iter_mut().flatten() {
            if ruled.rule.id == rule {
                match &mut ruled.condition.state {
                    FigureState::Threshold(c) => c.latch(),
                    FigureState::Rate(c) => c.latch(),
                    FigureState::NightFlow(c) => c.latch(),
                }
            }
        }
        for ruled in self.presences.iter_mut().filter(|r| r.rule.id == rule) {
            ruled.condition.latch();
        }
        for ruled in self.healths.iter_mut().filter(|r| r.rule.id == rule) {
            ruled.condition.latch();
        }
        for ruled in self.absences.iter_mut().filter(|r| r.rule.id == rule) {
            ruled.condition.latch();
        }
    }

    fn heard(&mut self, at: Timestamp, now: Now, out: &mut Vec<Finding>) {
        self.heard = now.mono;
        for Ruled { rule, condition } in &mut self.absences {
            if let Some(change) = condition.heard() {
                out.push(finding(&self.id, rule, change, at));
            }
        }
    }

    fn delivered(&mut self, at: Timestamp, out: &mut Vec<Finding>) {
        for Ruled { rule, condition } in &mut self.healths {
            if let Some(change) = condition.delivered() {
                out.push(finding(&self.id, rule, change, at));
            }
        }
    }

    fn measured(
        &mut self,
        quantity: Quantity,
        reading: Reading,
        clock_known: bool,
        out: &mut Vec<Finding>,
    ) {
        for Ruled { rule, condition } in &mut self.figures[quantity as usize] {
            let change = match &mut condition.state {
                FigureState::Threshold(c) => c.look(reading),
                FigureState::Rate(c) => c.look(reading),
                FigureState::NightFlow(c) if clock_known => c.look(reading),
                FigureState::NightFlow(c) => c.look_without_clock(reading),
            };
            let Some(change) = change else { continue };
            out.push(Finding {
                measurement: Some(AlertMeasurement {
                    quantity: quantity.slug().into(),
                    value: reading.value,
                    unit: quantity.unit().into(),
                    limit: Some(condition.limit),
                }),
                ..finding(&self.id, rule, change, reading.at)
            });
        }
    }

    fn seen(
        &mut self,
        sighting: &Sighting,
        (at, wall, clock_known): (Timestamp, Timestamp, bool),
        full: &HashSet<Arc<str>>,
        out: &mut Vec<Finding>,
    ) {
        for Ruled { rule, condition } in &mut self.presences {
            let looked = match clock_known || condition.calendar().is_plain() {
                true => condition.look(sighting, at, wall),
                false => condition.look_without_clock(sighting),
            };
            let Some(looked) = looked else { continue };
            let bin = condition.full_bin(looked.change, full);
            // What ends an alert is no sighting of it.
            let shown = sighting.present && looked.change != Change::Ended;
            out.push(Finding {
                // Whoever found the bin full is not to be blamed for it.
                kind: bin.as_ref().map_or(rule.kind, |_| EventKind::BinOverflow),
                severity: match bin {
                    Some(_) => severity(rule, EventKind::BinOverflow),
                    None => rule.severity,
                },
                sighting: shown.then(|| AlertSighting {
                    zone: sighting.zone.to_string(),
                    label: sighting.label.clone(),
                    score: sighting.score,
                    bbox: sighting.bbox,
                    dwell_s: looked.dwell.as_secs_f64(),
                    track: sighting.track,
                    model: sighting.model.clone(),
                    model_hash: sighting.model_hash.clone(),
                    human_confirmed: false,
                    story: sighting.story.clone().filter(|_| bin.is_none()),
                    full_bin: bin.as_ref().map(ToString::to_string),
                    overrun: sighting.overrun,
                    forbidden_since: looked.ended.map(|e| e.forbidden_since.to_string()),
                    permit: looked.ended.map(|e| condition.calendar().words(e.by).name),
                }),
                evidence: sighting
                    .evidence
                    .iter()
                    .filter(|picture| bin.is_none() || !shows_people(&picture.role))
                    .cloned()
                    .collect(),
                reason: looked.note,
                ..finding(&self.id, rule, looked.change, at)
            });
        }
    }

    fn said(&mut self, health: &Health, at: Timestamp, out: &mut Vec<Finding>) {
        for Ruled { rule, condition } in &mut self.healths {
            let Some(change) = condition.look(health) else {
                continue;
            };
            let mut say = |what, kind: Option<EventKind>, reason: Option<&Text>| {
                let kind = kind.unwrap_or(rule.kind);
                out.push(Finding {
                    subject: self.id.clone(),
                    rule: rule.id.clone(),
                    kind,
                    severity: severity(rule, kind),
                    what,
                    at,
                    measurement: None,
                    sighting: None,
                    evidence: Vec::new(),
                    reason: reason.cloned(),
                });
            };
            let (kind, reason) = match health {
                Health::Fault { what, reason } => (Some(*what), Some(reason)),
                Health::Ok => (None, None),
            };
            match change {
                HealthChange::Began => say(Transition::Began, kind, reason),
                HealthChange::Reworded => say(Transition::Continues, kind, reason),
                HealthChange::Replaced(old) => {
                    say(Transition::Ended, Some(old), None);
                    say(Transition::Began, kind, reason);
                }
                HealthChange::Ended(old) => say(Transition::Ended, old, None),
            }
        }
    }

    fn tick(&mut self, now: Now, clock_known: bool, out: &mut Vec<Finding>) {
        for Ruled { rule, condition } in self.presences.iter_mut().filter(|_| clock_known) {
            let Some((at, why)) = condition.tick(now.wall) else {
                continue;
            };
            out.push(Finding {
                reason: Some(why),
                ..finding(&self.id, rule, Change::Ended, at)
            });
        }
        if self.absences.is_empty() {
            return;
        }
        let silent = now.mono.saturating_sub(self.heard);
        for Ruled { rule, condition } in &mut self.absences {
            // Its source already says so with its own reason; the same is not said twice.
            if self
                .healths
                .iter()
                .any(|h| h.condition.kind() == Some(rule.kind))
            {
                continue;
            }
            if condition.missing(silent) {
                let since = now.wall.checked_sub(silent).unwrap_or(now.wall);
                let change = Change::Began { since };
                out.push(finding(&self.id, rule, change, now.wall));
            }
        }
    }
}

/// Pictures of a story that show who brought something.
fn shows_people(role: &str) -> bool {
    [Role::Drop.slug(), Role::Leaving.slug()].contains(&role)
}

/// A kind that is not the rule's own brings its own severity.
fn severity(rule: &Rule, kind: EventKind) -> Severity {
    if kind == rule.kind {
        rule.severity
    } else {
        kind.default_severity()
    }
}

fn finding(subject: &Arc<str>, rule: &Rule, change: Change, at: Timestamp) -> Finding {
    let (what, at) = match change {
        Change::Began { since } => (Transition::Began, since),
        Change::Moved => (Transition::Continues, at),
        Change::Ended => (Transition::Ended, at),
    };
    Finding {
        subject: subject.clone(),
        rule: rule.id.clone(),
        kind: rule.kind,
        severity: rule.severity,
        what,
        at,
        measurement: None,
        sighting: None,
        evidence: Vec::new(),
        reason: None,
    }
}
