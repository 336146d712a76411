//! How something came to lie in a zone: what, since when, who brought it, and whether it has
//! been taken away.
//!
//! A thing of which only the place is known (no class) is told of when it has lain long enough,
//! whoever brought it has gone, and nothing better explains it: a parked vehicle, someone
//! standing there. Who brought it is the person or vehicle that touched the place last before
//! it lay there; that nobody was seen is an answer too. All times are media time.

use std::{collections::VecDeque, time::Duration};

mod line;

use super::{
    background::{Blob, Change},
    gaze::Need,
    ground::Front,
    zone::{Bbox, Polygon, covered, iou},
};

/// Who may have brought something: those at its place so long before it lay there...
const BEFORE: Duration = Duration::from_secs(20);
/// ...and until so long after, since boxes are late and lag behind.
const AFTER: Duration = Duration::from_secs(3);
/// Sides of a box that touches: so much is added to it on each side, as share of its own.
const REACH: f32 = 0.25;
/// Not seen at the place for so long: gone.
const GONE: Duration = Duration::from_secs(3);
/// Not seen before a thing for so long: was away.
const AWAY: Duration = Duration::from_millis(1500);
/// Share of a thing under a known box that explains it away.
const EXPLAINED: f32 = 0.3;
/// How long a box goes on explaining what is under it: detectors miss a parked car now and then.
const EXPLAINS_FOR: Duration = Duration::from_secs(15);
/// Two boxes are of one that stands still if they overlap so much.
const SAME_PLACE: f32 = 0.7;
/// A box that overlaps a thing so much, most of the time, is the thing: detectors call a bag a
/// truck, and it did not bring itself.
const ITSELF: f32 = 0.5;
/// Boxes remembered; at five looks a second and four people that is the time that matters.
const MAX_BOXES: usize = 1024;
/// Stories of one zone at once; the blobs of a scene are not more.
pub const MAX_STORIES: usize = 32;
/// Least media time between two reports of one story.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A pile that has grown by so much is worth a new picture.
const GROWN: f32 = 1.5;

/// A person or vehicle in one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visitor {
    pub track: u64,
    pub class: usize,
    pub bbox: Bbox,
}

/// Who brought a thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Actor {
    pub track: u64,
    pub class: usize,
    pub bbox: Bbox,
    /// When they were last at the place.
    pub last_there: Duration,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something new lies there: pictures of before and of its coming should be saved now, as
    /// they will soon be forgotten. Nothing is to be told yet.
    Noticed { story: u64, since: Duration },
    /// Who brought it has gone: a picture of that time, too.
    Left { story: u64, at: Duration },
    /// It lies there; `picture`: for long enough now, or it has grown.
    Present {
        story: u64,
        bbox: Bbox,
        dwell: Duration,
        since: Duration,
        actor: Option<Actor>,
        picture: bool,
    },
    /// It is no longer there, or was none.
    Over { story: u64, told: bool },
}

#[derive(Debug)]
struct Story {
    id: u64,
    since: Duration,
    bbox: Bbox,
    area: f32,
    actor: Option<Actor>,
    left: bool,
    told: bool,
    reported: Option<Duration>,
}

/// One zone's stories.
#[derive(Debug)]
pub struct Stories {
    polygon: Polygon,
    /// A line on the ground that things must stand out over, and the cells of the scene model.
    front: Option<(Front, [usize; 2])>,
    dwell: Duration,
    stories: Vec<Story>,
    boxes: VecDeque<(Duration, Visitor)>,
    /// Since when things may not be there; `None` while they may.
    forbidden: Option<Duration>,
}

impl Stories {
    /// A zone in which something may lie for `dwell` at most.
    pub fn new(polygon: Polygon, dwell: Duration) -> Self {
        Stories {
            polygon,
            front: None,
            dwell,
            stories: Vec::new(),
            boxes: VecDeque::new(),
            forbidden: Some(Duration::ZERO),
        }
    }

    /// Takes whether things may be there at `at`. While they may, all is followed and nothing
    /// told; what is still there afterwards has lain there since then.
    pub fn permit(&mut self, legal: bool, at: Duration) {
        match (legal, self.forbidden) {
            (true, Some(_)) => {
                self.forbidden = None;
                for story in &mut self.stories {
                    story.told = false;
                    story.reported = None;
                }
            }
            (false, None) => self.forbidden = Some(at),
            _ => {}
        }
    }

    /// Something lies there that has been told of, or will be if it stays.
    pub fn occupied(&self) -> bool {
        !self.stories.is_empty()
    }

    /// How closely to watch: every frame while whoever brought something is still about, and
    /// often until it has been told of.
    pub fn need(&self) -> Need {
        if self.forbidden.is_none() {
            return Need::Idle;
        }
        let needs = self.stories.iter().map(|story| {
            if !story.left {
                Need::Attention
            } else if !story.told {
                Need::Followed
            } else {
                Need::Idle
            }
        });
        needs.max().unwrap_or_default()
    }

