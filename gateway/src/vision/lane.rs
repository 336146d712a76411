//! Lanes and the pool that works through them.
//!
//! Each camera has a lane of compressed frames; a few threads take turns through all lanes, so
//! that no camera starves another and the number of threads does not grow with cameras. What
//! has waited for too long is passed over for a newer key frame; a lane that is too full loses
//! what waits and goes on at the next key frame: what cannot be looked at in time is not looked
//! at, and counted.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use wangge_protocol::Text;

use crate::{calendar::Permit, counters::Counter};

use super::{
    decode::{Format, Scalers, Unit},
    gaze::Decision,
    watch::Watch,
    wire::Played,
};

/// Most compressed frames that wait per camera: four seconds at 25 a second.
pub const MAX_WAITING: usize = 100;
/// Most compressed bytes that wait per camera: four seconds at 8 Mbit/s.
pub const MAX_WAITING_BYTES: usize = 4 << 20;
/// A frame that has waited for so long is passed over if a newer key frame waits too.
pub const MAX_AGE: Duration = Duration::from_millis(1500);
/// A frame that has waited for so long says that the machine is short of time: everybody looks
/// less often then.
const LATE: Duration = Duration::from_millis(400);
/// A lane's turn ends with the first thing after so long. Of frames that need no decoding
/// hundreds go in one turn; otherwise a quiet camera would get no more turns than frames of busy
/// ones can be decoded.
const TURN: Duration = Duration::from_millis(3);
/// The same where a scene has just woken and is caught up with: frame by frame among busy cameras
/// it would fall behind its own frames, and what is new is told first.
const TURN_BEHIND: Duration = Duration::from_millis(150);

/// What a camera's feed brings.
#[derive(Debug)]
pub enum Item {
    /// A stream begins.
    Start(Format),
    /// A compressed frame.
    Unit(Unit),
    /// A compressed frame that was looked at as far as that goes without decoding, and what is
    /// to be done with it.
    Decided(Unit, Decision),
    /// The stream failed, and why.
    Fault(Text),
    /// A file is over.
    End,
    /// A recording goes on, to be passed on in its place among what is seen in it.
    Played(Played),
    /// These permits go from now on.
    Permits(Arc<[Permit]>),
    /// A picture of a zone is wanted, see [`super::wire::Command::Picture`].
    Picture { zone: u16, ask: u64 },
    /// The whole view is wanted, see [`super::wire::Command::Overview`].
    Overview,
}

impl Item {
    fn unit(&self) -> Option<&Unit> {
        match self {
            Item::Unit(unit) | Item::Decided(unit, _) => Some(unit),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        self.unit().map_or(0, Unit::bytes)
    }
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
    pub pictured: Arc<Counter>,
    /// Since the last key frame came, some had to be passed over for want of another.
    pub starved: AtomicBool,
}

/// One camera's way into the pool.
#[derive(Debug)]
pub struct Lane {
    queue: Mutex<Queue>,
    watch: Mutex<Watch>,
    /// What happened to its frames.
    pub counters: Counters,
    /// Nothing goes on before the camera: only a look now and then is due.
    quiet: AtomicBool,
    pool: Arc<Pool>,
    /// Something was taken out of the queue, or done.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// What waits, and since when.
    items: VecDeque<(Instant, Item)>,
    bytes: usize,
    /// In the pool's list or being worked on.
    scheduled: bool,
    /// Frames were dropped: what comes before the next key frame is useless.
    resync: bool,
    /// Of a recording: nothing in it grows old.
    patient: bool,
}

/// What comes next, if anything does.
#[derive(Debug)]
struct Taken {
    item: Option<Item>,
    is_late: bool,
    /// Frames that were passed over because they had waited too long.
    dropped: u64,
}

impl Queue {
    fn waiting(&self) -> usize {
        self.items
            .iter()
            .filter(|(_, item)| item.unit().is_some())
            .count()
    }

