//! Whether a picture is what the child's encoder makes, and nothing else.
//!
//! A child that was taken over by its video could send anything under the name of a picture, and
//! people open pictures with programs that have faults of their own. So only the plainest form
//! passes: baseline JPEG, one scan, of the size that evidence has, without comments or foreign
//! segments, and nothing behind its end. Nothing is decoded here.

use crate::vision::{MAX_PICTURE_HEIGHT, MAX_PICTURE_WIDTH};

/// Segments of a picture at most; ours has about ten.
const MAX_SEGMENTS: usize = 32;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const APP0: u8 = 0xe0;
const DQT: u8 = 0xdb;
const SOF0: u8 = 0xc0;
const DHT: u8 = 0xc4;
const SOS: u8 = 0xda;

/// Checks a picture.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn check(jpeg: &[u8]) -> Result<(), &'static str> {
    let mut rest = jpeg.strip_prefix(&[0xff, SOI]).ok_or("not a JPEG")?;
    let mut sized = false;
    for _ in 0..MAX_SEGMENTS {
        let [0xff, marker, high, low, tail @ ..] = rest else {
            return Err("a JPEG without a picture");
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let body = length
            .checked_sub(2)
            .and_then(|length| tail.split_at_checked(length));
        let (body, after) = body.ok_or("a JPEG with a broken segment")?;
        rest = after;
        match *marker {
            APP0 if body.starts_with(b"JFIF\0") && body.len() == 14 => {}
            APP0 => return Err("a JPEG with a foreign segment"),
            DQT | DHT => {}
            SOF0 if sized => return Err("a JPEG with two pictures"),
            SOF0 => {
                let [8, h1, h2, w1, w2, ..] = body else {
                    return Err("a JPEG with a broken segment");
                };
                let height = usize::from(u16::from_be_bytes([*h1, *h2]));
                let width = usize::from(u16::from_be_bytes([*w1, *w2]));
                if !(1..=MAX_PICTURE_WIDTH).contains(&width)
                    || !(1..=MAX_PICTURE_HEIGHT).contains(&height)
                {
                    return Err("a JPEG of a size that pictures never have");
                }
                sized = true;
            }
            SOS if sized => return scan(rest),
            _ => return Err("a JPEG with a foreign segment"),
        }
    }
    Err("a JPEG with too many segments")
}

/// The coded picture: in it 0xff is followed by 0 alone, and it ends with the file.
fn scan(data: &[u8]) -> Result<(), &'static str> {
    let data = data
        .strip_suffix(&[0xff, EOI])
        .ok_or("a JPEG without its end, or with something behind it")?;
    let ends_well = data.last() != Some(&0xff);
    let plain = data.windows(2).all(|pair| pair[0] != 0xff || pair[1] == 0);
    (plain && ends_well)
        .then_some(())
        .ok_or("a JPEG with something inside its picture")
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::*;

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, 82);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        let noise: Vec<u8> = (0..usize::from(width) * usize::from(height) * 3)
            .map(|i| (i * i / 7) as u8)
            .collect();
        encoder
            .encode(&noise, width, height, ColorType::Rgb)
            .unwrap();
        jpeg
    }

    #[test]
    fn what_our_encoder_makes_passes_up_to_the_largest_size() {
        let largest = (MAX_PICTURE_WIDTH as u16, MAX_PICTURE_HEIGHT as u16);
        for (width, height) in [(1, 1), (16, 9), (640, 360), largest] {
            assert_eq!(check(&jpeg(width, height)), Ok(()), "{width}x{height}");
        }
        for (width, height) in [(largest.0 + 1, 8), (8, largest.1 + 1), (largest.0 * 10, 8)] {
            assert!(check(&jpeg(width, height)).unwrap_err().contains("size"));
        }
    }

    #[test]
    fn nothing_else_passes() {
        let good = jpeg(64, 48);
        let with = |at: usize, bytes: &[u8]| [&good[..at], bytes, &good[at..]].concat();
        let mut progressive = good.clone();
        let sof = good.windows(2).position(|w| w == [0xff, SOF0]).unwrap();
        progressive[sof + 1] = 0xc2;
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("a script", b"<script>".to_vec()),
            ("ends only", vec![0xff, SOI, 0xff, EOI]),
            ("a comment", with(2, &[0xff, 0xfe, 0, 4, b'h', b'i'])),
            ("EXIF", with(2, b"\xff\xe1\x00\x08Exif\0\0")),
            ("a large APP0", with(2, b"\xff\xe0\x00\x09JFIF\0..")),
            ("a broken length", with(2, &[0xff, DQT, 0, 1])),
            ("something behind", [&good[..], b"PK\x03\x04"].concat()),
            ("another picture behind", [&good[..], &good[..]].concat()),
            ("a marker inside", with(good.len() - 4, &[0xff, 0xd9])),
            ("cut", good[..good.len() - 1].to_vec()),
            ("progressive", progressive),
            ("endless segments", {
                let many = [0xff, DQT, 0, 2].repeat(MAX_SEGMENTS * 10);
                with(2, &many)
            }),
        ] {
            assert!(check(&bytes).is_err(), "{what}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let good = jpeg(24, 24);
        for end in 0..good.len() {
            assert!(check(&good[..end]).is_err(), "{end}");
        }
    }
}
