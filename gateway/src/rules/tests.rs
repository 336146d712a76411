use std::{sync::Arc, time::Duration};

use jiff::{Span, Timestamp, civil, tz::TimeZone};
use proptest::prelude::*;
use wangge_protocol::{EventKind, Severity};

use super::{fixtures::*, rate::Rate, *};
use crate::{
    clock::Now,
    config::{Condition, Rule, Side},
    observation::{Health, Observation, Quality, Quantity, Value},
};

/// One device `d` and one camera `c` with the same rules, on a clock that the test moves.
struct Bench {
    engine: Engine,
    now: Now,
    out: Vec<Finding>,
}

impl Bench {
    fn new(rules: Vec<Arc<Rule>>) -> Self {
        Self::restored(rules, TimeZone::UTC, &[])
    }

    fn restored(rules: Vec<Arc<Rule>>, tz: TimeZone, open: &[&str]) -> Self {
        let now = at(Duration::ZERO);
        let open: Vec<_> = open.iter().map(|r| ("d".into(), r.to_string())).collect();
        Bench {
            engine: Engine::new(
                &[device("d", rules.clone())],
                &[camera("c", rules)],
                tz,
                &open,
                now,
            ),
            now,
            out: Vec::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.wall += time;
        self.now.mono += time;
    }

    fn taken(&mut self) -> Vec<Transition> {
        self.out.drain(..).map(|f| f.what).collect()
    }

    fn see(&mut self, observation: &Observation) -> Vec<Transition> {
        self.engine.step(observation, self.now, &mut self.out);
        self.taken()
    }

    fn reads(&mut self, quantity: Quantity, value: f64) -> Vec<Transition> {
        self.see(&measured("d", quantity, value, self.now))
    }

    fn sees(&mut self, value: Value) -> Vec<Transition> {
        self.see(&observed("c", value, self.now))
    }

    fn ticks(&mut self) -> Vec<Transition> {
        self.engine.tick(self.now, &mut self.out);
        self.taken()
    }
}

use Transition::{Began, Continues, Ended};

#[test]
fn quantities_index_their_own_place() {
    for (i, quantity) in Quantity::ALL.iter().enumerate() {
        assert_eq!(*quantity as usize, i);
    }
}

#[test]
fn threshold_without_hold() {
    let mut b = Bench::new(vec![full(Duration::ZERO)]);
    for (value, expected) in [
        (89.9, vec![]),
        (90.0, vec![Began]),
        (90.1, vec![]),
        (94.0, vec![]),          // less than a twentieth of the limit
        (95.0, vec![Continues]), // worth telling
        (95.0, vec![]),
        (80.0, vec![Continues]), // at `clear`: not yet beyond it
        (79.9, vec![Ended]),
        (79.0, vec![]),
        (85.0, vec![]),
        (100.0, vec![Began]),
    ] {
        assert_eq!(b.reads(Quantity::Fill, value), expected, "{value}");
    }
}

#[test]
fn threshold_below() {
    let low = rule(
        "low",
        EventKind::BatteryLow,
        Condition::Threshold {
            quantity: Quantity::Battery,
            side: Side::Below,
            raise: 20.0,
            clear: 25.0,
            hold: Duration::ZERO,
        },
    );
    let mut b = Bench::new(vec![low]);
    for (value, expected) in [
        (20.1, vec![]),
        (20.0, vec![Began]),
        (25.0, vec![Continues]),
        (25.1, vec![Ended]),
    ] {
        assert_eq!(b.reads(Quantity::Battery, value), expected, "{value}");
    }
}

#[test]
fn threshold_hold_needs_a_second_reading_and_no_good_one_between() {
    let mut b = Bench::new(vec![full(10 * MINUTE)]);
    assert_eq!(b.reads(Quantity::Fill, 95.0), []);
    b.pass(HOUR);
    assert_eq!(b.ticks(), [], "silence raises nothing");
    b.pass(Duration::ZERO);
    assert_eq!(b.reads(Quantity::Fill, 89.0), []);
    assert_eq!(b.reads(Quantity::Fill, 95.0), [], "the hold starts anew");
    let began = b.now.wall;
    b.pass(10 * MINUTE - Duration::from_millis(1));
    assert_eq!(b.reads(Quantity::Fill, 95.0), []);
    b.pass(Duration::from_millis(1));
    let o = measured("d", Quantity::Fill, 95.0, b.now);
    b.engine.step(&o, b.now, &mut b.out);
    assert_eq!(b.out.len(), 1);
    assert_eq!(b.out[0].at, began, "it began with the first high reading");
}

#[test]
fn finding_names_everything() {
    let mut b = Bench::new(vec![full(Duration::ZERO)]);
    let o = measured("d", Quantity::Fill, 93.5, b.now);
    b.engine.step(&o, b.now, &mut b.out);
    assert_eq!(
        b.out,
        [Finding {
            subject: "d".into(),
            rule: "full".into(),
            kind: EventKind::BinOverflow,
            severity: Severity::Minor,
            what: Began,
            at: b.now.wall,
            measurement: Some(AlertMeasurement {
                quantity: "fill".into(),
                value: 93.5,
                unit: "%".into(),
                limit: Some(90.0),
            }),
            sighting: None,
            evidence: Vec::new(),
            reason: None,
        }]
    );
}

fn heating() -> Arc<Rule> {
    rule(
        "heating",
        EventKind::BinFire,
        Condition::Rate {
            quantity: Quantity::Temperature,
            per_minute: 10.0,
            window: 2 * MINUTE,
        },
    )
}

#[test]
fn rate_tables() {
    // (what it shows, readings as (seconds since the last, °C), index of the one that fires)
    let cases: [(&str, &[(u64, f64)], Option<usize>); 8] = [
        ("steady", &[(0, 20.0), (60, 20.0), (60, 20.0)], None),
        ("just below", &[(0, 20.0), (60, 29.0), (60, 39.9)], None),
        (
            "at the limit",
            &[(0, 20.0), (60, 30.0), (60, 40.0)],
            Some(2),
        ),
        ("falling", &[(0, 60.0), (60, 40.0), (60, 20.0)], None),
        ("jitter", &[(0, 20.0), (1, 22.0), (1, 20.0)], None),
        (
            "a whole window's rise at once",
            &[(0, 20.0), (5, 41.0)],
            Some(1),
        ),
        ("seldom and slow", &[(0, 20.0), (1800, 60.0)], None),
        // 340° in half an hour is 11.3°/min.
        ("seldom and too fast", &[(0, -50.0), (1800, 290.0)], Some(1)),
    ];
    for (name, readings, expected) in cases {
        let mut b = Bench::new(vec![heating()]);
        let mut fired = None;
        for (i, &(later, value)) in readings.iter().enumerate() {
            b.pass(Duration::from_secs(later));
            if b.reads(Quantity::Temperature, value).contains(&Began) {
                fired = Some(i);
            }
        }
        assert_eq!(fired, expected, "{name}");
    }
}

#[test]
fn rate_downwards_and_its_end() {
    let mut draining = (*heating()).clone();
    draining.when = Condition::Rate {
        quantity: Quantity::Level,
        per_minute: -5.0,
        window: MINUTE,
    };
    let mut b = Bench::new(vec![Arc::new(draining)]);
    assert_eq!(b.reads(Quantity::Level, 100.0), []);
    b.pass(MINUTE);
    assert_eq!(b.reads(Quantity::Level, 110.0), [], "rising");
    b.pass(MINUTE);
    assert_eq!(b.reads(Quantity::Level, 105.0), [Began]);
    b.pass(MINUTE);
    assert_eq!(
        b.reads(Quantity::Level, 102.0),
        [Continues],
        "more than half the limit"
    );
    b.pass(MINUTE);
    assert_eq!(b.reads(Quantity::Level, 100.0), [Ended]);
}

#[test]
fn rate_memory_is_bounded() {
    let mut rate = Rate::new(10.0, MINUTE);
    let mut most = 0;
    for ms in (0..600_000).step_by(20) {
        rate.look(Reading {
            value: 20.0,
            at: Timestamp::UNIX_EPOCH,
            now: at(Duration::from_millis(ms)),
        });
        most = most.max(rate.kept());
    }
    assert!((30..=34).contains(&most), "{most}");
}

#[test]
fn absence_with_grace_and_return() {
    let mut b = Bench::new(vec![silent(30 * MINUTE)]);
    b.pass(30 * MINUTE - SECOND);
    assert_eq!(b.ticks(), [], "grace after the start");
    assert_eq!(b.reads(Quantity::Fill, 1.0), []);
    let heard = b.now.wall;
    b.pass(30 * MINUTE - SECOND);
    // The camera has said nothing since the start, and has the same rule.
    let camera: Vec<_> = {
        b.engine.tick(b.now, &mut b.out);
        b.out.drain(..).map(|f| f.subject.to_string()).collect()
    };
    assert_eq!(camera, ["c"]);
    b.pass(SECOND);
    b.engine.tick(b.now, &mut b.out);
    assert_eq!(b.out.len(), 1);
    assert_eq!((&*b.out[0].subject, b.out[0].at), ("d", heard));
    b.out.clear();
    assert_eq!(b.ticks(), [], "said once");
    b.pass(HOUR);
    assert_eq!(b.ticks(), []);
    assert_eq!(b.reads(Quantity::Fill, 1.0), [Ended]);
}

#[test]
fn an_implausible_reading_shows_life_and_a_fault_does_not() {
    let mut b = Bench::new(vec![silent(MINUTE), full(Duration::ZERO)]);
    b.pass(MINUTE - SECOND);
    let mut o = measured("d", Quantity::Fill, 400.0, b.now);
    o.quality = Quality::Implausible;
    assert_eq!(b.see(&o), []);
    b.pass(2 * SECOND);
    b.engine.tick(b.now, &mut b.out);
    assert!(b.out.iter().all(|f| &*f.subject != "d"));
    b.out.clear();
    let fault = Value::Health(Health::Fault {
        what: EventKind::MeterFault,
        reason: "refuses".into(),
    });
    b.see(&observed("d", fault, b.now));
    b.pass(MINUTE);
    assert_eq!(b.ticks(), [Began]);
}

#[test]
fn absence_does_not_repeat_what_the_source_says() {
    let mut b = Bench::new(vec![silent(MINUTE), healthy(EventKind::DeviceSilent)]);
    let fault = |what| {
        Value::Health(Health::Fault {
            what,
            reason: "no reply from unit 7".into(),
        })
    };
    let o = observed("d", fault(EventKind::DeviceSilent), b.now);
    assert_eq!(b.see(&o), [Began]);
    b.pass(HOUR);
    b.engine.tick(b.now, &mut b.out);
    assert!(b.out.iter().all(|f| &*f.subject != "d"));
    b.out.clear();
    assert_eq!(
        b.see(&observed("d", Value::Health(Health::Ok), b.now)),
        [Ended]
    );
    b.pass(HOUR);
    assert_eq!(b.ticks(), [Began]);
}

#[test]
fn clock_jumps_neither_fire_nor_hide() {
    for years in [1, -1] {
        let jump = |now: &mut Now| {
            now.wall = now
                .wall
                .to_zoned(TimeZone::UTC)
                .checked_add(Span::new().years(years))
                .unwrap()
                .timestamp();
        };
        let mut b = Bench::new(vec![silent(30 * MINUTE), full(10 * MINUTE), heating()]);
        b.reads(Quantity::Fill, 95.0);
        b.reads(Quantity::Temperature, 20.0);
        jump(&mut b.now);
        assert_eq!(b.ticks(), [], "{years}: nobody became silent");
        assert_eq!(b.reads(Quantity::Fill, 95.0), [], "{years}: no hold passed");
        assert_eq!(b.reads(Quantity::Temperature, 35.0), [], "{years}: no rate");
        b.pass(10 * MINUTE);
        assert_eq!(
            b.reads(Quantity::Fill, 95.0),
            [Began],
            "{years}: the hold passed"
        );
        jump(&mut b.now);
        b.pass(30 * MINUTE);
        assert_eq!(b.ticks(), [Began, Began], "{years}: silence is not hidden");
    }
}

fn night(from: &str, to: &str, hold: Duration) -> Arc<Rule> {
    rule(
        "leak",
        EventKind::WaterLeak,
        Condition::NightFlow {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            min_flow: 0.02,
            hold,
        },
    )
}

/// Reads `flow` every `step` from `start` (local) for `span` and returns the local time at which a
/// leak was first found.
fn watch(
    zone: &str,
    rule: Arc<Rule>,
    start: &str,
    span: Duration,
    step: Duration,
    flow: impl Fn(civil::DateTime) -> Option<f64>,
) -> Option<civil::DateTime> {
    let tz = TimeZone::get(zone).unwrap();
    let mut b = Bench::restored(vec![rule], tz.clone(), &[]);
    b.now.wall = tz
        .to_timestamp(start.parse::<civil::DateTime>().unwrap())
        .unwrap();
    let mut passed = Duration::ZERO;
    let mut found = None;
    while passed <= span {
        let local = tz.to_datetime(b.now.wall);
        if let Some(flow) = flow(local)
            && b.reads(Quantity::Flow, flow).contains(&Began)
        {
            found.get_or_insert(local);
        }
        b.pass(step);
        passed += step;
    }
    found
}

#[test]
fn night_flow_table() {
    let leak = |_| Some(0.05);
    let cn = "Asia/Shanghai";
    let found = |rule, start, span, flow: &dyn Fn(civil::DateTime) -> Option<f64>| {
        watch(cn, rule, start, span, 5 * MINUTE, flow).map(|t| t.to_string())
    };
    let two_hours = || night("02:00", "05:00", 2 * HOUR);
    // Watched from 02:00 on, local time: found at 04:00.
    assert_eq!(
        found(two_hours(), "2026-11-22T00:00:00", 12 * HOUR, &leak).as_deref(),
        Some("2026-11-22T04:00:00")
    );
    // By day nothing, however long.
    assert_eq!(
        found(two_hours(), "2026-11-22T05:00:00", 20 * HOUR, &leak),
        None
    );
    // Started inside the window, too late for the hold.
    assert_eq!(
        found(two_hours(), "2026-11-22T03:10:00", 12 * HOUR, &leak),
        None
    );
    // Two nights of an hour and a half do not make three hours.
    let once = |t: civil::DateTime| (t.hour() < 3 || t.minute() < 30).then_some(0.05);
    assert_eq!(
        found(
            night("02:00", "03:30", 2 * HOUR),
            "2026-11-22T00:00:00",
            72 * HOUR,
            &once
        ),
        None
    );
    // Someone uses water now and then: one reading below the limit starts the watch anew.
    let pauses = |t: civil::DateTime| Some(if t.minute() == 0 { 0.0 } else { 0.5 });
    assert_eq!(
        found(two_hours(), "2026-11-22T00:00:00", 72 * HOUR, &pauses),
        None
    );
    // A gap is no evidence.
    let gap = |t: civil::DateTime| (t.hour() != 3).then_some(0.05);
    assert_eq!(
        found(two_hours(), "2026-11-22T00:00:00", 72 * HOUR, &gap),
        None
    );
    // But a short one is nothing: half an hour is a quarter of the hold.
    let short = |t: civil::DateTime| (t.hour() != 3 || t.minute() >= 25).then_some(0.05);
    assert_eq!(
        found(two_hours(), "2026-11-22T00:00:00", 12 * HOUR, &short).as_deref(),
        Some("2026-11-22T04:00:00")
    );
    // Across midnight.
    assert_eq!(
        found(
            night("23:00", "04:00", 3 * HOUR),
            "2026-11-22T12:00:00",
            24 * HOUR,
            &leak
        )
        .as_deref(),
        Some("2026-11-23T02:00:00")
    );
    // The same instant is no night elsewhere.
    let new_york_noon = watch(
        "America/New_York",
        two_hours(),
        "2026-11-22T12:00:00",
        8 * HOUR,
        5 * MINUTE,
        leak,
    );
    assert_eq!(new_york_noon, None);
    // Summer time begins inside the window: 02:00 becomes 03:00, and only real time counts.
    let spring = watch(
        "Europe/Berlin",
        night("01:00", "05:00", 2 * HOUR),
        "2026-03-29T00:00:00",
        12 * HOUR,
        5 * MINUTE,
        leak,
    );
    assert_eq!(spring.unwrap().to_string(), "2026-03-29T04:00:00");
}

#[test]
fn leak_ends_with_one_reading_below_and_survives_a_clock_jump() {
    let tz = TimeZone::get("Asia/Shanghai").unwrap();
    let mut b = Bench::restored(vec![night("13:00", "17:00", HOUR)], tz, &[]);
    let mut seen = Vec::new();
    for i in 0..=12 {
        if i == 6 {
            // A year back: the same time of day, so the watch goes on, by the other clock.
            b.now.wall = timestamp("2025-11-22T06:30:00Z");
        }
        seen.extend(b.reads(Quantity::Flow, 0.05));
        b.pass(5 * MINUTE);
    }
    assert_eq!(seen, [Began]);
    assert_eq!(b.reads(Quantity::Flow, 0.5), [Continues]);
    b.pass(6 * HOUR);
    assert_eq!(b.reads(Quantity::Flow, 0.5), [], "by day it goes on");
    assert_eq!(b.reads(Quantity::Flow, 0.0), [Ended]);
}

#[test]
fn burst_needs_its_hold() {
    let burst = rule(
        "burst",
        EventKind::BurstSuspected,
        Condition::Burst {
            flow: 20.0,
            hold: 5 * MINUTE,
        },
    );
    let mut b = Bench::new(vec![burst]);
    assert_eq!(b.reads(Quantity::Flow, 25.0), []);
    b.pass(5 * MINUTE);
    assert_eq!(b.reads(Quantity::Flow, 20.0), [Began]);
    assert_eq!(b.reads(Quantity::Flow, 16.0), [Continues]);
    assert_eq!(b.reads(Quantity::Flow, 15.9), [Ended]);
    assert_eq!(b.reads(Quantity::Flow, -25.0), []);
}

#[test]
fn presence_dwell_grace_labels_and_zones() {
    let mut b = Bench::new(vec![stall(30 * SECOND, MINUTE)]);
    let seconds = Duration::from_secs;
    assert_eq!(b.sees(sighting("umbrella", seconds(29), vec![])), []);
    assert_eq!(
        b.sees(sighting("person", seconds(300), vec![])),
        [],
        "label"
    );
    let Value::Sighting(mut elsewhere) = sighting("umbrella", seconds(300), vec![]) else {
        unreachable!()
    };
    elsewhere.zone = "lawn".into();
    assert_eq!(b.sees(Value::Sighting(elsewhere)), [], "zone");
    let o = observed("c", sighting("chair", seconds(30), vec![picture(1)]), b.now);
    b.engine.step(&o, b.now, &mut b.out);
    assert_eq!(
        b.out[0].at,
        b.now.wall - seconds(30),
        "since it stands there"
    );
    assert_eq!(b.out[0].evidence, [picture(1)]);
    let seen = b.out[0].sighting.clone().unwrap();
    assert_eq!((seen.dwell_s, seen.human_confirmed), (30.0, false));
    b.out.clear();
    assert_eq!(b.sees(sighting("chair", seconds(59), vec![])), []);
    assert_eq!(
        b.sees(sighting("chair", seconds(60), vec![])),
        [Continues],
        "twice"
    );
    assert_eq!(
        b.sees(sighting("chair", seconds(61), vec![picture(2)])),
        [Continues]
    );
    assert_eq!(b.sees(empty(seconds(59))), []);
    b.pass(24 * HOUR);
    assert_eq!(b.ticks(), [], "missing pictures clear nothing");
    assert_eq!(b.sees(empty(seconds(60))), [Ended]);
    assert_eq!(b.sees(empty(seconds(120))), []);
    assert_eq!(b.sees(sighting("umbrella", seconds(30), vec![])), [Began]);
}

#[test]
fn health_changes() {
    let mut b = Bench::new(vec![healthy(EventKind::CameraFault)]);
    let fault = |what, reason: &str| {
        Value::Health(Health::Fault {
            what,
            reason: reason.into(),
        })
    };
    let ok = || Value::Health(Health::Ok);
    assert_eq!(b.sees(ok()), []);
    assert_eq!(b.sees(fault(EventKind::CameraFault, "refused")), [Began]);
    assert_eq!(b.sees(fault(EventKind::CameraFault, "refused")), []);
    assert_eq!(
        b.sees(fault(EventKind::CameraFault, "no picture")),
        [Continues]
    );
    let o = observed("c", fault(EventKind::VisionFault, "stopped"), b.now);
    b.engine.step(&o, b.now, &mut b.out);
    let changes: Vec<_> = b
        .out
        .drain(..)
        .map(|f| (f.what, f.kind, f.severity))
        .collect();
    assert_eq!(
        changes,
        [
            (Ended, EventKind::CameraFault, Severity::Minor),
            (Began, EventKind::VisionFault, Severity::Major),
        ]
    );
    assert_eq!(b.sees(ok()), [Ended]);
}

#[test]
fn parts_of_the_gateway_report_without_configuration_and_in_bounds() {
    let mut b = Bench::new(vec![]);
    let fault = Value::Health(Health::Fault {
        what: EventKind::StorageFault,
        reason: "disk full".into(),
    });
    for i in 0..MAX_PARTS + 1 {
        let expected: &[Transition] = if i < MAX_PARTS { &[Began] } else { &[] };
        assert_eq!(
            b.see(&observed(&format!("part{i}"), fault.clone(), b.now)),
            expected
        );
    }
    assert_eq!(
        b.see(&measured("stranger", Quantity::Fill, 99.0, b.now)),
        []
    );
    let now = at(Duration::ZERO);
    let open = [("spool".into(), PART_RULE.to_string())];
    let mut engine = Engine::new(&[], &[], TimeZone::UTC, &open, now);
    let mut out = Vec::new();
    engine.step(&observed("spool", fault, now), now, &mut out);
    assert_eq!(out, [], "open from before");
    engine.step(
        &observed("spool", Value::Health(Health::Ok), now),
        now,
        &mut out,
    );
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].what, Ended);
}

