//! Regions that look like number plates.
//!
//! No plate is read here. A plate is a flat bar of one colour with dense upright strokes, and
//! whatever looks so is made coarse: near vehicles in all colours that plates have (white, black
//! on yellow, blue, green), elsewhere in the two that nothing grows in (blue, yellow), for vehicles
//! that the detector missed. A shop sign that is hidden by mistake does less harm than a plate
//! that is not.

use super::{draw::Canvas, zone::Bbox};

/// Side of a cell in which pixels are counted, pixels.
const CELL: usize = 4;
/// Widths of the windows that are tried, cells: 24 to 128 pixels. Narrower plates cannot be read.
const WIDTHS: [usize; 5] = [6, 9, 14, 21, 32];
/// Plates are about three times as wide as high (GA 36-2018: 440 mm x 140 mm).
const ASPECT: usize = 3;
/// Difference of luma between neighbours that is a stroke.
const STROKE: i32 = 36;
/// Least share of pixels at which a stroke begins or ends.
const LEAST_STROKES: f32 = 0.10;
/// Upright strokes outnumber level ones this much.
const UPRIGHT: f32 = 1.2;
/// Least share of pixels in the plate's own colour.
const LEAST_COLOUR: f32 = 0.4;
/// Around a vehicle's box, share of its size, plates are still its own.
const NEAR: f32 = 0.15;

/// Counts of one cell, and after summing those of everything above and to the left.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    upright: u32,
    level: u32,
    /// Blue or yellow.
    loud: u32,
    green: u32,
    pale: u32,
}

impl Counts {
    fn plus(self, other: Counts) -> Counts {
        Counts {
            upright: self.upright + other.upright,
            level: self.level + other.level,
            loud: self.loud + other.loud,
            green: self.green + other.green,
            pale: self.pale + other.pale,
        }
    }

    /// Of a region, from the sums at its corners: never negative.
    fn minus(self, other: Counts) -> Counts {
        Counts {
            upright: self.upright - other.upright,
            level: self.level - other.level,
            loud: self.loud - other.loud,
            green: self.green - other.green,
            pale: self.pale - other.pale,
        }
    }
}

/// Plate-like regions, fractions of the picture.
pub fn plates(canvas: &Canvas, vehicles: &[Bbox]) -> Vec<Bbox> {
    let (columns, rows) = (canvas.width / CELL, canvas.height / CELL);
    let sums = sums(canvas, columns, rows);
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let near = |x: f32, y: f32| {
        vehicles.iter().any(|[left, top, right, bottom]| {
            let (dx, dy) = ((right - left) * NEAR, (bottom - top) * NEAR);
            (left - dx..=right + dx).contains(&x) && (top - dy..=bottom + dy).contains(&y)
        })
    };
    let at = |x: usize, y: usize| sums[y * (columns + 1) + x];
    let mut marked = vec![false; columns * rows];
    for across in WIDTHS {
        let down = across / ASPECT;
        let pixels = (across * down * CELL * CELL) as f32;
        let step = (across / 6).max(1);
        for y in (0..(rows + 1).saturating_sub(down)).step_by(step) {
            for x in (0..(columns + 1).saturating_sub(across)).step_by(step) {
                let (right, bottom) = (x + across, y + down);
                let all = at(right, bottom)
                    .plus(at(x, y))
                    .minus(at(x, bottom))
                    .minus(at(right, y));
                let strokes = all.upright as f32;
                if strokes < LEAST_STROKES * pixels || strokes < UPRIGHT * all.level as f32 {
                    continue;
                }
                let enough = |count: u32| count as f32 >= LEAST_COLOUR * pixels;
                let middle =
                    |from: usize, to: usize, side: f32| ((from + to) * CELL) as f32 / 2.0 / side;
                let of_vehicle = || near(middle(x, right, width), middle(y, bottom, height));
                if enough(all.loud) || ((enough(all.green) || enough(all.pale)) && of_vehicle()) {
                    for row in y..bottom {
                        marked[row * columns..][x..right].fill(true);
                    }
                }
            }
        }
    }
    regions(marked, columns)
        .map(|[left, top, right, bottom]| {
            let edge = |cells: usize, side: f32| (cells * CELL) as f32 / side;
            [
                edge(left, width),
                edge(top, height),
                edge(right, width),
                edge(bottom, height),
            ]
        })
        .collect()
}

/// Boxes around the marked cells that touch each other: left, top, right and bottom in cells.
fn regions(mut marked: Vec<bool>, columns: usize) -> impl Iterator<Item = [usize; 4]> {
    let mut from = 0;
    std::iter::from_fn(move || {
        from += marked.get(from..)?.iter().position(|cell| *cell)?;
        let mut region = [usize::MAX, usize::MAX, 0, 0];
        let mut open = vec![from];
        while let Some(cell) = open.pop() {
            match marked.get_mut(cell) {
                Some(cell) if *cell => *cell = false,
                _ => continue,
            }
            let (x, y) = (cell % columns, cell / columns);
            let [left, top, right, bottom] = region;
            region = [left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)];
            open.extend((x > 0).then(|| cell - 1));
            open.extend((x + 1 < columns).then_some(cell + 1));
            open.extend(cell.checked_sub(columns));
            open.push(cell + columns);
        }
        Some(region)
    })
}

