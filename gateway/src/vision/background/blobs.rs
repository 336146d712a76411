//! From changed cells to things that keep their identity while they lie there and grow.

use std::time::Duration;

use super::{
    ACCEPT_REMOVED,
    onset::{Coming, Onsets, is_thing},
};
use crate::vision::zone::Bbox;

/// Fewer cells are dirt on the lens or a leaf.
const MIN_CELLS: usize = 6;
/// A thing that fills more of the picture than this is the light or a lorry before the lens.
const MAX_SHARE: f32 = 0.35;
/// Things known at once; more are a scene that this model does not understand.
pub const MAX_BLOBS: usize = 32;
/// A blob whose cells differ no more for this long is gone.
const GONE: Duration = Duration::from_secs(2);
/// Growth by more than this share is news.
const GROWN: f32 = 1.5;
/// A shadow darkens, and a lamp lightens, by a factor within this; at night a lamp makes its
/// surroundings several times as bright.
const SHADE: std::ops::RangeInclusive<f32> = 0.4..=4.0;
/// Spread of that factor, relative to it.
const SHADE_SPREAD: f32 = 0.09;
/// Correlation with the scene's own texture from which it still shows through.
const TEXTURE_KEPT: f32 = 0.6;
/// Contrast of a texture (standard deviation of brightness steps) that can be told from noise.
const TEXTURE: f32 = 1.3;
/// Columns lower than this share of the highest hang over (a table's top, an umbrella's edge) or
/// are rounded off: they do not show where the thing touches the ground.
const STANDS: f32 = 0.25;
/// The rim of something is measured anew while it has about the size that it was found with.
const SAME_SIZE: std::ops::RangeInclusive<f32> = 0.8..=GROWN;
/// Step at the border, as share of the difference inside, below which there is no edge.
const SOFT: f32 = 0.4;
/// Cells that come so soon after the first ones do not make it grow...
const FIRST_CELLS: Duration = Duration::from_secs(2);
/// ...but more than this share of it within this time do.
const GROWS: Duration = Duration::from_secs(5);
const GROWING: f32 = 0.1;
/// What nobody saw coming must not differ by more than it did, by this factor, for so long...
const RAISED: f32 = 1.08;
const STEADY: Duration = Duration::from_secs(10);
/// ...and is no thing if it has done so more often.
const MAX_RAISED: u32 = 1;
/// So long it takes to tell.
const SURE: Duration = Duration::from_secs(3);
/// What did not come as a thing does is doubted for so long, then it is the scene.
const DOUBTED: Duration = Duration::from_secs(10);
/// What has been a thing for so long stays one: snow may settle around it.
const JUDGED: Duration = Duration::from_secs(60);
/// So many cells around a region are its surroundings.
const RING: usize = 3;

/// What happened to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something is there that was not.
    Appeared,
    /// Something is gone that belonged there.
    Removed,
}

/// Something new that stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// Stays the same while the thing lies there, and grows.
    pub id: u64,
    pub bbox: Bbox,
    /// Its lower rim: left, right and lower end of each column of cells that reaches the ground,
    /// fractions of the picture.
    pub rim: Vec<[f32; 3]>,
    /// Share of the picture.
    pub area: f32,
    pub change: Change,
    /// Media time at which the place was first seen changed.
    pub since: Duration,
    /// Time without growth.
    pub stable: Duration,
    /// It came as things do, and has stopped growing since; until then it may be water that
    /// spreads.
    pub settled: bool,
}

/// What blobs are found in.
pub struct Frame<'a> {
    pub width: usize,
    pub height: usize,
    pub scene: &'a [f32],
    pub present: &'a [f32],
    pub covered: &'a [bool],
    /// Covered, or of a scene that is not known yet.
    pub untold: &'a [bool],
    pub onsets: &'a Onsets,
}

#[derive(Debug)]
struct Known {
    blob: Blob,
    cells: Vec<usize>,
    /// Of each cell, how it came and since when it is known.
    comings: Vec<(Coming, Duration)>,
    /// Of what nobody saw coming.
    rise: Option<Rise>,
    grown_at: Duration,
    /// Unchanged cells since.
    gone_since: Option<Duration>,
    /// The light changed since it came: the scene has it now, and shows its place when it goes.
    in_scene: bool,
}

