//! Tracks: which detection of this frame is which thing of the last.
//!
//! In the manner of ByteTrack (Zhang et al., 2022): sure detections are matched first and may
//! begin tracks; doubtful ones may only continue what was already there, so that someone half
//! hidden keeps their identity without every shadow getting one.

use std::time::Duration;

use super::{
    media::Allowance,
    nms::Detection,
    zone::{Bbox, iou},
};

/// Things followed at once per camera; more are ignored, the least sure first.
pub const MAX_TRACKS: usize = 256;
/// A track unseen for this long (media time) is over.
pub const LOST: Duration = Duration::from_secs(3);
/// Least overlap with the predicted box for a sure detection.
const MIN_IOU: f32 = 0.3;
/// Least overlap for a doubtful one.
const MIN_IOU_DOUBTFUL: f32 = 0.5;
/// Overlap from which a car may become a truck: the same thing, named otherwise.
const RENAME_IOU: f32 = 0.7;
/// Sightings before a track is believed.
const CONFIRMED: u32 = 2;
/// A box whose middle went this share of its larger side, or whose area changed by this factor,
/// has travelled. Boxes of what stands still tremble by less.
const TRAVELLED: f32 = 0.5;
const TRAVELLED_AREA: f32 = 2.0;
/// Score from which what never moved is believed to be what it is called.
const SURELY: f32 = 0.5;
/// One who was lost for no longer, and is found where they were, has not just appeared.
const REMEMBERED: Duration = Duration::from_secs(15);
/// Longest time that a box is moved ahead by its speed.
const PREDICT: Duration = Duration::from_secs(1);

/// One thing followed over time.
#[derive(Clone, Debug)]
pub struct Track {
    /// Unique per camera and run of the child.
    pub id: u64,
    /// The class it was most surely taken for.
    pub class: usize,
    /// Of the newest detection.
    pub score: f32,
    /// Of the newest detection.
    pub bbox: Bbox,
    /// When (media time) it was last detected.
    pub last_seen: Duration,
    /// Sum of scores per class.
    votes: Vec<(usize, f32)>,
    /// Of the box's middle, fractions of the picture a second.
    speed: [f32; 2],
    hits: u32,
    /// Where it began, or was when it had last travelled.
    origin: Bbox,
    /// When it had last travelled, if it ever did.
    travelled: Option<Duration>,
}

impl Track {
    /// Seen often enough to be believed.
    pub fn confirmed(&self) -> bool {
        self.hits >= CONFIRMED
    }

    /// Comes and goes by itself, as far as can be told: it was seen to move, or is surely what it
    /// is called. A bag that is taken for a lorry again and again does neither.
    pub fn comes_and_goes(&self) -> bool {
        self.confirmed() && (self.travelled.is_some() || self.score >= SURELY)
    }

    /// Has travelled within the last `while_` before it was last seen.
    pub fn travels(&self, while_: Duration) -> bool {
        self.travelled
            .is_some_and(|when| self.last_seen.saturating_sub(when) <= while_)
    }

    fn predicted(&self, at: Duration) -> Bbox {
        let ahead = at.saturating_sub(self.last_seen).min(PREDICT).as_secs_f32();
        let [dx, dy] = self.speed.map(|v| v * ahead);
        let [left, top, right, bottom] = self.bbox;
        [left + dx, top + dy, right + dx, bottom + dy]
    }

    fn see(&mut self, detection: &Detection, at: Duration) {
        let passed = at.saturating_sub(self.last_seen).as_secs_f32();
        if passed > 0.0 {
            let middle = |b: Bbox| [(b[0] + b[2]) / 2.0, (b[1] + b[3]) / 2.0];
            let (from, to) = (middle(self.bbox), middle(detection.bbox));
            for axis in 0..2 {
                let now = (to[axis] - from[axis]) / passed;
                self.speed[axis] = 0.5 * self.speed[axis] + 0.5 * now;
            }
        }
        match self.votes.iter_mut().find(|(c, _)| *c == detection.class) {
            Some((_, sum)) => *sum += detection.score,
            None => self.votes.push((detection.class, detection.score)),
        }
        let best = self.votes.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        self.class = best.map_or(detection.class, |(class, _)| *class);
        self.score = detection.score;
        self.bbox = detection.bbox;
        self.last_seen = at;
        self.hits = self.hits.saturating_add(1);
        if travelled(self.origin, self.bbox) {
            self.travelled = Some(at);
            self.origin = self.bbox;
        }
    }
}

