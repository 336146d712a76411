#![allow(clippy::unwrap_used)]

use std::{vec, vec::Vec};

use embedded_storage::nor_flash::ReadNorFlash as _;
use wangge_flash_sim::Flash;
use wangge_protocol::node::{
    image::{SecretKey, kind_bit},
    layout::{BLUEPILL, BLUEPILL_128K, DISCOVERY},
};

use super::*;

mod cuts;

/// A part with 128 KiB, but images of two pages, so that every cut can be tried.
static PART: Part = {
    const fn region(from: u32, kib: u32) -> Region {
        Region {
            from: 0x0800_0000 + from * 1024,
            size: kib * 1024,
        }
    }
    let mut part = BLUEPILL_128K;
    part.flash = region(0, 16);
    part.active = region(3, 2);
    part.storage = region(12, 2);
    part.identity = region(14, 1);
    if let Some(swap) = &mut part.swap {
        swap.boot = region(0, 1);
        swap.state = region(1, 2);
        swap.dfu = region(7, 3);
    }
    part
};

const OLD: u32 = 7;
const NEW: u32 = 8;

fn key() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

fn terms() -> Terms {
    Terms {
        part: &PART,
        kind: NodeKind::Bin,
        counter: OLD,
        keys: [[0; 32], key().public()],
        development: false,
    }
}

/// Not a whole number of blocks.
fn binary(counter: u32) -> Vec<u8> {
    (0..1_333u32)
        .map(|at| (at * 7 + at / 256 + counter) as u8)
        .collect()
}

fn fields(counter: u32) -> Manifest {
    Manifest {
        development: false,
        kinds: kind_bit(NodeKind::Bin),
        hardware: PART.hardware,
        firmware: 0x0102,
        address: PART.active.from,
        counter,
        length: 0,
        hash: [0; 32],
        key: [0; 8],
        signature: [0; 64],
    }
}

fn signed(counter: u32) -> Vec<u8> {
    let binary = binary(counter);
    let mut file = key().sign(fields(counter), &binary).unwrap().to_vec();
    file.extend(binary);
    file
}

fn fresh(seed: u64) -> Flash {
    let mut flash = Flash::new(PART.flash.size as usize, seed);
    let swap = PART.swap.unwrap();
    for (region, fill) in [
        (swap.boot, 0x55),
        (PART.storage, 0x66),
        (PART.identity, 0x77),
    ] {
        let range = region.within(PART.flash);
        flash.bytes_mut()[range.start as usize..range.end as usize].fill(fill);
    }
    // Left over from an earlier update.
    let dfu = swap.dfu.within(PART.flash);
    flash.bytes_mut()[dfu.start as usize..dfu.end as usize].fill(0x12);
    let active = PART.active.within(PART.flash).start as usize;
    let old = binary(OLD);
    flash.bytes_mut()[active..active + old.len()].copy_from_slice(&old);
    flash
}

/// Counter of the image that would run.
fn runs(flash: &mut Flash) -> Option<u32> {
    let mut there = vec![0; binary(0).len()];
    let active = PART.active.within(PART.flash).start;
    flash.read(active, &mut there).unwrap();
    [OLD, NEW]
        .into_iter()
        .find(|counter| there == binary(*counter))
}

fn neighbours_are_untouched(flash: &Flash) -> bool {
    let swap = PART.swap.unwrap();
    [
        (swap.boot, 0x55),
        (PART.storage, 0x66),
        (PART.identity, 0x77),
    ]
    .iter()
    .all(|(region, fill)| {
        let range = region.within(PART.flash);
        flash.bytes()[range.start as usize..range.end as usize]
            .iter()
            .all(|byte| byte == fill)
    })
}

fn words_of(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.chunks(2);
    pairs
        .map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0xFF)]))
        .collect()
}

fn begin(update: &mut Update, flash: &mut Flash, file: &[u8]) -> Result<(), Refusal> {
    let manifest = words_of(&file[..MANIFEST]);
    // In two pieces, as a careful master might.
    update.write(flash, h::UPDATE_MANIFEST, &manifest[..40])?;
    update.write(flash, h::UPDATE_MANIFEST + 40, &manifest[40..])?;
    update.write(flash, h::UPDATE_COMMAND, &[command::BEGIN])?;
    update.work(flash, 0);
    Ok(())
}

