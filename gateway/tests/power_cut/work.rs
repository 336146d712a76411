//! What the child does until it is stopped: it appends, settles, rotates and stores pictures, and
//! says on standard output what it was promised.

use std::{
    env,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use wangge::{
    config::{Quota, Storage},
    spool::{Batch, Class, Entry, Lane, MAX_BODY, Record, Recovery, Spool, SpoolError},
};
use wangge_protocol::EvidenceRef;

use crate::Failure;

const ROLE: &str = "POWER_CUT_ROLE";

/// What a child is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Works on a spool for ever.
    Spool,
    /// Appends one record and waits.
    First,
    /// Does a fixed piece of everything and ends.
    Piece,
    /// sled's own `flush()`, which must be seen to lose something.
    Control,
}

impl Role {
    const ALL: [(Role, &'static str); 4] = [
        (Role::Spool, "spool"),
        (Role::First, "first"),
        (Role::Piece, "piece"),
        (Role::Control, "control"),
    ];

    pub fn of_this_process() -> Option<Role> {
        let name = env::var(ROLE).ok()?;
        let found = Role::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(role, _)| *role)
    }

    /// This program again, to work in `dir`.
    pub fn command(self, dir: &Path, seed: u64) -> Result<Command, Failure> {
        let name = Role::ALL.iter().find(|(role, _)| *role == self);
        let mut command = Command::new(env::current_exe()?);
        command
            .env(ROLE, name.map_or("", |(_, name)| name))
            .arg(dir)
            .arg(seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Ok(command)
    }

    pub fn start(self, dir: &Path, seed: u64) -> Result<Child, Failure> {
        Ok(self.command(dir, seed)?.spawn()?)
    }
}

/// What a seed does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Mixed,
    Rotating,
    Pictures,
    Thinning,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        use Plan::{Mixed, Pictures, Rotating, Thinning};
        [Mixed, Rotating, Pictures, Thinning][(seed % 4) as usize]
    }

    pub fn name(self) -> &'static str {
        match self {
            Plan::Mixed => "mixed",
            Plan::Rotating => "rotating",
            Plan::Pictures => "pictures",
            Plan::Thinning => "thinning",
        }
    }
}

pub const ALERTS: Lane = Lane {
    uplink: 0,
    class: Class::Alert,
};
pub const GAPS: Lane = Lane {
    uplink: 0,
    class: Class::Gap,
};
pub const TELEMETRY: Lane = Lane {
    uplink: 0,
    class: Class::Telemetry,
};

pub fn storage(path: &Path, plan: Plan) -> Storage {
    let hour = Duration::from_secs(3_600);
    let mut quota = Quota::of(64 << 20);
    // Pictures and telemetry reach their quotas within a run.
    quota.pictures = 6 << 20;
    if plan == Plan::Thinning {
        quota.telemetry = 400_000;
    }
    Storage {
        path: path.join("spool"),
        quota,
        retention: wangge::config::Retention {
            default: hour,
            unconfirmed: hour,
            kinds: Default::default(),
            sealed: hour,
        },
        commit_interval: Duration::ZERO,
    }
}

