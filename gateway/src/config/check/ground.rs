//! Taped points and the shop-front lines on them.

use super::{At, Checker, polygon};
use crate::{
    config::raw::{RawGround, RawLine, RawZone},
    vision::ground::{self, Fit, Front, FrontError, Line, Marked, Pose, Survey, SurveyError},
};

/// Default for `picture`, pixels.
const PICTURE: [u32; 2] = [1920, 1080];
/// Default for `point_error`, pixels.
const POINT_ERROR: f64 = 2.0;
/// Default for `tape_error`, metres.
const TAPE_ERROR: f64 = 0.02;
/// Default for `tolerance`, metres.
const TOLERANCE: f64 = 0.3;
/// Default for `reach`, metres.
const REACH: f64 = 3.0;

/// The plane of a camera's points.
pub(super) fn ground(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: Option<&RawGround>,
) -> Option<(Survey, Fit)> {
    let raw = raw?;
    let list = at.key("points");
    let points: Option<Vec<Marked>> = raw
        .points
        .as_ref()?
        .iter()
        .map(|point| {
            let (image, metres) = (point.image?, point.metres?);
            Some(Marked { image, metres })
        })
        .collect();
    // Their number is said where the file's shape is checked.
    if !ground::limits::POINTS.contains(&raw.points.as_ref()?.len()) {
        return None;
    }
    let picture = raw.picture.unwrap_or(PICTURE);
    if let Some(side) = picture
        .iter()
        .find(|side| !ground::limits::PICTURE.contains(side))
    {
        let (low, high) = (
            ground::limits::PICTURE.start(),
            ground::limits::PICTURE.end(),
        );
        let message =
            format!("a side of the picture is {side} pixels, it must be from {low} to {high}");
        cx.error(
            at.key("picture"),
            message,
            "the size of the picture that you marked the points in",
        );
        return None;
    }
    let tape_error = length(
        cx,
        at.key("tape_error"),
        raw.tape_error.as_ref(),
        &ground::limits::TAPE_ERROR_MM,
    );
    let survey = Survey {
        points: points?,
        picture: picture.map(f64::from),
        point_error: raw.point_error.unwrap_or(POINT_ERROR),
        tape_error: tape_error.unwrap_or(TAPE_ERROR),
    };
    match survey.fit() {
        Ok(fit) => {
            if let Some(doubt) = &fit.doubtful {
                cx.warn(list.index(doubt.point), doubt.to_string(), MEASURE_AGAIN);
            }
            if let Some(pose) = fit.plane.pose().filter(Pose::is_strange) {
                let message = format!(
                    "by its points the camera hangs {:.1} m ± {:.1} m above the ground, and cameras hang {} m to {} m high",
                    pose.height,
                    pose.error,
                    ground::HEIGHTS.start(),
                    ground::HEIGHTS.end(),
                );
                cx.warn(
                    list,
                    message,
                    "are the places on the ground in metres, both figures?",
                );
            }
            Some((survey, fit))
        }
        Err(error) => {
            let message = format!("no ground plane: {error}");
            let help = help(&error);
            match error.point() {
                Some(point) => cx.error(list.index(point), message, help),
                None => cx.error(list, message, help),
            }
            None
        }
    }
}

const MEASURE_AGAIN: &str = "measure this point again, and mark it again in the picture";

fn help(error: &SurveyError) -> &'static str {
    match error {
        SurveyError::Mistaken(_) | SurveyError::Disagree { .. } => MEASURE_AGAIN,
        SurveyError::Lens { .. } => "",
        _ => {
            "take the corners of a large rectangle on the ground, such as paving joints and kerb stones, and two points more within it"
        }
    }
}