fn block(file: &[u8], offset: usize) -> Vec<u16> {
    let binary = &file[MANIFEST..];
    let mut block = binary[offset..binary.len().min(offset + UPDATE_BLOCK_BYTES)].to_vec();
    block.resize(UPDATE_BLOCK_BYTES, 0xFF);
    let mut values = words(offset as u32).to_vec();
    values.extend(words_of(&block));
    values
}

fn blocks(update: &mut Update, flash: &mut Flash, file: &[u8]) -> Result<(), Refusal> {
    for offset in (0..file.len() - MANIFEST).step_by(UPDATE_BLOCK_BYTES) {
        update.write(flash, h::UPDATE_BLOCK, &block(file, offset))?;
    }
    Ok(())
}

fn finish(update: &mut Update, flash: &mut Flash) -> Result<(), Refusal> {
    update.write(flash, h::UPDATE_COMMAND, &[command::FINISH])?;
    for _ in 0..10 {
        update.work(flash, 0);
    }
    Ok(())
}

fn push(update: &mut Update, flash: &mut Flash, file: &[u8]) -> Result<(), Refusal> {
    begin(update, flash, file)?;
    blocks(update, flash, file)?;
    finish(update, flash)
}

fn confirm(update: &mut Update, flash: &mut Flash, counter: u32) -> Result<(), Refusal> {
    update.write(flash, h::UPDATE_CONFIRM, &words(counter))
}

fn long_at(update: &Update, first: u16) -> u32 {
    long([
        update.input(first).unwrap(),
        update.input(first + 1).unwrap(),
    ])
}

#[test]
fn an_update_goes_through_trial_to_confirmation() {
    let mut flash = fresh(0);
    let mut update = Update::new(terms(), &mut flash, 0);
    let file = signed(NEW);
    assert_eq!(update.state(), UpdateState::Idle);
    begin(&mut update, &mut flash, &file).unwrap();
    assert_eq!(update.state(), UpdateState::Receiving);
    assert_eq!(long_at(&update, input::UPDATE_LENGTH), 1_333);
    assert_eq!(long_at(&update, input::UPDATE_COUNTER), NEW);
    let hash = words_of(&file[24..32]);
    let told: Vec<u16> = (0..4)
        .map(|i| update.input(input::UPDATE_HASH + i).unwrap())
        .collect();
    assert_eq!(told, hash);
    assert_eq!(update.holding(h::UPDATE_MANIFEST), Some(0x5747));
    blocks(&mut update, &mut flash, &file).unwrap();
    assert_eq!(long_at(&update, input::UPDATE_NEXT), 1_408);
    finish(&mut update, &mut flash).unwrap();
    assert_eq!(
        (update.state(), update.news()),
        (UpdateState::Ready, 0x0500)
    );
    assert!(!update.work(&mut flash, 0));
    update
        .write(&mut flash, h::UPDATE_COMMAND, &[command::RESTART])
        .unwrap();
    assert!(update.work(&mut flash, 0));

    wangge_boot::prepare(&mut flash, &PART).unwrap();
    assert_eq!(runs(&mut flash), Some(NEW));
    let new = Terms {
        counter: NEW,
        ..terms()
    };
    let mut update = Update::new(new, &mut flash, 500);
    assert_eq!(update.state(), UpdateState::Trial);
    assert_eq!(update.input(input::UPDATE_TRIAL_LEFT), Some(180));
    // The old one is still there to go back to, so no third may come.
    assert_eq!(
        begin(&mut update, &mut flash, &signed(9)),
        Err(Refusal::Value)
    );
    assert_eq!(update.state(), UpdateState::Trial);
    assert_eq!(confirm(&mut update, &mut flash, OLD), Err(Refusal::Value));
    assert_eq!(
        update.input(input::UPDATE_ERROR),
        Some(UpdateError::NotOnTrial as u16)
    );
    confirm(&mut update, &mut flash, NEW).unwrap();
    confirm(&mut update, &mut flash, NEW).unwrap();
    assert_eq!(update.state(), UpdateState::Idle);
    wangge_boot::prepare(&mut flash, &PART).unwrap();
    assert_eq!(runs(&mut flash), Some(NEW));
    assert!(neighbours_are_untouched(&flash));
}

