//! Which picture goes when.
//!
//! A picture that a record names stays. When its last record has gone, its term begins: that of
//! the alert's kind if any receiver confirmed the alert, `unconfirmed` if the alert was given up.
//! A picture that no record ever named goes after [`ORPHAN_GRACE`], a sealed original after its own
//! term whatever happened to its alert. Terms are measured in the station's [`Age`], so that a
//! clock that jumps deletes nothing.
//!
//! What is known of each file is kept in `retention`, one line a file. It is written after the
//! fact: what a power cut takes of it costs a longer stay, never a shorter one.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use wangge_protocol::EventKind;

use super::{
    age::{Age, Uptime},
    evidence::{EvidenceError, EvidenceStore, ORPHAN_GRACE, TOUCHING, is_delivered, visit},
    sled_engine::sync_dir,
    store::Released,
};
use crate::{
    audit::{Audit, Event, What},
    config::Retention,
};

/// Files deleted in one go: their entries share a sync.
const GROUP: usize = 512;

/// What happened to a picture's alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A receiver has one of them, and others may still wait.
    Confirmed,
    /// No record names it yet, or any more without being known why.
    Unnamed,
    /// All are gone, and a receiver has one of them.
    Delivered,
    /// All are gone, and no receiver has one.
    GivenUp,
    /// A sealed original.
    Sealed,
}

impl State {
    const ALL: [(State, &'static str); 5] = [
        (State::Confirmed, "confirmed"),
        (State::Unnamed, "unnamed"),
        (State::Delivered, "delivered"),
        (State::GivenUp, "given_up"),
        (State::Sealed, "sealed"),
    ];

    fn word(self) -> &'static str {
        let found = State::ALL.iter().find(|(state, _)| *state == self);
        found.map_or("", |(_, word)| word)
    }
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    state: State,
    kind: Option<EventKind>,
    /// The station's age when this state began, whole seconds.
    since: Duration,
    /// The file's time of change then, nanoseconds: whoever stores the picture again touches it.
    touched: i128,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files deleted.
    pub deleted: u64,
}

/// Keeps the terms.
#[derive(Debug)]
pub struct Keeping {
    path: PathBuf,
    sealed: PathBuf,
    terms: Retention,
    age: Age,
    known: HashMap<String, Known>,
    audit: Arc<Mutex<Audit>>,
}

impl Keeping {
    /// Of the storage `root`.
    pub fn open(root: &Path, terms: Retention, audit: Arc<Mutex<Audit>>, now: Uptime) -> Self {
        let path = root.join("retention");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut known = HashMap::new();
        // A later line counts, and a torn one does not.
        known.extend(text.lines().filter_map(parse));
        Keeping {
            path,
            sealed: root.join("sealed"),
            terms,
            age: Age::open(&root.join("age"), now),
            known,
            audit,
        }
    }

