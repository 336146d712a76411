//! Zones with a calendar: what is forbidden, what is left, and what a permit ends.

use super::*;
use crate::{
    calendar::{Calendar, Days, Edge, Hours, Permit, Window, Windows, moment},
    config::Among,
};
use Transition::{Began, Continues, Ended};

const WINDOW: &str = "wed 17:00-22:00";

fn china() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap()
}

fn hours(grace: Duration) -> Arc<Calendar> {
    Arc::new(Calendar {
        place: "c/door".into(),
        hours: Hours {
            windows: Windows::Allowed(vec![Window::parse(WINDOW).unwrap()]),
            grace_in: grace,
            grace_out: grace,
        },
        days: Arc::new(Days::default()),
        permits: Vec::new(),
        time_zone: china(),
    })
}

fn presence(id: &str, among: Among, grace: Duration) -> Arc<Rule> {
    let when = Condition::Presence {
        zone: "door".into(),
        labels: if among == Among::LeftBehind {
            vec![]
        } else {
            vec!["chair".into()]
        },
        dwell: 20 * SECOND,
        grace: 10 * SECOND,
        among,
        calendar: hours(grace),
        bins: vec![],
    };
    let kind = match among {
        Among::LeftBehind => EventKind::StallLeftover,
        _ => EventKind::StreetVendor,
    };
    rule(id, kind, when)
}

fn permit(id: &str, from: &str, to: &str) -> Permit {
    Permit {
        id: id.into(),
        zones: vec!["c/door".into()],
        holder: Some("王记".into()),
        from: moment(from, &china(), Edge::Start).unwrap(),
        to: moment(to, &china(), Edge::End).unwrap(),
        windows: vec![],
    }
}

/// The rules on Wednesday, 2026-11-25, at that time of day.
struct Day {
    bench: Bench,
}

impl Day {
    fn new(rules: Vec<Arc<Rule>>) -> Self {
        Day {
            bench: Bench::new(rules),
        }
    }

    fn at(&mut self, time: &str) -> &mut Self {
        let local: civil::DateTime = format!("2026-11-25T{time}").parse().unwrap();
        let wall = china().to_timestamp(local).unwrap();
        let passed = wall.duration_since(self.bench.now.wall);
        self.bench.pass(passed.try_into().unwrap());
        self
    }

    fn sees(&mut self, label: &str, seconds: u64, left: bool) -> Vec<Finding> {
        let mut seen = seen(label, Duration::from_secs(seconds), vec![]);
        seen.left_behind = left;
        self.see(Value::Sighting(seen))
    }

    fn see(&mut self, value: Value) -> Vec<Finding> {
        let o = observed("c", value, self.bench.now);
        self.bench
            .engine
            .step(&o, self.bench.now, &mut self.bench.out);
        std::mem::take(&mut self.bench.out)
    }

    fn tick(&mut self) -> Vec<Finding> {
        self.bench.engine.tick(self.bench.now, &mut self.bench.out);
        std::mem::take(&mut self.bench.out)
    }
}

fn what(findings: &[Finding]) -> Vec<(&str, Transition)> {
    findings.iter().map(|f| (&*f.rule, f.what)).collect()
}

fn en(finding: &Finding) -> &str {
    finding.reason.as_ref().map_or("", |t| &t.en)
}

#[test]
fn only_forbidden_time_raises() {
    let mut day = Day::new(vec![presence("zone:door", Among::All, 30 * MINUTE)]);
    for time in ["16:30:00", "17:00:00", "21:59:59", "22:00:00", "22:29:59"] {
        assert_eq!(day.at(time).sees("chair", 3_600, false), [], "{time}");
    }
    // A child that counts permitted time is not believed.
    for time in ["22:30:00", "22:30:01", "22:30:19"] {
        assert_eq!(day.at(time).sees("chair", 3_600, false), [], "{time}");
    }
    let found = day.at("22:30:20").sees("chair", 3_600, false);
    assert_eq!(what(&found), [("zone:door", Began)]);
    let seen = found[0].sighting.as_ref().unwrap();
    assert_eq!(seen.dwell_s, 20.0);
    assert_eq!(
        seen.forbidden_since.as_deref(),
        Some("2026-11-25T14:30:00Z")
    );
    assert_eq!(seen.permit.as_deref(), Some(WINDOW));
    assert_eq!(
        en(&found[0]),
        "forbidden since 22:30 (window wed 17:00-22:00 ended at 22:00)"
    );
    let since: Timestamp = "2026-11-25T14:30:00Z".parse().unwrap();
    assert_eq!(found[0].at, since);
    let found = day.at("22:31:00").sees("chair", 3_600, false);
    assert_eq!(what(&found), [("zone:door", Continues)]);
}

