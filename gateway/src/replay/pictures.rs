//! Where a replay's pictures go.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use wangge_protocol::EvidenceRef;

use crate::source::vision::Keep;

/// A folder for the pictures of alerts, or none.
#[derive(Clone, Debug, Default)]
pub struct Pictures(Option<PathBuf>);

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot write pictures into {}: {source}", folder.display())]
pub struct PicturesError {
    folder: PathBuf,
    source: std::io::Error,
}

impl Pictures {
    /// In this folder, made when it is not there; pictures are made and forgotten where none is
    /// given.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Pictures(folder)
    }

    /// How a picture is kept; its name begins with the second of the recording that it shows.
    pub(super) fn keep(&self, start: Timestamp) -> Result<Keep, PicturesError> {
        let folder = self.0.clone();
        if let Some(folder) = &folder {
            fs::create_dir_all(folder).map_err(|source| PicturesError {
                folder: folder.clone(),
                source,
            })?;
        }
        Ok(Arc::new(move |bytes, media_type, role, taken_at| {
            let sha256 = hex::encode(Sha256::digest(bytes));
            if let Some(folder) = &folder {
                let path = folder.join(name(start, taken_at, role, &sha256));
                fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
            }
            Ok(EvidenceRef {
                sha256,
                bytes: bytes.len() as u64,
                media_type: media_type.into(),
                role: role.into(),
                taken_at: taken_at.to_string(),
                thumbnail: None,
            })
        }))
    }

    /// Where a picture lies that an alert names; `None` where none are kept.
    pub fn path(&self, start: Timestamp, picture: &EvidenceRef) -> Option<PathBuf> {
        let folder: &Path = self.0.as_deref()?;
        let taken_at: Timestamp = picture.taken_at.parse().ok()?;
        Some(folder.join(name(start, taken_at, &picture.role, &picture.sha256)))
    }
}

/// Sorts by time; the hash's first digits keep two pictures of one moment apart.
fn name(start: Timestamp, taken_at: Timestamp, role: &str, sha256: &str) -> String {
    let seconds = taken_at.duration_since(start).as_secs_f64();
    let digits: String = sha256.chars().take(8).collect();
    format!("{seconds:09.1}s-{role}-{digits}.jpg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_sort_by_the_time_they_show() {
        let start: Timestamp = "2026-03-01T10:30:00Z".parse().unwrap();
        let at = |seconds: i64| Timestamp::from_second(start.as_second() + seconds).unwrap();
        let names = [7, 62, 3_600].map(|s| name(start, at(s), "after", &"ab".repeat(32)));
        assert_eq!(names[1], "0000062.0s-after-abababab.jpg");
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("taken");
        fs::write(&file, "").unwrap();
        let pictures = Pictures::new(Some(file.join("inside")));
        let error = pictures.keep(Timestamp::UNIX_EPOCH).err().unwrap();
        assert!(error.to_string().contains("taken"), "{error}");
    }
}
