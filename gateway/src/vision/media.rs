//! Media time: what a camera's own timestamps say, made safe to measure with.

use std::time::Duration;

use crate::bilingual::Bilingual;

use super::{
    dwell::{FORGET, MAX_UNSEEN},
    track::LOST,
};

/// A step between two frames longer than this is a gap: nobody watched in between.
pub const MAX_STEP: Duration = Duration::from_secs(2);

/// How far apart two pictures of a camera may be for what lies between them to count. Video has
/// many pictures a second; a camera that sends single ones needs more, but never so much that a
/// missing picture counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Longest step between two pictures that is time watched.
    pub step: Duration,
    /// Longest time between two sightings that is presence, and between two looks that is
    /// emptiness.
    pub unseen: Duration,
    /// Longest time that a track is out of sight.
    pub lost: Duration,
    /// Longest time that a track is out of a zone.
    pub forget: Duration,
}

impl Allowance {
    /// For video.
    pub const VIDEO: Allowance = Allowance {
        step: MAX_STEP,
        unseen: MAX_UNSEEN,
        lost: LOST,
        forget: FORGET,
    };

    /// For pictures that come `every` so long, up to half as late again: twice would be a
    /// missing one. Something not found in one picture may be found in the next, so tracks have
    /// two and a half.
    pub fn stills(every: Duration) -> Self {
        let late = every * 3 / 2;
        let Allowance {
            step,
            unseen,
            lost,
            forget,
        } = Self::VIDEO;
        Allowance {
            step: step.max(late),
            unseen: unseen.max(late),
            lost: lost.max(every * 5 / 2),
            forget: forget.max(every * 5 / 2),
        }
    }
}

/// Time a camera was actually watched.
///
/// It advances by the step between one frame's timestamp and the next. Gaps, jumps back, loops
/// and reconnections add nothing, so a dwell measured on it never grows without pictures.
#[derive(Clone, Copy, Debug)]
pub struct MediaClock {
    newest: Option<i64>,
    watched: Duration,
    longest: Duration,
}

impl Default for MediaClock {
    fn default() -> Self {
        Self::with(Allowance::VIDEO)
    }
}

impl MediaClock {
    /// A clock that counts steps as far as allowed.
    pub fn with(allowance: Allowance) -> Self {
        MediaClock {
            newest: None,
            watched: Duration::ZERO,
            longest: allowance.step,
        }
    }

    /// Takes a frame's timestamp (µs) and returns the time watched so far.
    pub fn advance(&mut self, pts: i64) -> Duration {
        match self.newest {
            Some(newest) if pts <= newest => {
                // Frames come in decoding order, so small steps back are normal; a large one is
                // a new time base.
                if newest.saturating_sub(pts) > self.longest.as_micros() as i64 {
                    self.newest = Some(pts);
                }
            }
            Some(newest) => {
                let step = Duration::from_micros(pts.abs_diff(newest));
                if step <= self.longest {
                    self.watched += step;
                }
                self.newest = Some(pts);
            }
            None => self.newest = Some(pts),
        }
        self.watched
    }

    /// The stream begins again: its next timestamp has nothing to do with the last.
    pub fn restart(&mut self) {
        self.newest = None;
    }

    /// The time watched so far.
    pub fn watched(&self) -> Duration {
        self.watched
    }
}

/// Largest difference between a camera's clock and ours that is corrected softly, µs.
const SOFT: i64 = 1_000_000;
/// Share of a difference that one frame corrects.
const GAIN: f64 = 0.002;

/// Maps media time to wall time: anchored where the stream begins, then drawn slowly towards
/// the time of arrival, so that network jitter hardly shows and a drifting camera clock does
/// not add up.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallMap {
    /// Wall time minus media time, µs.
    offset: Option<i64>,
}

impl WallMap {
    /// Learns from a frame with timestamp `pts` that arrived at `wall` (both µs).
    pub fn observe(&mut self, pts: i64, wall: i64) {
        let seen = wall.saturating_sub(pts);
        self.offset = Some(match self.offset {
            Some(offset) if seen.saturating_sub(offset).saturating_abs() <= SOFT => {
                offset + ((seen - offset) as f64 * GAIN) as i64
            }
            // First frame, or one of the clocks was set.
            _ => seen,
        });
    }

    /// Wall time of a frame, µs since 1970; the media time itself before any frame was seen.
    pub fn wall(&self, pts: i64) -> i64 {
        pts.saturating_add(self.offset.unwrap_or(0))
    }

    /// The stream begins again.
    pub fn restart(&mut self) {
        self.offset = None;
    }
}

/// So long a stream's timestamps are held against the time that passes before they are judged: a
/// camera may begin with some seconds that it has kept.
const JUDGED_AFTER: Duration = Duration::from_secs(20);
/// A step between two timestamps longer than this is another time base and no time that passed.
const TIME_BASE: Duration = Duration::from_secs(10);
/// Media time for each second of ours that a camera's clock may show. Dwell is measured on it.
const RATES: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// Share of the camera's time that must lie between pictures near enough to be watched.
const WATCHED: f64 = 0.25;

