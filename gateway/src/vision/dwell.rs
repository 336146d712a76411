//! How long something has been in a zone, and how long nothing has.
//!
//! Both are measured in media time and only from sighting to sighting: what was not watched
//! does not count, so no alert ever comes from missing frames.

use std::time::Duration;

use super::{
    track::Track,
    zone::{Polygon, foot},
};

/// Two sightings farther apart than this (media time) do not make what lies between them
/// presence, nor two empty looks emptiness.
pub const MAX_UNSEEN: Duration = Duration::from_secs(3);
/// Least media time between two reports of one track.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A track that was out of the zone for longer begins again from zero.
pub const FORGET: Duration = Duration::from_secs(10);

/// What a zone looks for.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Where.
    pub polygon: Polygon,
    /// Classes that count.
    pub classes: Vec<usize>,
    /// When a picture is due.
    pub dwell: Duration,
    /// When an empty zone is reported.
    pub grace: Duration,
}

/// Something to report.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A track in the zone.
    Present {
        track: u64,
        class: usize,
        /// Best so far.
        score: f32,
        bbox: [f32; 4],
        dwell: Duration,
        /// The zone's dwell is reached for the first time: a picture is due.
        picture: bool,
    },
    /// Nothing has been in the zone for its grace.
    Empty { dwell: Duration },
}

#[derive(Clone, Debug)]
struct Stay {
    track: u64,
    dwell: Duration,
    last_inside: Duration,
    reported: Option<Duration>,
    pictured: bool,
    best: f32,
}

/// One zone's memory.
#[derive(Debug)]
pub struct Dwell {
    zone: Zone,
    stays: Vec<Stay>,
    last_look: Option<Duration>,
    empty: Duration,
    empty_reported: bool,
    measures: bool,
}

impl Dwell {
    /// A zone nobody has looked at yet.
    pub fn new(zone: Zone) -> Self {
        Dwell {
            zone,
            stays: Vec::new(),
            last_look: None,
            empty: Duration::ZERO,
            empty_reported: false,
            measures: true,
        }
    }

    /// What it looks for.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether presence or emptiness is being measured, so that looks must be at most
    /// [`MAX_UNSEEN`] apart. What lies there without a class is not measured here.
    pub fn measures(&self) -> bool {
        self.measures
    }

    /// Takes all tracks after a look at media time `at`; those with `last_seen == at` were
    /// seen in it. `occupied`: something without a class lies there, so it is not empty.
    pub fn look(&mut self, tracks: &[Track], occupied: bool, at: Duration, out: &mut Vec<Event>) {
        let since_look = self.last_look.map(|last| at.saturating_sub(last));
        self.last_look = Some(at);
        self.stays
            .retain(|s| at.saturating_sub(s.last_inside) <= FORGET);

        let mut somebody = false;
        for track in tracks {
            let inside = track.last_seen == at
                && track.confirmed()
                && self.zone.classes.contains(&track.class)
                && self.zone.polygon.contains(foot(track.bbox));
            if inside {
                somebody = true;
                out.extend(self.stay(track, at));
            }
        }

        let empty = !somebody && !occupied;
        if !empty {
            self.empty = Duration::ZERO;
            self.empty_reported = false;
        } else if let Some(passed) = since_look.filter(|d| *d <= MAX_UNSEEN) {
            self.empty += passed;
        }
        if self.empty >= self.zone.grace && !self.empty_reported && empty {
            self.empty_reported = true;
            out.push(Event::Empty { dwell: self.empty });
        }
        self.measures = somebody || (empty && !self.empty_reported);
    }

