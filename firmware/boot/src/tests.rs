#![allow(clippy::unwrap_used)]

extern crate std;
use std::vec::Vec;

use embedded_storage::nor_flash::{NorFlash as _, ReadNorFlash as _};
use wangge_flash_sim::Flash;
use wangge_protocol::node::layout::{DISCOVERY, Part, Region};

use super::*;

/// Like the discovery board's part, but with images of four pages: every cut can be tried.
const PART: Part = {
    const KIB: u32 = 1024;
    const fn region(from: u32, kib: u32) -> Region {
        Region {
            from: 0x0800_0000 + from * KIB,
            size: kib * KIB,
        }
    }
    let mut part = DISCOVERY;
    part.flash = region(0, 16);
    part.active = region(3, 4);
    part.storage = region(12, 2);
    part.identity = region(14, 1);
    if let Some(swap) = &mut part.swap {
        swap.boot = region(0, 1);
        swap.state = region(1, 2);
        swap.dfu = region(7, 5);
    }
    part
};

fn image(name: u8) -> Vec<u8> {
    let pattern = |at: usize| name ^ (at / 1024) as u8 ^ (at * 7) as u8;
    (0..PART.active.size as usize).map(pattern).collect()
}

fn put(flash: &mut Flash, region: Region, bytes: &[u8]) {
    let range = region.within(PART.flash);
    flash.erase(range.start, range.end).unwrap();
    flash.write(range.start, bytes).unwrap();
}

fn active(flash: &mut Flash) -> Vec<u8> {
    let mut bytes = std::vec![0; PART.active.size as usize];
    let range = PART.active.within(PART.flash);
    flash.read(range.start, &mut bytes).unwrap();
    bytes
}

/// Old image running, new one waiting, and pages around them that nobody may touch.
fn fresh(seed: u64) -> Flash {
    let mut flash = Flash::new(PART.flash.size as usize, seed);
    put(&mut flash, PART.active, &image(0xA0));
    put(&mut flash, PART.swap.unwrap().dfu, &image(0x0B));
    for region in [PART.swap.unwrap().boot, PART.storage, PART.identity] {
        put(&mut flash, region, &std::vec![0x55; region.size as usize]);
    }
    flash
}

fn neighbours_are_untouched(flash: &Flash) -> bool {
    [PART.swap.unwrap().boot, PART.storage, PART.identity]
        .iter()
        .all(|region| {
            let range = region.within(PART.flash);
            let bytes = &flash.bytes()[range.start as usize..range.end as usize];
            bytes.iter().all(|byte| *byte == 0x55)
        })
}

#[test]
fn an_image_is_tried_and_confirmed_or_goes_back() {
    let mut flash = fresh(0);
    prepare(&mut flash, &PART).unwrap();
    assert_eq!(active(&mut flash), image(0xA0), "nothing was marked");
    mark_updated(&mut flash, &PART).unwrap();
    prepare(&mut flash, &PART).unwrap();
    assert_eq!(active(&mut flash), image(0x0B));
    assert_eq!(on_trial(&mut flash, &PART), Ok(true));

    let mut confirmed = flash.clone();
    confirm(&mut confirmed, &PART).unwrap();
    for _ in 0..2 {
        prepare(&mut confirmed, &PART).unwrap();
        assert_eq!(active(&mut confirmed), image(0x0B));
        assert_eq!(on_trial(&mut confirmed, &PART), Ok(false));
    }
    for _ in 0..2 {
        prepare(&mut flash, &PART).unwrap();
        assert_eq!(active(&mut flash), image(0xA0));
        assert_eq!(on_trial(&mut flash, &PART), Ok(false));
    }
    assert!(neighbours_are_untouched(&flash) && neighbours_are_untouched(&confirmed));
}

