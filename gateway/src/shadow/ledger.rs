//! The ledger: one JSON object a line, in two files that take turns.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use wangge_protocol::EventKind;

/// Size at which the file becomes the old one and a new one is begun; so a ledger never takes
/// more than twice this.
pub const MAX_BYTES: u64 = 1 << 20;
const CURRENT: &str = "ledger.jsonl";
const OLD: &str = "ledger.1.jsonl";

/// What is compared with the live side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// A second model, with the same zones and rules.
    Model,
    /// A zone that is only tried, with the live zones of its kind on the same camera.
    Zone,
}

/// Whose alert it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Live,
    Shadow,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Line {
    /// An alert that was, or would have been; written when it is over.
    Alert {
        /// The station's calendar day on which it was raised, e.g. `2026-11-26`.
        day: String,
        compared: Compared,
        side: Side,
        camera: String,
        zone: String,
        kind: EventKind,
        /// RFC 3339; when the condition began.
        since: String,
        /// Longest stay that was seen, seconds of media time.
        dwell_s: f64,
        /// The other side has one at the same time and place.
        matched: bool,
        label: String,
        score: f32,
    },
    /// How often both models looked.
    Looks {
        day: String,
        camera: String,
        live: u64,
        shadow: u64,
    },
}

impl Line {
    pub fn day(&self) -> &str {
        match self {
            Line::Alert { day, .. } | Line::Looks { day, .. } => day,
        }
    }
}

/// The folder with both files.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
}

/// What was read of a ledger.
#[derive(Debug, Default)]
pub struct Contents {
    pub lines: Vec<Line>,
    /// Lines that could not be read, as after a power cut.
    pub damaged: u64,
}

impl Ledger {
    pub fn new(folder: PathBuf) -> Self {
        Ledger { folder }
    }

    /// Adds lines. Statistics, so nothing is synced: a power cut may cost the last ones.
    pub fn append(&self, lines: &[Line]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let current = self.folder.join(CURRENT);
        let size = fs::metadata(&current).map_or(0, |m| m.len());
        if size > 0 && size + text.len() as u64 > MAX_BYTES {
            fs::rename(&current, self.folder.join(OLD))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(current);
        file?.write_all(&text)
    }

    /// Reads both files, the older first.
    pub fn read(&self) -> io::Result<Contents> {
        let mut contents = Contents::default();
        for name in [OLD, CURRENT] {
            let bytes = match fs::read(self.folder.join(name)) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                match serde_json::from_slice(line) {
                    Ok(line) => contents.lines.push(line),
                    Err(_) => contents.damaged += 1,
                }
            }
        }
        Ok(contents)
    }
}
