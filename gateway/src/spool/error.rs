//! What can go wrong with the outbox, in words for the one who has to act.

use std::{io, path::PathBuf};

/// Why the outbox did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// The file system refused before the outbox was open.
    #[error("{}: {why} (while trying to {what}); check that the directory exists, is writable by this user and has free space", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        why: String,
        /// The kind, for those who wait until it passes.
        kind: io::ErrorKind,
    },
    /// Another process owns the directory.
    #[error("{} is in use by process {}; stop it first", path.display(), pid.map_or("(unknown)".into(), |pid| pid.to_string()))]
    Held {
        /// `storage.path`.
        path: PathBuf,
        /// Its holder, as it wrote itself down.
        pid: Option<u32>,
    },
    /// Written by a newer version.
    #[error("{} was written by a newer version (layout {found}, this one knows 1); install that version again", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its layout version.
        found: u8,
    },
    /// There is nothing at the path.
    #[error("{} holds no spool", .0.display())]
    Missing(PathBuf),
    /// A message or state entry over its limit.
    #[error("{what} of {id:?} is {bytes} bytes, the limit is {limit}; send less per message")]
    TooLarge {
        /// Event id or state key.
        id: String,
        /// Which part.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A name over its limit.
    #[error("{what} of {len} is over the limit of {limit}")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// A picture's name is no SHA-256.
    #[error("{0:?} is not a SHA-256 in 64 lower-case hex digits")]
    BadHash(String),
    /// A record names a picture that is not in the evidence store (R4).
    #[error("picture {0} is not in the evidence store; put it there before the record")]
    NoEvidence(String),
    /// The lane names an uplink that was not given to `open`.
    #[error("there is no uplink with index {0}")]
    NoUplink(u8),
    /// More uplinks, old ones included, than a lane can name.
    #[error("{0} uplinks, old ones that still hold records included, are over the limit of 255")]
    TooManyUplinks(usize),
    /// No space left for this; nothing of the batch was taken.
    #[error("the spool is full: {0}")]
    Full(String),
    /// An I/O error; the outbox takes nothing until it could be opened again.
    #[error("the spool refuses: {0}")]
    Refusing(String),
    /// The outbox was closed.
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    /// Whether it is the record itself that can never be stored, and not the disk's fault.
    pub fn is_of_the_record(&self) -> bool {
        matches!(
            self,
            SpoolError::TooLarge { .. }
                | SpoolError::TooLong { .. }
                | SpoolError::BadHash(_)
                | SpoolError::NoEvidence(_)
                | SpoolError::NoUplink(_)
        )
    }

    /// An error of the file system about `path`.
    pub(super) fn io(path: &std::path::Path, what: &'static str, error: &io::Error) -> Self {
        SpoolError::Io {
            path: path.to_owned(),
            what,
            why: error.to_string(),
            kind: error.kind(),
        }
    }
}
