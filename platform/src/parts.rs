//! Pictures that come in pieces: `evidence/<sha256>.part` until all of it is there.
//!
//! A piece is added where the file ends and synced before it is acknowledged, so that a restart
//! of either side goes on from there. Nothing is believed before the whole has its hash: a file
//! that a crash left with wrong bytes is found out at the end and begun anew.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

use crate::MAX_PICTURE;

/// Pictures that may be incomplete at a time.
pub const MAX_PARTS: usize = 1_024;
/// Bytes that they may have together.
pub const MAX_PART_BYTES: u64 = 512 * 1024 * 1024;
/// A part that nobody added to for so long is deleted.
pub const STALE: Duration = Duration::from_secs(7 * 86_400);
/// Where there is no room, one that nobody added to for so long makes way.
pub const IDLE: Duration = Duration::from_secs(3_600);
const EXTENSION: &str = "part";

/// What became of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes are there, whether this piece was of use or not.
    Held(u64),
    /// All of it is there; it is for the caller to keep.
    Whole(Vec<u8>),
    /// It can never be a picture, and why.
    Refused(String),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    bytes: u64,
    touched: SystemTime,
}

/// See the module.
#[derive(Debug)]
pub struct Parts {
    dir: PathBuf,
    parts: HashMap<String, Part>,
    max_parts: usize,
    max_bytes: u64,
}

impl Parts {
    /// Reads what earlier runs left in `dir`.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(dir: &Path, max_parts: usize, max_bytes: u64) -> io::Result<Self> {
        let mut parts = HashMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let Some(name) = path.file_stem().and_then(|s| s.to_str()) else {
                continue;
            };
            if path.extension().is_none_or(|e| e != EXTENSION) || !is_hash(name) {
                continue;
            }
            let meta = fs::metadata(&path)?;
            let part = Part {
                bytes: meta.len(),
                touched: meta.modified()?,
            };
            parts.insert(name.to_owned(), part);
        }
        Ok(Parts {
            dir: dir.to_owned(),
            parts,
            max_parts,
            max_bytes,
        })
    }

    /// Bytes of a picture that are there.
    pub fn held(&self, sha256: &str) -> u64 {
        self.parts.get(sha256).map_or(0, |part| part.bytes)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(format!("{sha256}.{EXTENSION}"))
    }

    /// Adds a piece that begins at `offset` of a picture of `total` bytes.
    ///
    /// # Errors
    /// The disk.
    pub fn add(
        &mut self,
        sha256: &str,
        offset: u64,
        total: u64,
        bytes: &[u8],
        now: SystemTime,
    ) -> io::Result<Piece> {
        if !is_hash(sha256) {
            let reason = "its name is no SHA-256 in 64 lower-case hex digits";
            return Ok(Piece::Refused(reason.to_owned()));
        }
        if total == 0 || total > MAX_PICTURE as u64 {
            let reason = format!("a picture of {total} bytes; 1 to {MAX_PICTURE} are possible");
            return Ok(Piece::Refused(reason));
        }
        let held = self.held(sha256);
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > total) || held > total {
            self.remove(sha256)?;
            let reason = format!("its pieces are more than the {total} bytes that it should have");
            return Ok(Piece::Refused(reason));
        }
        if bytes.is_empty() || offset != held || !self.has_room(sha256, bytes.len(), now)? {
            return Ok(Piece::Held(held));
        }
        let path = self.path(sha256);
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        if held == 0 {
            File::open(&self.dir)?.sync_all()?;
        }
        let bytes = held + bytes.len() as u64;
        let part = Part {
            bytes,
            touched: now,
        };
        self.parts.insert(sha256.to_owned(), part);
        if bytes < total {
            return Ok(Piece::Held(bytes));
        }
        let whole = fs::read(&path)?;
        if crate::sha256(&whole) != sha256 {
            self.remove(sha256)?;
            let reason = "its bytes do not have this hash";
            return Ok(Piece::Refused(reason.to_owned()));
        }
        Ok(Piece::Whole(whole))
    }

    /// Forgets a part and deletes its file, if there is one.
    ///
    /// # Errors
    /// The disk.
    pub fn remove(&mut self, sha256: &str) -> io::Result<()> {
        match self.parts.remove(sha256) {
            Some(_) => fs::remove_file(self.path(sha256)),
            None => Ok(()),
        }
    }

    /// Whether so many bytes more may come; what lies idle makes way for them.
    fn has_room(&mut self, sha256: &str, bytes: usize, now: SystemTime) -> io::Result<bool> {
        loop {
            let count = self.parts.len() + usize::from(!self.parts.contains_key(sha256));
            let sum: u64 = self.parts.values().map(|p| p.bytes).sum();
            if count <= self.max_parts && sum + bytes as u64 <= self.max_bytes {
                return Ok(true);
            }
            let others = self.parts.iter().filter(|(name, _)| *name != sha256);
            let oldest = others.min_by_key(|(_, part)| part.touched);
            let Some((name, part)) = oldest else {
                return Ok(false);
            };
            if age(part, now) < IDLE {
                return Ok(false);
            }
            let name = name.clone();
            warn!(sha256 = name, "an incomplete picture makes way for another");
            self.remove(&name)?;
        }
    }

    /// Deletes what nobody adds to any more.
    ///
    /// # Errors
    /// The disk.
    pub fn sweep(&mut self, now: SystemTime) -> io::Result<()> {
        let stale = self.parts.iter().filter(|(_, p)| age(p, now) >= STALE);
        let stale: Vec<String> = stale.map(|(name, _)| name.clone()).collect();
        for name in stale {
            info!(
                sha256 = name,
                "an incomplete picture is deleted after {STALE:?}"
            );
            self.remove(&name)?;
        }
        Ok(())
    }
}

