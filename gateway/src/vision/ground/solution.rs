//! The plane that fits marked points best.
//!
//! Weighted least squares on where the points are in the picture: a point's weight follows from
//! how exactly it was marked (pixels) and taped (metres, carried into the picture). The lens's
//! one coefficient is held near zero unless there are points enough to tell it.

use super::{
    Point, distance,
    matrix::{self, Matrix},
    plane::{self, LENS, UNKNOWNS},
    survey::Marked,
};

/// Rounds of weighting, and steps within each.
const ROUNDS: usize = 6;
const STEPS: usize = 30;

/// A plane's unknowns and what is known of them.
#[derive(Debug)]
pub(super) struct Solution {
    pub origin: Point,
    pub scale: f64,
    pub unknowns: [f64; UNKNOWNS],
    /// The inverse of their covariance.
    pub information: Matrix<UNKNOWNS>,
    /// Weighted squares of the residuals: about twice the points, less eight, if all is well.
    pub squares: f64,
    /// The standard deviation that the lens's coefficient had beforehand.
    pub lens: f64,
}

impl Solution {
    /// Of points in a picture of this width and height, pixels, with the standard deviations of
    /// a mark (pixels) and of a taped figure (metres). `lens` is the one that the lens's
    /// coefficient has beforehand. `None`: they span too little.
    pub fn of(
        points: &[Marked],
        picture: Point,
        (point_error, tape_error): (f64, f64),
        lens: f64,
    ) -> Option<Solution> {
        let n = points.len() as f64;
        let mean = |axis: usize| points.iter().map(|p| p.metres[axis]).sum::<f64>() / n;
        let origin = [mean(0), mean(1)];
        let spread = points.iter().map(|p| distance(p.metres, origin).powi(2));
        let scale = (spread.sum::<f64>() / n).sqrt();
        let pairs: Vec<(Point, Point)> = points
            .iter()
            .map(|p| {
                let place = [0, 1].map(|i| (p.metres[i] - origin[i]) / scale);
                (place, plane::normalised(p.image, picture))
            })
            .collect();
        let errors = (
            point_error / plane::half_diagonal(picture),
            tape_error / scale,
        );
        let mut unknowns = linear(&pairs)?;
        for _ in 0..ROUNDS {
            let weights = weights(&pairs, &unknowns, errors)?;
            unknowns = refine(&pairs, &weights, lens, unknowns)?;
        }
        let weights = weights(&pairs, &unknowns, errors)?;
        let normal = normal(&pairs, &weights, lens, &unknowns)?;
        Some(Solution {
            origin,
            scale,
            unknowns,
            information: normal.information,
            squares: normal.squares,
            lens,
        })
    }
}

/// Normal equations at one place.
#[derive(Debug)]
struct Normal {
    information: Matrix<UNKNOWNS>,
    gradient: [f64; UNKNOWNS],
    squares: f64,
}

/// The direct linear transform: a first homography. Its last element is not 0, because the
/// middle of points in front of a camera is in front of it.
fn linear(pairs: &[(Point, Point)]) -> Option<[f64; UNKNOWNS]> {
    let mut squares = [[0.0; 8]; 8];
    let mut right = [0.0; 8];
    for ([x, y], [u, v]) in pairs {
        for (row, value) in [
            ([*x, *y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y], u),
            ([0.0, 0.0, 0.0, *x, *y, 1.0, -v * x, -v * y], v),
        ] {
            for i in 0..8 {
                for j in 0..8 {
                    squares[i][j] += row[i] * row[j];
                }
                right[i] += row[i] * value;
            }
        }
    }
    let found = matrix::apply(&matrix::inverse(&squares)?, &right);
    let mut unknowns = [0.0; UNKNOWNS];
    unknowns[..8].copy_from_slice(&found);
    // All points must be in front of the camera.
    let all = pairs
        .iter()
        .all(|(place, _)| plane::forward(&unknowns, *place).is_some());
    all.then_some(unknowns)
}

/// What a residual of each point weighs: marking and taping errors, both in the picture.
fn weights(
    pairs: &[(Point, Point)],
    unknowns: &[f64; UNKNOWNS],
    (mark, tape): (f64, f64),
) -> Option<Vec<Matrix<2>>> {
    pairs
        .iter()
        .map(|(place, _)| {
            let (by_place, _) = plane::derivatives(unknowns, *place)?;
            let taped = matrix::carried(&by_place, &[[tape.powi(2), 0.0], [0.0, tape.powi(2)]]);
            let marked = [[mark.powi(2), 0.0], [0.0, mark.powi(2)]];
            matrix::inverse(&matrix::sum(&taped, &marked))
        })
        .collect()
}

fn normal(
    pairs: &[(Point, Point)],
    weights: &[Matrix<2>],
    lens: f64,
    unknowns: &[f64; UNKNOWNS],
) -> Option<Normal> {
    let mut normal = Normal {
        information: [[0.0; UNKNOWNS]; UNKNOWNS],
        gradient: [0.0; UNKNOWNS],
        squares: 0.0,
    };
    for ((place, seen), weight) in pairs.iter().zip(weights) {
        let image = plane::forward(unknowns, *place)?;
        let off = [seen[0] - image[0], seen[1] - image[1]];
        let (_, by_unknowns) = plane::derivatives(unknowns, *place)?;
        let weighted = matrix::apply(weight, &off);
        normal.squares += matrix::dot(&off, &weighted);
        for i in 0..UNKNOWNS {
            let column = [by_unknowns[0][i], by_unknowns[1][i]];
            normal.gradient[i] += matrix::dot(&column, &weighted);
            let pulled = matrix::apply(weight, &column);
            for j in 0..UNKNOWNS {
                let other = [by_unknowns[0][j], by_unknowns[1][j]];
                normal.information[i][j] += matrix::dot(&pulled, &other);
            }
        }
    }
    let known = lens.powi(-2);
    normal.information[LENS][LENS] += known;
    normal.gradient[LENS] -= known * unknowns[LENS];
    normal.squares += known * unknowns[LENS].powi(2);
    Some(normal)
}

/// Levenberg's and Marquardt's steps with fixed weights.
fn refine(
    pairs: &[(Point, Point)],
    weights: &[Matrix<2>],
    lens: f64,
    mut unknowns: [f64; UNKNOWNS],
) -> Option<[f64; UNKNOWNS]> {
    let mut damping = 1e-4;
    let mut here = normal(pairs, weights, lens, &unknowns)?;
    for _ in 0..STEPS {
        let mut damped = here.information;
        for (i, row) in damped.iter_mut().enumerate() {
            row[i] *= 1.0 + damping;
        }
        let step = matrix::apply(&matrix::inverse(&damped)?, &here.gradient);
        let mut there = unknowns;
        for (to, by) in there.iter_mut().zip(step) {
            *to += by;
        }
        match normal(pairs, weights, lens, &there) {
            Some(better) if better.squares <= here.squares => {
                let settled = here.squares - better.squares <= 1e-12 * (1.0 + here.squares);
                (unknowns, here) = (there, better);
                damping /= 10.0;
                if settled {
                    break;
                }
            }
            _ => damping *= 10.0,
        }
        if damping > 1e12 {
            break;
        }
    }
    Some(unknowns)
}
