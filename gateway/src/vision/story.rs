//! How something came to lie in a zone: what, since when, who brought it, and whether it has
//! been taken away.
//!
//! A thing of which only the place is known (no class) is told of when it has lain long enough,
//! whoever brought it has gone, and nothing better explains it: a parked vehicle, someone
//! standing there. Who brought it is the person or vehicle that touched the place last before
//! it lay there; that nobody was seen is an answer too. All times are media time.

use std::{collections::VecDeque, time::Duration};

use super::{
    background::{Blob, Change},
    gaze::Need,
    zone::{Bbox, Polygon, iou},
};

/// Who may have brought something: those at its place so long before it lay there...
const BEFORE: Duration = Duration::from_secs(20);
/// ...and until so long after, since boxes are late and lag behind.
const AFTER: Duration = Duration::from_secs(3);
/// Sides of a box that touches: so much is added to it on each side, as share of its own.
const REACH: f32 = 0.25;
/// Not seen at the place for so long: gone.
const GONE: Duration = Duration::from_secs(3);
/// Share of a thing under a known box that explains it away.
const EXPLAINED: f32 = 0.3;
/// How long a box goes on explaining what is under it: detectors miss a parked car now and then.
const EXPLAINS_FOR: Duration = Duration::from_secs(15);
/// Two boxes are of one that stands still if they overlap so much.
const SAME_PLACE: f32 = 0.7;
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
    /// Seen surely and more than once; others explain things but bring none.
    pub sure: bool,
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
    dwell: Duration,
    stories: Vec<Story>,
    boxes: VecDeque<(Duration, Visitor)>,
}

impl Stories {
    /// A zone in which something may lie for `dwell` at most.
    pub fn new(polygon: Polygon, dwell: Duration) -> Self {
        Stories {
            polygon,
            dwell,
            stories: Vec::new(),
            boxes: VecDeque::new(),
        }
    }

    /// Something lies there that has been told of, or will be if it stays.
    pub fn occupied(&self) -> bool {
        !self.stories.is_empty()
    }

