//! sled 0.34.7 behind [`Engine`], with the syncs that it leaves out.
//!
//! `sled::Db::flush` ends in `sync_file_range` on Linux, which neither empties a disk's cache nor
//! commits the file's size: a power cut after it loses acknowledged records. So every sync here
//! is `flush` **and** `fdatasync` on a descriptor of our own that was open before the first
//! write, and creation syncs each file and directory that sled forgets (R1, R2).

use std::{
    fs::{self, File, OpenOptions},
    io,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    engine::{Cut, Engine, EngineError, Visitor, WriteBatch},
    sled_pool::keep_one_away,
};

/// sled's page cache; its default is 1 GB. The outbox reads in order and once, so little helps.
const CACHE_BYTES: u64 = 8 << 20;

/// sled frees its file lock in a thread of its own some time after the database is dropped; we
/// hold a lock above it, so waiting is safe.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The production engine.
pub struct SledEngine {
    db: sled::Db,
    file: File,
}

impl std::fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledEngine").finish_non_exhaustive()
    }
}

impl SledEngine {
    /// Opens or creates the database in the directory `path`.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the file system refuses, [`EngineError::Damaged`] when sled
    /// cannot read, or panics over, what is there.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        fs::create_dir_all(path)?;
        // Before sled's first write, so that a write error that the kernel reports once reaches
        // this descriptor too.
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(path.join("db"))?;
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        let started = Instant::now();
        let db = loop {
            match guarded(|| config.open()) {
                Err(error) if is_locked(&error) && started.elapsed() < LOCK_PATIENCE => {
                    thread::sleep(Duration::from_millis(10));
                }
                other => break other?,
            }
        };
        let engine = SledEngine { db, file };
        engine.sync_layout(path)?;
        Ok(engine)
    }

    /// R2: the names and the fixed files, which sled never syncs.
    fn sync_layout(&self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        File::open(path.join("conf"))?.sync_all()?;
        File::open(path.join("blobs"))?.sync_all()?;
        sync_dir(path)?;
        match path.parent() {
            Some(parent) => sync_dir(parent),
            None => Ok(()),
        }
    }
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    // The parent of a relative path of one part is the empty path.
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)?.sync_all()
}

impl Engine for SledEngine {
    fn write(&mut self, batch: &WriteBatch, cut: Cut) -> Result<(), EngineError> {
        guarded(|| {
            if cut == Cut::AllOrNothing {
                let mut changes = sled::Batch::default();
                for (key, value) in batch.changes() {
                    match value {
                        Some(value) => changes.insert(key, value),
                        None => changes.remove(key),
                    }
                }
                return self.db.apply_batch(changes);
            }
            // sled's log is recovered up to the first hole, so order is kept.
            for (key, value) in batch.changes() {
                match value {
                    Some(value) => self.db.insert(key, value)?,
                    None => self.db.remove(key)?,
                };
            }
            Ok(())
        })
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        guarded(|| {
            keep_one_away(&self.db);
            self.db.flush()
        })?;
        rustix::fs::fdatasync(&self.file).map_err(io::Error::from)?;
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        guarded(|| self.db.get(key)).map(|value| value.map(|value| value.to_vec()))
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), EngineError> {
        guarded(|| {
            for item in self.db.range(range.start..range.end) {
                let (key, value) = item?;
                if visit(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn disk_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        self.file.metadata().map_or(0, |meta| meta.blocks() * 512)
    }
}

/// Runs sled, which panics over some damaged files, so that no panic leaves this module.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        // A copy that sled made of an error has lost its number and shows as Rust code.
        Ok(Err(sled::Error::Io(error)))
            if error.raw_os_error().is_none() && error.kind() != io::ErrorKind::Other =>
        {
            Err(EngineError::Io(error.kind().into()))
        }
        Ok(Err(sled::Error::Io(error))) => Err(EngineError::Io(error)),
        Ok(Err(error)) => Err(EngineError::Damaged(error.to_string())),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(EngineError::Damaged(format!("sled panicked: {text}")))
        }
    }
}

fn is_locked(error: &EngineError) -> bool {
    matches!(error, EngineError::Io(error) if error.to_string().contains("could not acquire lock"))
}