    /// Takes the scene's blobs and who is to be seen at media time `at`.
    pub fn look(
        &mut self,
        blobs: &[Blob],
        visitors: &[Visitor],
        at: Duration,
        out: &mut Vec<Event>,
    ) {
        self.remember(visitors, at);
        let mut gone = Vec::new();
        let front = self.front.as_ref();
        self.stories.retain(|story| {
            let there = line::stays(front, blobs, story.id);
            if !there {
                gone.push((story.id, story.told));
            }
            there
        });
        out.extend(
            gone.into_iter()
                .map(|(story, told)| Event::Over { story, told }),
        );
        // Nobody's coming and going is kept while it is permitted.
        let mut told = Vec::new();
        for blob in blobs.iter().filter(|b| b.change == Change::Appeared) {
            let known = self.stories.iter().position(|s| s.id == blob.id);
            let explained = self.explained(blob, at);
            let index = match known {
                Some(index) => index,
                None if explained || !self.inside(blob) => continue,
                None if self.stories.len() >= MAX_STORIES => continue,
                None => {
                    self.stories.push(Story {
                        id: blob.id,
                        since: blob.since,
                        bbox: blob.bbox,
                        area: blob.area,
                        actor: self.actor(blob),
                        left: self.front.is_some(),
                        told: false,
                        reported: None,
                    });
                    told.push(Event::Noticed {
                        story: blob.id,
                        since: blob.since,
                    });
                    self.stories.len() - 1
                }
            };
            let there = self.there(blob.bbox, at);
            let (dwell, surely) = (self.dwell, self.surely(blob));
            let Some(story) = self.stories.get_mut(index) else {
                continue;
            };
            story.bbox = blob.bbox;
            story.advance(there, at, &mut told);
            let Some(since) = self.forbidden else {
                continue;
            };
            // Whom it waits for, or what covers it, is not counted against it.
            if surely && (blob.settled && !explained || story.told) {
                story.report(blob.area, (since, dwell), at, &mut told);
            }
        }
        if self.forbidden.is_some() {
            out.extend(told);
        }
    }

    fn remember(&mut self, visitors: &[Visitor], at: Duration) {
        let oldest = at.saturating_sub(BEFORE + EXPLAINS_FOR + AFTER);
        while self.boxes.front().is_some_and(|(seen, _)| *seen < oldest) {
            self.boxes.pop_front();
        }
        self.boxes.extend(visitors.iter().map(|v| (at, *v)));
        let many = self.boxes.len().saturating_sub(MAX_BOXES);
        self.boxes.drain(..many);
    }

    /// The middle of its lower half: a heap in the zone may reach above it. With a line, what
    /// surely stands out.
    fn inside(&self, blob: &Blob) -> bool {
        if self.front.is_some() {
            return self.surely(blob);
        }
        let [left, top, right, bottom] = blob.bbox;
        self.polygon
            .contains([(left + right) / 2.0, (top + 3.0 * bottom) / 4.0])
    }

    /// Who touched the place last before the thing lay there.
    fn actor(&self, blob: &Blob) -> Option<Actor> {
        let window = blob.since.saturating_sub(BEFORE)..=blob.since + AFTER;
        let mut best: Option<Actor> = None;
        for (seen, visitor) in &self.boxes {
            if !window.contains(seen)
                || !touches(visitor.bbox, blob.bbox)
                || self.is_itself(visitor.track, blob)
            {
                continue;
            }
            let nearer =
                |other: &Actor| seen.abs_diff(blob.since) <= other.last_there.abs_diff(blob.since);
            if best.as_ref().is_none_or(nearer) {
                best = Some(Actor {
                    track: visitor.track,
                    class: visitor.class,
                    bbox: visitor.bbox,
                    last_there: *seen,
                });
            }
        }
        best
    }

    /// Whether what is followed as a visitor is but the thing under another name.
    fn is_itself(&self, track: u64, blob: &Blob) -> bool {
        let of_it = self.boxes.iter().filter(|(_, v)| v.track == track);
        let (mut all, mut same) = (0, 0);
        for (_, visitor) in of_it {
            all += 1;
            same += usize::from(iou(visitor.bbox, blob.bbox) >= ITSELF);
        }
        2 * same > all
    }

    /// Those who were at the place lately.
    fn there(&self, bbox: Bbox, at: Duration) -> Vec<(Duration, u64)> {
        self.boxes
            .iter()
            .filter(|(seen, v)| at.saturating_sub(*seen) < GONE && touches(v.bbox, bbox))
            .map(|(seen, v)| (*seen, v.track))
            .collect()
    }