    fn stay(&mut self, track: &Track, at: Duration) -> Option<Event> {
        let index = match self.stays.iter().position(|s| s.track == track.id) {
            Some(index) => index,
            None => {
                self.stays.push(Stay {
                    track: track.id,
                    dwell: Duration::ZERO,
                    last_inside: at,
                    reported: None,
                    pictured: false,
                    best: 0.0,
                });
                self.stays.len() - 1
            }
        };
        let stay = self.stays.get_mut(index)?;
        let passed = at.saturating_sub(stay.last_inside);
        if passed <= MAX_UNSEEN {
            stay.dwell += passed;
        }
        stay.last_inside = at;
        stay.best = stay.best.max(track.score);

        let picture = !stay.pictured && stay.dwell >= self.zone.dwell;
        let due = stay
            .reported
            .is_none_or(|last| stay.dwell >= last + REPORT_EVERY);
        if !picture && !due {
            return None;
        }
        stay.pictured |= picture;
        stay.reported = Some(stay.dwell);
        Some(Event::Present {
            track: track.id,
            class: track.class,
            score: stay.best,
            bbox: track.bbox,
            dwell: stay.dwell,
            picture,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{nms::Detection, track::Tracker},
        *,
    };

    const PERSON: usize = 0;

    /// A zone (right half), the tracker before it, and their clock.
    struct Scene {
        tracker: Tracker,
        dwell: Dwell,
    }

    impl Scene {
        fn new(dwell_ms: u64, grace_ms: u64) -> Self {
            Scene {
                tracker: Tracker::new(0.4),
                dwell: Dwell::new(Zone {
                    polygon: Polygon::new(vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]),
                    classes: vec![PERSON],
                    dwell: Duration::from_millis(dwell_ms),
                    grace: Duration::from_millis(grace_ms),
                }),
            }
        }

        fn look(&mut self, ms: u64, things: &[(usize, f32)]) -> Vec<Event> {
            let detections: Vec<_> = things
                .iter()
                .map(|(class, left)| Detection {
                    class: *class,
                    score: 0.6,
                    bbox: [*left, 0.2, left + 0.1, 0.6],
                })
                .collect();
            let at = Duration::from_millis(ms);
            let mut out = Vec::new();
            self.dwell
                .look(self.tracker.update(&detections, at), false, at, &mut out);
            out
        }
    }

    fn dwell_of(event: &Event) -> u128 {
        match event {
            Event::Present { dwell, .. } | Event::Empty { dwell } => dwell.as_millis(),
        }
    }

    #[test]
    fn someone_who_stays_is_reported_every_second_with_one_picture() {
        let mut scene = Scene::new(2000, 5000);
        let mut events = Vec::new();
        for ms in (0..=5000).step_by(200) {
            events.extend(scene.look(ms, &[(PERSON, 0.7)]));
        }
        // Believed at 200 ms, so 4.8 s of presence.
        let dwells: Vec<_> = events.iter().map(dwell_of).collect();
        assert_eq!(dwells, [0, 1000, 2000, 3000, 4000]);
        let pictures = events
            .iter()
            .filter(|e| matches!(e, Event::Present { picture: true, .. }));
        assert_eq!(pictures.map(dwell_of).collect::<Vec<_>>(), [2000]);
    }

    #[test]
    fn no_report_comes_from_frames_that_are_missing() {
        let mut scene = Scene::new(2000, 60_000);
        scene.look(0, &[(PERSON, 0.7)]);
        scene.look(200, &[(PERSON, 0.7)]);
        // The longest step that counts, then steps beyond it.
        assert_eq!(dwell_of(&scene.look(3200, &[(PERSON, 0.7)])[0]), 3000);
        for (from, step) in [(3200, 3001), (6201, 30_000)] {
            assert_eq!(scene.look(from + step, &[(PERSON, 0.7)]), []);
        }
    }

    #[test]
    fn someone_outside_or_of_another_kind_is_not_reported() {
        let mut scene = Scene::new(0, 60_000);
        for ms in (0..3000).step_by(200) {
            assert_eq!(scene.look(ms, &[(PERSON, 0.1), (16, 0.7)]), []);
        }
    }

    #[test]
    fn an_empty_zone_is_reported_once_after_its_grace() {
        let mut scene = Scene::new(2000, 1000);
        let mut events = Vec::new();
        for ms in (0..=4000).step_by(200) {
            events.extend(scene.look(ms, &[]));
        }
        assert_eq!(
            events,
            [Event::Empty {
                dwell: Duration::from_secs(1)
            }]
        );
    }

    #[test]
    fn emptiness_does_not_grow_over_a_gap() {
        let mut scene = Scene::new(2000, 5000);
        scene.look(0, &[]);
        assert_eq!(scene.look(2000, &[]), []);
        assert_eq!(scene.look(60_000, &[]), []);
        assert_eq!(scene.look(63_000, &[]).len(), 1);
    }

    #[test]
    fn looks_must_be_close_only_while_time_is_measured() {
        let mut scene = Scene::new(2000, 1000);
        assert!(scene.dwell.measures(), "a zone not known to be empty");
        for ms in (0..=1000).step_by(500) {
            scene.look(ms, &[]);
        }
        assert!(!scene.dwell.measures(), "empty, and told");
        // Rare looks at an empty zone change nothing, nor are they told again.
        for ms in (16_000..=120_000).step_by(15_000) {
            assert_eq!(scene.look(ms, &[]), []);
            assert!(!scene.dwell.measures());
        }
        scene.look(130_000, &[(PERSON, 0.7)]);
        scene.look(130_200, &[(PERSON, 0.7)]);
        assert!(scene.dwell.measures(), "somebody");
        scene.look(130_700, &[]);
        assert!(scene.dwell.measures(), "gone, but for how long?");
        assert_eq!(scene.look(131_500, &[]).len(), 1);
        assert!(!scene.dwell.measures());
        // What lies there without a class is the story's to measure.
        scene.dwell.look(&[], true, at(140_000), &mut Vec::new());
        assert!(!scene.dwell.measures());
        scene.dwell.look(&[], false, at(140_500), &mut Vec::new());
        assert!(scene.dwell.measures(), "it has gone");
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_moment_unseen_neither_empties_the_zone_nor_ends_the_stay() {
        let mut scene = Scene::new(60_000, 1000);
        let mut events = Vec::new();
        for ms in (0..=4000).step_by(200) {
            let seen: &[_] = if ms % 800 == 600 {
                &[]
            } else {
                &[(PERSON, 0.7)]
            };
            events.extend(scene.look(ms, seen));
        }
        assert!(
            events
                .iter()
                .all(|e| matches!(e, Event::Present { track: 1, .. }))
        );
        assert!(dwell_of(events.last().unwrap()) >= 3000);
    }

    #[test]
    fn one_who_comes_back_later_begins_again() {
        let mut scene = Scene::new(60_000, 60_000);
        // Walks out of the zone and, still the same track, back in.
        let mut ms = 0;
        let mut walk = |scene: &mut Scene, from: f32, to: f32| {
            let mut last = Vec::new();
            for i in 0..=20 {
                let left = from + (to - from) * i as f32 / 20.0;
                let events = scene.look(ms, &[(PERSON, left)]);
                if !events.is_empty() {
                    last = events;
                }
                ms += 200;
            }
            last
        };
        walk(&mut scene, 0.8, 0.8);
        let out = walk(&mut scene, 0.8, 0.2);
        assert!(dwell_of(&out[0]) >= 4000);
        for _ in 0..3 {
            walk(&mut scene, 0.2, 0.2);
        }
        let back = walk(&mut scene, 0.2, 0.7);
        assert!(dwell_of(&back[0]) <= 3000, "{back:?}");
    }
}
