//! Single pictures, however they come: are they whole, are they new, do they come in time?
//!
//! What is let through is a picture like a key frame of a video, with the time of its arrival.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use wangge_protocol::Text;

use crate::{bilingual::Bilingual, feed::MAX_STILL};

use super::{
    decode::{Format, Unit},
    lane::{Item, Lane},
    media::Allowance,
    of_camera,
};

/// The same bytes for so long, and in so many pictures, are a picture of the past: no sensor is
/// without noise.
pub const FROZEN: (Duration, u32) = (Duration::from_secs(30), 5);
/// Gaps in a row that are too long for anything between two pictures to count.
pub const LATE: u32 = 5;
/// Least time without a picture that is a fault.
pub const SILENCE: Duration = Duration::from_secs(10);
/// Pictures in a row that may be missing before that is a fault.
pub const MISSING: u32 = 5;

/// Why a picture is not looked at; see [`of_camera`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StillFault {
    #[error("sends a picture of more than {} MiB; set it to a smaller one", MAX_STILL >> 20)]
    TooLarge,
    #[error("sends {0} instead of a JPEG picture; check the path")]
    NotJpeg(Body),
    #[error("sends pictures that end too early")]
    CutOff,
    #[error("has sent the very same picture for {} s; restart it", .0.as_secs())]
    Frozen(Duration),
    #[error(
        "takes more than {:.1} s for each picture, although `every` is {:.1} s; set it to what the camera can do",
        .0.as_secs_f64(), .1.as_secs_f64()
    )]
    Late(Duration, Duration),
    #[error("has sent no picture for {} s", .0.as_secs())]
    Silent(Duration),
}

impl StillFault {
    /// Of this one picture; the next may be better.
    fn is_accident(&self) -> bool {
        matches!(self, Self::TooLarge | Self::NotJpeg(_) | Self::CutOff)
    }
}

impl Bilingual for StillFault {
    fn zh(&self) -> String {
        match self {
            StillFault::TooLarge => format!("图片超过 {} MiB,请调小", MAX_STILL >> 20),
            StillFault::NotJpeg(body) => {
                format!("发来的不是 JPEG 图片,而是“{}”,请检查路径", body.zh())
            }
            StillFault::CutOff => "发来的图片不完整".into(),
            StillFault::Frozen(time) => {
                format!("画面冻结:{} 秒内图片完全相同,请重启摄像机", time.as_secs())
            }
            StillFault::Late(longest, every) => format!(
                "每张图片用时超过 {:.1} 秒,而 `every` 为 {:.1} 秒,请按摄像机的能力设置",
                longest.as_secs_f64(),
                every.as_secs_f64()
            ),
            StillFault::Silent(time) => format!("已 {} 秒没有图片", time.as_secs()),
        }
    }
}

/// What comes instead of a JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Body {
    #[error("nothing")]
    Nothing,
    #[error("a PNG picture")]
    Png,
    #[error("a WebP picture")]
    WebP,
    #[error("something compressed (gzip)")]
    Gzip,
    #[error("a picture in letters (Base64)")]
    Base64,
    #[error("an endless stream of pictures (MJPEG)")]
    Mjpeg,
    #[error("a web page")]
    Page,
    #[error("a text message")]
    Message,
    #[error("something unknown")]
    Unknown,
}

impl Bilingual for Body {
    fn zh(&self) -> String {
        match self {
            Body::Nothing => "空内容",
            Body::Png => "PNG 图片",
            Body::WebP => "WebP 图片",
            Body::Gzip => "gzip 压缩内容",
            Body::Base64 => "Base64 编码的图片",
            Body::Mjpeg => "连续图片流(MJPEG)",
            Body::Page => "网页",
            Body::Message => "文本消息",
            Body::Unknown => "未知内容",
        }
        .into()
    }
}

/// Without a picture for so long a camera is silent.
pub fn silence(every: Duration) -> Duration {
    SILENCE.max(every * MISSING)
}

/// What a body that is no JPEG seems to be.
pub fn looks_like(bytes: &[u8]) -> Body {
    let start = bytes.get(..256.min(bytes.len())).unwrap_or_default();
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let text = text.to_lowercase();
    if bytes.is_empty() {
        Body::Nothing
    } else if bytes.starts_with(b"\x89PNG") {
        Body::Png
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Body::WebP
    } else if bytes.starts_with(&[0x1f, 0x8b]) {
        Body::Gzip
    } else if bytes.starts_with(b"/9j/") {
        Body::Base64
    } else if text.starts_with("--") {
        Body::Mjpeg
    } else if text.starts_with("<!doctype") || text.starts_with("<html") {
        Body::Page
    } else if text.starts_with('<') || text.starts_with('{') {
        Body::Message
    } else {
        Body::Unknown
    }
}

/// Whether the bytes may become a JPEG.
pub fn begins_as_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// Whether the bytes are a JPEG to its end. Cameras put what is their own behind it; half of
/// another picture there is a sign of a torn one.
pub fn ends_as_jpeg(bytes: &[u8]) -> bool {
    let Some(rest) = behind_jpeg(bytes) else {
        return false;
    };
    !begins_as_jpeg(rest) || behind_jpeg(rest).is_some()
}

