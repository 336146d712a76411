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

/// What clips are made of.
pub struct Sources {
    pub python: PathBuf,
    pub carpark: PathBuf,
    /// Folder with `footage/` and `trashbags/`.
    pub data: PathBuf,
    /// OpenCV's examples, which the blind set alone needs.
    pub examples: Option<PathBuf>,
}

/// The program that makes a clip, and what else decides what comes out.
fn makers(scenario: &Scenario) -> Vec<PathBuf> {
    let names: &[&str] = match scenario.blind {
        true => &["scenes_blind.py", "scenes.py"],
        false => &["scenes.py"],
    };
    let folder = super::scenario::folder();
    names.iter().map(|name| folder.join(name)).collect()
}

/// Makes what is not there; returns the clips in the scenarios' order.
///
/// # Errors
/// A clip cannot be made.
pub fn ensure(scenarios: &[Scenario], sources: &Sources) -> Result<Vec<PathBuf>> {
    let folder = wangge_tests::place::root().join("target/xtask-eval/clips");
    fs::create_dir_all(&folder)?;
    let clips: Vec<PathBuf> = scenarios
        .iter()
        .map(|s| folder.join(format!("{}.mp4", s.name)))
        .collect();
    let missing: Vec<_> = scenarios
        .iter()
        .zip(&clips)
        .filter_map(
            |(scenario, clip)| match recipe(scenario, &sources.carpark) {
                Ok(recipe) if is_made(clip, &recipe) => None,
                recipe => Some((scenario, clip, recipe)),
            },
        )
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
                        make(scenario, clip, &recipe?, sources)?;
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
    let made_by = makers(scenario);
    let files = [scenario.file.as_path()].into_iter();
    for file in files
        .chain(made_by.iter().map(PathBuf::as_path))
        .chain([carpark])
    {
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

fn make(scenario: &Scenario, clip: &Path, recipe: &str, sources: &Sources) -> Result<()> {
    let part = clip.with_extension("part.mp4");
    let mut command = Command::new(&sources.python);
    command
        .args(makers(scenario).first())
        .args([&scenario.file, &part])
        .arg("--carpark")
        .arg(&sources.carpark)
        .arg("--data")
        .arg(&sources.data);
    if let (true, Some(examples)) = (scenario.blind, &sources.examples) {
        command.arg("--examples").arg(examples);
    }
    let status = command
        .stdin(Stdio::null())
        .status()
        .context("cannot start Python")?;
    ensure!(status.success(), "{} could not be made", clip.display());
    fs::rename(part, clip)?;
    fs::write(stamp(clip), recipe)?;
    Ok(())
}
