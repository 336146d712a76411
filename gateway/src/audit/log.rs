//! The files of the audit log.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::chain::{self, Entry, Event, Fault, Head, MAX_LINE, What};

/// A file is followed by the next from this size on, bytes: about eight thousand entries.
pub const MAX_FILE: u64 = 4 << 20;
/// Files kept; the oldest goes when there would be more.
pub const MAX_FILES: usize = 16;

/// Why the log cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("{}: {error} (while trying to {what})", path.display())]
    Io {
        path: PathBuf,
        what: &'static str,
        error: io::Error,
    },
    #[error("an entry cannot be written: {0}")]
    Entry(#[from] serde_json::Error),
}

fn at<'p>(path: &'p Path, what: &'static str) -> impl FnOnce(io::Error) -> AuditError + 'p {
    move |error| AuditError::Io {
        path: path.to_owned(),
        what,
        error,
    }
}

/// Where the log of a storage is.
pub fn audit_dir(storage: &Path) -> PathBuf {
    storage.join("audit")
}

/// The log of a storage. One process writes it: the one that holds the storage. It is opened when
/// it is first needed, and again after an error, so that a full disk keeps no station from
/// starting.
#[derive(Debug)]
pub struct Audit {
    dir: PathBuf,
    log: Option<AuditLog>,
}

impl Audit {
    /// In the directory `dir`, which need not exist yet.
    pub fn new(dir: &Path) -> Self {
        Audit {
            dir: dir.to_owned(),
            log: None,
        }
    }

    /// Notes events, in order; they are on disk when this returns.
    ///
    /// # Errors
    /// [`AuditError`]; then what was to happen must not.
    pub fn append(&mut self, events: &[Event], now: Timestamp) -> Result<(), AuditError> {
        let mut log = match self.log.take() {
            Some(log) => log,
            None => AuditLog::open(&self.dir)?,
        };
        log.append(events, now)?;
        self.log = Some(log);
        Ok(())
    }
}

/// The log, open to be continued.
#[derive(Debug)]
struct AuditLog {
    dir: PathBuf,
    file: File,
    path: PathBuf,
    bytes: u64,
    head: Head,
    max_file: u64,
}

impl AuditLog {
    /// Opens or begins it. What stands after the last line's end, as a power failure leaves
    /// it, is cut off; a damaged line stays for [`verify`] to find.
    fn open(dir: &Path) -> Result<Self, AuditError> {
        AuditLog::with_size(dir, MAX_FILE)
    }

    fn with_size(dir: &Path, max_file: u64) -> Result<Self, AuditError> {
        fs::create_dir_all(dir).map_err(at(dir, "create the directory"))?;
        let newest = files(dir)?.pop();
        let path = newest.unwrap_or_else(|| dir.join(name(1)));
        let mut file = open(&path)?;
        let (head, bytes) = last(&mut file).map_err(at(&path, "read the log"))?;
        let head = match head {
            Some(head) => head,
            // An empty newest file: its name, and the head that was noted beside, say what follows.
            None => noted(dir).unwrap_or_default(),
        };
        file.set_len(bytes).map_err(at(&path, "cut a torn line"))?;
        sync_dir(dir)?;
        Ok(AuditLog {
            dir: dir.to_owned(),
            file,
            path,
            bytes,
            head,
            max_file,
        })
    }

    fn append(&mut self, events: &[Event], now: Timestamp) -> Result<(), AuditError> {
        if self.bytes >= self.max_file {
            self.rotate(now)?;
        }
        let time = now.to_string();
        let mut head = self.head.clone();
        let mut lines = String::new();
        for event in events {
            let (line, next) = chain::append(&head, event, &time)?;
            lines.push_str(&line);
            head = next;
        }
        self.write(&lines, head)
    }

    fn write(&mut self, lines: &str, head: Head) -> Result<(), AuditError> {
        let written = self
            .file
            .write_all(lines.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What was half written is not in the chain.
            let _ = self.file.set_len(self.bytes);
            return Err(at(&self.path, "write the log")(error));
        }
        self.bytes += lines.len() as u64;
        self.head = head;
        self.note()
    }

