#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use wangge_flash_sim::{Flash, PAGE};
use wangge_protocol::node::NodeKind;

use super::*;
use crate::setup::Setup;

/// As on the boards: an image before the storage, the identity page behind it.
fn region() -> Range<u32> {
    PAGE as u32..9 * PAGE as u32
}

/// The board's flash with something in every page that is not storage.
fn board(seed: u64) -> Flash {
    let mut flash = Flash::new(10 * PAGE, seed);
    let storage = region();
    for (at, byte) in (0u32..).zip(flash.bytes_mut()) {
        if !storage.contains(&at) {
            *byte = at as u8;
        }
    }
    flash
}

/// Whether everything that is not storage is what it was.
fn rest_untouched(flash: &Flash) -> bool {
    let storage = region();
    (0u32..)
        .zip(flash.bytes())
        .all(|(at, byte)| storage.contains(&at) || *byte == at as u8)
}

fn numbered(n: u64) -> Snapshot {
    Snapshot {
        setup: n
            .is_multiple_of(3)
            .then(|| Setup::new(NodeKind::Meter).to_bytes()),
        totals: (!n.is_multiple_of(5)).then_some((n * 1_000_003, n / 7)),
        starts: n as u16,
        records: (n * 64) as u16,
    }
}

fn find(flash: &mut Flash) -> (Storage, Found) {
    let (storage, found) = Storage::mount(flash, region());
    (storage, found.unwrap())
}

#[test]
fn what_is_saved_is_found_through_many_rounds() {
    let mut flash = board(0);
    let (mut storage, found) = find(&mut flash);
    assert_eq!(found, Found::Nothing);
    for n in 1..1_000 {
        storage.save(&mut flash, &numbered(n)).unwrap();
        let (again, found) = find(&mut flash);
        assert_eq!(found, Found::Snapshot(numbered(n)));
        if n % 5 == 0 {
            storage = again;
        }
    }
    assert!(rest_untouched(&flash));
    // 999 snapshots, 16 in a page, 8 pages: each was erased for its turn and no oftener.
    let from = region().start as usize / PAGE;
    assert_eq!(flash.erased()[from..from + 8], [8, 8, 8, 8, 8, 8, 8, 7]);
}

#[test]
fn a_power_cut_at_every_step_leaves_the_old_or_the_new() {
    let mut flash = board(1);
    let (mut storage, _) = find(&mut flash);
    let (mut cuts, mut seen) = (0, [0; 2]);
    // More than one round through all pages.
    for n in 1..150 {
        let old = if n == 1 {
            Found::Nothing
        } else {
            Found::Snapshot(numbered(n - 1))
        };
        let new = Found::Snapshot(numbered(n));
        let before = flash.clone();
        storage.save(&mut flash, &numbered(n)).unwrap();
        for step in before.steps()..flash.steps() {
            let mut torn = before.clone();
            let (mut storage, _) = find(&mut torn);
            torn.cut_at(step);
            storage.save(&mut torn, &numbered(n)).unwrap_err();
            torn.power_on();
            cuts += 1;
            let (mut storage, found) = find(&mut torn);
            assert!(found == old || found == new, "{n}, step {step}: {found:?}");
            seen[usize::from(found == new)] += 1;
            // It goes on from there, and a second cut is no worse.
            let second = numbered(n + 1_000);
            torn.cut_at(torn.steps() + step % 40);
            if storage.save(&mut torn, &second).is_err() {
                torn.power_on();
                let (mut storage, after) = find(&mut torn);
                assert!(after == found || after == Found::Snapshot(second.clone()));
                storage.save(&mut torn, &second).unwrap();
            }
            torn.power_on();
            assert_eq!(find(&mut torn).1, Found::Snapshot(second));
            assert!(rest_untouched(&torn));
        }
    }
    assert!(
        cuts > 4_500 && seen[0] > 1_000 && seen[1] > 5,
        "{cuts} {seen:?}"
    );
}

#[test]
fn flash_that_cannot_be_written_is_told_and_keeps_what_it_has() {
    let mut flash = board(2);
    let (mut storage, _) = find(&mut flash);
    storage.save(&mut flash, &numbered(1)).unwrap();
    flash.make_read_only();
    let failed = storage.save(&mut flash, &numbered(2));
    assert_eq!(failed, Err(StorageError::Erase));
    assert_eq!(find(&mut flash).1, Found::Snapshot(numbered(1)));
}

#[test]
fn a_page_that_is_worn_out_is_passed_over() {
    let mut flash = board(3);
    let (mut storage, _) = find(&mut flash);
    let page = region().start as usize + PAGE;
    for n in 1..400 {
        // The second page has stuck bits in every slot.
        for slot in 0..PAGE / SLOT {
            flash.bytes_mut()[page + slot * SLOT + 9] = 0x7F;
        }
        storage.save(&mut flash, &numbered(n)).unwrap();
        assert_eq!(find(&mut flash).1, Found::Snapshot(numbered(n)));
    }
}

#[test]
fn rubbish_is_not_taken_for_a_new_part() {
    for (fill, expected) in [
        (0xFF, Found::Nothing),
        (0, Found::Lost),
        (0x5A, Found::Lost),
    ] {
        let mut flash = board(4);
        let range = region();
        flash.bytes_mut()[range.start as usize..range.end as usize].fill(fill);
        let (mut storage, found) = find(&mut flash);
        assert_eq!(found, expected);
        storage.save(&mut flash, &numbered(5)).unwrap();
        assert_eq!(find(&mut flash).1, Found::Snapshot(numbered(5)));
    }
}

#[test]
fn every_bit_of_a_snapshot_counts() {
    let slot = numbered(3).to_slot(7);
    assert_eq!(Snapshot::from_slot(&slot), Some((7, numbered(3))));
    for at in 0..SLOT {
        for bit in 0..8 {
            let mut bad = slot;
            bad[at] ^= 1 << bit;
            assert_eq!(Snapshot::from_slot(&bad), None, "byte {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn long_histories_with_cuts_anywhere_never_show_a_third_value(
        seed: u64,
        gaps in prop::collection::vec(0u64..700, 1..12),
    ) {
        let mut flash = board(seed);
        let mut old = Found::Nothing;
        let mut n = 0;
        for gap in gaps {
            flash.cut_at(flash.steps() + gap);
            let (mut storage, _) = find(&mut flash);
            let new = loop {
                n += 1;
                let snapshot = numbered(n);
                let saved = storage.save(&mut flash, &snapshot);
                if saved.is_err() {
                    break Found::Snapshot(snapshot);
                }
                old = Found::Snapshot(snapshot);
            };
            flash.power_on();
            let (_, found) = find(&mut flash);
            prop_assert!(found == old || found == new, "{found:?} is neither {old:?} nor {new:?}");
            old = found;
        }
        prop_assert!(rest_untouched(&flash));
    }
}
