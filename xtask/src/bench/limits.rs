//! What the machine itself can do: the yardsticks of a run.

use std::{
    fs::File,
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;

/// Appends of 128 bytes, each synced, that the disk under `target/` does in a second.
pub fn syncs_per_second() -> Result<f64> {
    let dir = super::station::scratch()?;
    let mut file = File::create(dir.path().join("sync"))?;
    let (begun, mut done) = (Instant::now(), 0u32);
    while begun.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 128])?;
        file.sync_data()?;
        done += 1;
    }
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}
