//! Heads and number plates, made unrecognisable before a picture is encoded.
//!
//! There is no face and no plate recognition in this product, and what it writes shall not feed
//! any elsewhere. Each block of pixels becomes its average, rounded coarsely, so that what was
//! there cannot be computed back. Where a detector may err, more is hidden rather than less.

use super::{draw::Canvas, zone::Bbox};

/// What has to be hidden in a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitive {
    /// The head: the upper part.
    Person,
    /// The plates, and who sits behind the windscreen is not hidden by the lower part alone, so
    /// all but the roof.
    Vehicle,
    /// What looks like a number plate: all of it.
    Plate,
}

/// Blocks across a hidden region: a head becomes four by about four.
const BLOCKS: f32 = 4.0;
/// Blocks are no smaller than this, pixels.
const LEAST_BLOCK: f32 = 8.0;
/// Blocks across the picture when it is unknown where people are.
const BLOCKS_OF_ALL: f32 = 32.0;
/// Lower bits of a colour that are given up.
const ROUNDED: u8 = 0b1111_0000;

/// Hides what is sensitive in each box (fractions of the picture).
pub fn hide(canvas: &mut Canvas, found: &[(Sensitive, Bbox)]) {
    for (what, bbox) in found {
        let region = region(*what, *bbox);
        let block = (region[2] - region[0]) * canvas.width as f32 / BLOCKS;
        coarsen(canvas, region, block);
    }
}

/// Hides everything: for when nobody can tell where people are.
pub fn hide_all(canvas: &mut Canvas) {
    let block = canvas.width as f32 / BLOCKS_OF_ALL;
    coarsen(canvas, [0.0, 0.0, 1.0, 1.0], block);
}

/// The part of a box that is hidden, with a margin for boxes that are a little off.
fn region(what: Sensitive, [left, top, right, bottom]: Bbox) -> Bbox {
    let (width, height) = (right - left, bottom - top);
    match what {
        Sensitive::Person => {
            // Of someone cut off by the picture, or sitting, the head is a larger part.
            let head = if height > 1.8 * width { 0.3 } else { 0.5 };
            let (dx, dy) = (0.1 * width, 0.06 * height);
            [left - dx, top - dy, right + dx, top + head * height]
        }
        Sensitive::Vehicle => {
            let (dx, dy) = (0.03 * width, 0.03 * height);
            [left - dx, top + 0.2 * height, right + dx, bottom + dy]
        }
        Sensitive::Plate => {
            let (dx, dy) = (0.3 * width, 0.4 * height);
            [left - dx, top - dy, right + dx, bottom + dy]
        }
    }
}

fn coarsen(canvas: &mut Canvas, [left, top, right, bottom]: Bbox, block: f32) {
    let (width, height) = (canvas.width, canvas.height);
    let pixel = |fraction: f32, side: usize| (fraction * side as f32).clamp(0.0, side as f32);
    let (x0, x1) = (
        pixel(left, width) as usize,
        pixel(right, width).ceil() as usize,
    );
    let (y0, y1) = (
        pixel(top, height) as usize,
        pixel(bottom, height).ceil() as usize,
    );
    // Of a box without end, one block is the whole picture.
    let block = block.max(LEAST_BLOCK) as usize;
    let block = block.min(width.max(height).max(1));
    for by in (y0..y1).step_by(block) {
        for bx in (x0..x1).step_by(block) {
            let rows = by..(by + block).min(y1);
            let bytes = bx * 3..(bx + block).min(x1) * 3;
            let (mut sums, mut count) = ([0u32; 3], 0);
            for y in rows.clone() {
                let line = &canvas.pixels[y * width * 3..][bytes.clone()];
                for pixel in line.as_chunks::<3>().0 {
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += u32::from(*value);
                    }
                    count += 1;
                }
            }
            let colour = sums.map(|sum| ((sum / count.max(1)) as u8 & ROUNDED) | 8);
            for y in rows {
                let line = &mut canvas.pixels[y * width * 3..][bytes.clone()];
                for pixel in line.as_chunks_mut::<3>().0 {
                    *pixel = colour;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas(paint: impl Fn(usize, usize) -> u8) -> Canvas {
        let mut canvas = Canvas::new(320, 240);
        for (i, pixel) in canvas.pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = [paint(i % 320, i / 320); 3];
        }
        canvas
    }

    const PERSON: Bbox = [0.4, 0.2, 0.5, 0.8];

    #[test]
    fn two_faces_of_one_brightness_become_the_same_bytes() {
        // Two patterns with the same mean in every block of eight.
        let mut a = canvas(|x, y| if (x + y) % 2 == 0 { 60 } else { 180 });
        let mut b = canvas(|x, y| if (x / 2 + y / 2) % 2 == 0 { 180 } else { 60 });
        assert_ne!(a, b);
        let head = |c: &Canvas| {
            let rows = 60..80;
            rows.flat_map(|y| c.pixels[(y * 320 + 130) * 3..(y * 320 + 158) * 3].to_vec())
                .collect::<Vec<u8>>()
        };
        for c in [&mut a, &mut b] {
            hide(c, &[(Sensitive::Person, PERSON)]);
        }
        assert_eq!(head(&a), head(&b));
    }

    #[test]
    fn the_head_is_hidden_and_the_rest_stays() {
        let paint = |x: usize, y: usize| ((x * 7 + y * 13) % 251) as u8;
        let (before, mut after) = (canvas(paint), canvas(paint));
        hide(&mut after, &[(Sensitive::Person, PERSON)]);
        let at = |c: &Canvas, x: usize, y: usize| c.pixels[(y * 320 + x) * 3];
        // Every pixel of the head's block is one value.
        assert_eq!(at(&after, 140, 60), at(&after, 141, 61));
        assert_eq!(at(&after, 140, 170), at(&before, 140, 170), "the feet");
        assert_eq!(at(&after, 20, 60), at(&before, 20, 60), "elsewhere");
    }

    #[test]
    fn of_a_vehicle_only_the_roof_stays() {
        let paint = |x: usize, y: usize| ((x * 7 + y * 13) % 251) as u8;
        let (before, mut after) = (canvas(paint), canvas(paint));
        hide(&mut after, &[(Sensitive::Vehicle, [0.2, 0.2, 0.8, 0.8])]);
        let same = |x: usize, y: usize| {
            after.pixels[(y * 320 + x) * 3] == before.pixels[(y * 320 + x) * 3]
        };
        assert!((70..250).all(|x| same(x, 55)));
        assert!(
            (70..250).filter(|x| same(*x, 180)).count() < 20,
            "the plate"
        );
    }

    #[test]
    fn odd_boxes_and_sizes_do_not_panic() {
        for (width, height) in [(0, 0), (1, 1), (7, 3), (320, 240)] {
            let mut canvas = Canvas::new(width, height);
            for bbox in [
                [f32::NAN; 4],
                [-5.0, -5.0, 9.0, 9.0],
                [0.9, 0.9, 0.1, 0.1],
                [f32::NEG_INFINITY, 0.0, f32::INFINITY, 1.0],
            ] {
                hide(
                    &mut canvas,
                    &[(Sensitive::Person, bbox), (Sensitive::Vehicle, bbox)],
                );
            }
            hide_all(&mut canvas);
        }
    }

    #[test]
    fn all_hidden_leaves_no_detail() {
        let mut c = canvas(|x, y| ((x * 7 + y * 13) % 251) as u8);
        hide_all(&mut c);
        let mut colours: Vec<_> = c.pixels.as_chunks::<3>().0.to_vec();
        colours.sort_unstable();
        colours.dedup();
        assert!(colours.len() <= 16);
    }
}
