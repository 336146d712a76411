//! Every line with good, missing, stuck and implausible values.
#![allow(clippy::unwrap_used)]

use wangge_protocol::node::{INVALID, INVALID_SIGNED, Quality, status};

use super::*;
use crate::{
    bus::Line,
    lang::Lang,
    testing::{Said, Slave},
};

const VALUES: [(u16, u16); 2] = [(0, 17), (16, 1_300)];

fn expected(kind: NodeKind) -> Expected<'static> {
    Expected {
        serial: 1_001,
        kind,
        hardware: 0x0103,
        firmware: 0x0102,
        counter: 70_000,
        values: &VALUES,
        emulated: false,
    }
}

fn good(kind: NodeKind) -> Readings {
    let mut common = vec![1, kind as u16, 0x0103, 0x0102, 1, 4_464, 0, 0, 0, 1_001];
    common.extend([0, 9, 1, 0, 3_300, 900, 0, 0, 0, 0]);
    let own = match kind {
        NodeKind::Bin => vec![385, 800, 0, 12, 0, 215, 0, 0, 3_600, 0, 0, 1],
        NodeKind::Meter => vec![0, 0, 0, 0, 0, 0, 0, 0, 0],
    };
    Readings {
        common,
        own,
        set: vec![(0, Some(17)), (16, Some(1_300))],
    }
}

fn verdict(readings: &Readings, expected: &Expected<'_>, check: Check) -> Verdict {
    let lines = judge(readings, expected);
    lines
        .iter()
        .find(|line| line.check == check)
        .unwrap()
        .verdict
}

#[test]
fn a_good_node_passes_every_line() {
    for kind in NodeKind::ALL {
        for line in judge(&good(*kind), &expected(*kind)) {
            assert_eq!(line.verdict, Verdict::Pass, "{line:?}");
        }
    }
}

/// Each of these alone makes the line that is named fail, or ask for attention, and no other
/// line fail with it.
#[test]
fn what_is_wrong_is_found_on_its_line() {
    use Check as C;
    use Verdict::{Attention, Fail};
    let quality = |quality: Quality| quality as u16;
    let bin = |register: u16| usize::from(register);
    let cases: Vec<(&str, usize, u16, C, Verdict)> = vec![
        ("common", bin(0), 2, C::Map, Fail),
        ("common", bin(9), 1_002, C::Serial, Fail),
        ("common", bin(6), 1, C::Serial, Fail),
        ("common", bin(2), 0x0100, C::Hardware, Fail),
        ("common", bin(3), 0x0101, C::Firmware, Fail),
        ("common", bin(5), 4_463, C::Firmware, Fail),
        ("common", bin(13), status::STORAGE, C::Status, Fail),
        ("common", bin(13), status::SET_UP, C::Status, Fail),
        ("common", bin(13), status::BARE, C::Status, Fail),
        ("common", bin(13), status::SELF_TEST, C::Status, Fail),
        ("common", bin(13), status::TRIAL, C::Status, Attention),
        (
            "common",
            bin(13),
            status::TRIAL | status::BARE,
            C::Status,
            Fail,
        ),
        ("common", bin(14), 1_999, C::Supply, Fail),
        ("common", bin(14), 3_601, C::Supply, Fail),
        ("common", bin(14), 36_000, C::Supply, Fail),
        ("common", bin(14), 0, C::Supply, Attention),
        ("common", bin(15), 255, C::Stack, Fail),
        ("common", bin(15), INVALID, C::Stack, Fail),
        ("own", 1, 29, C::Distance, Fail),
        ("own", 1, 8_001, C::Distance, Fail),
        ("own", 1, INVALID, C::Distance, Fail),
        ("own", 2, quality(Quality::Missing), C::Distance, Fail),
        ("own", 2, quality(Quality::Stuck), C::Distance, Fail),
        ("own", 2, quality(Quality::OutOfRange), C::Distance, Fail),
        ("own", 2, quality(Quality::TooNear), C::Distance, Fail),
        ("own", 2, quality(Quality::Starting), C::Distance, Fail),
        ("own", 2, 99, C::Distance, Fail),
        ("own", 0, 1_001, C::Fill, Fail),
        ("own", 3, 1_801, C::Tilt, Fail),
        ("own", 4, quality(Quality::Missing), C::Tilt, Attention),
        ("own", 4, quality(Quality::Stuck), C::Tilt, Fail),
        ("own", 5, 601, C::Temperature, Fail),
        ("own", 5, INVALID_SIGNED, C::Temperature, Fail),
        ("own", 5, (-201_i16) as u16, C::Temperature, Fail),
        (
            "own",
            7,
            quality(Quality::Missing),
            C::Temperature,
            Attention,
        ),
        ("own", 7, quality(Quality::OutOfRange), C::Temperature, Fail),
        ("own", 10, 1, C::Temperature, Fail),
        ("own", 8, 1_999, C::Battery, Fail),
        ("own", 8, 6_001, C::Battery, Fail),
        ("own", 8, INVALID, C::Battery, Attention),
        ("own", 9, 1, C::Lid, Verdict::Pass),
        ("own", 9, 2, C::Lid, Fail),
        ("own", 9, INVALID, C::Lid, Attention),
    ];
    let expected = expected(NodeKind::Bin);
    for (block, index, value, check, wanted) in cases {
        let mut readings = good(NodeKind::Bin);
        match block {
            "common" => readings.common[index] = value,
            _ => readings.own[index] = value,
        }
        assert_eq!(
            verdict(&readings, &expected, check),
            wanted,
            "{block} {index} = {value}"
        );
        let others = judge(&readings, &expected)
            .into_iter()
            .filter(|line| line.check != check && line.verdict == Fail)
            // The level follows from the distance.
            .filter(|line| !(check == C::Distance && line.check == C::Fill));
        assert_eq!(others.collect::<Vec<_>>(), [], "{block} {index} = {value}");
    }
}

