//! Whether the view is still the one that was surveyed, to less than a cell.
//!
//! The health of a view (`view`) tolerates small shakes and learns slow changes: a zone drawn
//! with a thick pen does not mind. Metres do: a camera that was knocked by a tenth of a degree
//! measures wrong. So the first picture of a run is kept, and every later one held against it.
//! What it cannot know is a camera that was moved while nothing ran.

use std::time::Duration;

use crate::vision::luma::Luma;

/// Pictures of so long are averaged into the first one. A quiet camera may have just one in it:
/// the next, a quarter of a minute later, is already held against it.
const FIRST: Duration = Duration::from_secs(5);
/// The shift is averaged over about this time: wind shakes, a knock stays.
const MEMORY: Duration = Duration::from_secs(10);
/// Cells of shift, averaged, beyond which metres are wrong; and below which they are right again.
const SHIFTED: f32 = 0.6;
const BACK: f32 = 0.4;
/// Either must last for so long.
const LASTS: Duration = Duration::from_secs(20);
/// Shifts that are tried, cells; more is another view.
const RANGE: i32 = 3;
/// Likeness (correlation) below which pictures cannot be compared: night, a lorry.
const ALIKE: f32 = 0.5;
/// Looks farther apart count as this far.
const MAX_STEP: Duration = Duration::from_secs(15);

/// The picture's parts: columns and rows.
const GRID: [usize; 2] = [4, 3];
const PARTS: usize = GRID[0] * GRID[1];
/// So many parts must be comparable, and half of those shifted. A shadow that creeps with the sun
/// shifts fewer.
const LEAST_PARTS: usize = 5;
/// A part's shift must be by so much likelier than none: along a kerb that is all there is in a
/// part, every shift is as likely.
const CLEARER: f32 = 0.02;

/// Brightness steps to the right and down, of every cell.
type Steps = Vec<[f32; 2]>;

/// Watches for small shifts.
#[derive(Debug, Default)]
pub struct Anchor {
    width: usize,
    height: usize,
    first: Steps,
    /// When the first picture was taken, and how many are in its average.
    began: Duration,
    averaged: u16,
    last: Option<Duration>,
    whole: Drift,
    parts: [Drift; PARTS],
    /// The newest judgement and since when it is the same.
    judged: Option<(bool, Duration)>,
    shifted: bool,
}

impl Anchor {
    /// Whether the view is shifted against the first one, by what has lasted.
    pub fn shifted(&mut self, luma: &Luma, at: Duration) -> bool {
        if luma.width < 8 || luma.height < 8 {
            return self.shifted;
        }
        let passed = at
            .saturating_sub(self.last.replace(at).unwrap_or(at))
            .min(MAX_STEP);
        let steps = steps(luma);
        if (self.width, self.height) != (luma.width, luma.height) {
            // Another stream; whether it shows the same cannot be known.
            *self = Anchor {
                width: luma.width,
                height: luma.height,
                first: steps,
                began: at,
                averaged: 1,
                last: Some(at),
                ..Anchor::default()
            };
            return false;
        }
        if at.saturating_sub(self.began) < FIRST {
            self.averaged = self.averaged.saturating_add(1);
            let share = 1.0 / f32::from(self.averaged);
            for (was, is) in self.first.iter_mut().zip(&steps) {
                for axis in 0..2 {
                    was[axis] += (is[axis] - was[axis]) * share;
                }
            }
            return false;
        }
        let share = 1.0 - (-passed.as_secs_f32() / MEMORY.as_secs_f32()).exp();
        let area = [0, 0, self.width, self.height];
        let whole = self.offset(&steps, area, 0.0);
        self.whole.add(whole, share);
        let mut comparable = 0;
        for part in 0..PARTS {
            let shift = self.offset(&steps, self.area(part), CLEARER);
            comparable += usize::from(shift.is_some());
            if let Some(drift) = self.parts.get_mut(part) {
                drift.add(shift, share);
            }
        }
        if whole.is_none() && comparable < LEAST_PARTS {
            return self.shifted;
        }
        let limit = if self.shifted { BACK } else { SHIFTED };
        let beyond = |drift: &&Drift| drift.seen && drift.size() > limit;
        let apart = self.parts.iter().filter(beyond).count();
        let now = beyond(&&self.whole) || (comparable >= LEAST_PARTS && 2 * apart >= comparable);
        match self.judged {
            Some((judged, since)) if judged == now => {
                if at.saturating_sub(since) >= LASTS {
                    self.shifted = now;
                }
            }
            _ => self.judged = Some((now, at)),
        }
        self.shifted
    }

