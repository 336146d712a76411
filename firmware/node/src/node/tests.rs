#![allow(clippy::unwrap_used)]

use rand::{Rng, SeedableRng, rngs::StdRng};
use wangge_flash_sim::{Flash, PAGE};

use super::*;
use crate::storage::Storage;

const ABOUT: About = About {
    hardware: 0x0103,
    firmware: 0x0102,
    counter: 0x0001_0002,
    reset: reset::POWER,
};

/// An identity page of this hardware.
fn identity(kind: NodeKind, initial: &[(u16, u16)]) -> Result<Identity, IdentityError> {
    Ok(Identity {
        kind,
        hardware: 0x0103,
        serial: 0x1122_3344_5566_7788,
        update_keys: [None; 2],
        initial: initial.iter().copied().collect(),
    })
}

fn start(kind: NodeKind, found: Found) -> Node {
    Node::start(ABOUT, &identity(kind, &[]), Ok(found))
}

/// A bin of 1,300 mm, freshly provisioned, whose start is stored.
fn node() -> Node {
    let identity = identity(NodeKind::Bin, &[(h::BIN_HEIGHT, 1_300)]);
    let mut node = Node::start(ABOUT, &identity, Ok(Found::Nothing));
    save(&mut node);
    node
}

/// Stores what has to be stored.
fn save(node: &mut Node) -> Option<Snapshot> {
    let snapshot = node.to_save()?;
    node.saved(&snapshot, Ok(()));
    Some(snapshot)
}

fn inputs(node: &Node, first: u16, count: u16) -> std::vec::Vec<u16> {
    (first..first + count)
        .map(|a| node.input(a).unwrap())
        .collect()
}

#[test]
fn it_says_who_it_is() {
    let mut node = node();
    node.tick(70_000_000);
    let expected = [
        MAP_VERSION,
        1,
        0x0103,
        0x0102,
        1,
        2,
        0x1122,
        0x3344,
        0x5566,
        0x7788,
        1,
        4_464,
        1,
        0,
    ];
    assert_eq!(inputs(&node, 0, 14), expected);
    let mirror: std::vec::Vec<_> = (0..14)
        .map(|a| node.holding(INPUT_MIRROR + a).unwrap())
        .collect();
    assert_eq!(mirror, expected, "for masters that know function 03 only");
}

#[test]
fn every_register_of_a_block_exists_and_none_between() {
    let node = node();
    for address in 0..=u16::MAX {
        let exists = (0..input::COMMON_END).contains(&address)
            || (input::BIN_FILL..input::BIN_END).contains(&address)
            || (input::OLDEST_RECORD..input::OLDEST_RECORD_END).contains(&address)
            || (input::LOG..=input::LOG + 64).contains(&address);
        assert_eq!(node.input(address).is_some(), exists, "{address}");
    }
}

#[test]
fn what_is_damaged_is_told() {
    let good = identity(NodeKind::Bin, &[]);
    let status = |about, identity: &_, found| Node::start(about, identity, found).status;
    assert_eq!(status(ABOUT, &good, Ok(Found::Nothing)), 0);
    assert_eq!(status(ABOUT, &good, Ok(Found::Lost)), status::SET_UP);
    let failed = Node::start(ABOUT, &good, Err(StorageError::Read));
    assert_eq!(failed.status, status::STORAGE);
    assert_eq!(inputs(&failed, input::LOG + 3, 2), [log::STORAGE, 1]);
    let rubbish = Snapshot {
        setup: Some([7; crate::setup::STORED]),
        ..Snapshot::default()
    };
    let rubbish = Ok(Found::Snapshot(rubbish));
    assert_eq!(status(ABOUT, &good, rubbish), status::SET_UP);
    for (identity, expected) in [
        (Err(IdentityError::Blank), status::BARE),
        (Err(IdentityError::Checksum), status::IDENTITY),
        (Err(IdentityError::Magic), status::IDENTITY),
    ] {
        assert_eq!(status(ABOUT, &identity, Ok(Found::Nothing)), expected);
    }
    let other = About {
        hardware: 0x0104,
        ..ABOUT
    };
    assert_eq!(status(other, &good, Ok(Found::Nothing)), status::IDENTITY);
    let hung = About {
        reset: reset::WATCHDOG,
        ..ABOUT
    };
    assert_eq!(status(hung, &good, Ok(Found::Nothing)), status::WATCHDOG);
}

