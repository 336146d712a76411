//! A shop-front on the ground, the line in front of it, and how far things stand out beyond.
//!
//! Conservative: a thing counts when it is over the line even if its place is wrong by the whole
//! stated error; where the error is larger than the tolerance there is no figure at all.

use serde::{Deserialize, Serialize};

use super::{
    CONFIDENCE, Point, distance,
    overrun::{Footprint, Measure, Seen, Span},
    plane::Plane,
    turn,
};

/// Limits of a line.
pub mod limits {
    use std::ops::RangeInclusive;

    /// Points of a shop-front.
    pub const POINTS: RangeInclusive<usize> = 2..=16;
    /// Length of a shop-front, metres.
    pub const LENGTH: RangeInclusive<f64> = 0.5..=200.0;
    /// From the shop-front to where things may stand, mm.
    pub const LIMIT_MM: RangeInclusive<f64> = 0.0..=20_000.0;
    /// Largest error of a figure, mm.
    pub const TOLERANCE_MM: RangeInclusive<f64> = 50.0..=5_000.0;
    /// How far beyond the limit things are looked for, mm.
    pub const REACH_MM: RangeInclusive<f64> = 500.0..=20_000.0;
}

/// Width of the picture that a detector looks at, where nothing else is known, pixels.
const ANALYSED: f64 = 416.0;
/// How exactly a box's edges are seen (standard deviation), as share of its sides; a pixel of
/// what the detector looked at is the least. An assumption, not measured.
const BOX_ERROR: f64 = 0.04;
/// Cells by which a thing without a class reaches too far at either end, and how exactly an end is
/// known, cells (standard deviation): both from rendered clips, not from cameras.
const END_EXCESS: f64 = 0.75;
const END_ERROR: f64 = 2.0;
/// How exactly a lower rim is seen (standard deviation), in cells of the scene model.
const RIM_ERROR: f64 = 0.5;
/// A cell counts as changed when a part of it has, and scaling down smears an edge into the next:
/// of a rim the lowest place, which is what is told, comes out too low. Of 32 rendered clips of
/// edges that run aslant (darker and lighter than the paving, and by as little as a tenth) it was
/// one cell on average and 0.6 to 1.7; an edge along the boundary of cells has next to none.
/// So much is taken off again that either is within the error.
const RIM_EXCESS: f32 = 0.75;
/// A box that ends at the picture's lower edge has its foot outside.
const FOOT_SEEN: f32 = 0.995;
/// Places along a box's lower edge that are measured.
const SAMPLES: usize = 33;
/// Places along a line that are drawn and judged.
const STATIONS: usize = 49;
/// The zone's outline may reach so far out of the picture (fractions), and no farther.
const AROUND: std::ops::RangeInclusive<f64> = -1.0..=2.0;

/// A line as an installer states it, metres on the ground.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Along the shop-front; which way does not matter.
    pub points: Vec<Point>,
    /// Any place on the road, so that nobody has to think about left and right.
    pub road: Point,
    /// From the shop-front to where things may stand.
    pub limit: f64,
    /// Largest error of a figure that is told.
    pub tolerance: f64,
    /// How far beyond the limit things are looked for.
    pub reach: f64,
}

/// Why a line cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FrontError {
    #[error("the shop-front is {0:.2} m long, it must be from {low} m to {high} m", low = limits::LENGTH.start(), high = limits::LENGTH.end())]
    Length(f64),
    #[error("points {} and {} of the shop-front are the same place", .0, .0 + 1)]
    Twice(usize),
    #[error(
        "`road` is {distance:.2} m from the shop-front, within the limit of {limit:.2} m: give a place that is surely on the road"
    )]
    Road { distance: f64, limit: f64 },
    #[error(
        "the line {limit:.2} m in front of the shop is nowhere in the picture: are the metres those of `ground`?"
    )]
    OutOfSight { limit: f64 },
    #[error(
        "cannot measure here: along the whole line the error is ± {least:.2} m or more, and the tolerance is {tolerance:.2} m"
    )]
    Hopeless { least: f64, tolerance: f64 },
    #[error("corner {} is above the horizon, where no ground is", .0 + 1)]
    Horizon(usize),
}