    /// Beside the log, so that lines missing at its end are noticed. It may be behind the log,
    /// and never ahead of it.
    fn note(&self) -> Result<(), AuditError> {
        let (path, new) = (self.dir.join("head"), self.dir.join("head.new"));
        let text = serde_json::to_string(&self.head)?;
        let written = File::create(&new)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(at(&path, "note the newest entry"))?;
        sync_dir(&self.dir)
    }

    fn rotate(&mut self, now: Timestamp) -> Result<(), AuditError> {
        let path = self.dir.join(name(self.head.seq + 1));
        self.file = open(&path)?;
        self.path = path;
        self.bytes = 0;
        sync_dir(&self.dir)?;
        let mut old = files(&self.dir)?;
        while old.len() > MAX_FILES {
            let oldest = old.remove(0);
            let mut file = File::open(&oldest).map_err(at(&oldest, "read the log"))?;
            let (head, _) = last(&mut file).map_err(at(&oldest, "read the log"))?;
            let event = Event {
                what: What::Rotated,
                object: head.unwrap_or_default().hash,
                kind: None,
                why: format!("the log keeps {MAX_FILES} files"),
            };
            let (line, next) = chain::append(&self.head, &event, &now.to_string())?;
            self.write(&line, next)?;
            fs::remove_file(&oldest).map_err(at(&oldest, "delete the oldest file"))?;
        }
        sync_dir(&self.dir)
    }
}

fn name(first: u64) -> String {
    format!("audit-{first:012}.jsonl")
}

fn open(path: &Path) -> Result<File, AuditError> {
    let options = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path);
    options.map_err(at(path, "open the log"))
}

fn sync_dir(dir: &Path) -> Result<(), AuditError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(at(dir, "sync the directory"))
}

/// The log's files, the oldest first.
fn files(dir: &Path) -> Result<Vec<PathBuf>, AuditError> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(at(dir, "list the directory"))?;
    let mut files: Vec<_> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            name.starts_with("audit-") && name.ends_with(".jsonl")
        })
        .collect();
    files.sort();
    Ok(files)
}

fn noted(dir: &Path) -> Option<Head> {
    serde_json::from_slice(&fs::read(dir.join("head")).ok()?).ok()
}

/// The newest entry of a file, and the bytes up to the end of its last line.
fn last(file: &mut File) -> io::Result<(Option<Head>, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut lines = BufReader::new(file);
    let (mut head, mut read, mut bytes) = (None, 0, 0);
    loop {
        let mut line = Vec::new();
        let more = (&mut lines)
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line)?;
        if more == 0 {
            return Ok((head, bytes));
        }
        read += more as u64;
        if line.pop() != Some(b'\n') {
            continue;
        }
        bytes = read;
        if let Some((_, next)) = std::str::from_utf8(&line)
            .ok()
            .and_then(|line| chain::follow(None, line).ok())
        {
            head = Some(next);
        }
    }
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that follow each other.
    pub entries: u64,
    /// Hash of the newest.
    pub head: String,
    /// File, line and what is wrong.
    pub faults: Vec<(PathBuf, usize, Fault)>,
    /// The noted newest entry is not in the log: lines are missing at its end.
    pub is_cut: bool,
    /// The hash that was asked for is in the log.
    pub has_asked: bool,
}

impl Report {
    /// Nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && !self.is_cut && self.has_asked
    }
}

