//! What a plane and its lines look like in the picture, for people to judge.

use jpeg_encoder::{ColorType, Encoder, EncodingError};

use super::{Fit, Front, Measure, Plane, Point, Survey};
use crate::vision::{
    draw::{Canvas, Rgb, TextSize},
    zone::Polygon,
};

/// Of the chart, pixels; a larger still is scaled down to it.
const WIDTH: usize = 1280;
/// Lines of the grid in one direction at most; more are drawn five or more metres apart.
const MAX_LINES: f64 = 60.0;
/// Parts of a grid line, and of an ellipse.
const PARTS: usize = 48;
/// Radius of an ellipse that holds 95 of 100, in standard deviations.
const ELLIPSE: f64 = 2.448;
/// Every so many places along a line have their ellipse drawn.
const ELLIPSE_EVERY: usize = 6;
/// JPEG quality, 1 to 100.
const QUALITY: u8 = 88;

const SHOP: Rgb = [70, 170, 255];
const LIMIT: Rgb = [255, 235, 60];
const OVER: Rgb = [235, 52, 52];
const GRID: Rgb = [110, 200, 130];
const POINT: Rgb = [255, 120, 220];
const EDGE: Rgb = [16, 18, 22];
const PAPER: Rgb = [48, 50, 54];
const WHITE: Rgb = [255, 255, 255];

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    #[error("encode picture: {0}")]
    Encode(#[from] EncodingError),
    #[error("the still has {bytes} bytes of pixels, {width} by {height} pixels have more")]
    Still {
        bytes: usize,
        width: usize,
        height: usize,
    },
}