/// Zero if the clock was set back.
fn age(part: &Part, now: SystemTime) -> Duration {
    now.duration_since(part.touched).unwrap_or_default()
}

fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn open(max_parts: usize, max_bytes: u64) -> (tempfile::TempDir, Parts) {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::open(dir.path(), max_parts, max_bytes).unwrap();
        (dir, parts)
    }

    fn picture(n: usize) -> (String, Vec<u8>) {
        let bytes = format!("picture {n:08}").into_bytes();
        (crate::sha256(&bytes), bytes)
    }

    #[test]
    fn pieces_become_the_picture_over_a_restart_whatever_is_doubled_or_lost() {
        let (dir, mut parts) = open(8, 1_000);
        let (name, bytes) = picture(1);
        let total = bytes.len() as u64;
        let add = |parts: &mut Parts, from: usize, to: usize| {
            parts
                .add(&name, from as u64, total, &bytes[from..to], NOW)
                .unwrap()
        };
        assert_eq!(add(&mut parts, 0, 5), Piece::Held(5));
        assert_eq!(add(&mut parts, 0, 5), Piece::Held(5), "a repeat");
        assert_eq!(add(&mut parts, 7, 9), Piece::Held(5), "one is missing");
        let mut parts = Parts::open(dir.path(), 8, 1_000).unwrap();
        assert_eq!(parts.held(&name), 5);
        assert_eq!(add(&mut parts, 5, 9), Piece::Held(9));
        let end = bytes.len();
        assert_eq!(add(&mut parts, 9, end), Piece::Whole(bytes.clone()));
        parts.remove(&name).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn wrong_bytes_are_found_out_at_the_end_and_begun_anew() {
        let (_dir, mut parts) = open(8, 1_000);
        let (name, bytes) = picture(1);
        let total = bytes.len() as u64;
        assert_eq!(
            parts.add(&name, 0, total, b"what", NOW).unwrap(),
            Piece::Held(4)
        );
        let end = parts.add(&name, 4, total, &bytes[4..], NOW).unwrap();
        assert!(matches!(end, Piece::Refused(_)), "{end:?}");
        assert_eq!(parts.held(&name), 0);
        assert_eq!(
            parts.add(&name, 0, total, &bytes, NOW).unwrap(),
            Piece::Whole(bytes)
        );
    }

    #[test]
    fn sizes_and_names_are_bounded() {
        let (_dir, mut parts) = open(8, u64::MAX / 2);
        let (name, _) = picture(1);
        let most = MAX_PICTURE as u64;
        for (name, offset, total, refused) in [
            (name.as_str(), 0, most, false),
            (&name, 0, most + 1, true),
            (&name, 0, most * 10, true),
            (&name, 0, 0, true),
            (&name, 0, 1, true),
            (&name, u64::MAX, most, true),
            ("../../etc/passwd", 0, 9, true),
            (&name.to_uppercase(), 0, 9, true),
        ] {
            let piece = parts.add(name, offset, total, b"xy", NOW).unwrap();
            let is = matches!(piece, Piece::Refused(_));
            assert_eq!(is, refused, "{name} {offset} {total}: {piece:?}");
        }
    }

    #[test]
    fn number_and_bytes_are_bounded_and_idle_ones_make_way() {
        for (max_parts, max_bytes) in [(10, 1_000), (1_000, 20)] {
            let (dir, mut parts) = open(max_parts, max_bytes);
            let first = |parts: &mut Parts, n: usize, now| {
                let (name, bytes) = picture(n);
                parts
                    .add(&name, 0, bytes.len() as u64, &bytes[..2], now)
                    .unwrap()
            };
            for n in 0..10 {
                assert_eq!(first(&mut parts, n, NOW), Piece::Held(2));
            }
            for n in 10..100 {
                assert_eq!(first(&mut parts, n, NOW), Piece::Held(0), "no room");
            }
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 10);
            assert_eq!(first(&mut parts, 11, NOW + IDLE), Piece::Held(2));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 10);
        }
    }

    #[test]
    fn what_nobody_adds_to_is_deleted_after_a_week() {
        let (dir, mut parts) = open(8, 1_000);
        let (name, bytes) = picture(1);
        parts
            .add(&name, 0, bytes.len() as u64, &bytes[..2], NOW)
            .unwrap();
        parts.sweep(NOW + STALE - Duration::from_secs(1)).unwrap();
        assert_eq!(parts.held(&name), 2);
        parts.sweep(NOW + STALE).unwrap();
        assert_eq!(parts.held(&name), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
