//! How each cell came to differ from the scene: all at once, or bit by bit.
//!
//! A thing is there from one moment to the next, or is uncovered by whoever sets it down. Ground
//! that dries, snow that settles, a puddle that spreads do not come so: each cell changes over
//! many seconds, or the cells change one after the other.

use std::time::Duration;

/// A cell that differs by less than this share of the least difference is as the scene is.
const CLEAR: f32 = 0.5;
/// A cell that comes at once takes no longer from the first difference to the least that counts.
const JUST: Duration = Duration::from_millis(700);
/// So long after the first difference it still belongs to it.
const RISES: Duration = Duration::from_secs(2);
/// Looks farther apart do not tell how something came.
const SEEN: Duration = Duration::from_secs(4);
/// Share of what a cell differs by that must have come at once.
const AT_ONCE: f32 = 0.7;
/// Cells that came within this are of one thing...
const TOGETHER: Duration = Duration::from_secs(2);
/// ...which may have come in so many parts...
const PARTS: usize = 3;
/// ...that are at least this share of it.
const WHOLE: f32 = 0.5;

/// How a cell came to differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coming {
    /// While somebody stood before it.
    Hidden,
    /// From one moment, this one, to the next.
    AtOnce(Duration),
    /// Between two looks too far apart to tell.
    Unseen,
    /// Bit by bit.
    Crept,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Media time of the first difference, and the most it was by shortly after.
    rise: Option<(Duration, f32)>,
    /// Whether the difference that counts was there just after, once it is.
    sudden: Option<bool>,
    hidden: bool,
    unseen: bool,
}

/// Every cell's way from the scene to what is there now.
#[derive(Debug, Default)]
pub struct Onsets(Vec<Cell>);

impl Onsets {
    /// So many cells, all as the scene is.
    pub fn of(count: usize) -> Self {
        Onsets(vec![Cell::default(); count])
    }

    /// The cell differs by `off` at `at`, `passed` after the look before, where `limit` is the
    /// least difference.
    pub fn look(&mut self, index: usize, (off, limit): (f32, f32), at: Duration, passed: Duration) {
        let Some(cell) = self.0.get_mut(index) else {
            return;
        };
        if off <= CLEAR * limit {
            *cell = Cell::default();
            return;
        }
        if cell.rise.is_none() {
            cell.unseen = passed > SEEN;
        }
        let (begun, most) = cell.rise.get_or_insert((at, off));
        let since = at.saturating_sub(*begun);
        if since <= RISES {
            *most = most.max(off);
        }
        if off > limit {
            cell.sudden.get_or_insert(since <= JUST);
        }
    }

    /// Whether the cell differs and came to do so at once, or hidden, whatever it did since.
    pub fn is_sudden(&self, index: usize) -> bool {
        let sudden = |cell: &Cell| cell.sudden.is_some_and(|sudden| sudden || cell.hidden);
        self.0.get(index).is_some_and(sudden)
    }

    /// Somebody is before the cell.
    pub fn cover(&mut self, index: usize) {
        if let Some(cell) = self.0.get_mut(index) {
            cell.hidden |= cell.rise.is_none();
        }
    }

    /// How the cell came to differ by `off`.
    pub fn coming(&self, index: usize, off: f32) -> Coming {
        match self.0.get(index) {
            Some(Cell { hidden: true, .. }) => Coming::Hidden,
            Some(Cell { unseen: true, .. }) => Coming::Unseen,
            Some(Cell {
                rise: Some((at, most)),
                ..
            }) if *most >= AT_ONCE * off => Coming::AtOnce(*at),
            _ => Coming::Crept,
        }
    }
}

