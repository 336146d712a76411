//! Videos of scenarios, made once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::scenario::Scenario;

/// Clips that are made at the same time.
const AT_ONCE: usize = 2;

fn maker() -> PathBuf {
    wangge_tests::place::root().join("tests/evaluation/scenes.py")
}

/// Makes what is not there; returns the clips in the scenarios' order.
///
/// # Errors
/// A clip cannot be made.
pub fn ensure(
    scenarios: &[Scenario],
    python: &Path,
    carpark: &Path,
    data: &Path,
) -> Result<Vec<PathBuf>> {
    let folder = wangge_tests::place::root().join("target/xtask-eval/clips");
    fs::create_dir_all(&folder)?;
    let clips: Vec<PathBuf> = scenarios
        .iter()
        .map(|s| folder.join(format!("{}.mp4", s.name)))
        .collect();
    let missing: Vec<_> = scenarios
        .iter()
        .zip(&clips)
        .filter_map(|(scenario, clip)| match recipe(scenario, carpark) {
            Ok(recipe) if is_made(clip, &recipe) => None,
            recipe => Some((scenario, clip, recipe)),
        })
        .collect();
    let waiting = Mutex::new(missing.into_iter());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let next = waiting.lock().map_err(|e| anyhow::anyhow!("{e}"))?.next();
                        let Some((scenario, clip, recipe)) = next else {
                            return Ok(());
                        };
                        eprintln!("making {}", clip.display());
                        make(scenario, clip, &recipe?, python, carpark, data)?;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(clips)
}

/// What a clip is made from: if it is the same, so is the clip.
fn recipe(scenario: &Scenario, carpark: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for file in [&scenario.file, &maker(), carpark] {
        hash.update(fs::read(file).with_context(|| file.display().to_string())?);
    }
    Ok(hex::encode(hash.finalize()))
}

fn stamp(clip: &Path) -> PathBuf {
    clip.with_extension("made")
}

fn is_made(clip: &Path, recipe: &str) -> bool {
    clip.is_file() && fs::read_to_string(stamp(clip)).is_ok_and(|made| made == recipe)
}

fn make(
    scenario: &Scenario,
    clip: &Path,
    recipe: &str,
    python: &Path,
    carpark: &Path,
    data: &Path,
) -> Result<()> {
    let part = clip.with_extension("part.mp4");
    let status = Command::new(python)
        .arg(maker())
        .args([&scenario.file, &part])
        .arg("--carpark")
        .arg(carpark)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .status()
        .context("cannot start Python")?;
    ensure!(status.success(), "{} could not be made", clip.display());
    fs::rename(part, clip)?;
    fs::write(stamp(clip), recipe)?;
    Ok(())
}