/// Sums over all cells above and to the left, with a row and a column of zeros before them.
fn sums(canvas: &Canvas, columns: usize, rows: usize) -> Vec<Counts> {
    let stride = columns + 1;
    let mut sums = vec![Counts::default(); stride * (rows + 1)];
    for row in 0..rows {
        let mut left = Counts::default();
        for column in 0..columns {
            left = left.plus(cell(canvas, column * CELL, row * CELL));
            let above = sums[row * stride + column + 1];
            sums[(row + 1) * stride + column + 1] = above.plus(left);
        }
    }
    sums
}

fn cell(canvas: &Canvas, left: usize, top: usize) -> Counts {
    let pixel = |x: usize, y: usize| {
        let at = (y.min(canvas.height - 1) * canvas.width + x.min(canvas.width - 1)) * 3;
        [0, 1, 2].map(|channel| i32::from(canvas.pixels[at + channel]))
    };
    let luma = |[r, g, b]: [i32; 3]| (r * 77 + g * 150 + b * 29) >> 8;
    let mut counts = Counts::default();
    for y in top..top + CELL {
        for x in left..left + CELL {
            let rgb = pixel(x, y);
            let here = luma(rgb);
            counts.upright += u32::from((luma(pixel(x + 1, y)) - here).abs() >= STROKE);
            counts.level += u32::from((luma(pixel(x, y + 1)) - here).abs() >= STROKE);
            let [r, g, b] = rgb;
            let blue = b >= 80 && b >= r + 50 && b >= g + 20;
            let yellow = r >= 140 && g >= 100 && b + 60 <= r.min(g);
            counts.loud += u32::from(blue || yellow);
            counts.green += u32::from(g >= 100 && g >= r + 25 && g >= b + 10);
            let spread = r.max(g).max(b) - r.min(g).min(b);
            counts.pale += u32::from(here >= 140 && spread <= 50);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{draw::TextSize, zone::iou};

    /// A grey street with a drawn plate, which is synthetic.
    fn street(back: [u8; 3], letters: [u8; 3]) -> (Canvas, Bbox) {
        let mut canvas = Canvas::new(640, 480);
        canvas.pixels.fill(95);
        let size = TextSize::for_width(640);
        let (wide, high) = (size.width_of("8A-12345") as f32 + 8.0, size.height() as f32);
        canvas.fill_rect([300.0, 300.0, 300.0 + wide, 300.0 + high + 4.0], back, 1.0);
        canvas.text(304.0, 302.0, size, "8A-12345", letters);
        let bbox = [
            300.0 / 640.0,
            300.0 / 480.0,
            (300.0 + wide) / 640.0,
            (304.0 + high) / 480.0,
        ];
        (canvas, bbox)
    }

    fn covered(found: &[Bbox], plate: Bbox) -> bool {
        found.iter().any(|bbox| iou(*bbox, plate) > 0.3)
    }

    #[test]
    fn plates_of_vehicles_that_were_missed_are_found_by_their_colour() {
        for (back, letters) in [([20, 60, 170], [250; 3]), ([235, 185, 20], [10; 3])] {
            let (canvas, plate) = street(back, letters);
            let found = plates(&canvas, &[]);
            assert!(covered(&found, plate), "{back:?}: {found:?}");
        }
    }

    #[test]
    fn white_and_green_count_near_vehicles_only() {
        for (back, letters) in [([240, 240, 240], [10; 3]), ([90, 190, 110], [5; 3])] {
            let (canvas, plate) = street(back, letters);
            assert!(!covered(&plates(&canvas, &[]), plate), "{back:?}");
            let vehicle = [0.4, 0.3, 0.7, 0.64];
            assert!(covered(&plates(&canvas, &[vehicle]), plate), "{back:?}");
            let elsewhere = [0.0, 0.0, 0.2, 0.2];
            assert!(!covered(&plates(&canvas, &[elsewhere]), plate), "{back:?}");
        }
    }

    #[test]
    fn a_plain_wall_and_level_lines_are_no_plates() {
        let mut canvas = Canvas::new(640, 480);
        let colour = |y: usize| if y % 4 < 2 { [20, 60, 170] } else { [250; 3] };
        for (i, pixel) in canvas.pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = colour(i / 640);
        }
        let all = [[0.0, 0.0, 1.0, 1.0]];
        assert!(plates(&canvas, &all).is_empty(), "level stripes");
        for pixel in canvas.pixels.as_chunks_mut::<3>().0 {
            *pixel = [20, 60, 170];
        }
        assert!(plates(&canvas, &all).is_empty(), "one colour");
    }

    #[test]
    fn odd_sizes_do_not_panic_and_a_pattern_is_one_region() {
        for (width, height) in [(0, 0), (1, 1), (3, 900), (25, 9), (24, 8)] {
            plates(&Canvas::new(width, height), &[[f32::NAN; 4]]);
        }
        let mut canvas = Canvas::new(1280, 720);
        for (i, pixel) in canvas.pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = if i % 4 < 2 {
                [20, 60, 170]
            } else {
                [120, 160, 250]
            };
        }
        let found = plates(&canvas, &[]);
        assert!(
            matches!(found[..], [[l, t, r, b]] if l < 0.02 && t < 0.02 && r > 0.98 && b > 0.98),
            "one region, however often it fits: {found:?}"
        );
    }
}
