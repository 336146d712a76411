//! The directory of the spool: who may write there, the ballast, and the ladder of recovery (R11).

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Recovery, SpoolError,
    engine::{Engine, EngineError},
    load::{LoadError, copy},
    mark::{Counters, Mark},
    quota::Disk,
    rotate::{self, Old},
    sled_engine::{SledEngine, sync_dir},
    store::{Store, put_born},
};
use crate::config::Quota;

/// R5: given back when the disk is full, so that the database can open and empty itself.
const BALLAST: u64 = 16 << 20;

/// Free space that a rotation needs beside twice what is live: sled's own least, and some.
const ROTATION_ROOM: u64 = 6 << 20;

/// Databases up to this size are copied before they are opened. The copy is not synced and seldom
/// lives long enough to reach the disk.
const COPIED_BEFORE: u64 = 128 << 20;

/// What became of a rotation.
pub enum Rotated {
    /// The store over the fresh database.
    Done(Box<Store>),
    /// There was no room for a second one; the store as it was.
    NoRoom(Box<Store>),
}

/// How far an opening had to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rung {
    /// The database was sound.
    #[default]
    AsItWas,
    /// It was readable without sled's snapshot.
    WithoutSnapshot,
    /// What could be read was copied into a new one.
    Salvaged,
    /// Nothing could be read; the new one is empty.
    Fresh,
}

/// The directory, held by this process.
#[derive(Debug)]
pub struct Home {
    root: PathBuf,
    _lock: File,
    mark: Mark,
    has_ballast: bool,
    /// The last opening failed, so this one comes a second later.
    is_retry: bool,
}

/// What an opening needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    pub station: Arc<str>,
    pub quota: Quota,
    pub uplinks: Vec<Arc<str>>,
}

impl Home {
    /// Creates the directory if needed, and takes it.
    pub fn take(root: &Path) -> Result<Home, SpoolError> {
        let io = |what| move |error: io::Error| SpoolError::io(root, what, &error);
        fs::create_dir_all(root).map_err(io("create the directory"))?;
        let lock = lock(root)?;
        let mark = Mark::open(&root.join("mark")).map_err(io("open the mark"));
        let (mark, has_ballast) = match mark {
            Ok((mark, _)) => (mark, false),
            Err(SpoolError::Io {
                kind: io::ErrorKind::StorageFull,
                ..
            }) => {
                // The ballast is what makes a start possible on a full disk.
                let _ = fs::remove_file(root.join("ballast"));
                let (mark, _) = Mark::open(&root.join("mark")).map_err(io("open the mark"))?;
                (mark, false)
            }
            Err(error) => return Err(error),
        };
        let mut home = Home {
            root: root.to_owned(),
            _lock: lock,
            mark,
            has_ballast,
            is_retry: false,
        };
        home.ensure_ballast();
        if let Some(parent) = root.parent() {
            sync_dir(parent).map_err(io("sync the parent directory"))?;
        }
        Ok(home)
    }

    /// Opens the database, going down the ladder as far as needed; a full disk gets its ballast.
    pub fn open(&mut self, plan: &Plan, rewrite: bool) -> Result<(Store, Recovery), SpoolError> {
        let opened = match self.climb(plan, rewrite) {
            Err(SpoolError::Io {
                kind: io::ErrorKind::StorageFull,
                ..
            }) if self.release_ballast() => self.climb(plan, false),
            other => other,
        };
        self.is_retry = opened.is_err();
        opened
    }

    fn climb(&mut self, plan: &Plan, rewrite: bool) -> Result<(Store, Recovery), SpoolError> {
        let outbox = self.root.join("outbox");
        let new = self.root.join("outbox.new");
        self.finish()?;
        let (fresh_mark, counters) = Mark::open(&self.root.join("mark"))
            .map_err(|error| SpoolError::io(&self.root, "open the mark", &error))?;
        self.mark = fresh_mark;

        if rewrite && outbox.exists() {
            // After a failed sync the kernel may show pages that never reached the disk: only
            // bytes written again can be synced again.
            match salvage(&outbox, &new) {
                Ok(_) => drop(self.swap(Old::Quarantine)?),
                Err(error) if is_environment(&error) => {
                    return Err(self.refused(&outbox, error.into()));
                }
                Err(error) => tracing::warn!(%error, "the spool could not be rewritten"),
            }
        }
        self.copy_before(&outbox);
        match attempt(&outbox, plan, counters) {
            Ok(opened) if opened.1.lost == 0 => {
                self.remove(&self.root.join("outbox.before"))?;
                Ok(opened)
            }
            Ok(opened) => {
                tracing::error!(
                    lost = opened.1.lost,
                    "the spool opened with less than it had"
                );
                self.recover(plan, counters, Some(opened))
            }
            Err(LoadError::Engine(error)) if !is_environment(&error) => {
                tracing::error!(%error, "the spool is damaged");
                self.recover(plan, counters, None)
            }
            Err(error) => Err(self.refused(&outbox, error)),
        }
    }

