//! The picture that goes with an alert.
//!
//! Privacy masks are burnt in, and heads and plates made unrecognisable, before anything else is
//! drawn and before anything is encoded, so that what they cover never leaves this function. It
//! fails closed: where nobody can tell where people are, everything is made coarse. A zone may ask
//! for more: all but its surroundings is then cut away as well.
//!
//! Where the operator gave a key, the picture as it was before heads and plates were hidden goes
//! along, sealed for that key; its masks are burnt in and its surroundings cut away all the same.

use ac_ffmpeg::codec::video::VideoFrame;
use jiff::tz::TimeZone;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::seal::{Recipient, SealError};

use super::{
    caption::{self, Caption},
    crop,
    decode::{DecodeError, Packed, Scalers},
    draw::{Canvas, Rgb},
    pixelate::{self, Sensitive},
    thumbnail,
    zone::{Bbox, Polygon},
};

/// Finds people and vehicles in a picture of packed RGB, or says why it cannot.
pub type Find<'a> = &'a mut dyn FnMut(&Canvas) -> Result<Vec<(Sensitive, Bbox)>, String>;

/// Pictures are scaled down to this width, pixels.
pub const MAX_WIDTH: usize = 1280;
/// And to this height, so that a strange shape stays small too.
pub const MAX_HEIGHT: usize = 1280;
/// JPEG quality, 1 to 100.
const QUALITY: u8 = 82;

const MASK: Rgb = [0, 0, 0];

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error(transparent)]
    Scale(#[from] DecodeError),
    #[error("encode picture: {0}")]
    Encode(#[from] jpeg_encoder::EncodingError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// How much a picture may show, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Privacy<'a> {
    /// Blacked out, fractions of the frame.
    pub masks: &'a [Polygon],
    /// Whether all but the surroundings of zone and thing is cut away.
    pub crop: bool,
    /// Who may open the picture as it was before heads and plates were hidden.
    pub sealed_for: Option<&'a Recipient>,
    /// Whether a small picture of the picture goes along.
    pub thumbnail: bool,
}

/// A picture for everyone, and one for the holder of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub jpeg: Vec<u8>,
    pub sealed: Option<Vec<u8>>,
    /// The first, small.
    pub thumbnail: Option<Vec<u8>>,
}

/// Makes a JPEG of a frame with its masks, zone, box and caption, and nobody to be recognised.
///
/// # Errors
/// A frame that cannot be scaled; an encoder that fails; no randomness to seal with.
pub fn render(
    frame: &VideoFrame,
    privacy: Privacy<'_>,
    find: Find<'_>,
    caption: &Caption<'_>,
    time_zone: &TimeZone,
) -> Result<Rendered, EvidenceError> {
    let mut canvas = canvas(frame)?;
    for mask in privacy.masks {
        canvas.fill_polygon(mask, MASK, 1.0);
    }
    let area = match privacy.crop {
        true => crop::area(&canvas, caption.polygon, caption.bbox),
        false => [0, 0, canvas.width, canvas.height],
    };
    let sealed = match privacy.sealed_for {
        Some(recipient) => Some(recipient.seal(&encode(&canvas.cut(area))?)?),
        None => None,
    };
    hide(&mut canvas, find);
    let whole = (canvas.width, canvas.height);
    let mut canvas = canvas.cut(area);
    let polygon = caption.polygon.points().iter();
    let polygon = Polygon::new(
        polygon
            .map(|point| crop::within(*point, whole, area))
            .collect(),
    );
    let [left, top, right, bottom] = caption.bbox;
    let [left, top] = crop::within([left, top], whole, area);
    let [right, bottom] = crop::within([right, bottom], whole, area);
    let caption = Caption {
        polygon: &polygon,
        bbox: [left, top, right, bottom],
        ..*caption
    };
    caption::draw(&mut canvas, &caption, privacy.crop, time_zone);
    let thumbnail = match privacy.thumbnail {
        true => thumbnail::make(&canvas)?,
        false => None,
    };
    Ok(Rendered {
        jpeg: encode(&canvas)?,
        sealed,
        thumbnail,
    })
}

/// Makes a JPEG of all that a frame shows but what is masked, with nothing drawn on it and nobody
/// to be recognised.
///
/// # Errors
/// A frame that cannot be scaled; an encoder that fails.
pub fn overview(
    frame: &VideoFrame,
    masks: &[Polygon],
    find: Find<'_>,
) -> Result<Vec<u8>, EvidenceError> {
    let mut canvas = canvas(frame)?;
    for mask in masks {
        canvas.fill_polygon(mask, MASK, 1.0);
    }
    hide(&mut canvas, find);
    encode(&canvas)
}

