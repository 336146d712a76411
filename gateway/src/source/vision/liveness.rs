//! Whether the child lives: what it says, and what it works on. Pure; moments are given.

use std::time::Duration;

use tokio::time::Instant;

use crate::vision::{slate::Suspect, wire::Report};

/// The child says something every second; silent for longer, it hangs.
pub const SILENT: Duration = Duration::from_secs(10);
/// Loading a model on a slow disk and a small processor takes time.
pub const STARTUP: Duration = Duration::from_secs(60);
/// Frames wait and none is looked at for longer, while nothing or one and the same frame is worked
/// on: the decoder or the detector hangs. Where other work goes on the machine is too slow, which
/// a new child would only make worse.
pub const STUCK: Duration = Duration::from_secs(20);

/// Whether a child makes progress; pure but for the moment it is given.
pub struct Watch {
    last: Instant,
    /// See [`STUCK`].
    patience: Duration,
    ready: bool,
    /// Per camera: frames done with, and since when that number stands although frames wait.
    done: Vec<(u64, Instant)>,
    /// What it works on, and since when.
    work: Vec<(Suspect, Instant)>,
    /// When it was last seen to work.
    worked: Instant,
}

impl Watch {
    pub fn new(now: Instant) -> Self {
        Watch {
            last: now,
            patience: STUCK,
            ready: false,
            done: Vec::new(),
            work: Vec::new(),
            worked: now,
        }
    }

    /// Nobody waits for what is recorded, and machines on which recordings are tried do much else.
    pub fn of_recording(self) -> Self {
        Watch {
            patience: STUCK * 6,
            ..self
        }
    }

    pub fn deadline(&self) -> Instant {
        self.last + if self.ready { SILENT } else { STARTUP }
    }

    /// Takes a message and what is being worked on; true when a camera is stuck.
    pub fn heard(&mut self, message: &Report, work: &[Suspect], now: Instant) -> bool {
        self.last = now;
        match message {
            Report::Ready { .. } => {
                self.ready = true;
                false
            }
            Report::Progress(cameras) => {
                let begun = |work: &Suspect| {
                    let known = self.work.iter().find(|(known, _)| known == work);
                    known.map_or(now, |(_, begun)| *begun)
                };
                self.work = work.iter().map(|work| (*work, begun(work))).collect();
                if !self.work.is_empty() {
                    self.worked = now;
                }
                let long = |since: Instant| now.duration_since(since) > self.patience;
                self.done.resize(cameras.len(), (0, now));
                let mut stuck = false;
                let places = cameras.iter().zip(&mut self.done).enumerate();
                for (index, (camera, (done, since))) in places {
                    // Dropping is no progress: a lane overflows while its worker hangs.
                    // One frame may be due for many pictures.
                    let now_done = camera.decoded + camera.skipped + camera.pictured;
                    if now_done != *done || camera.waiting == 0 {
                        (*done, *since) = (now_done, now);
                    }
                    let mut its = self.work.iter();
                    let hangs =
                        its.any(|(work, begun)| usize::from(work.camera) == index && long(*begun));
                    stuck |= long(*since) && (hangs || long(self.worked));
                }
                stuck
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::wire::CameraProgress;

    fn progress(done: u64, waiting: u64) -> Report {
        Report::Progress(vec![CameraProgress {
            decoded: done,
            waiting,
            ..CameraProgress::default()
        }])
    }

    #[test]
    fn a_frame_of_which_many_pictures_are_due_does_not_hang() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let frame = Suspect {
            camera: 0,
            fingerprint: 7,
        };
        let mut stuck = |second: u64, pictured| {
            let report = Report::Progress(vec![CameraProgress {
                decoded: 10,
                waiting: 5,
                pictured,
                ..CameraProgress::default()
            }]);
            watch.heard(&report, &[frame], start + Duration::from_secs(second))
        };
        for second in 0..60 {
            assert!(!stuck(second, second / 10), "{second}");
        }
        assert!(!stuck(70, 5));
        assert!(stuck(90, 5));
    }

    #[test]
    fn a_camera_is_stuck_only_when_frames_wait_and_none_is_done() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        for (seconds, done, waiting, stuck) in [
            (0, 10, 5, false),
            (15, 10, 5, false),
            (20, 10, 5, false),
            (21, 10, 5, true),
            (22, 11, 5, false),
            (43, 11, 0, false),
            (60, 11, 0, false),
            (61, 11, 9, false),
            (80, 11, 9, false),
            (82, 11, 9, true),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(
                watch.heard(&progress(done, waiting), &[], now),
                stuck,
                "{seconds} s"
            );
        }
    }

    #[test]
    fn a_camera_that_gets_no_turn_is_not_stuck_and_one_whose_frame_is_never_done_is() {
        let start = Instant::now();
        let work = |camera, fingerprint| Suspect {
            camera,
            fingerprint,
        };
        for (same, stuck_after) in [(false, None), (true, Some(21))] {
            let mut watch = Watch::new(start);
            let stuck = (0..200).find(|second| {
                let fingerprint = if same { 7 } else { *second };
                let now = start + Duration::from_secs(*second);
                watch.heard(&progress(10, 5), &[work(0, fingerprint)], now)
            });
            assert_eq!(stuck, stuck_after);
            // Another camera's frame that is never done is not this one's.
            let mut watch = Watch::new(start);
            assert!((0..200).all(|second| {
                let now = start + Duration::from_secs(second);
                !watch.heard(&progress(10, 5), &[work(1, 7)], now)
            }));
        }
    }

    #[test]
    fn starting_may_take_longer_than_silence() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        assert_eq!(watch.deadline(), start + STARTUP);
        let ready = Report::Ready {
            model: "m".into(),
            model_hash: "0".into(),
            weaknesses: vec![],
        };
        watch.heard(&ready, &[], start);
        assert_eq!(watch.deadline(), start + SILENT);
    }
}
