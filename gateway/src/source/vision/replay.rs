//! One child that looks at a recording, from its first frame to its last.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    config::{Calendars, Camera},
    counters::SourceCounters,
    observation::Arrival,
    vision::wire::{CameraState, Input, Played, Report},
};

use super::{
    Keep, Launch,
    child::Child,
    failure::Failure,
    liveness::Watch,
    report::{Outcome, Reporter},
    setup,
};
use crate::clock::Clock;

/// Clips, one after the other, and when the first begins.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Absolute paths.
    pub clips: Vec<PathBuf>,
    pub start: Timestamp,
}

/// What comes out of a recording, in the order of its time.
#[derive(Debug)]
pub enum Step {
    /// How far it is; see [`Played`].
    Played(Played),
    /// Something was observed; by this time of the recording it was known.
    Arrival(Arrival, Timestamp),
}

/// Frames of a recording, as the child counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    pub received: u64,
    /// Decoded, or passed over on purpose.
    pub accepted: u64,
    /// Damaged.
    pub refused: u64,
}

/// Why a recording could not be looked at to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot start the vision child: {0}")]
    Start(std::io::Error),
    #[error("the vision child sent what cannot be understood: {0}")]
    Garbled(std::io::Error),
    #[error("the vision child failed: {0}")]
    Failed(String),
    /// The child's own reason: the model, or a clip that cannot be read.
    #[error("{0}")]
    Fatal(String),
}

/// Looks at a recording as if `camera` had sent it; `each` gets what comes out.
///
/// # Errors
/// The child cannot start, dies, hangs, or cannot read a clip.
pub async fn replay(
    launch: &Launch,
    (camera, calendars): (Arc<Camera>, &Calendars),
    recording: Recording,
    keep: Keep,
    mut each: impl FnMut(Step),
) -> Result<Frames, ReplayError> {
    let start = recording.start;
    let mut setup = setup::setup(&[Arc::clone(&camera)], &launch.vision, calendars);
    // Nothing is compared here.
    setup.shadow = None;
    setup.permits = super::anonymous(&calendars.permits);
    for camera in &mut setup.cameras {
        camera.input = Input::Recording {
            clips: recording.clips.clone(),
            start_us: start.as_microsecond(),
        };
    }
    let counters = Arc::new(SourceCounters::default());
    let mut reporter = Reporter::new(
        vec![camera],
        keep.into(),
        Clock::start(),
        Arc::clone(&counters),
    );
    let mut now = start;
    reporter.recorded(now);
    let mut child = Child::start(&launch.program, &setup, &launch.feed)
        .await
        .map_err(ReplayError::Start)?;
    let mut watch = Watch::new(Instant::now()).of_recording();
    let failed = |failure: Failure| ReplayError::Failed(failure.to_string());
    // The counts of the last frames come after the end.
    let mut ended = false;
    loop {
        let message = match tokio::time::timeout_at(watch.deadline(), child.next()).await {
            Err(_) => {
                child.kill().await;
                return Err(failed(Failure::Hangs));
            }
            Ok(None) => return Err(failed(child.ended().await)),
            Ok(Some(Err(e))) => {
                child.kill().await;
                return Err(ReplayError::Garbled(e));
            }
            Ok(Some(Ok(message))) => message,
        };
        if watch.heard(&message, &child.suspects(), Instant::now()) {
            child.kill().await;
            return Err(failed(Failure::Stuck));
        }
        let told = match &message {
            Report::Sighting(sighting) => Some(sighting.at_us),
            Report::Played { what, .. } => {
                each(Step::Played(*what));
                match what {
                    Played::Upto(at) | Played::Clip { at_us: at, .. } => Some(*at),
                    Played::Length(_) => None,
                }
            }
            _ => None,
        };
        if let Some(at) = told.and_then(|us| Timestamp::from_microsecond(us).ok()) {
            now = now.max(at);
            reporter.recorded(now);
        }
        let counted = ended && matches!(message, Report::Progress(_));
        ended |= matches!(
            message,
            Report::Camera {
                state: CameraState::Ended,
                ..
            }
        );
        match reporter.take(message).await {
            // Nobody asks a recording for pictures.
            Outcome::Nothing | Outcome::Pictured(..) => {}
            Outcome::Arrival(arrival) => each(Step::Arrival(arrival, now)),
            Outcome::Fatal(reason) => {
                child.stop().await;
                return Err(ReplayError::Fatal(reason.en));
            }
        }
        if counted {
            child.stop().await;
            return Ok(Frames {
                received: counters.received.get(),
                accepted: counters.accepted.get(),
                refused: counters.refused.get(),
            });
        }
    }
}
