//! Is it a polygon that a camera's zone can have?

use super::{At, Checker};

/// Smallest area that counts, as a fraction of the picture: about 20 by 20 pixels of full HD.
const LEAST_AREA: f64 = 0.000_2;

type Point = [f64; 2];

/// Reports what is wrong with a polygon; corners as fractions of the picture.
pub(super) fn polygon(cx: &mut Checker<'_, '_>, at: At<'_>, corners: &[Point]) -> Vec<[f32; 2]> {
    let outside = corners
        .iter()
        .position(|c| c.iter().any(|x| !(0.0..=1.0).contains(x)));
    if let Some(i) = outside {
        let [x, y] = corners.get(i).copied().unwrap_or_default();
        let help = "divide pixels by the picture's width and height";
        let message = format!(
            "corner {} at [{x}, {y}] is outside the picture, 0 to 1",
            i + 1
        );
        cx.error(at.index(i), message, help);
    } else if let Some((a, b)) = crossing(corners) {
        let message = format!(
            "the polygon crosses itself: side {} meets side {}",
            a + 1,
            b + 1
        );
        cx.error(
            at,
            message,
            "list the corners in the order in which you would walk around",
        );
    } else if area(corners).abs() < LEAST_AREA {
        cx.error(at, "the polygon has next to no area", "");
    }
    corners.iter().map(|c| c.map(|x| x as f32)).collect()
}

/// Twice the signed area of a triangle: which side of a→b is c on?
fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

fn area(corners: &[Point]) -> f64 {
    let next = corners.iter().cycle().skip(1);
    let sum: f64 = corners
        .iter()
        .zip(next)
        .map(|(a, b)| a[0] * b[1] - b[0] * a[1])
        .sum();
    sum / 2.0
}

/// Whether c, which is on the line through a and b, is between them.
fn between(a: Point, b: Point, c: Point) -> bool {
    (a[0].min(b[0])..=a[0].max(b[0])).contains(&c[0])
        && (a[1].min(b[1])..=a[1].max(b[1])).contains(&c[1])
}

/// Whether two closed segments have a point in common.
fn meet(a: Point, b: Point, c: Point, d: Point) -> bool {
    let (abc, abd) = (turn(a, b, c), turn(a, b, d));
    let (cda, cdb) = (turn(c, d, a), turn(c, d, b));
    if abc * abd < 0.0 && cda * cdb < 0.0 {
        return true;
    }
    (abc == 0.0 && between(a, b, c))
        || (abd == 0.0 && between(a, b, d))
        || (cda == 0.0 && between(c, d, a))
        || (cdb == 0.0 && between(c, d, b))
}

/// Two sides that touch where they should not, by index; side `i` starts at corner `i`.
fn crossing(corners: &[Point]) -> Option<(usize, usize)> {
    let n = corners.len();
    let sides: Vec<(Point, Point)> = corners
        .iter()
        .copied()
        .zip(corners.iter().copied().cycle().skip(1))
        .collect();
    for (i, &(a, b)) in sides.iter().enumerate() {
        for (j, &(c, d)) in sides.iter().enumerate().skip(i + 1) {
            let neighbours = j == i + 1 || (i == 0 && j == n - 1);
            let bad = if neighbours {
                // They share one corner; more is a side that runs back on itself.
                let (far, shared, other) = if j == i + 1 { (a, b, d) } else { (b, a, c) };
                a == b
                    || c == d
                    || (turn(far, shared, other) == 0.0
                        && (between(far, shared, other) || between(shared, other, far)))
            } else {
                meet(a, b, c, d)
            };
            if bad {
                return Some((i, j));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_polygons_do_not_cross() {
        for corners in [
            vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
            vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
            // Concave, and a corner in the middle of a straight side.
            vec![
                [0.0, 0.0],
                [0.5, 0.0],
                [1.0, 0.0],
                [1.0, 1.0],
                [0.5, 0.5],
                [0.0, 1.0],
            ],
        ] {
            assert_eq!(crossing(&corners), None, "{corners:?}");
        }
    }

    #[test]
    fn crossings_are_found() {
        for corners in [
            // Bow tie.
            vec![[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]],
            // The same corner twice.
            vec![[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
            // A side that runs back on itself.
            vec![[0.0, 0.0], [1.0, 0.0], [0.5, 0.0], [0.0, 1.0]],
            // Touches itself in a corner.
            vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.0], [0.0, 1.0]],
            vec![[0.2, 0.2], [0.2, 0.2], [0.2, 0.2]],
        ] {
            assert!(crossing(&corners).is_some(), "{corners:?}");
        }
    }

    #[test]
    fn area_has_a_sign_for_the_direction() {
        let square = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        assert_eq!(area(&square), 1.0);
        let mut back = square;
        back.reverse();
        assert_eq!(area(&back), -1.0);
    }

    proptest::proptest! {
        /// A star around a centre never crosses itself; swapping two opposite corners makes it.
        #[test]
        fn stars_are_simple(radii in proptest::collection::vec(0.1f64..0.5, 4..40)) {
            let n = radii.len();
            let corners: Vec<Point> = radii.iter().enumerate().map(|(i, r)| {
                let angle = i as f64 * std::f64::consts::TAU / n as f64;
                [0.5 + r * angle.cos(), 0.5 + r * angle.sin()]
            }).collect();
            proptest::prop_assert_eq!(crossing(&corners), None);
        }
    }
}
