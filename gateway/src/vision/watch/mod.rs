//! One camera from compressed frames to sightings.

mod begin;
mod follow;
mod hide;
pub(super) mod inspect;
mod measure;
mod picture;
mod rest;
mod sighting;
mod tell;
mod wanted;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ac_ffmpeg::codec::video::VideoFrame;
use jiff::{Timestamp, tz::TimeZone};

use crate::seal::Recipient;

use self::{
    rest::{Rest, Step},
    tell::{Trouble, Unmeasurable},
    wanted::Wanted,
};
use super::{
    background::Background,
    decode::{self, Format, Scalers, Unit},
    detect::{Detector, Detectors},
    dwell::Dwell,
    followers::Followers,
    gaze::{Decision, Gaze},
    ground::{Anchor, Measure},
    hardware::{Attempt, Hardware},
    lane::{Counters, Item},
    media::{MediaClock, WallMap},
    out::Out,
    pace::Pace,
    recent::Recent,
    ring::Ring,
    scene::Scene,
    shadow::Shadow,
    story::Stories,
    track::Tracker,
    view::{Impairment, View},
    wire::{CameraState, Picture},
    zone::Polygon,
};
use crate::{
    bilingual::Bilingual,
    calendar::{Days, Gate, Permit, State},
    counters::Counter,
};

/// Without frames for longer (wall time), what was followed is forgotten: something else may
/// stand in its place.
const INTERRUPTED: Duration = Duration::from_secs(10);

/// What all cameras share.
#[derive(Debug)]
pub struct Shared {
    /// What looks.
    pub detector: Detectors,
    /// A model that knows rubbish, if there is one.
    pub litter: Option<Mutex<Detector>>,
    /// A model that is only compared, if there is one.
    pub shadow: Option<Shadow>,
    /// How often each camera may have one.
    pub pace: Mutex<Pace>,
    /// Decoders of those whose every frame is decoded.
    pub followers: Followers,
    /// The way to the gateway.
    pub out: Out,
    /// The station's, for captions and calendars.
    pub time_zone: TimeZone,
    /// What decodes video besides the processor.
    pub hardware: Hardware,
    /// Holidays.
    pub days: Arc<Days>,
    /// Who may open pictures as they were before heads and plates were hidden.
    pub sealed_for: Option<Recipient>,
    /// Whether a small picture goes with each.
    pub thumbnails: bool,
}

/// A zone and what is known of it.
#[derive(Debug)]
struct Watched {
    id: String,
    /// Pictures show its surroundings only.
    crop: bool,
    dwell: Dwell,
    /// Only compared with other zones: no pictures.
    shadow: bool,
    /// When things may be there, by wall time of the pictures.
    gate: Gate,
    state: State,
    /// What is left after use is told apart.
    take_down: bool,
    /// Of zones in which anything new counts.
    stories: Option<Stories>,
    /// Pictures of stories that are not told yet.
    saved: HashMap<u64, Vec<Picture>>,
    /// Something was told with a picture, so its end deserves one.
    told: bool,
    /// How far everything there together stood out over the zone's line at the last look.
    measure: Option<Measure>,
    /// Media time since which something is where the line cannot be measured.
    unmeasured: Option<Duration>,
}

/// Compressed frames since the last key frame of a quiet scene.
#[derive(Debug, Default)]
struct Kept {
    units: VecDeque<Unit>,
    /// The first of them was looked at, and counted.
    looked: bool,
}

/// A camera's whole state.
#[derive(Debug)]
pub struct Watch {
    camera: u16,
    id: String,
    /// Least media time between two inspected frames, µs.
    interval: i64,
    masks: Vec<Polygon>,
    zones: Vec<Watched>,
    labels: Vec<String>,
    /// Classes that come and go by themselves.
    visitors: Vec<usize>,
    shared: Arc<Shared>,

