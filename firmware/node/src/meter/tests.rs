#![allow(clippy::unwrap_used)]

use super::*;
use wangge_protocol::node::{NodeKind, long};

fn setup() -> Setup {
    let mut setup = Setup::new(NodeKind::Meter);
    // 10 l a pulse, burst above 3,000 l/h, leak after 60 minutes.
    setup.set(h::METER_PULSES, &[100, 20, 3_000, 60]).unwrap();
    setup
}

fn read(meter: &Meter, address: u16, now: u64) -> u32 {
    let register = |a| meter.input(a, &setup(), now).unwrap();
    long([register(address), register(address + 1)])
}

fn flags(meter: &Meter, now: u64) -> u16 {
    meter.input(input::METER_FLAGS, &setup(), now).unwrap()
}

#[test]
fn volume_and_flow_from_pulses() {
    let mut meter = Meter::new(Some((5, 1)));
    assert_eq!(read(&meter, input::METER_VOLUME, 0), 50);
    assert_eq!(read(&meter, input::METER_REVERSE, 0), 10);
    meter.pulse(true, 10_000);
    assert_eq!(
        read(&meter, input::METER_FLOW, 10_000),
        0,
        "one pulse has no speed"
    );
    meter.pulse(true, 46_000);
    assert_eq!(read(&meter, input::METER_VOLUME, 46_000), 70);
    assert_eq!(
        read(&meter, input::METER_FLOW, 46_000),
        1_000,
        "10 l in 36 s"
    );
    assert_eq!(
        read(&meter, input::METER_FLOW, 46_000 + 72_000),
        500,
        "it can only have fallen"
    );
    assert_eq!(read(&meter, input::METER_FLOW, 46_000 + STILL_AFTER), 300);
    assert_eq!(read(&meter, input::METER_FLOW, 46_001 + STILL_AFTER), 0);
}

#[test]
fn what_is_wrong_with_the_pipe() {
    let mut meter = Meter::new(Some((0, 0)));
    meter.pulse(true, 0);
    meter.pulse(true, 12_000);
    assert_eq!(flags(&meter, 12_000), 0, "3,000 l/h is the limit");
    meter.pulse(true, 23_900);
    assert_eq!(flags(&meter, 23_900), meter_flags::BURST);
    meter.pulse(false, 60_000);
    meter.pulse(false, 96_000);
    assert_eq!(flags(&meter, 96_000), meter_flags::REVERSE);
    assert_eq!(read(&meter, input::METER_FLOW, 96_000) as i32, -1_000);
    assert_eq!(read(&meter, input::METER_REVERSE, 96_000), 20);
}

#[test]
fn water_without_a_pause_is_a_leak() {
    let mut meter = Meter::new(Some((0, 0)));
    for minute in 0..60 {
        meter.pulse(true, minute * 60_000);
    }
    assert_eq!(flags(&meter, 59 * 60_000), 0);
    meter.pulse(true, 3_600_000);
    assert_eq!(flags(&meter, 3_600_000), meter_flags::LEAK);
    assert_eq!(flags(&meter, 3_600_000 + PAUSE), meter_flags::LEAK);
    assert_eq!(flags(&meter, 3_600_001 + PAUSE), 0, "a pause ends it");
    meter.pulse(true, 3_600_001 + PAUSE);
    assert_eq!(flags(&meter, 3_600_001 + PAUSE), 0);
}

#[test]
fn totals_that_were_lost_are_not_told_as_good() {
    let mut meter = Meter::new(None);
    meter.pulse(true, 0);
    assert_eq!(read(&meter, input::METER_VOLUME, 0), INVALID_LONG);
    let quality = meter.input(input::METER_QUALITY, &setup(), 0);
    assert_eq!(quality, Some(Quality::Missing as u16));
    assert_eq!(meter.totals(), None, "nor stored as if they were");
    let litres = |meter: &Meter| read(meter, input::METER_VOLUME, 0);
    for (dial, shown) in [
        (0, 0),
        (4, 0),
        (5, 10),
        (10, 10),
        (4_294_967_290, 4_294_967_290),
    ] {
        meter.set_total(dial, &setup());
        assert_eq!(litres(&meter), shown, "pulses of 10 l");
    }
    meter.set_total(1_230, &setup());
    meter.pulse(true, 1);
    assert_eq!(litres(&meter), 1_240, "it counts on from the dial");
    assert_eq!(meter.totals(), Some((124, 0)));
}