/// Whether a box is elsewhere, or nearer or farther away.
fn travelled(from: Bbox, to: Bbox) -> bool {
    let [width, height] = [from[2] - from[0], from[3] - from[1]];
    let dx = (to[0] + to[2] - from[0] - from[2]) / 2.0;
    let dy = (to[1] + to[3] - from[1] - from[3]) / 2.0;
    let grown = (to[2] - to[0]) * (to[3] - to[1]) / (width * height).max(f32::EPSILON);
    dx.hypot(dy) > TRAVELLED * width.max(height)
        || !(1.0 / TRAVELLED_AREA..=TRAVELLED_AREA).contains(&grown)
}

/// All tracks of one camera.
#[derive(Debug)]
pub struct Tracker {
    tracks: Vec<Track>,
    next: u64,
    /// Least score of a sure detection.
    sure: f32,
    /// A track unseen for longer is over.
    lost: Duration,
    /// Those who had travelled, as they were last seen.
    gone: Vec<Track>,
}

impl Tracker {
    /// `sure` is the least score that may begin a track.
    pub fn new(sure: f32) -> Self {
        Tracker {
            tracks: Vec::new(),
            next: 1,
            sure,
            lost: LOST,
            gone: Vec::new(),
        }
    }

    /// For a camera that may be out of sight for longer.
    pub fn with(mut self, allowance: Allowance) -> Self {
        self.lost = allowance.lost;
        self
    }

    /// Takes what was detected (best first) at media time `at`; returns all tracks that are
    /// not over. Those seen now have `last_seen == at`.
    pub fn update(&mut self, detections: &[Detection], at: Duration) -> &[Track] {
        self.gone
            .retain(|t| at.saturating_sub(t.last_seen) <= REMEMBERED);
        self.tracks.retain(|t| {
            let stays = at.saturating_sub(t.last_seen) <= self.lost;
            if !stays && t.travelled.is_some() && self.gone.len() < MAX_TRACKS {
                self.gone.push(t.clone());
            }
            stays
        });
        let (sure, doubtful): (Vec<_>, Vec<_>) =
            detections.iter().partition(|d| d.score >= self.sure);

        let mut free: Vec<usize> = (0..self.tracks.len()).collect();
        let unmatched = self.assign(&sure, &mut free, MIN_IOU, at);
        self.assign(&doubtful, &mut free, MIN_IOU_DOUBTFUL, at);
        for detection in unmatched {
            if self.tracks.len() >= MAX_TRACKS {
                break;
            }
            let mut track = Track {
                id: self.next,
                class: detection.class,
                score: detection.score,
                bbox: detection.bbox,
                last_seen: at,
                votes: Vec::new(),
                speed: [0.0; 2],
                hits: 0,
                origin: detection.bbox,
                travelled: self
                    .gone
                    .iter()
                    .filter(|t| iou(t.bbox, detection.bbox) >= MIN_IOU)
                    .filter_map(|t| t.travelled)
                    .max(),
            };
            track.see(detection, at);
            self.next += 1;
            self.tracks.push(track);
        }
        &self.tracks
    }

    /// Nothing changed since the last look: what was seen then is seen now.
    pub fn hold(&mut self, last_look: Duration, at: Duration) -> &[Track] {
        for track in &mut self.tracks {
            if track.last_seen == last_look {
                track.last_seen = at;
            }
        }
        &self.tracks
    }

    /// All that are not over.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Whether somebody of these classes was seen at this look who was not seen often enough to
    /// count.
    pub fn has_newcomer(&self, classes: &[usize], at: Duration) -> bool {
        let is_new = |t: &Track| t.last_seen == at && !t.confirmed();
        self.tracks
            .iter()
            .any(|t| is_new(t) && classes.contains(&t.class))
    }

    /// Forgets everything, as after a long interruption.
    pub fn clear(&mut self) {
        self.tracks.clear();
    }

