//! A second model that looks at what the live one looked at, and is only compared.
//!
//! It may never slow the live model: handing a picture over costs no copy; it has a thread of
//! its own at the kernel's lowest priority, which begins a look only while no live network is
//! looking; and a picture for which there is no such moment in [`PATIENCE`] is left out and
//! counted. What it sees leads to sightings marked as shadow, without pictures.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use ac_ffmpeg::codec::video::VideoFrame;
use wangge_models::Manifest;

use crate::counters::Counter;

use super::{
    decode::Scalers,
    detect::{Detector, Placement},
    dwell::{Dwell, Event, Zone},
    media::Allowance,
    track::Tracker,
    watch::{Shared, inspect::masked},
    wire::{CameraSetup, Report, Sighting},
    zone::Polygon,
};

/// Pictures that wait at most, each in its decoded size.
pub const MAX_WAITING: usize = 4;
/// How long a picture waits for a moment in which no live network looks.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is tried meanwhile.
const RETRY: Duration = Duration::from_millis(5);
/// The kernel's lowest priority: about a seventieth of the time of a thread that wants it too.
const NICE: i32 = 19;

/// One inspected picture.
struct Job {
    camera: usize,
    /// Media time.
    at: Duration,
    /// Wall time, µs since 1970.
    at_us: i64,
    what: What,
}

enum What {
    /// The live model looked; count when this one has too.
    Look(VideoFrame, Arc<Counter>),
    /// Nothing had changed since the picture at this media time.
    Hold(Duration),
}

/// The live side: hands pictures over.
#[derive(Debug)]
pub struct Shadow {
    jobs: SyncSender<Job>,
}

impl Shadow {
    /// The live model looked at this picture.
    pub fn look(
        &self,
        camera: u16,
        frame: &VideoFrame,
        at: Duration,
        at_us: i64,
        shadowed: &Arc<Counter>,
    ) {
        let what = What::Look(frame.clone(), Arc::clone(shadowed));
        self.send(camera, at, at_us, what);
    }

    /// Nothing had changed, so the live model did not look again.
    pub fn hold(&self, camera: u16, previous: Duration, at: Duration, at_us: i64) {
        self.send(camera, at, at_us, What::Hold(previous));
    }

    fn send(&self, camera: u16, at: Duration, at_us: i64, what: What) {
        // Full: it is behind, and the live model does not wait for it.
        let _ = self.jobs.try_send(Job {
            camera: usize::from(camera),
            at,
            at_us,
            what,
        });
    }
}

/// The shadow's side: a network and what it knows of each camera.
pub struct Work {
    jobs: Receiver<Job>,
    network: Detector,
    cameras: Vec<Known>,
}

struct Known {
    masks: Vec<Polygon>,
    scaler: Scalers,
    tracker: Tracker,
    /// With the zone's number; shadow zones are the live model's.
    zones: Vec<(u16, Dwell)>,
    /// Newest picture that was looked at or held.
    last: Option<Duration>,
}

/// Both sides of a shadow model.
pub fn pair(network: Detector, cameras: &[CameraSetup]) -> (Shadow, Work) {
    let (sender, jobs) = sync_channel(MAX_WAITING);
    let manifest = &network.manifest;
    let cameras = cameras.iter().map(|camera| known(camera, manifest));
    let cameras = cameras.collect();
    let work = Work {
        jobs,
        network,
        cameras,
    };
    (Shadow { jobs: sender }, work)
}

fn known(camera: &CameraSetup, manifest: &Manifest) -> Known {
    let every = camera.input.every();
    let allowance = every.map_or(Allowance::VIDEO, Allowance::stills);
    let class = |label: &String| manifest.labels.iter().position(|l| l == label);
    let zones = (0u16..).zip(&camera.zones);
    let zones = zones.filter(|(_, zone)| !zone.shadow && !zone.labels.is_empty());
    let zones = zones.map(|(index, zone)| {
        let dwell = Dwell::new(Zone {
            polygon: Polygon::new(zone.polygon.clone()),
            front: zone
                .front
                .clone()
                .map(|f| f.analysed_at(manifest.input.width)),
            classes: zone.labels.iter().filter_map(class).collect(),
            dwell: Duration::from_micros(zone.dwell_us),
            grace: Duration::from_micros(zone.grace_us),
            fixtures: zone.fixtures.iter().cloned().map(Polygon::new).collect(),
        })
        .with(allowance);
        (index, dwell)
    });
    Known {
        masks: camera.masks.iter().cloned().map(Polygon::new).collect(),
        scaler: Scalers::default(),
        tracker: Tracker::new(manifest.threshold).with(allowance),
        zones: zones.collect(),
        last: None,
    }
}

