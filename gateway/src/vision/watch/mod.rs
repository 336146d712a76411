//! One camera from compressed frames to sightings.

pub(super) mod inspect;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ac_ffmpeg::codec::video::VideoFrame;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    background::Background,
    decode::{self, Decoder, Format, Scaler, Unit},
    detect::Detectors,
    dwell::{Dwell, Zone},
    gaze::{Decision, Gaze},
    lane::{Counters, Item},
    media::{MediaClock, WallMap},
    out::Out,
    ring::Ring,
    scene::Scene,
    shadow::Shadow,
    story::{Stories, Visitor},
    track::Tracker,
    view::{Impairment, View},
    wire::{CameraSetup, CameraState, Picture, Report},
    zone::Polygon,
};

/// Frames come in, none can be decoded: after so long it is a fault.
const UNDECODABLE: Duration = Duration::from_secs(10);
/// Without frames for longer (wall time), what was followed is forgotten: something else may
/// stand in its place.
const INTERRUPTED: Duration = Duration::from_secs(10);

/// What all cameras share.
#[derive(Debug)]
pub struct Shared {
    /// A network for each thread that looks.
    pub detector: Detectors,
    /// A model that is only compared, if there is one.
    pub shadow: Option<Shadow>,
    /// The way to the gateway.
    pub out: Out,
    /// For captions.
    pub time_zone: TimeZone,
}

/// A zone and what is known of it.
#[derive(Debug)]
struct Watched {
    id: String,
    dwell: Dwell,
    /// Only compared with other zones: no pictures.
    shadow: bool,
    /// Of zones in which anything new counts.
    stories: Option<Stories>,
    /// Pictures of stories that are not told yet.
    saved: HashMap<u64, Vec<Picture>>,
    /// Something was told with a picture, so its end deserves one.
    told: bool,
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
    decoder: Option<Decoder>,
    gaze: Gaze,
    /// Compressed frames since the last key frame of a quiet scene.
    kept: Vec<Unit>,
    scaler: Scaler,
    ring: Ring,
    /// Nothing went on in the newest inspected frame.
    is_calm: bool,
    scene: Scene,
    /// Where any zone asks for what is new and stays.
    background: Option<Background>,
    view: View,
    impaired: Option<Impairment>,
    tracker: Tracker,
    /// What the last look of the detector was not sure of.
    doubtful: Vec<Visitor>,
    clock: MediaClock,
    newest_pts: i64,
    wall: WallMap,
    /// Newest inspected frame: its timestamp and its media time.
    inspected: Option<(i64, Duration)>,
    last_look: Option<Duration>,
    /// When (monotonic, since the process began) the newest frame came.
    last_arrival: Option<Instant>,
    undecoded_since: Option<Instant>,
    state: Option<CameraState>,
}

impl Watch {
    /// A camera that has not sent anything yet.
    pub fn new(camera: u16, setup: &CameraSetup, shared: Arc<Shared>) -> Self {
        let manifest = shared.detector.manifest();
        let (labels, threshold) = (manifest.labels.clone(), manifest.threshold);
        let zones: Vec<_> = setup
            .zones
            .iter()
            .map(|zone| {
                let class = |label: &String| labels.iter().position(|l| l == label);
                let polygon = Polygon::new(zone.polygon.clone());
                let dwell = Duration::from_micros(zone.dwell_us);
                Watched {
                    id: zone.id.clone(),
                    shadow: zone.shadow,
                    stories: zone.objects.then(|| Stories::new(polygon.clone(), dwell)),
                    dwell: Dwell::new(Zone {
                        polygon,
                        classes: zone.labels.iter().filter_map(class).collect(),
                        dwell,
                        grace: Duration::from_micros(zone.grace_us),
                    }),
                    saved: HashMap::new(),
                    told: false,
                }
            })
            .collect();
        let scene = Scene::new(zones.iter().map(|zone| &zone.dwell.zone().polygon));
        let asked = || setup.zones.iter().filter(|zone| zone.objects);
        let background = asked().next().map(|_| {
            let polygons =
                |list: &[Vec<[f32; 2]>]| list.iter().cloned().map(Polygon::new).collect::<Vec<_>>();
            let watched = asked().map(|zone| Polygon::new(zone.polygon.clone()));
            let belongs = asked().flat_map(|zone| polygons(&zone.fixtures));
            Background::new(watched.collect(), belongs.collect())
        });
        Watch {
            camera,
            id: setup.id.clone(),
            interval: (1e6 / f64::from(setup.fps.clamp(0.1, 60.0))) as i64,
            masks: setup.masks.iter().cloned().map(Polygon::new).collect(),
            zones,
            visitors: inspect::visitors(&labels),
            labels,
            shared,
            format: None,
            decoder: None,
            gaze: Gaze::default(),
            kept: Vec::new(),
            scaler: Scaler::default(),
            ring: Ring::default(),
            is_calm: false,
            scene,
            background,
            view: View::default(),
            impaired: None,
            tracker: Tracker::new(threshold),
            doubtful: Vec::new(),
            clock: MediaClock::default(),
            newest_pts: 0,
            wall: WallMap::default(),
            inspected: None,
            last_look: None,
            last_arrival: None,
            undecoded_since: None,
            state: None,
        }
    }

