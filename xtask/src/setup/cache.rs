//! The per-user cache and the hashes that everything in it is held against.

use std::{
    env,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Where set-up keeps what it fetched: `$WANGGE_CACHE`, else `$XDG_CACHE_HOME/wangge`, else
/// `~/.cache/wangge`.
pub struct Cache {
    root: PathBuf,
    // Two set-ups at once would fetch everything twice and race for the same names.
    _lock: File,
}

impl Cache {
    /// Opens the cache, waiting for another set-up that holds it.
    pub fn open() -> Result<Cache> {
        let root = root()?;
        fs::create_dir_all(&root)
            .with_context(|| format!("cannot create the cache {}", root.display()))?;
        let path = root.join("lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another set-up that holds {}", path.display());
            lock.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(Cache { root, _lock: lock })
    }

    /// A path inside.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A scratch directory on the same file system, so that a finished file can be renamed into
    /// place; removed when dropped.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix("fetch-")
            .tempdir_in(&self.root)
            .with_context(|| {
                format!(
                    "cannot create a scratch directory in {}",
                    self.root.display()
                )
            })
    }
}

fn root() -> Result<PathBuf> {
    let given = |name| {
        env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let root = given("WANGGE_CACHE")
        .or_else(|| given("XDG_CACHE_HOME").map(|d| d.join("wangge")))
        .or_else(|| given("HOME").map(|d| d.join(".cache/wangge")))
        .context("neither WANGGE_CACHE nor XDG_CACHE_HOME nor HOME is set: set WANGGE_CACHE")?;
    Ok(std::path::absolute(root)?)
}

/// SHA-256 of a file as 64 lower-case hex digits.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Fails unless the file is what it should be.
pub fn expect_sha256(path: &Path, wanted: &str) -> Result<()> {
    let found = sha256(path)?;
    ensure!(
        found == wanted,
        "{} is not what it should be: SHA-256 {found}, expected {wanted}",
        path.display()
    );
    Ok(())
}

/// True when the file is there and is what it should be; a damaged one counts as missing.
pub fn intact(path: &Path, wanted: &str) -> bool {
    path.is_file() && sha256(path).is_ok_and(|found| found == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_against_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(intact(&path, abc));
        fs::write(&path, "abd").unwrap();
        assert!(!intact(&path, abc));
        let error = expect_sha256(&path, abc).unwrap_err().to_string();
        assert!(error.contains(abc) && error.contains("abc"), "{error}");
        assert!(!intact(&dir.path().join("absent"), abc));
    }
}
