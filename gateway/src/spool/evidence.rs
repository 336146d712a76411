//! Pictures as files named by their content (R4).
//!
//! `evidence/ab/ab…64 hex digits.jpg`, written to `evidence/tmp/`, synced, renamed and its
//! directory synced, all before a record may name it. The same picture is stored once. When its last
//! record has gone, the file is touched and loses its write permission, which tells it from one
//! that no record ever named. How long it stays then is decided in `retention`.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use wangge_protocol::EvidenceRef;

use super::{record::unhex, sled_engine::sync_dir};

/// Largest picture: several times a 4K JPEG.
pub const MAX_PICTURE: usize = 8 << 20;

/// Time for a record to be appended after its picture: an update of an alert may wait for ten
/// minutes, and longer at a busy station.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(3_600);

/// Mode of a file whose records were all delivered.
const DELIVERED: u32 = 0o440;

/// A sweep must not delete a picture between `put` finding it there and touching it, also when
/// the store is opened twice in this process; the spool's lock keeps other processes out.
pub(super) static TOUCHING: Mutex<()> = Mutex::new(());

/// Why a picture could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The file system refused.
    #[error("{}: {error} (while trying to {what}); check free space and permissions", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        error: io::Error,
    },
    /// It is not there.
    #[error("picture {0} is not in the evidence store")]
    Missing(String),
    /// The file is not what its name says.
    #[error("{}: the content does not match the name; the disk may be failing", .0.display())]
    Corrupt(PathBuf),
    /// Pictures that may not be deleted yet take all the room that pictures have.
    #[error(
        "no room for a picture of {bytes} bytes: {used} of {limit} are taken by pictures of undelivered alerts or in their term; see storage.picture_quota"
    )]
    Full {
        /// Of the new picture.
        bytes: u64,
        /// Of all that are there.
        used: u64,
        /// The quota.
        limit: u64,
    },
    /// The name is no hash.
    #[error("{0:?} is not a SHA-256 in 64 lower-case hex digits")]
    BadHash(String),
    /// Nothing, or over [`MAX_PICTURE`].
    #[error("a picture of {0} bytes; it must have 1 to {MAX_PICTURE}")]
    Size(usize),
}

pub(super) fn at<'a>(
    path: &'a Path,
    what: &'static str,
) -> impl FnOnce(io::Error) -> EvidenceError + 'a {
    move |error| EvidenceError::Io {
        path: path.to_owned(),
        what,
        error,
    }
}

/// The directory of pictures; all calls block.
#[derive(Debug)]
pub struct EvidenceStore {
    dir: PathBuf,
    limit: u64,
    bytes: AtomicU64,
    files: AtomicU64,
    /// Bytes stored since it was opened.
    taken: AtomicU64,
}

impl EvidenceStore {
    /// Opens or creates the directory.
    ///
    /// # Errors
    /// [`EvidenceError::Io`].
    pub fn open(dir: &Path) -> Result<Self, EvidenceError> {
        let tmp = dir.join("tmp");
        fs::create_dir_all(&tmp).map_err(at(&tmp, "create the directory"))?;
        sync_dir(dir).map_err(at(dir, "sync the directory"))?;
        let store = EvidenceStore {
            dir: dir.to_owned(),
            limit: u64::MAX,
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        };
        let (mut bytes, mut files) = (0, 0);
        store.each(|_, meta, _| {
            bytes += meta.len();
            files += 1;
            Ok(())
        })?;
        store.set_held(bytes, files);
        Ok(store)
    }

    /// The same, taking no more than `bytes` of pictures.
    #[must_use]
    pub fn at_most(self, bytes: u64) -> Self {
        EvidenceStore {
            limit: bytes,
            ..self
        }
    }

