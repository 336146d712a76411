//! Power cuts and kills at a random moment.

use std::{path::Path, sync::mpsc, thread, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Failure,
    disk::Disk,
    verify::{Opening, Told, verify},
    work::{Plan, Role},
};

/// The control loses something in nearly every run; this many in a row without would be news.
const CONTROL_SEEDS: u64 = 6;

/// Longest run before the cut.
const LONGEST: u64 = 700;

/// Starts a child, stops it with `stop` a while after its first word, returns what it was told.
fn broken(
    role: Role,
    dir: &Path,
    seed: u64,
    pause: Duration,
    stop: impl FnOnce() -> Result<(), Failure>,
) -> Result<Told, Failure> {
    let mut child = role.start(dir, seed)?;
    let out = child.stdout.take().ok_or("no output")?;
    let (first, started) = mpsc::channel();
    let reader = thread::spawn(move || {
        Told::read(out, || {
            // After the first word nobody listens for more.
            let _ = first.send(());
        })
    });
    let started = started.recv_timeout(Duration::from_secs(60));
    thread::sleep(pause);
    let stopped = stop();
    child.kill()?;
    child.wait()?;
    stopped?;
    started.map_err(|_| "the child said nothing")?;
    reader.join().map_err(|_| "the reader panicked".into())
}

fn pause(seed: u64) -> Duration {
    let mut rng = StdRng::seed_from_u64(seed);
    Duration::from_millis(rng.random_range(20..LONGEST))
}

/// Cuts the power, and returns what the child was told with the disk mounted again.
fn cut(role: Role, disk: &Disk, seed: u64, pause: Duration) -> Result<Told, Failure> {
    let told = broken(role, &disk.path(), seed, pause, || disk.cut_power())?;
    disk.unmount()?;
    disk.mount("loop")?;
    Ok(told)
}

pub fn power_cut(seed: u64) -> Result<String, Failure> {
    let disk = Disk::new()?;
    let told = cut(Role::Spool, &disk, seed, pause(seed))?;
    verify(&disk.path(), seed, Plan::of(seed), &told, Opening::AtOnce)
}

/// R2: what makes a new database, its files and names, is on the disk before the first answer.
pub fn first_answer(seed: u64) -> Result<String, Failure> {
    let disk = Disk::new()?;
    let told = cut(Role::First, &disk, seed, Duration::ZERO)?;
    if told.appended.len() != 1 {
        return Err(format!("{told:?}").into());
    }
    verify(&disk.path(), seed, Plan::Mixed, &told, Opening::AtOnce)
}

/// F3: SIGKILL at a random moment; what the kernel has is not lost.
pub fn kill(seed: u64) -> Result<String, Failure> {
    let dir = tempfile::tempdir()?;
    let told = broken(Role::Spool, dir.path(), seed, pause(seed), || Ok(()))?;
    verify(dir.path(), seed, Plan::of(seed), &told, Opening::AtOnce)
}

/// sled's own `flush()` must be seen to lose something.
pub fn control() -> Result<String, Failure> {
    for seed in 1..=CONTROL_SEEDS {
        let disk = Disk::new()?;
        let told = cut(Role::Control, &disk, seed, pause(seed))?;
        let appended: Vec<u64> = told.appended.into_keys().collect();
        let path = disk.path().join("db");
        let read = std::panic::catch_unwind(|| {
            let db = sled::open(path).ok()?;
            let there = |at: &&u64| matches!(db.get(at.to_be_bytes()), Ok(Some(_)));
            Some(appended.iter().filter(there).count())
        });
        let lost = match read {
            Ok(Some(there)) if there == appended.len() => continue,
            Ok(Some(there)) => format!("{} lost", appended.len() - there),
            Ok(None) | Err(_) => "unreadable".into(),
        };
        return Ok(format!(
            "seed {seed}: of {} acknowledged, {lost}",
            appended.len()
        ));
    }
    Err(format!("plain flush() lost nothing in {CONTROL_SEEDS} cuts: this test is blind").into())
}