    /// Left, top, right and bottom of a part, cells.
    fn area(&self, part: usize) -> [usize; 4] {
        let [columns, rows] = GRID;
        let (column, row) = (part % columns, part / columns);
        [
            self.width * column / columns,
            self.height * row / rows,
            self.width * (column + 1) / columns,
            self.height * (row + 1) / rows,
        ]
    }

    /// The shift of an area against the first picture, to parts of a cell: the top of a parabola
    /// through the best whole shift and its neighbours. None, where it is not by `clearer` likelier
    /// than none.
    fn offset(&self, steps: &[[f32; 2]], area: [usize; 4], clearer: f32) -> Option<[f32; 2]> {
        let side = 2 * RANGE + 1;
        let mut likeness = vec![0.0f32; (side * side) as usize];
        let mut best = (f32::MIN, 0, 0);
        for dy in -RANGE..=RANGE {
            for dx in -RANGE..=RANGE {
                let alike = self.alike(steps, area, dx, dy);
                if let Some(place) = likeness.get_mut(index(dx, dy)) {
                    *place = alike;
                }
                if alike > best.0 {
                    best = (alike, dx, dy);
                }
            }
        }
        let (top, dx, dy) = best;
        if top < ALIKE {
            return None;
        }
        let still = likeness
            .get(index(0, 0))
            .is_some_and(|still| top - still < clearer);
        if still {
            return Some([0.0; 2]);
        }
        let at = |x: i32, y: i32| likeness.get(index(x, y)).copied();
        let refined = |whole: i32, before: Option<f32>, after: Option<f32>| {
            let whole = whole as f32;
            let (Some(before), Some(after)) = (before, after) else {
                return whole;
            };
            let bend = before - 2.0 * top + after;
            if bend < 0.0 {
                whole + 0.5 * (before - after) / bend
            } else {
                whole
            }
        };
        let inside = |v: i32| v.abs() < RANGE;
        Some([
            refined(
                dx,
                at(dx - 1, dy).filter(|_| inside(dx)),
                at(dx + 1, dy).filter(|_| inside(dx)),
            ),
            refined(
                dy,
                at(dx, dy - 1).filter(|_| inside(dy)),
                at(dx, dy + 1).filter(|_| inside(dy)),
            ),
        ])
    }

    fn alike(&self, steps: &[[f32; 2]], area: [usize; 4], dx: i32, dy: i32) -> f32 {
        let (width, height) = (self.width as i32, self.height as i32);
        let [left, top, right, bottom] = area.map(|v| v as i32);
        let (mut product, mut a, mut b) = (0.0f32, 1e-3f32, 1e-3f32);
        for y in top.max(RANGE)..bottom.min(height - RANGE) {
            for x in left.max(RANGE)..right.min(width - RANGE) {
                let now = steps.get(((y + dy) * width + x + dx) as usize);
                let then = self.first.get((y * width + x) as usize);
                if let (Some([nx, ny]), Some([tx, ty])) = (now, then) {
                    product += nx * tx + ny * ty;
                    a += nx * nx + ny * ny;
                    b += tx * tx + ty * ty;
                }
            }
        }
        product / (a * b).sqrt()
    }
}

/// A shift, averaged.
#[derive(Clone, Copy, Debug, Default)]
struct Drift {
    shift: [f32; 2],
    /// Whether it could be told the last time.
    seen: bool,
}

impl Drift {
    /// Takes what was seen now; `share` is its weight.
    fn add(&mut self, seen: Option<[f32; 2]>, share: f32) {
        self.seen = seen.is_some();
        for (was, is) in self.shift.iter_mut().zip(seen.into_iter().flatten()) {
            *was += (is - *was) * share;
        }
    }

    fn size(&self) -> f32 {
        self.shift[0].hypot(self.shift[1])
    }
}

fn index(dx: i32, dy: i32) -> usize {
    ((dy + RANGE) * (2 * RANGE + 1) + dx + RANGE) as usize
}