    /// Stores a picture and returns when it survives a power cut. `role` says what it shows.
    ///
    /// # Errors
    /// [`EvidenceError::Size`], [`EvidenceError::Full`] and [`EvidenceError::Io`]; then nothing may
    /// name it.
    pub fn put(
        &self,
        bytes: &[u8],
        media_type: &str,
        role: &str,
        taken_at: Timestamp,
    ) -> Result<EvidenceRef, EvidenceError> {
        if bytes.is_empty() || bytes.len() > MAX_PICTURE {
            return Err(EvidenceError::Size(bytes.len()));
        }
        let sha256 = hex::encode(Sha256::digest(bytes));
        let path = self.path(&sha256);
        if !self.touch(&path) || self.read(&sha256).is_err() {
            self.write(&path, bytes)?;
        }
        Ok(EvidenceRef {
            sha256,
            bytes: bytes.len() as u64,
            media_type: media_type.into(),
            role: role.into(),
            taken_at: taken_at.to_string(),
            thumbnail: None,
        })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), EvidenceError> {
        let used = self.bytes();
        if used.saturating_add(bytes.len() as u64) > self.limit {
            return Err(EvidenceError::Full {
                bytes: bytes.len() as u64,
                used,
                limit: self.limit,
            });
        }
        let tmp = self.dir.join("tmp").join(Uuid::now_v7().to_string());
        let written = File::create(&tmp).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&tmp);
            return Err(at(&tmp, "write a picture")(error));
        }
        let shelf = path.parent().unwrap_or(&self.dir);
        if !shelf.exists() {
            fs::create_dir_all(shelf).map_err(at(shelf, "create the directory"))?;
            sync_dir(&self.dir).map_err(at(&self.dir, "sync the directory"))?;
        }
        let replaced = fs::metadata(path).ok().map(|meta| meta.len());
        fs::rename(&tmp, path).map_err(at(path, "rename a picture"))?;
        sync_dir(shelf).map_err(at(shelf, "sync the directory"))?;
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        match replaced {
            Some(replaced) => drop(self.bytes.fetch_sub(replaced, Ordering::Relaxed)),
            None => drop(self.files.fetch_add(1, Ordering::Relaxed)),
        }
        Ok(())
    }

    /// The picture, if it is there and is what its name says.
    ///
    /// # Errors
    /// [`EvidenceError::Missing`], [`EvidenceError::Corrupt`], [`EvidenceError::BadHash`],
    /// [`EvidenceError::Io`].
    pub fn read(&self, sha256: &str) -> Result<Vec<u8>, EvidenceError> {
        read_in(&self.dir, sha256)
    }

    /// Where a picture is, or would be; inside the directory whatever the name.
    pub fn path(&self, sha256: &str) -> PathBuf {
        path_in(&self.dir, sha256)
    }

    /// Whether the picture is there; its content is not read.
    pub fn holds(&self, sha256: &str) -> bool {
        self.path(sha256).is_file()
    }

    /// Bytes of a picture, if it is there.
    pub fn size(&self, sha256: &str) -> Option<u64> {
        let meta = fs::metadata(self.path(sha256)).ok()?;
        meta.is_file().then_some(meta.len())
    }

    /// Bytes of all pictures.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Bytes stored since it was opened, whatever became of them.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Its last record is gone: its term begins.
    pub(super) fn release(&self, hash: &[u8; 32]) {
        let path = self.path(&hex::encode(hash));
        if self.touch(&path)
            && let Err(error) = fs::set_permissions(&path, Permissions::from_mode(DELIVERED))
        {
            tracing::warn!(%error, picture = %path.display(), "kept for a shorter time than configured");
        }
    }

    /// Bytes and number of all pictures, as counted by who has just looked at them.
    pub(super) fn set_held(&self, bytes: u64, files: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.files.store(files, Ordering::Relaxed);
    }

    /// A picture of so many bytes was deleted.
    pub(super) fn forget(&self, bytes: u64) {
        // A picture stored while others were counted may not be in the count.
        for (count, less) in [(&self.bytes, bytes), (&self.files, 1)] {
            let less = |count: u64| Some(count.saturating_sub(less));
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Visits all files, those in `tmp/` and strange ones without a hash.
    pub(super) fn each(
        &self,
        each: impl FnMut(&Path, fs::Metadata, Option<[u8; 32]>) -> Result<(), EvidenceError>,
    ) -> Result<(), EvidenceError> {
        visit(&self.dir, each)
    }

    /// Sets the time of last use; false if the file is not there.
    fn touch(&self, path: &Path) -> bool {
        let _guard = TOUCHING.lock().unwrap_or_else(PoisonError::into_inner);
        File::options()
            .read(true)
            .open(path)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .is_ok()
    }
}

fn path_in(dir: &Path, sha256: &str) -> PathBuf {
    match (unhex(sha256), sha256.get(..2)) {
        (Some(_), Some(shelf)) => dir.join(shelf).join(format!("{sha256}.jpg")),
        _ => dir.join("no-such-picture"),
    }
}

/// A picture of a directory that is only read; see [`EvidenceStore::read`].
pub(super) fn read_in(dir: &Path, sha256: &str) -> Result<Vec<u8>, EvidenceError> {
    let hash =
        unhex(sha256).ok_or_else(|| EvidenceError::BadHash(sha256.chars().take(80).collect()))?;
    let path = path_in(dir, sha256);
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => EvidenceError::Missing(sha256.into()),
        _ => at(&path, "read a picture")(error),
    })?;
    if Sha256::digest(&bytes).as_slice() != hash {
        return Err(EvidenceError::Corrupt(path));
    }
    Ok(bytes)
}

