//! What waits for stations: verdicts and commands without an answer.
//!
//! One file each, `outbox/<station>/<kind>-<hash of its id>.json`, put there by
//! `wangge-platform send` and deleted when the station's answer is stored. Files are the whole
//! interface, so that several programs may put them and a restart forgets nothing.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use tracing::warn;
use wangge_protocol::{Answer, AnswerAbout, Command, Inbox, Verdict};

use crate::sha256;

/// Verdicts and commands that a station gets at once.
pub const TOGETHER: usize = 100;

/// See the module.
#[derive(Clone, Debug)]
pub struct Outbox {
    dir: PathBuf,
}

/// Why nothing was put.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("\"{0}\" is no station's id: letters, digits, `.`, `_` and `-`")]
    Station(String),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl Outbox {
    /// The outbox of a store; it need not exist yet.
    pub fn of(store: &Path) -> Self {
        Outbox {
            dir: store.join("outbox"),
        }
    }

    /// Puts a verdict for a station; durable when this returns.
    ///
    /// # Errors
    /// [`OutboxError`]
    pub fn verdict(&self, station: &str, verdict: &Verdict) -> Result<(), OutboxError> {
        self.put(station, AnswerAbout::Verdict, &verdict.id, verdict)
    }

    /// Puts a command for a station; durable when this returns.
    ///
    /// # Errors
    /// [`OutboxError`]
    pub fn command(&self, station: &str, command: &Command) -> Result<(), OutboxError> {
        self.put(station, AnswerAbout::Command, &command.id, command)
    }

    fn put<T: Serialize>(
        &self,
        station: &str,
        about: AnswerAbout,
        id: &str,
        entry: &T,
    ) -> Result<(), OutboxError> {
        if !is_station(station) {
            return Err(OutboxError::Station(station.to_owned()));
        }
        let dir = self.dir.join(station);
        let path = dir.join(name(about, id));
        let part = path.with_extension("part");
        let written = fs::create_dir_all(&dir).and_then(|()| {
            let mut file = File::create(&part)?;
            file.write_all(&serde_json::to_vec(entry)?)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(&dir)?.sync_all()
        });
        written.map_err(|error| OutboxError::Io { path, error })
    }

    /// What waits for a station, the oldest first.
    pub fn inbox(&self, station: &str) -> Inbox {
        if !is_station(station) {
            return Inbox::default();
        }
        let dir = self.dir.join(station);
        let mut files: Vec<_> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        let age = |path: &PathBuf| path.metadata().and_then(|m| m.modified()).ok();
        files.sort_by_cached_key(|path| (age(path), path.clone()));
        let mut inbox = Inbox::default();
        for path in files.iter().take(TOGETHER) {
            let kind = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            if kind.starts_with(slug(AnswerAbout::Verdict)) {
                inbox.verdicts.extend(read(path));
            } else {
                inbox.commands.extend(read(path));
            }
        }
        inbox
    }

    /// Stations for which something waits.
    pub fn stations(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| is_station(name)).collect()
    }

    /// A station answered: its entry waits no longer.
    pub fn answered(&self, source: &str, answer: &Answer) {
        let Some(station) = source
            .strip_prefix("/stations/")
            .filter(|id| is_station(id))
        else {
            return;
        };
        let path = self
            .dir
            .join(station)
            .join(name(answer.about, &answer.in_reply_to));
        match fs::remove_file(&path) {
            Ok(()) => {}
            // A repeat, or of somebody else's making.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => warn!("{}: {e}", path.display()),
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let entry = fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    match entry {
        Ok(entry) => Some(entry),
        Err(e) => {
            warn!("{}: {e}", path.display());
            None
        }
    }
}

fn slug(about: AnswerAbout) -> &'static str {
    match about {
        AnswerAbout::Verdict => "verdict",
        AnswerAbout::Command => "command",
    }
}

fn name(about: AnswerAbout, id: &str) -> String {
    format!("{}-{}.json", slug(about), sha256(id.as_bytes()))
}

/// As the stations' own files ask; it becomes a folder's name.
fn is_station(id: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=64).contains(&id.len()) && id.bytes().all(letters) && !id.starts_with('.')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test that cannot go on must fail

    use wangge_protocol::{AnswerResult, VerdictStatus};

    use super::*;

    fn verdict(id: &str) -> Verdict {
        Verdict {
            id: id.into(),
            alert_id: "01936b2a-7c4e-7a10-8b1c-0123456789ac".into(),
            status: VerdictStatus::Filed,
            reason: None,
            case_no: None,
            picture: None,
            by: None,
            at: "2026-11-26T02:00:00Z".into(),
        }
    }

    #[test]
    fn an_entry_waits_until_it_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::of(dir.path());
        assert_eq!(outbox.inbox("s1"), Inbox::default());
        outbox.verdict("s1", &verdict("../v/1")).unwrap();
        outbox.verdict("s1", &verdict("../v/1")).unwrap();
        outbox.verdict("s2", &verdict("v1")).unwrap();
        assert_eq!(outbox.inbox("s1").verdicts, [verdict("../v/1")]);
        let mut answer = Answer {
            in_reply_to: "../v/1".into(),
            about: AnswerAbout::Command,
            alert_id: None,
            result: AnswerResult::Applied,
            reason: None,
            evidence: Vec::new(),
            at: "2026-11-26T02:00:01Z".into(),
        };
        outbox.answered("/stations/s1", &answer);
        assert_eq!(
            outbox.inbox("s1").verdicts.len(),
            1,
            "it was about a command"
        );
        answer.about = AnswerAbout::Verdict;
        outbox.answered("/stations/s1", &answer);
        outbox.answered("/stations/s1", &answer);
        assert_eq!(outbox.inbox("s1"), Inbox::default());
        let mut stations = outbox.stations();
        stations.sort();
        assert_eq!(stations, ["s1", "s2"]);
    }

    #[test]
    fn nothing_is_put_outside() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::of(dir.path());
        for bad in ["", "..", "a/b", ".hidden", "站", &"s".repeat(65)] {
            assert!(outbox.verdict(bad, &verdict("v")).is_err(), "{bad}");
            assert_eq!(outbox.inbox(bad), Inbox::default());
        }
    }
}