/// Whether cells that came so may be a thing: most of them hidden or unseen, or in a few moments.
pub fn is_thing(comings: &[Coming]) -> bool {
    let mut untold = 0;
    let mut times = Vec::with_capacity(comings.len());
    for coming in comings {
        match coming {
            Coming::Hidden | Coming::Unseen => untold += 1,
            Coming::AtOnce(at) => times.push(*at),
            Coming::Crept => {}
        }
    }
    times.sort_unstable();
    let mut counted = untold;
    for _ in 0..PARTS {
        let (from, to) = busiest(&times);
        counted += to - from;
        times.drain(from..to);
    }
    counted as f32 >= WHOLE * comings.len() as f32
}

/// Range of the sorted `times` within [`TOGETHER`] that holds the most.
fn busiest(times: &[Duration]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut from = 0;
    for (to, time) in times.iter().enumerate() {
        while times.get(from).is_some_and(|t| *time - *t > TOGETHER) {
            from += 1;
        }
        if to + 1 - from > best.1 - best.0 {
            best = (from, to + 1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFTEN: Duration = Duration::from_millis(200);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_step_comes_at_once_and_a_ramp_creeps() {
        let mut onsets = Onsets::of(2);
        for look in 0..100u64 {
            let at = ms(look * 200);
            onsets.look(0, (if look < 10 { 1.0 } else { 40.0 }, 16.0), at, OFTEN);
            onsets.look(1, (look as f32 * 0.6, 16.0), at, OFTEN);
        }
        assert_eq!(onsets.coming(0, 40.0), Coming::AtOnce(ms(2000)));
        assert_eq!(onsets.coming(1, 59.4), Coming::Crept);
    }

    #[test]
    fn two_looks_far_apart_do_not_tell() {
        for (passed, coming) in [
            (4000, Coming::AtOnce(ms(4000))),
            (4001, Coming::Unseen),
            (40_000, Coming::Unseen),
        ] {
            let mut onsets = Onsets::of(1);
            onsets.look(0, (2.0, 16.0), ms(0), ms(0));
            onsets.look(0, (60.0, 16.0), ms(passed), ms(passed));
            assert_eq!(onsets.coming(0, 60.0), coming);
        }
    }

    #[test]
    fn what_is_uncovered_was_hidden_until_it_is_clear_again() {
        let mut onsets = Onsets::of(1);
        onsets.look(0, (1.0, 16.0), ms(0), OFTEN);
        onsets.cover(0);
        onsets.look(0, (30.0, 16.0), ms(5000), OFTEN);
        onsets.look(0, (33.0, 16.0), ms(9000), OFTEN);
        assert_eq!(onsets.coming(0, 33.0), Coming::Hidden);
        onsets.look(0, (3.0, 16.0), ms(10_000), OFTEN);
        onsets.look(0, (30.0, 16.0), ms(11_000), OFTEN);
        assert_eq!(onsets.coming(0, 30.0), Coming::AtOnce(ms(11_000)));
    }

    #[test]
    fn somebody_who_passes_later_hides_nothing_of_how_it_came() {
        let mut onsets = Onsets::of(1);
        onsets.look(0, (30.0, 16.0), ms(1000), OFTEN);
        onsets.cover(0);
        assert_eq!(onsets.coming(0, 30.0), Coming::AtOnce(ms(1000)));
    }

    #[test]
    fn a_few_parts_are_a_thing_and_a_front_that_moves_is_not() {
        let parts: Vec<_> = (0..90)
            .map(|cell| Coming::AtOnce(ms(10_000 * (cell / 30))))
            .collect();
        assert!(is_thing(&parts));
        // 20 s at an even pace: three times two seconds are under a third.
        let front: Vec<_> = (0..100)
            .map(|cell| Coming::AtOnce(ms(200 * cell)))
            .collect();
        assert!(!is_thing(&front));
    }

    #[test]
    fn at_least_half_must_have_come_so() {
        let mixed = |hidden: usize, crept: usize| {
            let mut comings = vec![Coming::Hidden; hidden];
            comings.resize(hidden + crept, Coming::Crept);
            comings
        };
        assert!(is_thing(&mixed(5, 5)));
        assert!(!is_thing(&mixed(5, 6)));
    }
}
