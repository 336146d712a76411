//! One decoded frame: what moves, what is new, who is there, and what there is to tell of it.

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use ac_ffmpeg::codec::video::VideoFrame;
use jiff::Timestamp;

use super::{Counters, Watch, hide::hidden};
use crate::vision::{
    decode::{Scalers, Unit},
    detect::{DetectError, Placement},
    gaze::Need,
    luma::Luma,
    nms::Detection,
    scene::Thumbnail,
    story::Visitor,
    view::Impairment,
    wire::Report,
    zone::{Bbox, Polygon},
};

/// While something that a zone asks for is followed and nothing moves, the detector looks again
/// after the first time (media time), and each further time after twice as long, up to the
/// last: one who stands still is not taken for one who left, nor a picture that does not change
/// looked at for ever.
const RECHECK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// The same while nothing is there.
const RECHECK_EMPTY: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(60));
/// Labels that come and go by themselves: they bring things, and explain what is under them.
const VISITORS: &[&str] = &[
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "bus",
    "train",
    "truck",
    "bird",
    "cat",
    "dog",
];
/// Of these, those that bags are most often taken for...
const ANIMALS: &[&str] = &["bird", "cat", "dog"];
/// ...so that one which has not moved for so long is a thing.
const ANIMAL_RESTS: Duration = Duration::from_secs(5);
pub(super) type Fault = Box<dyn std::error::Error>;

/// A moment of one camera.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) pts: i64,
    pub(super) at: Duration,
}

impl Watch {
    pub(super) fn inspect(
        &mut self,
        frame: &VideoFrame,
        pts: i64,
        scalers: &mut Scalers,
        counters: &Counters,
    ) -> Result<(), Fault> {
        // The decoder may hold frames back: this one's media time lies before the newest's.
        let behind = Duration::from_micros(self.newest_pts.saturating_sub(pts).max(0) as u64);
        let at = self.clock.watched().saturating_sub(behind);
        let now = Moment { pts, at };
        let previous = self.inspected.replace((pts, at)).map(|(_, at)| at);
        self.rest.looked();

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
        let scaled = scalers.scale(frame, packed, width, height)?;
        let planes = scaled.planes();
        let plane = planes.first().ok_or("a picture without pixels")?;
        let stride = plane.line_size();
        // What a mask covers is seen by nothing from here on.
        let pixels = masked(plane.data(), stride, width, height, &self.masks);

        let luma = Luma::of(&pixels, width, height, stride);
        let impaired = self.view.look(&luma, at);
        self.health(impaired);
        if self.zones.is_empty() || self.impaired.is_some_and(blind) {
            self.gaze.looked(pts, false, Need::Idle);
            return Ok(());
        }
        self.permit(now);
        let steady = self.steady(&luma, at);
        let thumbnail = Thumbnail::of(&pixels, width, height, stride);
        let (first, longest) = if self.follows() {
            RECHECK
        } else {
            RECHECK_EMPTY
        };
        let moved = self.scene.moved(&thumbnail);
        let every = if moved { first } else { self.recheck };
        let every = every.clamp(first, longest);
        let overdue = self
            .last_look
            .is_none_or(|last| at.saturating_sub(last) >= every);
        match previous {
            Some(previous) if !overdue && !moved => {
                if let Some(shadow) = &self.shared.shadow {
                    shadow.hold(self.camera, previous, at, self.wall.wall(pts));
                }
                self.recent.hold(pts);
                self.tracker.hold(previous, at);
            }
            _ => {
                let found = self.detect(&pixels, stride, placement)?;
                counters.detected.add_one();
                if let Some(shadow) = &self.shared.shadow {
                    let wall = self.wall.wall(pts);
                    shadow.look(self.camera, frame, at, wall, &counters.shadowed);
                }
                self.scene.looked(thumbnail);
                self.last_look = Some(at);
                self.recheck = if moved { first } else { every * 2 };
                self.tracker.update(&found, at);
                self.recent
                    .note(pts, hidden(&found, &self.labels).collect());
            }
        }
        let tracks = self.tracker.tracks();

        let present = tracks.iter().filter(|t| t.last_seen == at);
        let visitors: Vec<Visitor> = present
            .filter(|t| self.visitors.contains(&t.class) && t.comes_and_goes())
            .filter(|t| !self.is_animal(t.class) || t.travels(ANIMAL_RESTS))
            .map(|t| Visitor {
                track: t.id,
                class: t.class,
                bbox: t.bbox,
            })
            .collect();
        let mut events = Vec::new();
        let mut stories = Vec::new();
        // Nobody counts who was seen but once; whether it is somebody, the next frames tell soonest.
        let newcomer = self.tracker.has_newcomer(&self.visitors, at);
        let mut need = self.need(moved, newcomer || !visitors.is_empty());
        let mut blobs = Vec::new();
        let cells = [luma.width, luma.height];
        if let Some(background) = &mut self.background {
            let occupied: Vec<Bbox> = visitors.iter().map(|v| v.bbox).collect();
            blobs = background.look(&luma, at, &occupied);
            if background.unsettled() {
                need = need.max(Need::Followed);
            }
            for (index, zone) in self.zones.iter_mut().enumerate() {
                let metric = zone.dwell.zone().front.is_some();
                let Some(known) = zone.stories.as_mut().filter(|_| steady || !metric) else {
                    continue;
                };
                let mut told = Vec::new();
                if let Some(front) = &zone.dwell.zone().front {
                    known.measured(front, cells);
                }
                known.look(&blobs, &visitors, at, &mut told);
                need = need.max(known.need());
                stories.extend(told.into_iter().map(|event| (index, event)));
            }
        }
        let mut weakness = None;
        for (index, zone) in self.zones.iter_mut().enumerate() {
            if !steady && zone.dwell.zone().front.is_some() {
                zone.measure = None;
                continue;
            }
            weakness = zone.measure(tracks, &blobs, cells, at).or(weakness);
            let occupied = zone.stories.as_ref().is_some_and(|s| s.occupied());
            let mut seen = Vec::new();
            zone.dwell.look(tracks, occupied, at, &mut seen);
            if zone.dwell.measures() {
                need = need.max(Need::Followed);
            }
            events.extend(seen.into_iter().map(|event| (index, event)));
        }
        self.gaze.looked(pts, moved, need);
        let calm = !moved && visitors.is_empty() && stories.is_empty();
        self.is_calm = calm && need != Need::Attention;
        self.admit(weakness);
        for (zone, event) in stories {
            self.tell_story(zone, event, frame, now)?;
        }
        for (zone, event) in events {
            self.report(zone, event, frame, now)?;
        }
        Ok(())
    }