pub fn open(path: &Path, plan: Plan) -> Result<(Spool, Recovery), SpoolError> {
    Spool::open(&storage(path, plan), "st-1", &["platform".into()])
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The record that belongs to a number, so that the reader knows every byte.
pub fn record(seed: u64, at: u64) -> Record {
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

/// The number in a record's id.
pub fn number_of(entry: &Entry) -> Option<u64> {
    entry.record.id.split('-').nth(1)?.parse().ok()
}

fn picture(spool: &Spool, record: &Record) -> Option<EvidenceRef> {
    let mut picture = record.body.repeat(3);
    picture.push(0);
    let taken = jiff::Timestamp::UNIX_EPOCH;
    let store = spool.evidence();
    store.put(&picture, "image/jpeg", "scene", taken).ok()
}

pub fn run(role: Role, dir: &Path, seed: u64) {
    match role {
        Role::Control => control(dir, seed),
        Role::Spool => drop(runtime().block_on(for_ever(dir, seed))),
        Role::First => drop(runtime().block_on(first(dir, seed))),
        Role::Piece => drop(runtime().block_on(piece(dir, seed))),
    }
}

/// Nobody listens any more, or the disk is gone.
struct Stop;

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Stop {
        Stop
    }
}

impl From<SpoolError> for Stop {
    fn from(_: SpoolError) -> Stop {
        Stop
    }
}

fn batch(spool: &Spool, seed: u64, numbers: std::ops::Range<u64>, every: u64) -> Batch {
    let newest = numbers.end.to_string();
    let records = numbers.map(|at| {
        let mut record = record(seed, at);
        if at.is_multiple_of(every) {
            record.evidence.extend(picture(spool, &record));
        }
        record
    });
    Batch {
        records: records.collect(),
        state: vec![(b"newest".to_vec(), Some(newest.into()))],
    }
}

async fn for_ever(dir: &Path, seed: u64) -> Result<(), Stop> {
    let mut out = std::io::stdout();
    let plan = Plan::of(seed);
    let (spool, _) = open(dir, plan)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut next = 0;
    let pictures = if plan == Plan::Pictures { 2 } else { 9 };
    loop {
        let group = rng.random_range(1..20);
        let work = batch(&spool, seed, next..next + group, pictures);
        match spool.append(work).await {
            Ok(seqs) => {
                for (at, seq) in (next..).zip(seqs) {
                    writeln!(out, "a {at} {seq}")?;
                }
                next += group;
            }
            // The quota or the disk's reserve; receipts will make room.
            Err(SpoolError::Full(_)) => {}
            Err(error) => Err(error)?,
        }
        // The platform is about as fast as the sensors, or slower.
        let lane = if rng.random() { ALERTS } else { TELEMETRY };
        let most = if plan == Plan::Thinning { 8 } else { 20 };
        let entries = spool.peek(lane, None, rng.random_range(0..most)).await?;
        for at in entries.iter().filter_map(number_of) {
            // Said before it is done: it may or may not be there afterwards.
            writeln!(out, "s {at}")?;
        }
        spool
            .settle(entries.iter().map(|entry| entry.seq).collect())
            .await?;
        let rotates = if plan == Plan::Rotating { 0.3 } else { 0.02 };
        if rng.random_bool(rotates) {
            spool.rotate().await?;
        }
    }
}

async fn first(dir: &Path, seed: u64) -> Result<(), Stop> {
    let (spool, _) = open(dir, Plan::Mixed)?;
    let seqs = spool.append(batch(&spool, seed, 0..1, 1)).await?;
    writeln!(std::io::stdout(), "a 0 {}", seqs[0])?;
    std::future::pending().await
}

/// Everything once, and again after each refusal that passes.
async fn piece(dir: &Path, seed: u64) -> Result<(), Stop> {
    let mut out = std::io::stdout();
    let (spool, _) = open(dir, Plan::Mixed)?;
    let mut next = 0;
    for step in 0..8 {
        let work = batch(&spool, seed, next..next + 3, 4);
        match spool.append(work).await {
            Ok(seqs) => {
                for (at, seq) in (next..).zip(seqs) {
                    writeln!(out, "a {at} {seq}")?;
                }
            }
            Err(_) => {
                writeln!(out, "refused")?;
                recovered(&spool).await?;
            }
        }
        // What was refused may be there all the same, so its numbers are not used again.
        next += 3;
        if step % 2 == 1
            && let Ok(entries) = spool.peek(ALERTS, None, 1).await
        {
            for at in entries.iter().filter_map(number_of) {
                writeln!(out, "s {at}")?;
            }
            let seqs = entries.iter().map(|entry| entry.seq).collect();
            let _ = spool.settle(seqs).await;
        }
        if step == 4 && spool.rotate().await.is_err() {
            recovered(&spool).await?;
        }
    }
    spool.close().await?;
    Ok(())
}

/// Waits for the spool to open again, for a while.
async fn recovered(spool: &Spool) -> Result<(), Stop> {
    for _ in 0..40 {
        if spool.stats().await?.refusing.is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn control(dir: &Path, seed: u64) {
    let mut out = std::io::stdout();
    let db = sled::open(dir.join("db")).expect("a new database");
    for at in 0u64.. {
        let written = db.insert(at.to_be_bytes(), record(seed, at).body);
        if written.is_err() || db.flush().is_err() || writeln!(out, "a {at} 0").is_err() {
            return;
        }
    }
}
