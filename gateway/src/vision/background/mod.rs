//! What is new in a scene and stays, and what has been taken away, without a class for it.
//!
//! Three memories of a small picture: the *scene* as it belongs (slow), the *present* (fast),
//! and how restless each pixel is. What differs from the scene while the present stands still
//! is something that was left or taken. Light is what makes such models lie, so before pixels
//! are compared the whole picture's brightness is fitted to the scene's, and what differs in
//! brightness alone, with the scene's own texture still showing through, is a shadow or a
//! headlight and not a thing. If most of the picture changes at once it was the light, or the
//! camera: nothing is said until it has settled.

use std::time::Duration;

use super::{
    luma::Luma,
    zone::{Bbox, Polygon},
};

mod blobs;
mod onset;

pub use blobs::{Blob, Change};

/// The present follows the picture within about this time.
const PRESENT: Duration = Duration::from_millis(1500);
/// The scene follows slow changes (the sun) within about this time.
const SLOW: Duration = Duration::from_secs(90);
/// ...and, where nothing differs, within this: ground that dries, snow that settles and the edge
/// of a shadow creep, and a thing does not.
const CREEPS: Duration = Duration::from_millis(2500);
/// Differences up to this are noise.
const NOISE: f32 = 4.0;
/// Cells so near to one that came at once may be of the same thing.
const BESIDE: usize = 2;
/// The scene is what first stands still for so long, or what is there after it was to be seen for
/// longer: leaves never stand still.
const FIRST: Duration = Duration::from_secs(3);
const SEEN_FOR: Duration = Duration::from_secs(10);
/// A pixel stands still if it stayed this near the present for [`STILL_FOR`].
const STILL: f32 = 7.0;
const STILL_FOR: Duration = Duration::from_secs(2);
/// Or within this share of what it differs from the scene by: glints of rain play on a thing that
/// lies there, and are nothing beside what the thing itself has changed.
const STILL_SHARE: f32 = 0.2;
/// Least difference in brightness that is one, of 255; more where a pixel is restless.
const STEP: f32 = 16.0;
const RESTLESS: f32 = 4.0;
/// A cell that differs by this share of that is one that differs if most around it are: in a heap
/// of rubble some stones are as bright as the grass was.
const DOUBTFUL: f32 = 0.5;
/// Share of the picture that only light, or the camera, changes at once.
const WHOLE: f32 = 0.45;
/// So long nothing may change before a new light is taken for the scene.
const SETTLE: Duration = Duration::from_secs(4);
/// Looks farther apart do not make what lies between them a time of standing still.
const MAX_STEP: Duration = Duration::from_secs(30);
/// Shifts, pixels, that are a camera shaking in the wind; they are undone.
const SHAKE: i32 = 3;
/// Mean difference of brightness steps, of 255, above which a shake is looked for.
const SHAKEN: f32 = 5.0;
/// What was taken away and left an empty place becomes the scene after this.
const ACCEPT_REMOVED: Duration = Duration::from_secs(60);
/// Something outside every zone becomes the scene after this.
const ACCEPT_ELSEWHERE: Duration = Duration::from_secs(300);

/// The scene's memory.
#[derive(Debug)]
pub struct Background {
    watched: Vec<Polygon>,
    fixtures: Vec<Polygon>,
    width: usize,
    height: usize,
    /// In a zone and in no fixture.
    asked: Vec<bool>,
    scene: Vec<f32>,
    /// Of each pixel of the scene: for how long it was to be seen; nothing once it is known.
    learning: Vec<Option<Duration>>,
    present: Vec<f32>,
    restless: Vec<f32>,
    still: Vec<Duration>,
    changed: Vec<bool>,
    /// The picture at the last look, where it was not covered.
    last_look: Vec<Option<f32>>,
    onsets: onset::Onsets,
    /// What hardly differs but lies within what does, see [`within`].
    filled: Vec<bool>,
    /// How long a pixel that nobody asked about has differed.
    elsewhere: Vec<Duration>,
    last: Option<Duration>,
    settling: Option<Duration>,
    unsettled: bool,
    blobs: blobs::Blobs,
}

impl Background {
    /// A scene nobody has looked at. What lies in `fixtures` belongs there, whatever it is.
    pub fn new(watched: Vec<Polygon>, fixtures: Vec<Polygon>) -> Self {
        Background {
            watched,
            fixtures,
            width: 0,
            height: 0,
            asked: Vec::new(),
            scene: Vec::new(),
            learning: Vec::new(),
            present: Vec::new(),
            restless: Vec::new(),
            still: Vec::new(),
            changed: Vec::new(),
            last_look: Vec::new(),
            onsets: onset::Onsets::default(),
            filled: Vec::new(),
            elsewhere: Vec::new(),
            last: None,
            settling: None,
            unsettled: true,
            blobs: blobs::Blobs::default(),
        }
    }

