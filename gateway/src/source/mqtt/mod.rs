//! Devices that publish over MQTT, through a broker ([`client`]) or straight to the gateway
//! ([`listener`]).

use std::time::Duration;

use tokio::{sync::mpsc, time::interval};
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, observation::Arrival};

pub mod acks;
pub mod client;
pub mod guard;
pub mod intake;
pub mod listener;
pub mod payload;
pub mod pictures;
#[cfg(test)]
pub(crate) mod testing;

/// Between two looks for devices whose quarantine has ended.
const RELEASE_CHECK: Duration = Duration::from_secs(5);

/// Passes on that devices are out of quarantine, until `stop`.
async fn report_releases(
    intake: &intake::Intake,
    out: mpsc::Sender<Arrival>,
    clock: Clock,
    stop: &CancellationToken,
) {
    let work = async {
        let mut tick = interval(RELEASE_CHECK);
        loop {
            tick.tick().await;
            for report in intake.tick(clock.now()) {
                if out.send(report).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}