#[test]
fn a_trial_ends_by_itself() {
    let mut flash = fresh(0);
    let mut update = Update::new(terms(), &mut flash, 0);
    push(&mut update, &mut flash, &signed(NEW)).unwrap();
    wangge_boot::prepare(&mut flash, &PART).unwrap();
    let mut update = Update::new(
        Terms {
            counter: NEW,
            ..terms()
        },
        &mut flash,
        1_000,
    );
    assert!(!update.work(&mut flash, 1_000 + TRIAL_MS - 1));
    assert_eq!(update.input(input::UPDATE_TRIAL_LEFT), Some(0));
    assert!(update.work(&mut flash, 1_000 + TRIAL_MS));
    wangge_boot::prepare(&mut flash, &PART).unwrap();
    assert_eq!(runs(&mut flash), Some(OLD));
}

#[test]
fn what_must_not_run_is_refused_each_with_its_own_code() {
    let other = SecretKey::from_seed([2; 32]);
    let sign = |key: &SecretKey, manifest: Manifest| {
        let mut file = key.sign(manifest, &binary(NEW)).unwrap().to_vec();
        file.extend(binary(NEW));
        file
    };
    let with = |change: fn(&mut Manifest)| {
        let mut manifest = fields(NEW);
        change(&mut manifest);
        sign(&key(), manifest)
    };
    let spoil = |change: fn(&mut Vec<u8>)| {
        let mut file = signed(NEW);
        change(&mut file);
        file
    };
    let too_long = {
        let long = vec![0; PART.active.size as usize + 1];
        key().sign(fields(NEW), &long).unwrap().to_vec()
    };
    let cases: Vec<(UpdateError, Vec<u8>)> = vec![
        (UpdateError::NotAnImage, spoil(|f| f[0] = b'w')),
        (UpdateError::Format, spoil(|f| f[4] = 2)),
        (UpdateError::Format, spoil(|f| f[5] = 2)),
        (
            UpdateError::Product,
            with(|m| m.kinds = kind_bit(NodeKind::Meter)),
        ),
        (UpdateError::Hardware, with(|m| m.hardware = 0x0200)),
        (UpdateError::Address, with(|m| m.address = 0x0800_0000)),
        (UpdateError::Length, too_long),
        (UpdateError::Older, with(|m| m.counter = OLD)),
        (UpdateError::Older, with(|m| m.counter = 0)),
        (UpdateError::Unsigned, spoil(|f| f[56..128].fill(0))),
        (UpdateError::UnknownKey, sign(&other, fields(NEW))),
        (
            UpdateError::Development,
            sign(&SecretKey::development(), fields(NEW)),
        ),
        (UpdateError::Development, with(|m| m.development = true)),
        (UpdateError::Signature, spoil(|f| f[127] ^= 1)),
        // A newer counter written over an older image's.
        (UpdateError::Signature, spoil(|f| f[16] = 1)),
        (UpdateError::Hash, spoil(|f| f[MANIFEST + 1_000] ^= 0x10)),
    ];
    for (expected, file) in cases {
        let mut flash = fresh(0);
        let before = flash.clone();
        let mut update = Update::new(terms(), &mut flash, 0);
        let _ = push(&mut update, &mut flash, &file);
        let told = update.input(input::UPDATE_ERROR);
        // What was refused at BEGIN goes on to refuse its blocks, with a code of their own.
        let early = before.bytes() == flash.bytes();
        if early {
            let mut update = Update::new(terms(), &mut flash, 0);
            let _ = begin(&mut update, &mut flash, &file);
            assert_eq!(update.input(input::UPDATE_ERROR), Some(expected as u16));
            assert_eq!(update.state(), UpdateState::Failed, "{expected:?}");
        } else {
            assert_eq!(told, Some(expected as u16), "{expected:?}");
        }
        assert_eq!(early, expected != UpdateError::Hash, "{expected:?}");
        wangge_boot::prepare(&mut flash, &PART).unwrap();
        assert_eq!(runs(&mut flash), Some(OLD));
        // A good one is taken after it.
        let mut update = Update::new(terms(), &mut flash, 0);
        push(&mut update, &mut flash, &signed(NEW)).unwrap();
        assert_eq!(update.state(), UpdateState::Ready);
        assert_eq!(update.input(input::UPDATE_ERROR), Some(0));
    }
}