/// Labels that zones ask for and a shadow model does not know, one sentence each.
pub fn unknown_labels(manifest: &Manifest, cameras: &[CameraSetup]) -> Vec<String> {
    let zones = cameras
        .iter()
        .flat_map(|c| c.zones.iter().map(move |z| (c, z)));
    let unknown = zones.filter(|(_, zone)| !zone.shadow).filter_map(|(camera, zone)| {
        let label = zone.labels.iter().find(|l| !manifest.labels.contains(l))?;
        let (camera, zone) = (&camera.id, &zone.id);
        Some(format!(
            "the shadow model knows no label {label:?} of zone {zone} of camera {camera}, so it will see less there"
        ))
    });
    unknown.collect()
}

impl Work {
    /// Looks until the process ends.
    pub fn run(mut self, shared: &Shared) {
        // Of this thread alone. Without it the kernel shares the time equally.
        if let Err(e) = rustix::process::nice(NICE) {
            tracing::warn!("the shadow model has the priority of the live one: {e}");
        }
        while let Ok(job) = self.jobs.recv() {
            if let Err(e) = self.take(job, shared) {
                tracing::warn!("shadow model: {e}");
            }
        }
    }

    fn take(&mut self, job: Job, shared: &Shared) -> Result<(), Box<dyn std::error::Error>> {
        let Some(known) = self.cameras.get_mut(job.camera) else {
            return Ok(());
        };
        let tracks = match job.what {
            What::Hold(previous) => {
                // What came in between was left out, so nothing is known of it.
                if known.last != Some(previous) {
                    return Ok(());
                }
                known.tracker.hold(previous, job.at)
            }
            What::Look(frame, shadowed) => {
                if !quiet(shared) {
                    return Ok(());
                }
                let input = &self.network.manifest.input;
                let placement = Placement::new(input, frame.width(), frame.height());
                let (width, height) = (placement.width, placement.height);
                let packed = self.network.packed();
                let scaled = known.scaler.scale(&frame, packed, width, height)?;
                let planes = scaled.planes();
                let plane = planes.first().ok_or("a picture without pixels")?;
                let stride = plane.line_size();
                let pixels = masked(plane.data(), stride, width, height, &known.masks);
                let found = self.network.look(&pixels, stride, placement)?;
                shadowed.add_one();
                known.tracker.update(&found, job.at)
            }
        };
        known.last = Some(job.at);
        for (zone, dwell) in &mut known.zones {
            let mut events = Vec::new();
            dwell.look(tracks, false, job.at, &mut events);
            for event in events {
                let mut sighting = Sighting {
                    camera: job.camera as u16,
                    zone: *zone,
                    shadow: true,
                    present: false,
                    label: String::new(),
                    score: 0.0,
                    bbox: [0.0; 4],
                    track: 0,
                    dwell_us: 0,
                    at_us: job.at_us,
                    pictures: Vec::new(),
                    story: None,
                    overrun: None,
                    left_behind: false,
                };
                match event {
                    Event::Empty { dwell } => sighting.dwell_us = dwell.as_micros() as u64,
                    Event::Present {
                        track,
                        class,
                        score,
                        bbox,
                        dwell,
                        ..
                    } => {
                        let labels = &self.network.manifest.labels;
                        sighting.present = true;
                        sighting.label = labels.get(class).cloned().unwrap_or_default();
                        sighting.score = score;
                        sighting.bbox = bbox;
                        sighting.track = track;
                        sighting.dwell_us = dwell.as_micros() as u64;
                    }
                }
                shared.out.send(&Report::Sighting(sighting));
            }
        }
        Ok(())
    }
}

/// Waits for a moment in which no live network looks; false when there was none.
fn quiet(shared: &Shared) -> bool {
    let until = Instant::now() + PATIENCE;
    while !shared.detector.idle() {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(RETRY);
    }
    true
}