    fn detect(
        &self,
        pixels: &[u8],
        stride: usize,
        placement: Placement,
    ) -> Result<Vec<Detection>, DetectError> {
        let mut detector = self
            .shared
            .detector
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // What others used it for is no cost of this look.
        let begun = Instant::now();
        let found = detector.look(pixels, stride, placement)?;
        let now = Instant::now();
        let pace = self.shared.pace.lock();
        pace.unwrap_or_else(PoisonError::into_inner)
            .used(self.camera, now, now - begun);
        Ok(found)
    }

    /// Something that a zone asks for is in it. Who stands outside is no reason to look closely:
    /// coming nearer is movement.
    fn follows(&self) -> bool {
        let mut zones = self.zones.iter().filter(|zone| !zone.state.is_legal());
        zones.any(|zone| {
            let zone = zone.dwell.zone();
            let mut tracks = self.tracker.tracks().iter();
            tracks.any(|t| zone.touches(t.class, t.bbox))
        })
    }

    fn is_animal(&self, class: usize) -> bool {
        let label = self.labels.get(class);
        label.is_some_and(|label| ANIMALS.contains(&label.as_str()))
    }

    /// How closely to watch, by what moves and who is there.
    fn need(&self, moved: bool, somebody: bool) -> Need {
        // Between two looks at a quiet scene the light may have changed, or something have come
        // to lie there. Nobody being there, further looks tell as much as every frame.
        if moved && (somebody || !self.gaze.quiet()) {
            Need::Attention
        } else if moved || self.follows() {
            Need::Followed
        } else {
            Need::Idle
        }
    }

    /// Asks every zone's calendar about this moment. That use is permitted from now on is told
    /// at once, as an emptiness of no time: the gateway looks at its own calendar then.
    fn permit(&mut self, now: Moment) {
        let wall = Timestamp::from_microsecond(self.wall.wall(now.pts)).unwrap_or_default();
        let mut opened = Vec::new();
        for (index, zone) in self.zones.iter_mut().enumerate() {
            let (state, _) = zone.gate.look(wall);
            zone.dwell.permit(state);
            if let Some(stories) = &mut zone.stories {
                stories.permit(state.is_legal(), now.at);
            }
            if state.is_legal() && !zone.state.is_legal() {
                zone.told = false;
                opened.push(index);
            }
            zone.state = state;
        }
        for zone in opened {
            let sighting = self.sighting(zone, now);
            self.shared.out.send(&Report::Sighting(sighting));
        }
    }

    /// A key frame that was decoded and on which nothing went on shows the place as it is.
    pub(super) fn remember_calm(&mut self, unit: &Unit) {
        if self.is_calm && self.background.is_some() {
            self.ring.calm(unit);
        }
    }

    fn health(&mut self, impaired: Option<Impairment>) {
        if self.impaired != impaired {
            self.impaired = impaired;
            self.tell_health();
        }
    }
}

/// Faults of a view with which zones mean nothing, or nothing can be seen.
fn blind(impairment: Impairment) -> bool {
    !matches!(
        impairment,
        Impairment::OutOfFocus | Impairment::InfraredFailed | Impairment::Shapeless
    )
}

/// Indices of the labels that come and go by themselves.
pub(super) fn visitors(labels: &[String]) -> Vec<usize> {
    let comes = |label: &String| VISITORS.contains(&label.as_str());
    let found = labels.iter().enumerate().filter(|(_, label)| comes(label));
    found.map(|(class, _)| class).collect()
}

/// Packed pixels with the masked ones grey.
pub(in crate::vision) fn masked<'p>(
    pixels: &'p [u8],
    stride: usize,
    width: usize,
    height: usize,
    masks: &[Polygon],
) -> Cow<'p, [u8]> {
    if masks.is_empty() {
        return Cow::Borrowed(pixels);
    }
    let mut pixels = pixels.to_vec();
    for (y, line) in pixels.chunks_mut(stride.max(1)).take(height).enumerate() {
        let row = (y as f32 + 0.5) / height as f32;
        for (x, pixel) in line.chunks_exact_mut(3).take(width).enumerate() {
            let point = [(x as f32 + 0.5) / width as f32, row];
            if masks.iter().any(|mask| mask.contains(point)) {
                pixel.fill(128);
            }
        }
    }
    Cow::Owned(pixels)
}
