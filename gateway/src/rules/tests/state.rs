//! Absence, presence, health, restarts and clocks.

use super::*;
use Transition::{Began, Continues, Ended};

#[test]
fn quantities_index_their_own_place() {
    for (i, quantity) in Quantity::ALL.iter().enumerate() {
        assert_eq!(*quantity as usize, i);
    }
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
    let refuses = fault(EventKind::MeterFault, "refuses");
    b.see(&observed("d", refuses, b.now));
    b.pass(MINUTE);
    assert_eq!(b.ticks(), [Began]);
}

#[test]
fn absence_does_not_repeat_what_the_source_says() {
    let mut b = Bench::new(vec![silent(MINUTE), healthy(EventKind::DeviceSilent)]);
    let fault = |what| fault(what, "no reply from unit 7");
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
    let mut elsewhere = seen("umbrella", seconds(300), vec![]);
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
    let fault = fault(EventKind::StorageFault, "disk full");
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
fn a_fault_from_before_a_restart_ends_when_the_device_delivers() {
    let rules = || vec![healthy(EventKind::DeviceQuarantined)];
    let mut b = Bench::restored(rules(), TimeZone::UTC, &["health"]);
    let mut o = measured("d", Quantity::Fill, 400.0, b.now);
    o.quality = Quality::Implausible;
    assert_eq!(b.see(&o), [], "that proves nothing");
    assert_eq!(b.reads(Quantity::Fill, 40.0), [Ended]);
    assert_eq!(b.reads(Quantity::Fill, 40.0), []);
    // A fault that this run's source reported ends only by that source's word.
    let mut b = Bench::restored(rules(), TimeZone::UTC, &["health"]);
    let flood = fault(EventKind::DeviceQuarantined, "flood");
    assert_eq!(b.see(&observed("d", flood, b.now)), []);
    assert_eq!(b.reads(Quantity::Fill, 40.0), []);
    let ok = observed("d", Value::Health(Health::Ok), b.now);
    assert_eq!(b.see(&ok), [Ended]);
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
        [Ended, Ended],
        "only silence and fault are over"
    );
    assert_eq!(b.reads(Quantity::Temperature, 300.0), []);
    assert_eq!(b.reads(Quantity::Flow, 0.05), []);
    // No longer so: each ends once.
    assert_eq!(b.reads(Quantity::Fill, 10.0), [Ended]);
    assert_eq!(b.reads(Quantity::Flow, 0.0), [Ended]);
    assert_eq!(b.see(&observed("d", empty(MINUTE), b.now)), [Ended]);
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
