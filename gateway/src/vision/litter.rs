//! A second opinion on what lies in a zone, by a model that knows rubbish. It is evidence beside
//! the story, and never the reason of an alert.

use std::ops::Range;

use super::{
    decode::Packed,
    detect::{DetectError, Detector, Placement},
    draw::Canvas,
    wire::Litter,
    zone::{Bbox, covered},
};

/// The model looks at a square around the thing, so many times its larger side...
const AROUND: f32 = 2.5;
/// ...and no smaller than this, pixels: enlarged further there is nothing more to see.
const LEAST: f32 = 160.0;
/// Least share of a detection, or of the thing, that the other covers.
const SHARED: f32 = 0.3;

/// What the model thinks of the thing in `bbox` (fractions of the canvas).
///
/// # Errors
/// ONNX Runtime's.
pub fn look(canvas: &Canvas, detector: &mut Detector, bbox: Bbox) -> Result<Litter, DetectError> {
    let (columns, rows) = around(canvas, bbox);
    let placement = Placement::new(&detector.manifest.input, columns.len(), rows.len());
    let bgr = detector.packed() == Packed::Bgr;
    let (width, height) = (placement.width, placement.height);
    let part = canvas.part(columns.clone(), rows.clone(), width, height, bgr);
    let (wide, high) = (canvas.width as f32, canvas.height as f32);
    let score = detector
        .look(&part, width * 3, placement)?
        .iter()
        .filter(|seen| {
            let x = |f: f32| (columns.start as f32 + f * columns.len() as f32) / wide;
            let y = |f: f32| (rows.start as f32 + f * rows.len() as f32) / high;
            let [left, top, right, bottom] = seen.bbox;
            let seen = [x(left), y(top), x(right), y(bottom)];
            covered(seen, bbox) >= SHARED || covered(bbox, seen) >= SHARED
        })
        .map(|seen| seen.score)
        .fold(0.0, f32::max);
    Ok(Litter {
        score,
        likely: score >= detector.manifest.threshold,
        model: detector.manifest.id.clone(),
        model_hash: detector.manifest.sha256.clone(),
    })
}

/// The square around a thing, within the picture.
fn around(canvas: &Canvas, [left, top, right, bottom]: Bbox) -> (Range<usize>, Range<usize>) {
    let (wide, high) = (canvas.width as f32, canvas.height as f32);
    let larger = ((right - left) * wide).max((bottom - top) * high);
    let side = (AROUND * larger).max(LEAST).min(wide.min(high)) as usize;
    let range = |middle: f32, length: usize| {
        let begin = (middle * length as f32 - side as f32 / 2.0).max(0.0) as usize;
        let begin = begin.min(length.saturating_sub(side));
        begin..(begin + side).min(length)
    };
    (
        range((left + right) / 2.0, canvas.width),
        range((top + bottom) / 2.0, canvas.height),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_is_around_the_thing_and_within_the_picture() {
        let canvas = Canvas::new(1280, 720);
        for (bbox, columns, rows) in [
            // Small: the least square around its middle.
            ([0.5, 0.5, 0.51, 0.51], 566..726, 283..443),
            // In a corner.
            ([0.0, 0.0, 0.02, 0.02], 0..160, 0..160),
            ([0.98, 0.98, 1.0, 1.0], 1120..1280, 560..720),
            // Larger than the picture allows.
            ([0.0, 0.0, 1.0, 1.0], 280..1000, 0..720),
        ] {
            assert_eq!(around(&canvas, bbox), (columns, rows), "{bbox:?}");
        }
        for (width, height) in [(0, 0), (1, 1), (7, 3)] {
            let (columns, rows) = around(&Canvas::new(width, height), [0.2, 0.2, 0.9, 0.9]);
            assert!(columns.end <= width && rows.end <= height);
        }
    }
}