    /// Whether the last look left a question that only another one soon after can answer: has
    /// what differs come to stay, has what lay there gone?
    pub fn unsettled(&self) -> bool {
        self.unsettled
    }

    /// Compares the picture with the scene at media time `at`. `occupied` are boxes of what is
    /// known to be there and will go again (people, vehicles): nothing is learnt or reported
    /// there.
    pub fn look(&mut self, luma: &Luma, at: Duration, occupied: &[Bbox]) -> Vec<Blob> {
        self.unsettled = true;
        if luma.pixels.is_empty() {
            return Vec::new();
        }
        if (luma.width, luma.height) != (self.width, self.height) {
            self.begin(luma, at);
            return Vec::new();
        }
        let passed = at.saturating_sub(self.last.replace(at).unwrap_or(at));
        let picture = self.steadied(luma);
        let covered = self.cover(occupied);
        let untold = |(covered, learning): (&bool, &Option<_>)| *covered || learning.is_some();
        let untold: Vec<bool> = covered.iter().zip(&self.learning).map(untold).collect();
        let (gain, offset) = self.light(&picture, &untold);
        let fitted: Vec<f32> = picture.iter().map(|p| p * gain + offset).collect();

        // While everything differs, what it differs by says nothing of things.
        let by_share = f32::from(u8::from(self.settling.is_none()));
        let mut differing = 0;
        let mut comparable = 0;
        let mut unknown = false;
        // Whether a cell would be one that differs, if its neighbours are.
        let mut doubtful = vec![false; fitted.len()];
        for index in 0..fitted.len() {
            if covered[index] {
                // What was seen before somebody passed is compared with what is there after.
                self.onsets.cover(index);
                continue;
            }
            let value = fitted[index];
            let apart = (value - self.present[index]).abs();
            let off = (value - self.scene[index]).abs();
            let still = STILL.max(STILL_SHARE * off * by_share);
            if apart <= still {
                self.still[index] += passed.min(MAX_STEP);
            } else {
                self.still[index] = Duration::ZERO;
            }
            if apart > 2.0 * still {
                // Something else is there: nothing of what was before belongs to it.
                self.present[index] = value;
            }
            self.present[index] += (value - self.present[index]) * share(passed, PRESENT);
            if let Some(seen) = &mut self.learning[index] {
                *seen += passed.min(MAX_STEP);
                let known = self.still[index] >= FIRST || *seen >= SEEN_FOR;
                unknown |= !known && self.asked[index];
                if known {
                    self.learning[index] = None;
                }
                self.scene[index] = self.present[index];
                self.changed[index] = false;
                continue;
            }
            let limit = STEP.max(RESTLESS * self.restless[index]);
            self.changed[index] = off > limit;
            self.onsets.look(index, (off, limit), at, passed);
            doubtful[index] = off > limit * DOUBTFUL;
            comparable += 1;
            differing += usize::from(self.changed[index]);
        }
        self.learn(&fitted, &covered, passed);
        let whole = differing as f32 > WHOLE * comparable.max(1) as f32;
        if self.settle(at, passed, whole, &covered) {
            return self.blobs.kept();
        }
        self.forget_elsewhere(passed, &covered);
        let frame = blobs::Frame {
            width: self.width,
            height: self.height,
            scene: &self.scene,
            present: &self.present,
            covered: &covered,
            untold: &untold,
            onsets: &self.onsets,
        };
        let stays = |i: usize| self.asked[i] && self.still[i] >= STILL_FOR && !covered[i];
        let mut candidate: Vec<bool> = (0..fitted.len())
            .map(|i| self.changed[i] && stays(i))
            .collect();
        let filled: Vec<bool> = (0..fitted.len())
            .map(|i| doubtful[i] && stays(i) && !candidate[i] && within(&candidate, i, self.width))
            .collect();
        for (index, filled) in filled.iter().enumerate() {
            candidate[index] |= filled;
            self.changed[index] |= filled;
        }
        self.filled = filled;
        let (found, accepted) = self.blobs.find(&frame, &self.changed, &candidate, at);
        let fresh: Vec<bool> = (0..fitted.len())
            .map(|i| self.changed[i] && self.asked[i] && self.still[i] < STILL_FOR && !covered[i])
            .collect();
        self.unsettled = unknown || self.blobs.going() || blobs::anything(&frame, &fresh);
        for cell in accepted {
            self.scene[cell] = self.present[cell];
        }
        found
    }