/// Makes people and plates unrecognisable, or everything where they cannot be found.
fn hide(canvas: &mut Canvas, find: Find<'_>) {
    match find(canvas) {
        Ok(sensitive) => pixelate::hide(canvas, &sensitive),
        Err(reason) => {
            tracing::error!(
                "people cannot be found, so the whole picture is made coarse: {reason}"
            );
            pixelate::hide_all(canvas);
        }
    }
}

/// A frame's pixels, scaled down to the size of pictures.
fn canvas(frame: &VideoFrame) -> Result<Canvas, EvidenceError> {
    let scale = (MAX_WIDTH as f64 / frame.width().max(1) as f64)
        .min(MAX_HEIGHT as f64 / frame.height().max(1) as f64)
        .min(1.0);
    let side = |length: usize| ((length as f64 * scale).round() as usize).max(1);
    let (width, height) = (side(frame.width()), side(frame.height()));
    // A scaler of its own: pictures are rare, and its tables are not worth keeping.
    let scaled = Scalers::default().scale(frame, Packed::Rgb, width, height)?;
    let mut canvas = Canvas::new(width, height);
    if let Some(plane) = scaled.planes().first() {
        let rows = canvas.pixels.chunks_exact_mut(width * 3);
        for (row, line) in rows.zip(plane.lines()) {
            for (to, from) in row.iter_mut().zip(line) {
                *to = *from;
            }
        }
    }
    Ok(canvas)
}

