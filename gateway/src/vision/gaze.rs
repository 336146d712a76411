//! Which compressed frames are decoded at all.
//!
//! A camera mostly shows a scene in which nothing happens. Decoding every frame of it is where
//! an ordinary recorder's processor time goes. Here, while a scene is quiet, only key frames are
//! decoded (each stands alone) and the frames in between are kept compressed until the next.
//! Two things end the quiet: a key frame shows movement, or the frames in between grow, because
//! movement costs bits. Then the kept frames are decoded too, so that nothing is missed.

use std::time::Duration;

/// Without movement for so long (media time), a scene is quiet.
pub const CALM: Duration = Duration::from_secs(4);
/// Key frames farther apart than this do not do for looking: presence is measured between looks
/// that are at most [`super::dwell::MAX_UNSEEN`] apart.
pub const MAX_KEY_INTERVAL: Duration = Duration::from_millis(2500);
/// Compressed bytes kept between two key frames; with more, the scene is not worth being called
/// quiet.
pub const MAX_KEPT: usize = 4 << 20;
/// A frame is large if it is so many times the usual size, at first.
const LARGE: f64 = 2.0;
/// Each false alarm makes it this much harder to be large, up to the limit.
const HARDER: f64 = 1.5;
const LARGE_LIMIT: f64 = 8.0;
/// Frames in a row that must be large: one alone is a hiccup of the encoder.
const IN_A_ROW: u32 = 2;
/// Share of a frame in the usual size.
const LEARN: f64 = 0.05;

/// What to do with a compressed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Decode it.
    Decode,
    /// A key frame of a quiet scene: what was kept is of no more use; decode it.
    Refresh,
    /// Keep it as it is.
    Keep,
    /// Something begins: decode what was kept, then this.
    CatchUp,
}

/// One camera's decision, from frame to frame.
#[derive(Debug)]
pub struct Gaze {
    quiet: bool,
    /// This stream's key frames come out of the decoder at once and often enough.
    possible: bool,
    last_key: Option<i64>,
    key_interval: Option<i64>,
    calm_since: Option<i64>,
    kept: usize,
    usual: f64,
    large: f64,
    in_a_row: u32,
    /// Woken by size, and nobody knows yet whether rightly.
    woken: bool,
}

impl Default for Gaze {
    fn default() -> Self {
        Gaze {
            quiet: false,
            possible: true,
            last_key: None,
            key_interval: None,
            calm_since: None,
            kept: 0,
            usual: 0.0,
            large: LARGE,
            in_a_row: 0,
            woken: false,
        }
    }
}

impl Gaze {
    /// The next compressed frame.
    pub fn next(&mut self, pts: i64, bytes: usize, key: bool) -> Decision {
        if key {
            return self.key(pts);
        }
        let large = self.usual > 0.0 && bytes as f64 > self.usual * self.large;
        self.in_a_row = if large { self.in_a_row + 1 } else { 0 };
        if self.calm_since.is_some() && !large {
            self.usual = match self.usual {
                0.0 => bytes as f64,
                usual => usual + (bytes as f64 - usual) * LEARN,
            };
        }
        if !self.quiet {
            return Decision::Decode;
        }
        self.kept += bytes;
        let late = self
            .last_key
            .is_none_or(|last| pts.saturating_sub(last) > micros(MAX_KEY_INTERVAL));
        if self.in_a_row >= IN_A_ROW || late || self.kept > MAX_KEPT {
            self.woken = self.in_a_row >= IN_A_ROW;
            self.possible &= !late;
            self.wake();
            return Decision::CatchUp;
        }
        Decision::Keep
    }

    fn key(&mut self, pts: i64) -> Decision {
        self.key_interval = self.last_key.map(|last| pts.saturating_sub(last));
        self.last_key = Some(pts);
        self.kept = 0;
        self.in_a_row = 0;
        let often = self
            .key_interval
            .is_some_and(|i| (0..=micros(MAX_KEY_INTERVAL)).contains(&i));
        let calm = self
            .calm_since
            .is_some_and(|since| pts.saturating_sub(since) >= micros(CALM));
        if self.possible && often && calm {
            if self.woken {
                self.woken = false;
                self.large = (self.large * HARDER).min(LARGE_LIMIT);
            }
            self.quiet = true;
            return Decision::Refresh;
        }
        if self.quiet {
            self.wake();
        }
        Decision::Decode
    }

    /// A decoded picture was compared with the last one.
    pub fn looked(&mut self, pts: i64, moved: bool) {
        if moved {
            if self.woken {
                self.woken = false;
                self.large = (self.large / HARDER).max(LARGE);
            }
            self.wake();
        } else if self
            .calm_since
            // A loop or a new time base begins a new calm.
            .is_none_or(|since| since > pts)
        {
            self.calm_since = Some(pts);
        }
    }

    /// A key frame alone gave no picture: this decoder needs what follows it.
    pub fn nothing_seen(&mut self) {
        if self.quiet {
            self.possible = false;
            self.wake();
        }
    }

    fn wake(&mut self) {
        self.quiet = false;
        self.calm_since = None;
        self.in_a_row = 0;
        self.kept = 0;
    }
}

