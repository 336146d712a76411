//! Temporary stand-in with the evidence store's signatures, for the uplink's tests only.
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wangge_protocol::EvidenceRef;

#[derive(Debug)]
pub struct EvidenceStore {
    dir: PathBuf,
}

impl EvidenceStore {
    pub fn open(dir: &Path) -> Result<Self, std::io::Error> {
        std::fs::create_dir_all(dir)?;
        Ok(EvidenceStore {
            dir: dir.to_owned(),
        })
    }

    pub fn put(
        &self,
        bytes: &[u8],
        media_type: &str,
        role: &str,
        taken_at: jiff::Timestamp,
    ) -> Result<EvidenceRef, std::io::Error> {
        let sha256: String = Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        std::fs::write(self.path(&sha256), bytes)?;
        Ok(EvidenceRef {
            sha256,
            bytes: bytes.len() as u64,
            media_type: media_type.to_owned(),
            role: role.to_owned(),
            taken_at: taken_at.to_string(),
        })
    }

    pub fn read(&self, sha256: &str) -> Result<Vec<u8>, std::io::Error> {
        std::fs::read(self.path(sha256))
    }

    pub fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(sha256)
    }
}
