//! No database gets old (R10): what is live is copied into a fresh one, which takes its place.
//!
//! sled gives space back late and opens more slowly the older a database is (sled#1484, sled#1531),
//! so the outbox moves into a new directory once a day, and earlier when the old one takes many
//! times what it holds. The old directory is deleted whole.
//!
//! # What a crash leaves
//! ```text
//! outbox.new    a copy in the making: thrown away
//! outbox.next   a whole copy, synced, while nothing is written to outbox/ any more: takes its place
//! outbox.old    a database that has been replaced: thrown away
//! outbox.before a copy of the files as they were, while they are opened: thrown away
//! ```
//! [`swap`] goes from one to the next; every opening begins with [`finish`], which goes on where a
//! crash stopped it. At no point is the only whole copy under a name that is thrown away.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::sled_engine::sync_dir;

/// Age at which a database is replaced, in time that the station has counted.
pub const EVERY: Duration = Duration::from_secs(24 * 3_600);

/// So many times what is live, and more than [`SMALL`]: too much.
const BLOAT: u64 = 6;

/// A database that nobody needs to make smaller: sled's own least, and some.
const SMALL: u64 = 32 << 20;

/// While the disk is nearly full, so many times what is live and more than [`TIGHT_SMALL`] is too
/// much.
const TIGHT_BLOAT: u64 = 2;
const TIGHT_SMALL: u64 = 8 << 20;

/// With more than this live there is no quiet moment: copying it would keep senders waiting for
/// seconds on a small machine. A backlog of this size is drained first.
pub const QUIET: u64 = 16 << 20;

/// Databases in quarantine that are kept for a look.
const QUARANTINE_KEEP: usize = 3;

/// How worn a database is.
#[derive(Clone, Copy, Debug)]
pub struct Wear {
    /// Since it was made.
    pub age: Duration,
    /// Bytes on disk.
    pub disk: u64,
    /// Bytes of what it holds.
    pub live: u64,
    /// Whether the disk is nearly full.
    pub is_tight: bool,
}

impl Wear {
    /// Why it should be replaced now, if it should.
    pub fn is_due(&self) -> Option<&'static str> {
        if self.live > QUIET {
            return None;
        }
        let beyond = |times: u64, small: u64| self.disk > small.max(self.live * times);
        if self.is_tight && beyond(TIGHT_BLOAT, TIGHT_SMALL) {
            Some("the disk is nearly full")
        } else if beyond(BLOAT, SMALL) {
            Some("it takes many times what it holds")
        } else if self.age >= EVERY {
            Some("it is a day old")
        } else {
            None
        }
    }
}

/// What becomes of the database that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// It could not be read: somebody may want to look at it.
    Quarantine,
    /// The new one holds all that was in it.
    Delete,
}

/// Where the database is, for those who only read: a crash may have stopped between two names.
pub fn place(root: &Path) -> PathBuf {
    let outbox = root.join("outbox");
    let next = root.join("outbox.next");
    if !outbox.exists() && next.is_dir() {
        return next;
    }
    outbox
}

/// Puts the closed database `outbox.new` in the place of the closed outbox; returns where that is
/// kept.
///
/// # Errors
/// The file system's; [`finish`] then has to be called before anything is written.
pub fn swap(root: &Path, old: Old) -> io::Result<Option<PathBuf>> {
    let new = root.join("outbox.new");
    // sled syncs neither names nor snapshots.
    sync_tree(&new)?;
    fs::rename(&new, root.join("outbox.next"))?;
    sync_dir(root)?;
    finish(root, old)
}

/// Ends a replacement that was begun, and removes what is left over of earlier ones.
///
/// # Errors
/// The file system's.
pub fn finish(root: &Path, old: Old) -> io::Result<Option<PathBuf>> {
    let [outbox, next, worn, new] =
        ["outbox", "outbox.next", "outbox.old", "outbox.new"].map(|name| root.join(name));
    let mut kept = None;
    if next.exists() {
        if outbox.exists() {
            match old {
                Old::Quarantine => {
                    let quarantine = root.join("quarantine");
                    fs::create_dir_all(&quarantine)?;
                    let to = quarantine.join(format!("outbox-{}", uuid::Uuid::now_v7()));
                    fs::rename(&outbox, &to)?;
                    sync_dir(&quarantine)?;
                    kept = Some(to);
                }
                Old::Delete => {
                    remove(&worn)?;
                    fs::rename(&outbox, &worn)?;
                }
            }
        }
        fs::rename(&next, &outbox)?;
        sync_dir(root)?;
        prune(&root.join("quarantine"))?;
    }
    remove(&worn)?;
    remove(&new)?;
    Ok(kept)
}

/// Removes a directory, if it is there.
fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Keeps the newest few.
fn prune(quarantine: &Path) -> io::Result<()> {
    let mut old: Vec<_> = match fs::read_dir(quarantine) {
        Ok(entries) => entries.flatten().collect(),
        Err(_) => return Ok(()),
    };
    // UUIDv7: sorted by name is sorted by time.
    old.sort_by_key(fs::DirEntry::file_name);
    let surplus = old.len().saturating_sub(QUARANTINE_KEEP);
    old.iter()
        .take(surplus)
        .try_for_each(|entry| fs::remove_dir_all(entry.path()))
}

/// Makes every file and name under a directory durable.
fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r10_due_by_age_by_size_and_by_a_tight_disk() {
        const MB: u64 = 1 << 20;
        let hours = |n: u64| Duration::from_secs(n * 3_600);
        let wear = |age, disk, live, is_tight| {
            Wear {
                age,
                disk,
                live,
                is_tight,
            }
            .is_due()
        };
        assert_eq!(wear(hours(0), SMALL, 0, false), None);
        assert!(wear(hours(0), SMALL + 1, 0, false).is_some());
        assert_eq!(wear(hours(0), 60 * MB, 10 * MB, false), None);
        assert!(wear(hours(0), 60 * MB + 1, 10 * MB, false).is_some());
        assert!(wear(hours(0), 21 * MB, 10 * MB, true).is_some());
        assert_eq!(wear(hours(0), 8 * MB, 0, true), None);
        assert_eq!(wear(hours(24) - Duration::from_secs(1), MB, 0, false), None);
        assert!(wear(hours(24), MB, 0, false).is_some());
        // A backlog is delivered first, however old and large the database is.
        assert!(wear(hours(24), 9_000 * MB, QUIET, true).is_some());
        assert_eq!(wear(hours(24), 9_000 * MB, QUIET + 1, true), None);
        assert_eq!(wear(hours(240), 9_000 * MB, QUIET * 10, true), None);
    }
}
