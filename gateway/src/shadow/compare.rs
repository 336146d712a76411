//! Which alerts of two sides are the same: pure, takes `now`.
//!
//! Two alerts are the same if they are of one kind on one camera, were open at the same time or
//! within [`NEAR`] of it, and what they were about overlapped in the picture.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use wangge_protocol::EventKind;

use crate::{
    clock::Now,
    config::{Among, Camera, Condition, Config, Rule},
    observation::{Observation, Quality, Value, Witnessed},
    rules::{Engine, Finding, Transition},
    vision::wire::OBJECT,
};

use super::ledger::{Compared, Line, Side};

/// An alert waits so long after its end for its match on the other side.
pub const NEAR: Duration = Duration::from_secs(30);
/// Least overlap (intersection over union) of what two alerts are about.
pub const MIN_OVERLAP: f32 = 0.3;
/// Alerts that are compared at once; beyond, the oldest is written down as it is.
pub const MAX_OPEN: usize = 512;
/// How often the numbers of looks are written down.
const LOOKS_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// All comparisons of a station.
#[derive(Debug)]
pub struct Comparisons {
    time_zone: TimeZone,
    model: Option<Comparison>,
    zone: Option<Comparison>,
    /// Camera and zone of each shadow zone.
    shadow_zones: Vec<(Arc<str>, Arc<str>)>,
    /// Looks of both models since they were last written down.
    looks: BTreeMap<Arc<str>, (u64, u64)>,
    looks_written: Duration,
}

impl Comparisons {
    /// `None` where nothing is compared.
    pub fn new(config: &Config, now: Now) -> Option<Self> {
        let has_model = config.vision.as_ref().is_some_and(|v| v.shadow.is_some());
        Self::of(
            &config.cameras,
            has_model,
            config.station.time_zone.clone(),
            now,
        )
    }

    /// For these cameras, with a shadow model or without.
    pub fn of(
        cameras: &[Arc<Camera>],
        has_model: bool,
        time_zone: TimeZone,
        now: Now,
    ) -> Option<Self> {
        let engine = |rules: &dyn Fn(&Camera) -> Vec<Arc<Rule>>| {
            let cameras: Vec<_> = cameras
                .iter()
                .map(|camera| {
                    Arc::new(Camera {
                        rules: rules(camera),
                        ..Camera::clone(camera)
                    })
                })
                .collect();
            Engine::new(&[], &cameras, time_zone.clone(), &[], now)
        };
        let live = |camera: &Camera| -> Vec<_> { camera.rules.iter().filter_map(whole).collect() };
        // A live zone of a kind that is not tried says nothing about what is.
        let of_tried_kinds = |camera: &Camera| -> Vec<_> {
            let mut rules = live(camera);
            let tried = camera.zones.iter().filter_map(|z| z.shadow.as_ref());
            rules.retain(|rule| tried.clone().any(|t| t.kind == rule.kind));
            rules
        };
        let tried = |camera: &Camera| -> Vec<_> {
            camera
                .zones
                .iter()
                .filter_map(|z| whole(z.shadow.as_ref()?))
                .collect()
        };
        let shadow_zones: Vec<_> = cameras
            .iter()
            .flat_map(|c| c.zones.iter().map(move |z| (c, z)))
            .filter(|(_, zone)| zone.shadow.is_some())
            .map(|(camera, zone)| (Arc::clone(&camera.id), Arc::clone(&zone.id)))
            .collect();
        let model =
            has_model.then(|| Comparison::new(Compared::Model, engine(&live), engine(&live)));
        let zone = (!shadow_zones.is_empty())
            .then(|| Comparison::new(Compared::Zone, engine(&of_tried_kinds), engine(&tried)));
        (model.is_some() || zone.is_some()).then(|| Comparisons {
            time_zone,
            model,
            zone,
            shadow_zones,
            looks: BTreeMap::new(),
            looks_written: now.mono,
        })
    }