/// Follows the chain through all files. `asked` is a hash that was noted elsewhere and must be
/// there, if it is given. The log may be written meanwhile.
///
/// # Errors
/// [`AuditError::Io`]
pub fn verify(dir: &Path, asked: Option<&str>) -> Result<Report, AuditError> {
    // Read before the log: it may grow, and the note is never ahead.
    let noted = noted(dir);
    let mut report = Report {
        is_cut: noted.is_some(),
        has_asked: asked.is_none(),
        ..Report::default()
    };
    let mut head: Option<Head> = None;
    let mut first = true;
    // Of a log whose oldest files have gone: the last entry that went, until it is found noted.
    let mut gone: Option<(PathBuf, String)> = None;
    read(dir, |path, number, line| {
        // The oldest file may begin anywhere, but only if something was rotated out before it.
        let begins = std::mem::take(&mut first) && !path.ends_with(name(1));
        let before = match (&head, begins) {
            (None, true) => None,
            (None, false) => Some(Head::default()),
            (Some(head), _) => Some(head.clone()),
        };
        match chain::follow(before.as_ref(), line) {
            Ok((entry, next)) => {
                if before.is_none() {
                    gone = Some((path.to_owned(), entry.prev.into_owned()));
                } else if entry.what == What::Rotated {
                    gone = gone.take().filter(|(_, hash)| *hash != entry.object);
                }
                report.entries += 1;
                report.is_cut &= noted.as_ref() != Some(&next);
                report.has_asked |= asked == Some(next.hash.as_str());
                head = Some(next);
            }
            Err(fault) => {
                report.faults.push((path.to_owned(), number, fault));
                // Where it can be read at all, what follows is judged from here on.
                if let Ok((_, next)) = chain::follow(None, line) {
                    head = Some(next);
                }
            }
        }
    })?;
    if let Some((path, _)) = gone {
        report.faults.push((path, 1, Fault::Broken));
    }
    report.is_cut &= noted.is_some_and(|noted| noted.seq > 0);
    report.head = head.unwrap_or_default().hash;
    Ok(report)
}

/// Calls `each` with file, line number from 1, and line, the oldest first.
///
/// # Errors
/// [`AuditError::Io`]
pub fn read(dir: &Path, mut each: impl FnMut(&Path, usize, &str)) -> Result<(), AuditError> {
    if !dir.exists() {
        return Ok(());
    }
    for path in files(dir)? {
        let file = File::open(&path).map_err(at(&path, "read the log"))?;
        let mut lines = BufReader::new(file);
        for number in 1.. {
            let mut line = Vec::new();
            let read = (&mut lines)
                .take(MAX_LINE as u64)
                .read_until(b'\n', &mut line)
                .map_err(at(&path, "read the log"))?;
            if read == 0 {
                break;
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            each(&path, number, &String::from_utf8_lossy(line));
        }
    }
    Ok(())
}

/// The entry of a line, whatever comes before it.
///
/// # Errors
/// A line that is none, or was changed.
pub fn entry(line: &str) -> Result<Entry<'_>, Fault> {
    chain::follow(None, line).map(|(entry, _)| entry)
}

