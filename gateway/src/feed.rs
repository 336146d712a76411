//! Pictures that cameras publish, on their way from MQTT to the vision child.
//!
//! The gateway's process only carries them: nothing here looks into a picture. Whoever offers
//! one never waits; a child that is slow, or not there, costs the oldest pictures, counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::counters::SourceCounters;

/// Largest picture that is taken from any camera, bytes: an 8K JPEG of good quality.
pub const MAX_STILL: usize = 8 << 20;
/// Pictures of one camera that wait.
pub const PER_CAMERA: usize = 2;
/// Bytes of all cameras that wait.
pub const MAX_BYTES: usize = 64 << 20;

/// A picture and whose it is: position among the configured cameras.
pub type Still = (u16, Bytes);

/// The way to the child; copies share it.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    came: Notify,
    counters: Arc<SourceCounters>,
}

#[derive(Debug, Default)]
struct Waiting {
    stills: VecDeque<Still>,
    bytes: usize,
}

impl Waiting {
    fn remove(&mut self, index: usize) {
        if let Some((_, jpeg)) = self.stills.remove(index) {
            self.bytes -= jpeg.len();
        }
    }

    /// Adds a picture; returns how many were dropped for it.
    fn add(&mut self, camera: u16, jpeg: Bytes) -> u64 {
        let mut dropped = 0;
        let of_camera = |(c, _): &Still| *c == camera;
        while self.stills.iter().filter(|s| of_camera(s)).count() >= PER_CAMERA {
            let oldest = self.stills.iter().position(of_camera);
            self.remove(oldest.unwrap_or_default());
            dropped += 1;
        }
        while !self.stills.is_empty() && self.bytes + jpeg.len() > MAX_BYTES {
            self.remove(0);
            dropped += 1;
        }
        self.bytes += jpeg.len();
        self.stills.push_back((camera, jpeg));
        dropped
    }
}

impl Feed {
    /// A way on which dropped pictures are counted as received and refused.
    pub fn new(counters: Arc<SourceCounters>) -> Self {
        Feed(Arc::new(Inner {
            counters,
            ..Inner::default()
        }))
    }

    /// Hands a picture over.
    pub fn offer(&self, camera: u16, jpeg: Bytes) {
        let dropped = self.waiting().add(camera, jpeg);
        self.count(dropped);
        self.0.came.notify_one();
    }

    /// The oldest picture that waits, when there is one. Only one may ask at a time.
    pub async fn next(&self) -> Still {
        loop {
            let oldest = {
                let mut waiting = self.waiting();
                let oldest = waiting.stills.front().cloned();
                waiting.remove(0);
                oldest
            };
            match oldest {
                Some(still) => return still,
                None => self.0.came.notified().await,
            }
        }
    }

    /// A new child begins: what waited for the last one is of the past.
    pub fn clear(&self) {
        let mut waiting = self.waiting();
        self.count(waiting.stills.len() as u64);
        *waiting = Waiting::default();
    }

    fn count(&self, dropped: u64) {
        self.0.counters.received.add(dropped);
        self.0.counters.refused.add(dropped);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn still(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    #[tokio::test]
    async fn a_camera_keeps_its_newest_pictures_and_takes_no_other_camera_s_place() {
        let counters = Arc::new(SourceCounters::default());
        let feed = Feed::new(Arc::clone(&counters));
        feed.offer(0, still(1));
        for bytes in 1..=PER_CAMERA {
            feed.offer(1, still(bytes));
        }
        assert_eq!(counters.refused.get(), 0);
        for bytes in 0..PER_CAMERA * 10 {
            feed.offer(1, still(100 + bytes));
        }
        assert_eq!(counters.refused.get(), PER_CAMERA as u64 * 10);
        assert_eq!(counters.received.get(), counters.refused.get());
        let mut got = Vec::new();
        for _ in 0..=PER_CAMERA {
            let (camera, jpeg) = feed.next().await;
            got.push((camera, jpeg.len()));
        }
        let newest = 100 + PER_CAMERA * 10;
        assert_eq!(got, [(0, 1), (1, newest - 2), (1, newest - 1)]);
    }

    #[test]
    fn bytes_are_limited_over_all_cameras() {
        let cameras = (MAX_BYTES / MAX_STILL) as u16;
        let mut waiting = Waiting::default();
        for camera in 0..cameras {
            assert_eq!(waiting.add(camera, still(MAX_STILL)), 0);
        }
        assert_eq!(waiting.bytes, MAX_BYTES);
        assert_eq!(waiting.add(cameras, still(1)), 1);
        for camera in 0..cameras * 10 {
            waiting.add(camera, still(MAX_STILL));
            assert!(waiting.bytes <= MAX_BYTES);
        }
    }

    #[tokio::test]
    async fn one_who_waits_is_woken_and_the_past_is_forgotten() {
        let counters = Arc::new(SourceCounters::default());
        let feed = Feed::new(Arc::clone(&counters));
        feed.offer(3, still(9));
        feed.clear();
        assert_eq!(counters.refused.get(), 1);
        let waiting = tokio::spawn({
            let feed = feed.clone();
            async move { feed.next().await }
        });
        tokio::task::yield_now().await;
        feed.offer(4, still(5));
        assert_eq!(waiting.await.unwrap().0, 4);
    }
}