    fn explained(&self, blob: &Blob, at: Duration) -> bool {
        self.boxes.iter().any(|(seen, visitor)| {
            at.saturating_sub(*seen) <= EXPLAINS_FOR
                && covered(blob.bbox, visitor.bbox) >= EXPLAINED
                // Somebody who only passes explains nothing that stays after them, or was there
                // before them.
                && (self.stood(visitor, blob, at)
                    || at.saturating_sub(*seen) <= GONE && !self.passes(visitor.track, blob, at))
        })
    }

    /// Whether somebody came to the place after the thing, and too lately to have stopped there.
    /// Who was there before and is again has come anew: in a crowd one is taken for another.
    fn passes(&self, track: u64, blob: &Blob, at: Duration) -> bool {
        let of_it = self.boxes.iter().filter(|(_, v)| v.track == track);
        let there = of_it.filter(|(_, v)| covered(blob.bbox, v.bbox) >= EXPLAINED);
        let came = there.fold(None, |came: Option<(Duration, Duration)>, (seen, _)| {
            let first = came.filter(|(_, last)| seen.saturating_sub(*last) <= AWAY);
            Some((first.map_or(*seen, |(first, _)| first), *seen))
        });
        came.is_some_and(|(first, _)| {
            first > blob.since + AFTER && at.saturating_sub(first) <= GONE
        })
    }

    /// Whether the visitor has been in that very place for longer than one needs to pass it, in
    /// most looks: of a crowd, now this one and then that one is there.
    fn stood(&self, visitor: &Visitor, blob: &Blob, at: Duration) -> bool {
        let since = at.saturating_sub(2 * EXPLAINS_FOR).max(blob.since);
        let recent = self.boxes.iter().filter(|(seen, _)| *seen >= since);
        // Each look at which anybody was about, and whether somebody was in that place.
        let mut looks: Vec<(Duration, bool)> = Vec::new();
        for (seen, other) in recent {
            let same = iou(other.bbox, visitor.bbox) >= SAME_PLACE;
            match looks.last_mut() {
                Some((at, there)) if at == seen => *there |= same,
                _ => looks.push((*seen, same)),
            }
        }
        let first = looks.iter().position(|(_, there)| *there);
        let last = looks.iter().rposition(|(_, there)| *there);
        let Some(looks) = first.zip(last).and_then(|(a, b)| looks.get(a..=b)) else {
            return false;
        };
        let lasted = match looks {
            [(first, _), .., (last, _)] => last.saturating_sub(*first),
            _ => Duration::ZERO,
        };
        let there = looks.iter().filter(|(_, there)| *there).count();
        lasted > GONE && there * 2 >= looks.len()
    }
}

impl Story {
    fn advance(&mut self, there: Vec<(Duration, u64)>, at: Duration, out: &mut Vec<Event>) {
        if self.left {
            return;
        }
        if let Some(actor) = &mut self.actor {
            for (seen, track) in there {
                if track == actor.track {
                    actor.last_there = actor.last_there.max(seen);
                }
            }
            if at.saturating_sub(actor.last_there) < GONE {
                return;
            }
            out.push(Event::Left {
                story: self.id,
                at: actor.last_there,
            });
        }
        self.left = true;
    }

    fn report(
        &mut self,
        area: f32,
        (forbidden, dwell): (Duration, Duration),
        at: Duration,
        out: &mut Vec<Event>,
    ) {
        let lain = at.saturating_sub(self.since.max(forbidden));
        let long_enough = lain >= dwell && self.left;
        let grown = self.told && area >= self.area * GROWN;
        let due = self
            .reported
            .is_none_or(|last| at.saturating_sub(last) >= REPORT_EVERY);
        let picture = (long_enough && !self.told) || grown;
        if !picture && !due {
            return;
        }
        if picture {
            self.told = true;
            self.area = area;
        }
        self.reported = Some(at);
        out.push(Event::Present {
            story: self.id,
            bbox: self.bbox,
            // Until whoever brought it has gone it is theirs, and no dwell is claimed.
            dwell: if self.told {
                lain
            } else {
                lain.min(dwell.saturating_sub(Duration::from_millis(1)))
            },
            since: self.since,
            actor: self.actor,
            picture,
        });
    }
}

/// Whether a visitor's box, with an arm's length around it, meets the thing.
fn touches(visitor: Bbox, thing: Bbox) -> bool {
    let (dx, dy) = (
        (visitor[2] - visitor[0]) * REACH,
        (visitor[3] - visitor[1]) * REACH,
    );
    visitor[0] - dx < thing[2]
        && visitor[2] + dx > thing[0]
        && visitor[1] - dy < thing[3]
        && visitor[3] + dy > thing[1]
}

#[cfg(test)]
mod tests;