#[test]
fn an_alert_ends_when_its_use_is_permitted() {
    let grace = 30 * MINUTE;
    for by_picture in [false, true] {
        let mut day = Day::new(vec![presence("zone:door", Among::All, grace)]);
        assert_eq!(day.at("16:00:00").sees("chair", 20, false).len(), 1);
        assert_eq!(day.at("16:29:59").tick(), []);
        day.at("16:30:00");
        let found = if by_picture {
            day.see(empty(Duration::ZERO))
        } else {
            day.tick()
        };
        assert_eq!(what(&found), [("zone:door", Ended)]);
        assert_eq!(
            en(&found[0]),
            "set-up tolerated since 16:30, use begins at 17:00 (window wed 17:00-22:00)"
        );
        assert_eq!(found[0].sighting, None);
        assert_eq!(day.tick(), [], "once");
    }
}

#[test]
fn a_new_permit_ends_an_alert_and_a_withdrawn_one_protects_no_more() {
    let mut day = Day::new(vec![presence("zone:door", Among::All, Duration::ZERO)]);
    assert_eq!(day.at("09:00:00").sees("chair", 20, false).len(), 1);
    let other = Permit {
        zones: vec!["c/other".into()],
        ..permit("N0", "2026-11-25", "2026-11-25")
    };
    day.see(Value::Permits(vec![other].into()));
    assert_eq!(day.tick(), [], "for another zone");
    let given = permit("N1", "2026-11-25 08:00", "2026-11-25 12:00");
    day.see(Value::Permits(vec![given].into()));
    let found = day.tick();
    assert_eq!(what(&found), [("zone:door", Ended)]);
    assert_eq!(en(&found[0]), "permitted since 08:00 by permit N1 (王记)");
    assert_eq!(
        found[0].reason.as_ref().unwrap().zh,
        "自08:00起允许(许可N1(王记))"
    );
    assert_eq!(day.at("11:59:59").sees("chair", 600, false), []);
    assert_eq!(day.at("12:00:00").sees("chair", 600, false), []);
    assert_eq!(day.at("12:00:20").sees("chair", 600, false).len(), 1);
    day.see(Value::Permits(
        vec![permit("N2", "2026-11-25", "2026-11-25")].into(),
    ));
    assert_eq!(what(&day.tick()), [("zone:door", Ended)]);
    day.see(Value::Permits(vec![].into()));
    assert_eq!(what(&day.sees("chair", 20, false)), [("zone:door", Began)]);
}

#[test]
fn what_a_stall_leaves_is_an_alert_of_its_own() {
    let grace = 30 * MINUTE;
    let mut day = Day::new(vec![
        presence("zone:door", Among::Arrived, grace),
        presence("zone:door:take_down", Among::LeftBehind, grace),
    ]);
    assert_eq!(day.at("22:29:59").sees("object", 30, true), []);
    let found = day.at("22:30:20").sees("object", 20, true);
    assert_eq!(what(&found), [("zone:door:take_down", Began)]);
    assert_eq!(found[0].kind, EventKind::StallLeftover);
    assert!(en(&found[0]).contains(WINDOW));
    // The chair among it is the same thing; it brings no second alert.
    let found = day.at("22:31:00").sees("chair", 60, true);
    assert_eq!(what(&found), [("zone:door:take_down", Continues)]);
    assert_eq!(what(&day.see(empty(9 * SECOND))), []);
    assert_eq!(
        what(&day.see(empty(10 * SECOND))),
        [("zone:door:take_down", Ended)]
    );
    // Somebody sets up in the night.
    let found = day.at("23:40:00").sees("chair", 20, false);
    assert_eq!(what(&found), [("zone:door", Began)]);
}