    /// Pairs detections with free tracks, largest overlap first; returns what found no track.
    fn assign<'d>(
        &mut self,
        detections: &[&'d Detection],
        free: &mut Vec<usize>,
        min_iou: f32,
        at: Duration,
    ) -> Vec<&'d Detection> {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for &track in free.iter() {
            let Some(known) = self.tracks.get(track) else {
                continue;
            };
            let predicted = known.predicted(at);
            for (index, detection) in detections.iter().enumerate() {
                let overlap = iou(predicted, detection.bbox).max(iou(known.bbox, detection.bbox));
                let least = if known.class == detection.class {
                    min_iou
                } else {
                    RENAME_IOU
                };
                if overlap >= least {
                    pairs.push((overlap, track, index));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut used = vec![false; detections.len()];
        for (_, track, index) in pairs {
            let (Some(place), Some(used)) = (
                free.iter().position(|t| *t == track),
                used.get_mut(index).filter(|used| !**used),
            ) else {
                continue;
            };
            if let (Some(track), Some(detection)) =
                (self.tracks.get_mut(track), detections.get(index))
            {
                track.see(detection, at);
                *used = true;
                free.swap_remove(place);
            }
        }
        detections
            .iter()
            .zip(used)
            .filter(|(_, used)| !used)
            .map(|(d, _)| *d)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn person(left: f32, score: f32) -> Detection {
        Detection {
            class: 0,
            score,
            bbox: [left, 0.4, left + 0.1, 0.8],
        }
    }

    fn seen(tracker: &mut Tracker, detections: &[Detection], ms: u64) -> Vec<u64> {
        let now = at(ms);
        let tracks = tracker.update(detections, now).iter();
        tracks
            .filter(|t| t.last_seen == now)
            .map(|t| t.id)
            .collect()
    }

    #[test]
    fn one_who_walks_keeps_the_id() {
        let mut tracker = Tracker::new(0.4);
        for i in 0..20 {
            assert_eq!(
                seen(&mut tracker, &[person(0.02 * i as f32, 0.7)], i * 200),
                [1]
            );
        }
        assert!(tracker.tracks[0].confirmed());
    }

    #[test]
    fn two_who_pass_each_other_keep_theirs() {
        let mut tracker = Tracker::new(0.4);
        for i in 0..=20u64 {
            let step = 0.02 * i as f32;
            // On different depths, so that their boxes differ in height.
            let near = Detection {
                class: 0,
                score: 0.8,
                bbox: [0.2 + step, 0.2, 0.35 + step, 0.9],
            };
            let far = Detection {
                class: 0,
                score: 0.6,
                bbox: [0.6 - step, 0.4, 0.66 - step, 0.6],
            };
            assert_eq!(seen(&mut tracker, &[near, far], i * 200).len(), 2);
        }
        let ids: Vec<u64> = tracker.tracks.iter().map(|t| t.id).collect();
        assert_eq!(ids, [1, 2]);
        assert!(
            tracker.tracks[0].bbox[0] > tracker.tracks[1].bbox[0],
            "they have swapped places"
        );
    }

    #[test]
    fn who_was_seen_once_is_a_newcomer_until_the_next_look() {
        let mut tracker = Tracker::new(0.4);
        let somebody = [person(0.5, 0.6)];
        assert!(!tracker.has_newcomer(&[0], at(0)));
        seen(&mut tracker, &somebody, 0);
        assert!(tracker.has_newcomer(&[2, 0], at(0)));
        assert!(!tracker.has_newcomer(&[2], at(0)), "of another class");
        // A look that finds nobody, and one that finds them again.
        seen(&mut tracker, &[], 200);
        assert!(!tracker.has_newcomer(&[0], at(200)));
        seen(&mut tracker, &somebody, 400);
        assert!(!tracker.has_newcomer(&[0], at(400)));
    }

    #[test]
    fn a_doubtful_detection_continues_a_track_but_begins_none() {
        let mut tracker = Tracker::new(0.4);
        assert_eq!(seen(&mut tracker, &[person(0.5, 0.3)], 0), [0u64; 0]);
        assert_eq!(seen(&mut tracker, &[person(0.5, 0.6)], 200), [1]);
        assert_eq!(seen(&mut tracker, &[person(0.5, 0.2)], 400), [1]);
    }

    #[test]
    fn a_track_survives_until_it_is_lost() {
        for (gap, id) in [(LOST, 1), (LOST + at(1), 2), (LOST * 10, 2)] {
            let mut tracker = Tracker::new(0.4);
            seen(&mut tracker, &[person(0.5, 0.6)], 0);
            assert_eq!(
                seen(&mut tracker, &[person(0.5, 0.6)], gap.as_millis() as u64),
                [id]
            );
        }
    }

    #[test]
    fn a_car_taken_for_a_truck_stays_one_thing_named_by_the_majority() {
        let mut tracker = Tracker::new(0.4);
        let vehicle = |class, score| Detection {
            class,
            score,
            bbox: [0.1, 0.1, 0.5, 0.5],
        };
        seen(&mut tracker, &[vehicle(2, 0.6)], 0);
        seen(&mut tracker, &[vehicle(7, 0.5)], 200);
        assert_eq!(seen(&mut tracker, &[vehicle(2, 0.6)], 400), [1]);
        assert_eq!(tracker.tracks[0].class, 2);
    }

    #[test]
    fn a_person_before_a_car_is_not_the_car() {
        let mut tracker = Tracker::new(0.4);
        let car = Detection {
            class: 2,
            score: 0.6,
            bbox: [0.1, 0.1, 0.5, 0.5],
        };
        let near = Detection {
            class: 0,
            score: 0.6,
            bbox: [0.2, 0.1, 0.45, 0.5],
        };
        seen(&mut tracker, &[car], 0);
        assert_eq!(seen(&mut tracker, &[near], 200), [2]);
    }

    #[test]
    fn holding_keeps_what_was_seen_and_not_what_was_lost() {
        let mut tracker = Tracker::new(0.4);
        seen(&mut tracker, &[person(0.1, 0.6), person(0.6, 0.7)], 0);
        seen(&mut tracker, &[person(0.1, 0.6)], 200);
        let held = tracker
            .hold(at(200), at(1000))
            .iter()
            .filter(|t| t.last_seen == at(1000));
        assert_eq!(held.count(), 1);
    }

    #[test]
    fn tracks_are_limited() {
        for (count, expect) in [
            (MAX_TRACKS, MAX_TRACKS),
            (MAX_TRACKS + 1, MAX_TRACKS),
            (MAX_TRACKS * 10, MAX_TRACKS),
        ] {
            let mut tracker = Tracker::new(0.4);
            let many: Vec<_> = (0..count)
                .map(|i| Detection {
                    class: i,
                    score: 0.5,
                    bbox: [0.1, 0.1, 0.2, 0.2],
                })
                .collect();
            assert_eq!(tracker.update(&many, at(0)).len(), expect);
        }
    }

    fn lorry(left: f32, score: f32) -> Detection {
        Detection {
            class: 7,
            score,
            bbox: [left, 0.4, left + 0.05, 0.45],
        }
    }

    #[test]
    fn a_bag_taken_for_a_lorry_does_not_come_and_go_and_a_lorry_does() {
        let mut tracker = Tracker::new(0.35);
        for i in 0..100 {
            // Boxes tremble.
            let tremble = 0.004 * (i % 3) as f32;
            tracker.update(&[lorry(0.5 + tremble, 0.45)], at(i * 200));
            assert!(!tracker.tracks()[0].comes_and_goes(), "after {i}");
        }
        // Driven in and parked.
        let mut tracker = Tracker::new(0.35);
        for i in 0..100 {
            let left = (0.1 + 0.01 * i as f32).min(0.5);
            tracker.update(&[lorry(left, 0.45)], at(i * 200));
        }
        assert!(tracker.tracks()[0].comes_and_goes());
        // Never seen to move, but sure.
        let mut tracker = Tracker::new(0.35);
        for (i, expected) in [(0, false), (1, true)] {
            tracker.update(&[lorry(0.5, 0.5)], at(i * 200));
            assert_eq!(tracker.tracks()[0].comes_and_goes(), expected);
        }
    }

    #[test]
    fn what_was_carried_and_lies_travels_no_more_even_when_it_is_lost_and_found() {
        let mut tracker = Tracker::new(0.35);
        let rests = Duration::from_secs(5);
        let mut seen = Vec::new();
        for i in 0..200u64 {
            // Carried until 8 s, set down; not detected from 20 to 25 s.
            let left = 0.1 + 0.01 * i.min(40) as f32;
            let found = [lorry(left, 0.45)];
            let missed = (100..125).contains(&i);
            let tracks = tracker.update(if missed { &[] } else { &found }, at(i * 200));
            seen.push(tracks.last().is_some_and(|t| t.travels(rests)));
        }
        assert!(seen[20..60].iter().all(|travels| *travels));
        assert!(seen[75..].iter().all(|travels| !travels), "{seen:?}");
        assert!(tracker.tracks()[0].comes_and_goes(), "it had, once");
    }

    #[test]
    fn one_who_walked_in_is_remembered_over_a_loss_for_a_while() {
        let remembered = REMEMBERED.as_millis() as u64;
        for (away, expected) in [(5_000, true), (remembered, true), (remembered + 200, false)] {
            let mut tracker = Tracker::new(0.35);
            for i in 0..=20 {
                tracker.update(&[person(0.02 * i as f32, 0.4)], at(i * 200));
            }
            // Looked for all the time, and lost.
            for ms in (4_200..4_000 + away).step_by(200) {
                tracker.update(&[], at(ms));
            }
            for again in [0, 200] {
                tracker.update(&[person(0.4, 0.4)], at(4_000 + away + again));
            }
            let back = tracker.tracks().last().unwrap();
            assert_eq!(back.comes_and_goes(), expected, "{away} ms");
        }
    }
}