fn micros(duration: Duration) -> i64 {
    duration.as_micros() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 40_000;

    /// A camera of 25 frames a second with a key frame every `gop` frames.
    struct Stream {
        gaze: Gaze,
        gop: i64,
        frame: i64,
        decoded: usize,
    }

    impl Stream {
        fn new(gop: i64) -> Self {
            Stream {
                gaze: Gaze::default(),
                gop,
                frame: 0,
                decoded: 0,
            }
        }

        /// Plays frames; all decoded ones are looked at. Returns the decisions.
        fn play(&mut self, frames: i64, bytes: usize, moving: bool) -> Vec<Decision> {
            (0..frames)
                .map(|_| {
                    let pts = self.frame * FRAME;
                    let key = self.frame % self.gop == 0;
                    self.frame += 1;
                    let decision = self.gaze.next(pts, if key { 100_000 } else { bytes }, key);
                    if decision != Decision::Keep {
                        self.decoded += 1;
                        self.gaze.looked(pts, moving);
                    }
                    decision
                })
                .collect()
        }
    }

    #[test]
    fn a_scene_without_movement_costs_key_frames_only() {
        let mut stream = Stream::new(50);
        stream.play(200, 10_000, false);
        stream.decoded = 0;
        let decisions = stream.play(1500, 10_000, false);
        assert_eq!(stream.decoded, 30);
        assert!(
            decisions
                .iter()
                .all(|d| matches!(d, Decision::Keep | Decision::Refresh))
        );
    }

    #[test]
    fn movement_keeps_every_frame_decoded() {
        let mut stream = Stream::new(50);
        let decisions = stream.play(1500, 10_000, true);
        assert!(decisions.iter().all(|d| *d == Decision::Decode));
    }

    #[test]
    fn a_key_frame_that_shows_movement_ends_the_quiet() {
        let mut stream = Stream::new(50);
        stream.play(500, 10_000, false);
        let decisions = stream.play(100, 10_000, true);
        assert_eq!(decisions[0], Decision::Refresh);
        assert!(decisions[1..].iter().all(|d| *d == Decision::Decode));
    }

    #[test]
    fn frames_that_grow_end_the_quiet_before_the_next_key_frame() {
        let mut stream = Stream::new(50);
        stream.play(520, 10_000, false);
        let decisions = stream.play(5, 25_000, true);
        assert_eq!(
            decisions,
            [
                Decision::Keep,
                Decision::CatchUp,
                Decision::Decode,
                Decision::Decode,
                Decision::Decode
            ]
        );
    }

    #[test]
    fn one_large_frame_is_a_hiccup() {
        let mut stream = Stream::new(50);
        stream.play(520, 10_000, false);
        assert_eq!(stream.play(1, 50_000, false), [Decision::Keep]);
        assert_eq!(stream.play(1, 10_000, false), [Decision::Keep]);
    }

    #[test]
    fn false_alarms_by_size_become_rarer() {
        let mut stream = Stream::new(50);
        let mut alarms = 0;
        for _ in 0..40 {
            let mut decisions = stream.play(240, 10_000, false);
            // As an encoder does at night: noise, then none.
            decisions.extend(stream.play(10, 40_000, false));
            alarms += decisions
                .iter()
                .filter(|d| **d == Decision::CatchUp)
                .count();
        }
        assert!((1..=6).contains(&alarms), "{alarms}");
    }

    #[test]
    fn key_frames_too_far_apart_keep_every_frame_decoded() {
        for (gop, quiet) in [(62, true), (63, false), (620, false)] {
            let mut stream = Stream::new(gop);
            let decisions = stream.play(gop * 20, 10_000, false);
            assert_eq!(decisions.contains(&Decision::Keep), quiet, "{gop}");
        }
    }

    #[test]
    fn a_key_frame_that_does_not_come_ends_the_quiet() {
        let mut stream = Stream::new(50);
        stream.play(500, 10_000, false);
        stream.gop = 100_000;
        let decisions = stream.play(100, 10_000, false);
        assert_eq!(
            decisions
                .iter()
                .filter(|d| **d == Decision::CatchUp)
                .count(),
            1
        );
        assert_eq!(decisions[99], Decision::Decode);
    }

    #[test]
    fn what_is_kept_is_limited() {
        for (bytes, quiet) in [(MAX_KEPT / 49, true), (MAX_KEPT / 48, false)] {
            let mut stream = Stream::new(50);
            let decisions = stream.play(2000, bytes, false);
            assert_eq!(!decisions.contains(&Decision::CatchUp), quiet, "{bytes}");
        }
    }

    #[test]
    fn a_decoder_that_needs_more_than_a_key_frame_gets_every_frame() {
        let mut stream = Stream::new(50);
        stream.play(500, 10_000, false);
        stream.gaze.nothing_seen();
        let decisions = stream.play(500, 10_000, false);
        assert!(decisions.iter().all(|d| *d == Decision::Decode));
    }

    #[test]
    fn a_new_time_base_does_not_confuse_it() {
        let mut stream = Stream::new(50);
        stream.frame = 1_000_000;
        stream.play(500, 10_000, false);
        stream.frame = 0;
        stream.play(500, 10_000, false);
        stream.decoded = 0;
        stream.play(500, 10_000, false);
        assert_eq!(stream.decoded, 10);
    }
}
