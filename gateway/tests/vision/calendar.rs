//! Use that ends and begins while a real child looks.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use wangge::{
    calendar::{Calendar, Permit},
    clock::Clock,
    config::{Calendars, Camera, Condition, Rule},
    observation::{Arrival, Value},
    rules::{Engine, Finding, Transition},
};
use wangge_tests::place;

use crate::{
    cameras::standstill,
    pavement::{self, Block, Part},
    replay::{alerts, station},
    rig::{PATIENCE, Rig, camera, file, sighting, vision},
};

/// The child has begun to look, on a busy machine too.
const STARTED: Duration = Duration::from_secs(25);
/// Of a camera's time against the wall's: jitter of arrival.
const JITTER: Duration = Duration::from_millis(500);

fn permit(id: &str, from: Timestamp, to: Timestamp) -> Permit {
    Permit {
        id: id.into(),
        zones: vec!["gate/lawn".into()],
        holder: Some("王记".into()),
        from,
        to,
        windows: vec![],
    }
}

/// People walk about in the zone without end; the camera's rule knows these permits.
fn permitted(permits: Vec<Permit>) -> (Camera, Calendars) {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let mut camera = camera(file(&place::clip("vtest-h264.mp4").unwrap(), true));
    let calendar = Arc::new(Calendar {
        place: "gate/lawn".into(),
        permits: permits.clone(),
        time_zone: zone.clone(),
        ..Calendar::default()
    });
    let mut rule = Rule::clone(&camera.rules[0]);
    if let Condition::Presence { calendar: of, .. } = &mut rule.when {
        *of = calendar.clone();
    }
    camera.rules = vec![Arc::new(rule)];
    camera.zones[0].calendar = calendar;
    let calendars = Calendars {
        permits: permits.into(),
        zones: vec!["gate/lawn".to_owned()].into(),
        time_zone: zone,
        ..Calendars::default()
    };
    (camera, calendars)
}

/// The rules behind the child.
struct Rules {
    engine: Engine,
    clock: Clock,
}

impl Rules {
    fn new(camera: &Camera) -> Self {
        let clock = Clock::start();
        let cameras = [Arc::new(camera.clone())];
        Rules {
            engine: Engine::new(&[], &cameras, TimeZone::UTC, &[], clock.now()),
            clock,
        }
    }

    fn take(&mut self, arrival: &Arrival) -> Vec<Finding> {
        let mut found = Vec::new();
        for observation in &arrival.observations {
            self.engine.step(observation, self.clock.now(), &mut found);
        }
        found
    }
}

fn seen_at(arrival: &Arrival) -> Timestamp {
    arrival.observations[0].at
}