    /// Keeps the files as they are: sled cuts off what it cannot read when it opens them, and
    /// then neither the lower rungs nor an export would find it any more.
    fn copy_before(&self, outbox: &Path) {
        let size = fs::metadata(outbox.join("db")).map_or(0, |meta| meta.len());
        let before = self.root.join("outbox.before");
        let has_room = |(free, total)| free > size * 2 + ballast_size(total);
        let room = self.space().is_some_and(has_room);
        if size == 0 || size > COPIED_BEFORE || !room || self.is_retry {
            return;
        }
        if let Err(error) = copy_files(outbox, &before, true) {
            tracing::warn!(%error, "the database could not be copied before it is opened");
            let _ = fs::remove_dir_all(&before);
        }
    }

    /// The lower rungs: whichever holds most.
    fn recover(
        &mut self,
        plan: &Plan,
        counters: Option<Counters>,
        as_it_was: Option<(Store, Recovery)>,
    ) -> Result<(Store, Recovery), SpoolError> {
        let outbox = self.root.join("outbox");
        let new = self.root.join("outbox.new");
        let held = |opened: &Option<(Store, Recovery)>| opened.as_ref().map(|(_, r)| r.held);
        let best = held(&as_it_was);
        // One process, one open database: sled's lock.
        close(as_it_was);

        let before = self.root.join("outbox.before");
        let untouched = if before.is_dir() { &before } else { &outbox };
        let without_snapshot = copy_files(untouched, &new, false)
            .ok()
            .and_then(|()| attempt(&new, plan, counters).ok());
        let found = held(&without_snapshot);
        close(without_snapshot);
        if found > best {
            let quarantined = self.swap(Old::Quarantine)?;
            return self.settle_on(plan, counters, Rung::WithoutSnapshot, quarantined);
        }
        self.remove(&new)?;
        if let Some(held) = best {
            // It goes on in a fresh one, so that what is missing can still be looked for in the
            // file of this one (`export`): sled would write over it.
            let copied = salvage(&outbox, &new)
                .ok()
                .and_then(|_| attempt(&new, plan, counters).ok());
            let is_whole = copied.as_ref().is_some_and(|(_, r)| r.held == held);
            close(copied);
            if is_whole {
                let rung = if held > 0 {
                    Rung::Salvaged
                } else {
                    Rung::Fresh
                };
                let quarantined = self.swap(Old::Quarantine)?;
                return self.settle_on(plan, counters, rung, quarantined);
            }
            self.remove(&new)?;
            return self.settle_on(plan, counters, Rung::AsItWas, None);
        }
        let copied = salvage(&outbox, &new).unwrap_or(0);
        if copied > 0 {
            let quarantined = self.swap(Old::Quarantine)?;
            return self.settle_on(plan, counters, Rung::Salvaged, quarantined);
        }
        self.remove(&new)?;
        fs::create_dir_all(&new)
            .map_err(|error| SpoolError::io(&new, "create the directory", &error))?;
        let quarantined = self.swap(Old::Quarantine)?;
        self.settle_on(plan, counters, Rung::Fresh, quarantined)
    }

    fn settle_on(
        &self,
        plan: &Plan,
        counters: Option<Counters>,
        rung: Rung,
        quarantined: Option<PathBuf>,
    ) -> Result<(Store, Recovery), SpoolError> {
        let outbox = self.root.join("outbox");
        let before = self.root.join("outbox.before");
        match &quarantined {
            // What sled has not touched is worth more than what it has.
            Some(kept) if before.is_dir() => {
                let exchanged = fs::remove_dir_all(kept).and_then(|()| fs::rename(&before, kept));
                exchanged.map_err(|e| SpoolError::io(kept, "keep the old database", &e))?;
            }
            _ => self.remove(&before)?,
        }
        let (store, recovery) =
            attempt(&outbox, plan, counters).map_err(|error| self.refused(&outbox, error))?;
        let recovery = Recovery {
            rung,
            quarantined,
            ..recovery
        };
        Ok((store, recovery))
    }