/// A place along the limit line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Station {
    /// From the line's beginning, metres.
    pub along: f64,
    /// On the ground.
    pub metres: Point,
    /// In the picture.
    pub image: Point,
    /// Half-width of the error across the line, of a thing that is seen as well as can be.
    pub error: f64,
}

/// A shop-front in a camera's picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Front {
    plane: Plane,
    points: Vec<Point>,
    /// 1 where the road is on the left of who walks along the points, -1 where on the right.
    road: f64,
    limit: f64,
    tolerance: f64,
    reach: f64,
    /// Where in the picture, fractions.
    polygon: Vec<[f32; 2]>,
    /// Whether the polygon was given, and things outside of it do not count.
    bounded: bool,
    /// Side of a pixel that the detector looks at, in pixels of the surveyed picture.
    pixel: f64,
}

/// A place seen from the line.
#[derive(Clone, Copy, Debug)]
struct Offset {
    /// Towards the road, metres.
    distance: f64,
    along: f64,
    /// Towards the road, of length one.
    normal: Point,
}

/// A measured place of a rim.
#[derive(Clone, Copy, Debug)]
struct Sample {
    distance: f64,
    along: f64,
    /// Half-widths.
    error: f64,
    along_error: f64,
}

impl Front {
    /// A line on a plane; `polygon` narrows down where things count (fractions).
    ///
    /// # Errors
    /// A line that is not in the picture, or that cannot be measured anywhere.
    pub fn new(
        plane: Plane,
        line: &Line,
        polygon: Option<Vec<[f32; 2]>>,
    ) -> Result<Self, FrontError> {
        let ends = line.points.windows(2);
        if let Some(i) = ends
            .clone()
            .position(|pair| matches!(pair, [a, b] if distance(*a, *b) < 0.01))
        {
            return Err(FrontError::Twice(i + 1));
        }
        let pixel = plane.picture()[0] / ANALYSED;
        let mut front = Front {
            plane,
            points: line.points.clone(),
            road: 1.0,
            limit: line.limit,
            tolerance: line.tolerance,
            reach: line.reach,
            polygon: Vec::new(),
            bounded: polygon.is_some(),
            pixel,
        };
        let length = front.length();
        if !limits::LENGTH.contains(&length) {
            return Err(FrontError::Length(length));
        }
        let off = front.nearest(line.road).map_or(0.0, |o| o.distance);
        if off.is_nan() || off.abs() <= line.limit {
            let (distance, limit) = (off.abs(), line.limit);
            return Err(FrontError::Road { distance, limit });
        }
        front.road = off.signum();
        front.polygon = match polygon {
            Some(polygon) => {
                let above = |p: &[f32; 2]| front.plane.ground(p.map(f64::from)).is_none();
                if let Some(corner) = polygon.iter().position(above) {
                    return Err(FrontError::Horizon(corner));
                }
                polygon
            }
            // From the shop-front on: what stands in the permitted strip and what stands out of
            // it are often one thing.
            None => front.ribbon(0.0..length, 0.0, line.limit + line.reach),
        };
        let stations = front.stations();
        let least = stations.iter().map(|s| s.error).min_by(f64::total_cmp);
        match least {
            None => Err(FrontError::OutOfSight { limit: line.limit }),
            Some(least) if least > line.tolerance => Err(FrontError::Hopeless {
                least,
                tolerance: line.tolerance,
            }),
            Some(_) if front.polygon.len() < 3 => Err(FrontError::OutOfSight { limit: line.limit }),
            Some(_) => Ok(front),
        }
    }

