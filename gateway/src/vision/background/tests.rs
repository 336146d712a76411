//! Streets made of numbers: a textured ground with noise, and what may happen to it.

use super::*;

mod coming;

const W: usize = 160;
const H: usize = 90;
/// Five looks a second; a test of many minutes takes fewer, as a quiet camera does.
const OFTEN: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);

/// A street that is looked at.
struct Street {
    background: Background,
    ground: Vec<f32>,
    at: Duration,
    /// Until the next look.
    step: Duration,
    noise: f32,
    random: u64,
}

impl Street {
    fn new() -> Self {
        let zone = Polygon::new(vec![[0.1, 0.2], [0.95, 0.2], [0.95, 0.95], [0.1, 0.95]]);
        Street::with(zone, vec![])
    }

    fn with(zone: Polygon, fixtures: Vec<Polygon>) -> Self {
        let mut street = Street {
            background: Background::new(vec![zone], fixtures),
            ground: Vec::new(),
            at: Duration::ZERO,
            step: OFTEN,
            noise: 2.0,
            random: 88_172_645_463_325_252,
        };
        // Pavement: soft patches of 7 cells and a grain of one.
        let patches: Vec<f32> = (0..400).map(|_| street.noise() * 10.0).collect();
        street.ground = (0..W * H)
            .map(|i| {
                let (x, y) = (i % W, i / W);
                110.0 + patches[(x / 7) * 13 + y / 7] + street.noise() * 4.0
            })
            .collect();
        street.run(10, |_, _| None);
        street
    }

    /// -1 to 1.
    fn noise(&mut self) -> f32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % 2001) as f32 / 1000.0 - 1.0
    }

    /// Looks so often from now on.
    fn every(&mut self, step: Duration) {
        self.step = step;
    }

    /// One look at the ground changed by `paint`: (index, ground) -> other brightness.
    fn look(&mut self, occupied: &[Bbox], paint: impl Fn(usize, f32) -> Option<f32>) -> Vec<Blob> {
        let mut pixels = Vec::with_capacity(W * H);
        for index in 0..W * H {
            let ground = self.ground[index];
            let value = paint(index, ground).unwrap_or(ground) + self.noise() * self.noise;
            pixels.push(value.clamp(0.0, 255.0) as u8);
        }
        self.at += self.step;
        let luma = Luma {
            width: W,
            height: H,
            pixels,
        };
        self.background.look(&luma, self.at, occupied)
    }

    /// Looks for `seconds`; returns what was there at the end, and panics on nothing.
    fn run(&mut self, seconds: u64, paint: impl Fn(usize, f32) -> Option<f32>) -> Vec<Blob> {
        let mut last = Vec::new();
        let end = self.at + Duration::from_secs(seconds);
        while self.at < end {
            last = self.look(&[], &paint);
        }
        last
    }

    /// As `run`; everything that was ever reported.
    fn ever(
        &mut self,
        seconds: u64,
        mut paint: impl FnMut(f32, usize, f32) -> Option<f32>,
    ) -> Vec<Blob> {
        let mut all: Vec<Blob> = Vec::new();
        let begun = self.at;
        while self.at < begun + Duration::from_secs(seconds) {
            let passed = (self.at - begun).as_secs_f32();
            let painted: Vec<_> = (0..W * H)
                .map(|i| paint(passed, i, self.ground[i]))
                .collect();
            for blob in self.look(&[], |i, _| painted[i]) {
                if !all.iter().any(|b| b.id == blob.id) {
                    all.push(blob);
                }
            }
        }
        all
    }
}

/// A bag of (width, height) cells at (x, y), darker than the ground and with folds of its own.
fn bag(
    x: usize,
    y: usize,
    width: usize,
    height: usize,
) -> impl Fn(usize, f32) -> Option<f32> + Copy {
    move |index, _| {
        let (cx, cy) = (index % W, index / W);
        let inside = (x..x + width).contains(&cx) && (y..y + height).contains(&cy);
        inside.then(|| 45.0 + ((cx * 7 + cy * 13) % 5) as f32 * 8.0)
    }
}

