#![allow(clippy::unwrap_used)]

use wangge_protocol::node::NodeKind;

use super::*;

fn setup() -> Setup {
    let mut setup = Setup::new(NodeKind::Bin);
    setup.set(h::BIN_HEIGHT, &[1_300, 300]).unwrap();
    setup
}

fn read(bin: &Bin, address: u16) -> u16 {
    bin.input(address, &setup(), 0).unwrap()
}

fn at(mm: u16) -> Bin {
    let mut bin = Bin::default();
    bin.distance(Ok(mm), 0, &setup());
    bin
}

#[test]
fn fill_goes_from_the_floor_to_the_full_mark() {
    for (mm, tenths) in [
        (1_300, 0),
        (1_299, 1),
        (800, 500),
        (301, 999),
        (300, 1_000),
        (40, 1_000),
    ] {
        assert_eq!(read(&at(mm), input::BIN_FILL), tenths, "{mm}");
    }
    // A dent in the floor is none, a bin that has been moved is.
    assert_eq!(read(&at(1_300 + BELOW_FLOOR), input::BIN_FILL), 0);
    for mm in [1_300 + BELOW_FLOOR + 1, 8_000] {
        assert_eq!(read(&at(mm), input::BIN_FILL), INVALID);
        assert_eq!(
            read(&at(mm), input::BIN_DISTANCE_QUALITY),
            Quality::OutOfRange as u16
        );
        assert_eq!(
            read(&at(mm), input::BIN_DISTANCE),
            mm,
            "the distance itself is known"
        );
    }
}

#[test]
fn before_calibration_there_is_a_distance_and_no_level() {
    let mut bin = Bin::default();
    let bare = Setup::new(NodeKind::Bin);
    bin.distance(Ok(700), 0, &bare);
    assert_eq!(bin.input(input::BIN_FILL, &bare, 0), Some(INVALID));
    assert_eq!(bin.input(input::BIN_DISTANCE, &bare, 0), Some(700));
    let quality = bin.input(input::BIN_DISTANCE_QUALITY, &bare, 0);
    assert_eq!(quality, Some(Quality::Unconfigured as u16));
}

#[test]
fn wild_echoes_change_nothing_and_lasting_failure_is_told() {
    let mut bin = Bin::default();
    for mm in [900, 905, 3, 902, 7_999, 901] {
        bin.distance(Ok(mm), 0, &setup());
    }
    assert!((900..=905).contains(&read(&bin, input::BIN_DISTANCE)));
    for tries in 1..=3 {
        bin.distance(Err(Quality::NoEcho), 0, &setup());
        let known = read(&bin, input::BIN_DISTANCE) != INVALID;
        assert_eq!(known, tries < 3, "{tries}");
    }
    assert_eq!(
        read(&bin, input::BIN_DISTANCE_QUALITY),
        Quality::NoEcho as u16
    );
    bin.distance(Ok(900), 0, &setup());
    assert_eq!(
        read(&bin, input::BIN_DISTANCE),
        900,
        "what came before is forgotten"
    );
}

#[test]
fn farther_than_any_sensor_sees_is_out_of_range() {
    for (mm, known) in [(8_000, true), (8_001, false), (u16::MAX, false)] {
        let mut bin = Bin::default();
        for _ in 0..3 {
            bin.distance(Ok(mm), 0, &setup());
        }
        assert_eq!(read(&bin, input::BIN_DISTANCE) != INVALID, known, "{mm}");
    }
}

#[test]
fn a_sensor_that_never_changes_hangs() {
    let day = 24 * 3_600 * 1_000;
    let mut bin = Bin::default();
    bin.distance(Ok(900), 0, &setup());
    bin.distance(Ok(900), day - 1, &setup());
    assert_eq!(read(&bin, input::BIN_DISTANCE), 900);
    bin.distance(Ok(900), day, &setup());
    assert_eq!(
        read(&bin, input::BIN_DISTANCE_QUALITY),
        Quality::Stuck as u16
    );
    assert_eq!(read(&bin, input::BIN_FILL), INVALID);
    bin.distance(Ok(901), day + 1, &setup());
    assert_ne!(read(&bin, input::BIN_DISTANCE), INVALID);
}

#[test]
fn full_has_a_hysteresis() {
    let mut bin = at(300);
    assert_eq!(
        read(&bin, input::BIN_FLAGS) & bin_flags::FULL,
        bin_flags::FULL
    );
    // 95.0 % and 94.9 %.
    for (mm, full) in [(350, true), (352, false)] {
        for _ in 0..5 {
            bin.distance(Ok(mm), 0, &setup());
        }
        assert_eq!(
            read(&bin, input::BIN_FLAGS) & bin_flags::FULL != 0,
            full,
            "{mm}"
        );
    }
}