/// What follows the first picture; `None` where it does not end. Segments are skipped by their
/// length, because a small picture may stand in one.
fn behind_jpeg(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(2..)?;
    loop {
        let marker = rest.iter().position(|byte| *byte == 0xff)?;
        rest = rest.get(marker + 1..)?;
        let (code, after) = rest.split_first()?;
        match code {
            0xd9 => return Some(after),
            // Another fill byte.
            0xff => {}
            0xc0..=0xcf | 0xda..=0xfe => {
                let length = u16::from_be_bytes([*after.first()?, *after.get(1)?]);
                rest = after.get(usize::from(length.max(2))..)?;
            }
            // Without a segment: a 0xff of the picture itself, a restart.
            _ => rest = after,
        }
    }
}

/// Judges one camera's pictures; no I/O.
#[derive(Debug)]
pub struct Judge {
    every: Duration,
    longest: Duration,
    /// What came last: its digest, since when it has been the same, how often it came.
    same: Option<(u64, Duration, u32)>,
    newest: Option<Duration>,
    late: u32,
}

impl Judge {
    /// For pictures that come `every` so often.
    pub fn new(every: Duration) -> Self {
        Judge {
            every,
            longest: Allowance::stills(every).step,
            same: None,
            newest: None,
            late: 0,
        }
    }

    /// Takes the bytes that came `at`.
    ///
    /// # Errors
    /// They are not to be looked at, and why.
    pub fn take(&mut self, jpeg: &[u8], at: Duration) -> Result<(), StillFault> {
        if jpeg.len() > MAX_STILL {
            return Err(StillFault::TooLarge);
        }
        if !begins_as_jpeg(jpeg) {
            return Err(StillFault::NotJpeg(looks_like(jpeg)));
        }
        if !ends_as_jpeg(jpeg) {
            return Err(StillFault::CutOff);
        }
        let gap = self.newest.replace(at).map(|last| at.saturating_sub(last));
        match gap {
            Some(gap) if gap > self.longest => {
                self.late += 1;
                if self.late >= LATE {
                    return Err(StillFault::Late(self.longest, self.every));
                }
            }
            Some(_) => self.late = 0,
            None => {}
        }
        let mut hasher = DefaultHasher::new();
        jpeg.hash(&mut hasher);
        let digest = hasher.finish();
        match &mut self.same {
            Some((known, since, times)) if *known == digest => {
                *times = times.saturating_add(1);
                let lasts = at.saturating_sub(*since);
                if lasts >= FROZEN.0 && *times >= FROZEN.1 {
                    return Err(StillFault::Frozen(FROZEN.0));
                }
            }
            same => *same = Some((digest, at, 1)),
        }
        Ok(())
    }
}

/// Lets one camera's pictures into its lane.
#[derive(Debug)]
pub struct Stills {
    lane: Arc<Lane>,
    judge: Judge,
    begun: Instant,
    /// A format was said since the last fault.
    playing: bool,
    /// When the newest good picture came.
    good: Option<Instant>,
}

impl Stills {
    /// For pictures that come `every` so often.
    pub fn new(lane: Arc<Lane>, every: Duration) -> Self {
        Stills {
            lane,
            judge: Judge::new(every),
            begun: Instant::now(),
            playing: false,
            good: None,
        }
    }

    /// Takes what came just now; false where that is a fault, which was said.
    pub fn take(&mut self, jpeg: &[u8]) -> bool {
        let at = self.begun.elapsed();
        match self.judge.take(jpeg, at) {
            Ok(()) => {
                self.show(jpeg, at);
                true
            }
            Err(fault) => {
                self.lane.lost(1);
                if !(fault.is_accident() && self.is_well()) {
                    self.fault(of_camera(&fault));
                }
                false
            }
        }
    }

    /// A good picture came so lately that one which did not come is no fault yet.
    pub fn is_well(&self) -> bool {
        self.playing && self.good.is_some_and(|at| at.elapsed() < SILENCE)
    }

    /// Shows a picture that was judged already, at its own time.
    pub fn show(&mut self, jpeg: &[u8], at: Duration) {
        self.good = Some(Instant::now());
        if !self.playing {
            self.playing = true;
            self.lane.push(Item::Start(Format::Jpeg));
        }
        let pts = i64::try_from(at.as_micros()).unwrap_or(i64::MAX / 2);
        self.lane.push(Item::Unit(Unit::from_jpeg(jpeg, pts)));
    }

    /// Says why there is no picture.
    pub fn fault(&mut self, reason: Text) {
        self.playing = false;
        self.lane.push(Item::Fault(reason));
    }