impl Known {
    fn add(&mut self, frame: &Frame<'_>, cells: impl Iterator<Item = usize>, at: Duration) {
        for cell in cells {
            let off = (frame.present[cell] - frame.scene[cell]).abs();
            self.comings.push((frame.onsets.coming(cell, off), at));
            self.cells.push(cell);
        }
    }

    /// Whether it is no thing: it spreads, or has faded in. Settles it, if it is one.
    fn creeps(&mut self, frame: &Frame<'_>, at: Duration) -> bool {
        let Some((_, first)) = self.comings.first() else {
            return false;
        };
        let known_for = at.saturating_sub(*first);
        if self.in_scene || self.blob.settled && known_for >= JUDGED {
            return false;
        }
        let late = (*first + FIRST_CELLS).max(at.saturating_sub(GROWS));
        let growing = self
            .comings
            .iter()
            .filter(|(coming, since)| *coming != Coming::Hidden && *since > late);
        let growing = growing.count() as f32 > GROWING * self.cells.len() as f32;
        let comings: Vec<Coming> = self.comings.iter().map(|(coming, _)| *coming).collect();
        let unseen = comings.iter().filter(|c| **c == Coming::Unseen).count();
        if self.rise.is_some() || unseen * 2 > comings.len() {
            return self.rises(frame, at);
        }
        let is_thing = is_thing(&comings);
        self.blob.settled = is_thing && !growing && known_for >= SURE;
        !is_thing && known_for >= DOUBTED
    }

    /// The same of what nobody saw coming: a thing is there and stays as it is, water goes on
    /// spreading, ground goes on drying.
    fn rises(&mut self, frame: &Frame<'_>, at: Duration) -> bool {
        let seen = self.cells.iter().filter(|cell| !frame.covered[**cell]);
        let off = seen.map(|cell| (frame.present[*cell] - frame.scene[*cell]).abs());
        let (sum, count) = off.fold((0.0, 0), |(sum, count), off| (sum + off, count + 1));
        if count * 2 < self.cells.len() {
            return false;
        }
        let now = sum * self.cells.len() as f32 / count.max(1) as f32;
        let rise = self.rise.get_or_insert(Rise {
            base: now,
            least: f32::MAX,
            since: at,
            times: 0,
        });
        let passed = at.saturating_sub(rise.since);
        // Headlights come and go: the least of the second half counts.
        if passed >= STEADY / 2 {
            rise.least = rise.least.min(now);
        }
        if passed >= STEADY {
            let risen = rise.least > RAISED * rise.base;
            self.blob.settled = !risen;
            rise.times += u32::from(risen);
            (rise.base, rise.least, rise.since) = (rise.least, f32::MAX, at);
        }
        rise.times > MAX_RAISED
    }
}

/// Whether something differs by more and more.
#[derive(Debug)]
struct Rise {
    /// By so much in all it did when it was last asked, and at least since.
    base: f32,
    least: f32,
    since: Duration,
    /// So often it was more than before.
    times: u32,
}

/// The things of one scene.
#[derive(Debug, Default)]
pub struct Blobs {
    known: Vec<Known>,
    next: u64,
}

impl Blobs {
    /// What is known, while nothing can be compared.
    pub fn kept(&self) -> Vec<Blob> {
        self.known.iter().map(|k| k.blob.clone()).collect()
    }

    /// Whether anything known may have gone.
    pub fn going(&self) -> bool {
        self.known.iter().any(|known| known.gone_since.is_some())
    }

    /// The scene was learnt anew with everything in it.
    pub fn part_of_the_scene(&mut self, at: Duration) {
        for known in &mut self.known {
            known.in_scene = true;
            // How it came can no longer be asked.
            known.blob.settled = true;
            known.gone_since = None;
            known.grown_at = at;
        }
    }

