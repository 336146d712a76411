//! What the kernel knows of time.

use std::{fs, time::Duration};

use jiff::Timestamp;

use super::Reading;

/// Which start of the machine this is, and for how long it has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// The kernel's random id of this start.
    pub boot: String,
    pub since_boot: Duration,
}

impl Uptime {
    /// Reads the kernel's.
    pub fn now() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Uptime {
            boot: boot.trim().to_owned(),
            since_boot: since_boot(),
        }
    }
}

/// Goes on while the machine sleeps, and no setting of the time moves it.
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

impl Reading {
    /// All three clocks.
    pub fn now() -> Reading {
        Reading {
            wall: Timestamp::now(),
            uptime: since_boot(),
            synchronised: synchronised(),
        }
    }
}

/// Whether a time source disciplines the kernel's clock (adjtimex(2): not `STA_UNSYNC`). chrony,
/// ntpd, systemd-timesyncd and PTP all say so here.
#[allow(unsafe_code)] // no safe wrapper of this call is in our dependencies
pub fn synchronised() -> bool {
    // SAFETY: `timex` is plain numbers, for which zeros are valid; with `modes` 0 the call only
    // fills it in.
    let (state, status) = unsafe {
        let mut time: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&mut time), time.status)
    };
    state >= 0 && status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_clocks_run() {
        let (one, other) = (Uptime::now(), Uptime::now());
        assert_eq!(one.boot, other.boot);
        assert!(!one.boot.is_empty() && one.since_boot <= other.since_boot);
        let (one, other) = (Reading::now(), Reading::now());
        assert!(one.uptime <= other.uptime);
        // Either answer is right; it must not be an error that looks like one.
        let _ = synchronised();
    }
}
