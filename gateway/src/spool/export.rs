//! `wangge spool export`: what waits for delivery, as files, from whatever can still be read.
//!
//! Nothing in the spool is opened for writing. Its database is copied and read there; where that
//! does not give every record that the books name, the databases in quarantine are read too, and
//! at last the bare file is searched for frames, which carry their own checksums (R7). Records from
//! there may have been delivered long ago; the index says for each where it comes from.
//!
//! ```text
//! OUT/index.jsonl                       one line a record
//! OUT/records/UPLINK/CLASS/SEQ.json     its message, bit for bit
//! OUT/records/carved/ID.json            the same, where number and uplink are lost
//! OUT/evidence/SHA256.jpg               each picture once
//! ```

mod words;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    Class, SpoolError,
    engine::Engine,
    evidence::{EvidenceError, read_in},
    handle::evidence_dir,
    home::{close, copy_files, share},
    lanes::{class_of, lane_of, parse_key, record_key, uplink_of},
    load::{MAX_UPLINKS, Scan},
    mark::Mark,
    record::{self, Frame},
    rotate,
    sled_engine::SledEngine,
};

/// Why nothing, or not everything, could be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The spool cannot be read at all, or is in use.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The target holds something already.
    #[error("{} is not empty; name a directory that does not exist yet", .0.display())]
    NotEmpty(PathBuf),
    /// The target is in the spool.
    #[error("{} is inside the storage that is exported; name a directory elsewhere", .0.display())]
    Inside(PathBuf),
    /// The file system of the target.
    #[error("{}: {error} (while trying to {what}); the export is incomplete: make room or name another disk, and begin again", path.display())]
    Out {
        /// File or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        error: io::Error,
    },
}

fn out<'a>(path: &'a Path, what: &'static str) -> impl FnOnce(io::Error) -> ExportError + 'a {
    move |error| ExportError::Out {
        path: path.to_owned(),
        what,
        error,
    }
}

/// Where a record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Waiting for its receipt.
    Held,
    /// Written, and never acknowledged to whoever sent it.
    Unacknowledged,
    /// In a database that was replaced; it may have been delivered since.
    Quarantined,
    /// Found in the bare file; it may have been delivered before.
    Carved,
}

/// How far an export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Records written.
    pub records: u64,
    /// Pictures copied.
    pub pictures: u64,
}

/// What was exported, and what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// The storage.
    pub path: PathBuf,
    /// Where it went.
    pub out: PathBuf,
    /// What was written.
    #[serde(flatten)]
    pub written: Progress,
    /// Records by origin.
    pub origins: BTreeMap<Origin, u64>,
    /// Why the database could not be read to its end, if so.
    pub damaged: Option<String>,
    /// Records that should be held by the spool's own books, and were not readable in the database.
    pub lost: u64,
    /// Records whose checksum is wrong.
    pub unreadable: u64,
    /// Pictures that a record names and that are not there, or not what their name says.
    pub missing_pictures: Vec<String>,
}

impl ExportReport {
    /// Whether everything that the spool held is there.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_none()
            && self.lost == 0
            && self.unreadable == 0
            && self.missing_pictures.is_empty()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    origin: Origin,
    from: &'a str,
    uplink: Option<&'a str>,
    class: Option<&'static str>,
    seq: Option<u64>,
    stream: &'a str,
    id: &'a str,
    count: u32,
    sha256: String,
    file: String,
    evidence: Vec<Picture>,
}

#[derive(Serialize)]
struct Picture {
    sha256: String,
    file: Option<String>,
    fault: Option<&'static str>,
}

