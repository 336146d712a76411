//! From taped points to a plane, or to a sentence that says why not.

use super::{
    LEVEL, Point, distance, matrix,
    plane::{LENS, Plane, UNKNOWNS},
    solution::Solution,
    turn,
};

/// Limits of a survey.
pub mod limits {
    use std::ops::RangeInclusive;

    /// Points of one survey.
    pub const POINTS: RangeInclusive<usize> = 4..=32;
    /// Width and height of the picture that was marked, pixels.
    pub const PICTURE: RangeInclusive<u32> = 64..=16_384;
    /// How exactly a point was marked, pixels.
    pub const POINT_ERROR: RangeInclusive<f64> = 0.1..=50.0;
    /// How exactly a point was taped, mm.
    pub const TAPE_ERROR_MM: RangeInclusive<f64> = 1.0..=1_000.0;
    /// Metres from the origin of the tape, either way.
    pub const METRES: f64 = 1_000.0;
}

/// A lens may displace the picture's corners by so much (share of half the diagonal, standard
/// deviation) without the points having told it: six and more would tell a larger one; of fewer
/// it may be any that is sold with a cheap camera. It is within the stated error.
const LENS_DOUBT: f64 = 0.01;
const LENS_UNTOLD: f64 = 0.05;
/// Of a lens that the points can tell. Beforehand it is one that is sold, or points that tell it
/// badly would have it bend as no lens does, and be refused.
const LENS_FREE: f64 = 0.2;
/// So many points can tell the lens.
const LENS_POINTS: usize = 6;
/// A lens is believed if it lowers the sum of squares by so much: one of twenty straight lenses
/// would (chi-squared with one degree of freedom). To believe it is the cautious choice: errors
/// then follow from how well the points tell it.
const LENS_GAIN: f64 = 3.84;
/// Beyond this the picture is one of a fisheye, which this model does not describe.
const LENS_MOST: f64 = 0.4;
/// Residuals larger than in one of a thousand surveys are a mistake; the normal quantile.
const MISTAKE: f64 = 3.09;

/// A point of the ground that can be seen in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marked {
    /// Fractions of width and height.
    pub image: Point,
    /// Metres.
    pub metres: Point,
}

/// What an installer taped and marked.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Within [`limits::POINTS`].
    pub points: Vec<Marked>,
    /// Width and height of the picture that was marked, pixels.
    pub picture: Point,
    /// Standard deviation of a mark, pixels.
    pub point_error: f64,
    /// Standard deviation of a taped figure, metres.
    pub tape_error: f64,
}

/// How far a point is from where the plane has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// In the picture, pixels.
    pub pixels: f64,
    /// On the ground, metres.
    pub metres: f64,
}

/// A survey's plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    pub plane: Plane,
    /// One a point.
    pub residuals: Vec<Residual>,
    /// The lens's coefficient, if the points told one: at the picture's corner it displaces by
    /// about this share of half the diagonal; negative for a barrel.
    pub lens: Option<f64>,
    /// How much larger than stated the errors were found to be, 1 or more.
    pub inflation: f64,
    /// A point that the others do not go with, though all together are within what was stated.
    pub doubtful: Option<Doubt>,
}

/// A point that seems to be a mistake.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("point {} is {metres:.2} m ({pixels:.0} pixels) from where the others have it: measured or typed wrong? they put it at [{:.2}, {:.2}] m", .point + 1, .instead[0], .instead[1])]
pub struct Doubt {
    /// From 0.
    pub point: usize,
    pub pixels: f64,
    pub metres: f64,
    /// Where the others put it, metres.
    pub instead: Point,
}