#[test]
fn a_release_refuses_the_development_key_even_in_its_identity_page() {
    let dev = SecretKey::development();
    let mut file = dev.sign(fields(NEW), &binary(NEW)).unwrap().to_vec();
    file.extend(binary(NEW));
    for development in [false, true] {
        let mut flash = fresh(0);
        let trusting = Terms {
            keys: [dev.public(), [0; 32]],
            development,
            ..terms()
        };
        let mut update = Update::new(trusting, &mut flash, 0);
        let done = push(&mut update, &mut flash, &file);
        assert_eq!(done.is_ok(), development);
        assert_eq!(update.state() == UpdateState::Ready, development);
    }
}

#[test]
fn the_longest_image_fits_and_one_byte_more_does_not() {
    let most = PART.active.size as usize;
    for (length, fits) in [(most, true), (most + 1, false), (most * 10, false)] {
        let mut flash = fresh(0);
        let mut update = Update::new(terms(), &mut flash, 0);
        let binary = vec![0xA5; length];
        let mut file = key().sign(fields(NEW), &binary).unwrap().to_vec();
        file.extend(binary);
        let done = push(&mut update, &mut flash, &file);
        assert_eq!(done.is_ok(), fits, "{length}");
        assert!(neighbours_are_untouched(&flash));
    }
}

#[test]
fn blocks_come_in_turn_and_may_come_twice() {
    let mut flash = fresh(0);
    let mut update = Update::new(terms(), &mut flash, 0);
    let file = signed(NEW);
    let refused = |update: &mut Update, flash: &mut Flash, values: &[u16]| {
        let refused = update.write(flash, h::UPDATE_BLOCK, values).unwrap_err();
        (refused, update.error.unwrap())
    };
    assert_eq!(
        refused(&mut update, &mut flash, &block(&file, 0)),
        (Refusal::Value, UpdateError::State),
        "before BEGIN"
    );
    begin(&mut update, &mut flash, &file).unwrap();
    for offset in [0, 0, 128, 0, 128, 256] {
        update
            .write(&mut flash, h::UPDATE_BLOCK, &block(&file, offset))
            .unwrap();
    }
    let steps = flash.steps();
    // Too far on, not on a block's border, beyond the end, and one that differs from what came.
    let mut other = block(&file, 128);
    other[5] ^= 1;
    for bad in [
        block(&file, 512),
        block(&file, 130),
        [&words(1_408)[..], &[0; 64]].concat(),
        [&words(u32::MAX - 127)[..], &[0; 64]].concat(),
        other,
    ] {
        let was = refused(&mut update, &mut flash, &bad);
        assert_eq!(was, (Refusal::Value, UpdateError::Order));
        assert_eq!(long_at(&update, input::UPDATE_NEXT), 384, "where to go on");
    }
    assert_eq!(flash.steps(), steps, "nothing was written");
    assert_eq!(
        update.write(&mut flash, h::UPDATE_COMMAND, &[command::FINISH]),
        Err(Refusal::Value)
    );
    assert_eq!(update.error, Some(UpdateError::Length), "too early");
    blocks(&mut update, &mut flash, &file).unwrap();
    finish(&mut update, &mut flash).unwrap();
    assert_eq!(update.state(), UpdateState::Ready);
}

#[test]
fn writes_that_are_not_whole_are_refused_by_address() {
    let mut flash = fresh(0);
    let mut update = Update::new(terms(), &mut flash, 0);
    let half: Vec<u16> = vec![0; 65];
    for (first, values) in [
        (h::UPDATE_MANIFEST + 60, &half[..5]),
        (h::UPDATE_COMMAND, &half[..2]),
        (h::UPDATE_CONFIRM, &half[..1]),
        (h::UPDATE_CONFIRM + 1, &half[..1]),
        (h::UPDATE_BLOCK, &half[..]),
        (h::UPDATE_BLOCK + 1, &half[..]),
        (h::UPDATE_COMMAND + 10, &half[..1]),
    ] {
        assert_eq!(
            update.write(&mut flash, first, values),
            Err(Refusal::Address),
            "{first:#x}"
        );
    }
    for code in [0, 5, 50] {
        let done = update.write(&mut flash, h::UPDATE_COMMAND, &[code]);
        assert_eq!(done, Err(Refusal::Value));
        assert_eq!(update.error, Some(UpdateError::State));
    }
    assert_eq!(update.input(input::UPDATE_END), None);
    assert_eq!(update.holding(h::UPDATE_END), None);
    assert_eq!(update.holding(h::UPDATE_CONFIRM + 2), None);
}