/// Why no dwell can be measured on a camera's timestamps; the text completes "camera …".
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ClockFault {
    #[error(
        "sends timestamps that run {0:.2} times as fast as time passes, so no dwell can be measured; set its frame rate or update its firmware"
    )]
    Rate(f64),
    #[error(
        "sends fewer than one frame in {} s, so no dwell can be measured; set its frame rate to 5 or more",
        MAX_STEP.as_secs()
    )]
    Sparse,
}

impl Bilingual for ClockFault {
    fn zh(&self) -> String {
        match self {
            ClockFault::Rate(rate) => format!(
                "码流的时间戳走速为实际时间的 {rate:.2} 倍,无法计算停留时间,请设置帧率或升级固件"
            ),
            ClockFault::Sparse => format!(
                "{} 秒内不足一帧,无法计算停留时间,请将帧率设为 5 或更高",
                MAX_STEP.as_secs()
            ),
        }
    }
}

/// Whether a camera's timestamps pass as fast as time does, and are near enough to each other.
#[derive(Debug)]
pub struct ClockRate {
    clock: MediaClock,
    watched: MediaClock,
    /// Our time, and the camera's, and what of it counts, when this judgement began.
    begun: Option<(Duration, Duration, Duration)>,
}

impl Default for ClockRate {
    fn default() -> Self {
        ClockRate {
            clock: MediaClock::with(Allowance {
                step: TIME_BASE,
                ..Allowance::VIDEO
            }),
            watched: MediaClock::default(),
            begun: None,
        }
    }
}

