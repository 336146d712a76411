//! How much memory the child has. Libraries have no limits of their own, so the process watches
//! itself.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    pin::pin,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use tokio::task::coop;

use super::EXIT_MEMORY;

/// How often the process looks at its own memory, whatever it does: a camera on a gigabit line
/// fills 12 MB meanwhile.
const CHECK: Duration = Duration::from_millis(100);
/// After so much work of receiving it looks, too: who sends faster than that line is looked at
/// more often.
const CHECK_WORK: Duration = Duration::from_millis(5);
/// By so much the process may grow while one thing is waited for of a camera; the largest that
/// any sends, a key frame, is a tenth of it.
pub const ENDLESS: u64 = 64 << 20;
/// So long receiving one thing may keep the processor busy; a message takes less than the
/// hundredth part.
const BUSY: Duration = Duration::from_millis(500);
/// What one look counts at most: the processor may have been somebody else's meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// Whoever did less of that has not filled the memory.
const IDLE: Duration = Duration::from_millis(10);
/// Of the 128 things that tokio lets a task do in one turn, so many are taken: eight reads from
/// its socket are left, before it is looked at again. With all of them, one turn would be enough
/// to fill the memory.
const TAKEN: usize = 120;

static RESIDENT: AtomicU64 = AtomicU64::new(0);
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Ends the process when its memory is beyond the limit: the last line behind the limits of
/// each part. The gateway starts a new one.
pub fn watch(limit: u64) {
    LIMIT.store(limit, Ordering::Relaxed);
    while check() {
        thread::sleep(CHECK);
    }
    tracing::warn!("memory is not watched: no /proc");
}

/// What the process had when it looked last, bytes; nothing where it cannot look.
pub fn resident() -> u64 {
    RESIDENT.load(Ordering::Relaxed)
}

/// Looks at the process's memory, and ends it beyond the limit; false if it cannot look.
fn check() -> bool {
    // Opened once: cheap to read again.
    static STATM: OnceLock<Option<File>> = OnceLock::new();
    let Some(statm) = STATM.get_or_init(|| File::open("/proc/self/statm").ok()) else {
        return false;
    };
    let mut text = [0; 128];
    let read = statm.read_at(&mut text, 0).unwrap_or(0);
    let fields = std::str::from_utf8(text.get(..read).unwrap_or_default()).unwrap_or_default();
    let pages: Option<u64> = fields.split(' ').nth(1).and_then(|f| f.parse().ok());
    let resident = pages.unwrap_or_default() * rustix::param::page_size() as u64;
    RESIDENT.store(resident, Ordering::Relaxed);
    let limit = LIMIT.load(Ordering::Relaxed);
    if resident > limit {
        tracing::error!("memory beyond {} MiB, ending", limit >> 20);
        std::process::exit(EXIT_MEMORY.into());
    }
    true
}

/// What has become of the process since one thing is waited for.
#[derive(Debug)]
pub struct Growth {
    from: u64,
    worked: Duration,
    /// Since memory was last looked at for it.
    unchecked: Duration,
    /// The task's next look is the first one of its turn.
    is_new_turn: bool,
}

impl Growth {
    /// From now on.
    pub fn begin() -> Self {
        Growth {
            from: RESIDENT.load(Ordering::Relaxed),
            worked: Duration::ZERO,
            unchecked: Duration::ZERO,
            is_new_turn: true,
        }
    }

    /// It came, and the next is waited for.
    pub fn again(&mut self) {
        *self = Growth {
            unchecked: self.unchecked,
            is_new_turn: self.is_new_turn,
            ..Growth::begin()
        };
    }

    /// Looks whether it has come; counts how long that looking took.
    pub fn look<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.is_endless() {
            // Whoever asks is told so as soon as the time for this look is over.
            return Poll::Pending;
        }
        if std::mem::take(&mut self.is_new_turn) {
            for _ in 0..TAKEN {
                let _ = pin!(coop::consume_budget()).poll(cx);
            }
        }
        let begun = Instant::now();
        let poll = poll(cx);
        let worked = begun.elapsed().min(LOOK);
        self.worked += worked;
        self.unchecked += worked;
        if self.unchecked > CHECK_WORK {
            self.unchecked = Duration::ZERO;
            check();
        }
        self.is_new_turn = poll.is_pending();
        poll
    }

    /// It is more than anything that is waited for can be.
    pub fn is_endless(&self) -> bool {
        let resident = RESIDENT.load(Ordering::Relaxed);
        is_endless(
            self.from,
            resident,
            LIMIT.load(Ordering::Relaxed),
            self.worked,
        )
    }
}

/// By its work, or by its memory: whoever keeps a message of any length doubles its room for it,
/// so half of the limit is soon all of it. Others may have grown meanwhile, but not by this work.
fn is_endless(from: u64, resident: u64, limit: u64, worked: Duration) -> bool {
    let allowed = ENDLESS.min(limit.saturating_sub(from) / 2);
    let grown = resident.saturating_sub(from);
    worked > BUSY || (worked > IDLE && grown > allowed && resident > limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn who_works_is_measured_without_waiting_for_the_watch() {
        // No watch runs in this process, so nothing else looks.
        RESIDENT.store(0, Ordering::Relaxed);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut growth = Growth::begin();
        let mut work = |time: Duration| {
            let begun = Instant::now();
            growth.look(&mut cx, |_| {
                while begun.elapsed() < time {}
                Poll::Ready(())
            })
        };
        assert!(work(CHECK_WORK + Duration::from_millis(1)).is_ready());
        assert!(RESIDENT.load(Ordering::Relaxed) > MB);
    }

    #[test]
    fn who_works_long_or_fills_the_memory_is_endless_and_who_waits_beside_is_not() {
        let millis = Duration::from_millis;
        for (from, resident, worked, endless) in [
            (100, 100, millis(0), false),
            (100, 100, BUSY, false),
            (100, 100, BUSY + millis(1), true),
            (100, 300, IDLE, false),
            (100, 300, IDLE + millis(1), true),
            // Decoders that begin, with room for more.
            (100, 250, millis(100), false),
            (250, 300, millis(100), false),
            (250, 315, millis(100), true),
            // Little room.
            (480, 490, millis(100), false),
            (480, 500, millis(100), true),
        ] {
            let got = is_endless(from * MB, resident * MB, 512 * MB, worked);
            assert_eq!(got, endless, "{from} to {resident} MB in {worked:?}");
        }
    }
}