#[tokio::test]
async fn dwell_begins_where_a_permit_ends_and_an_alert_ends_where_one_begins() {
    let now = Timestamp::now();
    let end = now + STARTED;
    let again = end + Duration::from_secs(20);
    let (camera, calendars) = permitted(vec![
        permit("N1", now - Duration::from_secs(3_600), end),
        permit("N2", again, again + Duration::from_secs(3_600)),
    ]);
    let mut rules = Rules::new(&camera);
    let mut rig = Rig::with_calendars(vec![camera], vision(), calendars);
    let begun = std::time::Instant::now();
    let (mut looked, mut raised) = (false, false);
    loop {
        assert!(begun.elapsed() < PATIENCE);
        let arrival = rig.until("any arrival", |a| Some(clone(a))).await;
        let found = rules.take(&arrival);
        let Some(seen) = sighting(&arrival) else {
            continue;
        };
        let at = seen_at(&arrival);
        if !seen.present {
            looked |= at < end && seen.dwell.is_zero();
        } else {
            assert!(looked, "it looked while use was permitted, and said so");
            assert!(at >= end, "{} before the end", end.duration_since(at));
            let most = at.duration_since(end).unsigned_abs() + JITTER;
            assert!(seen.dwell <= most, "{:?} of at most {most:?}", seen.dwell);
        }
        for finding in found {
            match finding.what {
                Transition::Began => {
                    assert!(at >= end + Duration::from_secs(2), "a dwell after the end");
                    assert!(at < again);
                    assert!(!finding.evidence.is_empty(), "with its picture");
                    let why = finding.reason.expect("the calendar's words").en;
                    assert!(why.contains("permit N1 (王记) ended at"), "{why}");
                    raised = true;
                }
                Transition::Ended if raised => {
                    assert!(at >= again);
                    let why = finding.reason.expect("the calendar's words").en;
                    assert!(why.contains("by permit N2 (王记)"), "{why}");
                    return rig.stop().await;
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn permits_of_a_file_count_as_soon_as_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("permits.toml");
    std::fs::write(
        &path,
        "[[permit]]\nid = \"N1\"\nzones = [\"gate/lawn\"]\nfrom = \"2026-01-01\"\nto = \"2199-01-01\"\n",
    )
    .unwrap();
    let (camera, mut calendars) = permitted(vec![]);
    calendars.permits_file = Some(path.clone());
    let mut rig = Rig::with_calendars(vec![camera], vision(), calendars);
    let looks = |a: &Arrival| sighting(a).filter(|s| s.present || s.dwell.is_zero());
    let first = rig.until("that use is permitted", looks).await;
    assert!(!first.present, "{first:?}");
    std::fs::write(&path, "").unwrap();
    let withdrawn = |a: &Arrival| match &a.observations[0].value {
        Value::Permits(permits) => Some(permits.len()),
        Value::Sighting(seen) => {
            assert!(!seen.present, "before the rules were told");
            None
        }
        _ => None,
    };
    assert_eq!(rig.until("the change", withdrawn).await, 0);
    let (seen, _) = rig.picture().await;
    assert!(seen.present && seen.dwell >= Duration::from_secs(2));
    rig.stop().await;
}

#[test]
fn goods_that_a_tidal_stall_leaves_are_an_alert_of_their_own_and_its_end_too() {
    let dir = tempfile::tempdir().unwrap();
    // Put up while it may be; 15 s into the clip the stall's time is over.
    let goods: &[Block] = &[[-0.6, 0.9, 6.4, 7.4, 0.7]];
    let parts = [Part::of(6, &[]), Part::of(40, goods), Part::of(26, &[])];
    let clip = pavement::clip(dir.path(), &parts);
    let station = station(
        dir.path(),
        r#"
        [[camera.zone]]
        id = "kerb"
        kind = "street_vendor"
        polygon = [[0.1, 0.3], [0.9, 0.3], [0.95, 0.95], [0.05, 0.95]]
        what = ["stall"]
        allowed = ["17:00-21:00"]
        grace_out = "10s"
        dwell = "5s"
        grace = "5s"
        "#,
    );
    let told = alerts(&station, &clip, "2026-03-02T20:59:45+08:00");
    let said: Vec<_> = told
        .iter()
        .map(|line| {
            let data = &line["event"]["data"];
            let text = |key: &str| data[key].as_str().unwrap().to_owned();
            (text("rule"), text("kind"), text("state"))
        })
        .filter(|(.., state)| state != "updated")
        .collect();
    let of = |state: &str| {
        let rule = "zone:kerb:take_down".to_owned();
        (rule, "stall_leftover".to_owned(), state.to_owned())
    };
    assert_eq!(said, [of("raised"), of("cleared")], "{told:#?}");
    let at = |index: usize| told[index]["after_s"].as_f64().unwrap();
    // Not before the time to take it down is over, nor its end while it lies there.
    assert!(at(0) >= 25.0 && at(0) < 46.0, "{}", at(0));
    assert!(at(told.len() - 1) >= 46.0, "{}", at(told.len() - 1));
    let pictures = told[0]["event"]["data"]["evidence"].as_array().unwrap();
    assert!(!pictures.is_empty(), "{told:#?}");
}

/// Somebody stands there all the time, and at midnight, 20 s into the clip, a holiday begins.
#[test]
fn every_kind_of_hours_begins_and_ends_at_its_second_also_by_a_file_of_permits() {
    // The zone's hours, its permits in the file, since when its use is forbidden, and until when.
    type Hours<'a> = (&'a str, &'a [[&'a str; 2]], Option<u8>, Option<u8>);
    let cases: &[Hours<'_>] = &[
        // It belongs to the day on which it begins.
        ("allowed = [\"workday 22:00-02:00\"]", &[], None, None),
        ("watched = [\"workday 22:00-02:00\"]", &[], Some(0), None),
        ("allowed = [\"workday 22:00-24:00\"]", &[], Some(20), None),
        ("watched = [\"holiday\"]", &[], Some(20), None),
        ("allowed = [\"holiday\"]", &[], Some(0), Some(20)),
        (
            "allowed = [\"holiday\"]\ngrace_in = \"5s\"",
            &[],
            Some(0),
            Some(15),
        ),
        (
            "allowed = [\"22:00-24:00\"]\ngrace_out = \"10s\"",
            &[],
            Some(30),
            None,
        ),
        // A permit that ends with the window, to the second.
        (
            "allowed = [\"workday 22:00-24:00\"]",
            &[["2026-09-30 08:00", "2026-10-01 00:00"]],
            Some(20),
            None,
        ),
        // One ends while the other goes on.
        (
            "",
            &[
                ["2026-09-01", "2026-09-30"],
                ["2026-09-30 23:59:50", "2026-10-01T00:00:06+08:00"],
            ],
            Some(26),
            None,
        ),
        (
            "watched = [\"00:00-24:00\"]",
            &[["2026-09-30", "2026-10-01"]],
            None,
            None,
        ),
    ];
    // Not all at once: each that begins has its pictures made.
    let dwell = |n: usize| 3 + 2 * (n % 4) as u8;
    let dir = tempfile::tempdir().unwrap();
    let (mut zones, mut permits) = (String::new(), String::new());
    for (n, (hours, own, ..)) in cases.iter().enumerate() {
        let dwell = dwell(n);
        zones += &format!(
            "[[camera.zone]]\nid = \"z{n}\"\nkind = \"green_encroachment\"\nlabels = [\"person\"]\n\
             polygon = [[0.0, 0.3], [0.6, 0.3], [0.6, 1.0], [0.0, 1.0]]\ndwell = \"{dwell}s\"\n{hours}\n"
        );
        for (i, [from, to]) in own.iter().enumerate() {
            permits += &format!(
                "[[permit]]\nid = \"z{n}-{i}\"\nzones = [\"gate/z{n}\"]\nfrom = \"{from}\"\n\
                 to = \"{to}\"\n"
            );
        }
    }
    zones += "[calendar]\nholidays = [\"2026-10-01..2026-10-07\"]\nvalid_until = \"2026-12-31\"\n\
              permits_file = \"permits.toml\"\n";
    std::fs::write(dir.path().join("permits.toml"), permits).unwrap();
    let station = station(dir.path(), &zones);
    let clip = standstill(dir.path());
    let told = alerts(&station, &clip, "2026-09-30T23:59:40+08:00");
    for (n, (hours, _, from, to)) in cases.iter().enumerate() {
        let rule = format!("zone:z{n}");
        let of_zone = told
            .iter()
            .filter(|line| line["event"]["data"]["rule"] == *rule);
        let at: Vec<f64> = of_zone
            .map(|line| line["after_s"].as_f64().unwrap())
            .collect();
        let expected: Vec<f64> = from
            .map(|from| from + dwell(n))
            .into_iter()
            .chain(*to)
            .map(f64::from)
            .collect();
        // Never before, and no later than the next look.
        let right = |(at, expected): (&f64, &f64)| (0.0..3.0).contains(&(at - expected));
        assert!(
            at.len() == expected.len() && at.iter().zip(&expected).all(right),
            "{hours}: {at:?}, not {expected:?}"
        );
    }
}

/// What the test needs of an arrival; the right to acknowledge is nobody's here.
fn clone(arrival: &Arrival) -> Arrival {
    Arrival {
        subject: arrival.subject.clone(),
        device_time: arrival.device_time,
        received: arrival.received,
        observations: arrival.observations.clone(),
        payload: None,
        ack: None,
    }
}
