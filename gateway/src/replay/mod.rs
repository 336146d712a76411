//! A recording through one camera's zones and rules: what alerts the station would have raised.
//!
//! Beside `pipeline` the one place that knows several stages: the real child, the real rules and
//! the real ledger of alerts, with the recording's time as the only clock. Nothing is stored but
//! the pictures that are asked for, and nothing is sent.

mod pictures;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    alert::{AlertError, Ledger, Outbound},
    clock::Now,
    config::{Camera, Config, Vision},
    feed::Feed,
    rules,
    source::vision::{
        Launch,
        replay::{self, Frames, Recording, ReplayError, Step},
    },
    vision::wire::Played,
};

pub use pictures::{Pictures, PicturesError};

/// What to play, and how.
#[derive(Debug)]
pub struct Replay {
    /// The station's configuration; only the camera's part of it is used. Its calendars' permits
    /// are all that go, those of a file among them.
    pub config: Config,
    pub camera: Arc<Camera>,
    pub vision: Vision,
    pub recording: Recording,
    pub pictures: Pictures,
    /// `wangge-vision`.
    pub program: PathBuf,
}

/// Something to tell whoever watches.
#[derive(Debug)]
pub enum Told {
    /// The recording's length, where its headers say.
    Length(Duration),
    /// It has been looked at up to here, from its beginning.
    Upto(Duration),
    /// A message about an alert, as the station would have sent it.
    Alert(Box<Alert>),
}

/// A message about an alert, and when it would have been sent.
#[derive(Debug)]
pub struct Alert {
    /// From the beginning of the recording.
    pub after: Duration,
    /// The clip that was being played, and how far into it.
    pub clip: PathBuf,
    pub into: Duration,
    /// Wall time of the recording.
    pub at: Timestamp,
    pub message: Outbound,
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Alert(#[from] AlertError),
    #[error(transparent)]
    Pictures(#[from] PicturesError),
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Length of what was played.
    pub played: Duration,
    pub frames: Frames,
}

/// Plays the recording; `tell` hears what happens, in the order of its time.
///
/// # Errors
/// The child or a clip fails, or a picture cannot be written.
pub async fn run(what: Replay, tell: impl FnMut(Told)) -> Result<Summary, Failure> {
    let Replay {
        config,
        camera,
        vision,
        recording,
        pictures,
        program,
    } = what;
    let start = recording.start;
    let began = Now {
        wall: start,
        mono: Duration::ZERO,
    };
    let cameras = [Arc::clone(&camera)];
    let zone = config.station.time_zone.clone();
    let mut rules = rules::Engine::new(&[], &cameras, zone, &[], began);
    // A zone's own calendar has the permits of the station's file alone.
    rules.set_permits(&config.calendars.permits);
    let mut desk = Desk {
        rules,
        ledger: Ledger::restore(&config, &[], began)?,
        clips: recording.clips.clone(),
        clip: (PathBuf::new(), start),
        began: start,
        now: began,
        tell,
    };
    let launch = Launch {
        program,
        vision,
        state: Arc::default(),
        // Nobody publishes into a recording.
        feed: Feed::default(),
    };
    let keep = pictures.keep(start)?;
    let frames = replay::replay(
        &launch,
        (camera, &config.calendars),
        recording,
        keep,
        |step| desk.take(step),
    )
    .await?;
    Ok(Summary {
        played: desk.now.mono,
        frames,
    })
}

/// From what is observed to what is told.
struct Desk<T> {
    rules: rules::Engine,
    ledger: Ledger,
    clips: Vec<PathBuf>,
    /// The one that is played, and since when.
    clip: (PathBuf, Timestamp),
    began: Timestamp,
    now: Now,
    tell: T,
}

impl<T: FnMut(Told)> Desk<T> {
    fn take(&mut self, step: Step) {
        match step {
            Step::Played(Played::Length(us)) if us > 0 => {
                (self.tell)(Told::Length(Duration::from_micros(us as u64)));
            }
            Step::Played(Played::Length(_)) => {}
            Step::Played(Played::Clip { index, at_us }) => {
                let clip = self.clips.get(usize::from(index)).cloned();
                let at = Timestamp::from_microsecond(at_us).unwrap_or(self.now.wall);
                self.clip = (clip.unwrap_or_default(), at);
            }
            Step::Played(Played::Upto(us)) => {
                if let Ok(at) = Timestamp::from_microsecond(us) {
                    self.upto(at);
                }
                let mut findings = Vec::new();
                self.rules.tick(self.now, &mut findings);
                self.found(findings);
                let mut due = Vec::new();
                self.ledger.tick(self.now, &mut due);
                due.into_iter().for_each(|message| self.say(message));
                (self.tell)(Told::Upto(self.now.mono));
            }
            Step::Arrival(arrival, at) => {
                self.upto(at);
                let mut findings = Vec::new();
                for observation in &arrival.observations {
                    self.rules.step(observation, self.now, &mut findings);
                }
                self.found(findings);
            }
        }
    }

    fn upto(&mut self, at: Timestamp) {
        let wall = self.now.wall.max(at);
        self.now = Now {
            wall,
            mono: since(self.began, wall),
        };
    }

    fn found(&mut self, findings: Vec<rules::Finding>) {
        for finding in findings {
            if let Some(message) = self.ledger.apply(finding, self.now) {
                self.say(message);
            }
        }
    }

    fn say(&mut self, message: Outbound) {
        let (clip, begun) = &self.clip;
        (self.tell)(Told::Alert(Box::new(Alert {
            after: self.now.mono,
            clip: clip.clone(),
            into: since(*begun, self.now.wall),
            at: self.now.wall,
            message,
        })));
    }
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
