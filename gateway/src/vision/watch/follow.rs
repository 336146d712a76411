//! Decoding: every frame of a stream, its key frames alone, or as few as its looks need.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    Counters, Watch,
    rest::{Plan, Step},
    tell::Trouble,
};
use crate::bilingual::Bilingual;
use crate::vision::{
    decode::{self, DecodeError, Format, Scalers, Unit},
    followers::{self, Claim},
    slate,
    wire::CameraState,
};

/// Frames come in, none can be decoded: after so long it is a fault.
pub(super) const UNDECODABLE: Duration = Duration::from_secs(10);

impl Watch {
    /// What to do with a frame of a scene in which something goes on.
    pub(super) fn step(&mut self, unit: &Unit) -> Step {
        let interval = self.look_interval();
        // Nobody has to wait for this camera: it is looked at as often as it was asked for.
        let is_free = interval <= self.interval || self.gaze.hopeless();
        let can_rest = !is_free && (unit.key || self.shared.followers.has(self.camera));
        let looked = self.inspected.filter(|_| can_rest);
        let key = self.gaze.next_key();
        self.rest.next(unit.pts, unit.key, || {
            let ((looked, _), key) = looked.zip(key)?;
            Some(Plan {
                looked,
                interval,
                key,
            })
        })
    }

    /// Whether this frame can be decoded after those before it, with a decoder that is there or
    /// for which there is room.
    pub(super) fn can_follow(&self, unit: &Unit) -> bool {
        let followers = &self.shared.followers;
        if !unit.key {
            return followers.has(self.camera);
        }
        let claim = if self.recorded {
            Claim::Recorded
        } else if self.pace_interval().is_zero() {
            Claim::New
        } else {
            Claim::Old
        };
        self.format.as_ref().is_none_or(|format| {
            let bytes = followers::bytes_a_pixel(format) * self.pixels as u64;
            followers.admit(self.camera, bytes, claim)
        })
    }

    /// A frame of a scene in which something goes on, but which cannot be followed.
    pub(super) fn glance(&mut self, unit: &Unit, scalers: &mut Scalers, counters: &Counters) {
        if unit.key {
            return match self.due(unit.pts) {
                true => self.look(unit, scalers, counters),
                false => counters.skipped.add_one(),
            };
        }
        counters.starved.store(true, Ordering::Relaxed);
        if self.gaze.next_key().is_some() {
            counters.dropped.add_one();
        } else {
            // A stream that has just begun: there is nothing to be followed before a key frame.
            counters.skipped.add_one();
        }
    }

    /// Looks at a key frame of a quiet scene, alone.
    pub(super) fn look(&mut self, unit: &Unit, scalers: &mut Scalers, counters: &Counters) {
        let Some(format) = &self.format else { return };
        let _working = slate::begin(self.camera, unit.fingerprint());
        match decode::last_picture(format, std::iter::once(unit)) {
            Ok(picture) => {
                counters.decoded.add_one();
                match &picture {
                    Some(frame) => self.frame(frame, scalers, counters),
                    None => self.gaze.nothing_seen(),
                }
                self.decoded(picture.is_some());
                if picture.is_some() {
                    self.remember_calm(unit);
                }
            }
            Err(e) => self.damaged(&e, false, counters),
        }
    }

    /// Decodes what comes after what was decoded last. `counted`: it was looked at before.
    pub(super) fn follow(
        &mut self,
        unit: &Unit,
        counted: bool,
        scalers: &mut Scalers,
        counters: &Counters,
    ) {
        // Nothing else needs a disposable picture; if it is not due, it need not be decoded.
        if unit.disposable && !self.due(unit.pts) {
            return counters.skipped.add_one();
        }
        let Some(format) = &self.format else {
            return counters.skipped.add_one();
        };
        let bytes_a_pixel = followers::bytes_a_pixel(format);
        let _working = slate::begin(self.camera, unit.fingerprint());
        let opened = match self.shared.followers.take(self.camera) {
            Some(decoder) => Ok(decoder),
            None => self.hardware.open(format, &self.shared),
        };
        let mut decoder = match opened {
            Ok(decoder) => decoder,
            Err(e) => {
                counters.dropped.add_one();
                return self.tell(CameraState::Fault(e.told()));
            }
        };
        let mut frames = 0;
        let outcome = decoder.decode(unit, |frame| {
            frames += 1;
            self.frame(&frame, scalers, counters);
        });
        let outcome = self.hardware.judge(outcome, frames, &decoder, &self.shared);
        match outcome {
            Ok(()) => {
                if !counted {
                    counters.decoded.add_one();
                }
                let bytes = bytes_a_pixel * self.pixels as u64;
                self.shared.followers.put(self.camera, decoder, bytes);
            }
            // What follows refers to what is missing: begin again at a key frame.
            Err(e) => self.damaged(&e, counted, counters),
        }
        self.decoded(frames > 0);
        if unit.key && frames > 0 {
            self.remember_calm(unit);
        }
    }

    fn damaged(&mut self, e: &DecodeError, counted: bool, counters: &Counters) {
        tracing::debug!(camera = self.id, "{e}");
        if !counted {
            counters.dropped.add_one();
        }
        self.begin_again(counters);
    }

    /// Something was decoded, and did or did not give a picture.
    fn decoded(&mut self, picture: bool) {
        if picture {
            self.undecoded_since = None;
            return self.tell_health();
        }
        let since = self.undecoded_since.get_or_insert_with(Instant::now);
        if since.elapsed() > UNDECODABLE {
            let trouble = match self.format {
                Some(Format::Jpeg) => Trouble::UndecodableStill,
                _ => Trouble::Undecodable,
            };
            self.tell(CameraState::Fault(trouble.told()));
        }
    }

    /// Least time between two looks of this camera, so that all have their turn.
    fn pace_interval(&self) -> Duration {
        let pace = self.shared.pace.lock();
        pace.unwrap_or_else(PoisonError::into_inner)
            .interval(self.camera, Instant::now())
    }

    /// Least media time between two inspected frames, µs.
    fn look_interval(&self) -> i64 {
        // A recording waits.
        if self.recorded {
            return self.interval;
        }
        self.interval.max(self.pace_interval().as_micros() as i64)
    }

    pub(super) fn due(&self, pts: i64) -> bool {
        let interval = self.look_interval();
        // A tenth of leeway, or a stream of exactly twice the rate would lose every third.
        self.inspected.is_none_or(|(last, _)| {
            let passed = pts.saturating_sub(last);
            self.rest.look_due() || passed >= interval - interval / 10 || passed < -interval
        })
    }
}
