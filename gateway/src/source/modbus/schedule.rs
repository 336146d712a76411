//! Whose turn it is on a bus. Pure: knows units by index and time as `mono`.
//!
//! A unit that answers is *live* and polled on a fixed grid, staggered over its period, the
//! nearest deadline first. A unit that did not answer its last request, or was never asked, is
//! a *suspect*, and waits longer after each miss. Live units are asked on the main lane. Where
//! there is a second connection, suspects are asked aside on that one, with full patience, so
//! that they cost the live ones nothing; and because being moved aside costs a unit nothing but
//! the same question once more, the main lane loses patience early. Where there is only one
//! line, suspects go into the gaps.

use std::time::Duration;

/// Misses in a row before a unit counts as silent (and is reported).
pub const SILENT_AFTER: u32 = 3;

/// Longest pause between two probes of a silent unit, unless its own period is longer.
pub const MAX_PROBE_PAUSE: Duration = Duration::from_secs(30);

/// How long a probe waits for a gap in the live units' polls before it takes its turn anyway.
pub const PROBE_STARVES_AFTER: Duration = Duration::from_secs(10);

/// The main lane waits at least this long, and this many times the slowest recent answer.
const MIN_PATIENCE: Duration = Duration::from_millis(100);
const PATIENCE_FACTOR: u32 = 8;

/// The slowest recent answer is forgotten by this share with every faster one.
const FORGET: u32 = 32;

/// Units are staggered in steps of this: those of one step follow each other without a pause,
/// which saves the gateway a wake-up each.
const STAGGER_STEP: Duration = Duration::from_millis(50);

/// What a time-out costs a line with only one lane: the wait and the silence after it.
fn cost_of_silence(timeout: Duration) -> Duration {
    timeout * 3 / 2
}

/// One of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Main,
    Aside,
}

/// What a lane should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this unit and wait this long for each answer.
    Poll { unit: usize, patience: Duration },
    /// Nothing to do before this time.
    Sleep(Duration),
    /// Nothing to do until told.
    Rest,
}

#[derive(Clone, Debug)]
struct Slot {
    every: Duration,
    /// Live: next point of its grid. Suspect: not to be asked before.
    due: Duration,
    /// The grid's origin.
    phase: Duration,
    live: bool,
    /// On a lane now.
    away: bool,
    misses: u32,
}

impl Slot {
    /// Next point of the grid after `now`, and how many since `due` have passed unused.
    fn next_due(&self, now: Duration) -> (Duration, u64) {
        let steps =
            |t: Duration| t.saturating_sub(self.phase).as_nanos() / self.every.as_nanos().max(1);
        let step = steps(now) + u128::from(now >= self.phase);
        let passed = step.saturating_sub(steps(self.due) + 1);
        let next = self.every.as_nanos().saturating_mul(step);
        (
            self.phase + Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX)),
            u64::try_from(passed).unwrap_or(u64::MAX),
        )
    }

    fn probe_pause(&self) -> Duration {
        let doublings = self.misses.saturating_sub(SILENT_AFTER).min(16);
        (self.every * (1 << doublings)).min(MAX_PROBE_PAUSE.max(self.every))
    }
}

/// What came of a poll for the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Misses in a row, this one included.
    pub misses: u32,
    /// Polls of a live unit that did not happen in their period.
    pub late: u64,
    /// The other lane has to look again.
    pub changed: bool,
}

/// The queue of one bus.
#[derive(Clone, Debug)]
pub struct Schedule {
    slots: Vec<Slot>,
    timeout: Duration,
    /// Slowest recent answer.
    slowest: Duration,
    has_aside: bool,
    /// The second connection is not to be tried before.
    alone_until: Duration,
}

impl Schedule {
    /// Units with these periods, staggered from `now` on; `has_aside`: there can be a second
    /// connection.
    pub fn new(periods: &[Duration], timeout: Duration, has_aside: bool, now: Duration) -> Self {
        let count = u32::try_from(periods.len()).unwrap_or(u32::MAX).max(1);
        let slots = periods
            .iter()
            .zip(0u32..)
            .map(|(every, i)| {
                let offset = (*every * i / count).as_nanos() / STAGGER_STEP.as_nanos();
                let phase = now + STAGGER_STEP * u32::try_from(offset).unwrap_or(u32::MAX);
                Slot {
                    every: *every,
                    due: phase,
                    phase,
                    live: false,
                    away: false,
                    misses: 0,
                }
            })
            .collect();
        Schedule {
            slots,
            timeout,
            slowest: Duration::ZERO,
            has_aside,
            alone_until: Duration::ZERO,
        }
    }