/// A picture to draw on: packed red, green, blue.
#[derive(Debug)]
pub struct Still {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// The shop-front, the line in front of it, and the ground that something covers beyond it.
pub(in crate::vision) fn overlay(canvas: &mut Canvas, front: &Front, measure: Option<&Measure>) {
    let width = if canvas.width >= 1000 { 3.0 } else { 2.0 };
    if let Some(measure) = measure {
        for span in &measure.spans {
            let limit = front.limit();
            let ground = front.ribbon(span.from..span.to, limit, limit + measure.metres);
            canvas.hatch_polygon(&Polygon::new(ground), OVER);
        }
    }
    for (away, colour) in [(0.0, SHOP), (front.limit(), LIMIT)] {
        let path = front.trace(away);
        canvas.stroke_path(&path, width + 2.0, EDGE);
        canvas.stroke_path(&path, width, colour);
    }
}

/// A chart of a survey as a JPEG: a grid of metres, the points with what is left of their
/// errors, the lines and how exactly places on them are known (ellipses that hold 95 of 100).
///
/// # Errors
/// A still that is not as large as it says; an encoder that fails.
pub fn jpeg(
    survey: &Survey,
    fit: &Fit,
    fronts: &[&Front],
    masks: &[Vec<[f32; 2]>],
    still: Option<&Still>,
) -> Result<Vec<u8>, ChartError> {
    let mut canvas = ground(survey, still)?;
    for mask in masks {
        canvas.fill_polygon(&Polygon::new(mask.clone()), [0; 3], 1.0);
    }
    let spacing = grid(&mut canvas, survey, &fit.plane);
    for front in fronts {
        overlay(&mut canvas, front, None);
        for station in front.stations().iter().step_by(ELLIPSE_EVERY) {
            let pixel = front.plane().picture()[0] / WIDTH as f64;
            ellipse(&mut canvas, &fit.plane, station.image, pixel);
        }
    }
    let size = TextSize::for_width(canvas.width);
    for (index, (point, residual)) in survey.points.iter().zip(&fit.residuals).enumerate() {
        let (x, y) = pixels(&canvas, point.image);
        canvas.fill_rect([x - 5.0, y - 1.0, x + 5.0, y + 1.0], POINT, 1.0);
        canvas.fill_rect([x - 1.0, y - 5.0, x + 1.0, y + 5.0], POINT, 1.0);
        let text = format!("{} {:.1}px", index + 1, residual.pixels);
        canvas.text(x + 7.0, y - size.height() as f32, size, &text, POINT);
    }
    let text = format!("grid {spacing} m");
    canvas.text(8.0, 6.0, size, &text, WHITE);

    let mut jpeg = Vec::new();
    // Scaled to at most 65,535 either way by `ground`.
    let (width, height) = (canvas.width as u16, canvas.height as u16);
    Encoder::new(&mut jpeg, QUALITY).encode(&canvas.pixels, width, height, ColorType::Rgb)?;
    Ok(jpeg)
}

/// The still scaled down, or paper of the surveyed picture's shape.
fn ground(survey: &Survey, still: Option<&Still>) -> Result<Canvas, ChartError> {
    let shape = |width: f64, height: f64| {
        let scale = (WIDTH as f64 / width).min(WIDTH as f64 / height);
        [width, height].map(|side| ((side * scale).round() as usize).max(1))
    };
    let Some(Still {
        width,
        height,
        pixels,
    }) = still
    else {
        let [width, height] = shape(survey.picture[0], survey.picture[1]);
        let mut canvas = Canvas::new(width, height);
        for pixel in canvas.pixels.chunks_exact_mut(3) {
            pixel.copy_from_slice(&PAPER);
        }
        return Ok(canvas);
    };
    let (width, height) = (*width, *height);
    if width == 0 || height == 0 || pixels.len() != width * height * 3 {
        return Err(ChartError::Still {
            bytes: pixels.len(),
            width,
            height,
        });
    }
    let whole = Canvas {
        width,
        height,
        pixels: pixels.clone(),
    };
    let [to_width, to_height] = shape(width as f64, height as f64);
    let (to_width, to_height) = (to_width.min(width), to_height.min(height));
    Ok(Canvas {
        width: to_width,
        height: to_height,
        pixels: whole.part(0..width, 0..height, to_width, to_height, false),
    })
}

fn pixels(canvas: &Canvas, [x, y]: Point) -> (f32, f32) {
    (
        x as f32 * canvas.width as f32,
        y as f32 * canvas.height as f32,
    )
}

/// Lines of whole metres around the surveyed points; returns how many metres apart.
fn grid(canvas: &mut Canvas, survey: &Survey, plane: &Plane) -> f64 {
    let range = |axis: usize| {
        let metres = survey.points.iter().map(|p| p.metres[axis]);
        let (low, high) = metres.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        let margin = (high - low) / 2.0;
        (low - margin, high + margin)
    };
    let ranges = [range(0), range(1)];
    let longest = (ranges[0].1 - ranges[0].0).max(ranges[1].1 - ranges[1].0);
    let spacing = [1.0, 5.0, 10.0, 50.0, 100.0]
        .into_iter()
        .find(|s| longest / s <= MAX_LINES)
        .unwrap_or(500.0);
    for axis in 0..2 {
        let (low, high) = ranges[axis];
        let (from, to) = ranges[1 - axis];
        let (first, last) = (
            (low / spacing).ceil() as i64,
            (high / spacing).floor() as i64,
        );
        for line in first..=last {
            let place = |i: usize| {
                let mut metres = [0.0; 2];
                metres[axis] = line as f64 * spacing;
                metres[1 - axis] = from + (to - from) * i as f64 / PARTS as f64;
                let image = plane.image(metres)?;
                let near = image.iter().all(|v| (-1.0..=2.0).contains(v));
                near.then(|| image.map(|v| v as f32))
            };
            let path: Vec<_> = (0..=PARTS).filter_map(place).collect();
            // The axes themselves are drawn stronger, so that a mirrored tape is seen.
            canvas.stroke_path(&path, if line == 0 { 2.5 } else { 1.0 }, GRID);
        }
    }
    spacing
}

fn ellipse(canvas: &mut Canvas, plane: &Plane, image: Point, pixel: f64) {
    let Some(located) = plane.locate(image, [pixel; 2]) else {
        return;
    };
    // Cholesky's root of the covariance turns a circle into the ellipse.
    let [[xx, xy], [_, yy]] = located.covariance;
    let a = xx.sqrt().max(1e-9);
    let b = xy / a;
    let c = (yy - b * b).max(0.0).sqrt();
    let place = |i: usize| {
        let angle = i as f64 / PARTS as f64 * std::f64::consts::TAU;
        let (x, y) = (ELLIPSE * angle.cos(), ELLIPSE * angle.sin());
        let metres = [located.metres[0] + a * x, located.metres[1] + b * x + c * y];
        plane.image(metres).map(|image| image.map(|v| v as f32))
    };
    let path: Vec<_> = (0..=PARTS).filter_map(place).collect();
    canvas.stroke_path(&path, 1.5, OVER);
}