    /// What does not differ becomes the scene.
    fn learn(&mut self, fitted: &[f32], covered: &[bool], passed: Duration) {
        let beside = self.beside();
        for (index, value) in fitted.iter().enumerate() {
            let before = self.last_look[index].replace(*value);
            if covered[index] {
                self.last_look[index] = None;
                continue;
            }
            if self.changed[index] || self.filled[index] {
                continue;
            }
            let scene = self.scene[index];
            let off = value - scene;
            self.restless[index] += (off.abs() - self.restless[index]) * share(passed, SLOW / 3);
            self.scene[index] += off * share(passed, SLOW);
            if beside[index] {
                continue;
            }
            // Only as far as it was to be seen at the look before, too: the rest may be a thing
            // that is being set down. And no noise, of which the fit of the light makes a bias.
            let before = before.map_or(0.0, |before| before - scene);
            let lasting = off.clamp(before.min(0.0), before.max(0.0));
            let creeps = lasting - lasting.clamp(-NOISE, NOISE);
            self.scene[index] += creeps * share(passed, CREEPS);
        }
    }

    /// Cells within [`BESIDE`] of one that came at once.
    fn beside(&self) -> Vec<bool> {
        let (width, height) = (self.width, self.height);
        let mut beside = vec![false; width * height];
        for index in (0..beside.len()).filter(|i| self.changed[*i] && self.onsets.is_sudden(*i)) {
            let (x, y) = (index % width, index / width);
            let columns = x.saturating_sub(BESIDE)..(x + BESIDE + 1).min(width);
            for row in y.saturating_sub(BESIDE)..(y + BESIDE + 1).min(height) {
                beside[row * width..][columns.clone()].fill(true);
            }
        }
        beside
    }

    fn begin(&mut self, luma: &Luma, at: Duration) {
        let count = luma.pixels.len();
        (self.width, self.height) = (luma.width, luma.height);
        self.scene = luma.pixels.iter().map(|p| f32::from(*p)).collect();
        self.learning = vec![Some(Duration::ZERO); count];
        self.present = self.scene.clone();
        self.restless = vec![2.0; count];
        self.still = vec![Duration::ZERO; count];
        self.elsewhere = vec![Duration::ZERO; count];
        self.changed = vec![false; count];
        self.last_look = vec![None; count];
        self.onsets = onset::Onsets::of(count);
        self.filled = vec![false; count];
        self.asked = (0..count)
            .map(|index| {
                let point = self.point(index);
                self.watched.iter().any(|zone| zone.contains(point))
                    && !self.fixtures.iter().any(|zone| zone.contains(point))
            })
            .collect();
        (self.last, self.settling) = (Some(at), None);
        self.blobs = blobs::Blobs::default();
    }

    fn point(&self, index: usize) -> [f32; 2] {
        [
            (index % self.width) as f32 / self.width as f32 + 0.5 / self.width as f32,
            (index / self.width) as f32 / self.height as f32 + 0.5 / self.height as f32,
        ]
    }

    /// Cells under boxes, with a margin of one cell: boxes cut off feet.
    fn cover(&self, boxes: &[Bbox]) -> Vec<bool> {
        let mut covered = vec![false; self.width * self.height];
        for [left, top, right, bottom] in boxes {
            let column = |x: f32| (x * self.width as f32).clamp(0.0, self.width as f32);
            let row = |y: f32| (y * self.height as f32).clamp(0.0, self.height as f32);
            let columns = (column(*left) as usize).saturating_sub(1)
                ..(column(*right).ceil() as usize + 1).min(self.width);
            let rows = (row(*top) as usize).saturating_sub(1)
                ..(row(*bottom).ceil() as usize + 1).min(self.height);
            for y in rows {
                covered[y * self.width..][columns.clone()].fill(true);
            }
        }
        covered
    }

    /// The picture moved back by what the camera shook.
    fn steadied(&self, luma: &Luma) -> Vec<f32> {
        let (width, height) = (self.width as i32, self.height as i32);
        let at = |x: i32, y: i32| {
            let (x, y) = (x.clamp(0, width - 1), y.clamp(0, height - 1));
            f32::from(luma.pixels[(y * width + x) as usize])
        };
        // Horizontal and vertical steps do not know brightness, so light does not look like a
        // shift; every third cell is enough.
        let apart = |dx: i32, dy: i32| {
            let (mut sum, mut count) = (0.0, 0);
            for y in (4..height - 5).step_by(3) {
                for x in (4..width - 5).step_by(3) {
                    let here = (y * width + x) as usize;
                    let (right, below) = (here + 1, here + self.width);
                    let gx = self.scene[right] - self.scene[here];
                    let gy = self.scene[below] - self.scene[here];
                    let now = at(x + dx, y + dy);
                    let off = (at(x + dx + 1, y + dy) - now - gx).abs()
                        + (at(x + dx, y + dy + 1) - now - gy).abs();
                    sum += off.min(40.0);
                    count += 1;
                }
            }
            sum / count.max(1) as f32
        };
        let unmoved = apart(0, 0);
        let (mut dx, mut dy) = (0, 0);
        // Fifty comparisons are only worth their time where something is amiss.
        if unmoved > SHAKEN {
            // A shift must explain much: a flat scene fits anywhere.
            let mut best = 0.8 * unmoved;
            for y in -SHAKE..=SHAKE {
                for x in -SHAKE..=SHAKE {
                    let sum = apart(x, y);
                    if sum < best {
                        (best, dx, dy) = (sum, x, y);
                    }
                }
            }
        }
        (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| at(x + dx, y + dy))
            .collect()
    }