/// An entry for people, one line.
impl std::fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.what {
            What::Deleted => "deleted",
            What::Sealed => "sealed",
            What::Rotated => "rotated",
            What::Command => "command",
            What::CommandRefused => "command refused",
        };
        let kind = self.kind.as_deref().unwrap_or("-");
        write!(
            f,
            "{:>6} {} {what:<8} {kind:<20} {} ({})",
            self.seq, self.time, self.object, self.why
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize) -> Event {
        Event {
            what: What::Deleted,
            object: format!("{n:064x}.jpg"),
            kind: None,
            why: "its term of 30d is over".into(),
        }
    }

    fn filled(max_file: u64, entries: usize) -> (tempfile::TempDir, AuditLog) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AuditLog::with_size(dir.path(), max_file).unwrap();
        for n in 0..entries {
            log.append(&[event(n)], Timestamp::UNIX_EPOCH).unwrap();
        }
        (dir, log)
    }

    #[test]
    fn it_goes_on_after_a_restart() {
        let (dir, log) = filled(MAX_FILE, 3);
        let head = log.head.hash.clone();
        drop(log);
        let mut log = AuditLog::open(dir.path()).unwrap();
        assert_eq!(log.head.hash, head);
        let events = [event(3), event(4)];
        log.append(&events, Timestamp::UNIX_EPOCH).unwrap();
        let report = verify(dir.path(), Some(&head)).unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(
            (report.entries, report.head.as_str()),
            (5, log.head.hash.as_str())
        );
        assert!(!verify(dir.path(), Some("00")).unwrap().is_sound());
    }

    #[test]
    fn tampering_is_found_where_it_is() {
        let (dir, _log) = filled(MAX_FILE, 5);
        let path = dir.path().join(name(1));
        let good = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        let with = |lines: &[&str]| {
            fs::write(&path, lines.join("\n") + "\n").unwrap();
            verify(dir.path(), None).unwrap()
        };
        assert!(with(&lines).is_sound());
        let edited = lines[1].replace("30d", "3d");
        let report = with(&[lines[0], &edited, lines[2], lines[3], lines[4]]);
        assert_eq!(report.faults[0].1, 2);
        let report = with(&[lines[0], lines[1], lines[3], lines[4]]);
        assert_eq!((report.faults.len(), report.faults[0].1), (1, 3));
        // Lines missing at the end have no successor that tells; the note beside does.
        let report = with(&lines[..4]);
        assert!(report.faults.is_empty() && report.is_cut && !report.is_sound());
        // So does a log that is gone altogether.
        fs::remove_file(&path).unwrap();
        assert!(!verify(dir.path(), None).unwrap().is_sound());
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_chain_goes_on() {
        let (dir, log) = filled(MAX_FILE, 3);
        drop(log);
        let path = dir.path().join(name(1));
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"hash\":\"ab").unwrap();
        let mut log = AuditLog::open(dir.path()).unwrap();
        log.append(&[event(3)], Timestamp::UNIX_EPOCH).unwrap();
        let report = verify(dir.path(), None).unwrap();
        assert!(report.is_sound() && report.entries == 4, "{report:?}");
    }

    #[test]
    fn files_are_limited_in_size_and_number_and_the_chain_still_holds() {
        for (entries, expect) in [
            (MAX_FILES, MAX_FILES),
            (MAX_FILES + 1, MAX_FILES),
            (MAX_FILES * 10, MAX_FILES),
        ] {
            // Each file is full after one entry.
            let (dir, _log) = filled(1, entries);
            assert_eq!(files(dir.path()).unwrap().len(), expect, "{entries}");
            let report = verify(dir.path(), None).unwrap();
            assert!(report.is_sound(), "{entries}: {report:?}");
        }
        // A file taken out of the middle is noticed.
        let (dir, _log) = filled(1, 6);
        fs::remove_file(&files(dir.path()).unwrap()[2]).unwrap();
        assert_eq!(verify(dir.path(), None).unwrap().faults.len(), 1);
        // So is the oldest, which only the log itself may take away.
        let (dir, _log) = filled(1, MAX_FILES + 3);
        fs::remove_file(&files(dir.path()).unwrap()[0]).unwrap();
        assert_eq!(verify(dir.path(), None).unwrap().faults.len(), 1);
    }

    #[test]
    fn a_full_disk_leaves_the_chain_whole() {
        let (dir, mut log) = filled(MAX_FILE, 2);
        // A file that cannot be written stands for it.
        log.file = File::open(&log.path).unwrap();
        assert!(log.append(&[event(9)], Timestamp::UNIX_EPOCH).is_err());
        let mut log = AuditLog::open(dir.path()).unwrap();
        log.append(&[event(2)], Timestamp::UNIX_EPOCH).unwrap();
        let report = verify(dir.path(), None).unwrap();
        assert!(report.is_sound() && report.entries == 3);
    }

    #[test]
    fn an_endless_line_is_a_fault_and_no_memory() {
        let (dir, _log) = filled(MAX_FILE, 1);
        let path = dir.path().join(name(1));
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&vec![b'x'; MAX_LINE * 10]).unwrap();
        assert!(!verify(dir.path(), None).unwrap().faults.is_empty());
        AuditLog::open(dir.path()).unwrap();
    }
}
