//! `wangge spool check`: reads everything while no daemon runs, changes no record, and says what
//! it found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    SpoolError,
    engine::{Engine, EngineError},
    evidence::{EvidenceError, EvidenceStore},
    handle::{evidence_dir, from_evidence},
    home::{close, lock},
    lanes::{class_of, uplink_of},
    load::{LoadError, Scan},
    mark::{Counters, Mark},
    rotate,
    sled_engine::SledEngine,
};

/// One queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// Name of the uplink.
    pub uplink: String,
    /// `alert`, `gap` or `telemetry`.
    pub class: &'static str,
    /// Good records.
    pub records: u64,
    /// Readings, or alerts, that they stand for.
    pub readings: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// First and last number.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// Records whose checksum is wrong.
    pub unreadable: u64,
}

/// What is in a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// `storage.path`.
    pub path: PathBuf,
    /// Why the database cannot be read, if it cannot.
    pub damaged: Option<String>,
    /// Queues that hold something.
    pub lanes: Vec<LaneReport>,
    /// Acknowledged records that are not there, by the spool's own books.
    pub lost: u64,
    /// Last number given, and records removed since the first.
    pub last: u64,
    /// See `last`.
    pub removed: u64,
    /// Whether the high-water mark could be read.
    pub has_mark: bool,
    /// Bytes of the database on disk.
    pub disk_bytes: u64,
    /// Pictures, and their bytes.
    pub pictures: u64,
    /// See `pictures`.
    pub picture_bytes: u64,
    /// Pictures that a record names and that are not there.
    pub missing: Vec<String>,
    /// Pictures that a record names and whose content is not what the name says.
    pub corrupt: Vec<String>,
    /// Pictures that no record names: delivered ones that are kept for a while, or left-overs.
    pub unnamed: u64,
    /// Databases in quarantine.
    pub quarantined: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_none()
            && self.lost == 0
            && self.missing.is_empty()
            && self.corrupt.is_empty()
            && self.lanes.iter().all(|lane| lane.unreadable == 0)
    }
}

/// Reads the spool at `path` (`storage.path`). Blocks, and verifies each named picture.
///
/// # Errors
/// [`SpoolError::Held`] with the pid while a daemon runs, [`SpoolError::Missing`] if there is no
/// spool, [`SpoolError::Newer`], [`SpoolError::Io`]. Damage is in the report.
pub fn check(path: &Path) -> Result<CheckReport, SpoolError> {
    let outbox = rotate::place(path);
    if !outbox.is_dir() {
        return Err(SpoolError::Missing(path.to_owned()));
    }
    let _lock = lock(path)?;
    let io = |error: std::io::Error| SpoolError::io(path, "read the spool", &error);
    let mut report = CheckReport {
        path: path.to_owned(),
        ..CheckReport::default()
    };
    let (_, mark) = Mark::open(&path.join("mark")).map_err(io)?;
    report.has_mark = mark.is_some();
    report.quarantined =
        std::fs::read_dir(path.join("quarantine")).map_or(0, |entries| entries.count() as u64);

    let mut named = BTreeSet::new();
    match SledEngine::open(&outbox) {
        Ok(engine) => {
            let read = report.read(&engine, mark, &mut named);
            report.disk_bytes = engine.disk_bytes();
            close(engine);
            match read {
                Ok(()) => {}
                Err(LoadError::Engine(error)) => report.damaged = Some(error.to_string()),
                Err(LoadError::Newer(found)) => {
                    return Err(SpoolError::Newer {
                        path: outbox,
                        found,
                    });
                }
                Err(LoadError::TooManyUplinks(count)) => {
                    return Err(SpoolError::TooManyUplinks(count));
                }
            }
        }
        Err(EngineError::Io(error)) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(io(error));
        }
        Err(error) => report.damaged = Some(error.to_string()),
    }
    report.look_at_pictures(&evidence_dir(path), &named)?;
    Ok(report)
}

