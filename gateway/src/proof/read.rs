//! Finds messages and pictures in what a platform or a station stored.
//!
//! - `events.jsonl` of the reference receiver: a line holds `received`, `id`, `type`, `sha256` and
//!   `body`, the message as a string.
//! - Another `.jsonl` file with a message on each line.
//! - Any other file: one message, exactly as it was received; an end of line after it is not
//!   taken for a part of it.
//! - A directory: its `events.jsonl` if there is one; what its `index.jsonl` names (`file`) if
//!   there is that; else every `.json` file in it.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    message::sha256,
    verify::{Noted, Picture, Stored, Verifier},
};

/// Longest line and largest message that is read, bytes; ours have 3.5 KB, and twice that as a
/// string in a line.
pub const MAX_LINE: usize = 1 << 20;
/// Largest picture that is read, bytes.
const MAX_PICTURE: u64 = 64 << 20;
/// The reference receiver's file.
const EVENTS: &str = "events.jsonl";
/// The file of an export that names the others.
const INDEX: &str = "index.jsonl";

/// A file or directory cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct ReadError {
    pub path: PathBuf,
    pub error: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ReadError + '_ {
    move |error| ReadError {
        path: path.to_owned(),
        error,
    }
}

/// What may stand in a line beside or instead of a message.
#[derive(Debug, Deserialize)]
struct Line {
    received: Option<u64>,
    id: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    sha256: Option<String>,
    body: Option<String>,
    /// Of an export: where the body is, below the index.
    file: Option<PathBuf>,
}

impl Line {
    fn noted(&mut self) -> Noted {
        Noted {
            id: self.id.take(),
            event_type: self.event_type.take(),
            sha256: self.sha256.take(),
            received: self.received.take(),
        }
    }
}

/// Hands every message in `path` to the verifier.
///
/// # Errors
/// A file or directory cannot be read. A line that is no message is the verifier's matter.
pub fn read(path: &Path, into: &mut Verifier<'_>) -> Result<(), ReadError> {
    if !path.is_dir() {
        return read_file(path, into);
    }
    for name in [EVENTS, INDEX] {
        let file = path.join(name);
        if file.is_file() {
            return read_file(&file, into);
        }
    }
    let mut files: Vec<_> = fs::read_dir(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(at(path))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    if files.is_empty() {
        let why = "it holds no events.jsonl, no index.jsonl and no .json file";
        return Err(at(path)(io::Error::new(io::ErrorKind::NotFound, why)));
    }
    for file in files {
        read_file(&file, into)?;
    }
    Ok(())
}

fn read_file(path: &Path, into: &mut Verifier<'_>) -> Result<(), ReadError> {
    if path.extension().is_some_and(|e| e == "jsonl") {
        return read_lines(path, into);
    }
    match whole(path, MAX_LINE as u64).map_err(at(path))? {
        Some(bytes) => into.take(&Stored {
            place: path.display().to_string(),
            bytes,
            noted: None,
        }),
        None => into.unreadable(&path.display().to_string(), &too_long()),
    }
    Ok(())
}

fn too_long() -> String {
    format!("it is longer than {MAX_LINE} bytes, which no message of ours is")
}

fn read_lines(path: &Path, into: &mut Verifier<'_>) -> Result<(), ReadError> {
    let mut file = BufReader::new(File::open(path).map_err(at(path))?);
    for number in 1_u64.. {
        let mut line = Vec::new();
        let read = file
            .by_ref()
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line);
        if read.map_err(at(path))? == 0 {
            return Ok(());
        }
        let place = format!("{} line {number}", path.display());
        if line.len() > MAX_LINE {
            into.unreadable(&place, &too_long());
            file.skip_until(b'\n').map_err(at(path))?;
            continue;
        }
        trim(&mut line);
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice::<Line>(&line) {
            Ok(mut found) => match (found.body.take(), found.file.take()) {
                (Some(body), _) => into.take(&Stored {
                    place,
                    bytes: body.into_bytes(),
                    noted: Some(found.noted()),
                }),
                (None, Some(file)) => exported(path, &file, place, found.noted(), into),
                (None, None) => into.take(&Stored {
                    place,
                    bytes: line,
                    noted: None,
                }),
            },
            Err(why) => into.unreadable(&place, &format!("it is no line of a store: {why}")),
        }
    }
    Ok(())
}

/// A body that an index names; only below the index, whatever it says.
fn exported(index: &Path, file: &Path, place: String, noted: Noted, into: &mut Verifier<'_>) {
    use std::path::Component;
    if !file
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return into.unreadable(&place, "it names a file outside of the export");
    }
    let path = index.parent().unwrap_or(Path::new(".")).join(file);
    match whole(&path, MAX_LINE as u64) {
        Ok(Some(bytes)) => into.take(&Stored {
            place: path.display().to_string(),
            bytes,
            noted: Some(noted),
        }),
        Ok(None) => into.unreadable(&place, &too_long()),
        Err(why) => into.unreadable(&place, &format!("{}: {why}", path.display())),
    }
}

/// A file's bytes without the end of its line; `None` if there are more than `most`.
fn whole(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Ok(None);
    }
    trim(&mut bytes);
    Ok(Some(bytes))
}

fn trim(line: &mut Vec<u8>) {
    while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        line.pop();
    }
}

/// Looks at a picture in a directory: `<sha256>.<any ending>` or without one, there or on a shelf
/// of its first two digits, as stations keep them.
pub fn picture(dir: &Path, sha: &str) -> Picture {
    if sha.len() != 64 || !sha.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Picture::Missing;
    }
    let shelf = dir.join(&sha[..2]);
    let mut found = Picture::Missing;
    for dir in [dir, &shelf] {
        for ending in ["", ".jpg", ".png", ".bin"] {
            let path = dir.join(format!("{sha}{ending}"));
            let Ok(file) = File::open(&path) else {
                continue;
            };
            let mut bytes = Vec::new();
            let read = file.take(MAX_PICTURE + 1).read_to_end(&mut bytes);
            if read.is_ok() && sha256(&bytes) == sha {
                return Picture::Sound;
            }
            found = Picture::Changed;
        }
    }
    found
}

/// The directory of pictures beside a store, if there is one.
pub fn pictures_beside(path: &Path) -> Option<PathBuf> {
    let dir = match path.is_dir() {
        true => path,
        false => path.parent()?,
    };
    let is_store = path.is_dir() || path.file_name().is_some_and(|n| n == EVENTS || n == INDEX);
    Some(dir.join("evidence")).filter(|dir| is_store && dir.is_dir())
}