    /// Gain and offset that make the picture as bright as the scene: twice a line through the
    /// pairs, the second time without what fits badly.
    fn light(&self, picture: &[f32], untold: &[bool]) -> (f32, f32) {
        let (mut gain, mut offset) = (1.0f32, 0.0f32);
        let mut tolerance = f32::MAX;
        for _ in 0..3 {
            let (mut n, mut sx, mut sy, mut sxx, mut sxy) = (0f64, 0f64, 0f64, 0f64, 0f64);
            for ((value, scene), untold) in picture.iter().zip(&self.scene).zip(untold) {
                // Saturated pixels do not tell.
                let told = !untold && (4.0..=250.0).contains(value);
                if told && (value * gain + offset - scene).abs() <= tolerance {
                    let (x, y) = (f64::from(*value), f64::from(*scene));
                    n += 1.0;
                    sx += x;
                    sy += y;
                    sxx += x * x;
                    sxy += x * y;
                }
            }
            let spread = n * sxx - sx * sx;
            // Little left to compare, or a picture without contrast: left as it is.
            if n < picture.len() as f64 * 0.2 || spread < n * n * 4.0 {
                return (1.0, 0.0);
            }
            gain = ((n * sxy - sx * sy) / spread) as f32;
            if !(0.4..=2.5).contains(&gain) {
                return (1.0, 0.0);
            }
            offset = ((sy - f64::from(gain) * sx) / n) as f32;
            tolerance = 2.0 * STEP;
        }
        (gain, offset)
    }

    /// Whether the light, or the view, is changing as a whole. When it has settled, what is
    /// there now is the scene, but for what was reported before.
    fn settle(&mut self, at: Duration, passed: Duration, whole: bool, covered: &[bool]) -> bool {
        if whole && self.settling.is_none() {
            self.settling = Some(Duration::ZERO);
        }
        let Some(so_far) = self.settling else {
            return false;
        };
        let still = self.still.iter().filter(|s| **s > Duration::ZERO).count();
        let calm = still as f32 > 0.85 * self.still.len() as f32;
        if !whole && so_far < SETTLE / 2 && calm {
            // A flash: the old scene is back.
            self.settling = None;
            return false;
        }
        let so_far = if calm {
            so_far + passed.min(MAX_STEP)
        } else {
            Duration::ZERO
        };
        if so_far >= SETTLE {
            self.scene.clone_from(&self.present);
            // In the new light nobody has seen what is behind those who stand there.
            for (learning, _) in self.learning.iter_mut().zip(covered).filter(|(_, c)| **c) {
                *learning = Some(Duration::ZERO);
            }
            self.restless.fill(3.0);
            self.filled.fill(false);
            self.elsewhere.fill(Duration::ZERO);
            self.blobs.part_of_the_scene(at);
            self.settling = None;
        } else {
            self.settling = Some(so_far);
        }
        true
    }

    /// What stays where nobody asks becomes the scene, so that it leaves no ghost when it goes.
    fn forget_elsewhere(&mut self, passed: Duration, covered: &[bool]) {
        for (index, covered) in covered.iter().enumerate() {
            let waits = self.changed[index] && !self.asked[index] && !covered;
            if !waits || self.still[index] < STILL_FOR {
                self.elsewhere[index] = Duration::ZERO;
                continue;
            }
            self.elsewhere[index] += passed.min(MAX_STEP);
            if self.elsewhere[index] >= ACCEPT_ELSEWHERE {
                self.scene[index] = self.present[index];
                self.elsewhere[index] = Duration::ZERO;
            }
        }
    }
}

/// Whether at least half of the eight cells around are candidates. Along a straight border three
/// are, so nothing grows beyond its outline.
fn within(candidate: &[bool], index: usize, width: usize) -> bool {
    let (x, y) = (index % width, index / width);
    let mut around = 0;
    for ny in y.saturating_sub(1)..=y + 1 {
        for nx in x.saturating_sub(1)..(x + 2).min(width) {
            around += usize::from(candidate.get(ny * width + nx) == Some(&true));
        }
    }
    around >= 4
}

/// How far a memory of length `memory` moves in `passed`.
fn share(passed: Duration, memory: Duration) -> f32 {
    1.0 - (-passed.as_secs_f32() / memory.as_secs_f32()).exp()
}

#[cfg(test)]
mod tests;
