//! Whether a meter's reading can follow from the one before. Pure.

use std::time::Duration;

use crate::config::Totaliser;

/// A meter that fell or jumped is believed again, as a new or reset one, once its readings have
/// been consistent with each other for this long.
pub const BELIEVE_AFTER: Duration = Duration::from_secs(600);

/// Readings that differ by less than this share of themselves are the same: single precision
/// floats of the same figure do.
const SAME: f64 = 1e-6;

/// What is remembered of one totaliser.
#[derive(Clone, Debug)]
pub struct Watch {
    limits: Totaliser,
    /// Last reading that was believed.
    good: Option<Track>,
    /// Readings that contradict it, but not each other, and since when.
    other: Option<(Track, Duration)>,
}

/// A believed reading and how far it may still rise: a bucket that holds one hour's worth, so
/// that a register with coarse steps may jump, but never by more than that.
#[derive(Clone, Copy, Debug)]
struct Track {
    value: f64,
    at: Duration,
    room: f64,
}

impl Watch {
    /// Starts without any reading; the first is believed.
    pub fn new(limits: Totaliser) -> Self {
        Watch {
            limits,
            good: None,
            other: None,
        }
    }

    /// Whether `value` at `mono` can be true.
    pub fn check(&mut self, value: f64, mono: Duration) -> bool {
        let fresh = Track {
            value,
            at: mono,
            room: self.limits.max_per_hour,
        };
        let Some(good) = self.good else {
            self.good = Some(fresh);
            return true;
        };
        if let Some(next) = self.follow(good, value, mono) {
            self.good = Some(next);
            self.other = None;
            return true;
        }
        let (other, since) = match self.other {
            Some((track, since)) => match self.follow(track, value, mono) {
                Some(next) => (next, since),
                None => (fresh, mono),
            },
            None => (fresh, mono),
        };
        let believed = mono.saturating_sub(since) >= BELIEVE_AFTER;
        if believed {
            self.good = Some(other);
            self.other = None;
        } else {
            self.other = Some((other, since));
        }
        believed
    }

    fn follow(&self, from: Track, value: f64, mono: Duration) -> Option<Track> {
        let max = self.limits.max_per_hour;
        let hours = mono.saturating_sub(from.at).as_secs_f64() / 3600.0;
        let room = (from.room + max * hours).min(max * hours.max(1.0));
        let (rise, value) = if value >= from.value {
            (value - from.value, value)
        } else if from.value - value <= from.value.abs() * SAME {
            (0.0, from.value)
        } else {
            (self.limits.rollover? - from.value + value, value)
        };
        (0.0..=room).contains(&rise).then_some(Track {
            value,
            at: mono,
            room: room - rise,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(rollover: Option<f64>) -> Watch {
        Watch::new(Totaliser {
            rollover,
            max_per_hour: 10.0,
        })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_may_stand_or_rise_within_the_limit() {
        let mut w = watch(None);
        assert!(w.check(5000.0, at(0)));
        assert!(w.check(5000.0, at(1)));
        assert!(w.check(5001.0, at(2)), "a coarse register steps");
        assert!(w.check(5010.0, at(3)), "an hour's worth at once");
        assert!(!w.check(5011.0, at(4)), "and no more");
        assert!(w.check(5020.0, at(3604)));
        // After a long silence the rise may be as long.
        assert!(w.check(5120.0, at(3604 + 36_000)));
        assert!(!w.check(5231.0, at(3604 + 72_000)));
    }

    #[test]
    fn many_small_jumps_do_not_creep_past_the_limit() {
        let mut w = watch(None);
        let mut believed = 0;
        for s in 0..60 {
            believed += u32::from(w.check(1000.0 + f64::from(s as u32), at(s)));
        }
        assert!(believed <= 12, "{believed}");
    }

    #[test]
    fn it_may_not_fall_unless_it_rolls_over() {
        let mut w = watch(None);
        assert!(w.check(100.0, at(0)));
        assert!(!w.check(99.0, at(1)));
        assert!(w.check(100.0, at(2)));
        assert!(w.check(99.999_999, at(3)), "float noise");
        let mut w = watch(Some(1e5));
        assert!(w.check(99_998.0, at(0)));
        assert!(w.check(2.0, at(1)));
        assert!(!w.check(99_998.0, at(2)));
        let mut w = watch(Some(1e5));
        assert!(w.check(99_998.0, at(0)));
        assert!(!w.check(50.0, at(1)), "rolled over, but too far");
        assert!(!w.check(100_001.0 * 10.0, at(2)));
    }

    #[test]
    fn a_replaced_meter_is_believed_in_the_end() {
        let mut w = watch(None);
        assert!(w.check(5000.0, at(0)));
        for s in 1..=600 {
            assert!(!w.check(3.0, at(s)), "{s}");
        }
        assert!(w.check(3.0, at(601)));
        assert!(w.check(3.5, at(602)));
        assert!(!w.check(5000.0, at(603)));
        // Readings that contradict each other never are.
        let mut w = watch(None);
        assert!(w.check(5000.0, at(0)));
        for s in 1..2000 {
            assert!(!w.check(if s % 2 == 0 { 3.0 } else { 700.0 }, at(s)));
        }
    }
}
