//! The part of a picture that a cropped zone's evidence shows.

use super::{
    draw::Canvas,
    zone::{Bbox, Polygon},
};

/// Around a cropped zone and what was seen, share of the picture's width and height.
const MARGIN: f32 = 0.06;
/// A cropped picture is no smaller, pixels, unless the whole is: a box on bare asphalt tells
/// nobody where it is.
pub const LEAST: (usize, usize) = (320, 240);
/// What fractions lose on their way to pixels.
const ROUNDING: f32 = 0.01;

/// The surroundings of a zone and of what was seen in it: left, top, right, bottom in pixels.
pub fn area(canvas: &Canvas, zone: &Polygon, thing: Bbox) -> [usize; 4] {
    let zone = zone.bounds();
    let [left, top, right, bottom] = match thing {
        [l, t, r, b] if r > l && b > t => [
            zone[0].min(l),
            zone[1].min(t),
            zone[2].max(r),
            zone[3].max(b),
        ],
        _ => zone,
    };
    let span = |from: f32, to: f32, side: usize, least: usize| {
        let full = side as f32;
        let (mut from, mut to) = ((from - MARGIN) * full, (to + MARGIN) * full);
        let missing = (least.min(side) as f32 - (to - from)).max(0.0);
        from -= missing / 2.0;
        to += missing / 2.0;
        // Of the least size, what would lie outside is taken from the other side.
        let shift = match missing > 0.0 {
            true => (-from).max(0.0) - (to - full).max(0.0),
            false => 0.0,
        };
        let from = (from + shift + ROUNDING).clamp(0.0, full).floor() as usize;
        let to = (to + shift - ROUNDING).clamp(0.0, full).ceil() as usize;
        let from = from.min(side.saturating_sub(1));
        (from, to.clamp(from + 1, side.max(from + 1)))
    };
    let (left, right) = span(left, right, canvas.width, LEAST.0);
    let (top, bottom) = span(top, bottom, canvas.height, LEAST.1);
    [left, top, right, bottom]
}

/// A point of the whole picture, as fractions of the part.
pub fn within([x, y]: [f32; 2], whole: (usize, usize), area: [usize; 4]) -> [f32; 2] {
    let [left, top, right, bottom] = area.map(|side| side as f32);
    [
        (x * whole.0 as f32 - left) / (right - left).max(1.0),
        (y * whole.1 as f32 - top) / (bottom - top).max(1.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cropped(width: usize, height: usize, zone: &Polygon, thing: Bbox) -> [usize; 4] {
        area(&Canvas::new(width, height), zone, thing)
    }

    #[test]
    fn a_crop_has_zone_thing_and_margin_and_is_never_tiny() {
        let square =
            |from: f32, to: f32| Polygon::new(vec![[from, from], [to, from], [to, to], [from, to]]);
        let nothing = [0.0; 4];
        assert_eq!(
            cropped(1000, 1000, &square(0.3, 0.7), nothing),
            [240, 240, 760, 760]
        );
        // The thing reaches out of its zone.
        assert_eq!(
            cropped(1000, 1000, &square(0.3, 0.7), [0.5, 0.1, 0.9, 0.5]),
            [240, 40, 960, 760]
        );
        // A small zone in a corner still has surroundings, inside the picture.
        let small = cropped(1280, 720, &square(0.0, 0.02), nothing);
        assert_eq!(small, [0, 0, LEAST.0, LEAST.1]);
        let small = cropped(1280, 720, &square(0.98, 1.0), nothing);
        assert_eq!(small, [1280 - LEAST.0, 720 - LEAST.1, 1280, 720]);
        // A picture that is smaller is shown whole; so is one that is all zone.
        assert_eq!(
            cropped(160, 120, &square(0.4, 0.5), nothing),
            [0, 0, 160, 120]
        );
        assert_eq!(
            cropped(800, 600, &square(0.0, 1.0), nothing),
            [0, 0, 800, 600]
        );
        for odd in [[f32::NAN; 4], [-9.0, -9.0, 9.0, 9.0], [0.9, 0.9, 0.1, 0.1]] {
            let [left, top, right, bottom] = cropped(800, 600, &square(0.4, 0.5), odd);
            assert!(left < right && right <= 800 && top < bottom && bottom <= 600);
        }
    }
}