    /// Takes what was seen.
    pub fn take(&mut self, seen: Witnessed, now: Now, out: &mut Vec<Line>) {
        match seen {
            Witnessed::Live(observation) => {
                // A model without a class for it cannot see what lies there.
                let classless =
                    matches!(&observation.value, Value::Sighting(s) if s.label == OBJECT);
                if let Some(model) = self.model.as_mut().filter(|_| !classless) {
                    model.step(Side::Live, &observation, now);
                }
                if let Some(zone) = &mut self.zone {
                    zone.step(Side::Live, &observation, now);
                }
            }
            Witnessed::Shadow(observation) => {
                let tried = matches!(&observation.value, Value::Sighting(s)
                    if self.shadow_zones.iter().any(|(c, z)| *c == observation.subject && *z == s.zone));
                let comparison = if tried {
                    &mut self.zone
                } else {
                    &mut self.model
                };
                if let Some(comparison) = comparison {
                    comparison.step(Side::Shadow, &observation, now);
                }
            }
            Witnessed::Permits(permits) => {
                let permits = Observation {
                    subject: "permits".into(),
                    at: now.wall,
                    value: Value::Permits(permits),
                    quality: Quality::Good,
                };
                for comparison in [&mut self.model, &mut self.zone].into_iter().flatten() {
                    comparison.step(Side::Live, &permits, now);
                    comparison.step(Side::Shadow, &permits, now);
                }
            }
            Witnessed::Looks {
                subject,
                live,
                shadow,
            } => {
                let looks = self.looks.entry(subject).or_default();
                looks.0 += live;
                looks.1 += shadow;
            }
        }
        self.tick(now, out);
    }

    /// Writes down what is over.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Line>) {
        for comparison in [&mut self.model, &mut self.zone].into_iter().flatten() {
            comparison.tick(now, &self.time_zone, out);
        }
        if now.mono.saturating_sub(self.looks_written) >= LOOKS_EVERY {
            self.write_looks(now, out);
        }
    }

    /// Writes down all there is, at the end.
    pub fn finish(&mut self, now: Now, out: &mut Vec<Line>) {
        for comparison in [&mut self.model, &mut self.zone].into_iter().flatten() {
            comparison.finish(&self.time_zone, out);
        }
        self.write_looks(now, out);
    }

    fn write_looks(&mut self, now: Now, out: &mut Vec<Line>) {
        self.looks_written = now.mono;
        let looks = std::mem::take(&mut self.looks);
        let has_model = self.model.is_some();
        let looked = looks
            .into_iter()
            .filter(|(_, looks)| has_model && looks.0 > 0);
        out.extend(looked.map(|(camera, (live, shadow))| Line::Looks {
            day: day(now.wall, &self.time_zone),
            camera: camera.to_string(),
            live,
            shadow,
        }));
    }
}

/// A zone's rule for all that is there, since a shadow does not tell what was left after use from
/// what has come.
fn whole(rule: &Arc<Rule>) -> Option<Arc<Rule>> {
    let mut rule = Rule::clone(rule);
    match &mut rule.when {
        Condition::Presence { among, .. } if *among != Among::LeftBehind => *among = Among::All,
        _ => return None,
    }
    Some(Arc::new(rule))
}

/// The station's calendar day.
fn day(at: Timestamp, time_zone: &TimeZone) -> String {
    at.to_zoned(time_zone.clone()).date().to_string()
}

#[derive(Debug)]
struct Comparison {
    compared: Compared,
    live: Engine,
    shadow: Engine,
    episodes: Vec<Episode>,
}

/// One alert of one side.
#[derive(Debug)]
struct Episode {
    side: Side,
    subject: Arc<str>,
    rule: String,
    zone: String,
    kind: EventKind,
    since: Timestamp,
    dwell: Duration,
    bbox: [f32; 4],
    label: String,
    score: f32,
    /// When (monotonic) it ended.
    ended: Option<Duration>,
    matched: bool,
}

