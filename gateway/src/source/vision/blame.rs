//! Which camera's video the child died of; pure.
//!
//! The child notes what it works on ([`crate::vision::slate`]). A camera that was being worked on
//! at two deaths within [`WINDOW`] is passed over for a while, longer each time, so that the others
//! go on; a frame that was there at two deaths is never decoded again. With several threads an
//! innocent camera may be worked on at the same moment twice; it comes back by itself.

use std::{collections::HashMap, time::Duration};

use crate::vision::slate::Suspect;

/// Deaths further apart than this have nothing to do with each other.
pub const WINDOW: Duration = Duration::from_secs(600);
/// Deaths until somebody is blamed.
pub const DEATHS: u32 = 2;
/// First and longest time that a camera is passed over.
pub const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));
/// Frames that are remembered per camera.
pub const MAX_FRAMES: usize = 64;

/// What is held against one camera.
#[derive(Debug, Default)]
struct Record {
    deaths: u32,
    last: Duration,
    /// The next pause's length.
    pause: Duration,
    until: Duration,
    /// Fingerprints, and how many died of each; the newest last.
    frames: Vec<(u64, u32)>,
}

/// Remembers the deaths of children; times are monotonic.
#[derive(Debug, Default)]
pub struct Blame {
    cameras: HashMap<u16, Record>,
}

impl Blame {
    /// A child died while it worked on `suspects`; returns the cameras that are passed over from
    /// now on, and for how long.
    pub fn died(&mut self, suspects: &[Suspect], now: Duration) -> Vec<(u16, Duration)> {
        let mut paused = Vec::new();
        let mut counted = Vec::new();
        for suspect in suspects {
            let record = self.cameras.entry(suspect.camera).or_default();
            match record
                .frames
                .iter()
                .position(|(f, _)| *f == suspect.fingerprint)
            {
                Some(at) => {
                    let (frame, deaths) = record.frames.remove(at);
                    record.frames.push((frame, deaths.saturating_add(1)));
                }
                None => record.frames.push((suspect.fingerprint, 1)),
            }
            if record.frames.len() > MAX_FRAMES {
                record.frames.remove(0);
            }
            if counted.contains(&suspect.camera) {
                continue;
            }
            counted.push(suspect.camera);
            // A pause does not count as time that went well.
            let since = record.last.max(record.until);
            if now.saturating_sub(since) > WINDOW {
                (record.deaths, record.pause) = (0, Duration::ZERO);
            }
            record.last = now;
            record.deaths += 1;
            if record.deaths >= DEATHS {
                let (first, longest) = PAUSE;
                record.pause = (record.pause * 2).clamp(first, longest);
                record.until = now + record.pause;
                paused.push((suspect.camera, record.pause));
            }
        }
        paused
    }

    /// For how long a camera is still to be passed over.
    pub fn pause(&self, camera: u16, now: Duration) -> Duration {
        let until = self
            .cameras
            .get(&camera)
            .map_or(Duration::ZERO, |r| r.until);
        until.saturating_sub(now)
    }

    /// Frames of a camera that children died of twice.
    pub fn deadly(&self, camera: u16) -> Vec<u64> {
        let frames = self.cameras.get(&camera).map_or(&[][..], |r| &r.frames);
        let deadly = frames.iter().filter(|(_, deaths)| *deaths >= DEATHS);
        deadly.map(|(frame, _)| *frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn suspect(camera: u16, fingerprint: u64) -> Suspect {
        Suspect {
            camera,
            fingerprint,
        }
    }

    #[test]
    fn two_deaths_pause_a_camera_and_each_further_one_longer() {
        let mut blame = Blame::default();
        assert!(blame.died(&[suspect(3, 1)], SECOND).is_empty());
        assert_eq!(blame.died(&[suspect(3, 2)], SECOND * 2), [(3, PAUSE.0)]);
        assert_eq!(blame.pause(3, SECOND * 12), PAUSE.0 - SECOND * 10);
        assert_eq!(blame.pause(4, SECOND * 2), Duration::ZERO);
        let mut now = SECOND * 2;
        let mut expect = PAUSE.0;
        for _ in 0..10 {
            now += blame.pause(3, now) + SECOND * 30;
            expect = (expect * 2).min(PAUSE.1);
            assert_eq!(blame.died(&[suspect(3, 9)], now), [(3, expect)]);
        }
        // Well for the window after its pause: it begins again.
        now += blame.pause(3, now) + WINDOW + SECOND;
        assert_eq!(blame.pause(3, now), Duration::ZERO);
        assert!(blame.died(&[suspect(3, 9)], now).is_empty());
    }

    #[test]
    fn deaths_far_apart_blame_nobody() {
        let mut blame = Blame::default();
        for n in 0..10 {
            let now = (WINDOW + SECOND) * n;
            assert!(blame.died(&[suspect(0, u64::from(n))], now).is_empty());
        }
        let mut blame = Blame::default();
        blame.died(&[suspect(0, 1)], SECOND);
        assert_eq!(blame.died(&[suspect(0, 2)], SECOND + WINDOW).len(), 1);
    }

    #[test]
    fn a_frame_is_deadly_the_second_time_and_its_neighbours_are_not() {
        let mut blame = Blame::default();
        blame.died(&[suspect(1, 7), suspect(2, 8)], SECOND);
        assert!(blame.deadly(1).is_empty());
        blame.died(&[suspect(1, 7), suspect(2, 9)], SECOND * 2);
        assert_eq!((blame.deadly(1), blame.deadly(2)), (vec![7], vec![]));
    }

    #[test]
    fn a_camera_on_two_threads_dies_once() {
        let mut blame = Blame::default();
        assert!(
            blame
                .died(&[suspect(1, 7), suspect(1, 8)], SECOND)
                .is_empty()
        );
    }

    #[test]
    fn frames_are_limited() {
        for (frames, kept) in [
            (MAX_FRAMES, true),
            (MAX_FRAMES + 1, false),
            (MAX_FRAMES * 10, false),
        ] {
            let mut blame = Blame::default();
            for n in 0..frames as u64 {
                blame.died(&[suspect(1, n)], SECOND);
            }
            blame.died(&[suspect(1, 0)], SECOND);
            assert_eq!(blame.deadly(1) == [0], kept, "{frames}");
        }
    }
}