    /// The width of the picture that the detector really looks at, pixels.
    #[must_use]
    pub fn analysed_at(mut self, width: u32) -> Self {
        self.pixel = self.plane.picture()[0] / f64::from(width.max(1));
        self
    }

    /// Where in the picture, fractions.
    pub fn polygon(&self) -> &[[f32; 2]] {
        &self.polygon
    }

    /// Metres.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// Metres.
    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// The ground.
    pub fn plane(&self) -> &Plane {
        &self.plane
    }

    /// Of the shop-front, metres.
    pub fn length(&self) -> f64 {
        self.points
            .windows(2)
            .map(|pair| distance(pair[0], pair[1]))
            .sum()
    }

    /// A detector's box: its lower edge. The depth of the thing is not guessed. `None` where the
    /// foot is below the picture.
    pub fn of_box(&self, [left, top, right, bottom]: [f32; 4]) -> Option<Footprint> {
        if bottom >= FOOT_SEEN {
            return None;
        }
        let [width, height] = self.plane.picture();
        let deviation = |side: f32, of: f64| (BOX_ERROR * f64::from(side) * of).max(self.pixel);
        let place = |i: usize| {
            let share = i as f64 / (SAMPLES - 1) as f64;
            [
                f64::from(left) + share * f64::from(right - left),
                f64::from(bottom),
            ]
        };
        Some(Footprint {
            rim: (0..SAMPLES).map(place).collect(),
            deviation: [
                deviation(right - left, width),
                deviation(bottom - top, height),
            ],
        })
    }

    /// The lower rim of something without a class: left, right and lower end of each column of
    /// cells (fractions), of a scene model that is `cells` wide and high.
    pub fn of_rim(&self, rim: &[[f32; 3]], cells: [usize; 2]) -> Option<Footprint> {
        let cell = cells.map(|n| 1.0 / n.max(1) as f32);
        let seen = rim.iter().filter(|column| column[2] < FOOT_SEEN);
        let mut rim: Vec<Point> = seen
            .flat_map(|[left, right, bottom]| {
                let bottom = f64::from(bottom - RIM_EXCESS * cell[1]);
                [[f64::from(*left), bottom], [f64::from(*right), bottom]]
            })
            .collect();
        // A cell at either end counts although the thing fills but a part of it.
        if let [first, .., last] = rim.as_mut_slice() {
            let excess = END_EXCESS * f64::from(cell[0]);
            if last[0] - first[0] > 2.0 * excess {
                first[0] += excess;
                last[0] -= excess;
            }
        }
        let picture = self.plane.picture();
        let errors = [END_ERROR, RIM_ERROR];
        let deviation = [0, 1].map(|i| errors[i] * f64::from(cell[i]) * picture[i]);
        (!rim.is_empty()).then_some(Footprint { rim, deviation })
    }

    /// How far a thing stands out.
    pub fn look(&self, footprint: &Footprint) -> Seen {
        let samples: Vec<Option<Sample>> = footprint
            .rim
            .iter()
            .map(|place| self.sample(*place, footprint.deviation))
            .collect();
        let may = |s: &&Sample| s.distance + s.error > self.limit;
        let mut near = samples.iter().flatten().filter(may).peekable();
        if near.peek().is_none() {
            return Seen::Clear;
        }
        let least = near.clone().map(|s| s.error).fold(f64::INFINITY, f64::min);
        let farthest = near
            .filter(|s| s.error <= self.tolerance)
            .max_by(|a, b| a.distance.total_cmp(&b.distance));
        let Some(farthest) = farthest else {
            return Seen::Blind { error: least };
        };
        let metres = farthest.distance - self.limit;
        if metres <= 0.0 {
            Seen::Clear
        } else if metres <= farthest.error {
            Seen::Unsure
        } else {
            let mut measure = Measure {
                metres,
                error: farthest.error,
                spans: Vec::new(),
            };
            for span in self.spans(&samples) {
                measure.join(Measure {
                    metres: 0.0,
                    error: 0.0,
                    spans: vec![span],
                });
            }
            Seen::Over(measure)
        }
    }

