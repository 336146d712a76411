//! A camera as its set-up describes it, before its first frame.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Kept, Shared, Watch, Watched, inspect, rest::Rest, wanted::Wanted};
use crate::{
    calendar::{Calendar, Gate, State},
    vision::{
        background::Background,
        dwell::{Dwell, Zone},
        followers,
        gaze::Gaze,
        ground::Anchor,
        hardware::Attempt,
        media::{Allowance, MediaClock, WallMap},
        recent::Recent,
        ring::Ring,
        scene::Scene,
        story::Stories,
        track::Tracker,
        view::View,
        wire::{CameraSetup, Input},
        zone::Polygon,
    },
};

impl Watch {
    /// A camera that has not sent anything yet.
    pub fn new(camera: u16, setup: &CameraSetup, shared: Arc<Shared>) -> Self {
        let manifest = shared.detector.manifest();
        let (labels, threshold) = (manifest.labels.clone(), manifest.threshold);
        let width = manifest.input.width;
        let allowance = setup
            .input
            .every()
            .map_or(Allowance::VIDEO, Allowance::stills);
        let zones: Vec<_> = setup
            .zones
            .iter()
            .map(|zone| {
                let class = |label: &String| labels.iter().position(|l| l == label);
                let polygon = Polygon::new(zone.polygon.clone());
                let dwell = Duration::from_micros(zone.dwell_us);
                let front = zone.front.clone().map(|front| front.analysed_at(width));
                let calendar = Calendar {
                    place: format!("{}/{}", setup.id, zone.id).into(),
                    hours: zone.hours.clone(),
                    days: shared.days.clone(),
                    permits: Vec::new(),
                    time_zone: shared.time_zone.clone(),
                };
                Watched {
                    gate: Gate::new(Arc::new(calendar)),
                    state: State::Forbidden,
                    take_down: zone.take_down,
                    id: zone.id.clone(),
                    crop: zone.crop,
                    shadow: zone.shadow,
                    stories: zone.objects.then(|| Stories::new(polygon.clone(), dwell)),
                    dwell: Dwell::new(Zone {
                        polygon,
                        front,
                        classes: zone.labels.iter().filter_map(class).collect(),
                        dwell,
                        grace: Duration::from_micros(zone.grace_us),
                        fixtures: zone.fixtures.iter().cloned().map(Polygon::new).collect(),
                    })
                    .with(allowance),
                    saved: HashMap::new(),
                    told: false,
                    measure: None,
                    unmeasured: None,
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
            pixels: followers::USUAL_PIXELS,
            gaze: Gaze::default(),
            kept: Kept::default(),
            backlog: Kept::default(),
            rest: Rest::default(),
            warned: false,
            hardware: Attempt::default(),
            ring: Ring::default(),
            is_calm: false,
            scene,
            background,
            view: View::default(),
            anchor: setup
                .zones
                .iter()
                .any(|zone| zone.front.is_some())
                .then(Anchor::default),
            impaired: None,
            shifted: false,
            weakness: None,
            tracker: Tracker::new(threshold).with(allowance),
            recent: Recent::default(),
            clock: MediaClock::with(allowance),
            newest_pts: 0,
            wall: WallMap::default(),
            recorded: matches!(setup.input, Input::Recording { .. }),
            played: None,
            inspected: None,
            last_look: None,
            recheck: Duration::ZERO,
            last_arrival: None,
            undecoded_since: None,
            unseen: None,
            state: None,
            paused_until: (setup.pause_us > 0)
                .then(|| Instant::now() + Duration::from_micros(setup.pause_us)),
            pause_told: false,
            deadly: setup.deadly.clone(),
            wanted: Wanted::default(),
            overview_wanted: false,
            pictured: Arc::default(),
        }
    }
}