    /// What `lane` should do now.
    pub fn next(&self, lane: Lane, now: Duration) -> Next {
        let has_live = self.slots.iter().any(|s| s.live);
        let two_lanes = self.has_aside && now >= self.alone_until && has_live;
        match lane {
            Lane::Main => self.next_main(now, two_lanes, has_live),
            Lane::Aside if two_lanes => self.next_suspect(now),
            Lane::Aside if self.has_aside && has_live => Next::Sleep(self.alone_until),
            Lane::Aside => Next::Rest,
        }
    }

    fn next_main(&self, now: Duration, two_lanes: bool, has_live: bool) -> Next {
        // In one lane, a unit that has not been silent for long keeps its place in the row.
        let in_row = |s: &Slot| s.live || (!two_lanes && s.misses < SILENT_AFTER);
        let home = || self.slots.iter().enumerate().filter(|(_, s)| !s.away);
        let first = home()
            .filter(|(_, s)| in_row(s) && s.due <= now)
            .min_by_key(|(_, s)| s.due + s.every);
        if let Some((unit, slot)) = first {
            let patience = if two_lanes && slot.live {
                (self.slowest * PATIENCE_FACTOR)
                    .max(MIN_PATIENCE)
                    .min(self.timeout)
            } else {
                self.timeout
            };
            return Next::Poll { unit, patience };
        }
        let row_due = home().filter(|(_, s)| in_row(s)).map(|(_, s)| s.due).min();
        if two_lanes {
            return row_due.map_or(Next::Rest, Next::Sleep);
        }
        // A gap that is long enough, or a probe that cannot wait for one any more.
        let fits = |s: &Slot, at: Duration| {
            !has_live
                || at >= s.due + PROBE_STARVES_AFTER
                || row_due.is_none_or(|due| due >= at + cost_of_silence(self.timeout))
        };
        let probes = || home().filter(|(_, s)| !in_row(s));
        let probe = probes()
            .filter(|(_, s)| s.due <= now && fits(s, now))
            .min_by_key(|(_, s)| s.due);
        if let Some((unit, _)) = probe {
            return Next::Poll {
                unit,
                patience: self.timeout,
            };
        }
        let probe_due = probes()
            .map(|(_, s)| {
                if s.due > now {
                    s.due
                } else {
                    s.due + PROBE_STARVES_AFTER
                }
            })
            .min();
        row_due
            .into_iter()
            .chain(probe_due)
            .min()
            .map_or(Next::Rest, Next::Sleep)
    }

    fn next_suspect(&self, now: Duration) -> Next {
        let first = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, s)| !s.live && !s.away)
            .min_by_key(|(_, s)| s.due);
        match first {
            Some((unit, slot)) if slot.due <= now => Next::Poll {
                unit,
                patience: self.timeout,
            },
            Some((_, slot)) => Next::Sleep(slot.due),
            None => Next::Rest,
        }
    }

    /// `unit` is on a lane from now on.
    pub fn begin(&mut self, unit: usize) {
        if let Some(slot) = self.slots.get_mut(unit) {
            slot.away = true;
        }
    }

    /// `unit` comes back without having been asked.
    pub fn give_back(&mut self, unit: usize) {
        if let Some(slot) = self.slots.get_mut(unit) {
            slot.away = false;
        }
    }

    /// `unit` answered, if only to refuse; its slowest answer took `took`.
    pub fn answered(&mut self, unit: usize, took: Duration, now: Duration) -> Settled {
        self.slowest = took.max(self.slowest - self.slowest / FORGET);
        let Some(slot) = self.slots.get_mut(unit) else {
            return NOTHING;
        };
        let was_live = slot.live;
        slot.away = false;
        slot.live = true;
        slot.misses = 0;
        let (due, passed) = slot.next_due(now);
        slot.due = due;
        Settled {
            misses: 0,
            late: if was_live { passed } else { 0 },
            changed: !was_live,
        }
    }

    /// `unit` did not answer, or not in a way that can be believed.
    pub fn silent(&mut self, unit: usize, now: Duration) -> Settled {
        let two_lanes = self.has_aside && now >= self.alone_until;
        let Some(slot) = self.slots.get_mut(unit) else {
            return NOTHING;
        };
        let was_live = slot.live;
        slot.away = false;
        slot.live = false;
        slot.misses = slot.misses.saturating_add(1);
        let (due, passed) = slot.next_due(now);
        slot.due = if was_live && two_lanes {
            now
        } else if slot.misses < SILENT_AFTER {
            due
        } else {
            now + slot.probe_pause()
        };
        Settled {
            misses: slot.misses,
            late: if was_live { passed } else { 0 },
            changed: was_live,
        }
    }

    /// The bus itself cannot be reached: whoever was due has missed its turn, and nobody is to
    /// blame for it. Calls back with each such unit and its misses.
    pub fn unreachable(&mut self, now: Duration, mut missed: impl FnMut(usize, Settled)) {
        for (i, slot) in self.slots.iter_mut().enumerate() {
            if !slot.away && slot.due <= now {
                let (due, passed) = slot.next_due(now);
                slot.due = due;
                slot.misses = slot.misses.saturating_add(1);
                missed(
                    i,
                    Settled {
                        misses: slot.misses,
                        late: if slot.live { passed + 1 } else { 0 },
                        changed: false,
                    },
                );
            }
        }
    }

    /// There is no second connection to be had before `until`.
    pub fn stay_alone(&mut self, until: Duration) {
        self.alone_until = until;
    }
}

