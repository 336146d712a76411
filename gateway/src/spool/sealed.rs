//! Originals that only the holder of a key can open.
//!
//! `sealed/ab/ab…64 hex digits.sealed`, named by the picture that they belong to and not by their
//! own content, so that an alert's picture leads to its original. Nothing here is ever uploaded,
//! and nothing outlives its term, delivered or not.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    evidence::{EvidenceError, MAX_PICTURE, at},
    record::unhex,
    sled_engine::sync_dir,
};
use crate::audit::{Audit, AuditError, Event, What};

/// Why an original is not kept.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    #[error(transparent)]
    Store(#[from] EvidenceError),
    #[error("it cannot be noted in the audit log: {0}")]
    Audit(#[from] AuditError),
}

/// The directory of sealed originals; all calls block.
#[derive(Debug)]
pub struct SealedStore {
    dir: PathBuf,
    audit: Arc<Mutex<Audit>>,
}

impl SealedStore {
    /// Opens or creates the directory.
    ///
    /// # Errors
    /// [`EvidenceError::Io`]
    pub fn open(dir: &Path, audit: Arc<Mutex<Audit>>) -> Result<Self, EvidenceError> {
        fs::create_dir_all(dir).map_err(at(dir, "create the directory"))?;
        Ok(SealedStore {
            dir: dir.to_owned(),
            audit,
        })
    }

    /// Stores the sealed original of a picture, which is named by its SHA-256.
    ///
    /// # Errors
    /// No such name, a size that pictures never have, the file system, the audit log.
    pub fn put(&self, picture: &str, sealed: &[u8]) -> Result<(), SealedError> {
        let shelf = match (unhex(picture), picture.get(..2)) {
            (Some(_), Some(shelf)) => self.dir.join(shelf),
            _ => {
                let name = picture.chars().take(80).collect();
                return Err(EvidenceError::BadHash(name).into());
            }
        };
        if sealed.is_empty() || sealed.len() > MAX_PICTURE {
            return Err(EvidenceError::Size(sealed.len()).into());
        }
        let name = format!("{picture}.sealed");
        let event = Event {
            what: What::Sealed,
            object: name.clone(),
            kind: None,
            why: format!("SHA-256 {}", hex::encode(Sha256::digest(sealed))),
        };
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        audit.append(&[event], Timestamp::now())?;
        drop(audit);
        fs::create_dir_all(&shelf).map_err(at(&shelf, "create the directory"))?;
        let tmp = shelf.join(format!("{}.part", Uuid::now_v7()));
        let path = shelf.join(name);
        let written = File::create(&tmp)
            .and_then(|mut file| {
                file.write_all(sealed)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&tmp, &path))
            .and_then(|()| sync_dir(&shelf))
            .and_then(|()| sync_dir(&self.dir));
        if let Err(error) = written {
            let _ = fs::remove_file(&tmp);
            return Err(at(&path, "write a sealed original")(error).into());
        }
        Ok(())
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_original_is_found_by_its_picture_and_noted() {
        let dir = tempfile::tempdir().unwrap();
        let log = Audit::new(&dir.path().join("audit"));
        let store = SealedStore::open(&dir.path().join("sealed"), Arc::new(Mutex::new(log)));
        let store = store.unwrap();
        let picture = "ab".repeat(32);
        store.put(&picture, b"sealed bytes").unwrap();
        let path = store.dir().join(format!("ab/{picture}.sealed"));
        assert_eq!(fs::read(path).unwrap(), b"sealed bytes");
        let mut noted = Vec::new();
        crate::audit::read(&dir.path().join("audit"), |_, _, line| {
            noted.push(line.to_owned())
        })
        .unwrap();
        let hash = hex::encode(Sha256::digest(b"sealed bytes"));
        assert!(noted.len() == 1 && noted[0].contains(&hash) && noted[0].contains(&picture));
        for name in ["../../etc/passwd", "", &"A".repeat(64)] {
            assert!(store.put(name, b"x").is_err());
        }
        for size in [MAX_PICTURE + 1, MAX_PICTURE * 10, 0] {
            assert!(store.put(&picture, &vec![1; size]).is_err());
        }
        assert!(store.put(&picture, &vec![1; MAX_PICTURE]).is_ok());
    }
}