    /// Records that named pictures have gone.
    pub fn released(&mut self, evidence: &EvidenceStore, released: Vec<Released>, now: Uptime) {
        let age = self.age.at(now);
        let mut lines = String::new();
        for Released {
            hash,
            kind,
            is_confirmed,
            is_last,
        } in released
        {
            if is_last {
                evidence.release(&hash);
            }
            let path = evidence.path(&hex::encode(hash));
            let name = name_of(&path);
            let before = self.known.get(&name);
            let confirmed = is_confirmed
                || before.is_some_and(|b| matches!(b.state, State::Confirmed | State::Delivered));
            let state = match (is_last, confirmed) {
                (true, true) => State::Delivered,
                (true, false) => State::GivenUp,
                (false, true) => State::Confirmed,
                (false, false) => continue,
            };
            let known = Known {
                state,
                kind: kind.or(before.and_then(|b| b.kind)),
                since: whole(age),
                touched: fs::metadata(&path).map_or(0, |meta| touched(&meta)),
            };
            lines.push_str(&line(&name, &known));
            self.known.insert(name, known);
        }
        if lines.is_empty() {
            return;
        }
        let appended = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(lines.as_bytes()));
        if let Err(error) = appended {
            tracing::warn!(%error, "terms of pictures are not written yet; the next sweep does it");
        }
    }

    /// The station's age.
    pub fn age(&mut self, now: Uptime) -> Duration {
        self.age.at(now)
    }

    /// Deletes pictures whose alerts are all gone, before their term, the oldest first, until
    /// about `bytes` are free; returns how many are. Sealed originals are none of them.
    ///
    /// # Errors
    /// [`EvidenceError::Io`] when a directory cannot be read.
    pub fn make_room(
        &mut self,
        evidence: &EvidenceStore,
        named: impl Fn(&[u8; 32]) -> bool,
        bytes: u64,
        now: Uptime,
    ) -> Result<u64, EvidenceError> {
        let age = whole(self.age.at(now));
        let mut gone = Vec::new();
        evidence.each(|path, meta, hash| {
            let known = self.known.get(&name_of(path));
            let is_over = match known.map(|known| known.state) {
                Some(state) => matches!(state, State::Delivered | State::GivenUp),
                None => is_delivered(&meta),
            };
            if is_over && hash.is_some_and(|hash| !named(&hash)) {
                let since = known.map_or(age, |known| known.since);
                gone.push((since, path.to_owned(), meta));
            }
            Ok(())
        })?;
        gone.sort_by_key(|(since, _, meta)| (*since, touched(meta)));
        let mut wanted = bytes;
        let mut due = Vec::new();
        for (_, path, meta) in gone {
            if wanted == 0 {
                break;
            }
            wanted = wanted.saturating_sub(meta.len());
            due.push((
                path,
                meta,
                "room was needed for what is not delivered".to_owned(),
            ));
        }
        let mut freed = 0;
        for group in due.chunks(GROUP) {
            for (path, length) in self.delete(group) {
                freed += length;
                self.known.remove(&name_of(path));
                evidence.forget(length);
            }
        }
        Ok(freed)
    }

    /// Deletes what is due. A file whose deletion cannot be noted in the audit log stays.
    ///
    /// # Errors
    /// [`EvidenceError::Io`] when a directory cannot be read.
    pub fn sweep(
        &mut self,
        evidence: &EvidenceStore,
        named: impl Fn(&[u8; 32]) -> bool,
        now: Uptime,
    ) -> Result<Swept, EvidenceError> {
        let age = whole(self.age.at(now));
        let mut due = Vec::new();
        let mut there = HashSet::new();
        let (mut bytes, mut files) = (0, 0);
        evidence.each(|path, meta, hash| {
            bytes += meta.len();
            files += 1;
            let name = name_of(path);
            there.insert(name.clone());
            if hash.is_some_and(|hash| named(&hash)) {
                // Only what it says of an earlier receipt is worth remembering.
                if self
                    .known
                    .get(&name)
                    .is_some_and(|k| k.state != State::Confirmed)
                {
                    self.known.remove(&name);
                }
                return Ok(());
            }
            let fresh = match is_delivered(&meta) {
                true => State::Delivered,
                false => State::Unnamed,
            };
            if let Some(why) = self.is_due(&name, &meta, fresh, age) {
                due.push((path.to_owned(), meta, why));
            }
            Ok(())
        })?;
        if self.sealed.is_dir() {
            let sealed = self.sealed.clone();
            visit(&sealed, |path, meta, _| {
                bytes += meta.len();
                files += 1;
                let name = name_of(path);
                there.insert(name.clone());
                if let Some(why) = self.is_due(&name, &meta, State::Sealed, age) {
                    due.push((path.to_owned(), meta, why));
                }
                Ok(())
            })?;
        }
        let mut swept = Swept::default();
        for group in due.chunks(GROUP) {
            for (path, length) in self.delete(group) {
                swept.deleted += 1;
                there.remove(&name_of(path));
                bytes = bytes.saturating_sub(length);
                files -= 1;
            }
        }
        evidence.set_held(bytes, files);
        self.known.retain(|name, _| there.contains(name));
        let saved = self.age.save().and_then(|()| self.save());
        if let Err(error) = saved {
            tracing::warn!(%error, "the terms of pictures could not be written; they may stay longer");
        }
        Ok(swept)
    }

    /// Why a file that no record names has to go now, if it has.
    fn is_due(
        &mut self,
        name: &str,
        meta: &fs::Metadata,
        fresh: State,
        age: Duration,
    ) -> Option<String> {
        let touched = touched(meta);
        let begin = || Known {
            state: fresh,
            kind: None,
            since: age,
            touched,
        };
        let known = self.known.entry(name.to_owned()).or_insert_with(begin);
        let stored_again = known.touched != touched && known.state != State::Sealed;
        // A receipt came, and how the last record went is not known.
        let undecided = known.state == State::Confirmed;
        // An age in the future: the count was lost and began anew.
        if stored_again || undecided || known.since > age {
            let state = match known.state {
                State::Confirmed => State::Delivered,
                _ if stored_again => fresh,
                state => state,
            };
            let kind = known.kind;
            *known = Known {
                state,
                kind,
                ..begin()
            };
        }
        let (term, what) = match known.state {
            State::Sealed => (self.terms.sealed, "sealed original"),
            State::Unnamed => (ORPHAN_GRACE, "named by no alert"),
            State::GivenUp => (self.terms.unconfirmed, "alert never confirmed"),
            State::Confirmed | State::Delivered => {
                let of_kind = known.kind.and_then(|kind| self.terms.kinds.get(&kind));
                (*of_kind.unwrap_or(&self.terms.default), "alert delivered")
            }
        };
        let passed = age - known.since;
        (passed > term).then(|| {
            format!(
                "{what}; its term of {} h is over",
                term.as_secs().div_ceil(3_600)
            )
        })
    }

    /// Notes, then deletes, then syncs; returns what is gone, with its length.
    fn delete<'d>(&self, due: &'d [(PathBuf, fs::Metadata, String)]) -> Vec<(&'d Path, u64)> {
        let events: Vec<_> = due
            .iter()
            .map(|(path, _, why)| {
                let name = name_of(path);
                let kind = self.known.get(&name).and_then(|known| known.kind);
                Event {
                    what: What::Deleted,
                    object: name,
                    kind: kind.map(|kind| kind.slug().to_owned()),
                    why: why.clone(),
                }
            })
            .collect();
        let noted = {
            let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
            audit.append(&events, Timestamp::now())
        };
        if let Err(error) = noted {
            tracing::error!(%error, "pictures stay beyond their term, because their deletion cannot be noted");
            return Vec::new();
        }
        let mut gone = Vec::new();
        let mut shelves = HashSet::new();
        for (path, meta, _) in due {
            let _guard = TOUCHING.lock().unwrap_or_else(PoisonError::into_inner);
            // Stored again in the meantime.
            if fs::metadata(path).is_ok_and(|now| touched(&now) != touched(meta)) {
                continue;
            }
            match fs::remove_file(path) {
                Ok(()) => {
                    gone.push((path.as_path(), meta.len()));
                    shelves.extend(path.parent());
                }
                Err(error) => {
                    tracing::error!(%error, picture = %path.display(), "cannot be deleted; the next sweep tries again");
                }
            }
        }
        for shelf in shelves {
            if let Err(error) = sync_dir(shelf) {
                tracing::error!(%error, "a deletion may come undone with the power");
            }
        }
        gone
    }

    fn save(&self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut lines: Vec<_> = self.known.iter().map(|(n, k)| line(n, k)).collect();
        lines.sort_unstable();
        let mut file = File::create(&new)?;
        file.write_all(lines.concat().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_dir)
    }
}

/// Terms are counted in whole seconds, as they are written.
fn whole(age: Duration) -> Duration {
    Duration::from_secs(age.as_secs())
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().replace(char::is_whitespace, "_")
}

fn touched(meta: &fs::Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

fn line(name: &str, known: &Known) -> String {
    let kind = known.kind.map_or("-", EventKind::slug);
    let (state, since) = (known.state.word(), known.since.as_secs());
    format!("{name} {state} {kind} {since} {}\n", known.touched)
}

fn parse(line: &str) -> Option<(String, Known)> {
    let mut parts = line.split(' ');
    let mut next = || parts.next();
    let name = next()?.to_owned();
    let word = next()?;
    let (state, _) = State::ALL.iter().find(|(_, known)| *known == word)?;
    let kind = match next()? {
        "-" => None,
        slug => Some(slug.parse().ok()?),
    };
    let since = Duration::from_secs(next()?.parse().ok()?);
    let touched = next()?.parse().ok()?;
    let known = Known {
        state: *state,
        kind,
        since,
        touched,
    };
    Some((name, known))
}

#[cfg(test)]
mod tests;
