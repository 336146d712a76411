//! How long something has been in a zone, and how long nothing has.
//!
//! Both are measured in media time and only from sighting to sighting: what was not watched
//! does not count, so no alert ever comes from missing frames.

use std::time::Duration;

use super::{
    ground::{Front, Seen},
    media::Allowance,
    track::Track,
    zone::{Bbox, Polygon, foot},
};
use crate::calendar::State;

/// Two sightings farther apart than this (media time) do not make what lies between them
/// presence, nor two empty looks emptiness.
pub const MAX_UNSEEN: Duration = Duration::from_secs(3);
/// Least media time between two reports of one track.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A track that was out of the zone for longer begins again from zero.
pub const FORGET: Duration = Duration::from_secs(10);

/// What a zone looks for.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Where.
    pub polygon: Polygon,
    /// A line on the ground that things must stand out over, if that is what counts.
    pub front: Option<Front>,
    /// Classes that count.
    pub classes: Vec<usize>,
    /// When a picture is due.
    pub dwell: Duration,
    /// When an empty zone is reported.
    pub grace: Duration,
    /// Whatever stands in one belongs there.
    pub fixtures: Vec<Polygon>,
}

impl Zone {
    /// By its foot and its middle: somebody who passes in front has neither or one there.
    fn belongs(&self, bbox: Bbox) -> bool {
        let [left, top, right, bottom] = bbox;
        let middle = [(left + right) / 2.0, (top + bottom) / 2.0];
        let holds = |f: &Polygon| f.contains(foot(bbox)) && f.contains(middle);
        self.fixtures.iter().any(holds)
    }
}

/// Whether a thing counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    In,
    /// Perhaps: it begins nothing, and keeps the zone from being empty.
    Between,
    Out,
}

impl Zone {
    /// Whether a thing of one of its classes may count, or may soon.
    pub fn touches(&self, class: usize, bbox: Bbox) -> bool {
        self.classes.contains(&class) && self.place(bbox) != Place::Out
    }

    fn place(&self, bbox: Bbox) -> Place {
        let Some(front) = &self.front else {
            return match self.polygon.contains(foot(bbox)) {
                true => Place::In,
                false => Place::Out,
            };
        };
        match front.of_box(bbox).map(|footprint| front.look(&footprint)) {
            Some(Seen::Over(_)) => Place::In,
            Some(Seen::Unsure) => Place::Between,
            Some(Seen::Clear | Seen::Blind { .. }) | None => Place::Out,
        }
    }
}

/// Something to report.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A track in the zone.
    Present {
        track: u64,
        class: usize,
        /// Best so far.
        score: f32,
        bbox: [f32; 4],
        dwell: Duration,
        /// The zone's dwell is reached for the first time: a picture is due.
        picture: bool,
    },
    /// Nothing has been in the zone for its grace.
    Empty { dwell: Duration },
}

#[derive(Clone, Debug)]
struct Stay {
    track: u64,
    dwell: Duration,
    last_inside: Duration,
    reported: Option<Duration>,
    pictured: bool,
    best: f32,
}

/// One zone's memory.
#[derive(Debug)]
pub struct Dwell {
    zone: Zone,
    stays: Vec<Stay>,
    last_look: Option<Duration>,
    empty: Duration,
    empty_reported: bool,
    measures: bool,
    allowance: Allowance,
    /// What the zone's calendar says.
    state: State,
    /// Seen empty since its use ended.
    emptied: bool,
}

impl Dwell {
    /// A zone nobody has looked at yet.
    pub fn new(zone: Zone) -> Self {
        Dwell {
            zone,
            stays: Vec::new(),
            last_look: None,
            empty: Duration::ZERO,
            empty_reported: false,
            measures: true,
            allowance: Allowance::VIDEO,
            state: State::Forbidden,
            emptied: false,
        }
    }

    /// For a camera of which other steps count.
    pub fn with(mut self, allowance: Allowance) -> Self {
        self.allowance = allowance;
        self
    }

    /// Takes what the zone's calendar says of the next look. Only forbidden time counts: dwell
    /// begins anew where it begins.
    pub fn permit(&mut self, state: State) {
        if state.is_legal() != self.state.is_legal() {
            self.stays.clear();
        }
        if matches!(state, State::Open(_) | State::SetUp(_)) {
            self.emptied = false;
        }
        self.state = state;
    }

    /// Whether the zone has been seen empty since its use ended; what is there else was left.
    pub fn emptied(&self) -> bool {
        self.emptied
    }

    /// What it looks for.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether presence or emptiness is being measured, so that looks must be at most
    /// [`MAX_UNSEEN`] apart. What lies there without a class is not measured here.
    pub fn measures(&self) -> bool {
        self.measures
    }

    /// Takes all tracks after a look at media time `at`; those with `last_seen == at` were
    /// seen in it. `occupied`: something without a class lies there, so it is not empty.
    pub fn look(&mut self, tracks: &[Track], occupied: bool, at: Duration, out: &mut Vec<Event>) {
        let since_look = self.last_look.map(|last| at.saturating_sub(last));
        self.last_look = Some(at);
        self.stays
            .retain(|s| at.saturating_sub(s.last_inside) <= self.allowance.forget);

        let mut somebody = false;
        for track in tracks {
            let counts = track.last_seen == at
                && track.confirmed()
                && self.zone.classes.contains(&track.class)
                && !self.zone.belongs(track.bbox);
            if !counts {
                continue;
            }
            match self.zone.place(track.bbox) {
                Place::In => {
                    somebody = true;
                    if !self.state.is_legal() {
                        out.extend(self.stay(track, at));
                    }
                }
                Place::Between => somebody = true,
                Place::Out => {}
            }
        }

        let empty = !somebody && !occupied;
        if !empty {
            self.empty = Duration::ZERO;
            self.empty_reported = false;
        } else if let Some(passed) = since_look.filter(|d| *d <= self.allowance.unseen) {
            self.empty += passed;
        }
        let is_empty = empty && self.empty >= self.zone.grace;
        if is_empty && !self.empty_reported {
            self.empty_reported = true;
            out.push(Event::Empty { dwell: self.empty });
        }
        if is_empty && matches!(self.state, State::TakeDown(_) | State::Forbidden) {
            self.emptied = true;
        }
        self.measures = somebody || (empty && !self.empty_reported);
    }

    fn stay(&mut self, track: &Track, at: Duration) -> Option<Event> {
        let index = match self.stays.iter().position(|s| s.track == track.id) {
            Some(index) => index,
            None => {
                self.stays.push(Stay {
                    track: track.id,
                    dwell: Duration::ZERO,
                    last_inside: at,
                    reported: None,
                    pictured: false,
                    best: 0.0,
                });
                self.stays.len() - 1
            }
        };
        let stay = self.stays.get_mut(index)?;
        let passed = at.saturating_sub(stay.last_inside);
        if passed <= self.allowance.unseen {
            stay.dwell += passed;
        }
        stay.last_inside = at;
        stay.best = stay.best.max(track.score);

        let picture = !stay.pictured && stay.dwell >= self.zone.dwell;
        let due = stay
            .reported
            .is_none_or(|last| stay.dwell >= last + REPORT_EVERY);
        if !picture && !due {
            return None;
        }
        stay.pictured |= picture;
        stay.reported = Some(stay.dwell);
        Some(Event::Present {
            track: track.id,
            class: track.class,
            score: stay.best,
            bbox: track.bbox,
            dwell: stay.dwell,
            picture,
        })
    }
}

#[cfg(test)]
mod tests;
