use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use wangge_protocol::EventKind;

use super::{
    compare::{Comparisons, MAX_OPEN, MIN_OVERLAP, NEAR},
    ledger::{Compared, Ledger, Line, MAX_BYTES, Side},
    report::Report,
};
use crate::{
    calendar::{Calendar, Permit},
    clock::Now,
    config::{Among, Camera, Condition, Rule, Zone},
    observation::{Observation, Quality, Sighting, Value, Witnessed},
};

const SECOND: Duration = Duration::from_secs(1);
const LEFT: [f32; 4] = [0.1, 0.1, 0.3, 0.5];
const RIGHT: [f32; 4] = [0.6, 0.1, 0.8, 0.5];

fn rule(zone: &str, dwell: u64) -> Arc<Rule> {
    Arc::new(Rule {
        id: format!("zone:{zone}"),
        kind: EventKind::RoadOccupation,
        severity: EventKind::RoadOccupation.default_severity(),
        when: Condition::Presence {
            zone: zone.into(),
            labels: vec!["car".into()],
            dwell: Duration::from_secs(dwell),
            grace: 5 * SECOND,
            bins: vec![],
            among: Default::default(),
            calendar: Arc::new(Calendar {
                place: format!("gate/{zone}").into(),
                ..Calendar::default()
            }),
        },
        update_every: SECOND,
    })
}

fn zone(id: &str, shadow: Option<Arc<Rule>>) -> Zone {
    Zone {
        id: id.into(),
        kind: EventKind::RoadOccupation,
        polygon: vec![],
        labels: vec!["car".into()],
        objects: false,
        fixtures: vec![],
        front: None,
        crop: false,
        dwell: 20 * SECOND,
        take_down: false,
        calendar: Arc::default(),
        shadow,
    }
}

/// One camera with the live zone `kerb` and, tried with a shorter stay, `strip`.
fn camera(strip: bool) -> Arc<Camera> {
    let plain = crate::rules::fixtures::camera("gate", vec![rule("kerb", 20)]);
    let mut zones = vec![zone("kerb", None)];
    zones.extend(strip.then(|| zone("strip", Some(rule("strip", 10)))));
    Arc::new(Camera {
        zones,
        ..Camera::clone(&plain)
    })
}

/// A comparison and its clock.
struct Bench {
    book: Comparisons,
    now: Now,
    lines: Vec<Line>,
    /// Of what is seen next.
    left_behind: bool,
}

