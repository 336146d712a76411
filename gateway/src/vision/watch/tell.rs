//! What a camera tells the gateway of itself: how it does, and how far a recording was looked at.

use super::{UNDECODABLE, Watch};
use crate::vision::wire::{CameraState, Played, Report};

/// How often it is said how far a recording has been looked at, µs of media time.
const SAY_PLAYED: i64 = 1_000_000;

impl Watch {
    pub(super) fn tell_health(&mut self) {
        if let Some((since, e)) = &self.unseen
            && since.elapsed() > UNDECODABLE
        {
            let reason = format!("sends pictures that cannot be looked at: {e}");
            return self.tell(CameraState::Fault(reason));
        }
        self.tell(match self.impaired {
            Some(impairment) => CameraState::Fault(format!("camera {}", impairment.sentence())),
            None => match self.unmeasurable() {
                Some(reason) => CameraState::Fault(reason),
                None => CameraState::Playing,
            },
        });
    }

    /// Of a recording, now and then: how far it has been looked at.
    pub(super) fn tell_progress(&mut self) {
        let said = self
            .played
            .is_some_and(|last| self.newest_pts.saturating_sub(last) < SAY_PLAYED);
        if self.recorded && !said {
            self.tell_upto();
        }
    }

    /// Everything up to the newest inspected frame has been said.
    fn tell_upto(&mut self) {
        let upto = self.inspected.map_or(self.newest_pts, |(pts, _)| pts);
        self.played = Some(upto);
        self.tell_played(Played::Upto(upto));
    }

    pub(super) fn tell_played(&self, what: Played) {
        let camera = self.camera;
        self.shared.out.send(&Report::Played { camera, what });
    }

    pub(super) fn tell(&mut self, state: CameraState) {
        if self.state.as_ref() != Some(&state) {
            if self.recorded {
                if state == CameraState::Ended {
                    // What was passed over at the end holds nothing either.
                    self.inspected = None;
                }
                self.tell_upto();
            }
            self.shared.out.send(&Report::Camera {
                camera: self.camera,
                state: state.clone(),
            });
            self.state = Some(state);
        }
    }
}
