//! How often each camera may use the networks that all share.
//!
//! When more cameras are busy than the network can serve at their full rate, all look less
//! often, by the same measure; nobody queues, so no look is ever of an old picture.

use std::time::{Duration, Instant};

/// A camera that used the network within this time, and not long before that, will want it
/// again: a look now and then is nothing that others need wait for. As many cameras as a station
/// may have come round within it.
const ACTIVE: Duration = Duration::from_secs(6);
/// Share of the time in which the network may be busy with looks; the rest is for pictures, in
/// which people are looked for before they are stored.
const SHARE: f64 = 0.6;
/// Share of the newest run in the cost of one.
const LEARN: f64 = 0.1;

/// The network's use; pure but for the moments it is given.
#[derive(Debug)]
pub struct Pace {
    /// When each camera last used it, and the time before.
    last: Vec<[Option<Instant>; 2]>,
    /// What a look takes, s.
    cost: f64,
    /// Looks that can go on at once.
    networks: usize,
}

impl Pace {
    /// Of so many cameras and networks.
    pub fn new(cameras: usize, networks: usize) -> Self {
        Pace {
            last: vec![[None; 2]; cameras],
            cost: 0.0,
            networks,
        }
    }

    /// A camera used a network for `took`.
    pub fn used(&mut self, camera: u16, now: Instant, took: Duration) {
        if let Some(last) = self.last.get_mut(usize::from(camera)) {
            *last = [Some(now), last[0]];
        }
        let took = took.as_secs_f64();
        self.cost = if self.cost == 0.0 {
            took
        } else {
            self.cost + (took - self.cost) * LEARN
        };
    }

    /// Least time between two looks of one camera.
    pub fn interval(&self, now: Instant) -> Duration {
        let near =
            |later: Instant, sooner: Instant| later.saturating_duration_since(sooner) <= ACTIVE;
        let active = |uses: &&[Option<Instant>; 2]| match uses {
            [Some(last), Some(before)] => near(now, *last) && near(*last, *before),
            _ => false,
        };
        let cameras = self.last.iter().filter(active).count();
        Duration::from_secs_f64(self.cost * cameras as f64 / (SHARE * self.networks as f64))
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
        assert_eq!(pace.interval(now), Duration::ZERO);
        for (camera, millis) in [(0, 80), (1, 160), (2, 240), (3, 320)] {
            pace.used(camera, now, TOOK);
            pace.used(camera, now, TOOK);
            assert_eq!(pace.interval(now).as_millis(), millis);
        }
    }

    #[test]
    fn two_networks_serve_twice_as_many() {
        let now = Instant::now();
        let mut pace = Pace::new(2, 2);
        for camera in [0, 0, 1, 1] {
            pace.used(camera, now, TOOK);
        }
        assert_eq!(pace.interval(now).as_millis(), 80);
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
        assert_eq!(pace.interval(later).as_millis(), 160);
        let after = later + Duration::from_millis(1);
        assert_eq!(pace.interval(after).as_millis(), 80);
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
        assert_eq!(pace.interval(now).as_millis(), 80);
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
                    *due = now + pace.interval(now);
                }
            }
        }
        let share = used.as_secs_f64() / (now - begun).as_secs_f64();
        assert!((0.5..0.7).contains(&share), "{share}");
    }

    #[test]
    fn a_camera_that_is_not_there_changes_nothing() {
        let now = Instant::now();
        let mut pace = Pace::new(1, 1);
        pace.used(7, now, TOOK);
        assert_eq!(pace.interval(now), Duration::ZERO);
    }
}
