//! What the outbox's engine costs, beside sled as it comes and redb: `cargo bench --bench spool`.
//! Works under `TMPDIR`, so set that to the disk that is meant.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::{
    error::Error,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use wangge::{
    config::{Quota, Retention, Storage},
    spool::{Batch, Class, Cut, Engine, Lane, Record, SledEngine, Spool, WriteBatch},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RECORD: usize = 1_024;
const EACH: Duration = Duration::from_secs(3);
const TELEMETRY: Lane = Lane {
    uplink: 0,
    class: Class::Telemetry,
};

fn main() -> Outcome<()> {
    let body = vec![b'x'; RECORD];
    println!("durable records of {RECORD} bytes a second");
    println!("{:34} {:>8} {:>8}", "records in a commit", 1, 64);
    row("sled, flush() alone", |group| {
        let dir = tempfile::tempdir()?;
        let db = sled::open(dir.path())?;
        rate(
            group,
            |at| {
                db.insert(at.to_be_bytes(), &*body)
                    .map(drop)
                    .map_err(Into::into)
            },
            || db.flush().map(drop).map_err(Into::into),
        )
    })?;
    row("sled, with the syncs it leaves out", |group| {
        let dir = tempfile::tempdir()?;
        let engine = std::cell::RefCell::new(SledEngine::open(dir.path())?);
        rate(
            group,
            |at| {
                let mut batch = WriteBatch::default();
                batch.put(&at.to_be_bytes(), &body)?;
                Ok(engine.borrow_mut().write(&batch, Cut::AnyPrefix)?)
            },
            || Ok(engine.borrow_mut().sync()?),
        )
    })?;
    row("redb, Durability::Immediate", |group| {
        const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("t");
        let dir = tempfile::tempdir()?;
        let db = redb::Database::create(dir.path().join("db"))?;
        let mut at = 0u64;
        let (began, mut done) = (Instant::now(), 0);
        while began.elapsed() < EACH {
            let write = db.begin_write()?;
            {
                let mut table = write.open_table(TABLE)?;
                for _ in 0..group {
                    table.insert(&at.to_be_bytes()[..], &*body)?;
                    at += 1;
                }
            }
            write.commit()?;
            done += group;
        }
        Ok(done as f64 / began.elapsed().as_secs_f64())
    })?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(whole())
}

fn row(name: &str, measure: impl Fn(u64) -> Outcome<f64>) -> Outcome<()> {
    println!("{name:34} {:8.0} {:8.0}", measure(1)?, measure(64)?);
    Ok(())
}

fn rate(
    group: u64,
    mut write: impl FnMut(u64) -> Outcome<()>,
    sync: impl Fn() -> Outcome<()>,
) -> Outcome<f64> {
    let (began, mut done) = (Instant::now(), 0);
    while began.elapsed() < EACH {
        for _ in 0..group {
            write(done)?;
            done += 1;
        }
        sync()?;
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

fn storage(path: &Path) -> Storage {
    let hour = Duration::from_secs(3_600);
    Storage {
        path: path.to_owned(),
        quota: Quota::of(4 << 30),
        retention: Retention {
            default: hour,
            unconfirmed: hour,
            kinds: Default::default(),
            sealed: hour,
        },
        commit_interval: Duration::ZERO,
    }
}

/// The whole spool: bytes on disk, opening, rotation, with so many records held.
async fn whole() -> Outcome<()> {
    println!("\nthe spool, records of {RECORD} bytes");
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>12} {:>12} {:>12}",
        "held", "live MB", "disk MB", "opens in", "rotates in", "drained MB", "rotated MB"
    );
    for held in [1_000, 10_000, 50_000] {
        let dir = tempfile::tempdir()?;
        let open = || Spool::open(&storage(dir.path()), "st-1", &["city".into()]);
        let (spool, _) = open()?;
        for from in (0..held).step_by(500) {
            let records = (from..from + 500).map(|at| Record {
                lane: TELEMETRY,
                stream: "s".into(),
                id: at.to_string(),
                count: 1,
                evidence: Vec::new(),
                body: vec![b'x'; RECORD],
            });
            let records = records.collect();
            let state = Vec::new();
            spool.append(Batch { records, state }).await?;
        }
        let live = spool.stats().await?.used;
        spool.close().await?;
        let (spool, recovery) = open()?;
        let full = disk(dir.path())?;
        let began = Instant::now();
        spool.rotate().await?;
        let rotated_in = began.elapsed();
        loop {
            let entries = spool.peek(TELEMETRY, None, 1_000).await?;
            if entries.is_empty() {
                break;
            }
            spool
                .settle(entries.iter().map(|entry| entry.seq).collect())
                .await?;
        }
        let drained = disk(dir.path())?;
        spool.rotate().await?;
        println!(
            "{held:>8} {:>10.1} {:>10.1} {:>10.1?} {:>12.1?} {:>12.1} {:>12.1}",
            live as f64 / 1e6,
            full as f64 / 1e6,
            recovery.took,
            rotated_in,
            drained as f64 / 1e6,
            disk(dir.path())? as f64 / 1e6
        );
        spool.close().await?;
    }
    Ok(())
}

/// Bytes that the database takes.
fn disk(root: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(root.join("outbox"))? {
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}