    /// There will be no more.
    pub fn end(&self) {
        self.lane.push(Item::End);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(noise: u8) -> Vec<u8> {
        vec![0xff, 0xd8, 0xff, 0xfe, 0, 3, noise, 0xff, 0xd9]
    }

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn only_whole_jpegs_of_a_bearable_size_pass() {
        let mut judge = Judge::new(seconds(1.0));
        let mut take = |bytes: &[u8]| judge.take(bytes, Duration::ZERO);
        assert_eq!(take(&jpeg(1)), Ok(()));
        let mut padded = jpeg(2);
        padded.extend([0; 100]);
        assert_eq!(take(&padded), Ok(()));
        let mut doubled = jpeg(3);
        doubled.extend([0xff, 0xd8, 0xff, 0xfe, 0, 3, 7]);
        assert_eq!(take(&doubled), Err(StillFault::CutOff));
        for end in 3..jpeg(4).len() {
            assert_eq!(take(&jpeg(4)[..end]), Err(StillFault::CutOff), "{end}");
        }
        // What is the maker's own, another whole picture, a small one in a segment.
        for more in [&b"temperature=35"[..], &[1; 20_000], &jpeg(5)] {
            assert_eq!(take(&[&jpeg(6)[..], more].concat()), Ok(()));
        }
        let mut small = vec![0xff, 0xd8, 0xff, 0xe1, 0, 11];
        small.extend(jpeg(7));
        assert_eq!(take(&small), Err(StillFault::CutOff));
        small.extend([
            0xff, 0xda, 0, 2, 9, 0xff, 0, 9, 0xff, 0xd0, 9, 0xff, 0xff, 0xd9,
        ]);
        assert_eq!(take(&small), Ok(()));
        for (bytes, what) in [
            (&b""[..], Body::Nothing),
            (b"<!DOCTYPE html><html>", Body::Page),
            (b"\x89PNG\r\n", Body::Png),
            (b"--myboundary\r\nContent-Type: image/jpeg", Body::Mjpeg),
            (b"<?xml version=\"1.0\"?><ResponseStatus>", Body::Message),
            (b"\xef\xbb\xbf\r\n<html><body>", Body::Page),
            (b"RIFF\x00\x10\x00\x00WEBPVP8 ", Body::WebP),
            (b"\x1f\x8b\x08\x00", Body::Gzip),
            (b"/9j/4AAQSkZJRg==", Body::Base64),
            (b"\x00\x01\x02", Body::Unknown),
        ] {
            assert_eq!(take(bytes), Err(StillFault::NotJpeg(what)));
        }
        for (size, passes) in [
            (MAX_STILL, true),
            (MAX_STILL + 1, false),
            (MAX_STILL * 10, false),
        ] {
            let mut large = vec![1; size];
            large[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
            large[size - 2..].copy_from_slice(&[0xff, 0xd9]);
            assert_eq!(take(&large).is_ok(), passes, "{size}");
        }
    }

    #[test]
    fn the_same_bytes_again_and_again_are_frozen() {
        let (time, times) = FROZEN;
        let mut judge = Judge::new(seconds(1.0));
        let last = time.as_secs();
        for second in 0..last {
            assert_eq!(judge.take(&jpeg(1), Duration::from_secs(second)), Ok(()));
        }
        for second in [last, last + 1, last * 10] {
            let taken = judge.take(&jpeg(1), Duration::from_secs(second));
            assert_eq!(taken, Err(StillFault::Frozen(time)));
        }
        // It lives again.
        assert_eq!(
            judge.take(&jpeg(2), Duration::from_secs(last * 10 + 1)),
            Ok(())
        );
        // A camera that sends one a minute needs as many pictures.
        let mut judge = Judge::new(seconds(60.0));
        let frozen = (0..10).find(|minute| judge.take(&jpeg(1), seconds(60.0) * *minute).is_err());
        assert_eq!(frozen, Some(times - 1));
    }

    #[test]
    fn a_camera_that_is_too_slow_is_told_so_and_one_hiccup_is_not() {
        let every = seconds(4.0);
        // The limit itself, just past it, ten times past it.
        for (gap, late) in [(6.0, false), (6.01, true), (60.0, true)] {
            let mut judge = Judge::new(every);
            let told = (0..20u32).any(|n| {
                let taken = judge.take(&jpeg(n as u8), seconds(gap) * n);
                matches!(taken, Err(StillFault::Late(..)))
            });
            assert_eq!(told, late, "{gap} s");
        }
        let mut judge = Judge::new(every);
        let mut at = Duration::ZERO;
        for n in 0..100u32 {
            at += if n % LATE == 0 { seconds(12.0) } else { every };
            assert_eq!(judge.take(&jpeg(n as u8), at), Ok(()));
        }
    }

    #[test]
    fn every_fault_is_told_in_both_languages() {
        use crate::bilingual::assert_bilingual;
        let time = seconds(30.0);
        assert_bilingual([
            StillFault::TooLarge,
            StillFault::NotJpeg(Body::Page),
            StillFault::CutOff,
            StillFault::Frozen(time),
            StillFault::Late(time, time),
            StillFault::Silent(time),
        ]);
        assert_bilingual([
            Body::Nothing,
            Body::Png,
            Body::WebP,
            Body::Gzip,
            Body::Base64,
            Body::Mjpeg,
            Body::Page,
            Body::Message,
            Body::Unknown,
        ]);
    }
}