fn steps(luma: &Luma) -> Steps {
    let at = |index: usize| luma.pixels.get(index).map_or(0.0, |p| f32::from(*p));
    (0..luma.pixels.len())
        .map(|here| {
            let right = if (here + 1).is_multiple_of(luma.width) {
                here
            } else {
                here + 1
            };
            let below = if here + luma.width < luma.pixels.len() {
                here + luma.width
            } else {
                here
            };
            [at(right) - at(here), at(below) - at(here)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: usize = 80;
    const H: usize = 46;

    /// A street of smooth shapes, so that parts of a cell mean something, with noise. `place` says
    /// which of it a cell shows.
    fn street(place: impl Fn(f32, f32) -> [f32; 2], light: f32, random: &mut u64) -> Luma {
        let mut pixels = Vec::new();
        for i in 0..W * H {
            let [x, y] = place((i % W) as f32, (i / W) as f32);
            let value = 120.0
                + 40.0 * (x / 6.0).sin() * (y / 9.0).cos()
                + 30.0 * (x / 17.0 + y / 5.0).sin()
                + 20.0 * (x * y / 400.0).cos();
            *random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let grain = (*random >> 40) as f32 / 8_388_608.0 - 1.0;
            pixels.push((value * light + 2.0 * grain).clamp(0.0, 255.0) as u8);
        }
        Luma {
            width: W,
            height: H,
            pixels,
        }
    }

    struct View {
        anchor: Anchor,
        seconds: u64,
        random: u64,
    }

    impl View {
        fn new() -> Self {
            let mut view = View {
                anchor: Anchor::default(),
                seconds: 0,
                random: 7,
            };
            assert!(!view.run(10, [0.0, 0.0], 1.0));
            view
        }

        fn run(&mut self, seconds: u64, shift: [f32; 2], light: f32) -> bool {
            self.show(seconds, |x, y| [x + shift[0], y + shift[1]], light)
        }

        fn show(&mut self, seconds: u64, place: impl Fn(f32, f32) -> [f32; 2], light: f32) -> bool {
            let mut told = false;
            for _ in 0..seconds {
                self.seconds += 1;
                let luma = street(&place, light, &mut self.random);
                told = self
                    .anchor
                    .shifted(&luma, Duration::from_secs(self.seconds));
            }
            told
        }
    }

    #[test]
    fn a_shift_of_less_than_a_cell_is_seen_when_it_lasts_and_ends_when_undone() {
        for shift in [[0.9, 0.0], [0.0, -0.9], [0.7, 0.7], [-2.5, 1.0]] {
            let mut view = View::new();
            assert!(!view.run(15, shift, 1.0), "{shift:?} too early");
            assert!(view.run(45, shift, 1.0), "{shift:?}");
            assert!(!view.run(90, [0.0, 0.0], 1.0), "{shift:?} is over");
        }
    }

    #[test]
    fn a_turn_about_the_axis_and_a_zoom_are_shifts_though_the_middle_stays() {
        let about = |x: f32, y: f32, turn: f32, zoom: f32| {
            let (x, y) = (x - W as f32 / 2.0, y - H as f32 / 2.0);
            let (sin, cos) = turn.sin_cos();
            [x * cos - y * sin, x * sin + y * cos].map(|v| v * zoom)
        };
        let from_corner = |[x, y]: [f32; 2]| [x + W as f32 / 2.0, y + H as f32 / 2.0];
        for (turn, zoom) in [(0.05, 1.0), (-0.06, 1.0), (0.0, 1.08), (0.0, 0.93)] {
            let mut view = View::new();
            let turned = |x, y| from_corner(about(x, y, turn, zoom));
            assert!(view.show(60, turned, 1.0), "{turn} {zoom}");
            assert!(!view.run(90, [0.0, 0.0], 1.0), "{turn} {zoom} is over");
        }
    }

    /// As a long shadow does, by which nobody knocked the camera.
    #[test]
    fn what_shifts_in_a_quarter_of_the_picture_is_no_knock() {
        let mut view = View::new();
        let corner = |x: f32, y: f32| {
            let within = x < W as f32 / 2.0 && y < H as f32 / 2.0;
            [if within { x + 1.5 } else { x }, y]
        };
        assert!(!view.show(90, corner, 1.0));
    }

    #[test]
    fn light_noise_and_shakes_are_no_shift() {
        let mut view = View::new();
        assert!(!view.run(60, [0.3, -0.2], 1.0));
        assert!(!view.run(60, [0.0, 0.0], 0.5));
        for _ in 0..40 {
            assert!(!view.run(2, [2.0, 0.0], 1.0));
            assert!(!view.run(2, [-2.0, 0.0], 1.0));
        }
    }

    #[test]
    fn tiny_and_changing_pictures_do_not_panic() {
        let mut anchor = Anchor::default();
        for (width, height) in [(0, 0), (1, 1), (8, 8), (160, 90), (90, 160)] {
            let luma = Luma {
                width,
                height,
                pixels: vec![100; width * height],
            };
            for second in 0..50 {
                assert!(!anchor.shifted(&luma, Duration::from_secs(second)));
            }
        }
    }
}