impl Bench {
    /// With a shadow model, or else with a shadow zone.
    fn new(has_model: bool) -> Self {
        let now = Now {
            wall: "2026-11-26T15:59:00Z".parse().unwrap(),
            mono: Duration::ZERO,
        };
        let tz = TimeZone::get("Asia/Shanghai").unwrap();
        Bench {
            book: Comparisons::of(&[camera(!has_model)], has_model, tz, now).unwrap(),
            now,
            lines: Vec::new(),
            left_behind: false,
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now.wall += Duration::from_secs(seconds);
        self.now.mono += Duration::from_secs(seconds);
        self.book.tick(self.now, &mut self.lines);
    }

    fn see(&mut self, side: Side, zone: &str, bbox: Option<[f32; 4]>, dwell: u64) {
        let observation = Observation {
            subject: "gate".into(),
            at: self.now.wall,
            value: Value::Sighting(Box::new(Sighting {
                zone: zone.into(),
                present: bbox.is_some(),
                label: if bbox.is_some() { "car" } else { "" }.into(),
                score: 0.5,
                bbox: bbox.unwrap_or_default(),
                track: 1,
                dwell: Duration::from_secs(dwell),
                model: "m".into(),
                model_hash: "0".into(),
                evidence: vec![],
                story: None,
                overrun: None,
                left_behind: self.left_behind,
            })),
            quality: Quality::Good,
        };
        let seen = match side {
            Side::Live => Witnessed::Live(observation),
            Side::Shadow => Witnessed::Shadow(observation),
        };
        self.book.take(seen, self.now, &mut self.lines);
    }

    /// Side, zone, whether matched.
    fn alerts(&mut self) -> Vec<(Side, String, bool)> {
        self.book.finish(self.now, &mut self.lines);
        let alerts = self.lines.iter().filter_map(|line| match line {
            Line::Alert {
                side,
                zone,
                matched,
                ..
            } => Some((*side, zone.clone(), *matched)),
            Line::Looks { .. } => None,
        });
        alerts.collect()
    }
}

#[test]
fn alerts_of_both_models_at_one_time_and_place_are_the_same() {
    let mut bench = Bench::new(true);
    bench.see(Side::Live, "kerb", Some(LEFT), 20);
    // The shadow model is slower and draws the box a little otherwise.
    bench.wait(8);
    bench.see(Side::Shadow, "kerb", Some([0.12, 0.1, 0.32, 0.5]), 20);
    bench.wait(10);
    bench.see(Side::Live, "kerb", None, 5);
    bench.see(Side::Shadow, "kerb", None, 5);
    // Over, but each may still find its match.
    assert!(bench.lines.is_empty());
    bench.wait(NEAR.as_secs() + 1);
    assert_eq!(bench.lines.len(), 2);
    let kerb = || "kerb".to_owned();
    assert_eq!(
        bench.alerts(),
        [(Side::Live, kerb(), true), (Side::Shadow, kerb(), true)]
    );
    // 23:58:40 in the station's own time.
    assert_eq!(bench.lines[0].day(), "2026-11-26");
}

#[test]
fn another_place_or_another_time_is_another_alert() {
    let mut bench = Bench::new(true);
    bench.see(Side::Live, "kerb", Some(LEFT), 20);
    bench.see(Side::Shadow, "kerb", Some(RIGHT), 20);
    assert!(bench.alerts().iter().all(|a| !a.2), "another place");

    for (gap, same) in [(NEAR.as_secs(), true), (NEAR.as_secs() + 1, false)] {
        let mut bench = Bench::new(true);
        bench.see(Side::Live, "kerb", Some(LEFT), 20);
        bench.see(Side::Live, "kerb", None, 5);
        bench.wait(gap);
        bench.see(Side::Shadow, "kerb", Some(LEFT), 20);
        let alerts = bench.alerts();
        assert_eq!(alerts.len(), 2);
        assert!(alerts.iter().all(|a| a.2 == same), "{gap}: {alerts:?}");
    }
    // Overlap at the limit and below it: boxes of one height, the second moved aside.
    for (share, same) in [(MIN_OVERLAP + 0.01, true), (MIN_OVERLAP - 0.01, false)] {
        let mut bench = Bench::new(true);
        let moved = 0.4 * (1.0 - share) / (1.0 + share);
        bench.see(Side::Live, "kerb", Some([0.1, 0.1, 0.5, 0.5]), 20);
        bench.see(
            Side::Shadow,
            "kerb",
            Some([0.1 + moved, 0.1, 0.5 + moved, 0.5]),
            20,
        );
        assert!(bench.alerts().iter().all(|a| a.2 == same), "{share}");
    }
}

#[test]
fn what_one_side_alone_would_alert_is_told_apart() {
    let mut bench = Bench::new(true);
    bench.see(Side::Live, "kerb", Some(LEFT), 20);
    // Too short a stay for the shadow's rule, which is the same.
    bench.see(Side::Shadow, "kerb", Some(LEFT), 19);
    assert_eq!(bench.alerts(), [(Side::Live, "kerb".into(), false)]);
    let mut bench = Bench::new(true);
    bench.see(Side::Shadow, "kerb", Some(LEFT), 20);
    assert_eq!(bench.alerts(), [(Side::Shadow, "kerb".into(), false)]);
}

#[test]
fn what_is_permitted_is_alerted_by_neither_side() {
    let mut bench = Bench::new(true);
    let permit = Permit {
        id: "N1".into(),
        zones: vec!["gate/kerb".into()],
        holder: None,
        from: bench.now.wall,
        to: bench.now.wall + Duration::from_secs(3600),
        windows: vec![],
    };
    for (permits, alerts) in [(vec![permit], 0), (vec![], 2)] {
        let permits = Witnessed::Permits(permits.into());
        bench.book.take(permits, bench.now, &mut bench.lines);
        bench.see(Side::Live, "kerb", Some(LEFT), 20);
        bench.see(Side::Shadow, "kerb", Some(LEFT), 20);
        bench.wait(60);
        bench.see(Side::Live, "kerb", Some(LEFT), 80);
        bench.see(Side::Shadow, "kerb", Some(LEFT), 80);
        assert_eq!(bench.alerts().len(), alerts);
    }
}

#[test]
fn what_was_left_after_use_is_compared_with_all_that_is_there() {
    let among = |among: Among| {
        let mut rule = Rule::clone(&rule("kerb", 20));
        if let Condition::Presence { among: a, .. } = &mut rule.when {
            *a = among;
        }
        rule.id = format!("{among:?}");
        Arc::new(rule)
    };
    let mut camera = Camera::clone(&camera(false));
    camera.rules = vec![among(Among::Arrived), among(Among::LeftBehind)];
    let mut bench = Bench::new(true);
    let tz = TimeZone::UTC;
    bench.book = Comparisons::of(&[Arc::new(camera)], true, tz, bench.now).unwrap();
    bench.left_behind = true;
    bench.see(Side::Live, "kerb", Some(LEFT), 20);
    // A shadow model does not tell.
    bench.left_behind = false;
    bench.see(Side::Shadow, "kerb", Some(LEFT), 20);
    let kerb = || "kerb".to_owned();
    assert_eq!(
        bench.alerts(),
        [(Side::Live, kerb(), true), (Side::Shadow, kerb(), true)]
    );
}

#[test]
fn a_shadow_zone_is_compared_with_live_zones_of_its_kind() {
    let mut bench = Bench::new(false);
    // Its own rule waits ten seconds only.
    bench.see(Side::Shadow, "strip", Some(LEFT), 10);
    bench.wait(10);
    bench.see(Side::Live, "kerb", Some(LEFT), 20);
    bench.see(Side::Shadow, "strip", Some(RIGHT), 12);
    assert_eq!(
        bench.alerts(),
        [
            (Side::Shadow, "strip".into(), true),
            (Side::Live, "kerb".into(), true)
        ]
    );
    assert!(bench.lines.iter().all(|l| matches!(
        l,
        Line::Alert {
            compared: Compared::Zone,
            ..
        }
    )));
}

#[test]
fn nothing_is_compared_where_nothing_is_tried() {
    let now = Bench::new(true).now;
    let plain = crate::rules::fixtures::camera("gate", vec![rule("kerb", 20)]);
    assert!(Comparisons::of(&[plain], false, TimeZone::UTC, now).is_none());
}

#[test]
fn open_alerts_are_limited() {
    for (count, written) in [
        (MAX_OPEN, 0),
        (MAX_OPEN + 1, 1),
        (MAX_OPEN * 10, MAX_OPEN * 9),
    ] {
        let mut bench = Bench::new(true);
        for _ in 0..count {
            // Ended at once, and so waiting for a match.
            bench.see(Side::Live, "kerb", Some(LEFT), 20);
            bench.see(Side::Live, "kerb", None, 5);
        }
        assert_eq!(bench.lines.len(), written);
        assert_eq!(bench.alerts().len(), count);
    }
}

fn alert(day: &str, side: Side, matched: bool) -> Line {
    Line::Alert {
        day: day.into(),
        compared: Compared::Model,
        side,
        camera: "gate".into(),
        zone: "kerb".into(),
        kind: EventKind::RoadOccupation,
        since: "2026-11-26T08:00:00Z".into(),
        dwell_s: 30.0,
        matched,
        label: "car".into(),
        score: 0.5,
    }
}

#[test]
fn the_ledger_never_takes_more_than_twice_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(dir.path().join("shadow"));
    let lines = vec![alert("2026-11-26", Side::Live, true); 100];
    let bytes = 100 * (serde_json::to_vec(&lines[0]).unwrap().len() as u64 + 1);
    let size =
        |name: &str| std::fs::metadata(dir.path().join("shadow").join(name)).map_or(0, |m| m.len());
    let fit = MAX_BYTES / bytes;
    for _ in 0..fit {
        ledger.append(&lines).unwrap();
    }
    assert_eq!(
        (size("ledger.jsonl"), size("ledger.1.jsonl")),
        (fit * bytes, 0)
    );
    ledger.append(&lines).unwrap();
    assert_eq!(
        (size("ledger.jsonl"), size("ledger.1.jsonl")),
        (bytes, fit * bytes)
    );
    for _ in 0..fit * 10 {
        ledger.append(&lines).unwrap();
        assert!(size("ledger.jsonl") + size("ledger.1.jsonl") <= 2 * MAX_BYTES);
    }
    let contents = ledger.read().unwrap();
    assert!(contents.lines.len() as u64 >= fit * 100);
    assert_eq!(contents.damaged, 0);
}

