//! A clock of its own for one process, that can be set while it runs: libfaketime.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

/// Where Debian puts the library, by architecture.
const PLACES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// A file that says by how much a process's time of day is off. Its steady clocks are true.
#[derive(Debug)]
pub struct FakeClock {
    library: &'static str,
    file: PathBuf,
}

impl FakeClock {
    /// A clock that is right, with its file in `dir`.
    ///
    /// # Errors
    /// libfaketime is not installed, or the file cannot be written.
    pub fn new(dir: &Path) -> Result<FakeClock> {
        let library = PLACES.into_iter().find(|place| Path::new(place).exists());
        let clock = FakeClock {
            library: library.context("libfaketime is not installed (Debian: faketime)")?,
            file: dir.join("clock"),
        };
        fs::create_dir_all(dir)?;
        clock.off_by(0)?;
        Ok(clock)
    }

    /// Sets it: so many seconds ahead of the true time, or behind.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn off_by(&self, seconds: i64) -> Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        fs::rename(new, &self.file)?;
        Ok(())
    }

    /// Sets it to a Unix time.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, to: Duration) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let off = i128::from(to.as_secs()) - i128::from(now.as_secs());
        self.off_by(i64::try_from(off)?)
    }

    /// What the process must be started with.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let on = || "1".to_owned();
        vec![
            ("LD_PRELOAD", self.library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", on()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
            // The times of files stay true.
            ("NO_FAKE_STAT", on()),
        ]
    }
}