#[test]
fn glints_of_rain_do_not_hide_a_thing_and_what_only_flickers_is_none() {
    // By more than what stands still may change.
    let glint = |t: f32, i: usize| 10.0 * (t * 5.0 + (i / W) as f32 / 3.0).sin();
    let there = bag(60, 40, 12, 8);
    let mut street = Street::new();
    let found = street.ever(20, |t, i, ground| {
        Some(there(i, ground)? - 40.0 + glint(t, i))
    });
    assert_eq!(found.len(), 1, "{found:?}");
    // As much flicker on what differs by little.
    let mut street = Street::new();
    let pale = |t, i, ground: f32| Some(ground + 0.5 * (there(i, ground)? - ground) + glint(t, i));
    let found = street.ever(20, pale);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_bag_that_is_left_is_found_where_it_lies_and_once() {
    let mut street = Street::new();
    let placed = street.at;
    let all = street.ever(20, |_, i, g| bag(70, 50, 6, 5)(i, g));
    assert_eq!(all.len(), 1, "{all:?}");
    let blob = &all[0];
    assert_eq!(blob.change, Change::Appeared);
    for (found, true_side) in blob.bbox.iter().zip([
        70.0 / W as f32,
        50.0 / H as f32,
        76.0 / W as f32,
        55.0 / H as f32,
    ]) {
        assert!((found - true_side).abs() < 0.03, "{:?}", blob.bbox);
    }
    let late = blob.since.abs_diff(placed);
    assert!(late < Duration::from_millis(1500), "{late:?}");
}

#[test]
fn it_is_gone_when_it_is_gone() {
    let mut street = Street::new();
    assert_eq!(street.run(10, bag(70, 50, 6, 5)).len(), 1);
    assert_eq!(street.run(1, |_, _| None).len(), 1, "not at once");
    assert!(street.run(8, |_, _| None).is_empty());
    street.every(SECOND);
    assert!(
        street.run(60, |_, _| None).is_empty(),
        "and leaves no ghost"
    );
}

#[test]
fn it_stays_for_hours_and_is_not_learnt() {
    let mut street = Street::new();
    let first = street.run(10, bag(70, 50, 6, 5));
    street.every(SECOND * 20);
    let last = street.run(5 * 3600, bag(70, 50, 6, 5));
    assert_eq!(last.len(), 1);
    assert_eq!(first[0].id, last[0].id);
    assert!(last[0].stable > Duration::from_secs(5 * 3500), "{last:?}");
}

#[test]
fn a_pile_that_grows_is_one_thing() {
    let mut street = Street::new();
    let small = street.run(10, bag(70, 50, 6, 5));
    let large = street.run(10, bag(66, 46, 14, 10));
    assert_eq!((small.len(), large.len()), (1, 1));
    assert_eq!(small[0].id, large[0].id);
    assert!(large[0].area > small[0].area * 3.0);
    assert!(large[0].stable < Duration::from_secs(10));
}

#[test]
fn what_was_there_and_is_taken_is_removed_and_forgotten() {
    let mut street = Street::new();
    let car = bag(60, 40, 30, 15);
    for index in 0..W * H {
        if let Some(value) = car(index, 0.0) {
            street.ground[index] = value;
        }
    }
    // The scene is learnt with the car in it.
    street.background = Background::new(street.background.watched.clone(), vec![]);
    street.run(10, |_, _| None);
    let empty = |index: usize, _: f32| car(index, 0.0).map(|_| 112.0);
    let seen = street.run(20, empty);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].change, Change::Removed);
    street.every(SECOND);
    assert!(
        street.run(90, empty).is_empty(),
        "the empty place is the scene now"
    );
}

