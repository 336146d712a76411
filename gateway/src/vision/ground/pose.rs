//! How a camera must hang for its points to be as they are: what an installer sees at a glance to
//! be wrong, where no point contradicts another. Feet for metres is such a mistake, and four
//! points that always fit.

use super::{
    CONFIDENCE, matrix,
    plane::{self, LENS, Plane, UNKNOWNS},
};

/// Where a camera over a pavement hangs, metres. Beyond it somebody should look again.
pub const HEIGHTS: std::ops::RangeInclusive<f64> = 1.5..=12.0;
/// Step of the differences that stand for derivatives; all unknowns are about one.
const STEP: f64 = 1e-6;
/// The height is not told where it is not known to this share of it.
const VAGUE: f64 = 0.3;

/// A camera above its ground, its pixels square and its axis in the middle of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Above the ground, metres.
    pub height: f64,
    /// Half-width of its error, metres.
    pub error: f64,
    /// Downwards from the horizon, radians.
    pub tilt: f64,
    /// How wide the picture is, radians.
    pub width: f64,
}

impl Pose {
    /// Whether no camera hangs there, whatever the error.
    pub fn is_strange(&self) -> bool {
        self.height + self.error < *HEIGHTS.start() || self.height - self.error > *HEIGHTS.end()
    }
}

impl Plane {
    /// How the camera hangs. `None`: the points do not tell it well enough, as where it looks
    /// straight down, or no camera sees them so.
    pub fn pose(&self) -> Option<Pose> {
        let pose = self.of(&self.unknowns)?;
        let mut by_unknowns = [0.0; UNKNOWNS];
        for i in 0..UNKNOWNS {
            let height = |step: f64| {
                let mut unknowns = self.unknowns;
                unknowns[i] += step;
                self.of(&unknowns).map(|pose| pose.height)
            };
            by_unknowns[i] = (height(STEP)? - height(-STEP)?) / (2.0 * STEP);
        }
        let spread = matrix::apply(&self.covariance, &by_unknowns);
        let error = CONFIDENCE * matrix::dot(&by_unknowns, &spread).sqrt();
        (error <= VAGUE * pose.height).then_some(Pose { error, ..pose })
    }

    /// Without its error. The ground is turned so that one axis runs along the horizon: of what is
    /// as long on either axis the picture then tells the focal length.
    fn of(&self, unknowns: &[f64; UNKNOWNS]) -> Option<Pose> {
        let [a, b, c, d, e, f, g, h, _] = *unknowns;
        let away = g.hypot(h);
        let turned = |x: f64, y: f64| ((x * h - y * g) / away, (x * g + y * h) / away);
        let ((ax, ay), (dx, dy)) = (turned(a, b), turned(d, e));
        let along = ax.hypot(dx);
        let square = (along.powi(2) - ay.powi(2) - dy.powi(2)) / away.powi(2);
        if square.is_nan() || square <= 0.0 {
            return None;
        }
        let focal = square.sqrt();
        // Directions of the ground's axes as the camera sees them, and its origin.
        let unit = focal / along;
        let (right, ahead) = (
            [ax / along, dx / along, 0.0],
            [unit * ay / focal, unit * dy / focal, unit * away],
        );
        let origin = [unit * c / focal, unit * f / focal, unit];
        let up = cross(right, ahead);
        let length = matrix::dot(&up, &up).sqrt();
        let edge = self.picture[0] / (2.0 * plane::half_diagonal(self.picture));
        let straight = edge / (1.0 + unknowns[LENS] * edge.powi(2)).max(f64::EPSILON);
        Some(Pose {
            height: self.scale * matrix::dot(&up, &origin).abs() / length,
            error: 0.0,
            tilt: (up[2].abs() / length).asin(),
            width: 2.0 * (straight / focal).atan(),
        })
    }
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}
