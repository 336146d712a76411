//! A disk that somebody else fills, and one that becomes read-only.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    time::{Duration, Instant},
};

use wangge::spool::{Batch, Spool};

use crate::{
    Failure,
    disk::Disk,
    verify::{accounted, all},
    work::{ALERTS, Plan, number_of, open, record, runtime},
};

fn alert(at: u64) -> Batch {
    let mut record = record(5, at);
    record.lane = ALERTS;
    Batch {
        records: vec![record],
        state: Vec::new(),
    }
}

async fn numbers(spool: &Spool) -> Result<BTreeSet<u64>, Failure> {
    let entries = all(spool, ALERTS).await?;
    Ok(entries.iter().filter_map(number_of).collect())
}

fn missing(acknowledged: &BTreeSet<u64>, found: &BTreeSet<u64>) -> Result<(), Failure> {
    let lost: Vec<_> = acknowledged.difference(found).collect();
    if !lost.is_empty() {
        return Err(format!("{lost:?} were acknowledged and are gone").into());
    }
    Ok(())
}

/// F5: fills the disk under the spool, sees it refuse, frees it, sees it go on; nothing is lost.
pub fn full() -> Result<String, Failure> {
    let disk = Disk::new()?;
    let (spool, _) = open(&disk.path(), Plan::Mixed)?;
    runtime().block_on(async {
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
        if spool.stats().await?.refusing.is_none() {
            return Err(format!("{refused}, but the statistics do not say so").into());
        }
        // It cannot be rotated either, and says so instead of breaking anything.
        let rotated = spool.rotate().await;
        if rotated == Ok(true) {
            return Err("rotated on a full disk".into());
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
        let found = numbers(&spool).await?;
        missing(&acknowledged, &found)?;
        accounted(&spool).await?;
        spool.close().await?;
        let (spool, recovery) = open(&disk.path(), Plan::Mixed)?;
        if recovery.lost > 0 || numbers(&spool).await? != found {
            return Err(format!("after a restart: {recovery:?}").into());
        }
        accounted(&spool).await?;
        Ok(format!(
            "{} acknowledged, refused with \"{refused}\", back {took:?} after the disk was freed",
            acknowledged.len()
        ))
    })
}

/// F6: a start on a read-only disk says so, and harms nothing.
pub fn read_only_start() -> Result<String, Failure> {
    let disk = Disk::new()?;
    let (spool, _) = open(&disk.path(), Plan::Mixed)?;
    runtime().block_on(async {
        let records = (0..10).map(|at| record(6, at)).collect();
        let state = Vec::new();
        spool.append(Batch { records, state }).await?;
        spool.close().await?;
        disk.remount("ro")?;
        let Err(error) = open(&disk.path(), Plan::Mixed) else {
            return Err("opened on a read-only disk".into());
        };
        if !error.to_string().contains("Read-only") || !error.to_string().contains("spool") {
            return Err(format!("a poor message: {error}").into());
        }
        disk.remount("rw")?;
        let (spool, recovery) = open(&disk.path(), Plan::Mixed)?;
        if recovery.held != 10 || !recovery.is_clean() {
            return Err(format!("{recovery:?}").into());
        }
        accounted(&spool).await?;
        Ok(error.to_string())
    })
}

/// F6: the kernel makes the disk read-only under the running spool, as it does after an error.
pub fn read_only_running() -> Result<String, Failure> {
    let disk = Disk::new()?;
    let (spool, _) = open(&disk.path(), Plan::Mixed)?;
    let (acknowledged, told) = runtime().block_on(async {
        let mut acknowledged = BTreeSet::new();
        for at in 0..30 {
            spool.append(alert(at)).await?;
            acknowledged.insert(at);
        }
        disk.remount("abort")?;
        let began = Instant::now();
        let mut at = 30;
        let refused = loop {
            match spool.append(alert(at)).await {
                Ok(_) => drop(acknowledged.insert(at)),
                Err(error) => break error,
            }
            at += 1;
            if began.elapsed() > Duration::from_secs(10) {
                return Err("a read-only disk takes everything".into());
            }
        };
        // Not only once.
        for at in 10_000..10_020 {
            if spool.append(alert(at)).await.is_ok() {
                return Err("took a record while the disk is read-only".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let stats = spool.stats().await?;
        let why = stats.refusing.ok_or("the statistics do not say so")?;
        if let Some((stream, account)) = stats.streams.iter().find(|(_, s)| !s.is_balanced()) {
            return Err(format!("{stream}: {account:?}").into());
        }
        // Closing says what happened; it must end.
        let _ = spool.close().await;
        Ok::<_, Failure>((acknowledged, format!("\"{refused}\", then \"{why}\"")))
    })?;
    disk.unmount()?;
    disk.mount("loop")?;
    let (spool, recovery) = open(&disk.path(), Plan::Mixed)?;
    runtime().block_on(async {
        if recovery.lost > 0 || recovery.unreadable > 0 {
            return Err(format!("{recovery:?}").into());
        }
        missing(&acknowledged, &numbers(&spool).await?)?;
        accounted(&spool).await?;
        Ok(format!(
            "{} acknowledged, refused with {told}",
            acknowledged.len()
        ))
    })
}
