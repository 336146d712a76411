//! A file played as if it were a camera: paced by its own timestamps, looped or once.

use std::{
    fs::File,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ac_ffmpeg::format::{
    demuxer::{Demuxer, DemuxerWithStreamInfo},
    io::IO,
};

use crate::bilingual::{Bilingual, text};

use super::{
    decode::{DecodeError, Format, Step, Unit, during},
    lane::{Item, Lane},
};

/// Media time that is read to learn what a file holds.
const ANALYSE: Duration = Duration::from_secs(5);
/// After a fault, until the file is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Longest pause between two frames of a file; larger jumps in its timestamps are cut to this.
const MAX_PAUSE: i64 = 5_000_000;

#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot be opened: {0}")]
    Open(#[from] std::io::Error),
    #[error("is no video that can be read: {0}")]
    Read(#[from] DecodeError),
    #[error("holds no video")]
    NoVideo,
}

impl Bilingual for FileError {
    fn zh(&self) -> String {
        match self {
            FileError::Open(error) => format!("无法打开:{error}"),
            FileError::Read(error) => format!("不是可读取的视频:{}", error.zh()),
            FileError::NoVideo => "中没有视频".into(),
        }
    }
}

/// Plays the file into the lane; returns when it has been played once and is not repeated.
pub fn play(path: &Path, repeat: bool, lane: &Arc<Lane>) {
    let mut pace = Pace::default();
    let mut first = true;
    loop {
        match play_once(path, lane, &mut pace, first) {
            // The next round goes on where this one ended: to the eye a camera without a break.
            Ok(()) if repeat => first = false,
            Ok(()) => return lane.push(Item::End),
            Err(e) => {
                let path = path.display();
                let zh = format!("文件 {path} {}", e.zh());
                lane.push(Item::Fault(text(zh, format!("file {path} {e}"))));
                std::thread::sleep(RETRY);
                pace = Pace::default();
                first = true;
            }
        }
    }
}

fn play_once(path: &Path, lane: &Arc<Lane>, pace: &mut Pace, first: bool) -> Result<(), FileError> {
    let mut video = Video::open(path)?;
    if first {
        lane.push(Item::Start(video.format.clone()));
    }
    pace.begin();
    let mut empty = true;
    while let Some(unit) = video.next()? {
        let (due, shift) = pace.next(unit.pts);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        lane.push(Item::Unit(unit.shifted(shift)));
        empty = false;
    }
    // Repeating an empty file would keep a core busy with nothing.
    if empty {
        Err(FileError::NoVideo)
    } else {
        Ok(())
    }
}

/// The first video in a file.
pub(super) struct Video {
    demuxer: DemuxerWithStreamInfo<File>,
    index: usize,
    /// How it is coded.
    pub format: Format,
    /// Its length as the file's header says, µs.
    pub length: Option<i64>,
}

impl Video {
    /// Opens a file that an earlier allowance of the sandbox covers.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let io = IO::from_seekable_read_stream(File::open(path)?);
        let demuxer = Demuxer::builder().build(io).map_err(during(Step::Open))?;
        let demuxer = demuxer
            .find_stream_info(Some(ANALYSE))
            .map_err(|(_, e)| during(Step::Open)(e))?;
        let (index, length, parameters) = demuxer
            .streams()
            .iter()
            .enumerate()
            .find_map(|(index, stream)| {
                let parameters = stream.codec_parameters().into_video_codec_parameters()?;
                let length = Some(stream.duration()).filter(|d| !d.is_null());
                Some((index, length.and_then(|d| d.as_micros()), parameters))
            })
            .ok_or(FileError::NoVideo)?;
        Ok(Video {
            demuxer,
            index,
            format: Format::File(Box::new(parameters)),
            length,
        })
    }

    /// The next compressed frame that has a time.
    pub fn next(&mut self) -> Result<Option<Unit>, FileError> {
        while let Some(packet) = self.demuxer.take().map_err(during(Step::Read))? {
            if packet.stream_index() == self.index
                && let Some(unit) = Unit::from_file(packet)
            {
                return Ok(Some(unit));
            }
        }
        Ok(None)
    }
}

/// When each frame is due, and its timestamp in a stream that never ends.
#[derive(Debug, Default)]
struct Pace {
    /// Wall clock and file time of the first frame, and the latest file time so far.
    begun: Option<(Instant, i64, i64)>,
    /// Added to the file's timestamps, µs.
    shift: i64,
    fresh: bool,
}

impl Pace {
    /// The file starts (again).
    fn begin(&mut self) {
        self.fresh = true;
    }

    /// When a frame with this timestamp is due, and what its timestamp is shifted by.
    fn next(&mut self, pts: i64) -> (Instant, i64) {
        let now = Instant::now();
        let (start, first, latest) = *self.begun.get_or_insert((now, pts, pts));
        if self.fresh {
            // The next round goes on one ordinary frame (40 ms) after the last.
            self.fresh = false;
            if latest != first || self.shift != 0 {
                self.shift = latest + 40_000 - pts;
            }
        }
        let mut shifted = pts.saturating_add(self.shift);
        if shifted - latest > MAX_PAUSE {
            self.shift -= shifted - latest - MAX_PAUSE;
            shifted = latest + MAX_PAUSE;
        }
        self.begun = Some((start, first, latest.max(shifted)));
        let since = Duration::from_micros(shifted.saturating_sub(first).max(0) as u64);
        (start + since, self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(pace: &mut Pace, pts: &[i64]) -> Vec<i64> {
        pace.begin();
        pts.iter().map(|p| p + pace.next(*p).1).collect()
    }

    #[test]
    fn rounds_follow_each_other_without_a_jump() {
        let mut pace = Pace::default();
        assert_eq!(play(&mut pace, &[0, 40_000, 80_000]), [0, 40_000, 80_000]);
        assert_eq!(
            play(&mut pace, &[0, 40_000, 80_000]),
            [120_000, 160_000, 200_000]
        );
        assert_eq!(play(&mut pace, &[0, 40_000]), [240_000, 280_000]);
    }

    #[test]
    fn frames_are_due_by_their_timestamps() {
        let mut pace = Pace::default();
        pace.begin();
        let (first, _) = pace.next(7_000_000);
        let (later, _) = pace.next(7_500_000);
        assert_eq!(later - first, Duration::from_millis(500));
    }

    #[test]
    fn a_hole_in_the_file_does_not_stop_the_camera() {
        let mut pace = Pace::default();
        let played = play(&mut pace, &[0, 40_000, 3_600_000_000, 3_600_040_000]);
        assert_eq!(played, [0, 40_000, 40_000 + MAX_PAUSE, 80_000 + MAX_PAUSE]);
    }

    #[test]
    fn every_fault_is_told_in_both_languages() {
        crate::bilingual::assert_bilingual([
            FileError::Open(std::io::ErrorKind::NotFound.into()),
            FileError::Read(DecodeError::no_picture()),
            FileError::NoVideo,
        ]);
    }
}
