//! Lanes and the pool that works through them.
//!
//! Each camera has a lane of compressed frames; a few threads take turns through all lanes, so
//! that no camera starves another and the number of threads does not grow with cameras. A lane
//! that is too full loses what waits and goes on at the next key frame: what cannot be looked
//! at in time is not looked at, and counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::counters::Counter;

use super::{
    decode::{Format, Unit},
    watch::Watch,
};

/// Most compressed frames that wait per camera: four seconds at 25 a second.
pub const MAX_WAITING: usize = 100;
/// Most compressed bytes that wait per camera.
pub const MAX_WAITING_BYTES: usize = 16 << 20;

/// What a camera's feed brings.
#[derive(Debug)]
pub enum Item {
    /// A stream begins.
    Start(Format),
    /// A compressed frame.
    Unit(Unit),
    /// The stream failed, and why.
    Fault(String),
    /// A file is over.
    End,
}

/// A camera's frames, see [`super::wire::CameraProgress`].
#[derive(Debug, Default)]
pub struct Counters {
    pub received: Counter,
    pub decoded: Counter,
    pub skipped: Counter,
    pub dropped: Counter,
    pub detected: Counter,
    pub shadowed: Arc<Counter>,
}

/// One camera's way into the pool.
#[derive(Debug)]
pub struct Lane {
    queue: Mutex<Queue>,
    watch: Mutex<Watch>,
    /// What happened to its frames.
    pub counters: Counters,
    pool: Arc<Pool>,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// In the pool's list or being worked on.
    scheduled: bool,
    /// Frames were dropped: what comes before the next key frame is useless.
    resync: bool,
}

impl Queue {
    fn waiting(&self) -> usize {
        self.items
            .iter()
            .filter(|i| matches!(i, Item::Unit(_)))
            .count()
    }

    /// Adds an item; returns how many frames were dropped for it, itself included.
    fn add(&mut self, item: Item) -> u64 {
        let mut dropped = 0;
        match &item {
            Item::Unit(unit) => {
                if self.resync && !unit.key {
                    return 1;
                }
                let bytes = unit.bytes();
                if self.items.len() >= MAX_WAITING || self.bytes + bytes > MAX_WAITING_BYTES {
                    dropped = self.waiting() as u64;
                    self.items.retain(|i| !matches!(i, Item::Unit(_)));
                    self.bytes = 0;
                    if !unit.key {
                        self.resync = true;
                        return dropped + 1;
                    }
                }
                self.resync = false;
                self.bytes += bytes;
            }
            Item::Start(_) => self.resync = false,
            Item::Fault(_) | Item::End => {}
        }
        self.items.push_back(item);
        dropped
    }

    fn next(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if let Item::Unit(unit) = &item {
            self.bytes = self.bytes.saturating_sub(unit.bytes());
        }
        Some(item)
    }
}

impl Lane {
    /// A lane for one camera.
    pub fn new(watch: Watch, pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Lane {
            queue: Mutex::default(),
            watch: Mutex::new(watch),
            counters: Counters::default(),
            pool,
        })
    }

    /// Puts an item into the lane.
    pub fn push(self: &Arc<Self>, item: Item) {
        if matches!(item, Item::Unit(_)) {
            self.counters.received.add_one();
        }
        let mut queue = lock(&self.queue);
        self.counters.dropped.add(queue.add(item));
        if !queue.scheduled && !queue.items.is_empty() {
            queue.scheduled = true;
            drop(queue);
            self.pool.schedule(Arc::clone(self));
        }
    }

    /// Frames were lost on their way to the lane.
    pub fn lost(&self, frames: u64) {
        self.counters.received.add(frames);
        self.counters.dropped.add(frames);
    }

    /// Frames that wait.
    pub fn waiting(&self) -> u64 {
        lock(&self.queue).waiting() as u64
    }

    fn work(self: Arc<Self>) {
        let item = lock(&self.queue).next();
        if let Some(item) = item {
            lock(&self.watch).take(item, &self.counters);
        }
        let mut queue = lock(&self.queue);
        if queue.items.is_empty() {
            queue.scheduled = false;
        } else {
            drop(queue);
            let pool = Arc::clone(&self.pool);
            pool.schedule(self);
        }
    }
}

/// Lanes that have something to do, in turn.
#[derive(Debug, Default)]
pub struct Pool {
    ready: Mutex<VecDeque<Arc<Lane>>>,
    wake: Condvar,
}

impl Pool {
    fn schedule(&self, lane: Arc<Lane>) {
        lock(&self.ready).push_back(lane);
        self.wake.notify_one();
    }

    /// Works for ever; one call per thread.
    pub fn work(&self) -> ! {
        loop {
            let mut ready = lock(&self.ready);
            let lane = loop {
                match ready.pop_front() {
                    Some(lane) => break lane,
                    None => {
                        ready = self
                            .wake
                            .wait(ready)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(ready);
            lane.work();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::depacket::AccessUnit, *};

    fn unit(key: bool, bytes: usize) -> Item {
        let unit = AccessUnit {
            data: vec![1; bytes],
            key,
            ..AccessUnit::default()
        };
        Item::Unit(Unit::from_rtp(&unit, 90_000))
    }

    #[test]
    fn a_lane_holds_its_limit_and_then_begins_again_at_a_key_frame() {
        let mut queue = Queue::default();
        for _ in 0..MAX_WAITING {
            assert_eq!(queue.add(unit(false, 10)), 0);
        }
        // One more empties the lane; nothing is taken until a key frame comes.
        assert_eq!(queue.add(unit(false, 10)), MAX_WAITING as u64 + 1);
        for _ in 0..MAX_WAITING * 10 {
            assert_eq!(queue.add(unit(false, 10)), 1);
        }
        assert_eq!(queue.add(unit(true, 10)), 0);
        assert_eq!(queue.add(unit(false, 10)), 0);
        assert_eq!((queue.waiting(), queue.bytes), (2, 20));
    }

    #[test]
    fn a_key_frame_that_meets_a_full_lane_is_kept() {
        let mut queue = Queue::default();
        for _ in 0..MAX_WAITING {
            queue.add(unit(false, 10));
        }
        assert_eq!(queue.add(unit(true, 10)), MAX_WAITING as u64);
        assert_eq!((queue.waiting(), queue.resync), (1, false));
    }

    #[test]
    fn bytes_are_limited_too() {
        for (bytes, dropped) in [(MAX_WAITING_BYTES - 10, 0), (MAX_WAITING_BYTES - 9, 1)] {
            let mut queue = Queue::default();
            queue.add(unit(false, 10));
            assert_eq!(queue.add(unit(true, bytes)), dropped);
        }
    }

    #[test]
    fn what_is_no_frame_is_never_dropped() {
        let mut queue = Queue::default();
        queue.add(Item::Fault("gone".into()));
        for _ in 0..=MAX_WAITING {
            queue.add(unit(false, 10));
        }
        assert!(matches!(queue.next(), Some(Item::Fault(_))));
        assert_eq!(queue.bytes, 0);
    }
}
