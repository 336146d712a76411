//! The vision child seen from outside: started, configured, watched, restarted.
//!
//! What the child says becomes arrivals in `report`; the process itself is `child`'s. Here it is
//! decided whether it lives. A child that dies, hangs or grows too large is replaced; sensors
//! and delivery never notice.

mod asks;
mod blame;
mod child;
mod failure;
pub(crate) mod jpeg;
mod liveness;
pub mod look;
mod permits;
pub mod replay;
mod report;
mod setup;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use wangge_protocol::EvidenceRef;

use crate::{
    bilingual::Bilingual,
    calendar::Permit,
    clock::Clock,
    config::{Calendars, Camera, Vision},
    counters::{ChildState, SourceCounters},
    down::Ask,
    feed::Feed,
    observation::{Arrival, Witness},
    vision::{
        slate::Suspect,
        wire::{Command, Setup},
    },
};

use self::{
    asks::Asks,
    blame::Blame,
    child::Child,
    failure::Failure,
    liveness::Watch,
    report::{Outcome, Reporter},
};

/// Stores a picture durably before an alert may name it: (bytes, media type, role, taken at).
/// A sealed original has the media type [`crate::seal::MEDIA_TYPE`] and, as its role, the SHA-256
/// of the picture that it belongs to; no alert names it. It may block.
pub type Keep =
    Arc<dyn Fn(&[u8], &str, &str, Timestamp) -> Result<EvidenceRef, String> + Send + Sync>;

/// Where pictures and comparisons go.
#[derive(Clone)]
pub struct Sinks {
    pub keep: Keep,
    /// Whoever compares a shadow with the live side, if anybody does.
    pub witness: Option<Witness>,
}

impl From<Keep> for Sinks {
    fn from(keep: Keep) -> Self {
        Sinks {
            keep,
            witness: None,
        }
    }
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sinks").finish_non_exhaustive()
    }
}

/// First and longest wait before a new child is started.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// A child that lived for so long was well; the next failure begins with the first wait.
const HEALTHY: Duration = Duration::from_secs(120);

/// Parts of the gateway that say how permits and holidays are.
pub const CALENDAR_PARTS: [&str; 2] = [permits::PERMITS, permits::HOLIDAYS];

/// The child's program, beside the gateway's own.
pub const PROGRAM: &str = "wangge-vision";

/// What is watched: it may change while the gateway runs.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The same ones in the same order, whatever else of them changes.
    pub cameras: Vec<Arc<Camera>>,
    /// Holidays and permits.
    pub calendars: Calendars,
}

/// What the console reads of the cameras.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    pub child: Arc<ChildState>,
    pub counters: Arc<SourceCounters>,
}

/// Runs the child for all cameras until `stop`; another view is taken up by another child.
///
/// `received` counts compressed frames, `accepted` those looked at or passed over on purpose,
/// `refused` those lost or damaged, `faults` camera faults and deaths of the child.
pub async fn run(
    views: watch::Receiver<View>,
    vision: Vision,
    sinks: Sinks,
    out: mpsc::Sender<Arrival>,
    clock: Clock,
    gauges: Gauges,
    (feed, asks): (Feed, mpsc::Receiver<Ask>),
    stop: CancellationToken,
) {
    let program = match std::env::current_exe() {
        Ok(gateway) => gateway.with_file_name(PROGRAM),
        Err(e) => {
            tracing::error!(
                "cannot find the folder of the gateway's own program, where `{PROGRAM}` is: {e}"
            );
            return;
        }
    };
    run_program(
        Launch {
            program,
            vision,
            state: gauges.child,
            feed,
        },
        views,
        sinks,
        asks,
        out,
        clock,
        gauges.counters,
        stop,
    )
    .await;
}

/// What is started, and with what.
#[derive(Clone, Debug)]
pub struct Launch {
    /// `wangge-vision`, or what behaves like it.
    pub program: PathBuf,
    pub vision: Vision,
    /// For whoever asks how the child is.
    pub state: Arc<ChildState>,
    /// Pictures that cameras publish.
    pub feed: Feed,
}

