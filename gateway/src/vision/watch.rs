//! One camera from compressed frames to sightings.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ac_ffmpeg::codec::video::VideoFrame;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    decode::{self, Decoder, Format, Scaler, Unit},
    detect::{Detector, Placement},
    dwell::{Dwell, Event, Zone},
    evidence::{self, Caption},
    gaze::{Decision, Gaze},
    lane::{Counters, Item},
    media::{MediaClock, WallMap},
    out::Out,
    scene::{Scene, Thumbnail},
    track::Tracker,
    wire::{CameraSetup, CameraState, Report, Sighting},
    zone::Polygon,
};

/// While something is followed, the detector looks at least this often (media time), so that
/// one who stands still is not taken for one who left.
const RECHECK: Duration = Duration::from_secs(1);
/// While nothing is there and nothing moves, this often.
const RECHECK_EMPTY: Duration = Duration::from_secs(3);
/// Frames come in, none can be decoded: after so long it is a fault.
const UNDECODABLE: Duration = Duration::from_secs(10);
/// Without frames for longer (wall time), what was followed is forgotten: something else may
/// stand in its place.
const INTERRUPTED: Duration = Duration::from_secs(10);

/// What all cameras share.
#[derive(Debug)]
pub struct Shared {
    /// One network for all cameras.
    pub detector: Mutex<Detector>,
    /// The way to the gateway.
    pub out: Out,
    /// For captions.
    pub time_zone: TimeZone,
}

/// A camera's whole state.
#[derive(Debug)]
pub struct Watch {
    camera: u16,
    id: String,
    /// Least media time between two inspected frames, µs.
    interval: i64,
    masks: Vec<Polygon>,
    zones: Vec<(String, Dwell)>,
    labels: Vec<String>,
    shared: Arc<Shared>,

    format: Option<Format>,
    decoder: Option<Decoder>,
    gaze: Gaze,
    /// Compressed frames since the last key frame of a quiet scene.
    kept: Vec<Unit>,
    scaler: Scaler,
    scene: Scene,
    tracker: Tracker,
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
        let (labels, threshold) = {
            let detector = shared
                .detector
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (
                detector.manifest.labels.clone(),
                detector.manifest.threshold,
            )
        };
        let zones: Vec<_> = setup
            .zones
            .iter()
            .map(|zone| {
                let class = |label: &String| labels.iter().position(|l| l == label);
                let dwell = Dwell::new(Zone {
                    polygon: Polygon::new(zone.polygon.clone()),
                    classes: zone.labels.iter().filter_map(class).collect(),
                    dwell: Duration::from_micros(zone.dwell_us),
                    grace: Duration::from_micros(zone.grace_us),
                });
                (zone.id.clone(), dwell)
            })
            .collect();
        let scene = Scene::new(zones.iter().map(|(_, dwell)| &dwell.zone().polygon));
        Watch {
            camera,
            id: setup.id.clone(),
            interval: (1e6 / f64::from(setup.fps.clamp(0.1, 60.0))) as i64,
            masks: setup.masks.iter().cloned().map(Polygon::new).collect(),
            zones,
            labels,
            shared,
            format: None,
            decoder: None,
            gaze: Gaze::default(),
            kept: Vec::new(),
            scaler: Scaler::default(),
            scene,
            tracker: Tracker::new(threshold),
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
            self.tell(CameraState::Playing);
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
        if self.zones.is_empty() {
            // Nobody asks what happens here, only whether pictures come.
            self.inspected = Some((pts, self.clock.watched()));
            self.gaze.looked(pts, false);
            return;
        }
        if let Err(e) = self.inspect(frame, pts, counters) {
            tracing::warn!(camera = self.id, "{e}");
            counters.dropped.add_one();
        }
    }

    fn inspect(
        &mut self,
        frame: &VideoFrame,
        pts: i64,
        counters: &Counters,
    ) -> Result<(), Box<dyn std::error::Error>> {
        // The decoder may hold frames back: this one's media time lies before the newest's.
        let behind = Duration::from_micros(self.newest_pts.saturating_sub(pts).max(0) as u64);
        let at = self.clock.watched().saturating_sub(behind);
        let previous = self.inspected.replace((pts, at)).map(|(_, at)| at);

        let shared = Arc::clone(&self.shared);
        let lock = || {
            shared
                .detector
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let (placement, packed) = {
            let detector = lock();
            let placement = Placement::new(&detector.manifest.input, frame.width(), frame.height());
            (placement, detector.packed())
        };
        let (width, height) = (placement.width, placement.height);
        let scaled = self.scaler.scale(frame, packed, width, height)?;
        let thumbnail = scaled
            .planes()
            .first()
            .map_or_else(Default::default, |plane| {
                Thumbnail::of(plane.data(), width, height, plane.line_size())
            });

        let every = if self.tracker.is_empty() {
            RECHECK_EMPTY
        } else {
            RECHECK
        };
        let moved = self.scene.moved(&thumbnail);
        self.gaze.looked(pts, moved);
        let overdue = self
            .last_look
            .is_none_or(|last| at.saturating_sub(last) >= every);
        let tracks = match previous {
            Some(previous) if !overdue && !moved => self.tracker.hold(previous, at),
            _ => {
                let detections = lock().look(&scaled, placement)?;
                counters.detected.add_one();
                self.scene.looked(thumbnail);
                self.last_look = Some(at);
                self.tracker.update(&detections, at)
            }
        };

        let mut events = Vec::new();
        let mut found = Vec::new();
        for (index, (_, dwell)) in self.zones.iter_mut().enumerate() {
            dwell.look(tracks, at, &mut events);
            found.extend(events.drain(..).map(|event| (index, event)));
        }
        for (zone, event) in found {
            self.report(zone, event, frame, pts)?;
        }
        Ok(())
    }

    fn report(
        &self,
        zone: usize,
        event: Event,
        frame: &VideoFrame,
        pts: i64,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let at_us = self.wall.wall(pts);
        let mut sighting = Sighting {
            camera: self.camera,
            zone: zone as u16,
            present: false,
            label: String::new(),
            score: 0.0,
            bbox: [0.0; 4],
            track: 0,
            dwell_us: 0,
            at_us,
            picture: None,
        };
        match event {
            Event::Empty { dwell } => sighting.dwell_us = dwell.as_micros() as u64,
            Event::Present {
                track,
                class,
                score,
                bbox,
                dwell,
                picture,
            } => {
                sighting.present = true;
                sighting.label = self.labels.get(class).cloned().unwrap_or_default();
                sighting.score = score;
                sighting.bbox = bbox;
                sighting.track = track;
                sighting.dwell_us = dwell.as_micros() as u64;
                if let Some((id, watched)) = self.zones.get(zone).filter(|_| picture) {
                    let caption = Caption {
                        camera: &self.id,
                        zone: id,
                        polygon: &watched.zone().polygon,
                        label: &sighting.label,
                        score,
                        bbox,
                        dwell: dwell.as_secs_f64(),
                        at_us,
                    };
                    let jpeg =
                        evidence::render(frame, &self.masks, &caption, &self.shared.time_zone)?;
                    sighting.picture = Some(jpeg);
                }
            }
        }
        self.shared.out.send(&Report::Sighting(sighting));
        Ok(())
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
