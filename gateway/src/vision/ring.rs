//! The last seconds of a camera, as they came: compressed, in memory, never on a disk.
//!
//! When something is noticed, whoever brought it is already leaving. From here come the pictures
//! of before and of its coming.

use std::collections::VecDeque;

use ac_ffmpeg::codec::video::VideoFrame;

use super::decode::{Format, Unit, last_picture, pts};

/// Compressed bytes kept per camera.
pub const MAX_BYTES: usize = 3 << 20;
/// Media time kept, µs.
pub const MAX_SPAN: i64 = 15_000_000;
/// Frames decoded for one picture at most: a key frame interval of 4 s at 25 a second.
const MAX_DECODED: usize = 100;

/// Whole groups of pictures, the newest last.
#[derive(Debug, Default)]
pub struct Ring {
    units: VecDeque<Unit>,
    bytes: usize,
    /// The last key frame on which nothing was going on.
    calm: Option<Unit>,
}

impl Ring {
    /// Remembers a compressed frame.
    pub fn push(&mut self, unit: &Unit) {
        if self.units.is_empty() && !unit.key {
            return;
        }
        let restarted = self.units.back().is_some_and(|last| {
            last.pts.saturating_sub(unit.pts) > MAX_SPAN
                || unit.pts.saturating_sub(last.pts) > MAX_SPAN
        });
        if restarted {
            self.clear();
            if !unit.key {
                return;
            }
        }
        self.bytes += unit.bytes();
        self.units.push_back(unit.clone());
        while self.bytes > MAX_BYTES || self.span() > MAX_SPAN {
            self.drop_group();
        }
    }

    /// This key frame shows the place as it is when nothing goes on.
    pub fn calm(&mut self, unit: &Unit) {
        if unit.key && unit.bytes() <= MAX_BYTES {
            self.calm = Some(unit.clone());
        }
    }

    /// The stream begins again; the calm picture remains, if it is coded alike.
    pub fn clear(&mut self) {
        self.units.clear();
        self.bytes = 0;
    }

    /// Another stream: nothing kept can be decoded any more.
    pub fn forget(&mut self) {
        self.clear();
        self.calm = None;
    }

    fn span(&self) -> i64 {
        match (self.units.front(), self.units.back()) {
            (Some(first), Some(last)) => last.pts.saturating_sub(first.pts),
            _ => 0,
        }
    }

    fn drop_group(&mut self) {
        let mut first = true;
        while let Some(unit) = self.units.front() {
            if unit.key && !first {
                return;
            }
            first = false;
            self.bytes = self.bytes.saturating_sub(unit.bytes());
            self.units.pop_front();
        }
    }

    /// The picture of the place when nothing went on, and its time.
    pub fn calm_picture(&self, format: &Format) -> Option<(VideoFrame, i64)> {
        let unit = self.calm.as_ref()?;
        let frame = last_picture(format, std::iter::once(unit)).ok()??;
        Some((frame, unit.pts))
    }

    /// The picture at `at` (µs), or the nearest before it that is still kept, or else the
    /// oldest; and its time.
    pub fn picture(&self, format: &Format, at: i64) -> Option<(VideoFrame, i64)> {
        let upto = self.units.iter().rposition(|u| u.pts <= at).unwrap_or(0);
        let key = (0..=upto)
            .rev()
            .find(|i| self.units.get(*i).is_some_and(|u| u.key))?;
        // Too far from a key frame, the key frame itself has to do.
        let upto = if upto - key >= MAX_DECODED { key } else { upto };
        let frame = last_picture(format, self.units.range(key..=upto)).ok()??;
        let time = pts(&frame).unwrap_or_else(|| self.units.get(upto).map_or(at, |u| u.pts));
        Some((frame, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::depacket::AccessUnit;

    fn unit(key: bool, bytes: usize, millis: i64) -> Unit {
        let unit = AccessUnit {
            data: vec![1; bytes],
            timestamp: millis * 90,
            key,
            ..AccessUnit::default()
        };
        Unit::from_rtp(&unit, 90_000)
    }

    #[test]
    fn it_begins_with_a_key_frame_and_keeps_whole_groups() {
        let mut ring = Ring::default();
        ring.push(&unit(false, 10, 0));
        assert!(ring.units.is_empty());
        for i in 0..1000 {
            ring.push(&unit(i % 25 == 0, 100, i * 40));
            assert!(ring.units.front().is_some_and(|u| u.key));
            assert!(ring.span() <= MAX_SPAN);
        }
        assert!(ring.span() > MAX_SPAN - 1_100_000);
    }

    #[test]
    fn bytes_are_limited_and_a_group_beyond_the_limit_is_not_kept() {
        for (bytes, kept) in [
            (MAX_BYTES - 10, true),
            (MAX_BYTES - 9, false),
            (MAX_BYTES * 10, false),
        ] {
            let mut ring = Ring::default();
            ring.push(&unit(true, 10, 0));
            ring.push(&unit(false, bytes, 40));
            assert_eq!(!ring.units.is_empty(), kept, "{bytes}");
            assert!(ring.bytes <= MAX_BYTES);
            // One byte more and the group goes; what follows without its key frame is of no use.
            ring.push(&unit(false, 10, 80));
            assert!(ring.units.is_empty());
        }
    }

    #[test]
    fn a_jump_in_time_begins_anew() {
        let mut ring = Ring::default();
        for (pts, held) in [(0, 1), (40, 2), (40 + MAX_SPAN / 1000 + 1, 1)] {
            ring.push(&unit(true, 10, pts));
            assert_eq!(ring.units.len(), held);
        }
        ring.push(&unit(false, 10, 0));
        assert!(ring.units.is_empty());
    }
}