    /// The stretches over which neighbouring places of a rim are beyond the limit.
    fn spans(&self, samples: &[Option<Sample>]) -> Vec<Span> {
        let usable = |s: &Option<Sample>| s.filter(|s| s.error <= self.tolerance);
        let mut spans = Vec::new();
        for pair in samples.windows(2) {
            let [Some(a), Some(b)] = [usable(&pair[0]), usable(&pair[1])] else {
                continue;
            };
            let (over_a, over_b) = (a.distance > self.limit, b.distance > self.limit);
            if !over_a && !over_b {
                continue;
            }
            // Where the rim goes through the limit, on a straight way between the two.
            let share = (self.limit - a.distance) / (b.distance - a.distance);
            let crossing = a.along + share * (b.along - a.along);
            let from = if over_a { a.along } else { crossing };
            let to = if over_b { b.along } else { crossing };
            spans.push(Span {
                from: from.min(to),
                to: from.max(to),
                // Both ends are uncertain.
                error: a.along_error.hypot(b.along_error),
            });
        }
        spans
    }

    fn sample(&self, image: Point, deviation: Point) -> Option<Sample> {
        if self.bounded && !inside(&self.polygon, image) {
            return None;
        }
        let located = self.plane.locate(image, deviation)?;
        let offset = self.offset(located.metres)?;
        if offset.distance > self.limit + self.reach {
            return None;
        }
        let tape = self.plane.tape_error();
        let [x, y] = offset.normal;
        let width = |direction| CONFIDENCE * located.deviation(direction).hypot(tape);
        Some(Sample {
            distance: offset.distance,
            along: offset.along,
            error: width([x, y]),
            along_error: width([-y, x]),
        })
    }

    /// Places along the limit line that are in the picture, with the error there.
    pub fn stations(&self) -> Vec<Station> {
        let station = |i: usize| {
            let along = self.length() * i as f64 / (STATIONS - 1) as f64;
            let (metres, normal) = self.at(along, self.limit)?;
            let image = self.plane.image(metres)?;
            if !image.iter().all(|v| (0.0..=1.0).contains(v)) {
                return None;
            }
            let located = self.plane.locate(image, [self.pixel; 2])?;
            let error = CONFIDENCE * located.deviation(normal).hypot(self.plane.tape_error());
            Some(Station {
                along,
                metres,
                image,
                error,
            })
        };
        (0..STATIONS).filter_map(station).collect()
    }

    /// Seen from the line; `None` beyond its ends.
    fn offset(&self, place: Point) -> Option<Offset> {
        let last = self.points.len().checked_sub(2)?;
        let (_, segment, share) = self.project(place)?;
        if (segment == 0 && share < 0.0) || (segment == last && share > 1.0) {
            return None;
        }
        self.nearest(place)
    }