/// A zone's line, if it has one and all is well with it.
pub(super) fn front(
    cx: &mut Checker<'_, '_>,
    zone: At<'_>,
    raw: &RawZone,
    camera: Camera<'_>,
) -> Option<Front> {
    let line = raw.line.as_ref()?;
    let at = zone.key("line");
    let Some((_, fit)) = camera.ground else {
        if !camera.asked {
            let help = "add `ground = { points = [{ image = [0.31, 0.72], metres = [0.0, 0.0] }, …] }` to the camera";
            cx.error(
                at,
                "`line` needs the camera's `ground`, to know where a metre is",
                help,
            );
        }
        return None;
    };
    let polygon = raw
        .polygon
        .as_ref()
        .map(|corners| corners.iter().map(|c| c.map(|v| v as f32)).collect());
    let stated = stated(cx, at, line)?;
    match Front::new(fit.plane.clone(), &stated, polygon) {
        Ok(front) => {
            doubtful(cx, at, &front);
            Some(front)
        }
        Err(error) => {
            let (key, help) = match &error {
                FrontError::Road { .. } => ("road", ""),
                FrontError::Hopeless { .. } => (
                    "tolerance",
                    "tape more points, nearer to the line and farther apart; `wangge ground` shows what it gains",
                ),
                FrontError::Horizon(corner) => {
                    let list = zone.key("polygon");
                    cx.error(list.index(*corner), error.to_string(), "");
                    return None;
                }
                FrontError::Length(_) | FrontError::Twice(_) | FrontError::OutOfSight { .. } => (
                    "points",
                    "metres, with the same origin as the camera's `ground`",
                ),
            };
            cx.error(at.key(key), error.to_string(), help);
            None
        }
    }
}

/// What a line needs of its camera.
#[derive(Clone, Copy)]
pub(super) struct Camera<'a> {
    pub(super) ground: Option<&'a (Survey, Fit)>,
    /// It has a `ground`, usable or not.
    pub(super) asked: bool,
}

fn stated(cx: &mut Checker<'_, '_>, at: At<'_>, line: &RawLine) -> Option<Line> {
    let limit = length(
        cx,
        at.key("limit"),
        line.limit.as_ref(),
        &ground::front_limits::LIMIT_MM,
    );
    let tolerance = length(
        cx,
        at.key("tolerance"),
        line.tolerance.as_ref(),
        &ground::front_limits::TOLERANCE_MM,
    );
    let reach = length(
        cx,
        at.key("reach"),
        line.reach.as_ref(),
        &ground::front_limits::REACH_MM,
    );
    let points = line.points.clone()?;
    let most = ground::limits::METRES;
    let far = |p: &[f64; 2]| p.iter().any(|v| v.abs() > most);
    if points.iter().chain(&line.road).any(far) {
        cx.error(
            at.key("points"),
            format!("a place is more than {most} m from the origin"),
            "",
        );
        return None;
    }
    Some(Line {
        points,
        road: line.road?,
        limit: limit?,
        tolerance: tolerance.unwrap_or(TOLERANCE),
        reach: reach.unwrap_or(REACH),
    })
}

/// In metres.
fn length(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    text: Option<&crate::config::raw::LengthText>,
    range: &std::ops::RangeInclusive<f64>,
) -> Option<f64> {
    text.and_then(|text| cx.length_mm(at, text, range))
        .map(|mm| mm / 1_000.0)
}

/// A part of the line that is in the picture and cannot be measured.
fn doubtful(cx: &mut Checker<'_, '_>, at: At<'_>, front: &Front) {
    let stations = front.stations();
    let bad = |s: &&ground::Station| s.error > front.tolerance();
    let worst = stations.iter().map(|s| s.error).fold(0.0, f64::max);
    if let (Some(first), Some(last)) = (stations.iter().find(bad), stations.iter().rev().find(bad))
    {
        let message = format!(
            "cannot measure everywhere: between {:.1} m and {:.1} m along the line the error reaches ± {worst:.2} m, and the tolerance is {:.2} m",
            first.along,
            last.along,
            front.tolerance(),
        );
        cx.warn(
            at,
            message,
            "nothing is told there; tape points nearer to it",
        );
    }
}

/// The zone's polygon: as written, or the ground that its line is about.
pub(super) fn area(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawZone,
    front: Option<&Front>,
) -> Option<Vec<[f32; 2]>> {
    if let Some(corners) = &raw.polygon {
        return Some(polygon::polygon(cx, at.key("polygon"), corners));
    }
    if raw.line.is_none() && !cx.was_reported(at.key("polygon")) && !cx.was_reported(at.key("line"))
    {
        let help = "for example `polygon = [[0.1, 0.5], [0.9, 0.5], [0.9, 1.0], [0.1, 1.0]]`";
        cx.error(at, "`polygon` is missing", help);
    }
    front.map(|front| front.polygon().to_vec())
}