impl ClockRate {
    /// Takes a timestamp (µs) that came at `now`.
    ///
    /// # Errors
    /// It runs too fast or too slow for us, or says too little.
    pub fn observe(&mut self, pts: i64, now: Duration) -> Result<(), ClockFault> {
        let media = self.clock.advance(pts);
        let watched = self.watched.advance(pts);
        let (since, from, counted) = *self.begun.get_or_insert((now, media, watched));
        let passed = now.saturating_sub(since);
        if passed < JUDGED_AFTER {
            return Ok(());
        }
        self.begun = Some((now, media, watched));
        let went = media.saturating_sub(from).as_secs_f64();
        let rate = went / passed.as_secs_f64();
        if !RATES.contains(&rate) {
            return Err(ClockFault::Rate(rate));
        }
        if watched.saturating_sub(counted).as_secs_f64() < went * WATCHED {
            return Err(ClockFault::Sparse);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first judgement of a minute of frames, four a second, with timestamps (µs) by `pts`.
    fn judged(pts: impl Fn(i64) -> i64) -> Result<(), ClockFault> {
        let mut rate = ClockRate::default();
        (0..240).try_for_each(|i| rate.observe(pts(i), Duration::from_millis(250) * i as u32))
    }

    #[test]
    fn every_fault_of_a_clock_is_told_in_both_languages() {
        crate::bilingual::assert_bilingual([ClockFault::Rate(0.5), ClockFault::Sparse]);
    }

    #[test]
    fn a_clock_that_runs_too_fast_or_slow_or_not_at_all_is_told() {
        for (rate, bearable) in [
            (0.0, false),
            (0.011, false),
            (0.49, false),
            (0.51, true),
            (1.0, true),
            (1.99, true),
            (2.01, false),
            (15.0, false),
        ] {
            let told = judged(|i| (i as f64 * 250_000.0 * rate) as i64);
            assert_eq!(told.is_ok(), bearable, "{rate}");
            if let Err(ClockFault::Rate(told)) = told {
                assert!(
                    (told - rate).abs() < 0.02 * rate.max(1.0),
                    "{told} of {rate}"
                );
            }
        }
        // To and fro between two times.
        let to_and_fro = judged(|i| i % 2 * 250_000);
        assert!(matches!(to_and_fro, Err(ClockFault::Rate(rate)) if rate < 0.02));
    }

    #[test]
    fn jumps_and_seconds_that_were_kept_are_no_wrong_clock() {
        let hour = 3600 * SECOND;
        assert_eq!(judged(|i| i * 250_000 + i / 20 * hour), Ok(()));
        assert_eq!(judged(|i| i * 250_000 - i / 20 * hour), Ok(()));
        // Ten seconds of the past at once.
        assert_eq!(judged(|i| i * 250_000 + (i * 2).min(40) * 250_000), Ok(()));
    }

    #[test]
    fn a_camera_with_too_few_frames_to_measure_anything_is_told() {
        for (millis, sparse) in [(40u32, false), (2000, false), (2001, true), (6000, true)] {
            let mut rate = ClockRate::default();
            let told = (0..60_000 / millis).find_map(|i| {
                let at = Duration::from_millis(u64::from(millis * i));
                rate.observe(at.as_micros() as i64, at).err()
            });
            assert_eq!(told, sparse.then_some(ClockFault::Sparse), "{millis} ms");
        }
        // One that pauses now and then is not.
        let mut rate = ClockRate::default();
        for i in 0..600u32 {
            let at = Duration::from_millis(250) * i + Duration::from_secs(5) * (i / 12);
            assert_eq!(rate.observe(at.as_micros() as i64, at), Ok(()));
        }
    }

    const SECOND: i64 = 1_000_000;

    #[test]
    fn steady_frames_add_up() {
        let mut clock = MediaClock::default();
        for i in 0..=100 {
            clock.advance(7 * SECOND + i * 40_000);
        }
        assert_eq!(clock.watched(), Duration::from_secs(4));
    }

    #[test]
    fn gaps_do_not_count_and_the_limit_itself_does() {
        let limit = MAX_STEP.as_micros() as i64;
        for (step, counted) in [(limit, limit), (limit + 1, 0), (limit * 10, 0)] {
            let mut clock = MediaClock::default();
            clock.advance(0);
            assert_eq!(clock.advance(step).as_micros() as i64, counted);
        }
    }

    #[test]
    fn single_pictures_count_and_a_missing_one_does_not() {
        for seconds in [2, 5, 10, 60] {
            let every = Duration::from_secs(seconds);
            let allowed = Allowance::stills(every);
            let mut clock = MediaClock::with(allowed);
            let late = every.as_micros() as i64 * 3 / 2;
            let step = every.as_micros() as i64;
            clock.advance(0);
            clock.advance(step);
            assert_eq!(clock.advance(step + late), every + every * 3 / 2);
            assert_eq!(clock.advance(3 * step + late), every + every * 3 / 2);
            assert_eq!(
                clock.advance(4 * step + late + 1),
                every * 2 + every * 3 / 2 + Duration::from_micros(1)
            );
            for allowed in [allowed.step, allowed.unseen] {
                assert!(allowed >= every && (allowed < 2 * every || allowed <= MAX_UNSEEN));
            }
        }
        // Many pictures a second are allowed what video is.
        assert_eq!(
            Allowance::stills(Duration::from_millis(100)),
            Allowance::VIDEO
        );
    }

    #[test]
    fn reordered_frames_count_once() {
        let mut clock = MediaClock::default();
        // I B B P in decoding order.
        for pts in [0, 120_000, 40_000, 80_000, 240_000, 160_000, 200_000] {
            clock.advance(pts);
        }
        assert_eq!(clock.watched(), Duration::from_millis(240));
    }

    #[test]
    fn jumps_back_loops_and_restarts_add_nothing() {
        let mut clock = MediaClock::default();
        clock.advance(100 * SECOND);
        clock.advance(101 * SECOND);
        clock.advance(0);
        assert_eq!(clock.advance(SECOND), Duration::from_secs(2));
        clock.restart();
        assert_eq!(clock.advance(2 * SECOND), Duration::from_secs(2));
        assert_eq!(clock.advance(3 * SECOND), Duration::from_secs(3));
    }

    #[test]
    fn a_clock_that_stands_still_adds_nothing() {
        let mut clock = MediaClock::default();
        for _ in 0..1000 {
            clock.advance(5 * SECOND);
        }
        assert_eq!(clock.watched(), Duration::ZERO);
    }

    #[test]
    fn extreme_timestamps_do_not_panic() {
        let mut clock = MediaClock::default();
        let mut map = WallMap::default();
        for pts in [i64::MAX, i64::MIN, 0, i64::MIN, i64::MAX] {
            clock.advance(pts);
            map.observe(pts, 1_700_000_000 * SECOND);
            map.wall(pts);
        }
        assert_eq!(clock.watched(), Duration::ZERO);
    }

    #[test]
    fn wall_time_ignores_jitter_and_follows_drift() {
        let mut map = WallMap::default();
        map.observe(0, 1000 * SECOND);
        assert_eq!(map.wall(0), 1000 * SECOND);
        // An hour at 25 fps from a camera that loses 100 ppm; frames arrive 0 to 40 ms late.
        for i in 0..90_000i64 {
            let real = i * 40_000;
            let pts = real - real / 10_000;
            map.observe(pts, 1000 * SECOND + real + (i % 3) * 20_000);
        }
        let real = 3600 * SECOND;
        let error = map.wall(real - real / 10_000) - (1000 * SECOND + real);
        assert!((0..60_000).contains(&error), "{error} µs");
    }

    #[test]
    fn wall_time_follows_a_clock_that_was_set() {
        let mut map = WallMap::default();
        map.observe(0, 0);
        map.observe(SECOND, 1_700_000_000 * SECOND);
        assert_eq!(map.wall(SECOND), 1_700_000_000 * SECOND);
    }
}
