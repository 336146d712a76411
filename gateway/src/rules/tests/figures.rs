//! Threshold and rate of change.

use super::*;
use Transition::{Began, Continues, Ended};

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

#[test]
fn rate_tables() {
    // (what it shows, readings as (seconds since the last, °C), index of the one that fires)
    type Case = (&'static str, &'static [(u64, f64)], Option<usize>);
    let cases: [Case; 8] = [
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