    /// Blobs of `candidate` cells; also cells that are to become the scene. `changed` tells
    /// which cells differ at all, standing still or not.
    pub fn find(
        &mut self,
        frame: &Frame<'_>,
        changed: &[bool],
        candidate: &[bool],
        at: Duration,
    ) -> (Vec<Blob>, Vec<usize>) {
        let mut accepted = Vec::new();
        let mut inside = vec![false; candidate.len()];
        for cells in components(frame, candidate) {
            if cells.len() < MIN_CELLS || self.known.len() >= MAX_BLOBS {
                continue;
            }
            let area = cells.len() as f32 / frame.scene.len() as f32;
            inside.fill(false);
            for cell in &cells {
                inside[*cell] = true;
            }
            if area > MAX_SHARE
                || thin(frame, &cells, &inside)
                || only_light(frame, &cells, &inside)
            {
                continue;
            }
            let change = change(frame, &cells, &inside);
            let overlapping = |known: &Known| {
                let shared = known.cells.iter().filter(|c| inside[**c]).count();
                shared * 3 >= known.cells.len().min(cells.len())
            };
            match self.known.iter().position(overlapping) {
                Some(index) => {
                    let Some(known) = self.known.get_mut(index) else {
                        continue;
                    };
                    if known.in_scene {
                        // The scene has the thing, so a change here is its going.
                        if change == Change::Removed {
                            accepted.extend(cells);
                            self.known.swap_remove(index);
                        }
                        continue;
                    }
                    if area > known.blob.area * GROWN {
                        known.grown_at = at;
                        known.blob.area = area;
                        known.blob.bbox = bounds(frame, &cells);
                        known.blob.rim = rim(frame, &cells);
                        // What has come and grows has not gone; its going shows otherwise.
                        if known.blob.change == Change::Removed {
                            known.blob.change = change;
                        }
                    } else if SAME_SIZE.contains(&(area / known.blob.area)) {
                        known.blob.rim = rim(frame, &cells);
                    }
                    for cell in &known.cells {
                        inside[*cell] = false;
                    }
                    let new = cells.iter().copied().filter(|c| inside[*c]);
                    known.add(frame, new, at);
                }
                None => {
                    self.next += 1;
                    let mut known = Known {
                        blob: Blob {
                            id: self.next,
                            bbox: bounds(frame, &cells),
                            rim: rim(frame, &cells),
                            area,
                            change,
                            since: at.saturating_sub(super::STILL_FOR),
                            stable: Duration::ZERO,
                            settled: false,
                        },
                        cells: Vec::new(),
                        comings: Vec::new(),
                        rise: None,
                        grown_at: at,
                        gone_since: None,
                        in_scene: false,
                    };
                    known.add(frame, cells.into_iter(), at);
                    self.known.push(known);
                }
            }
        }
        self.known.retain_mut(|known| {
            known.blob.stable = at.saturating_sub(known.grown_at);
            let removed =
                known.blob.change == Change::Removed && known.blob.stable >= ACCEPT_REMOVED;
            if removed || known.creeps(frame, at) {
                accepted.append(&mut known.cells);
                return false;
            }
            known.in_scene || !gone(known, frame, changed, at)
        });
        (self.kept(), accepted)
    }
}

/// Whether any of these cells hang together as a thing's would.
pub fn anything(frame: &Frame<'_>, cells: &[bool]) -> bool {
    let mut inside = vec![false; cells.len()];
    components(frame, cells).iter().any(|found| {
        inside.fill(false);
        for cell in found {
            inside[*cell] = true;
        }
        found.len() >= MIN_CELLS && !thin(frame, found, &inside)
    })
}

/// Whether the place has looked like the scene for long enough. A place that cannot be seen is
/// not gone.
fn gone(known: &mut Known, frame: &Frame<'_>, changed: &[bool], at: Duration) -> bool {
    let hidden = known.cells.iter().filter(|c| frame.covered[**c]).count();
    if hidden * 2 > known.cells.len() {
        known.gone_since = None;
        return false;
    }
    let different = known
        .cells
        .iter()
        .filter(|c| changed[**c] && !frame.covered[**c])
        .count();
    if different * 3 > known.cells.len() - hidden {
        known.gone_since = None;
        return false;
    }
    let since = *known.gone_since.get_or_insert(at);
    at.saturating_sub(since) >= GONE
}

