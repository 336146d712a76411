#![allow(clippy::unwrap_used)]

use super::*;
use crate::waste_bin::Bin;

const ID: Identity = Identity {
    hardware: 0x0103,
    firmware: 0x0102,
    counter: 0x0001_0002,
    serial: 0x1122_3344_5566_7788,
};

fn node() -> Node<Bin> {
    let mut setup = Setup::new(NodeKind::Bin);
    setup.set(h::BIN_HEIGHT, &[1_300]).unwrap();
    Node::new(Bin::default(), ID, Some(&setup.to_bytes()))
}

fn inputs(node: &Node<Bin>, first: u16, count: u16) -> std::vec::Vec<u16> {
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
        0,
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
fn a_lost_set_up_is_told_and_a_bare_node_too() {
    let damaged = Node::new(Bin::default(), ID, Some(&[1, 2, 3]));
    assert_eq!(damaged.status, status::SET_UP);
    let bare = Node::new(Bin::default(), Identity::default(), None);
    assert_eq!(bare.status, status::BARE);
}

#[test]
fn a_written_set_up_is_stored_once_and_logged() {
    let mut node = node();
    assert_eq!(node.to_save(), None);
    node.write(h::PERIOD, &[30]).unwrap();
    let bytes = node.to_save().unwrap();
    assert_eq!(
        Setup::from_bytes(NodeKind::Bin, &bytes).unwrap().period(),
        30
    );
    assert_eq!(node.to_save(), None);
    node.write(h::PERIOD, &[30]).unwrap();
    assert_eq!(node.to_save(), None, "the same again wears no flash");
    assert_eq!(
        inputs(&node, input::LOG, 5),
        [1, 0, 0, log::SET_UP, h::PERIOD]
    );
    assert_eq!(node.write(h::PERIOD, &[0]), Err(Refusal::Value));
    assert_eq!(node.write(INPUT_MIRROR, &[0]), Err(Refusal::Address));
}

#[test]
fn a_record_waits_for_its_receipt() {
    let mut node = node();
    assert_eq!(inputs(&node, input::OLDEST_RECORD, 7), [0; 7]);
    let setup = node.setup.clone();
    node.device.distance(Ok(1_300), 5_000, &setup);
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
    assert_eq!(node.to_save(), None, "a receipt is no set-up");
}

#[test]
fn a_sensor_that_fails_is_in_the_log() {
    let mut node = node();
    let setup = node.setup.clone();
    node.device.distance(Ok(900), 0, &setup);
    node.tick(0);
    for _ in 0..3 {
        node.device.distance(Err(Quality::Missing), 9_000, &setup);
    }
    node.tick(9_000);
    let entry = inputs(&node, input::LOG + 1, 4);
    let argument = input::BIN_DISTANCE_QUALITY << 8 | Quality::Missing as u16;
    assert_eq!(entry, [0, 9, log::QUALITY, argument]);
}
