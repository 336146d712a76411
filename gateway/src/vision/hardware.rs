//! Decoding by something else than the processor, where it is asked for and works; the
//! processor goes on where it does not.
//!
//! Only decoders that libavcodec opens by name and that give pictures in ordinary memory can be
//! used: V4L2 M2M, Rockchip's MPP and Intel's Quick Sync. VA-API would need a device handed to
//! the decoder and its pictures fetched from the device, which `ac-ffmpeg` has no safe call for.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use crate::config::VideoDecoder;

use super::{
    decode::{DecodeError, Decoder, Format},
    watch::Shared,
    wire::Report,
};

/// Compressed frames without a picture after which a device is given up.
pub const PATIENCE: u32 = 60;
/// Frames that a device may refuse before its first picture: streams begin damaged.
pub const REFUSALS: u32 = 3;

/// A family of decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    V4l2m2m,
    Rkmpp,
    Qsv,
}

impl Kind {
    fn suffix(self) -> &'static str {
        match self {
            Kind::V4l2m2m => "v4l2m2m",
            Kind::Rkmpp => "rkmpp",
            Kind::Qsv => "qsv",
        }
    }

    /// Folder and beginning of the names of its device files; the first is the one without
    /// which there is none.
    fn devices(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Kind::V4l2m2m => &[("/dev", "video"), ("/dev", "media")],
            Kind::Rkmpp => &[
                ("/dev", "mpp_service"),
                ("/dev", "rga"),
                ("/dev/dri", ""),
                ("/dev/dma_heap", ""),
            ],
            Kind::Qsv => &[("/dev/dri", "renderD")],
        }
    }

    fn is_here(self) -> bool {
        let first = self.devices().first();
        first.is_some_and(|(folder, start)| !named(folder, start).is_empty())
    }
}

fn named(folder: &str, start: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(start.as_bytes())
        })
        .map(|entry| entry.path())
        .collect()
}

/// What decodes besides the processor, for all cameras.
#[derive(Debug, Default)]
pub struct Hardware {
    kind: Option<Kind>,
    told: Mutex<HashSet<String>>,
}

impl Hardware {
    /// What was asked for. To be called while devices can still be looked for.
    pub fn new(choice: VideoDecoder) -> Self {
        let kind = match choice {
            VideoDecoder::Software => None,
            VideoDecoder::V4l2m2m => Some(Kind::V4l2m2m),
            VideoDecoder::Rkmpp => Some(Kind::Rkmpp),
            VideoDecoder::Qsv => Some(Kind::Qsv),
            VideoDecoder::Auto => [Kind::Rkmpp, Kind::V4l2m2m, Kind::Qsv]
                .into_iter()
                .find(|kind| kind.is_here()),
        };
        Hardware {
            kind,
            told: Mutex::default(),
        }
    }

    /// Files that it must be allowed to read and write; none unless it was asked for.
    pub fn devices(&self) -> Vec<PathBuf> {
        let kinds = self.kind.iter().flat_map(|kind| kind.devices());
        kinds
            .flat_map(|(folder, start)| named(folder, start))
            .collect()
    }

    /// Folders through which its library looks for them.
    pub fn listed(&self) -> Vec<PathBuf> {
        self.kind.iter().map(|_| "/dev".into()).collect()
    }

    /// Where its library reads what kind of device one is.
    pub fn readable(&self) -> Vec<PathBuf> {
        match self.kind {
            None | Some(Kind::V4l2m2m) => Vec::new(),
            Some(Kind::Rkmpp | Kind::Qsv) => {
                vec!["/sys/dev/char".into(), "/sys/devices".into()]
            }
        }
    }

    /// A decoder for the format; `None` where there is nothing for it to decode.
    fn open(&self, format: &Format) -> Option<Result<Decoder, String>> {
        let kind = self.kind?;
        let (coding, extradata) = match format {
            Format::Coding(coding) => (coding.decoder(), None),
            Format::File(parameters) => {
                let name = parameters.decoder_name()?;
                let coding = ["h264", "hevc"].into_iter().find(|c| *c == name)?;
                (coding, parameters.extradata())
            }
            Format::Jpeg => return None,
        };
        let name = format!("{coding}_{}", kind.suffix());
        let opened = Decoder::open_hardware(&name, extradata);
        Some(opened.map_err(|e| format!("{name} cannot be used ({e})")))
    }

    /// True the first time that this is said.
    fn is_news(&self, reason: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(reason.to_owned())
    }
}

