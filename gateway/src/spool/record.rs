//! The frame of one record (R7): everything needed to read it alone, and to know that it is whole.
//!
//! ```text
//! 0        version, now 1
//! 1..5     CRC-32C of bytes 5.., little endian like every number here
//! 5..9     length of the whole frame
//! 9..13    count: readings it stands for
//! 13       bytes of the stream's name
//! 14       bytes of the event id
//! 15       pictures
//! 16..     stream, id, then for each picture:
//!            32 bytes SHA-256, 8 bytes size, 3 lengths of one byte each, media type, role, time
//! ..       body
//! ```

use wangge_protocol::EvidenceRef;

use super::{Lane, Record, SpoolError, engine::MAX_VALUE};

/// The layout above.
const VERSION: u8 = 1;
const FIXED: usize = 16;

/// Longest stream name, event id, media type, role or time: one byte holds the length.
pub const MAX_NAME: usize = 255;

/// Why a frame is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Too short, or its length field says otherwise.
    #[error("wrong length")]
    Length,
    /// Written by something newer.
    #[error("unknown frame version {0}")]
    Version(u8),
    /// The bytes changed since they were written.
    #[error("wrong checksum")]
    Checksum,
    /// Whole, but not a record.
    #[error("not a record")]
    Content,
}

/// A frame, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Readings it stands for.
    pub count: u32,
    /// Account it belongs to.
    pub stream: &'a str,
    /// CloudEvent id.
    pub id: &'a str,
    pictures: u8,
    evidence: &'a [u8],
    /// The message.
    pub body: &'a [u8],
}

/// Bytes of the longest frame.
pub const MAX_FRAME: usize = MAX_VALUE;

/// The frame that begins here, if one does, and its length.
pub fn find(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (fixed, _) = bytes.split_first_chunk::<FIXED>()?;
    let [VERSION, _, _, _, _, l0, l1, l2, l3, ..] = *fixed else {
        return None;
    };
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_FRAME {
        return None;
    }
    let frame = decode(bytes.get(..length)?).ok()?;
    Some((frame, length))
}

/// Appends the frame of `record` to `out`.
///
/// # Errors
/// Names longer than [`MAX_NAME`], a hash that is none, and a frame over [`MAX_VALUE`]; `out`
/// then ends in rubbish.
pub fn encode(record: &Record, out: &mut Vec<u8>) -> Result<(), SpoolError> {
    let start = out.len();
    let pictures = length("number of pictures", record.evidence.len())?;
    out.push(VERSION);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&record.count.to_le_bytes());
    out.push(length("stream name", record.stream.len())?);
    out.push(length("event id", record.id.len())?);
    out.push(pictures);
    out.extend_from_slice(record.stream.as_bytes());
    out.extend_from_slice(record.id.as_bytes());
    for picture in &record.evidence {
        let hash = unhex(&picture.sha256)
            .ok_or_else(|| SpoolError::BadHash(picture.sha256.chars().take(80).collect()))?;
        out.extend_from_slice(&hash);
        out.extend_from_slice(&picture.bytes.to_le_bytes());
        out.push(length("media type", picture.media_type.len())?);
        out.push(length("role", picture.role.len())?);
        out.push(length("time", picture.taken_at.len())?);
        out.extend_from_slice(picture.media_type.as_bytes());
        out.extend_from_slice(picture.role.as_bytes());
        out.extend_from_slice(picture.taken_at.as_bytes());
    }
    out.extend_from_slice(&record.body);
    let size = out.len() - start;
    if size > MAX_VALUE {
        return Err(SpoolError::TooLarge {
            id: record.id.clone(),
            what: "record with its names and pictures",
            bytes: size,
            limit: MAX_VALUE,
        });
    }
    let frame = &mut out[start..];
    // `size` is at most MAX_VALUE.
    frame[5..9].copy_from_slice(&(size as u32).to_le_bytes());
    let sum = crc32c::crc32c(&frame[5..]);
    frame[1..5].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// Reads a frame and checks it.
///
/// # Errors
/// [`BadFrame`] says what is wrong; nothing of a bad frame is used.
pub fn decode(bytes: &[u8]) -> Result<Frame<'_>, BadFrame> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or(BadFrame::Length)?;
    if fixed[0] != VERSION {
        return Err(BadFrame::Version(fixed[0]));
    }
    let [
        _,
        s0,
        s1,
        s2,
        s3,
        l0,
        l1,
        l2,
        l3,
        c0,
        c1,
        c2,
        c3,
        stream,
        id,
        pictures,
    ] = *fixed;
    if u32::from_le_bytes([l0, l1, l2, l3]) as usize != bytes.len() {
        return Err(BadFrame::Length);
    }
    if crc32c::crc32c(&bytes[5..]) != u32::from_le_bytes([s0, s1, s2, s3]) {
        return Err(BadFrame::Checksum);
    }
    let mut rest = Cursor(rest);
    let stream = rest.text(stream)?;
    let id = rest.text(id)?;
    let evidence = rest.0;
    for _ in 0..pictures {
        rest.picture()?;
    }
    Ok(Frame {
        count: u32::from_le_bytes([c0, c1, c2, c3]),
        stream,
        id,
        pictures,
        evidence: &evidence[..evidence.len() - rest.0.len()],
        body: rest.0,
    })
}