const NOTHING: Settled = Settled {
    misses: 0,
    late: 0,
    changed: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Runs a bus in model time: `takes` says how long a unit needs, `None` for ever.
    /// Returns when each unit was successfully polled.
    fn run(
        periods: &[Duration],
        timeout: Duration,
        aside: bool,
        until: Duration,
        takes: impl Fn(usize, Duration) -> Option<Duration>,
    ) -> (Vec<Vec<Duration>>, u64) {
        let mut schedule = Schedule::new(periods, timeout, aside, Duration::ZERO);
        let mut polled = vec![Vec::new(); periods.len()];
        let mut late = 0;
        let lanes: &[Lane] = if aside {
            &[Lane::Main, Lane::Aside]
        } else {
            &[Lane::Main]
        };
        // Per lane: busy until, with whom, and whether it will answer.
        let mut busy: [Option<(Duration, usize, Option<Duration>)>; 2] = [None, None];
        let mut now = Duration::ZERO;
        while now < until {
            for (lane, job) in lanes.iter().zip(&mut busy) {
                if let Some((at, unit, answer)) = *job
                    && at <= now
                {
                    *job = None;
                    let settled = match answer {
                        Some(took) => {
                            polled[unit].push(now);
                            schedule.answered(unit, took, now)
                        }
                        None => schedule.silent(unit, now),
                    };
                    late += settled.late;
                }
                if job.is_none()
                    && let Next::Poll { unit, patience } = schedule.next(*lane, now)
                {
                    schedule.begin(unit);
                    let quiet = if aside { Duration::ZERO } else { timeout / 2 };
                    *job = Some(match takes(unit, now) {
                        Some(t) if t <= patience => (now + t, unit, Some(t)),
                        _ => (now + patience + quiet, unit, None),
                    });
                }
            }
            now += ms(1);
        }
        (polled, late)
    }

    fn longest_gap(polls: &[Duration]) -> Duration {
        polls
            .windows(2)
            .map(|w| w[1] - w[0])
            .max()
            .unwrap_or(Duration::MAX)
    }

    #[test]
    fn live_units_are_staggered_on_a_grid() {
        let (polled, late) = run(&[SECOND; 10], SECOND, true, 20 * SECOND, |_, _| Some(ms(2)));
        assert_eq!(late, 0);
        for (i, polls) in polled.iter().enumerate() {
            assert!((19..=21).contains(&polls.len()), "{i}: {}", polls.len());
            assert!(
                longest_gap(polls) <= ms(1300),
                "{i} {:?}",
                longest_gap(polls)
            );
            // Within its own tenth of the second once all are live.
            for poll in &polls[2..] {
                let phase = poll.subsec_millis();
                assert!(
                    (i as u32 * 100..i as u32 * 100 + 20).contains(&phase),
                    "{i} {phase}"
                );
            }
        }
    }

    #[test]
    fn dead_units_beside_cost_the_live_ones_nothing() {
        let (polled, late) = run(&[SECOND; 50], SECOND, true, 120 * SECOND, |unit, _| {
            (unit < 45).then_some(ms(1))
        });
        assert_eq!(late, 0);
        for polls in &polled[..45] {
            assert!(longest_gap(polls) < ms(1500), "{:?}", longest_gap(polls));
        }
    }

    #[test]
    fn five_units_that_die_at_once_cost_the_live_ones_no_poll() {
        let (polled, late) = run(&[SECOND; 50], SECOND, true, 60 * SECOND, |unit, now| {
            (unit < 45 || now < 20 * SECOND).then_some(ms(1))
        });
        assert_eq!(late, 0);
        for polls in &polled[..45] {
            // Five times the shortest patience, at most half a period.
            assert!(longest_gap(polls) <= ms(1510), "{:?}", longest_gap(polls));
        }
    }

    #[test]
    fn a_unit_that_comes_back_is_found() {
        let (polled, _) = run(&[SECOND; 5], SECOND, true, 200 * SECOND, |unit, now| {
            (unit != 2 || now > 100 * SECOND).then_some(ms(1))
        });
        let back = polled[2][0];
        assert!(
            back <= 100 * SECOND + MAX_PROBE_PAUSE + 2 * SECOND,
            "{back:?}"
        );
        assert!(polled[2].len() > 60);
    }

    #[test]
    fn on_one_line_a_dead_unit_costs_the_others_at_most_one_poll_in_a_row() {
        let (polled, late) = run(&[SECOND; 8], ms(400), false, 120 * SECOND, |unit, _| {
            (unit != 3).then_some(ms(60))
        });
        for (i, polls) in polled.iter().enumerate().filter(|(i, _)| *i != 3) {
            assert!(
                longest_gap(polls) < ms(2000),
                "{i} {:?}",
                longest_gap(polls)
            );
            assert!(polls.len() >= 112, "{i} {}", polls.len());
        }
        assert!(late <= 10, "{late}");
    }

    #[test]
    fn a_line_of_dead_units_only_keeps_trying() {
        let (polled, _) = run(&[SECOND; 3], ms(400), false, 100 * SECOND, |unit, now| {
            (unit == 1 && now > 60 * SECOND).then_some(ms(10))
        });
        assert!(polled[1].len() > 5);
    }

    #[test]
    fn different_periods_keep_their_own_deadlines() {
        let periods = [SECOND, 10 * SECOND, ms(500)];
        let (polled, late) = run(&periods, SECOND, true, 60 * SECOND, |_, _| Some(ms(30)));
        assert_eq!(late, 0);
        assert!((58..=61).contains(&polled[0].len()));
        assert!((6..=7).contains(&polled[1].len()));
        assert!((117..=121).contains(&polled[2].len()));
    }

    #[test]
    fn what_an_overloaded_bus_cannot_do_is_counted() {
        // Twenty units at 100 ms each need two seconds of every one.
        let (polled, late) = run(&[SECOND; 20], SECOND, false, 100 * SECOND, |_, _| {
            Some(ms(100))
        });
        let done: usize = polled.iter().map(Vec::len).sum();
        assert!((950..=1001).contains(&done), "{done}");
        assert!((900..=1050).contains(&late), "{late}");
        let least = polled.iter().map(Vec::len).min();
        assert!(least >= Some(48), "fair: {least:?}");
    }

    #[test]
    fn an_unreachable_bus_blames_nobody() {
        let mut schedule = Schedule::new(&[SECOND; 2], SECOND, true, Duration::ZERO);
        schedule.answered(0, ms(1), ms(1));
        schedule.answered(1, ms(1), ms(501));
        let mut seen = Vec::new();
        for s in 1..=5 {
            schedule.unreachable(s * SECOND + ms(600), |unit, settled| {
                seen.push((unit, settled.misses, settled.late));
            });
        }
        assert_eq!(seen[..4], [(0, 1, 1), (1, 1, 1), (0, 2, 1), (1, 2, 1)]);
        // Back again: both at once, neither is a suspect.
        assert!(matches!(
            schedule.next(Lane::Main, 7 * SECOND),
            Next::Poll { .. }
        ));
        assert_eq!(schedule.next(Lane::Aside, 7 * SECOND), Next::Rest);
    }

    #[test]
    fn without_a_second_connection_probes_move_into_the_gaps() {
        let mut schedule = Schedule::new(&[SECOND; 2], ms(200), true, Duration::ZERO);
        schedule.answered(0, ms(1), ms(1));
        for _ in 0..3 {
            schedule.silent(1, ms(1));
        }
        assert!(matches!(schedule.next(Lane::Main, ms(10)), Next::Sleep(_)));
        schedule.stay_alone(600 * SECOND);
        assert_eq!(
            schedule.next(Lane::Aside, ms(10)),
            Next::Sleep(600 * SECOND)
        );
        // The suspect is due at 1.001 s; the live one at 1 s and 2 s.
        schedule.answered(0, ms(1), ms(1005));
        assert_eq!(
            schedule.next(Lane::Main, ms(1100)),
            Next::Poll {
                unit: 1,
                patience: ms(200)
            }
        );
    }
}
