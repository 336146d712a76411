use super::{
    super::{nms::Detection, track::Tracker},
    *,
};
use crate::calendar::By;

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
                front: None,
                classes: vec![PERSON],
                dwell: Duration::from_millis(dwell_ms),
                grace: Duration::from_millis(grace_ms),
                fixtures: Vec::new(),
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
fn single_pictures_make_a_dwell_and_missing_ones_do_not() {
    let every = Duration::from_secs(10);
    let allowance = Allowance::stills(every);
    let scene = || {
        let mut scene = Scene::new(20_000, 20_000);
        scene.dwell = scene.dwell.with(allowance);
        scene.tracker = scene.tracker.with(allowance);
        scene
    };
    let step = every.as_millis() as u64;
    let mut there = scene();
    let mut empty = scene();
    let (mut pictured, mut left) = (None, None);
    for picture in 0..6 {
        for event in there.look(picture * step, &[(PERSON, 0.7)]) {
            if matches!(event, Event::Present { picture: true, .. }) {
                pictured = Some(picture);
            }
        }
        if !empty.look(picture * step, &[]).is_empty() {
            left = Some(picture);
        }
    }
    // Believed with the second picture, so dwelling 20 s with the fourth.
    assert_eq!((pictured, left), (Some(3), Some(2)));
    // Every second picture is missing: neither.
    let mut there = scene();
    let mut empty = scene();
    for picture in 0..20 {
        for event in there.look(2 * picture * step, &[(PERSON, 0.7)]) {
            assert_eq!(dwell_of(&event), 0, "{event:?}");
        }
        assert_eq!(empty.look(2 * picture * step, &[]), []);
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
fn an_hour_of_permitted_standing_counts_nothing() {
    let open = State::Open(By::Window(0));
    for legal in [
        open,
        State::SetUp(By::Window(0)),
        State::TakeDown(By::Window(0)),
    ] {
        let mut scene = Scene::new(2000, 1000);
        scene.dwell.permit(legal);
        let mut ms = 0;
        while ms < 3_600_000 {
            assert_eq!(scene.look(ms, &[(PERSON, 0.7)]), []);
            ms += 1000;
        }
        scene.dwell.permit(State::Forbidden);
        let mut pictured = None;
        for step in (0..4000).step_by(200) {
            for event in scene.look(ms + step, &[(PERSON, 0.7)]) {
                assert!(dwell_of(&event) <= step.into(), "{event:?} after {step} ms");
                if matches!(event, Event::Present { picture: true, .. }) {
                    pictured.get_or_insert(step);
                }
            }
        }
        assert_eq!(pictured, Some(2000), "a dwell after it was forbidden");
    }
}

#[test]
fn what_stands_in_a_fixture_belongs_there() {
    let mut scene = Scene::new(0, 60_000);
    // Things stand from 0.2 to 0.6 of the height, 0.1 wide.
    scene.dwell.zone.fixtures = vec![Polygon::new(vec![
        [0.6, 0.3],
        [0.75, 0.3],
        [0.75, 0.7],
        [0.6, 0.7],
    ])];
    for ms in (0..3000).step_by(200) {
        assert_eq!(scene.look(ms, &[(PERSON, 0.62)]), []);
    }
    // Beside it, and with the foot alone in it.
    let mut scene = Scene::new(0, 60_000);
    scene.dwell.zone.fixtures = vec![Polygon::new(vec![
        [0.6, 0.55],
        [0.75, 0.55],
        [0.75, 0.7],
        [0.6, 0.7],
    ])];
    let seen = (0..3000)
        .step_by(200)
        .flat_map(|ms| scene.look(ms, &[(PERSON, 0.62), (PERSON, 0.85)]))
        .filter_map(|e| match e {
            Event::Present { track, .. } => Some(track),
            Event::Empty { .. } => None,
        });
    let tracks: std::collections::BTreeSet<_> = seen.collect();
    assert_eq!(tracks.len(), 2);
}

#[test]
fn a_zone_counts_as_emptied_only_after_its_use() {
    let mut scene = Scene::new(2000, 1000);
    let by = By::Window(0);
    let mut ms = 0;
    let mut watch = |scene: &mut Scene, state, seconds: u64, there: bool| {
        scene.dwell.permit(state);
        for _ in 0..seconds * 5 {
            let things: &[_] = if there { &[(PERSON, 0.7)] } else { &[] };
            scene.look(ms, things);
            ms += 200;
        }
        scene.dwell.emptied()
    };
    assert!(
        !watch(&mut scene, State::Forbidden, 3, true),
        "not seen empty"
    );
    assert!(!watch(&mut scene, State::Open(by), 10, false), "in use");
    // Empty before the end, and still.
    assert!(watch(&mut scene, State::TakeDown(by), 1, false));
    assert!(watch(&mut scene, State::Forbidden, 10, true), "came later");
    assert!(!watch(&mut scene, State::SetUp(by), 10, true));
    assert!(!watch(&mut scene, State::Open(by), 10, true));
    assert!(!watch(&mut scene, State::TakeDown(by), 10, true));
    assert!(
        !watch(&mut scene, State::Forbidden, 10, true),
        "left behind"
    );
    assert!(watch(&mut scene, State::Forbidden, 3, false), "taken away");
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

/// A box whose lower edge is there (share of the picture's height), seen to some pixels.
fn boxed(bottom: f32) -> Detection {
    Detection {
        class: PERSON,
        score: 0.6,
        bbox: [0.4, bottom - 0.1, 0.5, bottom],
    }
}

#[test]
fn over_a_line_begins_when_sure_and_ends_when_the_best_estimate_is_within() {
    let mut zone = Scene::new(1000, 1000).dwell.zone().clone();
    zone.front = Some(super::super::ground::fixtures::front());
    let mut tracker = Tracker::new(0.4);
    let mut dwell = Dwell::new(zone);
    let mut ms = 0;
    let mut look = |bottom: f32| {
        let mut out = Vec::new();
        for _ in 0..20 {
            ms += 200;
            let at = Duration::from_millis(ms);
            dwell.look(tracker.update(&[boxed(bottom)], at), false, at, &mut out);
        }
        let present = out.iter().any(|e| matches!(e, Event::Present { .. }));
        let empty = out.iter().any(|e| matches!(e, Event::Empty { .. }));
        (present, empty)
    };
    // The line is at 0.375; a hundredth of the picture is 4 cm, and so is the error's order.
    assert_eq!(look(0.36), (false, true), "within");
    assert_eq!(look(0.38), (false, false), "over by less than the error");
    assert_eq!(look(0.45), (true, false), "surely over");
    assert_eq!(look(0.38), (false, false), "goes on being unsure");
    assert_eq!(look(0.36), (false, true), "within again");
}