impl Frame<'_> {
    /// SHA-256 of each picture.
    pub fn hashes(&self) -> impl Iterator<Item = [u8; 32]> {
        self.pictures().map(|picture| *picture.hash)
    }

    /// The record, copied out.
    pub fn record(&self, lane: Lane) -> Record {
        Record {
            lane,
            stream: self.stream.to_owned(),
            id: self.id.to_owned(),
            count: self.count,
            evidence: self
                .pictures()
                .map(|picture| EvidenceRef {
                    sha256: hex::encode(picture.hash),
                    bytes: picture.bytes,
                    media_type: picture.media_type.to_owned(),
                    role: picture.role.to_owned(),
                    taken_at: picture.taken_at.to_owned(),
                    thumbnail: None,
                })
                .collect(),
            body: self.body.to_vec(),
        }
    }

    fn pictures(&self) -> impl Iterator<Item = Picture<'_>> {
        let mut rest = Cursor(self.evidence);
        (0..self.pictures).map_while(move |_| rest.picture().ok())
    }
}

struct Picture<'a> {
    hash: &'a [u8; 32],
    bytes: u64,
    media_type: &'a str,
    role: &'a str,
    taken_at: &'a str,
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], BadFrame> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BadFrame::Content)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self, len: u8) -> Result<&'a str, BadFrame> {
        std::str::from_utf8(self.take(len.into())?).map_err(|_| BadFrame::Content)
    }

    fn picture(&mut self) -> Result<Picture<'a>, BadFrame> {
        let (hash, rest) = self.0.split_first_chunk().ok_or(BadFrame::Content)?;
        let (bytes, rest) = rest.split_first_chunk().ok_or(BadFrame::Content)?;
        let (&[media_type, role, taken_at], rest) =
            rest.split_first_chunk().ok_or(BadFrame::Content)?;
        self.0 = rest;
        Ok(Picture {
            hash,
            bytes: u64::from_le_bytes(*bytes),
            media_type: self.text(media_type)?,
            role: self.text(role)?,
            taken_at: self.text(taken_at)?,
        })
    }
}

fn length(what: &'static str, len: usize) -> Result<u8, SpoolError> {
    u8::try_from(len).map_err(|_| SpoolError::TooLong {
        what,
        len,
        limit: MAX_NAME,
    })
}

/// 64 lower-case hex digits.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::*;
    use proptest::prelude::*;

    fn lane() -> Lane {
        Lane {
            uplink: 0,
            class: Class::Alert,
        }
    }

    fn sample() -> Record {
        Record {
            lane: lane(),
            stream: "alerts".into(),
            id: "0197f000-0000-7000-8000-000000000001".into(),
            count: 1,
            evidence: vec![EvidenceRef {
                sha256: hex::encode([0xab; 32]),
                bytes: 12_345,
                media_type: "image/jpeg".into(),
                role: "scene".into(),
                taken_at: "2026-08-21T09:00:00Z".into(),
                thumbnail: None,
            }],
            body: br#"{"specversion":"1.0"}"#.to_vec(),
        }
    }

    fn encoded(record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(record, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reads_back_what_was_written() {
        let record = sample();
        let bytes = encoded(&record);
        assert_eq!(decode(&bytes).unwrap().record(lane()), record);
    }

    #[test]
    fn r07_every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = encoded(&sample());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "bit {bit} of byte {at}");
            }
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert_eq!(decode(&long).unwrap_err(), BadFrame::Length);
    }

    #[test]
    fn names_and_hashes_have_limits() {
        let mut record = sample();
        record.evidence.clear();
        record.stream = "s".repeat(MAX_NAME);
        encoded(&record);
        for len in [MAX_NAME + 1, MAX_NAME * 10] {
            record.stream = "s".repeat(len);
            let error = encode(&record, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("stream name"), "{error}");
        }
        for bad in ["", "zz", &"A".repeat(64), &"a".repeat(63), &"g".repeat(64)] {
            let mut record = sample();
            record.evidence[0].sha256 = bad.into();
            assert!(matches!(
                encode(&record, &mut Vec::new()),
                Err(SpoolError::BadHash(_))
            ));
        }
    }

    proptest! {
        #[test]
        fn any_record_reads_back(
            stream in "\\PC{0,20}", id in "\\PC{0,20}", count: u32,
            body in proptest::collection::vec(any::<u8>(), 0..600),
            hashes in proptest::collection::vec(any::<[u8; 32]>(), 0..5),
        ) {
            let record = Record {
                lane: lane(), stream, id, count, body,
                evidence: hashes.iter().map(|hash| EvidenceRef {
                    sha256: hex::encode(hash), bytes: 1, media_type: "image/jpeg".into(),
                    role: "scene".into(), taken_at: String::new(), thumbnail: None,
                }).collect(),
            };
            prop_assert_eq!(decode(&encoded(&record)).unwrap().record(lane()), record);
        }

        #[test]
        fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let mut framed = bytes;
            if framed.len() >= FIXED {
                framed[0] = VERSION;
                let len = (framed.len() as u32).to_le_bytes();
                framed[5..9].copy_from_slice(&len);
                let sum = crc32c::crc32c(&framed[5..]).to_le_bytes();
                framed[1..5].copy_from_slice(&sum);
                let _ = decode(&framed);
            }
        }
    }
}