fn encode(canvas: &Canvas) -> Result<Vec<u8>, EvidenceError> {
    let mut jpeg = Vec::with_capacity(canvas.width * canvas.height / 4);
    let mut encoder = Encoder::new(&mut jpeg, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    // Both are at most 1280.
    let (width, height) = (canvas.width as u16, canvas.height as u16);
    encoder.encode(&canvas.pixels, width, height, ColorType::Rgb)?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use ac_ffmpeg::codec::video::{VideoFrameMut, frame::get_pixel_format};
    use zune_jpeg::zune_core::bytestream::ZCursor;

    use super::*;

    fn frame(width: usize, height: usize) -> VideoFrame {
        let mut frame = VideoFrameMut::black(get_pixel_format("yuv420p"), width, height);
        frame.planes_mut()[0].data_mut().fill(180);
        frame.freeze()
    }

    const OPEN: Privacy<'_> = Privacy {
        masks: &[],
        crop: false,
        sealed_for: None,
        thumbnail: false,
    };

    #[allow(clippy::unnecessary_wraps)]
    fn nobody(_: &Canvas) -> Result<Vec<(Sensitive, Bbox)>, String> {
        Ok(Vec::new())
    }

    /// Fine stripes, which only coarse blocks can take away.
    fn striped() -> VideoFrame {
        let mut striped = VideoFrameMut::black(get_pixel_format("yuv420p"), 640, 360);
        for (i, value) in striped.planes_mut()[0].data_mut().iter_mut().enumerate() {
            *value = if i % 4 < 2 { 40 } else { 220 };
        }
        striped.freeze()
    }

    #[test]
    fn a_picture_in_which_nobody_can_be_found_shows_nothing() {
        let striped = striped();
        let zone = polygon(0.1, 0.9);
        let mut fails = |_: &Canvas| Err("no detector".into());
        let size = |find: Find<'_>| {
            render(&striped, OPEN, find, &caption(&zone), &TimeZone::UTC)
                .unwrap()
                .jpeg
                .len()
        };
        let (hidden, open) = (size(&mut fails), size(&mut nobody));
        assert!(hidden * 3 < open, "{hidden} of {open} bytes");
    }

    fn polygon(left: f32, right: f32) -> Polygon {
        Polygon::new(vec![[left, 0.2], [right, 0.2], [right, 0.7], [left, 0.7]])
    }

    fn caption(polygon: &Polygon) -> Caption<'_> {
        Caption {
            camera: "gate-1",
            zone: "kerb",
            polygon,
            front: None,
            measure: None,
            label: "person",
            score: 0.87,
            bbox: [0.6, 0.3, 0.7, 0.6],
            dwell: 12.3,
            at_us: 1_700_000_000_000_000,
        }
    }

    fn drawn(masks: &[Polygon]) -> Canvas {
        let mut canvas = Canvas::new(640, 360);
        canvas.pixels.fill(180);
        for mask in masks {
            canvas.fill_polygon(mask, MASK, 1.0);
        }
        caption::draw(
            &mut canvas,
            &caption(&polygon(0.5, 0.9)),
            false,
            &TimeZone::UTC,
        );
        canvas
    }

    fn pixel(canvas: &Canvas, x: f32, y: f32) -> &[u8] {
        let at =
            (y * canvas.height as f32) as usize * canvas.width + (x * canvas.width as f32) as usize;
        &canvas.pixels[at * 3..at * 3 + 3]
    }

    #[test]
    fn what_a_mask_covers_is_black() {
        let canvas = drawn(&[polygon(0.05, 0.35)]);
        for (x, y) in [(0.06, 0.22), (0.2, 0.5), (0.34, 0.68)] {
            assert_eq!(pixel(&canvas, x, y), MASK, "{x} {y}");
        }
        assert_eq!(pixel(&canvas, 0.4, 0.5), [180; 3]);
    }

    #[test]
    fn masked_pixels_do_not_depend_on_the_scene() {
        // Everything masked: two different scenes give the same bytes.
        let all = [Polygon::new(vec![
            [-0.1, -0.1],
            [1.1, -0.1],
            [1.1, 1.1],
            [-0.1, 1.1],
        ])];
        let render_of = |grey: u8| {
            let mut frame = VideoFrameMut::black(get_pixel_format("yuv420p"), 320, 240);
            frame.planes_mut()[0].data_mut().fill(grey);
            render(
                &frame.freeze(),
                Privacy {
                    masks: &all,
                    ..OPEN
                },
                &mut nobody,
                &caption(&polygon(0.5, 0.9)),
                &TimeZone::UTC,
            )
            .unwrap()
        };
        assert_eq!(render_of(30), render_of(220));
    }

    #[test]
    fn zone_box_and_caption_are_there() {
        let canvas = drawn(&[]);
        assert_ne!(pixel(&canvas, 0.8, 0.65), [180; 3], "zone tint");
        let reds = canvas
            .pixels
            .chunks_exact(3)
            .filter(|p| *p == caption::BOX)
            .count();
        assert!(reds > 500, "box and tag: {reds}");
        let bar = pixel(&canvas, 0.5, 0.97);
        assert!(bar.iter().all(|v| *v < 80), "caption bar {bar:?}");
    }

    #[test]
    fn pictures_are_jpeg_and_limited_in_size() {
        for (width, height, expect) in [
            (640, 480, (640, 480)),
            (1280, 720, (1280, 720)),
            (1282, 720, (1280, 719)),
            (12_800, 7200, (1280, 720)),
            (64, 2560, (32, 1280)),
        ] {
            let zone = polygon(0.1, 0.9);
            let jpeg = render(
                &frame(width, height),
                OPEN,
                &mut nobody,
                &caption(&zone),
                &TimeZone::UTC,
            )
            .unwrap();
            assert_eq!(jpeg_size(&jpeg.jpeg), expect, "{width}x{height}");
        }
    }

    #[test]
    fn an_overview_is_masked_and_shows_nobody() {
        let mask = Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]);
        let shown = |masks: &[Polygon], find: Find<'_>| {
            let jpeg = overview(&striped(), masks, find).unwrap();
            let mut decoder = zune_jpeg::JpegDecoder::new(ZCursor::new(&jpeg));
            let pixels = decoder.decode().unwrap();
            let (width, _) = decoder.dimensions().unwrap();
            // How much neighbours differ in the left and the right half of a row.
            let row: Vec<i32> = pixels[..width * 3]
                .iter()
                .step_by(3)
                .map(|p| i32::from(*p))
                .collect();
            let (left, right) = row.split_at(width / 2);
            let contrast =
                |half: &[i32]| half.windows(2).map(|w| (w[0] - w[1]).abs()).max().unwrap();
            [contrast(&left[..width / 2 - 16]), contrast(right)]
        };
        let [left, right] = shown(&[], &mut nobody);
        assert!(left > 100 && right > 100, "{left} {right}");
        let [left, right] = shown(std::slice::from_ref(&mask), &mut nobody);
        assert!(left < 10 && right > 100, "{left} {right}");
        let mut fails = |_: &Canvas| Err("no detector".into());
        let [left, right] = shown(&[], &mut fails);
        assert!(left < 60 && right < 60, "{left} {right}");
    }

    #[test]
    fn a_caption_never_panics() {
        let zone = polygon(0.1, 0.9);
        let long = "很长的名字".repeat(100);
        let mut caption = caption(&zone);
        caption.camera = &long;
        caption.label = &long;
        caption.at_us = i64::MAX;
        caption.bbox = [f32::NAN, -5.0, 9.0, f32::INFINITY];
        for (width, height) in [(2, 2), (16, 16), (200, 100)] {
            render(
                &frame(width, height),
                OPEN,
                &mut nobody,
                &caption,
                &TimeZone::UTC,
            )
            .unwrap();
        }
    }

    #[test]
    fn what_is_outside_a_crop_changes_nothing() {
        let zone = Polygon::new(vec![[0.3, 0.3], [0.5, 0.3], [0.5, 0.5], [0.3, 0.5]]);
        let caption = Caption {
            bbox: [0.35, 0.35, 0.4, 0.4],
            ..caption(&zone)
        };
        let rendered = |paint: &dyn Fn(usize, usize) -> u8| {
            let mut frame = VideoFrameMut::black(get_pixel_format("yuv420p"), 1280, 720);
            let stride = frame.planes()[0].line_size();
            for (i, value) in frame.planes_mut()[0].data_mut().iter_mut().enumerate() {
                *value = paint(i % stride, i / stride);
            }
            let privacy = Privacy { crop: true, ..OPEN };
            render(
                &frame.freeze(),
                privacy,
                &mut nobody,
                &caption,
                &TimeZone::UTC,
            )
            .unwrap()
            .jpeg
        };
        let inside = |x: usize, y: usize| (290..740).contains(&x) && (160..420).contains(&y);
        let plain = rendered(&|x, y| if inside(x, y) { 90 } else { 0 });
        let busy = rendered(&|x, y| {
            if inside(x, y) {
                90
            } else {
                (x * 7 + y * 13) as u8
            }
        });
        assert_eq!(plain, busy);
        let other = rendered(&|x, y| if inside(x, y) { 200 } else { 0 });
        assert_ne!(plain, other, "it does show the zone");
        let (width, height) = jpeg_size(&plain);
        assert!(width < 640 && height < 480, "{width}x{height}");
    }

    #[test]
    fn the_sealed_picture_is_masked_and_opens_with_the_key_alone() {
        let key = crate::seal::SecretKey::generate();
        let recipient = key.recipient();
        let mask = [polygon(0.0, 0.5)];
        let zone = polygon(0.1, 0.9);
        let sealed_of = |grey: u8| {
            let mut frame = VideoFrameMut::black(get_pixel_format("yuv420p"), 320, 240);
            let stride = frame.planes()[0].line_size();
            // It differs behind the mask alone.
            for (i, value) in frame.planes_mut()[0].data_mut().iter_mut().enumerate() {
                let (x, y) = (i % stride, i / stride);
                let masked = (2..158).contains(&x) && (50..166).contains(&y);
                *value = match masked {
                    true => grey,
                    false => ((x * x * 31 + y * y * 17 + x * y) >> 2) as u8,
                };
            }
            let privacy = Privacy {
                masks: &mask,
                crop: false,
                sealed_for: Some(&recipient),
                thumbnail: false,
            };
            let mut fails = |_: &Canvas| Err("no detector".into());
            let rendered = render(
                &frame.freeze(),
                privacy,
                &mut fails,
                &caption(&zone),
                &TimeZone::UTC,
            );
            let rendered = rendered.unwrap();
            let sealed = rendered.sealed.unwrap();
            (rendered.jpeg, key.open(&sealed).unwrap(), sealed)
        };
        let (hidden, original, sealed) = sealed_of(30);
        let (_, again, sealed_again) = sealed_of(220);
        assert_eq!(original, again, "masks are burnt in");
        assert_ne!(sealed, sealed_again, "each has a key of its own");
        assert_eq!(jpeg_size(&original), (320, 240));
        assert!(original.len() > hidden.len(), "the original has detail");
        let other = crate::seal::SecretKey::generate();
        assert!(other.open(&sealed).is_err());
    }

    /// Width and height from the frame header.
    fn jpeg_size(jpeg: &[u8]) -> (usize, usize) {
        assert_eq!(jpeg[..2], [0xff, 0xd8]);
        let header = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        let number = |at: usize| usize::from(u16::from_be_bytes([jpeg[at], jpeg[at + 1]]));
        (number(header + 7), number(header + 5))
    }
}