/// Which image a history of the flash ends with, when the power fails in step `cut` of it, and
/// perhaps again so many steps later.
fn after_cut(seed: u64, cut: u64, again: Option<u64>, confirmed: bool) -> (Vec<u8>, bool) {
    let mut flash = fresh(seed);
    let begun = flash.steps();
    flash.cut_at(begun + cut);
    let history = |flash: &mut Flash| {
        mark_updated(flash, &PART)?;
        prepare(flash, &PART)?;
        if confirmed {
            confirm(flash, &PART)?;
        }
        prepare(flash, &PART)
    };
    let whole = history(&mut flash).is_ok() && flash.is_on();
    flash.power_on();
    if let Some(again) = again {
        let now = flash.steps();
        flash.cut_at(now + again);
        let _ = prepare(&mut flash, &PART);
        flash.power_on();
    }
    prepare(&mut flash, &PART).unwrap();
    // What runs now does so twice if nobody says anything: a trial ends with the old image.
    let first = active(&mut flash);
    let trial = on_trial(&mut flash, &PART).unwrap();
    prepare(&mut flash, &PART).unwrap();
    let second = active(&mut flash);
    for image_now in [&first, &second] {
        assert!(
            *image_now == image(0xA0) || *image_now == image(0x0B),
            "bricked: seed {seed}, cut {cut}, again {again:?}, confirmed {confirmed}"
        );
    }
    assert!(trial || first == second, "it changed without a trial");
    if trial {
        assert_eq!(second, image(0xA0), "a trial that nobody confirmed");
    }
    assert!(neighbours_are_untouched(&flash));
    (second, whole)
}

#[test]
fn a_cut_at_any_step_leaves_one_of_the_two_images() {
    for confirmed in [false, true] {
        let mut cut = 0;
        loop {
            let mut whole = false;
            for seed in 0..4 {
                whole = after_cut(seed * 1_000 + cut, cut, None, confirmed).1;
            }
            if whole {
                break;
            }
            cut += 1;
        }
        // Four pages in and out, half-word by half-word.
        assert!(cut > 4 * 2 * 512, "{cut}");
    }
}

#[test]
fn cuts_in_the_state_page_are_tried_with_many_patterns() {
    // Marking, and the last steps of a revert and of a confirmation, with other torn bits each.
    let whole = |confirmed| {
        (0..)
            .step_by(64)
            .find(|cut| after_cut(0, *cut, None, confirmed).1)
            .unwrap()
    };
    for confirmed in [false, true] {
        let end = whole(confirmed);
        for cut in (0..10).chain(end.saturating_sub(80)..end) {
            for seed in 0..100 {
                after_cut(seed, cut, None, confirmed);
            }
        }
    }
}

#[test]
fn a_second_cut_while_recovering_does_no_more_harm() {
    for seed in 0..600 {
        let cut = seed * 6_151 % 17_000;
        let again = seed * 2_917 % 9_000;
        after_cut(seed, cut, Some(again), seed % 2 == 0);
    }
}

#[test]
fn without_the_care_for_the_state_page_nodes_are_bricked() {
    // The control: embassy-boot on the same flash, as it comes, cut while it confirms.
    let mut on_trial = fresh(0);
    mark_updated(&mut on_trial, &PART).unwrap();
    prepare(&mut on_trial, &PART).unwrap();
    let bricked = (0..20_000)
        .filter(|seed| {
            let mut flash = Flash::new(PART.flash.size as usize, *seed);
            flash.bytes_mut().copy_from_slice(on_trial.bytes());
            // Progress made invalid, two pages erased, then the magic: that step.
            flash.cut_at(3);
            let shared = Shared::new(RefCell::new(&mut flash));
            let mut word = [0; 2];
            let state = piece(&shared, &PART, PART.swap.unwrap().state);
            let _ = BlockingFirmwareState::new(state, &mut word).mark_booted();
            flash.power_on();
            prepare(&mut flash, &PART).unwrap();
            let runs = active(&mut flash);
            runs != image(0xA0) && runs != image(0x0B)
        })
        .count();
    assert!(bricked > 0, "the care would not be needed");
    std::println!("{bricked} of 20,000 bricked without it");
}

#[test]
fn a_part_for_one_image_says_so() {
    let mut flash = Flash::new(64 * 1024, 0);
    let part = wangge_protocol::node::layout::BLUEPILL;
    assert_eq!(prepare(&mut flash, &part), Err(BootError::OneImage));
    assert_eq!(mark_updated(&mut flash, &part), Err(BootError::OneImage));
    assert_eq!(on_trial(&mut flash, &part), Err(BootError::OneImage));
    assert_eq!(confirm(&mut flash, &part), Err(BootError::OneImage));
}

#[test]
fn flash_that_cannot_be_written_is_told_and_changes_nothing() {
    let mut flash = fresh(0);
    flash.make_read_only();
    assert_eq!(mark_updated(&mut flash, &PART), Err(BootError::Flash));
    prepare(&mut flash, &PART).unwrap();
    assert_eq!(active(&mut flash), image(0xA0));
}