#[test]
fn open_rules_are_latched_again() {
    let rules = || {
        vec![
            full(HOUR),
            heating(),
            silent(MINUTE),
            night("02:00", "03:00", HOUR),
            stall(SECOND, MINUTE),
            healthy(EventKind::DeviceQuarantined),
        ]
    };
    let open = [
        "full", "heating", "silent", "leak", "stall", "health", "gone",
    ];
    let mut b = Bench::restored(rules(), TimeZone::UTC, &open);
    b.pass(2 * MINUTE);
    b.engine.tick(b.now, &mut b.out);
    assert!(b.out.iter().all(|f| &*f.subject != "d"), "{:?}", b.out);
    b.out.clear();
    // Still so: nothing is raised again.
    assert_eq!(
        b.reads(Quantity::Fill, 95.0),
        [Ended],
        "only the silence is over"
    );
    assert_eq!(b.reads(Quantity::Temperature, 300.0), []);
    assert_eq!(b.reads(Quantity::Flow, 0.05), []);
    // No longer so: each ends once.
    assert_eq!(b.reads(Quantity::Fill, 10.0), [Ended]);
    assert_eq!(b.reads(Quantity::Flow, 0.0), [Ended]);
    assert_eq!(b.see(&observed("d", empty(MINUTE), b.now)), [Ended]);
    assert_eq!(
        b.see(&observed("d", Value::Health(Health::Ok), b.now)),
        [Ended]
    );
    assert_eq!(
        b.reads(Quantity::Temperature, 290.0),
        [],
        "not watched for a window yet"
    );
    b.pass(2 * MINUTE);
    assert_eq!(b.reads(Quantity::Temperature, 290.0), [Ended]);
    assert_eq!(b.reads(Quantity::Fill, 10.0), []);
}

