//! One child that opens one camera for one picture of all that it sees.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::{
    config::{Calendars, Camera},
    vision::wire::{CameraState, Command, Overview, Report},
};

use super::{Launch, child::Child, liveness::STARTUP, setup};

/// A camera that shows nothing has so long; loading the model is not counted.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// After its first fault it has so long: a picture may be on its way.
const AFTER_FAULT: Duration = Duration::from_secs(3);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("cannot start the vision child: {0}")]
    Start(std::io::Error),
    /// Garbled, ended or hanging.
    #[error("the vision child failed: {0}")]
    Failed(String),
    /// The child's own reason, the model for example.
    #[error("{0}")]
    Fatal(String),
    /// The camera and its fault.
    #[error("{0}: {1}")]
    Camera(Arc<str>, String),
    #[error("camera {camera} sent no picture within {} s", PATIENCE.as_secs())]
    Nothing { camera: Arc<str> },
}

/// Opens the camera as the station would, and takes the first picture.
///
/// # Errors
/// The child cannot start or ends, or the camera gives no picture.
pub async fn look(
    launch: &Launch,
    camera: Arc<Camera>,
    calendars: &Calendars,
) -> Result<Overview, LookError> {
    let id = Arc::clone(&camera.id);
    let mut setup = setup::setup(&[camera], &launch.vision, calendars);
    // Nothing is compared or sealed here.
    setup.shadow = None;
    setup.sealed_for = None;
    let mut child = Child::start(&launch.program, &setup, &launch.feed)
        .await
        .map_err(LookError::Start)?;
    let mut until = Instant::now() + STARTUP;
    let mut fault = None;
    let overview = loop {
        let message = match timeout_at(until, child.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(e))) => break Err(LookError::Failed(e.to_string())),
            Ok(None) => return Err(LookError::Failed(child.ended().await.to_string())),
            Err(_) => {
                break Err(match fault {
                    Some(reason) => LookError::Camera(id, reason),
                    None => LookError::Nothing { camera: id },
                });
            }
        };
        match message {
            Report::Ready { .. } => {
                until = Instant::now() + PATIENCE;
                if let Err(e) = child.tell(&Command::Overview { camera: 0 }).await {
                    break Err(LookError::Failed(e.to_string()));
                }
            }
            Report::Fatal { reason } => break Err(LookError::Fatal(reason.en)),
            Report::Camera {
                state: CameraState::Fault(reason),
                ..
            } => {
                until = until.min(Instant::now() + AFTER_FAULT);
                fault = Some(reason.en);
            }
            Report::Overview { overview, .. } => {
                break overview.map_err(|reason| LookError::Camera(id, reason));
            }
            _ => {}
        }
    };
    child.stop().await;
    overview
}