    fn refused(&self, path: &Path, error: LoadError) -> SpoolError {
        match error {
            LoadError::Engine(EngineError::Io(error)) => {
                SpoolError::io(path, "open the database", &error)
            }
            LoadError::Engine(other) => SpoolError::Refusing(other.to_string()),
            LoadError::Newer(found) => SpoolError::Newer {
                path: path.to_owned(),
                found,
            },
            LoadError::TooManyUplinks(count) => SpoolError::TooManyUplinks(count),
        }
    }

    /// Puts `outbox.new` in the place of the outbox.
    fn swap(&self, old: Old) -> Result<Option<PathBuf>, SpoolError> {
        rotate::swap(&self.root, old).map_err(|error| {
            let new = self.root.join("outbox.new");
            SpoolError::io(&new, "put the new database in place", &error)
        })
    }

    /// Ends what a crash stopped.
    fn finish(&self) -> Result<(), SpoolError> {
        match rotate::finish(&self.root, Old::Quarantine) {
            Ok(_) => self.remove(&self.root.join("outbox.before")),
            Err(error) => Err(SpoolError::io(
                &self.root,
                "put a new database in place",
                &error,
            )),
        }
    }

    /// Replaces the database by a fresh one with the same content (R10); `None` when there is no
    /// room for both, and everything is as it was. `age` is the station's.
    ///
    /// # Errors
    /// The store is closed then; the next opening finds the old one or the new one whole.
    pub fn rotate(
        &mut self,
        plan: &Plan,
        store: Store,
        age: Duration,
    ) -> Result<Rotated, SpoolError> {
        let need = store.live_bytes() * 2 + ROTATION_ROOM;
        if self.space().is_some_and(|(free, _)| free < need) {
            return Ok(Rotated::NoRoom(Box::new(store)));
        }
        let outbox = self.root.join("outbox");
        let new = self.root.join("outbox.new");
        self.remove(&new)?;
        let (counters, held) = (store.counters(), store.live());
        let copied = SledEngine::open(&new).and_then(|mut into| {
            copy(store.engine(), &mut into)?;
            put_born(&mut into, age)?;
            into.sync()?;
            close(into);
            Ok(())
        });
        copied.map_err(|error| self.refused(&new, error.into()))?;
        // The old one goes only when the new one is known to hold the same.
        let (read_back, found) =
            attempt(&new, plan, Some(counters)).map_err(|error| self.refused(&new, error))?;
        close(read_back);
        if found.held != held || found.lost > 0 || found.unreadable > 0 {
            return Err(SpoolError::Refusing(format!(
                "a copy of the database holds {} records instead of {held}; the old one stays",
                found.held
            )));
        }
        close(store);
        self.swap(Old::Delete)?;
        let (store, _) =
            attempt(&outbox, plan, Some(counters)).map_err(|error| self.refused(&outbox, error))?;
        Ok(Rotated::Done(Box::new(store)))
    }