/// Why a survey gives no plane. Points are counted from 1 in sentences and from 0 in fields.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SurveyError {
    #[error("{0} points: four are needed, and more than {most} do not help", most = limits::POINTS.end())]
    Count(usize),
    #[error("point {} has no usable numbers: the place in the picture is a fraction from 0 to 1, the place on the ground at most {most} m from the origin", .0 + 1, most = limits::METRES)]
    Range(usize),
    #[error("points {} and {} are the same place {in_what}", .a + 1, .b + 1)]
    Same {
        a: usize,
        b: usize,
        in_what: &'static str,
    },
    #[error("all points{but} are on one line {in_what}, which says nothing about the ground beside it: tape points that span an area", but = but_one(.apart))]
    OneLine {
        in_what: &'static str,
        /// The only point beside the line.
        apart: Option<usize>,
    },
    #[error("the metres of points {} and {} seem to be exchanged: the points do not go around in the picture as they do on the ground", .a + 1, .b + 1)]
    Exchanged { a: usize, b: usize },
    #[error(
        "the points do not go around in the picture as they do on the ground: the metres of one of them belong elsewhere"
    )]
    Order,
    #[error(transparent)]
    Mistaken(Doubt),
    #[error("the points do not fit together; the worst is point {}, {:.2} m ({:.0} pixels) off: tape again, or state a larger `point_error`", .point + 1, .metres, .pixels)]
    Disagree {
        point: usize,
        pixels: f64,
        metres: f64,
    },
    #[error(
        "the lens bends straight lines too much ({lens:+.2}): correct the picture in the camera (\"lens correction\"), or use a longer lens"
    )]
    Lens { lens: f64 },
    #[error("no plane goes through these points: they span too little")]
    None,
}

impl SurveyError {
    /// The point that it is about.
    pub fn point(&self) -> Option<usize> {
        match self {
            SurveyError::Range(point) | SurveyError::Disagree { point, .. } => Some(*point),
            SurveyError::Mistaken(doubt) => Some(doubt.point),
            SurveyError::Same { b, .. } | SurveyError::Exchanged { b, .. } => Some(*b),
            SurveyError::OneLine { apart, .. } => *apart,
            _ => None,
        }
    }
}

fn but_one(apart: &Option<usize>) -> String {
    apart.map_or_else(String::new, |point| format!(" but point {}", point + 1))
}

impl Survey {
    /// The plane of these points.
    ///
    /// # Errors
    /// Points that are no plane, or contradict each other by more than they may.
    pub fn fit(&self) -> Result<Fit, SurveyError> {
        self.sound()?;
        let n = self.points.len();
        let mut best = self
            .solve(&self.points, self.lens_doubt())
            .ok_or(SurveyError::None)?;
        let mut degrees = 2 * n - 8;
        let mut lens = None;
        if n >= LENS_POINTS
            && let Some(bent) = self.solve(&self.points, LENS_FREE)
        {
            let spread = (bent.squares / (degrees - 1) as f64).max(1.0);
            if best.squares - bent.squares > LENS_GAIN * spread {
                lens = Some(bent.unknowns[LENS]);
                degrees -= 1;
                best = bent;
            }
        }
        let residuals = self.residuals(&best)?;
        if degrees > 0 && best.squares > quantile(degrees) {
            return Err(self.mistake(&residuals));
        }
        if let Some(lens) = lens.filter(|k| k.abs() > LENS_MOST) {
            return Err(SurveyError::Lens { lens });
        }
        let inflation = match degrees {
            0 => 1.0,
            _ => (best.squares / degrees as f64).max(1.0),
        };
        let covariance = matrix::inverse(&best.information).ok_or(SurveyError::None)?;
        Ok(Fit {
            plane: Plane {
                covariance: covariance.map(|row| row.map(|v| v * inflation)),
                ..self.plane(&best)
            },
            residuals,
            lens,
            inflation: inflation.sqrt(),
            doubtful: self.doubtful(&best),
        })
    }

    /// How much a lens that the points did not tell may displace the picture's corners by: share
    /// of half the diagonal, standard deviation.
    pub fn lens_doubt(&self) -> f64 {
        if self.points.len() < LENS_POINTS {
            LENS_UNTOLD
        } else {
            LENS_DOUBT
        }
    }

