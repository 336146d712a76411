//! Night flow and burst.

use super::*;
use Transition::{Began, Continues, Ended};

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
