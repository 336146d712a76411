//! A serial line without wires: two pseudo terminals and a relay between their masters, so that
//! both ends are devices with a path, and bytes take the time that they take at the line's speed.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::symlink},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Bits of one byte on the line: start, eight, parity or second stop, stop.
const BITS_PER_BYTE: u32 = 11;
/// How long a stop may go unnoticed.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// A line with two ends.
#[derive(Debug)]
pub struct Line {
    ours: PathBuf,
    theirs: PathBuf,
    link: Option<PathBuf>,
    /// Held open: a pseudo terminal that nobody has open reads as a hang-up.
    _slaves: [OwnedFd; 2],
}

impl Line {
    /// Makes one; `link` becomes a symbolic link to the end that the other side opens.
    ///
    /// # Errors
    /// No pseudo terminals left, or a link that cannot be made; an existing link is replaced,
    /// any other file is not.
    pub fn new(
        link: Option<&Path>,
        baud: u32,
        tasks: &mut JoinSet<Result<()>>,
        stop: CancellationToken,
    ) -> Result<Line> {
        let (a, ours, slave_a) = terminal().context("cannot make a pseudo terminal")?;
        let (b, theirs, slave_b) = terminal().context("cannot make a pseudo terminal")?;
        if let Some(link) = link {
            if fs::symlink_metadata(link).is_ok_and(|m| m.is_symlink()) {
                fs::remove_file(link)
                    .with_context(|| format!("{}: cannot be replaced", link.display()))?;
            }
            symlink(&theirs, link)
                .with_context(|| format!("{}: cannot be made a link", link.display()))?;
        }
        for (from, to) in [(a.clone(), b.clone()), (b, a)] {
            let stop = stop.clone();
            // Threads: tokio's own reading of such descriptors needs unsafe code, and sleeps by
            // whole milliseconds, which is a byte's time.
            tasks.spawn_blocking(move || {
                relay(&from, &to, baud, &stop).context("pseudo serial line")
            });
        }
        Ok(Line {
            ours,
            theirs,
            link: link.map(Path::to_owned),
            _slaves: [slave_a, slave_b],
        })
    }

    /// What the gateway opens: the link if there is one.
    pub fn path(&self) -> &Path {
        self.link.as_deref().unwrap_or(&self.theirs)
    }

    /// What the simulated device opens.
    pub fn server_path(&self) -> &Path {
        &self.ours
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(link) = &self.link
            && fs::read_link(link).is_ok_and(|to| to == self.theirs)
        {
            let _ = fs::remove_file(link);
        }
    }
}

/// Master, path of the slave, and the slave in raw mode.
fn terminal() -> io::Result<(Arc<OwnedFd>, PathBuf, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let path = PathBuf::from(OsStr::from_bytes(name.as_bytes()));
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = open(&path, flags, Mode::empty())?;
    let mut mode = tcgetattr(&slave)?;
    mode.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &mode)?;
    Ok((Arc::new(master), path, slave))
}

/// Copies bytes at the speed of the line until `stop`.
fn relay(from: &OwnedFd, to: &OwnedFd, baud: u32, stop: &CancellationToken) -> io::Result<()> {
    let per_byte = Duration::from_secs(1) * BITS_PER_BYTE / baud.max(1);
    let look = Timespec::try_from(STOP_CHECK).unwrap_or_default();
    let mut buffer = [0; 64];
    let mut free = Instant::now();
    while !stop.is_cancelled() {
        if poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&look))? == 0 {
            continue;
        }
        let n = rustix::io::read(from, &mut buffer)?;
        free = free.max(Instant::now()) + per_byte * n as u32;
        thread::sleep(free.saturating_duration_since(Instant::now()));
        let mut rest = buffer.get(..n).unwrap_or_default();
        // A full terminal means that nobody reads at the other end: on a wire the bytes would
        // be gone too, and waiting would outlive the stop.
        while !rest.is_empty() && poll(&mut [PollFd::new(to, PollFlags::OUT)], Some(&look))? > 0 {
            let n = rustix::io::write(to, rest)?;
            rest = rest.get(n..).unwrap_or_default();
        }
    }
    Ok(())
}
