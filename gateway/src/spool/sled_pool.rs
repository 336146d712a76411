//! Makes sled's thread pool cheap.
//!
//! sled 0.34.7 keeps seven threads waiting on one condition variable and wakes **all** of them
//! for each write (`threadpool.rs`, `notify_all`), which costs more than everything else in a
//! group commit. The pool's size cannot be set. But `flush_async` runs on the pool and wakes its
//! waiter from there, so a waker that never returns keeps a thread for good. Two are left; when
//! more than seven tasks wait, sled starts further threads by itself, so nothing can starve.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    thread,
};

/// Threads of sled's pool that go to sleep for ever.
const SLEEPERS: usize = 5;

struct Stay;

impl Wake for Stay {
    fn wake(self: Arc<Self>) {
        loop {
            thread::park();
        }
    }
}

/// Starts a flush of what was just written, and keeps the thread that does it, until enough are
/// kept. The caller flushes as usual afterwards.
pub fn keep_one_away(db: &sled::Db) {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    if ASKED.load(Ordering::Relaxed) >= SLEEPERS {
        return;
    }
    if ASKED.fetch_add(1, Ordering::Relaxed) >= SLEEPERS {
        ASKED.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let mut flush: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(db.flush_async());
    let waker = Waker::from(Arc::new(Stay));
    let polled = flush.as_mut().poll(&mut Context::from_waker(&waker));
    if polled.is_pending() {
        // The sleeper holds a lock that dropping this would wait for.
        mem::forget(flush);
    } else {
        // It was done before anybody waited for it: the next one.
        ASKED.fetch_sub(1, Ordering::Relaxed);
    }
}