impl Episode {
    fn line(self, compared: Compared, time_zone: &TimeZone) -> Line {
        Line::Alert {
            day: day(self.since, time_zone),
            compared,
            side: self.side,
            camera: self.subject.to_string(),
            zone: self.zone,
            kind: self.kind,
            since: self.since.to_string(),
            dwell_s: self.dwell.as_secs_f64(),
            matched: self.matched,
            label: self.label,
            score: self.score,
        }
    }
}

impl Comparison {
    fn new(compared: Compared, live: Engine, shadow: Engine) -> Self {
        Comparison {
            compared,
            live,
            shadow,
            episodes: Vec::new(),
        }
    }

    fn step(&mut self, side: Side, observation: &Observation, now: Now) {
        let engine = match side {
            Side::Live => &mut self.live,
            Side::Shadow => &mut self.shadow,
        };
        let mut findings = Vec::new();
        engine.step(observation, now, &mut findings);
        for finding in findings {
            self.found(side, finding, now);
        }
        if let Value::Sighting(seen) = &observation.value
            && seen.present
        {
            let open = self.episodes.iter_mut().filter(|e| {
                e.side == side
                    && e.ended.is_none()
                    && e.subject == observation.subject
                    && e.zone == *seen.zone
            });
            for episode in open {
                episode.bbox = seen.bbox;
                episode.dwell = episode.dwell.max(seen.dwell);
                episode.score = episode.score.max(seen.score);
            }
            self.pair(side, &observation.subject);
        }
    }

    fn found(&mut self, side: Side, finding: Finding, now: Now) {
        match finding.what {
            Transition::Began => {
                let Some(seen) = finding.sighting else { return };
                self.episodes.push(Episode {
                    side,
                    subject: finding.subject,
                    rule: finding.rule,
                    zone: seen.zone,
                    kind: finding.kind,
                    since: finding.at,
                    dwell: Duration::from_secs_f64(seen.dwell_s.max(0.0)),
                    bbox: seen.bbox,
                    label: seen.label,
                    score: seen.score,
                    ended: None,
                    matched: false,
                });
            }
            Transition::Ended => {
                let open = self.episodes.iter_mut().filter(|e| {
                    e.side == side
                        && e.ended.is_none()
                        && e.subject == finding.subject
                        && e.rule == finding.rule
                });
                open.for_each(|e| e.ended = Some(now.mono));
            }
            Transition::Continues => {}
        }
    }

    /// Marks alerts of this side on this camera, and those of the other, that are the same.
    fn pair(&mut self, side: Side, subject: &Arc<str>) {
        for index in 0..self.episodes.len() {
            let Some((before, rest)) = self.episodes.split_at_mut_checked(index) else {
                return;
            };
            let Some((mine, after)) = rest.split_first_mut() else {
                return;
            };
            if mine.side != side || mine.ended.is_some() || mine.subject != *subject {
                continue;
            }
            for other in before.iter_mut().chain(after) {
                let same = other.side != side
                    && other.subject == mine.subject
                    && other.kind == mine.kind
                    && iou(other.bbox, mine.bbox) >= MIN_OVERLAP;
                if same {
                    (mine.matched, other.matched) = (true, true);
                }
            }
        }
    }

    fn tick(&mut self, now: Now, time_zone: &TimeZone, out: &mut Vec<Line>) {
        let compared = self.compared;
        let over = |e: &mut Episode| {
            e.ended
                .is_some_and(|ended| now.mono.saturating_sub(ended) > NEAR)
        };
        out.extend(
            self.episodes
                .extract_if(.., over)
                .map(|e| e.line(compared, time_zone)),
        );
        let surplus = self.episodes.len().saturating_sub(MAX_OPEN);
        out.extend(
            self.episodes
                .drain(..surplus)
                .map(|e| e.line(compared, time_zone)),
        );
    }

    fn finish(&mut self, time_zone: &TimeZone, out: &mut Vec<Line>) {
        let compared = self.compared;
        out.extend(self.episodes.drain(..).map(|e| e.line(compared, time_zone)));
    }
}

/// Intersection over union.
fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |[l, t, r, b]: [f32; 4]| (r - l).max(0.0) * (b - t).max(0.0);
    let both = area([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]);
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}