    /// Takes the next thing that the camera's feed has.
    pub fn take(&mut self, item: Item, counters: &Counters) {
        match item {
            Item::Start(format) => self.start(format, counters),
            Item::Unit(unit) => self.unit(unit, counters),
            Item::Fault(reason) => {
                counters.skipped.add(self.kept.len() as u64);
                self.begin_again();
                self.tell(CameraState::Fault(reason));
            }
            Item::End => {
                self.finish(counters);
                self.tell(CameraState::Ended);
            }
        }
    }

    fn start(&mut self, format: Format, counters: &Counters) {
        tracing::debug!(camera = self.id, ?format, "stream begins");
        self.format = Some(format);
        self.ring.forget();
        counters.skipped.add(self.kept.len() as u64);
        self.begin_again();
        self.clock.restart();
        self.wall.restart();
        self.inspected = None;
        self.undecoded_since = None;
        if self.last_arrival.is_none_or(|t| t.elapsed() > INTERRUPTED) {
            self.tracker.clear();
        }
    }

    fn unit(&mut self, unit: Unit, counters: &Counters) {
        self.last_arrival = Some(Instant::now());
        self.clock.advance(unit.pts);
        self.newest_pts = unit.pts;
        if self.background.is_some() {
            self.ring.push(&unit);
        }
        self.wall
            .observe(unit.pts, Timestamp::now().as_microsecond());
        let decision = match self.decoder {
            Some(_) => self.gaze.next(unit.pts, unit.bytes(), unit.key),
            // Nothing to keep up with: a decoder begins at a key frame.
            None if unit.key => Decision::Decode,
            None => return counters.skipped.add_one(),
        };
        match decision {
            Decision::Keep => return self.kept.push(unit),
            Decision::Refresh | Decision::Decode => {
                counters.skipped.add(self.kept.len() as u64);
                self.kept.clear();
            }
            Decision::CatchUp => {
                tracing::debug!(camera = self.id, "the scene wakes");
                for kept in std::mem::take(&mut self.kept) {
                    if self.decoder.is_some() {
                        self.decode(&kept, counters);
                    } else {
                        counters.dropped.add_one();
                    }
                }
            }
        }
        // Nothing else needs a disposable picture; if it is not due, it need not be decoded.
        if unit.disposable && !self.due(unit.pts) {
            return counters.skipped.add_one();
        }
        let frames = self.decode(&unit, counters);
        if unit.key && frames > 0 && self.background.is_some() {
            self.remember_calm(&unit);
        }
        if decision == Decision::Refresh && frames == 0 {
            self.gaze.nothing_seen();
        }
    }

    /// Decodes a unit; returns how many pictures that gave.
    fn decode(&mut self, unit: &Unit, counters: &Counters) -> u64 {
        let Some(format) = &self.format else {
            counters.skipped.add_one();
            return 0;
        };
        let opened = match self.decoder.take() {
            Some(decoder) => Ok(decoder),
            None => Decoder::open(format),
        };
        let mut decoder = match opened {
            Ok(decoder) => decoder,
            Err(e) => {
                counters.dropped.add_one();
                self.tell(CameraState::Fault(e.to_string()));
                return 0;
            }
        };
        let mut frames = 0;
        let decoded = decoder.decode(unit, |frame| {
            frames += 1;
            self.frame(&frame, counters);
        });
        match decoded {
            Ok(()) => {
                counters.decoded.add_one();
                self.decoder = Some(decoder);
            }
            Err(e) => {
                tracing::debug!(camera = self.id, "{e}");
                counters.dropped.add_one();
                // What follows refers to what is missing: begin again at a key frame.
                self.begin_again();
            }
        }
        if frames > 0 {
            self.undecoded_since = None;
            self.tell_health();
        } else if self
            .undecoded_since
            .get_or_insert_with(Instant::now)
            .elapsed()
            > UNDECODABLE
        {
            self.tell(CameraState::Fault(
                "sends video that cannot be decoded; check the camera's video coding (H.264 or H.265)".into(),
            ));
        }
        frames
    }

    fn begin_again(&mut self) {
        self.decoder = None;
        self.gaze = Gaze::default();
        self.kept.clear();
    }

    fn due(&self, pts: i64) -> bool {
        // A tenth of leeway, or a stream of exactly twice the rate would lose every third.
        self.inspected.is_none_or(|(last, _)| {
            let passed = pts.saturating_sub(last);
            passed >= self.interval - self.interval / 10 || passed < -self.interval
        })
    }

    fn finish(&mut self, counters: &Counters) {
        if let Some(mut decoder) = self.decoder.take()
            && let Err(e) = decoder.finish(|frame| self.frame(&frame, counters))
        {
            tracing::debug!(camera = self.id, "{e}");
        }
    }

    fn frame(&mut self, frame: &VideoFrame, counters: &Counters) {
        let pts = decode::pts(frame).unwrap_or(self.newest_pts);
        if !self.due(pts) {
            return;
        }
        if let Err(e) = self.inspect(frame, pts, counters) {
            tracing::warn!(camera = self.id, "{e}");
            counters.dropped.add_one();
        }
    }

    fn tell_health(&mut self) {
        self.tell(match self.impaired {
            Some(impairment) => CameraState::Fault(format!("camera {}", impairment.sentence())),
            None => CameraState::Playing,
        });
    }

    fn tell(&mut self, state: CameraState) {
        if self.state.as_ref() != Some(&state) {
            self.shared.out.send(&Report::Camera {
                camera: self.camera,
                state: state.clone(),
            });
            self.state = Some(state);
        }
    }
}