impl CheckReport {
    fn read(
        &mut self,
        engine: &dyn Engine,
        mark: Option<Counters>,
        named: &mut BTreeSet<[u8; 32]>,
    ) -> Result<(), LoadError> {
        let mut lanes = BTreeMap::<usize, LaneReport>::new();
        let mut live = 0;
        let scan = Scan::run(engine, mark, |lane, seq, len, frame| {
            live += 1;
            let lane = lanes.entry(lane).or_insert_with(|| LaneReport {
                first: seq,
                ..LaneReport::default()
            });
            lane.records += 1;
            lane.readings += u64::from(frame.count);
            lane.bytes += len as u64;
            lane.last = seq;
            named.extend(frame.hashes());
        })?;
        for &(lane, _, _) in &scan.unreadable {
            live += 1;
            lanes.entry(lane).or_default().unreadable += 1;
        }
        self.last = scan.counters.last;
        self.removed = scan.counters.removed;
        self.lost = scan.lost(live, mark).map_or(0, |lost| lost.count);
        self.lanes = lanes
            .into_iter()
            .map(|(at, lane)| LaneReport {
                uplink: scan
                    .names
                    .get(uplink_of(at))
                    .cloned()
                    .flatten()
                    .unwrap_or_else(|| format!("(lane {}, name lost)", uplink_of(at))),
                class: class_of(at).name(),
                ..lane
            })
            .collect();
        Ok(())
    }

    fn look_at_pictures(
        &mut self,
        dir: &Path,
        named: &BTreeSet<[u8; 32]>,
    ) -> Result<(), SpoolError> {
        let store = EvidenceStore::open(dir).map_err(from_evidence)?;
        store
            .each(|_, meta, hash| {
                self.pictures += 1;
                self.picture_bytes += meta.len();
                if hash.is_none_or(|hash| !named.contains(&hash)) {
                    self.unnamed += 1;
                }
                Ok(())
            })
            .map_err(from_evidence)?;
        for sha256 in named.iter().map(hex::encode) {
            match store.read(&sha256) {
                Ok(_) => {}
                Err(EvidenceError::Missing(_)) => self.missing.push(sha256),
                Err(_) => self.corrupt.push(sha256),
            }
        }
        Ok(())
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "spool {}", self.path.display())?;
        if let Some(why) = &self.damaged {
            writeln!(f, "  DAMAGED: {why}")?;
            writeln!(f, "  the daemon will salvage what it can when it starts")?;
        }
        for lane in &self.lanes {
            write!(
                f,
                "  {:<20} {:<9} {:>8} records, {:>8} readings, {:>10} bytes, numbers {} to {}",
                lane.uplink,
                lane.class,
                lane.records,
                lane.readings,
                lane.bytes,
                lane.first,
                lane.last
            )?;
            match lane.unreadable {
                0 => writeln!(f)?,
                bad => writeln!(f, ", UNREADABLE: {bad}")?,
            }
        }
        if self.lanes.is_empty() && self.damaged.is_none() {
            writeln!(f, "  nothing waits for a receipt")?;
        }
        writeln!(
            f,
            "  {} records given a number so far, {} removed; {} bytes on disk",
            self.last, self.removed, self.disk_bytes
        )?;
        if self.lost > 0 {
            writeln!(
                f,
                "  LOST: {} acknowledged records are not there",
                self.lost
            )?;
        }
        if !self.has_mark {
            writeln!(f, "  there is no high-water mark to compare with")?;
        }
        writeln!(
            f,
            "  {} pictures, {} bytes; {} of them named by no record",
            self.pictures, self.picture_bytes, self.unnamed
        )?;
        for sha256 in &self.missing {
            writeln!(f, "  MISSING picture {sha256}")?;
        }
        for sha256 in &self.corrupt {
            writeln!(f, "  CORRUPT picture {sha256}")?;
        }
        if self.quarantined > 0 {
            writeln!(f, "  {} databases in quarantine/", self.quarantined)?;
        }
        write!(
            f,
            "{}",
            if self.is_sound() {
                "sound"
            } else {
                "NOT SOUND"
            }
        )
    }
}