/// One camera's attempt at it.
#[derive(Debug, Default)]
pub struct Attempt {
    given_up: bool,
    /// It has given a picture.
    works: bool,
    /// Compressed frames since its last picture, and how many of them it refused.
    fruitless: u32,
    refused: u32,
}

impl Attempt {
    /// The decoder to use now.
    ///
    /// # Errors
    /// The processor has none for the format.
    pub fn open(&mut self, format: &Format, shared: &Shared) -> Result<Decoder, DecodeError> {
        if !self.given_up {
            match shared.hardware.open(format) {
                None => {}
                Some(Ok(decoder)) => return Ok(decoder),
                Some(Err(reason)) => self.give_up(&reason, shared),
            }
        }
        Decoder::open(format)
    }

    /// Takes how one compressed frame was decoded; an error where the camera has to begin again,
    /// perhaps with the processor.
    ///
    /// # Errors
    /// The frame's own.
    pub fn judge(
        &mut self,
        decoded: Result<(), DecodeError>,
        pictures: u64,
        decoder: &Decoder,
        shared: &Shared,
    ) -> Result<(), DecodeError> {
        if !decoder.is_hardware() {
            return decoded;
        }
        match self.count(pictures, decoded.is_err()) {
            Verdict::GoOn => decoded,
            Verdict::GiveUp => {
                let error = decoded.err().unwrap_or_else(DecodeError::no_picture);
                self.give_up(&format!("the video device failed ({error})"), shared);
                Err(error)
            }
        }
    }

    fn count(&mut self, pictures: u64, failed: bool) -> Verdict {
        if pictures > 0 {
            self.works = true;
            (self.fruitless, self.refused) = (0, 0);
            return Verdict::GoOn;
        }
        self.fruitless += 1;
        self.refused += u32::from(failed);
        let never_began = !self.works && self.refused > REFUSALS;
        if never_began || self.fruitless > PATIENCE {
            Verdict::GiveUp
        } else {
            Verdict::GoOn
        }
    }

    fn give_up(&mut self, reason: &str, shared: &Shared) {
        self.given_up = true;
        let reason = format!("{reason}: the processor decodes instead");
        if shared.hardware.is_news(&reason) {
            shared.out.send(&Report::Weakness { reason });
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    GoOn,
    GiveUp,
}

#[cfg(test)]
mod tests {
    use super::{super::depacket::Coding, *};

    #[test]
    fn a_device_that_is_not_there_is_said_and_software_opens() {
        for choice in [
            VideoDecoder::V4l2m2m,
            VideoDecoder::Rkmpp,
            VideoDecoder::Qsv,
        ] {
            let hardware = Hardware::new(choice);
            for coding in [Coding::H264, Coding::H265] {
                let format = Format::Coding(coding);
                if hardware.kind.is_some_and(Kind::is_here) {
                    println!("skipped: {choice:?} is here");
                    continue;
                }
                // Some say only at the first frame that their device is not there (see `judge`).
                if let Err(error) = hardware.open(&format).unwrap() {
                    assert!(error.contains("cannot be used"), "{error}");
                }
                assert!(Decoder::open(&format).is_ok());
            }
            assert!(hardware.open(&Format::Jpeg).is_none());
        }
        assert!(
            Hardware::new(VideoDecoder::Software)
                .open(&Format::Coding(Coding::H264))
                .is_none()
        );
    }

    #[test]
    fn nothing_is_opened_to_the_child_that_was_not_asked_for() {
        let hardware = Hardware::new(VideoDecoder::Software);
        assert!(hardware.devices().is_empty());
        assert!(hardware.readable().is_empty() && hardware.listed().is_empty());
    }

    #[test]
    fn a_device_that_refuses_the_first_frames_is_given_up() {
        let mut attempt = Attempt::default();
        for _ in 0..REFUSALS {
            assert_eq!(attempt.count(0, true), Verdict::GoOn);
        }
        assert_eq!(attempt.count(0, true), Verdict::GiveUp);
    }

    #[test]
    fn a_device_that_takes_frames_and_gives_none_is_given_up() {
        let mut attempt = Attempt::default();
        for _ in 0..PATIENCE {
            assert_eq!(attempt.count(0, false), Verdict::GoOn);
        }
        assert_eq!(attempt.count(0, false), Verdict::GiveUp);
    }

    #[test]
    fn a_device_that_works_may_meet_damaged_frames() {
        let mut attempt = Attempt::default();
        for _ in 0..10 {
            assert_eq!(attempt.count(1, false), Verdict::GoOn);
            for _ in 0..PATIENCE {
                assert_eq!(attempt.count(0, true), Verdict::GoOn);
            }
        }
    }
}
