//! What is decoded for rare looks, where a machine is short of time.
//!
//! A frame between two key frames can only be decoded after all that come before it. Of a look
//! now and then, most decoding would be for nothing; so the last looks before a key frame are
//! left to that, and the frames up to it are kept as they are. If it does not come when it was
//! expected, they are caught up with.

/// So much later than expected a key frame may come, µs.
const OVERDUE: i64 = 500_000;

/// What to do with a frame of a scene in which something goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Decode it after those before it.
    Decode,
    /// Keep it as it is.
    Keep,
    /// Decode what was kept, then this.
    CatchUp,
    /// A key frame: nothing before it is needed any more. Decode it, and what follows.
    Resume,
    /// A key frame, and nothing after it is needed either: look at it alone, and keep it.
    Look,
    /// A key frame that comes too soon to be looked at: keep it, in place of what was kept.
    Pass,
}

/// Whether a camera's frames are kept until the next key frame.
#[derive(Debug, Default)]
pub struct Rest {
    /// When it began and when the key frame is expected, µs.
    span: Option<(i64, i64)>,
    /// It is over, and nothing has been looked at since.
    look_due: bool,
}

impl Rest {
    /// The next frame, of time `pts` (µs). `plan` tells when the key frame is expected, and how
    /// looks lie about it.
    pub fn next(&mut self, pts: i64, key: bool, plan: impl FnOnce() -> Option<Plan>) -> Step {
        match self.span {
            _ if key => {
                let rested = self.span.is_some();
                let plan = plan();
                let is_early = plan.is_some_and(|plan| plan.is_early(pts));
                let left = plan
                    .filter(|plan| plan.leaves_to_key(if is_early { plan.looked } else { pts }));
                self.span = left.map(|plan| (pts, plan.key));
                self.look_due |= !is_early && (rested || left.is_some());
                match left {
                    Some(_) if is_early => Step::Pass,
                    Some(_) => Step::Look,
                    None if rested => Step::Resume,
                    None => Step::Decode,
                }
            }
            Some((since, until)) if (since..=until.saturating_add(OVERDUE)).contains(&pts) => {
                Step::Keep
            }
            Some(_) => {
                self.span = None;
                Step::CatchUp
            }
            None if self.look_due => Step::Decode,
            None => match plan() {
                Some(plan) if plan.key > pts && plan.leaves_to_key(plan.looked) => {
                    self.span = Some((pts, plan.key));
                    Step::Keep
                }
                _ => Step::Decode,
            },
        }
    }

    /// A look is due, whenever the last was.
    pub fn look_due(&self) -> bool {
        self.look_due
    }

    /// A picture was looked at.
    pub fn looked(&mut self) {
        self.look_due = false;
    }

    /// What was kept is gone, or not needed.
    pub fn end(&mut self) {
        *self = Rest::default();
    }
}

/// Where looks lie about the next key frame; all in µs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When the last was.
    pub looked: i64,
    /// Least time between two.
    pub interval: i64,
    /// When the key frame is expected.
    pub key: i64,
}

impl Plan {
    /// Whether the look after one at `looked` is better left to the key frame: it would come
    /// later than that, or sooner by less than half the time between looks.
    fn leaves_to_key(&self, looked: i64) -> bool {
        looked.saturating_add(self.interval) > self.key.saturating_sub(self.interval / 2)
    }