    /// How closely to watch: every frame while whoever brought something is still about, and
    /// often until it has been told of.
    pub fn need(&self) -> Need {
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
        self.stories.retain(|story| {
            let there = blobs
                .iter()
                .any(|b| b.id == story.id && b.change == Change::Appeared);
            if !there {
                gone.push((story.id, story.told));
            }
            there
        });
        out.extend(
            gone.into_iter()
                .map(|(story, told)| Event::Over { story, told }),
        );
        for blob in blobs.iter().filter(|b| b.change == Change::Appeared) {
            let known = self.stories.iter().position(|s| s.id == blob.id);
            let explained = self.explained(blob, at);
            let index = match known {
                Some(index) => index,
                None if explained || !self.inside(blob.bbox) => continue,
                None if self.stories.len() >= MAX_STORIES => continue,
                None => {
                    self.stories.push(Story {
                        id: blob.id,
                        since: blob.since,
                        bbox: blob.bbox,
                        area: blob.area,
                        actor: self.actor(blob),
                        left: false,
                        told: false,
                        reported: None,
                    });
                    out.push(Event::Noticed {
                        story: blob.id,
                        since: blob.since,
                    });
                    self.stories.len() - 1
                }
            };
            let there = self.there(blob.bbox, at);
            let dwell = self.dwell;
            let Some(story) = self.stories.get_mut(index) else {
                continue;
            };
            story.bbox = blob.bbox;
            story.advance(there, at, out);
            // Whom it waits for, or what covers it, is not counted against it.
            if !explained || story.told {
                story.report(blob.area, dwell, at, out);
            }
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

    /// The middle of its lower half: a heap in the zone may reach above it.
    fn inside(&self, [left, top, right, bottom]: Bbox) -> bool {
        self.polygon
            .contains([(left + right) / 2.0, (top + 3.0 * bottom) / 4.0])
    }

    /// Who touched the place last before the thing lay there.
    fn actor(&self, blob: &Blob) -> Option<Actor> {
        let window = blob.since.saturating_sub(BEFORE)..=blob.since + AFTER;
        let mut best: Option<Actor> = None;
        for (seen, visitor) in &self.boxes {
            if !visitor.sure || !window.contains(seen) || !touches(visitor.bbox, blob.bbox) {
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
                // Somebody who only passes explains nothing that stays after them.
                && (at.saturating_sub(*seen) <= GONE || self.stood(visitor, blob, at))
        })
    }

    /// Whether the visitor has been in that very place for longer than one needs to pass it.
    fn stood(&self, visitor: &Visitor, blob: &Blob, at: Duration) -> bool {
        let mut times = self.boxes.iter().filter(|(seen, v)| {
            at.saturating_sub(*seen) <= 2 * EXPLAINS_FOR
                && *seen >= blob.since
                && iou(v.bbox, visitor.bbox) >= SAME_PLACE
        });
        let (first, last) = (times.next(), times.next_back());
        matches!((first, last), (Some((first, _)), Some((last, _))) if last.saturating_sub(*first) > GONE)
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

    fn report(&mut self, area: f32, dwell: Duration, at: Duration, out: &mut Vec<Event>) {
        let lain = at.saturating_sub(self.since);
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

/// Share of `thing` under `cover`.
fn covered(thing: Bbox, cover: Bbox) -> f32 {
    let width = (thing[2].min(cover[2]) - thing[0].max(cover[0])).max(0.0);
    let height = (thing[3].min(cover[3]) - thing[1].max(cover[1])).max(0.0);
    let area = (thing[2] - thing[0]) * (thing[3] - thing[1]);
    if area > 0.0 {
        width * height / area
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAG: Bbox = [0.50, 0.60, 0.55, 0.66];

    fn zone() -> Stories {
        let polygon = Polygon::new(vec![[0.2, 0.4], [0.8, 0.4], [0.8, 0.9], [0.2, 0.9]]);
        Stories::new(polygon, Duration::from_secs(30))
    }

    fn blob(id: u64, bbox: Bbox, since: f32) -> Blob {
        Blob {
            id,
            bbox,
            area: (bbox[2] - bbox[0]) * (bbox[3] - bbox[1]),
            change: Change::Appeared,
            since: Duration::from_secs_f32(since),
            stable: Duration::ZERO,
        }
    }

    fn person(track: u64, x: f32) -> Visitor {
        Visitor {
            track,
            class: 0,
            bbox: [x, 0.45, x + 0.06, 0.67],
            sure: true,
        }
    }

    /// Five looks a second; `scene` gives blobs and visitors of a moment.
    fn play(
        zone: &mut Stories,
        seconds: std::ops::Range<u32>,
        scene: impl Fn(f32) -> (Vec<Blob>, Vec<Visitor>),
    ) -> Vec<(f32, Event)> {
        let mut all = Vec::new();
        for tick in seconds.start * 5..seconds.end * 5 {
            let at = tick as f32 / 5.0;
            let (blobs, visitors) = scene(at);
            let mut out = Vec::new();
            zone.look(&blobs, &visitors, Duration::from_secs_f32(at), &mut out);
            all.extend(out.into_iter().map(|e| (at, e)));
        }
        all
    }

    fn told(events: &[(f32, Event)]) -> Vec<(f32, Option<Actor>)> {
        events
            .iter()
            .filter_map(|(at, e)| match e {
                Event::Present {
                    picture: true,
                    actor,
                    ..
                } => Some((*at, *actor)),
                _ => None,
            })
            .collect()
    }

    /// Somebody comes from the left, is at the bag's place at 10 s, and goes on.
    fn walker(at: f32) -> Vec<Visitor> {
        let x = 0.02 + at * 0.048;
        if x < 0.95 { vec![person(7, x)] } else { vec![] }
    }

    #[test]
    fn left_by_a_walker_and_told_once() {
        let events = play(&mut zone(), 0..80, |at| {
            let lies = at >= 12.5;
            (
                if lies {
                    vec![blob(1, BAG, 10.5)]
                } else {
                    vec![]
                },
                walker(at),
            )
        });
        assert!(matches!(events[0].1, Event::Noticed { story: 1, .. }));
        assert!(
            matches!(events.iter().find(|(_, e)| matches!(e, Event::Left { .. })), Some((at, _)) if *at < 18.0)
        );
        let told = told(&events);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!((told[0].0 - 40.5).abs() < 0.5);
        let actor = told[0].1.unwrap();
        assert_eq!((actor.track, actor.class), (7, 0));
    }

    #[test]
    fn it_is_watched_closely_until_it_has_been_told_of() {
        let mut zone = zone();
        assert_eq!(zone.need(), Need::Idle);
        // Somebody stands beside it, within reach, until 15 s.
        let lies = |at: f32| {
            let thing = (at >= 12.5).then(|| blob(1, BAG, 10.5));
            let someone = (at < 15.0).then(|| person(7, 0.43));
            (Vec::from_iter(thing), Vec::from_iter(someone))
        };
        play(&mut zone, 0..16, lies);
        assert_eq!(zone.need(), Need::Attention, "they are still near");
        play(&mut zone, 16..25, lies);
        assert_eq!(zone.need(), Need::Followed, "until it has lain long enough");
        play(&mut zone, 25..45, lies);
        assert_eq!(zone.need(), Need::Idle, "told");
    }

    #[test]
    fn nobody_seen_is_an_answer_and_a_passer_by_afterwards_is_not_the_actor() {
        let events = play(&mut zone(), 0..80, |at| {
            let lies = at >= 2.5;
            // The walker is at the place eight seconds after it lay there.
            (
                if lies {
                    vec![blob(1, BAG, 0.5)]
                } else {
                    vec![]
                },
                walker(at),
            )
        });
        assert_eq!(told(&events).len(), 1);
        assert_eq!(told(&events)[0].1, None);
    }

    #[test]
    fn of_two_the_one_who_was_there_when_it_came() {
        let events = play(&mut zone(), 0..80, |at| {
            let early = person(3, 0.48);
            let mut visitors = walker(at);
            if at < 2.0 {
                visitors.push(early);
            }
            (
                if at >= 12.5 {
                    vec![blob(1, BAG, 10.5)]
                } else {
                    vec![]
                },
                visitors,
            )
        });
        assert_eq!(told(&events)[0].1.unwrap().track, 7);
    }

    #[test]
    fn whose_owner_stays_is_not_left() {
        let events = play(&mut zone(), 0..300, |at| {
            // Beside the bag, reading.
            (
                if at >= 5.0 {
                    vec![blob(1, BAG, 3.0)]
                } else {
                    vec![]
                },
                vec![person(5, 0.44)],
            )
        });
        assert!(told(&events).is_empty());
        let claims = events.iter().any(
            |(_, e)| matches!(e, Event::Present { dwell, .. } if *dwell >= Duration::from_secs(30)),
        );
        assert!(!claims, "no dwell is claimed that a rule would fire on");
    }

    #[test]
    fn a_parked_vehicle_explains_what_is_under_its_box() {
        let car = Visitor {
            track: 9,
            class: 2,
            bbox: [0.4, 0.5, 0.7, 0.75],
            sure: false,
        };
        let events = play(&mut zone(), 0..200, |at| {
            // Seen only every ten seconds by the detector.
            let seen = (at as u32).is_multiple_of(10);
            (
                vec![blob(1, BAG, 1.0)],
                if seen { vec![car] } else { vec![] },
            )
        });
        assert!(told(&events).is_empty());
    }

    #[test]
    fn a_growing_pile_is_told_again_as_the_same_story() {
        let events = play(&mut zone(), 0..120, |at| {
            let large = [0.48, 0.58, 0.58, 0.68];
            (
                vec![blob(1, if at < 60.0 { BAG } else { large }, 1.0)],
                vec![],
            )
        });
        let told = told(&events);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!((told[1].0 - 60.0).abs() < 0.5);
    }

    #[test]
    fn what_is_taken_away_is_over() {
        let events = play(&mut zone(), 0..60, |at| {
            (
                if at < 45.0 {
                    vec![blob(1, BAG, 1.0)]
                } else {
                    vec![]
                },
                vec![],
            )
        });
        assert!(matches!(
            events.last(),
            Some((
                _,
                Event::Over {
                    story: 1,
                    told: true
                }
            ))
        ));
        let events = play(&mut zone(), 0..60, |at| {
            (
                if at < 5.0 {
                    vec![blob(1, BAG, 1.0)]
                } else {
                    vec![]
                },
                vec![],
            )
        });
        assert!(matches!(
            events.last(),
            Some((
                _,
                Event::Over {
                    story: 1,
                    told: false
                }
            ))
        ));
    }

    #[test]
    fn outside_the_zone_and_taken_things_are_no_story() {
        let outside = play(&mut zone(), 0..60, |_| {
            (vec![blob(1, [0.05, 0.6, 0.1, 0.66], 1.0)], vec![])
        });
        assert!(outside.is_empty());
        let removed = play(&mut zone(), 0..60, |_| {
            (
                vec![Blob {
                    change: Change::Removed,
                    ..blob(1, BAG, 1.0)
                }],
                vec![],
            )
        });
        assert!(removed.is_empty());
    }

    #[test]
    fn limits_hold() {
        let mut zone = zone();
        let blobs: Vec<_> = (0..MAX_STORIES as u64 * 10)
            .map(|id| blob(id, BAG, 0.0))
            .collect();
        let crowd: Vec<_> = (0..3000).map(|id| person(id, 0.0)).collect();
        let mut out = Vec::new();
        for second in 0..60 {
            zone.look(&blobs, &crowd, Duration::from_secs(second), &mut out);
        }
        assert_eq!(zone.stories.len(), MAX_STORIES);
        assert_eq!(zone.boxes.len(), MAX_BOXES);
    }
}