    fn remove(&self, dir: &Path) -> Result<(), SpoolError> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SpoolError::io(dir, "remove a left-over", &error))
            }
            _ => Ok(()),
        }
    }

    /// Notes what the engine durably has (R13).
    pub fn note(&mut self, counters: Counters) -> Result<(), SpoolError> {
        self.mark
            .write(counters)
            .map_err(|error| SpoolError::io(&self.root, "write the mark", &error))
    }

    /// Makes the last note durable.
    pub fn sync_mark(&mut self) -> Result<(), SpoolError> {
        self.mark
            .sync()
            .map_err(|error| SpoolError::io(&self.root, "sync the mark", &error))
    }

    /// How much the disk has left, by what a user may take.
    pub fn disk(&mut self) -> Disk {
        let Some((free, total)) = self.space() else {
            return Disk::Roomy;
        };
        if !self.has_ballast && !self.ensure_ballast() {
            return Disk::Full;
        }
        if free < (total / 16).min(BALLAST / 4) {
            Disk::Full
        } else if free < ballast_size(total) {
            Disk::Low
        } else {
            Disk::Roomy
        }
    }

    fn space(&self) -> Option<(u64, u64)> {
        let fs = rustix::fs::statvfs(&self.root).ok()?;
        Some((fs.f_bavail * fs.f_frsize, fs.f_blocks * fs.f_frsize))
    }

    /// Lays the ballast down if it is not there and there is room for it and more.
    fn ensure_ballast(&mut self) -> bool {
        let Some((free, total)) = self.space() else {
            return self.has_ballast;
        };
        let size = ballast_size(total);
        let path = self.root.join("ballast");
        self.has_ballast = fs::metadata(&path).is_ok_and(|meta| meta.len() == size);
        if !self.has_ballast && free > size * 2 {
            self.has_ballast = lay_ballast(&path, size).is_ok();
            if !self.has_ballast {
                let _ = fs::remove_file(&path);
            }
        }
        self.has_ballast
    }

    fn release_ballast(&mut self) -> bool {
        self.has_ballast = false;
        let released = fs::remove_file(self.root.join("ballast")).is_ok();
        if released {
            tracing::error!("the disk is full: the spool gave back its ballast");
        }
        released
    }
}

fn ballast_size(total: u64) -> u64 {
    // An eighth of a disk so small that it must be a test.
    (total / 8).min(BALLAST)
}

fn lay_ballast(path: &Path, size: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let flags = rustix::fs::FallocateFlags::empty();
    if rustix::fs::fallocate(&file, flags, 0, size).is_err() {
        // Not every file system can; zeros do as well.
        let zeros = vec![0; 1 << 20];
        let mut left = size;
        while left > 0 {
            let part = left.min(zeros.len() as u64);
            file.write_all(&zeros[..part as usize])?;
            left -= part;
        }
    }
    file.sync_all()
}

/// Takes the lock file of an existing directory.
pub fn lock(root: &Path) -> Result<File, SpoolError> {
    let path = root.join("lock");
    let io = |what, error: io::Error| SpoolError::io(&path, what, &error);
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| io("open the lock", error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(root, &mut file)),
        Err(TryLockError::Error(error)) => return Err(io("take the lock", error)),
    }
    // A full disk must not keep the daemon out: the pid is only for people.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
    Ok(file)
}

/// Sees that no daemon works in a directory, for those who only read it.
pub fn share(root: &Path) -> Result<Option<File>, SpoolError> {
    let path = root.join("lock");
    let io = |what, error: io::Error| SpoolError::io(&path, what, &error);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open the lock", error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(held(root, &mut file)),
        Err(TryLockError::Error(error)) => Err(io("take the lock", error)),
    }
}

/// Who holds the lock, as it wrote itself down.
fn held(root: &Path, file: &mut File) -> SpoolError {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    SpoolError::Held {
        path: root.to_owned(),
        pid: text.trim().parse().ok(),
    }
}

fn attempt(
    outbox: &Path,
    plan: &Plan,
    mark: Option<Counters>,
) -> Result<(Store, Recovery), LoadError> {
    let engine = Box::new(SledEngine::open(outbox)?);
    let (station, quota) = (plan.station.clone(), plan.quota);
    Store::load(
        engine,
        station,
        quota,
        &plan.uplinks,
        mark,
        Timestamp::now(),
    )
}

/// Drops a database; sled may panic when it closes one whose disk is gone.
pub fn close<T>(database: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
}

/// Copies what can be read into a new database.
fn salvage(outbox: &Path, new: &Path) -> Result<u64, EngineError> {
    let from = SledEngine::open(outbox)?;
    let mut into = SledEngine::open(new)?;
    let copied = copy(&from, &mut into);
    close(from);
    close(into);
    copied
}

/// Copies the files of a database, with or without sled's snapshots.
pub fn copy_files(from: &Path, to: &Path, snapshots: bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let to = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &to, snapshots)?;
        } else if snapshots || !name.to_string_lossy().starts_with("snap.") {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Whether an error is about the machine, not about the data.
fn is_environment(error: &EngineError) -> bool {
    use io::ErrorKind::{
        PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, ResourceBusy, StorageFull,
    };
    let EngineError::Io(error) = error else {
        return false;
    };
    let too_many_files = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    too_many_files
        || matches!(
            error.kind(),
            PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | ResourceBusy | StorageFull
        )
        || error.to_string().contains("could not acquire lock")
}