#[test]
fn the_identity_page_decides_what_it_is_and_how_it_starts() {
    let bare = Node::start(ABOUT, &Err(IdentityError::Blank), Ok(Found::Nothing));
    assert_eq!(inputs(&bare, input::KIND, 1), [NodeKind::Bin as u16]);
    assert_eq!(bare.setup, Setup::new(NodeKind::Bin));
    let initial = [(h::UNIT_ID, 9), (h::METER_PULSES, 100)];
    let meter = identity(NodeKind::Meter, &initial);
    let mut meter = Node::start(ABOUT, &meter, Ok(Found::Nothing));
    assert_eq!(inputs(&meter, input::KIND, 1), [NodeKind::Meter as u16]);
    assert_eq!((meter.setup.unit(), meter.status), (9, 0));
    assert_eq!(save(&mut meter).unwrap().setup, None, "it stays the page's");
    let nonsense = identity(NodeKind::Bin, &[(h::UNIT_ID, 248), (h::BIN_HEIGHT, 900)]);
    let node = Node::start(ABOUT, &nonsense, Ok(Found::Nothing));
    assert_eq!(node.setup, Setup::new(NodeKind::Bin), "whole or not at all");
    assert_eq!(node.status, status::SET_UP);
    assert_eq!(inputs(&node, input::LOG + 3, 2), [log::INITIAL, 2]);
}

#[test]
fn a_written_set_up_is_stored_once_and_outlives_the_page() {
    let mut node = node();
    assert_eq!(node.to_save(), None);
    node.write(h::PERIOD, &[30]).unwrap();
    let snapshot = save(&mut node).unwrap();
    assert_eq!(node.to_save(), None);
    node.write(h::PERIOD, &[30]).unwrap();
    assert_eq!(node.to_save(), None, "the same again wears no flash");
    assert_eq!(
        inputs(&node, input::LOG, 5),
        [2, 0, 0, log::SET_UP, h::PERIOD]
    );
    assert_eq!(node.write(h::PERIOD, &[0]), Err(Refusal::Value));
    assert_eq!(node.write(INPUT_MIRROR, &[0]), Err(Refusal::Address));
    let again = start(NodeKind::Bin, Found::Snapshot(snapshot.clone()));
    assert_eq!(
        (again.setup.period(), again.setup.value(h::BIN_HEIGHT)),
        (30, 1_300)
    );
    assert_eq!(inputs(&again, input::STARTS, 1), [2]);
    let as_meter = start(NodeKind::Meter, Found::Snapshot(snapshot));
    assert_eq!(as_meter.status, status::SET_UP, "another kind's set-up");
}

#[test]
fn storage_that_fails_is_told_and_tried_again_later() {
    let mut node = node();
    node.write(h::PERIOD, &[30]).unwrap();
    let snapshot = node.to_save().unwrap();
    node.saved(&snapshot, Err(StorageError::Erase));
    assert_eq!(node.status, status::STORAGE);
    assert_eq!(inputs(&node, input::LOG + 3, 2), [log::STORAGE, 3]);
    node.tick(SAVE_AGAIN_AFTER - 1);
    assert_eq!((node.to_save(), node.to_save_at_once()), (None, None));
    node.tick(SAVE_AGAIN_AFTER);
    assert_eq!(save(&mut node), Some(snapshot));
    assert_eq!(node.status, 0);
}

#[test]
fn totals_are_stored_every_ten_minutes_that_something_flowed() {
    let mut node = start(NodeKind::Meter, Found::Nothing);
    assert_eq!(save(&mut node).unwrap().totals, Some((0, 0)));
    let from = SAVE_TOTALS_AFTER * 10;
    node.tick(from);
    save(&mut node).unwrap();
    node.tick(from * 2);
    assert_eq!(node.to_save(), None, "nothing flowed");
    node.meter().unwrap().0.pulse(true, from * 2);
    assert_eq!(save(&mut node).unwrap().totals, Some((1, 0)), "long due");
    node.meter().unwrap().0.pulse(true, from * 2);
    let saved = node.now;
    node.tick(saved + SAVE_TOTALS_AFTER - 1);
    assert_eq!(node.to_save(), None);
    assert_eq!(
        node.to_save_at_once().unwrap().totals,
        Some((2, 0)),
        "the supply falls"
    );
    node.tick(saved + SAVE_TOTALS_AFTER);
    assert_eq!(save(&mut node).unwrap().totals, Some((2, 0)));
    assert_eq!(node.to_save_at_once(), None);
}

