//! When the thread that listens to all cameras may let packets lie for a moment.
//!
//! Of a quiet camera's cost most is no work at all: a thread that is woken for every few packets,
//! finds its caches cold and goes to sleep again. While nothing goes on before any camera, and
//! none is in the middle of a picture, the thread sleeps first and then takes what came in the
//! meantime in one handful.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// So long packets may lie. Of a camera with 8 Mbit/s 60 kB come meanwhile, which is less than any
/// receive buffer (Linux begins with 128 KiB): the camera is not held up.
const NAP: Duration = Duration::from_millis(60);

/// Those that cannot wait.
#[derive(Debug, Default)]
pub struct Nap {
    awake: AtomicUsize,
}

impl Nap {
    /// One more is listened to, and cannot wait until it says so.
    pub fn listen(self: &Arc<Self>) -> Listener {
        self.awake.fetch_add(1, Ordering::Relaxed);
        Listener {
            nap: Arc::clone(self),
            is_awake: true,
        }
    }

    /// Sleeps if everybody can wait; for the thread that listens, when it has nothing to do.
    pub fn take(&self) {
        thread::sleep(self.length());
    }

    fn length(&self) -> Duration {
        match self.awake.load(Ordering::Relaxed) {
            0 => NAP,
            _ => Duration::ZERO,
        }
    }
}

/// One that is listened to.
#[derive(Debug)]
pub struct Listener {
    nap: Arc<Nap>,
    is_awake: bool,
}

impl Listener {
    /// Whether what comes next can wait.
    pub fn can_wait(&mut self, can_wait: bool) {
        match (self.is_awake, can_wait) {
            (true, true) => self.nap.awake.fetch_sub(1, Ordering::Relaxed),
            (false, false) => self.nap.awake.fetch_add(1, Ordering::Relaxed),
            (true, false) | (false, true) => return,
        };
        self.is_awake = !can_wait;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.can_wait(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_cannot_wait_keeps_the_thread_awake() {
        let nap = Arc::new(Nap::default());
        let (mut gate, mut lane) = (nap.listen(), nap.listen());
        assert_eq!(nap.length(), Duration::ZERO);
        // Who says it twice counts once.
        for _ in 0..2 {
            gate.can_wait(true);
            assert_eq!(nap.length(), Duration::ZERO);
        }
        lane.can_wait(true);
        assert_eq!(nap.length(), NAP);
        for _ in 0..2 {
            gate.can_wait(false);
            assert_eq!(nap.length(), Duration::ZERO);
        }
        // Who is gone, as after a panic, keeps nobody awake.
        drop(gate);
        assert_eq!(nap.length(), NAP);
        drop(lane);
        assert_eq!(nap.length(), NAP);
    }
}