    /// Whether a key frame now comes after less than two thirds of the time between looks.
    fn is_early(&self, now: i64) -> bool {
        let passed = now.saturating_sub(self.looked);
        // Less than nothing: a new time base.
        (0..self.interval / 3 * 2).contains(&passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 40_000;
    const FAR: i64 = 9_000_000;

    /// Looks so rare that all are left to the key frame.
    #[allow(clippy::unnecessary_wraps)]
    fn rare(key: i64) -> Option<Plan> {
        Some(Plan {
            looked: 0,
            interval: 2 * FAR,
            key,
        })
    }

    /// Looks and decoded frames of a minute at 25 frames a second, with a key frame every `gop`
    /// frames (expected after as many as the last time) and looks every `interval`.
    fn play(gop: impl Fn(i64) -> i64, interval: i64) -> (Vec<i64>, usize) {
        let mut rest = Rest::default();
        let (mut looks, mut decoded) = (Vec::new(), 0);
        let mut kept = 0;
        let (mut last_key, mut key_interval, mut next_key) = (0, None, 0);
        for frame in 0..25 * 60 {
            let pts = frame * FRAME;
            let key = frame == next_key;
            if key {
                key_interval = (frame > 0).then_some(pts - last_key);
                last_key = pts;
                next_key = frame + gop(frame);
            }
            let looked = looks.last().copied();
            let step = rest.next(pts, key, || {
                Some(Plan {
                    looked: looked?,
                    interval,
                    key: last_key + key_interval?,
                })
            });
            match step {
                Step::Keep => {
                    kept += 1;
                    continue;
                }
                Step::Pass => {
                    kept = 1;
                    continue;
                }
                Step::CatchUp => decoded += std::mem::take(&mut kept) + 1,
                Step::Look => {
                    kept = 1;
                    decoded += 1;
                }
                Step::Decode | Step::Resume => {
                    kept = 0;
                    decoded += 1;
                }
            }
            if rest.look_due() || looked.is_none_or(|last| pts - last >= interval) {
                rest.looked();
                looks.push(pts);
            }
        }
        (looks, decoded)
    }

    fn longest_pause(looks: &[i64]) -> i64 {
        let pauses = looks.windows(2).map(|pair| pair[1] - pair[0]);
        pauses.max().unwrap_or(0)
    }

    #[test]
    fn the_rarer_the_looks_the_less_is_decoded_and_no_look_is_lost() {
        for (millis, share) in [
            (80, 0.99),
            (400, 0.85),
            (700, 0.76),
            (1000, 0.55),
            (1500, 0.09),
            (3000, 0.06),
            (17_000, 0.04),
        ] {
            let interval = millis * 1000;
            let (looks, decoded) = play(|_| 50, interval);
            let decoded = decoded as f64 / 1500.0;
            assert!(decoded <= share, "{millis}: {decoded}");
            assert!(decoded >= share / 2.0, "{millis}: {decoded}");
            let wanted = 60_000.0 / millis as f64;
            assert!(
                looks.len() as f64 <= wanted * 1.5 + 1.0,
                "{millis}: {}",
                looks.len()
            );
            assert!(
                looks.len() as f64 >= wanted * 0.66,
                "{millis}: {}",
                looks.len()
            );
            let pause = longest_pause(&looks);
            assert!(
                pause <= (interval * 3 / 2).max(2_000_000),
                "{millis}: {pause}"
            );
        }
    }

    #[test]
    fn a_key_frame_that_does_not_come_is_not_waited_for() {
        // From 20 s on, key frames come every 10 s.
        let (looks, _) = play(|frame| if frame < 500 { 50 } else { 250 }, 1_500_000);
        let pause = longest_pause(&looks);
        assert!(pause <= 2_000_000 + OVERDUE + FRAME, "{pause}");
    }

    #[test]
    fn a_key_frame_is_waited_for_so_long_and_no_longer() {
        for (late, step) in [
            (OVERDUE, Step::Keep),
            (OVERDUE + 1, Step::CatchUp),
            (OVERDUE * 10, Step::CatchUp),
            // A new time base.
            (-2_000_001, Step::CatchUp),
        ] {
            let mut rest = Rest::default();
            assert_eq!(rest.next(0, false, || rare(2_000_000)), Step::Keep);
            let pts = 2_000_000 + late;
            assert_eq!(rest.next(pts, false, || None), step, "{late}");
        }
    }

    #[test]
    fn after_a_rest_the_key_frame_is_looked_at_before_there_is_another() {
        let mut rest = Rest::default();
        assert_eq!(rest.next(0, false, || rare(FRAME)), Step::Keep);
        assert_eq!(rest.next(FRAME, true, || None), Step::Resume);
        // Its picture may come out of the decoder with a later frame.
        assert!(rest.look_due());
        assert_eq!(rest.next(2 * FRAME, false, || rare(FAR)), Step::Decode);
        rest.looked();
        assert!(!rest.look_due());
        assert_eq!(rest.next(3 * FRAME, false, || rare(FAR)), Step::Keep);
    }
}
