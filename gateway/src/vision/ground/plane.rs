//! From the picture to metres on the ground and back, with the error of each place.

use serde::{Deserialize, Serialize};

use super::{
    Point,
    matrix::{self, Matrix},
};

/// Unknowns: eight of the homography (the ninth is 1), and one of the lens.
pub(super) const UNKNOWNS: usize = 9;
/// Index of the lens among them.
pub(super) const LENS: usize = 8;
/// Step of the differences that stand for derivatives; all unknowns are about one.
const STEP: f64 = 1e-6;
/// Depth, as share of the surveyed points', below which something is behind the camera, and of
/// which the inverse is a place at the horizon.
const LEAST_DEPTH: f64 = 1e-3;

/// A place on the ground, and how surely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Located {
    /// Metres.
    pub metres: Point,
    /// Of both, square metres.
    pub covariance: Matrix<2>,
}

impl Located {
    /// Standard deviation in a direction (of length one), metres.
    pub fn deviation(&self, direction: Point) -> f64 {
        matrix::dot(&direction, &matrix::apply(&self.covariance, &direction)).sqrt()
    }
}

/// A camera's ground plane: a homography, and one coefficient of radial distortion
/// (A. Fitzgibbon's division model, 2001).
///
/// Within, picture and ground are normalised: the picture about its middle by half its diagonal,
/// the ground about the surveyed points by their spread. It does not know: ground that is not
/// flat, a lens whose centre is not the picture's, tangential distortion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plane {
    /// Width and height of the picture that was surveyed, pixels.
    pub(super) picture: Point,
    /// Middle of the surveyed points, metres.
    pub(super) origin: Point,
    /// Metres of one normalised unit.
    pub(super) scale: f64,
    pub(super) unknowns: [f64; UNKNOWNS],
    pub(super) covariance: Matrix<UNKNOWNS>,
    /// Standard deviation of a measured figure, metres.
    pub(super) tape_error: f64,
}

impl Plane {
    /// Where a place in the picture (fractions) is on the ground, metres. `None` above the
    /// horizon.
    pub fn ground(&self, image: Point) -> Option<Point> {
        let [x, y] = backward(&self.unknowns, self.normal(image))?;
        Some([
            self.origin[0] + self.scale * x,
            self.origin[1] + self.scale * y,
        ])
    }

    /// Where a place on the ground (metres) is in the picture, fractions; outside of 0 to 1 it
    /// is not in it. `None` behind the camera.
    pub fn image(&self, metres: Point) -> Option<Point> {
        let [x, y] = forward(&self.unknowns, self.local(metres))?;
        let half = half_diagonal(self.picture);
        Some([
            0.5 + x * half / self.picture[0],
            0.5 + y * half / self.picture[1],
        ])
    }

    /// Where a place in the picture (fractions), known to `deviation` pixels of the surveyed
    /// picture, is on the ground, and how surely. `None` above the horizon.
    pub fn locate(&self, image: Point, deviation: Point) -> Option<Located> {
        let metres = self.ground(image)?;
        let place = self.local(metres);
        let (by_place, by_unknowns) = derivatives(&self.unknowns, place)?;
        let half = half_diagonal(self.picture);
        let [x, y] = deviation.map(|pixels| (pixels / half).powi(2));
        let seen = matrix::sum(
            &matrix::carried(&by_unknowns, &self.covariance),
            &[[x, 0.0], [0.0, y]],
        );
        let back = matrix::inverse(&by_place)?;
        let covariance =
            matrix::carried(&back, &seen).map(|row| row.map(|v| v * self.scale.powi(2)));
        Some(Located { metres, covariance })
    }

    /// Width and height of the picture that was surveyed, pixels.
    pub fn picture(&self) -> Point {
        self.picture
    }

    /// Standard deviation of a measured figure, metres.
    pub fn tape_error(&self) -> f64 {
        self.tape_error
    }

    fn normal(&self, image: Point) -> Point {
        normalised(image, self.picture)
    }

    fn local(&self, metres: Point) -> Point {
        [
            (metres[0] - self.origin[0]) / self.scale,
            (metres[1] - self.origin[1]) / self.scale,
        ]
    }
}

/// Half the diagonal, pixels.
pub(super) fn half_diagonal(picture: Point) -> f64 {
    picture[0].hypot(picture[1]) / 2.0
}

/// Fractions of the picture, about its middle, in half diagonals.
pub(super) fn normalised(image: Point, picture: Point) -> Point {
    let half = half_diagonal(picture);
    [
        (image[0] - 0.5) * picture[0] / half,
        (image[1] - 0.5) * picture[1] / half,
    ]
}

/// From the ground to the picture, both normalised. `None` behind the camera, and where the lens
/// shows nothing.
pub(super) fn forward(unknowns: &[f64; UNKNOWNS], [x, y]: Point) -> Option<Point> {
    let [a, b, c, d, e, f, g, h, lens] = *unknowns;
    let depth = g * x + h * y + 1.0;
    if depth.is_nan() || depth < LEAST_DEPTH {
        return None;
    }
    let (u, v) = ((a * x + b * y + c) / depth, (d * x + e * y + f) / depth);
    let inside = 1.0 - 4.0 * lens * (u * u + v * v);
    if inside < 0.0 {
        return None;
    }
    let bent = 2.0 / (1.0 + inside.sqrt());
    Some([u * bent, v * bent])
}

/// From the picture to the ground, both normalised. `None` above the horizon.
pub(super) fn backward(unknowns: &[f64; UNKNOWNS], [u, v]: Point) -> Option<Point> {
    let [a, b, c, d, e, f, g, h, lens] = *unknowns;
    let straight = 1.0 + lens * (u * u + v * v);
    if straight < LEAST_DEPTH {
        return None;
    }
    let inverse = matrix::inverse(&[[a, b, c], [d, e, f], [g, h, 1.0]])?;
    let [x, y, shallow] = matrix::apply(&inverse, &[u / straight, v / straight, 1.0]);
    // The inverse of the depth.
    (shallow > LEAST_DEPTH).then(|| [x / shallow, y / shallow])
}

/// How the place in the picture changes with that on the ground, and with the unknowns.
pub(super) fn derivatives(
    unknowns: &[f64; UNKNOWNS],
    place: Point,
) -> Option<(Matrix<2>, [[f64; UNKNOWNS]; 2])> {
    let mut by_place = [[0.0; 2]; 2];
    for i in 0..2 {
        let moved = |step: f64| {
            let mut place = place;
            place[i] += step;
            forward(unknowns, place)
        };
        let (after, before) = (moved(STEP)?, moved(-STEP)?);
        for axis in 0..2 {
            by_place[axis][i] = (after[axis] - before[axis]) / (2.0 * STEP);
        }
    }
    let mut by_unknowns = [[0.0; UNKNOWNS]; 2];
    for i in 0..UNKNOWNS {
        let changed = |step: f64| {
            let mut unknowns = *unknowns;
            unknowns[i] += step;
            forward(&unknowns, place)
        };
        let (after, before) = (changed(STEP)?, changed(-STEP)?);
        for axis in 0..2 {
            by_unknowns[axis][i] = (after[axis] - before[axis]) / (2.0 * STEP);
        }
    }
    Some((by_place, by_unknowns))
}
