//! How something comes: at once, bit by bit, behind somebody, or before anybody looked.

use super::*;

/// A street in which something came between two looks that were far apart, and has been seen once.
fn found_late(there: impl Fn(usize, f32) -> Option<f32>) -> Street {
    let mut street = Street::new();
    street.every(SECOND * 15);
    street.look(&[], there);
    street.every(SECOND * 2);
    street
}

/// A disc that grows by half a cell a second from nothing and mirrors something dark.
fn water(t: f32, index: usize) -> Option<f32> {
    let (x, y) = ((index % W) as f32 - 80.0, (index / W) as f32 - 50.0);
    (x.hypot(y) < t / 2.0).then_some(50.0 + 8.0 * (x / 3.0).sin())
}

#[test]
fn water_that_spreads_is_doubted_and_then_the_scene() {
    // Watched closely, and as a quiet camera is: seldom, and closely once something differs.
    for seldom in [OFTEN, SECOND * 15] {
        let mut street = Street::new();
        let begun = street.at;
        let mut seen = false;
        while street.at < begun + SECOND * 70 {
            let t = (street.at - begun).as_secs_f32();
            let found = street.look(&[], |i, _| water(t, i));
            assert!(found.iter().all(|b| !b.settled), "{t} {found:?}");
            seen |= !found.is_empty();
            let closely = street.background.unsettled() || !found.is_empty();
            street.every(if closely {
                seldom.min(SECOND * 2)
            } else {
                seldom
            });
        }
        assert!(seen, "else nothing was tried");
    }
}

#[test]
fn what_nobody_saw_coming_must_stay_as_it_is_for_a_while() {
    let there = bag(70, 50, 6, 5);
    let mut street = found_late(there);
    let settled: Vec<bool> = (0..8)
        .map(|_| street.look(&[], there).iter().any(|b| b.settled))
        .collect();
    assert_eq!(settled.iter().position(|s| *s), Some(5), "{settled:?}");
    assert!(settled[5..].iter().all(|s| *s));
}

#[test]
fn headlights_over_what_nobody_saw_coming_do_not_make_it_water() {
    let there = bag(70, 50, 6, 5);
    let mut street = found_late(there);
    let mut last = Vec::new();
    for look in 0..20 {
        let lit = (3..6).contains(&look) || (12..14).contains(&look);
        last = street.look(&[], |i, ground| {
            let value = there(i, ground)?;
            Some(if lit { value * 0.5 } else { value })
        });
        assert!(!last.is_empty(), "after {look} looks");
    }
    assert!(last[0].settled);
}

#[test]
fn a_heap_poured_out_within_ten_seconds_is_a_thing() {
    let mut street = Street::new();
    let poured = |t: f32, index: usize| {
        let (x, y) = (index % W, index / W);
        let width = (t * 2.0).min(20.0) as usize;
        let dark = if (x + y) % 2 == 0 { 30.0 } else { 55.0 };
        ((60..60 + width).contains(&x) && (40..52).contains(&y)).then_some(dark)
    };
    let begun = street.at;
    let mut last = Vec::new();
    while street.at < begun + SECOND * 25 {
        let t = (street.at - begun).as_secs_f32();
        last = street.look(&[], |i, _| poured(t, i));
    }
    assert!(
        matches!(&last[..], [Blob { settled: true, .. }]),
        "{last:?}"
    );
}

#[test]
fn somebody_who_passes_every_second_does_not_hide_for_ever_what_lies_there() {
    let mut street = Street::new();
    let there = bag(70, 50, 6, 5);
    let before = [0.42, 0.3, 0.5, 0.7];
    let mut found = Vec::new();
    for look in 0..60 {
        // Four looks of five are at somebody's coat.
        found = match look % 5 {
            0 => street.look(&[], there),
            _ => street.look(&[before], |i, ground| {
                let (x, y) = (i % W, i / W);
                ((68..79).contains(&x) && (28..62).contains(&y)).then_some(ground / 3.0)
            }),
        };
    }
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn who_was_there_from_the_first_picture_leaves_no_ghost() {
    let mut street = Street::new();
    street.background = Background::new(street.background.watched.clone(), vec![]);
    let stands = [0.42, 0.3, 0.5, 0.7];
    let coat = |from: usize| {
        move |i: usize, ground: f32| {
            let (x, y) = (i % W, i / W);
            let inside = (from..from + 10).contains(&x) && (28..62).contains(&y);
            inside.then_some(ground / 4.0 + 60.0 * ((x + y) % 3) as f32 / 2.0)
        }
    };
    // One stands there, known to do so; another walks by whom the detector does not know.
    for look in 0..60 {
        let (standing, walking) = (coat(68), coat(20 + look * 3 / 2));
        let found = street.look(&[stands], |i, ground| {
            standing(i, ground).or_else(|| walking(i, ground))
        });
        assert!(found.is_empty(), "{found:?}");
    }
    let found = street.run(30, |_, _| None);
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(street.run(10, bag(70, 50, 6, 5)).len(), 1);
}

#[test]
fn a_switch_of_the_light_leaves_no_ghost_of_who_stood_there() {
    let mut street = Street::new();
    let stands = [0.42, 0.3, 0.5, 0.7];
    let coat = |i: usize, ground: f32| {
        let inside = (68..78).contains(&(i % W)) && (28..62).contains(&(i / W));
        inside.then_some(ground / 3.0)
    };
    let infrared = |ground: f32| 40.0 + (ground * 7.0) % 90.0;
    for _ in 0..20 {
        street.look(&[stands], coat);
    }
    for _ in 0..60 {
        street.look(&[stands], |i, ground| {
            coat(i, ground).or(Some(infrared(ground)))
        });
    }
    let found = street.run(20, |_, ground| Some(infrared(ground)));
    assert!(found.is_empty(), "{found:?}");
}
