//! Cuts the power of a disk under the running spool, and fills it up.
//!
//! Each seed makes an ext4 image of 32 MB, mounts it, runs this program again as a child that
//! appends, settles and stores pictures there, shuts the file system down without flushing its
//! journal (`EXT4_IOC_SHUTDOWN`, as xfstests' `godown` does) at a random moment, mounts it again
//! and reads everything back. The control does the same with sled's own `flush()` and must lose
//! something: otherwise this test would not notice a spool that does not sync.
//!
//! `POWER_CUT_SEEDS=200` runs more; `POWER_CUT_SEED=17` runs one. Needs root and loop devices; says
//! `skipped` without them, which is not a pass.
#![allow(
    clippy::print_stdout,
    reason = "a test with its own main reports by itself"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use wangge::{
    config::Storage,
    spool::{Batch, Class, Lane, MAX_BODY, Record, Rung, Spool, SpoolError, check},
};

const IMAGE_BYTES: u64 = 32 << 20;
const DEFAULT_SEEDS: u64 = 10;
/// The control loses something in nearly every run; this many in a row without would be news.
const CONTROL_SEEDS: u64 = 6;
const ROLE: &str = "POWER_CUT_ROLE";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    if let Ok(role) = env::var(ROLE) {
        let dir = PathBuf::from(env::args().nth(1).unwrap_or_default());
        let seed = env::args().nth(2).and_then(|seed| seed.parse().ok());
        child(&role, &dir, seed.unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    // `cargo test NAME` passes the filter to every target.
    let filters: Vec<String> = env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    if !filters.is_empty()
        && !filters
            .iter()
            .any(|filter| "power_cut".contains(filter.as_str()))
    {
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        println!("power_cut: skipped: needs root");
        return ExitCode::SUCCESS;
    }
    if let Err(why) = Disk::new() {
        println!("power_cut: skipped: needs loop devices and mkfs.ext4 ({why})");
        return ExitCode::SUCCESS;
    }
    let seeds: Vec<u64> = match (number("POWER_CUT_SEED"), number("POWER_CUT_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (1..=count.unwrap_or(DEFAULT_SEEDS)).collect(),
    };
    let mut results: Vec<(String, Result<String, Failure>)> = Vec::new();
    for seed in seeds {
        results.push((format!("r1_r2_r4_power_cut seed {seed}"), power_cut(seed)));
    }
    results.push(("r12_control_plain_flush_loses".into(), control()));
    results.push(("f5_full_disk".into(), full_disk()));
    results.push(("f6_read_only_disk".into(), read_only_disk()));
    let mut failed = 0;
    for (name, result) in &results {
        match result {
            Ok(told) => println!("power_cut: {name}: ok ({told})"),
            Err(why) => {
                failed += 1;
                println!("power_cut: {name}: FAILED: {why}");
            }
        }
    }
    println!(
        "power_cut: {} passed, {failed} failed",
        results.len() - failed
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// An image with ext4 on it, mounted; unmounted and deleted when dropped.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Result<Disk, Failure> {
        let disk = Disk {
            dir: tempfile::tempdir()?,
        };
        File::create(disk.image())?.set_len(IMAGE_BYTES)?;
        run(Command::new("mkfs.ext4").arg("-qF").arg(disk.image()))?;
        fs::create_dir(disk.path())?;
        disk.mount("loop")?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn mount(&self, options: &str) -> Result<(), Failure> {
        run(Command::new("mount")
            .args(["-o", options])
            .args([self.image(), self.path()]))
    }

    fn unmount(&self) -> Result<(), Failure> {
        run(Command::new("umount").arg(self.path()))
    }

    /// What was not synced is gone, like at a power cut; only unmounting works afterwards.
    #[allow(unsafe_code, reason = "an ioctl that rustix has no name for")]
    fn cut_power(&self) -> Result<(), Failure> {
        const EXT4_IOC_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
        const NO_LOG_FLUSH: u32 = 2;
        let root = File::open(self.path())?;
        // SAFETY: the kernel reads one u32 behind the pointer that `Setter` passes
        // (fs/ext4/ioctl.c, ext4_ioctl_shutdown).
        unsafe {
            let shutdown = rustix::ioctl::Setter::<EXT4_IOC_SHUTDOWN, u32>::new(NO_LOG_FLUSH);
            rustix::ioctl::ioctl(&root, shutdown)?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .stderr(Stdio::null())
            .status();
    }
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{command:?}: {said}").into());
    }
    Ok(())
}

fn storage(path: &Path) -> Storage {
    Storage {
        path: path.join("spool"),
        quota: 64 << 20,
        retention: wangge::config::Retention {
            default: Duration::from_secs(3_600),
            unconfirmed: Duration::from_secs(3_600),
            kinds: Default::default(),
            sealed: Duration::from_secs(3_600),
        },
        commit_interval: Duration::ZERO,
    }
}

fn open(path: &Path) -> Result<(Spool, wangge::spool::Recovery), SpoolError> {
    Spool::open(&storage(path), "st-1", &["platform".into()])
}

const ALERTS: Lane = Lane {
    uplink: 0,
    class: Class::Alert,
};
const TELEMETRY: Lane = Lane {
    uplink: 0,
    class: Class::Telemetry,
};

/// The record that belongs to a number, so that the reader knows every byte.
fn record(seed: u64, at: u64) -> Record {
    let mut rng = StdRng::seed_from_u64(seed << 32 | at);
    let size = rng.random_range(1..=MAX_BODY);
    Record {
        lane: if at.is_multiple_of(3) {
            ALERTS
        } else {
            TELEMETRY
        },
        stream: "s".into(),
        id: format!("{seed}-{at}"),
        count: 1,
        evidence: Vec::new(),
        body: (0..size).map(|_| rng.random()).collect(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Works until the power goes, and says on standard output what it was promised.
fn child(role: &str, dir: &Path, seed: u64) {
    let mut out = std::io::stdout();
    if role == "control" {
        let db = sled::open(dir.join("db")).expect("a new database");
        for at in 0u64.. {
            let written = db.insert(at.to_be_bytes(), record(seed, at).body);
            if written.is_err() || db.flush().is_err() {
                return;
            }
            if writeln!(out, "a {at}").is_err() {
                return;
            }
        }
        return;
    }
    let (spool, _) = open(dir).expect("an empty disk");
    runtime().block_on(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut next = 0;
        loop {
            let mut records = Vec::new();
            let group = rng.random_range(1..20);
            for at in next..next + group {
                let mut record = record(seed, at);
                if at % 9 == 0 {
                    let mut picture = record.body.repeat(3);
                    picture.push(0);
                    let store = spool.evidence();
                    let taken = jiff::Timestamp::UNIX_EPOCH;
                    let Ok(evidence) = store.put(&picture, "image/jpeg", "scene", taken) else {
                        return;
                    };
                    record.evidence.push(evidence);
                }
                records.push(record);
            }
            let batch = Batch {
                records,
                state: vec![(b"newest".to_vec(), Some((next + group).to_string().into()))],
            };
            match spool.append(batch).await {
                Ok(_) => {
                    for at in next..next + group {
                        if writeln!(out, "a {at}").is_err() {
                            return;
                        }
                    }
                    next += group;
                }
                // The quota or the disk's reserve; receipts will make room.
                Err(SpoolError::Full(_)) => {}
                Err(_) => return,
            }
            // The platform is about as fast as the sensors.
            let lane = if rng.random() { ALERTS } else { TELEMETRY };
            let Ok(entries) = spool.peek(lane, None, rng.random_range(0..20)).await else {
                return;
            };
            for entry in &entries {
                let at = entry.record.id.split('-').nth(1).unwrap_or_default();
                // Said before it is done: it may or may not be there afterwards.
                if writeln!(out, "s {at}").is_err() {
                    return;
                }
            }
            let seqs = entries.iter().map(|entry| entry.seq).collect();
            if spool.settle(seqs).await.is_err() {
                return;
            }
        }
    });
}

fn start_child(role: &str, disk: &Disk, seed: u64) -> Result<Child, Failure> {
    Ok(Command::new(env::current_exe()?)
        .env(ROLE, role)
        .arg(disk.path())
        .arg(seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?)
}

/// What the child was promised before the power went: appended, and perhaps settled.
fn run_until_cut(
    role: &str,
    disk: &Disk,
    seed: u64,
) -> Result<(BTreeSet<u64>, BTreeSet<u64>), Failure> {
    let mut child = start_child(role, disk, seed)?;
    let out = BufReader::new(child.stdout.take().ok_or("no output")?);
    let (first, started) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut appended = BTreeSet::new();
        let mut settled = BTreeSet::new();
        for line in out.lines().map_while(Result::ok) {
            let _ = first.send(());
            match line.split_at_checked(2) {
                Some(("a ", at)) => appended.extend(at.parse::<u64>().ok()),
                Some(("s ", at)) => settled.extend(at.parse::<u64>().ok()),
                _ => {}
            }
        }
        (appended, settled)
    });
    started.recv_timeout(Duration::from_secs(30))?;
    let mut rng = StdRng::seed_from_u64(seed);
    thread::sleep(Duration::from_millis(rng.random_range(20..700)));
    let cut = disk.cut_power();
    child.kill()?;
    child.wait()?;
    cut?;
    let told = reader.join().map_err(|_| "the reader panicked")?;
    disk.unmount()?;
    disk.mount("loop")?;
    Ok(told)
}

fn power_cut(seed: u64) -> Result<String, Failure> {
    let disk = Disk::new()?;
    let (appended, settled) = run_until_cut("spool", &disk, seed)?;
    let report = check(&storage(&disk.path()).path)?;
    if !report.is_sound() {
        return Err(report.to_string().into());
    }
    let (spool, recovery) = open(&disk.path())?;
    if recovery.lost > 0 || recovery.unreadable > 0 || recovery.rung != Rung::AsItWas {
        return Err(format!("{recovery:?}").into());
    }
    runtime().block_on(async {
        let mut found: BTreeMap<u64, Record> = BTreeMap::new();
        for lane in [ALERTS, TELEMETRY] {
            let mut after = None;
            loop {
                let entries = spool.peek(lane, after, 500).await?;
                let Some(last) = entries.last() else { break };
                after = Some(last.seq);
                for entry in entries {
                    let at = entry
                        .record
                        .id
                        .split('-')
                        .nth(1)
                        .and_then(|at| at.parse().ok());
                    found.insert(at.ok_or("a strange id")?, entry.record);
                }
            }
        }
        for at in &appended {
            match found.get(at) {
                Some(read) if read.body == record(seed, *at).body => {}
                Some(_) => return Err(format!("record {at} reads back as something else").into()),
                None if settled.contains(at) => {}
                None => return Err(format!("record {at} was acknowledged and is gone").into()),
            }
        }
        // Batches are whole: their state is there with them.
        let state = spool.state().await?;
        let (_, newest) = state.first().ok_or("the state is gone")?;
        let newest: u64 = std::str::from_utf8(newest)?.parse()?;
        for (at, read) in &found {
            for picture in &read.evidence {
                spool.evidence().read(&picture.sha256)?;
            }
            if *at >= newest {
                return Err(format!("record {at} is there without its state, {newest}").into());
            }
        }
        Ok(format!(
            "{} acknowledged, {} settled, {} held, opened in {:?}",
            appended.len(),
            settled.len(),
            found.len(),
            recovery.took
        ))
    })
}

/// sled's own `flush()` must be seen to lose something.
fn control() -> Result<String, Failure> {
    for seed in 1..=CONTROL_SEEDS {
        let disk = Disk::new()?;
        let (appended, _) = run_until_cut("control", &disk, seed)?;
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

/// Fills the disk under the spool, sees it refuse, frees it, sees it go on; nothing is lost.
fn full_disk() -> Result<String, Failure> {
    let disk = Disk::new()?;
    let (spool, _) = open(&disk.path())?;
    runtime().block_on(async {
        let alert = |at| {
            let mut record = record(5, at);
            record.lane = ALERTS;
            let records = vec![record];
            Batch {
                records,
                state: Vec::new(),
            }
        };
        let mut acknowledged = BTreeSet::new();
        for at in 0..50 {
            spool.append(alert(at)).await?;
            acknowledged.insert(at);
        }
        // Somebody else's log fills what is left, at once.
        let hog = disk.path().join("hog");
        let mut file = File::create(&hog)?;
        let block = vec![1; 64 << 10];
        while file.write_all(&block).is_ok() {}
        drop(file);
        let mut at = 50;
        let refused = loop {
            match spool.append(alert(at)).await {
                Ok(_) => drop(acknowledged.insert(at)),
                Err(error) => break error,
            }
            at += 1;
            if at > 20_000 {
                return Err("a full disk takes everything".into());
            }
        };
        let refusing = spool.stats().await?.refusing;
        if refusing.is_none() {
            return Err(format!("{refused}, but the statistics do not say so").into());
        }
        fs::remove_file(&hog)?;
        let freed = Instant::now();
        while let Err(error) = spool.append(alert(at)).await {
            at += 1;
            if freed.elapsed() > Duration::from_secs(20) {
                return Err(format!("still refusing after the disk was freed: {error}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        acknowledged.insert(at);
        let took = freed.elapsed();
        let found = ids(&spool).await?;
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|at| !found.contains(at))
            .collect();
        if !lost.is_empty() {
            return Err(format!("{lost:?} were acknowledged and are gone").into());
        }
        let account = spool.stats().await?.streams["s"];
        if account.accepted != account.receipted + account.dropped + account.held {
            return Err(format!("the books do not balance: {account:?}").into());
        }
        spool.close().await?;
        let (spool, recovery) = open(&disk.path())?;
        if recovery.lost > 0 || ids(&spool).await? != found {
            return Err(format!("after a restart: {recovery:?}").into());
        }
        Ok(format!(
            "{} acknowledged, refused with \"{refused}\", back {took:?} after the disk was freed",
            acknowledged.len()
        ))
    })
}

async fn ids(spool: &Spool) -> Result<BTreeSet<u64>, Failure> {
    let mut found = BTreeSet::new();
    let mut after = None;
    loop {
        let entries = spool.peek(ALERTS, after, 1_000).await?;
        let Some(last) = entries.last() else {
            return Ok(found);
        };
        after = Some(last.seq);
        let at = |id: &str| id.split('-').nth(1)?.parse::<u64>().ok();
        found.extend(entries.iter().filter_map(|entry| at(&entry.record.id)));
    }
}

/// A start on a read-only disk says so, and harms nothing.
fn read_only_disk() -> Result<String, Failure> {
    let disk = Disk::new()?;
    let (spool, _) = open(&disk.path())?;
    runtime().block_on(async {
        let records = (0..10).map(|at| record(6, at)).collect();
        let state = Vec::new();
        spool.append(Batch { records, state }).await?;
        spool.close().await?;
        run(Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(disk.path()))?;
        let Err(error) = open(&disk.path()) else {
            return Err("opened on a read-only disk".into());
        };
        if !error.to_string().contains("Read-only") || !error.to_string().contains("spool") {
            return Err(format!("a poor message: {error}").into());
        }
        run(Command::new("mount")
            .args(["-o", "remount,rw"])
            .arg(disk.path()))?;
        let (_spool, recovery) = open(&disk.path())?;
        if recovery.held != 10 || !recovery.is_clean() {
            return Err(format!("{recovery:?}").into());
        }
        Ok(error.to_string())
    })
}
