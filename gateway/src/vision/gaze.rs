//! Which compressed frames are decoded at all.
//!
//! A camera mostly shows a scene in which nothing happens. Decoding every frame of it is where
//! an ordinary recorder's processor time goes. Here, while a scene is quiet, a key frame (each
//! stands alone) is looked at every [`LOOK`], and all frames since the last key frame are kept
//! compressed. What ends the quiet, or hastens the next look, are the sizes of what is not
//! decoded ([`super::sizes`]): movement costs bits. Sizes that strike make the kept frames be
//! decoded at once, so that nothing is missed; sizes that are merely suspicious make the next
//! key frame be looked at.
//!
//! While something that a zone asks for is followed, looks are at most [`FOLLOW`] apart. Where
//! key frames come more rarely than that, and where they are so rare or the frames between them
//! so many that they cannot be kept, every frame is decoded: dear, and never blind.

use std::time::Duration;

use super::sizes::{Hint, Sizes};

/// Without movement for so long (media time), a scene is quiet.
pub const CALM: Duration = Duration::from_secs(4);
/// The same where only sizes said that something moves, and no picture has shown it.
const CALM_UNPROVEN: Duration = Duration::from_secs(1);
/// Longest media time between two looks at a quiet scene.
pub const LOOK: Duration = Duration::from_secs(15);
/// The same while something is followed: presence and emptiness are measured between looks that
/// are at most [`super::dwell::MAX_UNSEEN`] apart.
pub const FOLLOW: Duration = Duration::from_millis(2500);
/// Key frames farther apart than this do not do for looking.
pub const MAX_KEY_INTERVAL: Duration = Duration::from_secs(12);
/// Compressed bytes kept since a key frame; with more, the scene is not worth being called
/// quiet.
pub const MAX_KEPT: usize = 3 << 20;
/// Frames kept since a key frame: more would take too long to catch up with.
pub const MAX_KEPT_FRAMES: usize = 300;

/// What to do with a compressed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Decode it after those before it.
    Decode,
    /// A key frame of a quiet scene: what was kept is of no more use; look at it alone, and
    /// keep it.
    Look,
    /// Keep it as it is; if it is a key frame, what was kept is of no more use.
    Keep,
    /// Something begins: decode what was kept, then this.
    CatchUp,
}

/// How closely a scene has to be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing goes on.
    #[default]
    Idle,
    /// Something stays there, or a zone is about to be called empty: time is being measured.
    Followed,
    /// Something moves, or it is being found out how something came there: every frame.
    Attention,
}

/// One camera's decision, from frame to frame.
#[derive(Debug)]
pub struct Gaze {
    quiet: bool,
    /// This stream's key frames come out of the decoder alone.
    possible: bool,
    /// No longer quiet, but what was kept is not decoded yet.
    behind: bool,
    need: Need,
    last_key: Option<i64>,
    key_interval: Option<i64>,
    looked: Option<i64>,
    calm_since: Option<i64>,
    kept: usize,
    kept_frames: usize,
    sizes: Sizes,
    /// What sizes said that no picture has confirmed yet.
    hint: Hint,
}

impl Default for Gaze {
    fn default() -> Self {
        Gaze {
            quiet: false,
            possible: true,
            behind: false,
            need: Need::Idle,
            last_key: None,
            key_interval: None,
            looked: None,
            calm_since: None,
            kept: 0,
            kept_frames: 0,
            sizes: Sizes::default(),
            hint: Hint::Usual,
        }
    }
}

impl Gaze {
    /// The next compressed frame.
    pub fn next(&mut self, pts: i64, bytes: usize, key: bool) -> Decision {
        if key {
            self.kept = 0;
            self.kept_frames = 0;
        }
        self.kept += bytes;
        self.kept_frames += 1;
        if key {
            self.key(pts, bytes)
        } else {
            self.between(pts, bytes)
        }
    }

