//! Recordings looked at as fast as the machine can: every frame, in order, with back-pressure.
//!
//! Timestamps become wall time here, so that everything behind measures and says the same
//! whenever, and however fast, a recording is looked at.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::bilingual::Bilingual;

use super::{
    file::{FileError, Video},
    lane::{Item, Lane},
    wire::Played,
};

/// A clip's last frame lasts so long where the clip does not tell, µs.
const FRAME: i64 = 40_000;

/// Why a recording cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("recording {} {source}", clip.display())]
pub struct RecordingError {
    clip: PathBuf,
    source: FileError,
}

impl Bilingual for RecordingError {
    fn zh(&self) -> String {
        format!("录像 {} {}", self.clip.display(), self.source.zh())
    }
}

/// Plays the clips into the lane, the first frame at `start` (µs since 1970).
///
/// # Errors
/// A clip that cannot be read. All are opened before the first is played, so that a missing one
/// is known at once.
pub fn play(clips: &[PathBuf], start: i64, lane: &Arc<Lane>) -> Result<(), RecordingError> {
    let mut length = Some(0i64);
    for clip in clips {
        let video = Video::open(clip).map_err(in_clip(clip))?;
        length = length.zip(video.length).map(|(sum, own)| sum + own);
    }
    lane.feed(Item::Played(Played::Length(length.unwrap_or(0))));
    let mut begins = start;
    for (index, clip) in (0u16..).zip(clips) {
        lane.feed(Item::Played(Played::Clip {
            index,
            at_us: begins,
        }));
        begins = play_once(clip, begins, lane).map_err(in_clip(clip))?;
    }
    lane.feed(Item::End);
    Ok(())
}

fn in_clip(clip: &Path) -> impl Fn(FileError) -> RecordingError {
    move |source| RecordingError {
        clip: clip.to_path_buf(),
        source,
    }
}

/// Returns the time at which the clip ends.
fn play_once(clip: &Path, begins: i64, lane: &Arc<Lane>) -> Result<i64, FileError> {
    let mut video = Video::open(clip)?;
    lane.feed(Item::Start(video.format.clone()));
    let mut shift = None;
    let (mut newest, mut frame) = (None, FRAME);
    while let Some(unit) = video.next()? {
        let shift = *shift.get_or_insert_with(|| begins.saturating_sub(unit.pts));
        let unit = unit.shifted(shift);
        if let Some(before) = newest
            && unit.pts > before
        {
            frame = unit.pts - before;
        }
        newest = newest.max(Some(unit.pts));
        lane.feed(Item::Unit(unit));
    }
    let newest = newest.ok_or(FileError::NoVideo)?;
    Ok(newest.saturating_add(frame))
}
