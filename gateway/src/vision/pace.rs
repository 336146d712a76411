//! How often each camera may use the networks that all share.
//!
//! When more cameras are busy than the network can serve at their full rate, all look less
//! often, by the same measure; nobody queues, so no look is ever of an old picture. Decoding needs
//! time, too, and so do others on the machine: while frames have to wait, all look still less
//! often, because a frame that is not looked at costs a place and a moment, and one that is not
//! decoded all that follow.

use std::time::{Duration, Instant};

/// A camera that used the network within this time, and not long before that, will want it
/// again: a look now and then is nothing that others need wait for. As many cameras as a station
/// may have come round within it.
const ACTIVE: Duration = Duration::from_secs(6);
/// Share of the time in which the network may be busy with looks; the rest is for pictures, in
/// which people are looked for before they are stored.
const SHARE: f64 = 0.6;
/// Looks that a camera has at its full rate after it was quiet, whoever else is busy: what is new
/// is told first, and what has been watched for long can wait a little.
const FIRST_LOOKS: u8 = 6;
/// Share of the newest run in the cost of one.
const LEARN: f64 = 0.1;
/// How much rarer looks become each time that frames had to wait, how often that is judged, and
/// how rare they become at most.
const RARER: f64 = 1.5;
const JUDGED: Duration = Duration::from_millis(250);
const RAREST: f64 = 8.0;
/// Without any that wait, looks become usual again within about this time.
const RELIEF: Duration = Duration::from_secs(10);

/// The network's use; pure but for the moments it is given.
#[derive(Debug)]
pub struct Pace {
    /// When each camera last used it, and the time before; and its looks since it was quiet.
    last: Vec<[Option<Instant>; 2]>,
    looks: Vec<u8>,
    /// What a look takes, s.
    cost: f64,
    /// Looks that can go on at once.
    networks: usize,
    /// By how much looks were made rarer, and when.
    rarer: Option<(f64, Instant)>,
}

impl Pace {
    /// Of so many cameras and networks.
    pub fn new(cameras: usize, networks: usize) -> Self {
        Pace {
            last: vec![[None; 2]; cameras],
            looks: vec![0; cameras],
            cost: 0.0,
            networks,
            rarer: None,
        }
    }

    /// A frame had to wait.
    pub fn late(&mut self, now: Instant) {
        let judged = self.rarer.map(|(_, at)| now.saturating_duration_since(at));
        if judged.is_none_or(|passed| passed >= JUDGED) {
            let rarer = (self.burden(now) * RARER).min(RAREST);
            self.rarer = Some((rarer, now));
        }
    }

    /// How much rarer looks are than the networks alone would allow: 1 is not at all.
    fn burden(&self, now: Instant) -> f64 {
        let Some((rarer, at)) = self.rarer else {
            return 1.0;
        };
        let passed = now.saturating_duration_since(at).as_secs_f64();
        1.0 + (rarer - 1.0) * (-passed / RELIEF.as_secs_f64()).exp()
    }

    /// A camera used a network for `took`.
    pub fn used(&mut self, camera: u16, now: Instant, took: Duration) {
        let index = usize::from(camera);
        if let (Some(last), Some(looks)) = (self.last.get_mut(index), self.looks.get_mut(index)) {
            let was_quiet = last[0].is_none_or(|at| now.saturating_duration_since(at) > ACTIVE);
            *looks = if was_quiet {
                1
            } else {
                looks.saturating_add(1)
            };
            *last = [Some(now), last[0]];
        }
        let took = took.as_secs_f64();
        self.cost = if self.cost == 0.0 {
            took
        } else {
            self.cost + (took - self.cost) * LEARN
        };
    }

    /// Least time between two looks of this camera.
    pub fn interval(&self, camera: u16, now: Instant) -> Duration {
        let index = usize::from(camera);
        let is_new = self.looks.get(index).is_none_or(|n| *n < FIRST_LOOKS)
            || matches!(self.last.get(index), Some([Some(last), _]) if now.saturating_duration_since(*last) > ACTIVE);
        if is_new {
            return Duration::ZERO;
        }
        self.share(now)
    }