    /// The nearest segment, and where on it (0 to 1, or outside where it is an end).
    fn project(&self, place: Point) -> Option<(f64, usize, f64)> {
        let segments = self.points.windows(2).enumerate().map(|(i, pair)| {
            let (a, b) = (pair[0], pair[1]);
            let along = [b[0] - a[0], b[1] - a[1]];
            let square = along[0].powi(2) + along[1].powi(2);
            let share = ((place[0] - a[0]) * along[0] + (place[1] - a[1]) * along[1]) / square;
            let held = share.clamp(0.0, 1.0);
            let foot = [a[0] + held * along[0], a[1] + held * along[1]];
            (distance(place, foot), i, share)
        });
        segments.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn nearest(&self, place: Point) -> Option<Offset> {
        let (_, segment, share) = self.project(place)?;
        let (a, b) = (*self.points.get(segment)?, *self.points.get(segment + 1)?);
        let length = distance(a, b);
        let before: f64 = self
            .points
            .windows(2)
            .take(segment)
            .map(|p| distance(p[0], p[1]))
            .sum();
        let corner = match share {
            s if s < 0.0 && segment > 0 => Some(segment),
            s if s > 1.0 && segment + 2 < self.points.len() => Some(segment + 1),
            _ => None,
        };
        let Some(corner) = corner else {
            let normal = self.normal(segment)?;
            return Some(Offset {
                distance: self.road * turn(a, b, place) / length,
                along: before + share * length,
                normal,
            });
        };
        // Around a corner the line has the direction between its two sides.
        let (one, other) = (self.normal(corner - 1)?, self.normal(corner)?);
        let tip = *self.points.get(corner)?;
        let off = [place[0] - tip[0], place[1] - tip[1]];
        let side = (off[0] * (one[0] + other[0]) + off[1] * (one[1] + other[1])).signum();
        let away = off[0].hypot(off[1]);
        let normal = if away > 1e-9 {
            [side * off[0] / away, side * off[1] / away]
        } else {
            one
        };
        Some(Offset {
            distance: side * away,
            along: before + share.clamp(0.0, 1.0) * length,
            normal,
        })
    }

    /// Of a segment, towards the road.
    fn normal(&self, segment: usize) -> Option<Point> {
        let (a, b) = (*self.points.get(segment)?, *self.points.get(segment + 1)?);
        let length = distance(a, b);
        Some([
            -self.road * (b[1] - a[1]) / length,
            self.road * (b[0] - a[0]) / length,
        ])
    }

    /// The place so far along the line and away from it, and the direction towards the road.
    fn at(&self, along: f64, away: f64) -> Option<(Point, Point)> {
        let mut rest = along;
        let last = self.points.len().checked_sub(2)?;
        for (i, pair) in self.points.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            let length = distance(a, b);
            if rest <= length || i == last {
                let share = (rest / length).min(1.0);
                let normal = self.normal(i)?;
                let place = [
                    a[0] + share * (b[0] - a[0]) + away * normal[0],
                    a[1] + share * (b[1] - a[1]) + away * normal[1],
                ];
                return Some((place, normal));
            }
            rest -= length;
        }
        None
    }

    /// The line so far away from the shop-front, in the picture (fractions), as far as it can
    /// be seen.
    pub fn trace(&self, away: f64) -> Vec<[f32; 2]> {
        let place = |i: usize| {
            let along = self.length() * i as f64 / (STATIONS - 1) as f64;
            self.near(self.plane.image(self.at(along, away)?.0)?)
        };
        (0..STATIONS).filter_map(place).collect()
    }

    /// The ground between two distances from the shop-front, as a polygon in the picture.
    pub fn ribbon(&self, along: std::ops::Range<f64>, from: f64, to: f64) -> Vec<[f32; 2]> {
        /// Parts of the way out that are tried where it leaves the picture.
        const PARTS: i32 = 40;
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        for i in 0..STATIONS {
            let along = along.start + (along.end - along.start) * i as f64 / (STATIONS - 1) as f64;
            let image = |away: f64| self.near(self.plane.image(self.at(along, away)?.0)?);
            let Some(near) = image(from) else { continue };
            // Part of the way, where the whole leads behind the camera.
            let far = (1..=PARTS)
                .rev()
                .find_map(|part| image(from + (to - from) * f64::from(part) / f64::from(PARTS)));
            inner.push(near);
            outer.push(far.unwrap_or(near));
        }
        outer.reverse();
        inner.extend(outer);
        inner
    }

    fn near(&self, image: Point) -> Option<[f32; 2]> {
        image
            .iter()
            .all(|v| AROUND.contains(v))
            .then(|| image.map(|v| v as f32))
    }
}

/// As [`crate::vision::zone::Polygon::contains`].
fn inside(polygon: &[[f32; 2]], image: Point) -> bool {
    super::super::zone::Polygon::new(polygon.to_vec()).contains(image.map(|v| v as f32))
}