    format: Option<Format>,
    /// Pixels of a picture, as far as that is known.
    pixels: usize,
    gaze: Gaze,
    kept: Kept,
    /// What was kept and is decoded now.
    backlog: Kept,
    rest: Rest,
    /// Dear, and said once a stream.
    warned: bool,
    hardware: Attempt,
    ring: Ring,
    /// Nothing went on in the newest inspected frame.
    is_calm: bool,
    scene: Scene,
    /// Where any zone asks for what is new and stays.
    background: Option<Background>,
    view: View,
    /// Where any zone measures metres.
    anchor: Option<Anchor>,
    impaired: Option<Impairment>,
    /// The view is not quite the one that was surveyed.
    shifted: bool,
    /// Where this camera's set-up does not do what it was made for.
    weakness: Option<Unmeasurable>,
    tracker: Tracker,
    /// Who is hidden in pictures, whatever the detector finds in them.
    recent: Recent,
    clock: MediaClock,
    newest_pts: i64,
    wall: WallMap,
    /// Timestamps are wall time already: it is a recording, and when it is looked at matters not.
    recorded: bool,
    /// What was last said of how far it has been looked at.
    played: Option<i64>,
    /// Newest inspected frame: its timestamp and its media time.
    inspected: Option<(i64, Duration)>,
    last_look: Option<Duration>,
    /// Media time after which the detector looks again although nothing moves.
    recheck: Duration,
    /// When (monotonic, since the process began) the newest frame came.
    last_arrival: Option<Instant>,
    undecoded_since: Option<Instant>,
    /// Why the newest picture could not be looked at, and since when none could.
    unseen: Option<(Instant, String)>,
    state: Option<CameraState>,
    /// Children died of its video: nothing is decoded until then.
    paused_until: Option<Instant>,
    pause_told: bool,
    /// Frames that children died of.
    deadly: Vec<u64>,
    /// Zones of which somebody wants a picture.
    wanted: Wanted,
    /// Pictures made.
    pictured: Arc<Counter>,
    /// Somebody wants to see all that it sees.
    overview_wanted: bool,
}

impl Watch {
    /// How many pictures were made, for whoever counts.
    pub fn pictures_made(&self) -> Arc<Counter> {
        Arc::clone(&self.pictured)
    }

    /// Takes the next thing that the camera's feed has.
    pub fn take(&mut self, item: Item, scalers: &mut Scalers, counters: &Counters) {
        match item {
            Item::Start(format) => self.start(format, counters),
            Item::Unit(_) if self.is_paused() => counters.skipped.add_one(),
            Item::Unit(unit) => {
                if let Some(decision) = self.decide(&unit, counters) {
                    self.unit(unit, decision, scalers, counters);
                }
                self.tell_progress();
            }
            Item::Decided(unit, decision) => self.unit(unit, decision, scalers, counters),
            Item::Fault(reason) => {
                self.begin_again(counters);
                self.tell(CameraState::Fault(reason));
            }
            Item::Permits(permits) => self.set_permits(&permits),
            Item::Picture { zone, ask } => self.want(zone, ask),
            Item::Overview => self.overview_wanted = true,
            Item::End => {
                self.finish(scalers, counters);
                self.tell(CameraState::Ended);
            }
            Item::Played(what) => self.tell_played(what),
        }
    }

    /// Takes a frame of a quiet scene, if it need not be decoded; otherwise gives it back, to be
    /// taken in its turn.
    pub fn pass(&mut self, unit: Unit, counters: &Counters) -> Option<Item> {
        match self.decide(&unit, counters)? {
            Decision::Keep => {
                self.keep(unit, counters);
                None
            }
            decision => Some(Item::Decided(unit, decision)),
        }
    }

    /// Decodes one frame of what was kept in a quiet time, so that the cameras beside this one
    /// get their turns in between. False when nothing is left to catch up with.
    pub fn catch_up(&mut self, scalers: &mut Scalers, counters: &Counters) -> bool {
        let Some(unit) = self.backlog.units.pop_front() else {
            return false;
        };
        let counted = std::mem::take(&mut self.backlog.looked);
        if self.can_follow(&unit) {
            self.follow(&unit, counted, scalers, counters);
        } else if !counted {
            // At the next key frame it is looked at, at the latest.
            counters.dropped.add_one();
        }
        true
    }

    /// A frame had to wait: the machine has no time for so many looks.
    pub fn is_late(&self) {
        let pace = self.shared.pace.lock();
        pace.unwrap_or_else(PoisonError::into_inner)
            .late(Instant::now());
    }

    /// Whether only key frames are looked at, now and then.
    pub fn is_quiet(&self) -> bool {
        self.gaze.quiet()
    }

    /// Whether there is something to catch up with.
    pub fn behind(&self) -> bool {
        !self.backlog.units.is_empty()
    }

    fn set_permits(&mut self, permits: &[Permit]) {
        for zone in &mut self.zones {
            zone.gate.set_permits(permits);
        }
    }

    /// Whether it has to wait because of what its video did; says so once.
    fn is_paused(&mut self) -> bool {
        let Some(until) = self.paused_until else {
            return false;
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.paused_until = None;
            return false;
        }
        if !std::mem::replace(&mut self.pause_told, true) {
            self.tell(CameraState::Fault(Trouble::Deadly(left).told()));
        }
        true
    }

    fn start(&mut self, format: Format, counters: &Counters) {
        tracing::debug!(camera = self.id, ?format, "stream begins");
        self.format = Some(format);
        self.ring.forget();
        self.recent.clear();
        self.begin_again(counters);
        self.warned = false;
        self.clock.restart();
        self.wall.restart();
        self.inspected = None;
        self.undecoded_since = None;
        if self.last_arrival.is_none_or(|t| t.elapsed() > INTERRUPTED) {
            self.tracker.clear();
        }
    }

