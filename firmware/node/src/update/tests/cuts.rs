//! The power goes at any step of an update.

use super::*;

/// A whole update, with the power cut in step `cut`, and what ran in the end.
fn with_cut(seed: u64, cut: u64, confirmed: bool) -> (u32, bool) {
    let mut flash = fresh(seed);
    let file = signed(NEW);
    flash.cut_at(cut);
    let life = |flash: &mut Flash| -> Option<()> {
        let mut update = Update::new(terms(), flash, 0);
        push(&mut update, flash, &file).ok()?;
        (update.state() == UpdateState::Ready).then_some(())?;
        wangge_boot::prepare(flash, &PART).ok()?;
        let mut update = Update::new(
            Terms {
                counter: NEW,
                ..terms()
            },
            flash,
            0,
        );
        if confirmed {
            confirm(&mut update, flash, NEW).ok()?;
        }
        wangge_boot::prepare(flash, &PART).ok()
    };
    let whole = life(&mut flash).is_some();
    flash.power_on();
    wangge_boot::prepare(&mut flash, &PART).unwrap();
    let first = runs(&mut flash);
    assert!(
        first.is_some(),
        "bricked: seed {seed}, cut {cut}, confirmed {confirmed}"
    );
    let counter = first.unwrap();
    assert!(neighbours_are_untouched(&flash), "seed {seed}, cut {cut}");
    // And it can be updated, or confirmed, to the end.
    let mut update = Update::new(Terms { counter, ..terms() }, &mut flash, 0);
    if counter == OLD {
        push(&mut update, &mut flash, &file).unwrap();
        assert_eq!(update.state(), UpdateState::Ready);
        wangge_boot::prepare(&mut flash, &PART).unwrap();
        update = Update::new(
            Terms {
                counter: NEW,
                ..terms()
            },
            &mut flash,
            0,
        );
    }
    confirm(&mut update, &mut flash, NEW).unwrap();
    wangge_boot::prepare(&mut flash, &PART).unwrap();
    assert_eq!(runs(&mut flash), Some(NEW));
    assert!(neighbours_are_untouched(&flash), "seed {seed}, cut {cut}");
    (counter, whole)
}

#[test]
fn a_cut_at_any_step_leaves_a_node_that_runs_and_can_be_updated() {
    for confirmed in [false, true] {
        let (mut olds, mut news, mut cut) = (0, 0, 0);
        loop {
            let (counter, whole) = with_cut(cut * 3 + u64::from(confirmed), cut, confirmed);
            if whole {
                break;
            }
            if counter == OLD {
                olds += 1;
            } else {
                news += 1;
            }
            cut += 1;
        }
        std::println!("{cut} cuts, confirmed {confirmed}: {olds} old, {news} new");
        assert!(olds > 500 && news > 10, "{olds} {news}");
    }
}