#[test]
fn a_report_counts_days_and_sides_and_says_what_it_could_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(dir.path().to_path_buf());
    let since = "2026-11-26".parse().unwrap();
    assert!(Report::read(dir.path(), since).unwrap().rows.is_empty());
    ledger
        .append(&[
            alert("2026-11-25", Side::Live, true),
            alert("2026-11-26", Side::Live, true),
            alert("2026-11-26", Side::Shadow, true),
            alert("2026-11-26", Side::Live, false),
            alert("2026-11-26", Side::Shadow, false),
            alert("2026-11-26", Side::Shadow, false),
            Line::Looks {
                day: "2026-11-26".into(),
                camera: "gate".into(),
                live: 200,
                shadow: 150,
            },
        ])
        .unwrap();
    let file = dir.path().join("ledger.jsonl");
    let mut text = std::fs::read(&file).unwrap();
    text.extend(b"{\"what\":\"alert\",\"day\":\"20");
    std::fs::write(&file, text).unwrap();

    let report = Report::read(dir.path(), since).unwrap();
    assert_eq!(report.rows.len(), 1);
    let row = &report.rows[0];
    assert_eq!(
        (
            row.live,
            row.shadow,
            row.both,
            row.only_live,
            row.only_shadow
        ),
        (2, 3, 1, 1, 2)
    );
    assert!((row.shadow_dwell_s - 30.0).abs() < 1e-9);
    assert_eq!(report.damaged, 1);
    let verdict = report.verdict();
    for part in [
        "would have raised 3 alerts, the live side raised 2",
        "missed 1 and raised 2 more",
        "影子会报 3 次",
        "75 %",
        "1 lines could not be read",
    ] {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
    assert_eq!(report.cells()[0][5], "现用 live");
    assert_eq!(report.cells()[1][5..8], ["2", "3", "1"]);
}
