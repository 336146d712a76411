//! Metres on the ground in front of a camera.
//!
//! [`Survey`]: four or more points that somebody taped, each with its place in the picture, give
//! a [`Plane`] with the error of every place in it. [`Front`]: a shop-front on such a plane, and
//! how far things stand out beyond the line in front of it. Pure: no clock, no file, no picture.
//!
//! Every error that is shown or sent is a half-width: in 95 of 100 cases the truth lies within.
//! What that covers: how exactly the points were marked and taped, a lens that bends straight
//! lines a little, and how exactly the lower edge of the measured thing is seen. What it does not
//! cover: ground that is not flat, a thing whose foot is hidden, a camera that was moved.

// Rows and columns of small matrices are plainer by their numbers.
#![allow(clippy::needless_range_loop)]

mod anchor;
pub mod chart;
#[cfg(test)]
pub(crate) mod fixtures;
mod front;
mod matrix;
mod overrun;
mod plane;
mod pose;
mod solution;
mod survey;
#[cfg(test)]
mod tests;

pub(super) use anchor::Anchor;
pub use front::{Front, FrontError, Line, Station, limits as front_limits};
pub use overrun::{Footprint, Measure, Seen, Span};
pub use plane::{Located, Plane};
pub use pose::{HEIGHTS, Pose};
pub use survey::{Doubt, Fit, Marked, Residual, Survey, SurveyError, limits};

/// Two coordinates: metres on the ground, or fractions of the picture's width and height.
pub type Point = [f64; 2];

/// Half-width of an interval that holds 95 of 100, in standard deviations.
pub const CONFIDENCE: f64 = 1.96;

/// Smallest share of a triangle's longest side that its height must have, or its corners are on
/// one line as far as anybody can tell.
const LEVEL: f64 = 0.02;

/// Twice the signed area of a triangle.
fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

fn distance(a: Point, b: Point) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}