/// Visits all files on the shelves of a directory.
pub(super) fn visit(
    dir: &Path,
    mut each: impl FnMut(&Path, fs::Metadata, Option<[u8; 32]>) -> Result<(), EvidenceError>,
) -> Result<(), EvidenceError> {
    let list = |dir: &Path| -> Result<Vec<fs::DirEntry>, EvidenceError> {
        let entries = fs::read_dir(dir).and_then(Iterator::collect);
        entries.map_err(at(dir, "list the directory"))
    };
    for shelf in list(dir)? {
        let shelf = shelf.path();
        if !shelf.is_dir() {
            continue;
        }
        for file in list(&shelf)? {
            // It may just have been deleted or renamed.
            let Ok(meta) = file.metadata() else { continue };
            let path = file.path();
            let hash = path.file_stem().and_then(|stem| unhex(stem.to_str()?));
            each(&path, meta, hash)?;
        }
    }
    Ok(())
}

/// Whether all its records have gone.
pub(super) fn is_delivered(meta: &fs::Metadata) -> bool {
    meta.permissions().readonly()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, EvidenceStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = EvidenceStore::open(&dir.path().join("evidence")).unwrap();
        (dir, store)
    }

    fn put(store: &EvidenceStore, bytes: &[u8]) -> String {
        let evidence = store
            .put(bytes, "image/jpeg", "scene", Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(evidence.bytes, bytes.len() as u64);
        evidence.sha256
    }

    #[test]
    fn the_same_picture_is_stored_once_and_reads_back() {
        let (_dir, store) = store();
        // FIPS 180-2, B.1
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(put(&store, b"abc"), abc);
        assert_eq!(put(&store, b"abc"), abc);
        assert_eq!(store.bytes(), 3);
        assert_eq!(store.read(abc).unwrap(), b"abc");
        assert!(store.path(abc).ends_with(format!("ba/{abc}.jpg")));
    }

    #[test]
    fn a_changed_file_is_noticed_and_the_next_put_repairs_it() {
        let (_dir, store) = store();
        let sha = put(&store, b"picture");
        fs::write(store.path(&sha), b"pictur!").unwrap();
        assert!(matches!(store.read(&sha), Err(EvidenceError::Corrupt(_))));
        put(&store, b"picture");
        assert_eq!(store.read(&sha).unwrap(), b"picture");
        assert_eq!(store.bytes(), 7);
    }

    #[test]
    fn names_cannot_leave_the_directory_and_sizes_are_bounded() {
        let (dir, store) = store();
        for name in [
            "../../etc/passwd",
            "",
            &"A".repeat(64),
            "é".repeat(32).as_str(),
        ] {
            assert!(store.path(name).starts_with(dir.path().join("evidence")));
            assert!(matches!(store.read(name), Err(EvidenceError::BadHash(_))));
        }
        let size = |len| {
            let picture = vec![1; len];
            store.put(&picture, "image/jpeg", "scene", Timestamp::UNIX_EPOCH)
        };
        assert!(size(MAX_PICTURE).is_ok());
        for len in [0, MAX_PICTURE + 1, MAX_PICTURE * 10] {
            assert!(matches!(size(len), Err(EvidenceError::Size(l)) if l == len));
        }
    }
}