/// Writes everything to `target`, a directory that is empty or not there yet. Blocks.
///
/// # Errors
/// [`ExportError`]; damage of the spool is none, but in the report.
pub fn export(
    path: &Path,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<ExportReport, ExportError> {
    let outbox = rotate::place(path);
    if !outbox.is_dir() && !path.join("quarantine").is_dir() {
        return Err(SpoolError::Missing(path.to_owned()).into());
    }
    let _lock = share(path)?;
    prepare(path, target)?;
    let index = target.join("index.jsonl");
    let file = File::create(&index).map_err(out(&index, "create the index"))?;
    let mut to = Writer {
        report: ExportReport {
            path: path.to_owned(),
            out: target.to_owned(),
            ..ExportReport::default()
        },
        pictures: evidence_dir(path),
        index: BufWriter::new(file),
        ids: HashSet::new(),
        per_uplink: HashSet::new(),
        copied: BTreeSet::new(),
        progress,
    };
    let work = target.join(".work");
    if outbox.is_dir() {
        to.database(&outbox, "outbox", &work, path)?;
    } else {
        to.report.damaged = Some("there is no database".into());
        to.report.lost = books(path).unwrap_or(0);
    }
    if to.report.damaged.is_some() || to.report.lost > 0 || to.report.unreadable > 0 {
        to.salvage(path, &outbox, &work)?;
    }
    to.index.flush().map_err(out(&index, "write the index"))?;
    let Writer { report, .. } = to;
    let summary = target.join("report.json");
    let text = serde_json::to_vec_pretty(&report).unwrap_or_default();
    fs::write(&summary, text).map_err(out(&summary, "write the report"))?;
    File::open(target)
        .and_then(|dir| Ok(rustix::fs::syncfs(&dir)?))
        .map_err(out(target, "sync what was written"))?;
    Ok(report)
}

/// Records that must be there by the mark.
fn books(path: &Path) -> Option<u64> {
    let mark = Mark::read(&path.join("mark"))?;
    Some(mark.last.saturating_sub(mark.removed))
}

fn prepare(path: &Path, target: &Path) -> Result<(), ExportError> {
    fs::create_dir_all(target).map_err(out(target, "create the directory"))?;
    let real = |path: &Path| path.canonicalize().map_err(out(path, "find it"));
    if real(target)?.starts_with(real(path)?) {
        // What `create_dir_all` made is empty.
        let _ = fs::remove_dir(target);
        return Err(ExportError::Inside(target.to_owned()));
    }
    let mut there = fs::read_dir(target).map_err(out(target, "list the directory"))?;
    if there.next().is_some() {
        return Err(ExportError::NotEmpty(target.to_owned()));
    }
    for name in ["records", "evidence"] {
        let dir = target.join(name);
        fs::create_dir(&dir).map_err(out(&dir, "create the directory"))?;
    }
    Ok(())
}

struct Writer<'a> {
    report: ExportReport,
    pictures: PathBuf,
    index: BufWriter<File>,
    /// Event ids written.
    ids: HashSet<String>,
    /// Event ids by uplink.
    per_uplink: HashSet<(String, String)>,
    /// Pictures that are in the target.
    copied: BTreeSet<String>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Writer<'_> {
    /// The live database, through a copy of its files.
    fn database(
        &mut self,
        database: &Path,
        from: &str,
        work: &Path,
        root: &Path,
    ) -> Result<(), ExportError> {
        let mut damage = None;
        let mut found = 0;
        let mut lost: Option<u64> = None;
        for snapshots in [true, false] {
            self.copy(database, work, snapshots)?;
            let engine = match SledEngine::open(work) {
                Ok(engine) => engine,
                Err(error) => {
                    damage = Some(error.to_string());
                    continue;
                }
            };
            let mark = Mark::read(&root.join("mark"));
            let mut live = 0;
            let scan = Scan::run(&engine, mark, |_, _, _, _| live += 1);
            let last = match &scan {
                Ok(scan) => {
                    self.report.unreadable = scan.unreadable.len() as u64;
                    let all = live + self.report.unreadable;
                    let missing = scan.lost(all, mark).map_or(0, |lost| lost.count);
                    lost = Some(lost.map_or(missing, |lost| lost.min(missing)));
                    scan.counters.last.max(mark.unwrap_or_default().last)
                }
                // Where the count ends is not known then.
                Err(_) => u64::MAX,
            };
            let complete = scan.is_ok() && lost == Some(0);
            // An empty open is no success (sled#1533): the other way may hold more.
            if complete || !snapshots || live > 0 {
                let (read, why) = self.records(&engine, from, Some(last))?;
                found = read.max(found);
                damage = why;
                close(engine);
                if complete {
                    break;
                }
            } else {
                close(engine);
            }
        }
        remove(work)?;
        self.report.damaged = damage;
        self.report.lost = lost.unwrap_or_else(|| books(root).unwrap_or(0).saturating_sub(found));
        Ok(())
    }

    /// What databases in quarantine and the bare files still hold.
    fn salvage(&mut self, root: &Path, outbox: &Path, work: &Path) -> Result<(), ExportError> {
        let mut databases = vec![(outbox.to_owned(), "outbox".to_owned())];
        if let Ok(entries) = fs::read_dir(root.join("quarantine")) {
            let mut old: Vec<_> = entries.flatten().collect();
            // UUIDv7: the newest first.
            old.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
            for entry in old {
                let name = format!("quarantine/{}", entry.file_name().to_string_lossy());
                databases.push((entry.path(), name));
            }
        }
        for (database, name) in databases.iter().skip(1) {
            for snapshots in [true, false] {
                self.copy(database, work, snapshots)?;
                if let Ok(engine) = SledEngine::open(work) {
                    self.records(&engine, name, None)?;
                    close(engine);
                }
            }
        }
        remove(work)?;
        for (database, name) in &databases {
            self.carve(&database.join("db"), name)?;
        }
        Ok(())
    }

    fn copy(&self, database: &Path, work: &Path, snapshots: bool) -> Result<(), ExportError> {
        remove(work)?;
        copy_files(database, work, snapshots).map_err(out(work, "copy the database"))
    }

    /// Every record that the engine gives, lane by lane: a bad page ends one of them only.
    /// `last` is the newest number that counts, in the live database.
    fn records(
        &mut self,
        engine: &dyn Engine,
        from: &str,
        last: Option<u64>,
    ) -> Result<(u64, Option<String>), ExportError> {
        let mut names = BTreeMap::new();
        let mut damage = None;
        let scanned = engine.scan(super::store::UPLINK..&[0, b'u' + 1], &mut |key, value| {
            if let Some(id) = key.get(2) {
                names.insert(
                    usize::from(*id),
                    String::from_utf8_lossy(value).into_owned(),
                );
            }
            ControlFlow::Continue(())
        });
        damage = damage.or(scanned.err().map(|error| error.to_string()));
        let mut found = 0;
        for lane in (0..MAX_UPLINKS).flat_map(|uplink| Class::ALL.map(|c| lane_of(uplink, c))) {
            let [start, end] = [0, u64::MAX].map(|seq| record_key(lane, seq));
            let uplink = names
                .get(&uplink_of(lane))
                .cloned()
                .unwrap_or_else(|| format!("lane-{}", uplink_of(lane)));
            let mut failure = None;
            let scanned = engine.scan(&start..&end, &mut |key, value| {
                let Some((_, seq)) = parse_key(key) else {
                    return ControlFlow::Continue(());
                };
                let Ok(frame) = record::decode(value) else {
                    return ControlFlow::Continue(());
                };
                found += 1;
                let origin = match last {
                    None => Origin::Quarantined,
                    Some(last) if seq > last => Origin::Unacknowledged,
                    Some(_) => Origin::Held,
                };
                let at = At {
                    origin,
                    from,
                    place: Some((&uplink, class_of(lane), seq)),
                };
                match self.write(&at, &frame) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            });
            if let Some(error) = failure {
                return Err(error);
            }
            damage = damage.or(scanned.err().map(|error| error.to_string()));
        }
        Ok((found, damage))
    }

    /// Looks for frames at every place of a file.
    fn carve(&mut self, db: &Path, from: &str) -> Result<(), ExportError> {
        const WINDOW: usize = 1 << 20;
        let Ok(mut file) = File::open(db) else {
            return Ok(());
        };
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            let before = bytes.len();
            // A bad sector ends it; what is before it counts.
            let read = Read::by_ref(&mut file)
                .take(WINDOW as u64)
                .read_to_end(&mut bytes);
            let is_end = read.is_err() || bytes.len() == before;
            let mut at = 0;
            while at < bytes.len() && (is_end || bytes.len() - at >= record::MAX_FRAME) {
                match record::find(&bytes[at..]) {
                    Some((frame, length)) => {
                        let carved = At {
                            origin: Origin::Carved,
                            from,
                            place: None,
                        };
                        self.write(&carved, &frame)?;
                        at += length;
                    }
                    None => at += 1,
                }
            }
            if is_end {
                return Ok(());
            }
            bytes.drain(..at);
        }
    }

    fn write(&mut self, at: &At<'_>, frame: &Frame<'_>) -> Result<(), ExportError> {
        let is_known = match at.place {
            Some((uplink, _, _)) => !self
                .per_uplink
                .insert((uplink.to_owned(), frame.id.to_owned())),
            // To which uplink it was to go is lost, so once is enough.
            None => self.ids.contains(frame.id),
        };
        if is_known {
            return Ok(());
        }
        self.ids.insert(frame.id.to_owned());
        let file = match at.place {
            Some((uplink, class, seq)) => {
                format!("records/{}/{}/{seq:020}.json", safe(uplink), class.name())
            }
            None => format!("records/carved/{}.json", safe(frame.id)),
        };
        let target = self.report.out.join(&file);
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir).map_err(out(dir, "create the directory"))?;
        }
        fs::write(&target, frame.body).map_err(out(&target, "write a record"))?;
        let mut evidence = Vec::new();
        for hash in frame.hashes() {
            evidence.push(self.picture(hex::encode(hash))?);
        }
        let line = Line {
            origin: at.origin,
            from: at.from,
            uplink: at.place.map(|(uplink, _, _)| uplink),
            class: at.place.map(|(_, class, _)| class.name()),
            seq: at.place.map(|(_, _, seq)| seq),
            stream: frame.stream,
            id: frame.id,
            count: frame.count,
            sha256: hex::encode(Sha256::digest(frame.body)),
            file,
            evidence,
        };
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        let index = self.report.out.join("index.jsonl");
        self.index
            .write_all(&text)
            .map_err(out(&index, "write the index"))?;
        self.report.written.records += 1;
        *self.report.origins.entry(at.origin).or_default() += 1;
        (self.progress)(self.report.written);
        Ok(())
    }

    fn picture(&mut self, sha256: String) -> Result<Picture, ExportError> {
        let file = format!("evidence/{sha256}.jpg");
        let fault = if self.copied.contains(&sha256) {
            None
        } else {
            match read_in(&self.pictures, &sha256) {
                Ok(bytes) => {
                    let target = self.report.out.join(&file);
                    fs::write(&target, bytes).map_err(out(&target, "write a picture"))?;
                    self.copied.insert(sha256.clone());
                    self.report.written.pictures += 1;
                    None
                }
                Err(EvidenceError::Corrupt(_)) => Some("corrupt"),
                Err(_) => Some("missing"),
            }
        };
        if fault.is_some() && !self.report.missing_pictures.contains(&sha256) {
            self.report.missing_pictures.push(sha256.clone());
        }
        Ok(Picture {
            file: fault.is_none().then_some(file),
            sha256,
            fault,
        })
    }
}

/// Where a frame was found: uplink, class and number are lost in a bare file.
struct At<'a> {
    origin: Origin,
    from: &'a str,
    place: Option<(&'a str, Class, u64)>,
}

fn remove(work: &Path) -> Result<(), ExportError> {
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(out(work, "remove a copy")(error))
        }
        _ => Ok(()),
    }
}

/// A part of a file name, whatever is in it.
fn safe(text: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut name: String = text
        .chars()
        .take(120)
        .map(|c| if good(c) { c } else { '_' })
        .collect();
    if name.trim_matches('.').is_empty() {
        name = format!("_{}", hex::encode(&Sha256::digest(text)[..8]));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_stay_in_their_directory() {
        assert_eq!(safe("city-1.b"), "city-1.b");
        assert_eq!(safe("../../x"), ".._.._x");
        for bad in ["", ".", "..", "..."] {
            assert!(safe(bad).starts_with('_'), "{bad}");
        }
        assert_eq!(safe(&"é".repeat(500)).len(), 120);
    }
}