    fn between(&mut self, pts: i64, bytes: usize) -> Decision {
        let hint = self.sizes.between(bytes, self.calm_since.is_some());
        if !self.quiet {
            return if std::mem::take(&mut self.behind) {
                Decision::CatchUp
            } else {
                Decision::Decode
            };
        }
        self.hint = self.hint.max(hint);
        let late = self
            .last_key
            .is_none_or(|last| pts.saturating_sub(last) > micros(self.longest_interval()));
        let many = self.kept > MAX_KEPT || self.kept_frames > MAX_KEPT_FRAMES;
        if hint == Hint::Striking || late || many {
            self.wake();
            self.behind = false;
            return Decision::CatchUp;
        }
        Decision::Keep
    }

    fn key(&mut self, pts: i64, bytes: usize) -> Decision {
        let hint = self.sizes.key(bytes, self.calm_since.is_some());
        self.key_interval = self.last_key.map(|last| pts.saturating_sub(last));
        self.last_key = Some(pts);
        self.behind = false;
        let often = self
            .key_interval
            .is_some_and(|i| (0..=micros(self.longest_interval())).contains(&i));
        let enough = if self.hint == Hint::Striking {
            CALM_UNPROVEN
        } else {
            CALM
        };
        let calm = self
            .calm_since
            .is_some_and(|since| pts.saturating_sub(since) >= micros(enough));
        if !(self.possible && often && (self.quiet || calm) && self.kept <= MAX_KEPT) {
            if self.quiet {
                self.wake();
                self.behind = false;
            }
            return Decision::Decode;
        }
        if !self.quiet {
            // All pictures until now were looked at, whatever the sizes said.
            self.sizes.judged(self.hint, false);
            self.hint = Hint::Usual;
            self.quiet = true;
        } else {
            self.hint = self.hint.max(hint);
        }
        if self.hint != Hint::Usual || self.due(pts) {
            Decision::Look
        } else {
            Decision::Keep
        }
    }

    /// Whether the key frame after this one would come too late.
    fn due(&self, pts: i64) -> bool {
        let every = match self.need {
            Need::Idle => LOOK,
            Need::Followed | Need::Attention => FOLLOW,
        };
        self.looked.is_none_or(|last| {
            let passed = pts.saturating_sub(last);
            // Less than nothing: a new time base.
            passed < 0 || passed + self.key_interval.unwrap_or(0) > micros(every)
        })
    }

    fn longest_interval(&self) -> Duration {
        match self.need {
            Need::Idle => MAX_KEY_INTERVAL,
            Need::Followed | Need::Attention => FOLLOW,
        }
    }

    /// A decoded picture was looked at. `changed`: it differs from the one before.
    pub fn looked(&mut self, pts: i64, changed: bool, need: Need) {
        let asked = self.hint != Hint::Usual;
        if changed || need == Need::Attention {
            self.sizes.judged(self.hint, true);
            self.hint = Hint::Usual;
        } else if self.quiet {
            self.sizes.judged(self.hint, false);
            self.hint = Hint::Usual;
            if !asked {
                self.sizes.quiet_look();
            }
        }
        self.looked = Some(pts);
        self.need = need;
        if need == Need::Attention {
            return self.wake();
        }
        // A loop or a new time base begins a new calm.
        if self.calm_since.is_none_or(|since| since > pts) {
            self.calm_since = Some(pts);
        }
        if self.quiet && self.key_interval > Some(micros(self.longest_interval())) {
            self.wake();
        }
    }

    /// Only key frames are looked at, each alone.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// When (µs) the next key frame is expected, by the newest two.
    pub fn next_key(&self) -> Option<i64> {
        let interval = self.key_interval.filter(|interval| *interval > 0)?;
        Some(self.last_key?.saturating_add(interval))
    }

    /// A key frame alone gave no picture: this decoder needs what follows it.
    pub fn nothing_seen(&mut self) {
        self.possible = false;
        self.wake();
    }

    /// Key frames are too rare, or too large, for a quiet scene to be watched by them alone.
    pub fn hopeless(&self) -> bool {
        !self.possible
            || self.kept > MAX_KEPT
            || self.kept_frames > MAX_KEPT_FRAMES
            || self.key_interval > Some(micros(MAX_KEY_INTERVAL))
    }

    fn wake(&mut self) {
        self.behind |= self.quiet;
        self.quiet = false;
        self.calm_since = None;
    }
}

fn micros(duration: Duration) -> i64 {
    duration.as_micros() as i64
}

#[cfg(test)]
mod tests;