/// A meter's life: pulses, now and then a master's write, and power cuts at any step of the
/// flash.
#[test]
fn a_total_never_runs_ahead_and_loses_ten_minutes_at_most() {
    let region = PAGE as u32..9 * PAGE as u32;
    let mut cuts = 0;
    for seed in 0..60 {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut flash = Flash::new(10 * PAGE, seed);
        // Pulses that flowed, and those that had by ten minutes ago.
        let (mut flowed, mut safe) = (0, 0);
        let mut starts = 0;
        for _ in 0..30 {
            let (mut storage, found) = Storage::mount(&mut flash, region.clone());
            let mut node = Node::start(ABOUT, &identity(NodeKind::Meter, &[]), found);
            assert!(node.starts == starts || node.starts == starts + 1);
            starts = node.starts;
            let (total, _) = node.totals().unwrap();
            assert!((safe..=flowed).contains(&total), "{safe} {total} {flowed}");
            // What was lost is lost: it goes on from here.
            flowed = total;
            safe = total;
            flash.cut_at(flash.steps() + chance.random_range(0..600));
            let mut history = std::collections::VecDeque::new();
            for second in 0u64.. {
                let now = second * 1_000;
                node.tick(now);
                if let Some(snapshot) = node.to_save() {
                    let saved = storage.save(&mut flash, &snapshot);
                    node.saved(&snapshot, saved);
                    if !flash.is_on() {
                        break;
                    }
                }
                if chance.random_bool(0.02) {
                    node.meter().unwrap().0.pulse(true, now);
                    flowed += 1;
                }
                history.push_back(flowed);
                if history.len() > 602 {
                    safe = history.pop_front().unwrap();
                }
            }
            cuts += 1;
            flash.power_on();
        }
    }
    assert_eq!(cuts, 1_800);
}

#[test]
fn a_total_that_cannot_be_stored_is_not_believed() {
    let fail = |mut node: Node| {
        let snapshot = node.to_save().unwrap();
        node.saved(&snapshot, Err(StorageError::Write));
        inputs(&node, input::METER_VOLUME, 2)
    };
    let lost = [0xFFFF, 0xFFFF];
    assert_eq!(fail(start(NodeKind::Meter, Found::Nothing)), lost);
    // One that came from storage is true, even if it will be old after the next start.
    let stored = Snapshot {
        totals: Some((7_000, 0)),
        ..Snapshot::default()
    };
    let known = start(NodeKind::Meter, Found::Snapshot(stored));
    assert_eq!(fail(known), [0, 7_000]);
}

#[test]
fn a_lost_total_is_set_from_the_dial() {
    let mut node = start(NodeKind::Meter, Found::Lost);
    let volume = |node: &Node| inputs(node, input::METER_VOLUME, 2);
    assert_eq!(volume(&node), [0xFFFF, 0xFFFF]);
    let snapshot = save(&mut node).unwrap();
    let mut node = start(NodeKind::Meter, Found::Snapshot(snapshot));
    assert_eq!(volume(&node), [0xFFFF, 0xFFFF], "nor after the next start");
    for half in [h::METER_TOTAL, h::METER_TOTAL + 1] {
        assert_eq!(
            node.write(half, &[1]),
            Err(Refusal::Address),
            "half a number"
        );
    }
    node.write(h::METER_TOTAL, &[1, 2]).unwrap();
    assert_eq!(volume(&node), [1, 2]);
    assert_eq!(node.holding(h::METER_TOTAL + 1), Some(2));
    assert_eq!(save(&mut node).unwrap().totals, Some((65_538, 0)));
    let mut bin = self::node();
    assert_eq!(bin.write(h::METER_TOTAL, &[1, 2]), Err(Refusal::Address));
    assert_eq!(bin.holding(h::METER_TOTAL), None);
}

#[test]
fn a_record_waits_for_its_receipt() {
    let mut node = node();
    assert_eq!(inputs(&node, input::OLDEST_RECORD, 7), [0; 7]);
    let (bin, setup) = node.bin().unwrap();
    bin.distance(Ok(1_300), 5_000, setup);
    node.tick(5_000);
    let oldest = inputs(&node, input::OLDEST_RECORD, 7);
    assert_eq!(oldest, [1, 0, 5, 0, 1_300, 0x8000, 0]);
    assert_eq!(node.holding(h::RECEIPT), Some(1));
    node.write(h::RECEIPT, &[1]).unwrap();
    assert_eq!(inputs(&node, input::OLDEST_RECORD, 1), [0]);
    assert_eq!(
        node.input(input::RECORD),
        Some(1),
        "the newest number stays"
    );
    assert_eq!(
        save(&mut node).unwrap().setup,
        None,
        "a receipt is no set-up"
    );
    assert_eq!(node.to_save(), None);
}

#[test]
fn a_sensor_that_fails_is_in_the_log() {
    let mut node = node();
    let (bin, setup) = node.bin().unwrap();
    bin.distance(Ok(900), 0, setup);
    node.tick(0);
    let (bin, setup) = node.bin().unwrap();
    for _ in 0..3 {
        bin.distance(Err(Quality::Missing), 9_000, setup);
    }
    node.tick(9_000);
    let entry = inputs(&node, input::LOG + 1, 4);
    let argument = input::BIN_DISTANCE_QUALITY << 8 | Quality::Missing as u16;
    assert_eq!(entry, [0, 9, log::QUALITY, argument]);
}