    /// What can be said before anything is computed.
    fn sound(&self) -> Result<(), SurveyError> {
        let points = &self.points;
        if !limits::POINTS.contains(&points.len()) {
            return Err(SurveyError::Count(points.len()));
        }
        let usable = |p: &Marked| {
            p.image.iter().all(|v| (0.0..=1.0).contains(v))
                && p.metres.iter().all(|v| v.abs() <= limits::METRES)
        };
        if let Some(point) = points.iter().position(|p| !usable(p)) {
            return Err(SurveyError::Range(point));
        }
        let in_picture: Vec<Point> = points
            .iter()
            .map(|p| [p.image[0] * self.picture[0], p.image[1] * self.picture[1]])
            .collect();
        let on_ground: Vec<Point> = points.iter().map(|p| p.metres).collect();
        for (places, least, in_what) in [
            (&in_picture, 2.0 * self.point_error, "in the picture"),
            (&on_ground, 2.0 * self.tape_error, "on the ground"),
        ] {
            for (b, there) in places.iter().enumerate() {
                if let Some(a) = places[..b]
                    .iter()
                    .position(|here| distance(*here, *there) <= least)
                {
                    return Err(SurveyError::Same { a, b, in_what });
                }
            }
        }
        for (places, in_what) in [
            (&in_picture, "in the picture"),
            (&on_ground, "on the ground"),
        ] {
            if let Some(apart) = one_line(places) {
                return Err(SurveyError::OneLine { in_what, apart });
            }
        }
        if around(&in_picture, &on_ground) {
            return Ok(());
        }
        if let Some((mistaken, _)) = self.mistaken(LENS_DOUBT) {
            return Err(SurveyError::Mistaken(mistaken));
        }
        let n = points.len();
        let mended = (0..n)
            .flat_map(|b| (0..b).map(move |a| (a, b)))
            .find(|(a, b)| self.mended_by(*a, *b));
        Err(mended.map_or(SurveyError::Order, |(a, b)| SurveyError::Exchanged { a, b }))
    }

    /// Whether all is well with the metres of two points exchanged. Of four points two such
    /// pairs mend it; the first is as good as the other.
    fn mended_by(&self, a: usize, b: usize) -> bool {
        let mut exchanged = self.points.clone();
        if let (Some(one), Some(other)) = (self.points.get(a), self.points.get(b)) {
            exchanged[a].metres = other.metres;
            exchanged[b].metres = one.metres;
        }
        self.agree(&exchanged, self.lens_doubt()).is_some()
    }

    /// The solution of points that go around rightly and fit together.
    fn agree(&self, points: &[Marked], lens: f64) -> Option<Solution> {
        let images: Vec<Point> = points.iter().map(|p| p.image).collect();
        let metres: Vec<Point> = points.iter().map(|p| p.metres).collect();
        if !around(&images, &metres) {
            return None;
        }
        let solution = self.solve(points, lens)?;
        let degrees = 2 * points.len() - 8;
        (degrees == 0 || solution.squares <= quantile(degrees)).then_some(solution)
    }

    /// With six points and more: the one without whom the others agree best, and their sum of
    /// squares.
    fn mistaken(&self, lens: f64) -> Option<(Doubt, f64)> {
        if self.points.len() < LENS_POINTS {
            return None;
        }
        let without = |left_out: usize| {
            let mut others = self.points.clone();
            others.remove(left_out);
            Some((left_out, self.agree(&others, lens)?))
        };
        let (point, solution) = (0..self.points.len())
            .filter_map(without)
            .min_by(|(_, a), (_, b)| a.squares.total_cmp(&b.squares))?;
        let marked = self.points.get(point)?;
        let plane = self.plane(&solution);
        let instead = plane.ground(marked.image)?;
        let image = plane.image(marked.metres)?;
        let [x, y] = [0, 1].map(|i| (image[i] - marked.image[i]) * self.picture[i]);
        let doubt = Doubt {
            point,
            pixels: x.hypot(y),
            metres: distance(instead, marked.metres),
            instead,
        };
        Some((doubt, solution.squares))
    }

    /// One mistake among many good points is lost in the sum of all; without it the sum falls by
    /// more than chance would have it (Baarda's data snooping, 1968).
    fn doubtful(&self, best: &Solution) -> Option<Doubt> {
        let (doubt, squares) = self.mistaken(best.lens)?;
        (best.squares - squares > suspicion(self.points.len())).then_some(doubt)
    }