#[test]
fn tilt_is_gravitys_direction() {
    for (g, tenths) in [
        ([0, 0, 1_000], Ok(0)),
        ([1_000, 0, 0], Ok(900)),
        ([0, -1_000, 0], Ok(900)),
        ([0, 0, -1_000], Ok(1_800)),
        ([707, 0, 707], Ok(450)),
        ([0, 0, 0], Err(Quality::OutOfRange)),
        ([0, 0, 699], Err(Quality::OutOfRange)),
        ([0, 0, 1_301], Err(Quality::OutOfRange)),
        ([i16::MIN; 3], Err(Quality::OutOfRange)),
    ] {
        assert_eq!(tilt(g), tenths, "{g:?}");
    }
}

#[test]
fn fire_by_heat_or_by_heating() {
    let fire = |bin: &Bin| read(bin, input::BIN_FLAGS) & bin_flags::FIRE != 0;
    let mut hot = Bin::default();
    hot.temperature(Ok(599), 0);
    assert!(!fire(&hot));
    hot.temperature(Ok(600), 10_000);
    assert!(fire(&hot));
    // 10 degrees a minute, seen for half a minute.
    let mut heating = Bin::default();
    for (second, expected) in [(0, false), (10, false), (20, false), (30, true)] {
        heating.temperature(
            Ok(200 + second * 100 / 60 + i16::from(second == 30)),
            second as u64 * 1_000,
        );
        assert_eq!(fire(&heating), expected, "{second}");
    }
    let mut gone = Bin::default();
    gone.temperature(Ok(1_251), 0);
    assert!(!fire(&gone), "a broken sensor is no fire");
    assert_eq!(
        read(&gone, input::BIN_TEMPERATURE_QUALITY),
        Quality::OutOfRange as u16
    );
}

#[test]
fn a_record_is_made_when_there_is_something_to_tell() {
    let setup = setup();
    let mut bin = Bin::default();
    assert_eq!(bin.record(&setup, true), None, "nothing was measured");
    bin.distance(Ok(1_300), 0, &setup);
    assert_eq!(
        bin.record(&setup, false),
        Some([0, 1_300, INVALID_SIGNED, 0])
    );
    assert_eq!(bin.record(&setup, false), None);
    // 4.9 % and 5 %.
    for (mm, told) in [(1_251, false), (1_250, true)] {
        for _ in 0..5 {
            bin.distance(Ok(mm), 0, &setup);
        }
        assert_eq!(bin.record(&setup, false).is_some(), told, "{mm}");
    }
    assert!(bin.record(&setup, true).is_some(), "the period");
    for _ in 0..3 {
        bin.distance(Err(Quality::Missing), 0, &setup);
    }
    assert!(bin.record(&setup, false).is_some(), "a sensor that is gone");
    assert_eq!(bin.record(&setup, false), None);
}

#[test]
fn lid_and_battery_are_known_where_they_are_fitted() {
    let mut setup = Setup::new(NodeKind::Bin);
    let mut bin = Bin::default();
    let read = |bin: &Bin, setup: &Setup, at| bin.input(at, setup, 0).unwrap();
    bin.lid(true);
    bin.battery(Some(1_500));
    assert_eq!(
        read(&bin, &setup, input::BIN_LID),
        INVALID,
        "none is fitted"
    );
    assert_eq!(read(&bin, &setup, input::BIN_BATTERY), INVALID);
    for (contact, open) in [(1, [0, 1]), (2, [1, 0])] {
        setup.set(h::BIN_LID_CONTACT, &[contact]).unwrap();
        for (closed, expected) in [true, false].into_iter().zip(open) {
            bin.lid(closed);
            assert_eq!(read(&bin, &setup, input::BIN_LID), expected, "{contact}");
        }
    }
    setup.set(h::BIN_DIVIDER, &[200]).unwrap();
    for (pin, mv) in [
        (1_500, 3_000),
        (3_000, 6_000),
        (3_001, INVALID),
        (u16::MAX, INVALID),
    ] {
        bin.battery(Some(pin));
        assert_eq!(read(&bin, &setup, input::BIN_BATTERY), mv, "{pin}");
    }
    bin.battery(None);
    assert_eq!(read(&bin, &setup, input::BIN_BATTERY), INVALID);
    for divider in [1, 99, 1_001, 10_010] {
        assert!(setup.set(h::BIN_DIVIDER, &[divider]).is_err(), "{divider}");
    }
}

#[test]
fn the_median_is_what_sorting_gives() {
    for readings in [
        &[5][..],
        &[5, 9],
        &[9, 5],
        &[7, 7, 1],
        &[3, 1, 2, 4],
        &[9, 1, 1, 9, 4],
    ] {
        let mut distance = Distance::default();
        for mm in readings {
            distance.push(Ok(*mm), 0);
        }
        let mut sorted = readings.to_vec();
        sorted.sort_unstable();
        assert_eq!(
            distance.figure(),
            Ok(sorted[sorted.len() / 2]),
            "{readings:?}"
        );
    }
}