#[test]
fn after_a_restart_an_open_alert_ends_by_the_calendar() {
    let rules = vec![presence("zone:door", Among::All, Duration::ZERO)];
    let open = [("c".into(), "zone:door".to_owned())];
    let wall: Timestamp = "2026-11-25T09:00:00Z".parse().unwrap();
    let now = Now {
        wall,
        mono: Duration::ZERO,
    };
    let mut engine = Engine::new(&[], &[camera("c", rules)], TimeZone::UTC, &open, now);
    let mut out = Vec::new();
    engine.tick(now, &mut out);
    assert_eq!(what(&out), [("zone:door", Ended)]);
    assert_eq!(
        en(&out[0]),
        "permitted since 17:00 by window wed 17:00-22:00"
    );
}

#[test]
fn replayed_footage_goes_by_its_own_time() {
    let mut day = Day::new(vec![presence("zone:door", Among::All, Duration::ZERO)]);
    // It is noon, and the footage shows Tuesday before 17:00 a week ago, or the use itself.
    day.at("12:00:00");
    let footage = |local: &str| {
        let local: civil::DateTime = local.parse().unwrap();
        china().to_timestamp(local).unwrap()
    };
    let see = |day: &mut Day, local: &str| {
        let mut o = observed("c", sighting("chair", 30 * SECOND, vec![]), day.bench.now);
        o.at = footage(local);
        day.bench.engine.step(&o, day.bench.now, &mut day.bench.out);
        std::mem::take(&mut day.bench.out)
    };
    assert_eq!(see(&mut day, "2026-11-18T17:30"), [], "permitted there");
    assert_eq!(see(&mut day, "2026-11-18T16:59:30").len(), 1);
    assert_eq!(day.at("12:00:29").tick(), [], "16:59:59 there");
    assert_eq!(day.at("12:00:30").tick().len(), 1, "17:00 there");
    // At 17:00 here the footage is elsewhere.
    assert_eq!(see(&mut day, "2026-11-18T23:00").len(), 1);
    assert_eq!(day.at("17:00:00").tick(), []);
}

#[test]
fn a_clock_that_is_set_back_does_not_raise_for_permitted_time() {
    let mut day = Day::new(vec![presence("zone:door", Among::All, Duration::ZERO)]);
    assert_eq!(day.at("22:00:20").sees("chair", 20, false).len(), 1);
    // Set back by an hour: use is permitted again by the clock.
    day.bench.now.wall -= HOUR;
    assert_eq!(what(&day.tick()), [("zone:door", Ended)]);
    assert_eq!(day.sees("chair", 3_600, false), []);
}

#[test]
fn nobody_is_accused_by_a_clock_that_nobody_believes() {
    let mut day = Day::new(vec![presence("stall", Among::All, Duration::ZERO)]);
    // The wrong clock says that it is forbidden now.
    day.at("23:00:00").bench.engine.set_clock(false);
    assert_eq!(day.sees("chair", 3_600, false), []);
    assert_eq!(day.tick(), []);
    day.bench.engine.set_clock(true);
    assert_eq!(what(&day.sees("chair", 3_600, false)), [("stall", Began)]);
    // It permits nothing either; an empty zone is empty at any hour.
    day.bench.engine.set_clock(false);
    day.bench.now.wall -= 4 * HOUR;
    assert_eq!(day.tick(), []);
    assert_eq!(day.sees("chair", 9_000, false), []);
    assert_eq!(what(&day.see(empty(30 * SECOND))), [("stall", Ended)]);
    // Zones without hours go on.
    let mut b = Bench::new(vec![stall(20 * SECOND, 10 * SECOND)]);
    b.engine.set_clock(false);
    assert_eq!(b.sees(sighting("chair", MINUTE, vec![])), [Began]);
}

#[test]
fn no_night_begins_by_a_clock_that_nobody_believes() {
    let run = |b: &mut Bench| {
        let mut all = Vec::new();
        for _ in 0..20 {
            all.extend(b.reads(Quantity::Flow, 1.0));
            b.pass(5 * MINUTE);
        }
        all
    };
    // All day is night.
    let mut b = Bench::new(vec![night("00:00", "00:00", HOUR)]);
    b.engine.set_clock(false);
    assert_eq!(run(&mut b), []);
    b.engine.set_clock(true);
    assert_eq!(run(&mut b), [Began]);
    b.engine.set_clock(false);
    assert_eq!(b.reads(Quantity::Flow, 0.0), [Ended]);
}