    /// Who is to blame?
    fn mistake(&self, residuals: &[Residual]) -> SurveyError {
        if let Some((mistaken, _)) = self.mistaken(LENS_DOUBT) {
            return SurveyError::Mistaken(mistaken);
        }
        let worst = residuals
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| a.pixels.total_cmp(&b.pixels));
        match worst {
            Some((point, residual)) => SurveyError::Disagree {
                point,
                pixels: residual.pixels,
                metres: residual.metres,
            },
            None => SurveyError::None,
        }
    }

    fn residuals(&self, solution: &Solution) -> Result<Vec<Residual>, SurveyError> {
        let plane = self.plane(solution);
        self.points
            .iter()
            .map(|p| {
                let (image, metres) = (plane.image(p.metres)?, plane.ground(p.image)?);
                let [x, y] = [0, 1].map(|i| (image[i] - p.image[i]) * self.picture[i]);
                Some(Residual {
                    pixels: x.hypot(y),
                    metres: distance(metres, p.metres),
                })
            })
            .collect::<Option<_>>()
            .ok_or(SurveyError::None)
    }

    fn plane(&self, solution: &Solution) -> Plane {
        Plane {
            picture: self.picture,
            origin: solution.origin,
            scale: solution.scale,
            unknowns: solution.unknowns,
            covariance: [[0.0; UNKNOWNS]; UNKNOWNS],
            tape_error: self.tape_error,
        }
    }

    /// `lens` is the standard deviation that its coefficient has beforehand.
    fn solve(&self, points: &[Marked], lens: f64) -> Option<Solution> {
        Solution::of(
            points,
            self.picture,
            (self.point_error, self.tape_error),
            lens,
        )
    }
}

/// Sum of squares that one of a thousand good surveys exceeds (chi-squared by Wilson's and
/// Hilferty's approximation, 1931).
fn quantile(degrees: usize) -> f64 {
    let n = degrees as f64;
    let spread = 2.0 / (9.0 * n);
    n * (1.0 - spread + MISTAKE * spread.sqrt()).powi(3)
}

/// The sum of squares falls by so much without a point that is as good as stated in one of a
/// hundred surveys (chi-squared with two degrees of freedom), for as many points as there are.
fn suspicion(points: usize) -> f64 {
    -2.0 * (0.01 / points as f64).ln()
}

/// Whether all points, or all but one (which is returned), are on one line.
fn one_line(places: &[Point]) -> Option<Option<usize>> {
    for (i, a) in places.iter().enumerate() {
        for b in &places[i + 1..] {
            let beside = |c: &Point| {
                let longest = distance(*a, *b).max(distance(*a, *c)).max(distance(*b, *c));
                turn(*a, *b, *c).abs() > LEVEL * longest.powi(2)
            };
            let mut apart = places.iter().enumerate().filter(|(_, c)| beside(c));
            let first = apart.next().map(|(index, _)| index);
            if apart.next().is_none() {
                return Some(first);
            }
        }
    }
    None
}

/// Whether every three points turn the same way in the picture as on the ground, or every three
/// the other way (a ground seen from above may be drawn mirrored). So it is for all that is in
/// front of a camera. Three that are nearly on a line say nothing.
fn around(in_picture: &[Point], on_ground: &[Point]) -> bool {
    let mut way = 0.0;
    let pairs: Vec<(Point, Point)> = in_picture
        .iter()
        .copied()
        .zip(on_ground.iter().copied())
        .collect();
    for (i, a) in pairs.iter().enumerate() {
        for (j, b) in pairs.iter().enumerate().skip(i + 1) {
            for c in pairs.iter().skip(j + 1) {
                let clear = |a: Point, b: Point, c: Point| {
                    let longest = distance(a, b).max(distance(a, c)).max(distance(b, c));
                    let turn = turn(a, b, c);
                    if turn.abs() > LEVEL * longest.powi(2) {
                        turn.signum()
                    } else {
                        0.0
                    }
                };
                let same = clear(a.0, b.0, c.0) * clear(a.1, b.1, c.1);
                if same * way < 0.0 {
                    return false;
                }
                if same != 0.0 {
                    way = same;
                }
            }
        }
    }
    true
}