/// [`run`] with another program as the child, for tests whose own program is not the gateway.
#[doc(hidden)]
pub async fn run_program(
    launch: Launch,
    mut views: watch::Receiver<View>,
    sinks: impl Into<Sinks>,
    asks: mpsc::Receiver<Ask>,
    out: mpsc::Sender<Arrival>,
    clock: Clock,
    counters: Arc<SourceCounters>,
    stop: CancellationToken,
) {
    let mut view = views.borrow_and_update().clone();
    let known = view.calendars.permits.clone();
    let calendars = view.calendars.clone();
    let Some((mut permits, mut _watching)) = watch_permits(calendars, known, &out, clock).await
    else {
        return;
    };
    let started = Instant::now();
    let mut asks = Asks::new(asks);
    let mut blame = Blame::default();
    let mut reporter = Reporter::new(view.cameras.clone(), sinks.into(), clock, counters);
    reporter.keep_sealed(launch.vision.sealed_for.clone());
    let (first, longest) = BACKOFF;
    let mut wait = first;
    loop {
        let begun = Instant::now();
        let newest = views.borrow_and_update().clone();
        if newest.calendars != view.calendars {
            let known = permits.borrow().clone();
            let calendars = newest.calendars.clone();
            let watching = watch_permits(calendars, known, &out, clock).await;
            let Some(watching) = watching else { return };
            (permits, _watching) = watching;
        }
        view = newest;
        reporter.look_at(view.cameras.clone());
        let mut setup = setup::setup(&view.cameras, &launch.vision, &view.calendars);
        let known = Arc::clone(&permits.borrow_and_update());
        setup.permits = anonymous(&known);
        reporter.witness_permits(known);
        for (index, camera) in (0..).zip(&mut setup.cameras) {
            camera.pause_us = blame.pause(index, started.elapsed()).as_micros() as u64;
            camera.deadly = blame.deadly(index);
        }
        let life = life(
            &launch,
            &setup,
            &mut reporter,
            (&mut permits, &mut views, &view),
            &mut asks,
            &out,
            &stop,
        );
        let (failure, suspects) = match life.await {
            End::Stopped => return,
            End::Outdated => {
                tracing::info!("vision: starts again, with the cameras' new configuration");
                asks.child_ended();
                reporter.child_replaced();
                continue;
            }
            End::Failed { failure, suspects } => (failure, suspects),
        };
        tracing::warn!("vision: {failure}");
        for (camera, pause) in blame.died(&suspects, started.elapsed()) {
            if let Some(camera) = reporter.cameras().get(usize::from(camera)) {
                tracing::warn!(
                    "camera {}: passed over for {} s, because picture analysis ended more than once while it looked at this camera's video",
                    camera.id,
                    pause.as_secs()
                );
            }
        }
        launch.state.ended(failure.told());
        asks.child_ended();
        if let Some(arrival) = reporter.child_failed(&failure)
            && out.send(arrival).await.is_err()
        {
            return;
        }
        if begun.elapsed() > HEALTHY {
            wait = first;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(longest);
    }
}

/// A task that nobody outlives.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Permits for the child from now on, after a first look, and the task that goes on looking;
/// `None` when nobody listens any more. The rules know those in `known`.
async fn watch_permits(
    calendars: Calendars,
    known: Arc<[Permit]>,
    out: &mpsc::Sender<Arrival>,
    clock: Clock,
) -> Option<(watch::Receiver<Arc<[Permit]>>, AbortOnDrop)> {
    let (mut watcher, permits) = permits::Watcher::new(calendars, known, out.clone(), clock);
    // Before the child may see anything that a permit of the file is for.
    watcher.look().await.ok()?;
    // It ends with its user at the latest: nobody takes permits for the child then.
    let watching = AbortOnDrop(tokio::spawn(watcher.run()));
    Some((permits, watching))
}

/// How a child's life ended.
enum End {
    /// The gateway stops.
    Stopped,
    /// What it was told to watch has changed.
    Outdated,
    /// The child failed.
    Failed {
        /// How.
        failure: Failure,
        /// What it worked on.
        suspects: Vec<Suspect>,
    },
}

/// One child from start to end.
async fn life(
    Launch {
        program,
        vision,
        state,
        feed,
        ..
    }: &Launch,
    setup: &Setup,
    reporter: &mut Reporter,
    (permits, views, view): (
        &mut watch::Receiver<Arc<[Permit]>>,
        &mut watch::Receiver<View>,
        &View,
    ),
    asks: &mut Asks,
    out: &mpsc::Sender<Arrival>,
    stop: &CancellationToken,
) -> End {
    state.begins();
    let mut child = match Child::start(program, setup, feed).await {
        Ok(child) => child,
        Err(error) => {
            return End::Failed {
                failure: Failure::Start {
                    program: program.clone(),
                    error,
                },
                suspects: Vec::new(),
            };
        }
    };
    let mut watch = Watch::new(Instant::now());
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => {
                child.stop().await;
                return End::Stopped;
            }
            Ok(()) = views.changed() => {
                let newest = views.borrow_and_update().clone();
                let of = |view: &View| setup::setup(&view.cameras, vision, &view.calendars);
                if newest.calendars != view.calendars || of(&newest) != of(view) {
                    child.stop().await;
                    return End::Outdated;
                }
                reporter.look_at(newest.cameras);
                continue;
            }
            Ok(()) = permits.changed() => {
                let known = Arc::clone(&permits.borrow_and_update());
                let command = Command::Permits(anonymous(&known));
                reporter.witness_permits(known);
                // A child that cannot be told is ending, and will be told its set-up.
                if let Err(e) = child.tell(&command).await {
                    tracing::warn!("vision: permits not told: {e}");
                }
                continue;
            }
            Some(command) = asks.next(reporter.cameras()) => {
                if let Err(e) = child.tell(&command).await {
                    tracing::warn!("vision: a picture is not asked for: {e}");
                }
                continue;
            }
            message = tokio::time::timeout_at(watch.deadline(), child.next()) => message,
        };
        let failed = match message {
            Err(_) => Some(Failure::Hangs),
            Ok(None) => {
                let suspects = child.suspects();
                let failure = child.ended().await;
                return End::Failed { failure, suspects };
            }
            Ok(Some(Err(e))) => Some(Failure::Garbled(e)),
            Ok(Some(Ok(message))) => {
                let memory = child.resident();
                state.running(child.pid(), memory);
                let stuck = watch.heard(&message, &child.suspects(), Instant::now());
                if let Some(weaknesses) = report::weaknesses(&message) {
                    state.weakened(weaknesses);
                }
                match reporter.take(message).await {
                    _ if memory.is_some_and(|bytes| bytes > vision.memory_limit) => {
                        Some(Failure::Large(vision.memory_limit))
                    }
                    _ if stuck => Some(Failure::Stuck),
                    Outcome::Nothing => None,
                    Outcome::Fatal(reason) => Some(Failure::Fatal(reason)),
                    Outcome::Pictured(ask, picture) => {
                        asks.answer(ask, picture);
                        None
                    }
                    Outcome::Arrival(arrival) => {
                        if out.send(arrival).await.is_err() {
                            child.stop().await;
                            return End::Stopped;
                        }
                        None
                    }
                }
            }
        };
        if let Some(failure) = failed {
            let suspects = child.suspects();
            child.kill().await;
            return End::Failed { failure, suspects };
        }
    }
}

/// Permits as the child may know them.
fn anonymous(permits: &[Permit]) -> Vec<Permit> {
    permits.iter().map(Permit::without_holder).collect()
}