#[test]
fn who_passes_or_stands_in_a_known_box_is_nothing() {
    let mut street = Street::new();
    // Somebody walks through, unseen by the detector.
    let all = street.ever(25, |passed, i, g| {
        let x = (passed * 6.0) as usize;
        (x < W - 10).then(|| bag(x, 40, 5, 14)(i, g)).flatten()
    });
    assert!(all.is_empty(), "{all:?}");
    // Somebody stands for five minutes, and the detector sees them.
    let person = [80.0 / 160.0, 40.0 / 90.0, 85.0 / 160.0, 54.0 / 90.0];
    street.every(SECOND);
    for _ in 0..300 {
        assert!(street.look(&[person], bag(80, 40, 5, 14)).is_empty());
    }
    assert!(
        street.run(30, |_, _| None).is_empty(),
        "and leaves no ghost"
    );
}

#[test]
fn a_bag_behind_somebody_stays_known() {
    let mut street = Street::new();
    let known = street.run(10, bag(80, 48, 6, 5));
    let person = [75.0 / 160.0, 36.0 / 90.0, 90.0 / 160.0, 58.0 / 90.0];
    street.every(SECOND / 2);
    for _ in 0..120 {
        let seen = street.look(&[person], bag(76, 37, 13, 20));
        assert_eq!(seen.iter().map(|b| b.id).collect::<Vec<_>>(), [known[0].id]);
    }
    assert_eq!(street.run(10, bag(80, 48, 6, 5))[0].id, known[0].id);
}

#[test]
fn light_is_not_a_thing() {
    // Automatic exposure, up and down by a third.
    let mut street = Street::new();
    let all = street.ever(60, |passed, _, g| {
        Some(g * (1.0 + 0.33 * (passed / 9.0).sin()))
    });
    assert!(all.is_empty(), "exposure {all:?}");
    // A lamp is switched on, and off.
    let mut street = Street::new();
    let all = street.ever(60, |passed, _, g| {
        Some(if (20.0..40.0).contains(&passed) {
            g * 0.45 + 5.0
        } else {
            g
        })
    });
    assert!(all.is_empty(), "switch {all:?}");
    // Headlights sweep over the ground and stop for ten seconds.
    let mut street = Street::new();
    let all = street.ever(40, |passed, i, g| {
        let x = (passed.clamp(0.0, 20.0) * 5.0).min(100.0);
        let (dx, dy) = ((i % W) as f32 - x, (i / W) as f32 - 50.0);
        let beam = (-(dx * dx + dy * dy) / 300.0).exp();
        (passed < 30.0).then_some(g * (1.0 + 0.6 * beam))
    });
    assert!(all.is_empty(), "headlights {all:?}");
    // The shadow of a house creeps over it.
    let mut street = Street::new();
    street.every(SECOND);
    let all = street.ever(300, |passed, i, g| {
        let edge = passed / 3.0;
        let depth = ((edge - (i % W) as f32) / 3.0).clamp(0.0, 1.0);
        Some(g * (1.0 - 0.45 * depth))
    });
    // Its edge may look like something taken away, never like something left.
    assert!(
        all.iter().all(|b| b.change == Change::Removed),
        "shadow {all:?}"
    );
}

#[test]
fn a_lamp_that_lights_a_third_of_a_dark_scene_is_not_a_thing_and_what_lies_in_its_light_is() {
    let lit = |i: usize, g: f32| {
        let (dx, dy) = ((i % W) as f32 - 90.0, (i / W) as f32 - 55.0);
        g * 0.35 * (1.0 + 1.6 * (-(dx * dx + dy * dy) / 1600.0).exp())
    };
    let mut street = Street::new();
    street.run(30, |_, g| Some(g * 0.35));
    let all = street.ever(30, |_, i, g| Some(lit(i, g)));
    assert!(all.is_empty(), "{all:?}");
    let white = |i: usize, g: f32| bag(70, 50, 6, 5)(i, g).map_or(lit(i, g), |v| 100.0 + v);
    assert_eq!(street.run(10, |i, g| Some(white(i, g))).len(), 1);
}