#[test]
fn what_was_begun_can_be_left_and_begun_again() {
    let mut flash = fresh(0);
    let mut update = Update::new(terms(), &mut flash, 0);
    let file = signed(NEW);
    begin(&mut update, &mut flash, &file).unwrap();
    update
        .write(&mut flash, h::UPDATE_BLOCK, &block(&file, 0))
        .unwrap();
    update
        .write(&mut flash, h::UPDATE_COMMAND, &[command::ABORT])
        .unwrap();
    assert_eq!(update.state(), UpdateState::Idle);
    assert_eq!(long_at(&update, input::UPDATE_LENGTH), 0);
    begin(&mut update, &mut flash, &file).unwrap();
    update
        .write(&mut flash, h::UPDATE_BLOCK, &block(&file, 0))
        .unwrap();
    push(&mut update, &mut flash, &file).unwrap();
    assert_eq!(update.state(), UpdateState::Ready);
    // What is marked is marked.
    let abort = update.write(&mut flash, h::UPDATE_COMMAND, &[command::ABORT]);
    assert_eq!(
        (abort, update.error),
        (Err(Refusal::Value), Some(UpdateError::State))
    );
}

#[test]
fn a_part_without_room_for_it_says_so() {
    // One has too little flash, the other too little RAM.
    for part in [&BLUEPILL, &DISCOVERY] {
        refuses(Terms { part, ..terms() });
    }
}

fn refuses(terms: Terms) {
    let mut flash = Flash::new(terms.part.flash.size as usize, 0);
    let mut update = Update::new(terms, &mut flash, 0);
    assert_eq!(
        update.input(input::UPDATE_STATE),
        Some(UpdateState::Unsupported as u16)
    );
    assert_eq!(
        begin(&mut update, &mut flash, &signed(NEW)),
        Err(Refusal::Value)
    );
    assert_eq!(update.error, Some(UpdateError::Unsupported));
    let done = update.write(&mut flash, h::UPDATE_BLOCK, &block(&signed(NEW), 0));
    assert_eq!(
        (done, update.error),
        (Err(Refusal::Value), Some(UpdateError::Unsupported))
    );
    assert_eq!(flash.steps(), 0);
}

#[test]
fn flash_that_cannot_be_written_is_told() {
    let mut flash = fresh(0);
    flash.make_read_only();
    let mut update = Update::new(terms(), &mut flash, 0);
    let file = signed(NEW);
    begin(&mut update, &mut flash, &file).unwrap();
    assert_eq!(
        blocks(&mut update, &mut flash, &file),
        Err(Refusal::Failure)
    );
    assert_eq!(update.news(), 0x0700 | UpdateError::Flash as u16);
}

#[test]
fn the_node_and_its_update_share_one_map() {
    let mut flash = fresh(0);
    let mut node = Node::start(
        crate::node::About::default(),
        &Err(IdentityError::Blank),
        Ok(crate::storage::Found::Nothing),
    );
    let mut update = Update::new(terms(), &mut flash, 0);
    let mut both = Updatable {
        node: &mut node,
        update: &mut update,
        flash: &mut flash,
    };
    assert_eq!(both.input(input::UPDATE_STATE), Some(1));
    assert_eq!(both.holding(INPUT_MIRROR + input::UPDATE_STATE), Some(1));
    assert_eq!(both.input(input::KIND), Some(1));
    assert_eq!(
        both.input(input::STATUS).map(|s| s & status::TRIAL),
        Some(0)
    );
    both.update.state = UpdateState::Trial;
    assert_eq!(
        both.input(input::STATUS).map(|s| s & status::TRIAL),
        Some(status::TRIAL)
    );
    assert_eq!(
        both.holding(INPUT_MIRROR + input::STATUS)
            .map(|s| s & status::TRIAL),
        Some(status::TRIAL)
    );
    both.write(h::PERIOD, &[30]).unwrap();
    assert_eq!(both.holding(h::PERIOD), Some(30));
    both.write(h::UPDATE_MANIFEST, &[0x5747]).unwrap();
    assert_eq!(both.holding(h::UPDATE_MANIFEST), Some(0x5747));
}