/// Connected cells (eight neighbours, gaps of one cell bridged).
fn components(frame: &Frame<'_>, candidate: &[bool]) -> Vec<Vec<usize>> {
    let (width, height) = (frame.width, frame.height);
    let mut seen = vec![false; candidate.len()];
    let mut found = Vec::new();
    for start in 0..candidate.len() {
        if !candidate[start] || seen[start] {
            continue;
        }
        seen[start] = true;
        let mut cells = vec![start];
        let mut next = 0;
        while let Some(&cell) = cells.get(next) {
            next += 1;
            let (x, y) = (cell % width, cell / width);
            for ny in y.saturating_sub(2)..(y + 3).min(height) {
                for nx in x.saturating_sub(2)..(x + 3).min(width) {
                    let neighbour = ny * width + nx;
                    if candidate[neighbour] && !seen[neighbour] {
                        seen[neighbour] = true;
                        cells.push(neighbour);
                    }
                }
            }
        }
        found.push(cells);
    }
    found
}

fn bounds(frame: &Frame<'_>, cells: &[usize]) -> Bbox {
    let (mut left, mut top, mut right, mut bottom) = (usize::MAX, usize::MAX, 0, 0);
    for cell in cells {
        let (x, y) = (cell % frame.width, cell / frame.width);
        (left, top) = (left.min(x), top.min(y));
        (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
    }
    [
        left as f32 / frame.width as f32,
        top as f32 / frame.height as f32,
        right as f32 / frame.width as f32,
        bottom as f32 / frame.height as f32,
    ]
}

/// The lower end of each column of cells, without columns that hang over.
fn rim(frame: &Frame<'_>, cells: &[usize]) -> Vec<[f32; 3]> {
    let mut columns = std::collections::BTreeMap::new();
    for cell in cells {
        let (x, y) = (cell % frame.width, cell / frame.width);
        let (top, bottom) = columns.entry(x).or_insert((y, y + 1));
        (*top, *bottom) = ((*top).min(y), (*bottom).max(y + 1));
    }
    let highest = columns.values().map(|(top, bottom)| bottom - top).max();
    let least = STANDS * highest.unwrap_or(0) as f32;
    columns
        .into_iter()
        .filter(|(_, (top, bottom))| (bottom - top) as f32 >= least)
        .map(|(x, (_, bottom))| {
            [
                x as f32 / frame.width as f32,
                (x + 1) as f32 / frame.width as f32,
                bottom as f32 / frame.height as f32,
            ]
        })
        .collect()
}

/// Nowhere three cells wide: the edge of a shadow that creeps, a wire in the wind.
fn thin(frame: &Frame<'_>, cells: &[usize], inside: &[bool]) -> bool {
    !cells.iter().any(|&cell| {
        let (x, y) = (cell % frame.width, cell / frame.width);
        x > 0
            && y > 0
            && x + 1 < frame.width
            && y + 1 < frame.height
            && (y - 1..=y + 1).all(|y| {
                let from = y * frame.width + x - 1;
                inside[from] && inside[from + 1] && inside[from + 2]
            })
    })
}

/// A shadow or a beam of light: the same surface, darker or lighter.
fn only_light(frame: &Frame<'_>, cells: &[usize], inside: &[bool]) -> bool {
    let ratios: Vec<f32> = cells
        .iter()
        .map(|c| frame.present[*c].max(1.0) / frame.scene[*c].max(1.0))
        .collect();
    let n = ratios.len() as f32;
    let mean = ratios.iter().sum::<f32>() / n;
    if !SHADE.contains(&mean) {
        return false;
    }
    let spread = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f32>() / n).sqrt() / mean;
    let (correlation, contrast) = texture(frame, cells, inside);
    if contrast >= TEXTURE {
        // The pattern of the ground tells, whatever the factor does at the soft edge.
        return correlation >= TEXTURE_KEPT;
    }
    // On bare ground: a beam has no edge; a shadow has, and is the same throughout.
    soft(frame, cells, inside) || (mean < 1.0 && spread < SHADE_SPREAD)
}