    /// What is left for each of those that are busy.
    fn share(&self, now: Instant) -> Duration {
        let near =
            |later: Instant, sooner: Instant| later.saturating_duration_since(sooner) <= ACTIVE;
        let active = |uses: &&[Option<Instant>; 2]| match uses {
            [Some(last), Some(before)] => near(now, *last) && near(*last, *before),
            _ => false,
        };
        let cameras = self.last.iter().filter(active).count();
        let fair = self.cost * cameras as f64 / (SHARE * self.networks as f64);
        Duration::from_secs_f64(fair * self.burden(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(48);

    #[test]
    fn cameras_that_are_busy_share_evenly() {
        let now = Instant::now();
        let mut pace = Pace::new(36, 1);
        assert_eq!(pace.share(now), Duration::ZERO);
        for (camera, millis) in [(0, 80), (1, 160), (2, 240), (3, 320)] {
            pace.used(camera, now, TOOK);
            pace.used(camera, now, TOOK);
            assert_eq!(pace.share(now).as_millis(), millis);
        }
    }

    #[test]
    fn two_networks_serve_twice_as_many() {
        let now = Instant::now();
        let mut pace = Pace::new(2, 2);
        for camera in [0, 0, 1, 1] {
            pace.used(camera, now, TOOK);
        }
        assert_eq!(pace.share(now).as_millis(), 80);
    }

    #[test]
    fn a_camera_that_has_become_quiet_leaves_its_share_to_the_others() {
        let now = Instant::now();
        let mut pace = Pace::new(2, 1);
        let later = now + ACTIVE;
        for _ in 0..2 {
            pace.used(0, now, TOOK);
            pace.used(1, later, TOOK);
        }
        assert_eq!(pace.share(later).as_millis(), 160);
        let after = later + Duration::from_millis(1);
        assert_eq!(pace.share(after).as_millis(), 80);
    }

    #[test]
    fn a_look_now_and_then_slows_nobody_down() {
        let mut now = Instant::now();
        let mut pace = Pace::new(33, 1);
        for second in 0..120u64 {
            now += Duration::from_secs(1);
            pace.used(0, now, TOOK);
            pace.used(1 + (second % 32) as u16, now, TOOK);
        }
        assert_eq!(pace.share(now).as_millis(), 80);
    }

    #[test]
    fn however_many_are_busy_the_network_is_not_asked_for_more_than_it_can() {
        let mut now = Instant::now();
        let mut pace = Pace::new(64, 1);
        let mut due = vec![now; 64];
        let (mut begun, mut used) = (now, Duration::ZERO);
        for tick in 0..4000 {
            now += Duration::from_millis(10);
            // Until each has looked twice, nobody knows how many they are.
            if tick == 1000 {
                (begun, used) = (now, Duration::ZERO);
            }
            for (camera, due) in due.iter_mut().enumerate() {
                if *due <= now {
                    pace.used(camera as u16, now, TOOK);
                    used += TOOK;
                    *due = now + pace.share(now);
                }
            }
        }
        let share = used.as_secs_f64() / (now - begun).as_secs_f64();
        assert!((0.5..0.7).contains(&share), "{share}");
    }

    #[test]
    fn while_frames_wait_everybody_looks_less_often_but_not_ever_more_rarely() {
        let now = Instant::now();
        let mut pace = Pace::new(4, 1);
        for camera in [0, 0, 1, 1] {
            pace.used(camera, now, TOOK);
        }
        let usual = pace.share(now).as_secs_f64();
        assert!((usual - 0.16).abs() < 1e-6);
        // A hundred frames that waited in one moment are one sign.
        (0..100).for_each(|_| pace.late(now));
        assert!((pace.share(now).as_secs_f64() / usual - RARER).abs() < 1e-6);
        let mut later = now;
        for _ in 0..100 {
            later += JUDGED;
            pace.late(later);
            for camera in [0, 0, 1, 1] {
                pace.used(camera, later, TOOK);
            }
        }
        let worst = pace.share(later).as_secs_f64() / usual;
        assert!((RAREST * 0.9..=RAREST * 1.01).contains(&worst), "{worst}");
        // It is over: back within a minute.
        later += Duration::from_secs(60);
        for camera in [0, 0, 1, 1] {
            pace.used(camera, later, TOOK);
        }
        let after = pace.share(later).as_secs_f64() / usual;
        assert!((0.99..1.05).contains(&after), "{after}");
    }

    #[test]
    fn what_was_quiet_looks_at_its_own_rate_first() {
        let mut now = Instant::now();
        let mut pace = Pace::new(3, 1);
        let second = Duration::from_secs(1);
        for _ in 0..20 {
            now += second;
            pace.used(0, now, TOOK);
            pace.used(1, now, TOOK);
        }
        assert!(pace.interval(0, now) > Duration::ZERO);
        assert_eq!(pace.interval(2, now), Duration::ZERO);
        for look in 1..=FIRST_LOOKS {
            pace.used(2, now, TOOK);
            let waits = pace.interval(2, now) > Duration::ZERO;
            assert_eq!(waits, look == FIRST_LOOKS, "look {look}");
        }
        // Quiet again for long enough, it is new again.
        now += ACTIVE;
        assert!(pace.interval(2, now) > Duration::ZERO);
        now += second;
        assert_eq!(pace.interval(2, now), Duration::ZERO);
        pace.used(2, now, TOOK);
        assert_eq!(pace.interval(2, now), Duration::ZERO);
    }

    #[test]
    fn a_camera_that_is_not_there_changes_nothing() {
        let now = Instant::now();
        let mut pace = Pace::new(1, 1);
        pace.used(7, now, TOOK);
        assert_eq!(pace.share(now), Duration::ZERO);
    }
}