#[test]
fn a_total_that_does_not_fit_is_not_known() {
    let most = u64::from(u32::MAX) / 10;
    assert_eq!(
        read(&Meter::new(Some((most, 0))), input::METER_VOLUME, 0),
        4_294_967_290
    );
    assert_eq!(
        read(&Meter::new(Some((most + 1, 0))), input::METER_VOLUME, 0),
        INVALID_LONG
    );
    assert_eq!(
        read(&Meter::new(Some((most * 10, 0))), input::METER_VOLUME, 0),
        INVALID_LONG
    );
}

/// Plays (ms, closed, second) and counts pulses forwards and backwards.
fn play(levels: &[(u64, bool, Option<bool>)]) -> (usize, usize) {
    let mut pulses = Pulses::default();
    let rest = (0..=20).map(|ms| pulses.sample(false, None, 20, ms));
    assert!(rest.last().flatten().is_none());
    let edges: std::vec::Vec<_> = levels
        .iter()
        .filter_map(|(now, closed, second)| pulses.sample(*closed, *second, 20, 100 + *now))
        .collect();
    let of = |edge| edges.iter().filter(|e| **e == edge).count();
    (of(Edge::Forward), of(Edge::Backward))
}

#[test]
fn a_contact_that_bounces_is_one_pulse() {
    let mut levels = std::vec::Vec::new();
    for ms in 0..10 {
        levels.push((ms, ms % 2 == 0, None));
    }
    levels.extend((10..60).map(|ms| (ms, true, None)));
    levels.extend((60..65).map(|ms| (ms, ms % 2 == 1, None)));
    levels.extend((65..120).map(|ms| (ms, false, None)));
    assert_eq!(play(&levels), (1, 0));
}

#[test]
fn debounce_holds_at_the_limit() {
    // Closed for 19 ms: noise. For 20 ms: a pulse.
    for (last, pulses) in [(19, 0), (20, 1)] {
        let mut levels: std::vec::Vec<_> = (0..=last).map(|ms| (ms, true, None)).collect();
        levels.extend((last + 1..last + 50).map(|ms| (ms, false, None)));
        assert_eq!(play(&levels), (pulses, 0), "{last}");
    }
}

#[test]
fn the_second_contact_tells_the_direction() {
    for (second, expected) in [(false, (1, 0)), (true, (0, 1))] {
        let levels: std::vec::Vec<_> = (0..50).map(|ms| (ms, true, Some(second))).collect();
        assert_eq!(play(&levels), expected);
    }
}

#[test]
fn a_contact_that_is_closed_at_the_start_was_counted_before() {
    let mut pulses = Pulses::default();
    let mut sample = |closed, from: u64| {
        (from..from + 50)
            .filter_map(|ms| pulses.sample(closed, None, 20, ms))
            .count()
    };
    assert_eq!(sample(true, 0), 0);
    assert_eq!(sample(false, 50), 0);
    assert_eq!(sample(true, 100), 1);
}

#[test]
fn sixty_four_bits_hold_what_thirty_two_do_not() {
    let long = |meter: &Meter| {
        (0..4).fold(0, |all, word| {
            let register = input::METER_VOLUME_LONG + word;
            all << 16 | u64::from(meter.input(register, &setup(), 0).unwrap())
        })
    };
    for pulses in [
        0,
        1,
        429_496_729,
        429_496_730,
        4_294_967_300,
        u64::MAX / 1_000,
    ] {
        assert_eq!(long(&Meter::new(Some((pulses, 0)))), pulses * 10);
    }
    assert_eq!(long(&Meter::new(Some((u64::MAX / 1_000 + 1, 0)))), u64::MAX);
    assert_eq!(long(&Meter::new(None)), u64::MAX, "lost");
}
