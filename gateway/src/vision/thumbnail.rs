//! A small picture of the picture, for lines on which every byte counts.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use super::draw::Canvas;

/// Most bytes: one second at 64 kbit/s.
pub const MAX_BYTES: usize = 8 * 1024;
/// Widths to try with a quality, until it is small enough; noise fits at the last (tested).
const TRIES: [(usize, u8); 6] = [
    (400, 60),
    (320, 55),
    (320, 40),
    (240, 40),
    (160, 30),
    (96, 20),
];

/// Scales a finished picture down, with all that is hidden and drawn in it; `None` if it stays too
/// large, which no picture does.
///
/// # Errors
/// The encoder fails.
pub fn make(canvas: &Canvas) -> Result<Option<Vec<u8>>, EncodingError> {
    for (side, quality) in TRIES {
        let longest = canvas.width.max(canvas.height).max(1);
        let scale = |length: usize| (length * side / longest.max(side)).max(1);
        let (width, height) = (scale(canvas.width), scale(canvas.height));
        let pixels = canvas.part(0..canvas.width, 0..canvas.height, width, height, false);
        let mut jpeg = Vec::with_capacity(MAX_BYTES);
        let mut encoder = Encoder::new(&mut jpeg, quality);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        // Not with tables of its own: the encoder then writes three scans, and the gateway takes
        // the plainest form alone.
        // Both are at most 400.
        encoder.encode(&pixels, width as u16, height as u16, ColorType::Rgb)?;
        if jpeg.len() <= MAX_BYTES {
            return Ok(Some(jpeg));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::source::vision::jpeg;

    #[test]
    fn whatever_is_shown_is_small() {
        let mut rng = StdRng::seed_from_u64(1);
        for (width, height) in [
            (1280, 720),
            (720, 1280),
            (1280, 1280),
            (40, 30),
            (1, 1),
            (1280, 1),
        ] {
            let mut canvas = Canvas::new(width, height);
            for noise in [false, true] {
                if noise {
                    rng.fill(canvas.pixels.as_mut_slice());
                }
                let small = make(&canvas).unwrap().unwrap();
                assert!(
                    small.len() <= MAX_BYTES,
                    "{width}x{height}: {}",
                    small.len()
                );
                assert_eq!(jpeg::check(&small), Ok(()), "what the gateway takes");
            }
        }
    }

    #[test]
    fn a_plain_scene_keeps_its_width() {
        let mut canvas = Canvas::new(1280, 720);
        for (i, pixel) in canvas.pixels.chunks_exact_mut(3).enumerate() {
            pixel.fill(((i % 1280) / 8) as u8);
        }
        let jpeg = make(&canvas).unwrap().unwrap();
        // SOF0: height and width, big endian.
        let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        let (height, width) = (&jpeg[at + 5..at + 7], &jpeg[at + 7..at + 9]);
        assert_eq!((height, width), (&[0, 225][..], &[1, 144][..]));
    }
}
