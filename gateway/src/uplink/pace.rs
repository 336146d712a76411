//! How fast: back-off with jitter, the telemetry window, the drain's rate limit. All pure.

use std::time::Duration;

use rand::Rng;

/// Exponential back-off with jitter: attempt n waits between a half and the whole of
/// `base * 2^n`, at most `cap`, so that a thousand stations that fell together do not rise
/// together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The wait before try `attempt + 1`; `attempt` counts the failures so far from 0.
    pub fn delay(self, attempt: u32, rng: &mut impl Rng) -> Duration {
        // 2^20 times any base is beyond every cap; the bound keeps the arithmetic finite.
        let whole = self.base.saturating_mul(1 << attempt.min(20)).min(self.cap);
        whole.mul_f64(rng.random_range(0.5..=1.0))
    }
}

/// How many telemetry messages may be on their way at once, found by probing, as TCP finds its
/// window: up while answers come fast, halved when they come late. On a slow link it keeps the
/// queue ahead of a fresh alert short; on a fast one it reaches the top within a second.
#[derive(Debug)]
pub struct Window {
    size: f64,
    top: f64,
    halved_at: Duration,
}

impl Window {
    /// An answer later than this halves the window: an alert would have waited as long.
    pub const LATE: Duration = Duration::from_secs(2);
    /// An answer earlier than this lets a full window grow.
    const EARLY: Duration = Duration::from_millis(500);
    /// Where it starts: a second's worth for a 4G link, 56 KB at most.
    const START: f64 = 16.0;

    /// A window that never exceeds `top`.
    pub fn new(top: usize) -> Self {
        let top = top.max(1) as f64;
        Window {
            size: Self::START.min(top),
            top,
            halved_at: Duration::ZERO,
        }
    }

    /// How many may be on their way.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// A message was answered after `took`; `full` says whether the window was the limit.
    pub fn answered(&mut self, took: Duration, full: bool, now: Duration) {
        if took >= Self::LATE {
            // Everything that was on its way together is late together: halve once for it.
            if now.saturating_sub(self.halved_at) >= took {
                self.size = (self.size / 2.0).max(1.0);
                self.halved_at = now;
            }
        } else if took <= Self::EARLY && full {
            self.size = (self.size + 1.0).min(self.top);
        }
    }
}

/// Token bucket: a constant rate, whatever the backlog (C7: no tidal wave after an outage).
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Duration,
}

impl Pace {
    /// `per_second` on average, `burst` at once.
    pub fn new(per_second: f64, burst: f64) -> Self {
        Pace {
            per_second,
            burst,
            tokens: burst,
            at: Duration::ZERO,
        }
    }

    /// Takes one if there is one.
    pub fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now.max(self.at);
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// When there will be one again.
    pub fn next(&self) -> Duration {
        self.at + Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn back_off_doubles_with_jitter_and_stops_at_the_cap() {
        let backoff = Backoff {
            base: Duration::from_millis(200),
            cap: Duration::from_secs(30),
        };
        let mut rng = StdRng::seed_from_u64(7);
        for (attempt, whole) in [
            (0, 200),
            (1, 400),
            (4, 3_200),
            (8, 30_000),
            (u32::MAX, 30_000),
        ] {
            let mut seen = Vec::new();
            for _ in 0..50 {
                let delay = backoff.delay(attempt, &mut rng).as_millis();
                assert!(
                    (whole / 2..=whole).contains(&delay),
                    "attempt {attempt}: {delay}"
                );
                seen.push(delay);
            }
            seen.dedup();
            assert!(seen.len() > 10, "no jitter: {seen:?}");
        }
    }

    #[test]
    fn window_grows_only_when_it_limits_and_halves_once_per_late_round() {
        let s = Duration::from_secs;
        let mut window = Window::new(100);
        assert_eq!(window.size(), 16);
        window.answered(Duration::from_millis(1), false, s(1));
        assert_eq!(window.size(), 16);
        for _ in 0..500 {
            window.answered(Duration::from_millis(1), true, s(1));
        }
        assert_eq!(window.size(), 100);
        for _ in 0..100 {
            window.answered(s(3), true, s(10));
        }
        assert_eq!(window.size(), 50);
        for round in 0..20 {
            window.answered(s(3), true, s(20 + round * 5));
        }
        assert_eq!(window.size(), 1);
    }

    #[test]
    fn pace_holds_its_rate_and_says_when() {
        let mut pace = Pace::new(100.0, 10.0);
        let mut sent = 0;
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(2) {
            if pace.take(now) {
                sent += 1;
            } else {
                assert!(pace.next() > now);
                now = pace.next();
            }
        }
        assert!((205..=212).contains(&sent), "{sent}");
    }
}
