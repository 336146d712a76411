//! What one device is believed: how often it may speak, which of its messages are new, and
//! whether its clock is right. Pure; one guard per device.
//!
//! The hard case is telling a repeat by the transport (MQTT delivers at least once) from a replay
//! by somebody else. A copy of what is not yet on disk is always taken again, because its sender
//! may never have been answered; a copy of what is on disk but was never acknowledged is
//! acknowledged now; a copy of what was acknowledged is a replay unless it is marked DUP.

use std::{collections::VecDeque, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{clock::Now, observation::Quality};

/// A device's clock further off than this is not believed.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(10);
/// Messages that are remembered per device, to know a copy when it comes.
pub const WINDOW: usize = 64;
/// A device may save up this much of its rate and spend it at once.
pub const BURST: Duration = Duration::from_secs(600);
/// Least burst, messages: a slow device may still send what a wake-up brings.
pub const MIN_BURST: f64 = 20.0;
/// Longest absence of ours for which a backlog is believed at once.
pub const MAX_ABSENCE: Duration = Duration::from_secs(24 * 3600);
/// Without an offence for this long, a device is out of quarantine.
pub const QUIET: Duration = Duration::from_secs(300);
/// A message number that falls back is believed to be a restarted counter after so many different
/// messages in a row that do not count down, where no believable clock says so at once.
pub const RESTART_AFTER: u8 = 3;
/// A device without a clock is believed to have restarted at once, if it did not lately.
pub const RESTART_PAUSE: Duration = Duration::from_secs(600);

/// What is known of one device's messages.
#[derive(Debug)]
pub struct Guard {
    rate: f64,
    tokens: f64,
    refilled: Duration,
    recent: VecDeque<Seen>,
    /// Highest number taken since the counter last restarted.
    last: Option<u64>,
    last_time: Option<Timestamp>,
    /// Highest number that left `recent` before it was on disk.
    lost_sight: Option<u64>,
    /// Below `last`: the latest number, the digest of its message, and how many different ones in
    /// a row went up to it.
    climb: Option<(u64, u32, u8)>,
    /// When a restart was believed without a clock.
    restarted: Option<Duration>,
    clock_wrong: bool,
    quarantined_until: Option<Duration>,
}

#[derive(Debug)]
struct Seen {
    key: u64,
    digest: u32,
    fate: Fate,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Passed on, not yet on disk.
    Pending,
    /// On disk; its sender was gone before it could be told.
    Durable,
    /// On disk, and its sender was told (or never waits for it: QoS 0).
    Acknowledged,
}

/// What identifies one message among those of its device.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub seq: Option<u64>,
    pub time: Option<Timestamp>,
    /// Of the payload.
    pub digest: u32,
    /// MQTT's mark for a repeated delivery.
    pub dup: bool,
    /// Its sender waits for an acknowledgement (QoS 1 and 2).
    pub waits: bool,
}

impl Identity {
    /// The number under which it is remembered: its own, or its time.
    pub fn key(&self) -> Option<u64> {
        self.seq
            .or_else(|| u64::try_from(self.time?.as_microsecond()).ok())
    }
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New: pass it on.
    Fresh,
    /// A copy of one that is not on disk yet, or of which nothing is known any more: pass it on.
    Again,
    /// A copy of one that is on disk: acknowledge it and do nothing else.
    Repeat,
    /// Taken and acknowledged before, or older than what was taken.
    Replay,
}

impl Guard {
    /// A guard for a device that may send `max_rate` messages a second.
    pub fn new(max_rate: f64, now: Now) -> Guard {
        Guard {
            rate: max_rate,
            tokens: burst(max_rate),
            refilled: now.mono,
            recent: VecDeque::new(),
            last: None,
            last_time: None,
            lost_sight: None,
            climb: None,
            restarted: None,
            clock_wrong: false,
            quarantined_until: None,
        }
    }