    /// What is to be done with the next frame, if anything is.
    fn decide(&mut self, unit: &Unit, counters: &Counters) -> Option<Decision> {
        self.last_arrival = Some(Instant::now());
        if !self.deadly.is_empty() && self.deadly.contains(&unit.fingerprint()) {
            counters.dropped.add_one();
            // What follows refers to it.
            self.begin_again(counters);
            return None;
        }
        self.clock.advance(unit.pts);
        self.newest_pts = unit.pts;
        if self.background.is_some() {
            self.ring.push(unit);
        }
        if !self.recorded {
            self.wall
                .observe(unit.pts, Timestamp::now().as_microsecond());
        }
        Some(self.gaze.next(unit.pts, unit.bytes(), unit.key))
    }

    fn unit(&mut self, unit: Unit, decision: Decision, scalers: &mut Scalers, counters: &Counters) {
        match decision {
            Decision::Keep => {
                self.rest.end();
                self.keep(unit, counters);
            }
            Decision::Look => {
                self.rest.end();
                self.look_alone(unit, scalers, counters);
            }
            Decision::CatchUp => {
                tracing::debug!(camera = self.id, "the scene wakes");
                self.wake(unit);
            }
            Decision::Decode => match self.step(&unit) {
                Step::Keep => self.kept.units.push_back(unit),
                Step::CatchUp => self.wake(unit),
                Step::Look => self.look_alone(unit, scalers, counters),
                Step::Pass => self.keep(unit, counters),
                step @ (Step::Decode | Step::Resume) => {
                    if step == Step::Resume {
                        drop(self.shared.followers.take(self.camera));
                    }
                    self.forget_kept(counters);
                    if self.can_follow(&unit) {
                        self.warn_of_costs();
                        self.follow(&unit, false, scalers, counters);
                    } else {
                        self.glance(&unit, scalers, counters);
                    }
                }
            },
        }
    }

    fn look_alone(&mut self, unit: Unit, scalers: &mut Scalers, counters: &Counters) {
        self.keep(unit.clone(), counters);
        self.kept.looked = true;
        self.look(&unit, scalers, counters);
    }

    fn wake(&mut self, unit: Unit) {
        self.backlog = std::mem::take(&mut self.kept);
        self.backlog.units.push_back(unit);
    }

    fn warn_of_costs(&mut self) {
        // Every single picture is a key frame.
        let video = !matches!(self.format, Some(Format::Jpeg));
        if video && !self.warned && self.gaze.hopeless() {
            self.warned = true;
            tracing::warn!(
                camera = self.id,
                "every frame has to be decoded, because key frames are too rare or too large; \
                 set the camera's key frame interval (I 帧间隔) to 2 s"
            );
        }
    }

    fn keep(&mut self, unit: Unit, counters: &Counters) {
        if unit.key {
            self.forget_kept(counters);
            self.shared.followers.release(self.camera);
        }
        self.kept.units.push_back(unit);
    }

    fn forget_kept(&mut self, counters: &Counters) {
        for kept in [&mut self.kept, &mut self.backlog] {
            let counted = usize::from(std::mem::take(&mut kept.looked));
            let passed_over = kept.units.len().saturating_sub(counted);
            counters.skipped.add(passed_over as u64);
            kept.units.clear();
        }
    }

    fn begin_again(&mut self, counters: &Counters) {
        self.shared.followers.release(self.camera);
        self.gaze = Gaze::default();
        self.rest.end();
        self.forget_kept(counters);
    }

    fn finish(&mut self, scalers: &mut Scalers, counters: &Counters) {
        self.forget_kept(counters);
        if let Some(mut decoder) = self.shared.followers.take(self.camera)
            && let Err(e) = decoder.finish(|frame| self.frame(&frame, scalers, counters))
        {
            tracing::debug!(camera = self.id, "{e}");
        }
    }

    fn frame(&mut self, frame: &VideoFrame, scalers: &mut Scalers, counters: &Counters) {
        let pts = decode::pts(frame).unwrap_or(self.newest_pts);
        self.pixels = frame.width() * frame.height();
        if !self.due(pts) {
            return;
        }
        self.give(frame, pts);
        let inspected = self.inspect(frame, pts, scalers, counters);
        self.unseen = inspected.err().map(|e| {
            tracing::debug!(camera = self.id, "{e}");
            counters.dropped.add_one();
            let since = self.unseen.take().map(|(since, _)| since);
            (since.unwrap_or_else(Instant::now), e.to_string())
        });
    }
}