    /// Adds an item; returns how many frames were dropped for it, itself included.
    fn add(&mut self, item: Item, now: Instant) -> u64 {
        let mut dropped = 0;
        match &item {
            Item::Unit(unit) | Item::Decided(unit, _) => {
                if self.resync && !unit.key {
                    return 1;
                }
                let bytes = unit.bytes();
                if self.is_full(bytes) {
                    dropped = self.waiting() as u64;
                    self.items.retain(|(_, item)| item.unit().is_none());
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
            Item::Fault(_)
            | Item::End
            | Item::Played(_)
            | Item::Permits(_)
            | Item::Picture { .. }
            | Item::Overview => {}
        }
        self.items.push_back((now, item));
        dropped
    }

    /// No room for a frame of so many bytes.
    fn is_full(&self, bytes: usize) -> bool {
        self.items.len() >= MAX_WAITING || self.bytes + bytes > MAX_WAITING_BYTES
    }

    /// The next item.
    fn next(&mut self, now: Instant) -> Taken {
        let dropped = self.pass_over(now);
        let (since, item) = self.items.pop_front().unzip();
        let bytes = item.as_ref().map_or(0, Item::bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        let waited = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Taken {
            item,
            is_late: !self.patient && waited > LATE,
            dropped,
        }
    }

    fn pass_over(&mut self, now: Instant) -> u64 {
        let late = !self.patient
            && self.items.front().is_some_and(|(since, item)| {
                item.unit().is_some() && now.saturating_duration_since(*since) > MAX_AGE
            });
        let is_key = |(_, item): &(Instant, Item)| item.unit().is_some_and(|unit| unit.key);
        let Some(newest_key) = self.items.iter().rposition(is_key).filter(|_| late) else {
            return 0;
        };
        let before = self.waiting();
        let mut index = 0;
        self.items.retain(|(_, item)| {
            index += 1;
            index > newest_key || item.unit().is_none()
        });
        self.bytes = self.items.iter().map(|(_, item)| item.bytes()).sum();
        (before - self.waiting()) as u64
    }
}

impl Lane {
    /// A lane for one camera.
    pub fn new(watch: Watch, pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Lane {
            queue: Mutex::default(),
            counters: Counters {
                pictured: watch.pictures_made(),
                ..Counters::default()
            },
            watch: Mutex::new(watch),
            quiet: AtomicBool::new(false),
            pool,
            progress: Condvar::new(),
        })
    }

    /// Puts an item into the lane.
    pub fn push(self: &Arc<Self>, item: Item) {
        if let Item::Unit(unit) = &item {
            self.counters.received.add_one();
            if unit.key {
                self.counters.starved.store(false, Ordering::Relaxed);
            }
        }
        let mut queue = lock(&self.queue);
        let Some(item) = self.pass(&queue, item) else {
            return;
        };
        self.counters.dropped.add(queue.add(item, Instant::now()));
        if queue.resync {
            self.counters.starved.store(true, Ordering::Relaxed);
        }
        if !queue.scheduled && !queue.items.is_empty() {
            queue.scheduled = true;
            drop(queue);
            self.pool.schedule(Arc::clone(self));
        }
    }

    /// Deals with a frame of a quiet scene on the spot, if it need not be decoded: to wake a thread
    /// of the pool for it would be most of its cost. What is given back belongs into the queue.
    fn pass(&self, queue: &Queue, item: Item) -> Option<Item> {
        let is_idle = !(queue.scheduled || queue.patient || queue.resync) && queue.items.is_empty();
        match item {
            Item::Unit(unit) if is_idle && self.is_quiet() => match self.watch.try_lock() {
                Ok(mut watch) => watch.pass(unit, &self.counters),
                Err(_) => Some(Item::Unit(unit)),
            },
            item => Some(item),
        }
    }

    /// Puts an item into the lane as soon as there is room for it: for recordings, which can
    /// wait where a camera cannot.
    pub fn feed(self: &Arc<Self>, item: Item) {
        let bytes = item.bytes();
        let mut queue = lock(&self.queue);
        queue.patient = true;
        let room = |queue: &mut Queue| !queue.items.is_empty() && queue.is_full(bytes);
        drop(self.progress.wait_while(queue, room));
        self.push(item);
    }

    /// Waits until everything in the lane has been looked at.
    pub fn settle(&self) {
        let queue = lock(&self.queue);
        drop(self.progress.wait_while(queue, |queue| queue.scheduled));
    }

    /// Frames were lost on their way to the lane.
    pub fn lost(&self, frames: u64) {
        self.counters.received.add(frames);
        self.counters.dropped.add(frames);
    }

    /// Whether frames that come now are of no use without another key frame.
    pub fn is_starved(&self) -> bool {
        self.counters.starved.load(Ordering::Relaxed)
    }

    /// Whether nothing goes on before the camera, so that its frames may come a little later.
    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    /// Frames that wait.
    pub fn waiting(&self) -> u64 {
        lock(&self.queue).waiting() as u64
    }

    fn work(self: Arc<Self>, scalers: &mut Scalers) {
        let mut watch = lock(&self.watch);
        let begun = Instant::now();
        loop {
            if !watch.catch_up(scalers, &self.counters) {
                let taken = lock(&self.queue).next(Instant::now());
                self.counters.dropped.add(taken.dropped);
                if taken.is_late {
                    watch.is_late();
                }
                match taken.item {
                    Some(item) => watch.take(item, scalers, &self.counters),
                    None => break,
                }
            }
            let turn = if watch.behind() { TURN_BEHIND } else { TURN };
            if begun.elapsed() >= turn {
                break;
            }
        }
        let behind = watch.behind();
        self.quiet.store(watch.is_quiet(), Ordering::Relaxed);
        drop(watch);
        let mut queue = lock(&self.queue);
        self.progress.notify_all();
        if queue.items.is_empty() && !behind {
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
        let mut scalers = Scalers::default();
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
            lane.work(&mut scalers);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::depacket::AccessUnit, *};

    fn gone() -> Text {
        Text {
            zh: "中断".into(),
            en: "gone".into(),
        }
    }

    fn frame(key: bool, bytes: usize) -> Unit {
        let unit = AccessUnit {
            data: vec![1; bytes],
            key,
            ..AccessUnit::default()
        };
        Unit::from_rtp(&unit, 90_000)
    }

    fn unit(key: bool, bytes: usize) -> Item {
        Item::Unit(frame(key, bytes))
    }

    fn key(bytes: usize) -> Item {
        unit(true, bytes)
    }

    fn full(now: Instant) -> Queue {
        let mut queue = Queue::default();
        for _ in 0..MAX_WAITING {
            assert_eq!(queue.add(unit(false, 10), now), 0);
        }
        queue
    }

    #[test]
    fn a_lane_holds_its_limit_and_then_begins_again_at_a_key_frame() {
        let now = Instant::now();
        let mut queue = full(now);
        // One more empties the lane; nothing is taken until a key frame comes.
        assert_eq!(queue.add(unit(false, 10), now), MAX_WAITING as u64 + 1);
        for _ in 0..MAX_WAITING * 10 {
            assert_eq!(queue.add(unit(false, 10), now), 1);
        }
        assert_eq!(queue.add(key(10), now), 0);
        assert_eq!(queue.add(unit(false, 10), now), 0);
        assert_eq!((queue.waiting(), queue.bytes), (2, 20));
    }

    #[test]
    fn a_key_frame_that_meets_a_full_lane_is_kept() {
        let now = Instant::now();
        let mut queue = full(now);
        assert_eq!(queue.add(key(10), now), MAX_WAITING as u64);
        assert_eq!((queue.waiting(), queue.resync), (1, false));
    }

    #[test]
    fn bytes_are_limited_too() {
        for (bytes, dropped) in [
            (MAX_WAITING_BYTES - 10, 0),
            (MAX_WAITING_BYTES - 9, 1),
            (MAX_WAITING_BYTES * 10, 1),
        ] {
            let mut queue = Queue::default();
            queue.add(unit(false, 10), Instant::now());
            assert_eq!(queue.add(key(bytes), Instant::now()), dropped);
        }
    }

    #[test]
    fn what_is_no_frame_is_never_dropped() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add(Item::Fault(gone()), now);
        for _ in 0..=MAX_WAITING {
            queue.add(unit(false, 10), now);
        }
        let taken = queue.next(now);
        assert!(matches!(taken.item, Some(Item::Fault(_))));
        assert_eq!(taken.dropped, 0);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn what_has_waited_too_long_is_passed_over_for_the_newest_key_frame() {
        let begun = Instant::now();
        for (age, dropped) in [
            (MAX_AGE, 0),
            (MAX_AGE + Duration::from_millis(1), 7),
            (MAX_AGE * 10, 7),
        ] {
            let mut queue = Queue::default();
            for item in [
                Item::Decided(frame(false, 10), Decision::CatchUp),
                key(10),
                unit(false, 10),
                Item::Fault(gone()),
                key(10),
                unit(false, 10),
                unit(false, 10),
                unit(false, 10),
                key(30),
                unit(false, 5),
            ] {
                queue.add(item, begun);
            }
            let taken = queue.next(begun + age);
            assert_eq!(taken.dropped, dropped, "{age:?}");
            assert_eq!(matches!(taken.item, Some(Item::Fault(_))), dropped > 0);
            assert_eq!(queue.bytes, if dropped > 0 { 35 } else { 95 });
        }
    }

    #[test]
    fn without_a_newer_key_frame_what_waits_is_still_worked_through() {
        let begun = Instant::now();
        let mut queue = Queue::default();
        queue.add(key(10), begun);
        queue.add(unit(false, 10), begun);
        for _ in 0..2 {
            let taken = queue.next(begun + MAX_AGE * 10);
            assert!(taken.item.is_some());
            assert_eq!(taken.dropped, 0);
        }
    }

    #[test]
    fn what_waits_says_so_but_a_recording_is_never_late() {
        let begun = Instant::now();
        for (age, patient, late) in [
            (LATE, false, false),
            (LATE + Duration::from_millis(1), false, true),
            (LATE * 10, false, true),
            (LATE * 10, true, false),
        ] {
            let mut queue = Queue {
                patient,
                ..Queue::default()
            };
            queue.add(key(10), begun);
            assert_eq!(queue.next(begun + age).is_late, late, "{age:?} {patient}");
        }
        assert!(!Queue::default().next(begun).is_late);
    }
}