#[test]
fn a_meter_on_a_bench_stands_still() {
    let expected = expected(NodeKind::Meter);
    for (index, value, check, wanted) in [
        (0, INVALID, Check::Volume, Verdict::Pass),
        (4, 0x7FFF, Check::Flow, Verdict::Fail),
        (4, 0x8000, Check::Flow, Verdict::Fail),
        (6, Quality::Missing as u16, Check::Flow, Verdict::Fail),
        (7, 1, Check::Flags, Verdict::Fail),
        (7, 4, Check::Flags, Verdict::Attention),
    ] {
        let mut readings = good(NodeKind::Meter);
        readings.own[index] = value;
        assert_eq!(
            verdict(&readings, &expected, check),
            wanted,
            "{index} = {value}"
        );
    }
    let mut readings = good(NodeKind::Meter);
    readings.own[..2].fill(INVALID);
    assert_eq!(verdict(&readings, &expected, Check::Volume), Verdict::Fail);
}

#[test]
fn a_set_up_that_was_not_taken_is_found() {
    let expected = expected(NodeKind::Bin);
    for set in [
        vec![(0, Some(17)), (16, Some(1_200))],
        vec![(0, Some(17)), (16, None)],
        vec![(0, Some(17))],
    ] {
        let readings = Readings {
            set,
            ..good(NodeKind::Bin)
        };
        assert_eq!(verdict(&readings, &expected, Check::Setup), Verdict::Fail);
    }
}

#[test]
fn another_kind_of_node_fails_instead_of_passing_by_chance() {
    let mut readings = good(NodeKind::Meter);
    readings.own.clear();
    let lines = judge(&readings, &expected(NodeKind::Bin));
    let failed = |check| {
        lines
            .iter()
            .any(|l| l.check == check && l.verdict == Verdict::Fail)
    };
    assert!(failed(Check::Kind) && failed(Check::Distance));
}

#[test]
fn an_emulator_s_flash_is_excused_and_nothing_else() {
    let mut expected = expected(NodeKind::Bin);
    expected.emulated = true;
    let mut readings = good(NodeKind::Bin);
    readings.common[13] = status::STORAGE;
    assert_eq!(
        verdict(&readings, &expected, Check::Status),
        Verdict::Attention
    );
    readings.common[13] = status::STORAGE | status::SET_UP;
    assert_eq!(verdict(&readings, &expected, Check::Status), Verdict::Fail);
}

#[test]
fn a_meter_in_an_emulator_has_no_totals_and_is_excused_for_that_reason_only() {
    let mut expected = expected(NodeKind::Meter);
    let mut readings = good(NodeKind::Meter);
    readings.own[6] = Quality::Missing as u16;
    readings.own[..2].fill(INVALID);
    for (emulated, bits, wanted) in [
        (true, status::STORAGE, Verdict::Attention),
        (true, 0, Verdict::Fail),
        (false, status::STORAGE, Verdict::Fail),
    ] {
        expected.emulated = emulated;
        readings.common[13] = bits;
        for check in [Check::Volume, Check::Flow] {
            let got = verdict(&readings, &expected, check);
            assert_eq!(got, wanted, "{emulated} {bits}");
        }
    }
    expected.emulated = true;
    readings.common[13] = status::STORAGE;
    readings.own[6] = Quality::Stuck as u16;
    assert_eq!(verdict(&readings, &expected, Check::Volume), Verdict::Fail);
}

#[test]
fn every_line_has_its_words_in_both_languages() {
    let mut slugs: Vec<&str> = Check::ALL.iter().map(|check| check.slug()).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), Check::ALL.len());
    for check in Check::ALL {
        for lang in [Lang::En, Lang::Zh] {
            assert!(!check.name(lang).is_empty() && !check.advice(lang).is_empty());
        }
        let is_chinese = |text: &str| text.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c));
        assert!(is_chinese(check.name(Lang::Zh)) && is_chinese(check.advice(Lang::Zh)));
        assert!(!is_chinese(check.advice(Lang::En)));
    }
}

#[test]
fn another_device_is_not_judged_as_a_node() {
    let ask = |map: u16| {
        let slave = Slave::start(move || {
            Some(Said {
                unit: 9,
                inputs: (0..20).map(|register| (register, map)).collect(),
                ..Said::default()
            })
        });
        let line = Line {
            baud: 9_600,
            parity: serialport::Parity::None,
        };
        let mut bus = Bus::open(&slave.path, line).unwrap();
        Who::ask(&mut bus, 9).map(|who| who.kind)
    };
    assert!(matches!(ask(MAP_VERSION), Ok(NodeKind::Bin)));
    let foreign = ask(7).unwrap_err();
    assert!(
        matches!(foreign, BusError::Foreign { unit: 9, map: 7 }),
        "{foreign}"
    );
}