#[test]
fn suspect_clocks_count_with_our_time() {
    let mut b = Bench::new(vec![full(Duration::ZERO)]);
    let mut o = measured("d", Quantity::Fill, 95.0, b.now);
    o.at = timestamp("2001-01-01T00:00:00Z");
    o.quality = Quality::ClockSuspect;
    b.engine.step(&o, b.now, &mut b.out);
    assert_eq!(b.out[0].at, b.now.wall);
}

fn all_rules() -> Vec<Arc<Rule>> {
    vec![
        full(MINUTE),
        heating(),
        silent(10 * MINUTE),
        night("02:00", "05:00", HOUR),
        stall(10 * SECOND, MINUTE),
        healthy(EventKind::CameraFault),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let quantity = prop::sample::select(Quantity::ALL);
    let number = prop_oneof![
        8 => -10.0..110.0_f64,
        1 => prop::num::f64::ANY,
    ];
    prop_oneof![
        8 => (quantity, number).prop_map(|(quantity, value)| Value::Measurement { quantity, value }),
        2 => (0u64..40, any::<bool>()).prop_map(|(s, present)| {
            let dwell = Duration::from_secs(s * 3);
            if present { sighting("chair", dwell, vec![]) } else { empty(dwell) }
        }),
        1 => prop::sample::select(EventKind::ALL).prop_map(|what| {
            Value::Health(Health::Fault { what, reason: what.slug().into() })
        }),
        1 => Just(Value::Health(Health::Ok)),
    ]
}

proptest! {
    /// Whatever comes, each (subject, rule) goes began, continues*, ended, began… and nothing
    /// else, through wall-clock jumps too.
    #[test]
    fn every_rule_alternates(
        steps in prop::collection::vec((any_value(), 0u64..900, -400i64..400), 1..200)
    ) {
        let mut b = Bench::new(all_rules());
        let mut open = std::collections::HashMap::new();
        for (value, later, jump_days) in steps {
            b.pass(Duration::from_secs(later));
            if jump_days % 10 == 0 {
                b.now.wall += jiff::SignedDuration::from_hours(jump_days * 24);
            }
            let o = observed("d", value, b.now);
            b.engine.step(&o, b.now, &mut b.out);
            b.engine.tick(b.now, &mut b.out);
            for f in b.out.drain(..) {
                let is_open = open.entry((f.subject.clone(), f.rule.clone())).or_insert(false);
                match f.what {
                    Began => prop_assert!(!*is_open, "{} raised twice", f.rule),
                    Continues | Ended => prop_assert!(*is_open, "{} is not open", f.rule),
                }
                *is_open = f.what != Ended;
            }
        }
    }

    /// Implausible values and values that are no numbers reach no rule.
    #[test]
    fn implausible_values_find_nothing(
        steps in prop::collection::vec((any_value(), 0u64..60), 1..100)
    ) {
        let mut b = Bench::new(vec![full(Duration::ZERO), heating(), stall(SECOND, SECOND)]);
        for (value, later) in steps {
            b.pass(Duration::from_secs(later));
            let mut o = observed("d", value, b.now);
            o.quality = match &o.value {
                Value::Measurement { value, .. } if !value.is_finite() => Quality::Good,
                _ => Quality::Implausible,
            };
            prop_assert_eq!(b.see(&o), []);
        }
    }

    /// Inside the band nothing ever changes, so noise cannot make a rule chatter.
    #[test]
    fn hysteresis_never_chatters(
        values in prop::collection::vec(80.0..90.0_f64, 1..100), from_above in any::<bool>()
    ) {
        let mut b = Bench::new(vec![full(Duration::ZERO)]);
        b.reads(Quantity::Fill, if from_above { 95.0 } else { 10.0 });
        for value in values {
            let seen = b.reads(Quantity::Fill, value);
            prop_assert!(!seen.contains(&Began) && !seen.contains(&Ended), "{value}: {seen:?}");
        }
    }

    /// Between any Began and the Ended before it, the figure really crossed the whole band.
    #[test]
    fn every_change_crosses_the_band(
        values in prop::collection::vec(0.0..100.0_f64, 1..300)
    ) {
        let mut b = Bench::new(vec![full(Duration::ZERO)]);
        for value in values {
            for what in b.reads(Quantity::Fill, value) {
                match what {
                    Began => prop_assert!(value >= 90.0),
                    Continues => prop_assert!(value >= 80.0),
                    Ended => prop_assert!(value < 80.0),
                }
            }
        }
    }
}