/// Whether the difference fades out at its border.
fn soft(frame: &Frame<'_>, cells: &[usize], inside: &[bool]) -> bool {
    let off = |cell: usize| frame.present[cell] - frame.scene[cell];
    let mean = cells.iter().map(|c| off(*c).abs()).sum::<f32>() / cells.len() as f32;
    let (mut step, mut count) = (0.0, 0);
    for &cell in cells {
        for neighbour in neighbours(frame, cell) {
            if !inside[neighbour] {
                step += (off(cell) - off(neighbour)).abs();
                count += 1;
            }
        }
    }
    step / (count.max(1) as f32) < SOFT * mean
}

fn neighbours(frame: &Frame<'_>, cell: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (cell % frame.width, cell / frame.width);
    [
        (x > 0).then(|| cell - 1),
        (x + 1 < frame.width).then_some(cell + 1),
        (y > 0).then(|| cell - frame.width),
        (y + 1 < frame.height).then_some(cell + frame.width),
    ]
    .into_iter()
    .flatten()
}

/// Correlation of brightness steps within the region, now and in the scene; and how strong they
/// are where they are stronger.
fn texture(frame: &Frame<'_>, cells: &[usize], inside: &[bool]) -> (f32, f32) {
    let mut pairs = Vec::with_capacity(cells.len() * 2);
    for &cell in cells {
        for other in [cell + 1, cell + frame.width] {
            if inside.get(other) == Some(&true) {
                pairs.push((
                    frame.scene[other] - frame.scene[cell],
                    frame.present[other] - frame.present[cell],
                ));
            }
        }
    }
    let n = pairs.len().max(1) as f32;
    let product = pairs.iter().map(|(a, b)| a * b).sum::<f32>() / n;
    let was = (pairs.iter().map(|(a, _)| a * a).sum::<f32>() / n).sqrt();
    let is = (pairs.iter().map(|(_, b)| b * b).sum::<f32>() / n).sqrt();
    if was < 0.1 || is < 0.1 {
        return (0.0, was.max(is));
    }
    (product / (was * is), was.max(is))
}

/// A thing has an outline, and is of another brightness than what is around it. If the scene had
/// that and the present has not, the thing is gone.
///
/// The outline alone would not do: cells are found where they differ, so on rough ground those of
/// a smooth bag are where the ground was bright, which looks like an outline of the scene's own.
fn change(frame: &Frame<'_>, cells: &[usize], inside: &[bool]) -> Change {
    let (mut now, mut before, mut steps) = (0.0, 0.0, 0);
    for &cell in cells {
        for neighbour in neighbours(frame, cell) {
            if !inside[neighbour] && !frame.untold[neighbour] {
                now += (frame.present[cell] - frame.present[neighbour]).abs();
                before += (frame.scene[cell] - frame.scene[neighbour]).abs();
                steps += 1;
            }
        }
    }
    let around = around(frame, cells, inside);
    let apart = |of: &[f32]| match &around[..] {
        [] => 0.0,
        around => (mean(of, cells) - mean(of, around)).abs(),
    };
    let steps = steps.max(1) as f32;
    let of_thing = |step: f32, of: &[f32]| step / steps + apart(of);
    if of_thing(before, frame.scene) > of_thing(now, frame.present) {
        Change::Removed
    } else {
        Change::Appeared
    }
}

/// Cells within [`RING`] of the region's box that can be compared and are none of the region's.
fn around(frame: &Frame<'_>, cells: &[usize], inside: &[bool]) -> Vec<usize> {
    let columns = cells.iter().map(|c| c % frame.width);
    let rows = cells.iter().map(|c| c / frame.width);
    let span = |least: usize, most: usize, all: usize| {
        least.saturating_sub(RING)..(most + RING + 1).min(all)
    };
    let (left, right) = (columns.clone().min(), columns.max());
    let (top, bottom) = (rows.clone().min(), rows.max());
    let columns = span(left.unwrap_or(0), right.unwrap_or(0), frame.width);
    span(top.unwrap_or(0), bottom.unwrap_or(0), frame.height)
        .flat_map(|y| columns.clone().map(move |x| y * frame.width + x))
        .filter(|cell| !inside[*cell] && !frame.untold[*cell])
        .collect()
}

fn mean(of: &[f32], cells: &[usize]) -> f32 {
    cells.iter().map(|c| of[*c]).sum::<f32>() / cells.len().max(1) as f32
}