#[test]
fn a_heap_of_which_every_other_stone_is_as_bright_as_the_ground_is_found_and_stays() {
    let heap = |i: usize, g: f32| {
        let (x, y) = (i % W, i / W);
        let inside = (60..70).contains(&x) && (50..57).contains(&y);
        // Of each two by two: one darker, one lighter, two hardly different.
        inside.then_some(match (x % 2, y % 2) {
            (0, 0) => g - 28.0,
            (1, 1) => g + 28.0,
            _ => g + 10.0,
        })
    };
    let mut street = Street::new();
    let first = street.run(10, heap);
    assert_eq!(first.len(), 1, "{first:?}");
    let [left, _, right, _] = first[0].bbox;
    assert!(right - left >= 8.0 / W as f32, "as a whole {first:?}");
    street.every(SECOND);
    let last = street.run(180, heap);
    assert_eq!(last.iter().map(|b| b.id).collect::<Vec<_>>(), [first[0].id]);
    assert!(street.run(8, |_, _| None).is_empty());
}

#[test]
fn a_switch_of_the_light_keeps_what_was_known() {
    let mut street = Street::new();
    let known = street.run(10, bag(70, 50, 8, 6));
    // To infrared: other contrast everywhere, the ground's pattern inverted.
    let night = |i: usize, g: f32| match bag(70, 50, 8, 6)(i, g) {
        Some(_) => Some(150.0),
        None => Some(150.0 - g * 0.7),
    };
    street.every(SECOND / 2);
    let after = street.run(30, night);
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(after[0].id, known[0].id);
    let gone = street.run(80, |_, g| Some(150.0 - g * 0.7));
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn rain_noise_and_shake_are_nothing() {
    let mut street = Street::new();
    let mut drops = 7u64;
    let all = street.ever(40, |_, _, g| {
        drops = drops
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (drops >> 60 == 0).then_some(g + 60.0)
    });
    assert!(all.is_empty(), "rain {all:?}");
    let mut street = Street::new();
    let ground = street.ground.clone();
    let all = street.ever(40, |passed, i, g| {
        let (dx, dy) = (
            ((passed * 3.0).sin() * 2.5) as i64,
            ((passed * 5.0).sin() * 1.5) as i64,
        );
        let moved = i as i64 + dx + dy * W as i64;
        Some(
            usize::try_from(moved)
                .ok()
                .and_then(|m| ground.get(m))
                .copied()
                .unwrap_or(g),
        )
    });
    assert!(all.is_empty(), "shake {all:?}");
}

#[test]
fn a_bag_in_the_rain_is_found() {
    let mut street = Street::new();
    let mut drops = 7u64;
    let all = street.ever(30, |_, i, g| {
        drops = drops
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let ground = bag(70, 50, 8, 6)(i, g).unwrap_or(g);
        Some(if drops >> 59 == 0 {
            ground + 60.0
        } else {
            ground
        })
    });
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn only_zones_are_asked_and_fixtures_belong() {
    let left = Polygon::new(vec![[0.0, 0.0], [0.4, 0.0], [0.4, 1.0], [0.0, 1.0]]);
    let bin = Polygon::new(vec![[0.1, 0.5], [0.2, 0.5], [0.2, 0.7], [0.1, 0.7]]);
    let mut street = Street::with(left, vec![bin]);
    assert!(street.run(20, bag(100, 50, 6, 5)).is_empty(), "outside");
    assert!(street.run(20, bag(20, 50, 6, 5)).is_empty(), "a fixture");
    assert_eq!(street.run(20, bag(45, 50, 6, 5)).len(), 1, "inside");
}

#[test]
fn seldom_looks_find_it_too() {
    let mut street = Street::new();
    street.every(SECOND * 10);
    assert_eq!(street.run(40, bag(70, 50, 6, 5)).len(), 1);
}

#[test]
fn a_change_asks_for_another_look_soon_and_a_scene_without_none() {
    let mut street = Street::new();
    assert!(!street.background.unsettled(), "learnt");
    let mut seldom = |paint: &dyn Fn(usize, f32) -> Option<f32>, seconds: u32| {
        street.every(SECOND * seconds);
        let found = street.look(&[], paint);
        (found.len(), street.background.unsettled())
    };
    assert_eq!(seldom(&|_, _| None, 15), (0, false));
    // It came between two looks: two seconds later it is known to stay.
    assert_eq!(seldom(&bag(70, 50, 6, 5), 15), (0, true));
    assert_eq!(seldom(&bag(70, 50, 6, 5), 2), (1, false));
    assert_eq!(seldom(&bag(70, 50, 6, 5), 15), (1, false));
    // And went between two.
    assert_eq!(seldom(&|_, _| None, 15), (1, true));
    assert_eq!(seldom(&|_, _| None, 2), (0, false));
}

#[test]
fn another_size_begins_anew_and_no_size_is_nothing() {
    let mut street = Street::new();
    street.run(10, bag(70, 50, 6, 5));
    let at = street.at;
    assert!(street.background.look(&Luma::default(), at, &[]).is_empty());
    let small = Luma {
        width: 8,
        height: 4,
        pixels: vec![9; 32],
    };
    assert!(
        street
            .background
            .look(&small, at, &[[-3.0, f32::NAN, 9.0, 2.0]])
            .is_empty()
    );
    assert!(
        street
            .background
            .look(&small, at, &[[0.0, 0.0, 1.0, 1.0]])
            .is_empty()
    );
}

#[test]
fn ground_that_dries_in_patches_is_nothing_and_a_bag_on_it_is() {
    // Patches of a dozen cells grow lighter by 45 of 255 within half a minute, one after another.
    let dries = |t: f32, i: usize| {
        let (x, y) = (i % W, i / W);
        let begins = ((x / 12 * 7 + y / 9 * 5) % 11) as f32 * 6.0;
        45.0 * ((t - begins) / 30.0).clamp(0.0, 1.0)
    };
    let mut street = Street::new();
    let found = street.ever(100, |t, i, ground| Some(ground - 30.0 + dries(t, i)));
    assert!(found.is_empty(), "{found:?}");
    let there = bag(60, 40, 12, 8);
    let mut street = Street::new();
    let found = street.ever(100, |t, i, ground| {
        let bag = there(i, ground).filter(|_| t > 40.0);
        Some(bag.unwrap_or(ground - 30.0 + dries(t, i)))
    });
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_smooth_bag_on_rough_ground_has_come_and_not_gone() {
    let mut street = Street::new();
    for index in 0..W * H {
        street.ground[index] += 22.0 * ((index * 7919 % 101) as f32 / 50.0 - 1.0);
    }
    street.run(20, |_, _| None);
    let smooth = |index: usize, _| {
        let inside = (60..74).contains(&(index % W)) && (40..52).contains(&(index / W));
        inside.then_some(85.0)
    };
    let found = street.run(10, smooth);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].change, Change::Appeared);
}

#[test]
fn hours_of_noise_change_nothing_of_the_scene() {
    let mut street = Street::new();
    street.noise = 6.0;
    street.every(SECOND * 15);
    street.run(600, |_, _| None);
    let contrast = |scene: &[f32]| {
        let n = scene.len() as f32;
        let mean = scene.iter().sum::<f32>() / n;
        (scene.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt()
    };
    let before = contrast(&street.background.scene);
    street.run(4 * 3600, |_, _| None);
    let after = contrast(&street.background.scene);
    assert!((0.8..1.25).contains(&(after / before)), "{before} {after}");
}