    /// One more message: false if it is one too many.
    pub fn admit(&mut self, now: Now) -> bool {
        let idle = now.mono.saturating_sub(self.refilled);
        self.refilled = now.mono;
        let limit = burst(self.rate).max(self.tokens);
        self.tokens = (self.tokens + idle.as_secs_f64() * self.rate).min(limit);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// We could not be reached for `absence`: what waited for us meanwhile is no flood.
    pub fn grant(&mut self, absence: Duration) {
        self.tokens += absence.min(MAX_ABSENCE).as_secs_f64() * self.rate;
    }

    /// Whether a message is new. Must be followed by passing it on for [`Verdict::Fresh`] and
    /// [`Verdict::Again`].
    pub fn judge(&mut self, m: Identity, now: Now) -> Verdict {
        let Some(key) = m.key() else {
            return Verdict::Fresh; // nothing to tell copies by
        };
        let known = |s: &&Seen| s.key == key && s.digest == m.digest;
        if let Some(seen) = self.recent.iter().rev().find(known) {
            return match seen.fate {
                Fate::Pending => Verdict::Again,
                Fate::Durable => Verdict::Repeat,
                Fate::Acknowledged if m.dup => Verdict::Repeat,
                Fate::Acknowledged => Verdict::Replay,
            };
        }
        if m.seq.is_none() {
            return self.take(key, m);
        }
        if self.last.is_none_or(|last| key > last) {
            self.last = Some(key);
            self.climb = None;
            return self.take(key, m);
        }
        // From here on the number is not above those taken: late, or the device's counter started
        // again, or somebody replays.
        let reused = self.recent.iter().any(|s| s.key == key);
        let oldest = self.recent.iter().map(|s| s.key).min();
        let beyond_memory = self.recent.len() >= WINDOW && oldest.is_some_and(|o| key < o);
        if !reused && !beyond_memory {
            return self.take(key, m);
        }
        if !reused && (m.dup || self.lost_sight.is_some_and(|lost| key <= lost)) {
            return Verdict::Again;
        }
        let restarted = match m.time {
            Some(time) if believable(time, now) => self.last_time.is_none_or(|last| time > last),
            // Something new under a number that is remembered is nobody's copy.
            _ if reused => true,
            time => self.restart_without_clock(key, m.digest, time, now),
        };
        if !restarted {
            return Verdict::Replay;
        }
        self.lost_sight = None;
        self.climb = None;
        self.last = Some(key);
        self.last_time = None;
        self.take(key, m)
    }

    /// No clock says when it was sent: a device that never had one is believed to have started
    /// again now and then, any other when it counts on.
    fn restart_without_clock(
        &mut self,
        key: u64,
        digest: u32,
        time: Option<Timestamp>,
        now: Now,
    ) -> bool {
        let rested = self
            .restarted
            .is_none_or(|at| now.mono.saturating_sub(at) >= RESTART_PAUSE);
        let clockless = time.is_none() || self.clock_wrong;
        let count = match self.climb {
            Some((_, before, count)) if before == digest => count,
            Some((last, _, count)) if key >= last => count + 1,
            _ => 1,
        };
        self.climb = Some((key, digest, count));
        let believed = (clockless && rested) || count >= RESTART_AFTER;
        if believed {
            self.restarted = Some(now.mono);
        }
        believed
    }

    fn take(&mut self, key: u64, m: Identity) -> Verdict {
        if m.time > self.last_time {
            self.last_time = m.time;
        }
        if self.recent.len() >= WINDOW
            && let Some(old) = self.recent.pop_front()
            && old.fate == Fate::Pending
        {
            self.lost_sight = self.lost_sight.max(Some(old.key));
        }
        self.recent.push_back(Seen {
            key,
            digest: m.digest,
            fate: if m.waits {
                Fate::Pending
            } else {
                Fate::Acknowledged
            },
        });
        Verdict::Fresh
    }

    /// The message remembered under `key` has come as far as `fate`.
    pub fn settle(&mut self, key: u64, fate: Fate) {
        if let Some(seen) = self.recent.iter_mut().rev().find(|s| s.key == key) {
            seen.fate = seen.fate.max(fate);
        } else if self.lost_sight.is_some_and(|lost| key >= lost) {
            // What was passed on before it is on disk too: commits keep the order.
            self.lost_sight = None;
        }
    }

    /// When a message was true, how far to believe it, and whether that changed since the last.
    pub fn date(&mut self, time: Option<Timestamp>, now: Now) -> (Timestamp, Quality, bool) {
        let Some(time) = time else {
            return (now.wall, Quality::Good, false);
        };
        let wrong = !believable(time, now);
        let changed = wrong != self.clock_wrong;
        self.clock_wrong = wrong;
        if wrong {
            (now.wall, Quality::ClockSuspect, changed)
        } else {
            (time, Quality::Good, changed)
        }
    }

    /// It did what it must not: true if it goes into quarantine with this.
    pub fn offend(&mut self, now: Now) -> bool {
        self.quarantined_until.replace(now.mono + QUIET).is_none()
    }

    /// True if its quarantine ends with this.
    pub fn release(&mut self, now: Now) -> bool {
        self.quarantined_until
            .take_if(|until| now.mono >= *until)
            .is_some()
    }
}

fn burst(rate: f64) -> f64 {
    (rate * BURST.as_secs_f64()).max(MIN_BURST)
}

/// Whether a device's clock is near enough to ours.
pub fn believable(time: Timestamp, now: Now) -> bool {
    now.wall.duration_since(time).abs() <= CLOCK_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(seconds: f64) -> Now {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        Now {
            wall: start + SignedDuration::from_secs_f64(seconds),
            mono: Duration::from_secs_f64(seconds),
        }
    }

    fn seq(seq: u64) -> Identity {
        Identity {
            seq: Some(seq),
            time: None,
            digest: seq as u32,
            dup: false,
            waits: true,
        }
    }

    /// Takes `seq` and acknowledges it.
    fn done(guard: &mut Guard, m: Identity, at: f64) -> Verdict {
        let verdict = guard.judge(m, now(at));
        guard.settle(m.key().unwrap(), Fate::Acknowledged);
        verdict
    }

    #[test]
    fn a_rate_is_held_and_a_backlog_of_our_making_is_not_a_flood() {
        let mut guard = Guard::new(2.0, now(0.0));
        let taken = |guard: &mut Guard, at| (0..10_000).filter(|_| guard.admit(now(at))).count();
        assert_eq!(taken(&mut guard, 0.0), 1_200);
        assert_eq!(taken(&mut guard, 0.4), 0);
        assert_eq!(taken(&mut guard, 5.0), 10);
        // Rest does not pile up beyond the burst.
        assert_eq!(taken(&mut guard, 5_000.0), 1_200);
        guard.grant(Duration::from_secs(100));
        assert_eq!(taken(&mut guard, 5_000.0), 200);
        // Coming back often is no way around it.
        for _ in 0..10 {
            guard.grant(Duration::from_millis(500));
        }
        assert_eq!(taken(&mut guard, 5_000.0), 10);
        for absence in [
            MAX_ABSENCE,
            MAX_ABSENCE + Duration::from_secs(1),
            MAX_ABSENCE * 10,
        ] {
            guard.tokens = 0.0;
            guard.grant(absence);
            assert_eq!(guard.tokens, 2.0 * MAX_ABSENCE.as_secs_f64());
        }

        let mut slow = Guard::new(0.01, now(0.0));
        assert_eq!(taken(&mut slow, 0.0), 20);
    }

    #[test]
    fn copies_are_told_from_replays_by_how_far_the_first_came() {
        let mut guard = Guard::new(10.0, now(0.0));
        assert_eq!(guard.judge(seq(5), now(0.0)), Verdict::Fresh);
        assert_eq!(guard.judge(seq(5), now(0.1)), Verdict::Again);
        guard.settle(5, Fate::Durable);
        assert_eq!(guard.judge(seq(5), now(0.2)), Verdict::Repeat);
        guard.settle(5, Fate::Acknowledged);
        assert_eq!(guard.judge(seq(5), now(0.3)), Verdict::Replay);
        let dup = Identity {
            dup: true,
            ..seq(5)
        };
        assert_eq!(guard.judge(dup, now(0.3)), Verdict::Repeat);
        // A later word never takes the better one back.
        guard.settle(5, Fate::Durable);
        assert_eq!(guard.judge(seq(5), now(0.3)), Verdict::Replay);
    }

    #[test]
    fn late_messages_are_taken_once() {
        let mut guard = Guard::new(10.0, now(0.0));
        for s in [1, 2, 5, 4] {
            assert_eq!(done(&mut guard, seq(s), 0.0), Verdict::Fresh, "{s}");
        }
        assert_eq!(done(&mut guard, seq(4), 0.0), Verdict::Replay);
        assert_eq!(done(&mut guard, seq(6), 0.0), Verdict::Fresh);
    }

    #[test]
    fn what_is_beyond_memory_is_refused_but_never_before_it_is_safe() {
        let mut guard = Guard::new(10.0, now(0.0));
        for s in 1..=(2 * WINDOW as u64) {
            assert_eq!(done(&mut guard, seq(s), 0.0), Verdict::Fresh);
        }
        let dup = Identity {
            dup: true,
            ..seq(3)
        };
        assert_eq!(guard.judge(dup, now(1.0)), Verdict::Again);
        guard.restarted = Some(now(0.5).mono);
        assert_eq!(guard.judge(seq(3), now(1.0)), Verdict::Replay);
        assert_eq!(guard.judge(seq(3), now(1.0)), Verdict::Replay);

        // Nothing settled: whatever left the window may be lost, so it is taken again.
        let mut guard = Guard::new(10.0, now(0.0));
        for s in 1..=(2 * WINDOW as u64) {
            guard.judge(seq(s), now(0.0));
        }
        assert_eq!(guard.judge(seq(3), now(1.0)), Verdict::Again);
        for s in 1..=(WINDOW as u64) {
            guard.settle(s, Fate::Acknowledged);
        }
        guard.restarted = Some(now(0.5).mono);
        assert_eq!(guard.judge(seq(3), now(1.0)), Verdict::Replay);
    }

    #[test]
    fn a_restarted_counter_is_heard_again() {
        let timed = |s, at: f64| Identity {
            time: Some(now(at).wall),
            digest: at as u32 + 1000,
            ..seq(s)
        };
        // With a clock: at once. An old frame with its old time: never.
        let mut guard = Guard::new(10.0, now(0.0));
        for s in 1..=100 {
            assert_eq!(
                done(&mut guard, timed(s, s as f64), s as f64),
                Verdict::Fresh
            );
        }
        assert_eq!(guard.judge(timed(2, 2.0), now(101.0)), Verdict::Replay);
        assert_eq!(done(&mut guard, timed(1, 102.0), 102.0), Verdict::Fresh);
        assert_eq!(done(&mut guard, timed(2, 103.0), 103.0), Verdict::Fresh);

        // Yesterday's frame: only when it counts on, because this device has a clock.
        let old = |s| Identity {
            time: Some(now(0.0).wall - SignedDuration::from_hours(24)),
            ..seq(s)
        };
        let mut guard = Guard::new(10.0, now(0.0));
        for s in 101..=200 {
            done(&mut guard, timed(s, s as f64), s as f64);
        }
        for s in [1, 1, 2] {
            assert_eq!(guard.judge(old(s), now(200.0)), Verdict::Replay);
        }
        assert_eq!(guard.judge(old(3), now(200.0)), Verdict::Fresh);

        // Without a clock: at once, but not again and again.
        let mut guard = Guard::new(10.0, now(0.0));
        for s in 1..=100 {
            done(&mut guard, seq(s), 0.0);
        }
        assert_eq!(done(&mut guard, seq(1), 1.0), Verdict::Fresh);
        let kept = 101 - WINDOW as u64;
        for s in 2..kept {
            assert_eq!(done(&mut guard, seq(s), 1.0), Verdict::Fresh, "{s}");
        }
        assert_eq!(guard.judge(seq(100), now(1.0)), Verdict::Replay);
        for s in 1000..1100 {
            done(&mut guard, seq(s), 2.0);
        }
        assert_eq!(guard.judge(seq(5), now(2.0)), Verdict::Replay);
        let later = RESTART_PAUSE.as_secs_f64() + 1.0;
        assert_eq!(done(&mut guard, seq(5), later), Verdict::Fresh);

        // A number that is remembered with something else under it: at once.
        let other = |s| Identity {
            digest: 77,
            ..seq(s)
        };
        assert_eq!(done(&mut guard, other(5), later), Verdict::Fresh);
        assert_eq!(done(&mut guard, other(5), later), Verdict::Replay);
        assert_eq!(done(&mut guard, other(6), later), Verdict::Fresh);
    }

    #[test]
    fn without_a_number_the_time_tells_copies() {
        let at = |s: f64, digest| Identity {
            seq: None,
            time: Some(now(s).wall),
            digest,
            dup: false,
            waits: true,
        };
        let mut guard = Guard::new(10.0, now(0.0));
        assert_eq!(done(&mut guard, at(1.0, 1), 1.0), Verdict::Fresh);
        assert_eq!(done(&mut guard, at(1.0, 1), 2.0), Verdict::Replay);
        assert_eq!(done(&mut guard, at(1.0, 2), 2.0), Verdict::Fresh);
        assert_eq!(done(&mut guard, at(0.5, 3), 2.0), Verdict::Fresh);
        // Neither: nothing can be told, everything counts.
        let bare = Identity {
            time: None,
            ..at(0.0, 1)
        };
        assert_eq!(guard.judge(bare, now(3.0)), Verdict::Fresh);
        assert_eq!(guard.judge(bare, now(3.0)), Verdict::Fresh);
    }

    #[test]
    fn clocks_are_believed_within_ten_minutes() {
        let mut guard = Guard::new(10.0, now(0.0));
        let n = now(1000.0);
        let off = |seconds: i64| Some(n.wall + SignedDuration::from_secs(seconds));
        assert_eq!(guard.date(None, n), (n.wall, Quality::Good, false));
        for good in [0, 600, -600] {
            let time = off(good);
            assert_eq!(guard.date(time, n), (time.unwrap(), Quality::Good, false));
        }
        assert_eq!(
            guard.date(off(601), n),
            (n.wall, Quality::ClockSuspect, true)
        );
        assert_eq!(
            guard.date(off(-365 * 86_400), n),
            (n.wall, Quality::ClockSuspect, false)
        );
        assert!(guard.date(off(1), n).2);
    }

    #[test]
    fn quarantine_is_entered_once_and_left_after_quiet() {
        let mut guard = Guard::new(10.0, now(0.0));
        assert!(!guard.release(now(0.0)));
        assert!(guard.offend(now(0.0)));
        assert!(!guard.offend(now(100.0)));
        assert!(!guard.release(now(399.0)));
        assert!(guard.release(now(400.0)));
        assert!(!guard.release(now(401.0)));
        assert!(guard.offend(now(402.0)));
    }
}
