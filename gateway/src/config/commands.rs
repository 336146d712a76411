//! What a platform may do to the station.

use std::{fmt, time::Duration};

use sha2::{Digest, Sha256};

use crate::proof::PublicKey;

/// What follows from verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// An alert whose condition still holds so long after the platform resolved or closed it is
    /// opened again.
    pub reopen_after: Duration,
}

/// Who may command the station, and how far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Nobody may when there is none.
    pub keys: Vec<CommandKey>,
    /// Longest time for which a rule may be silenced.
    pub max_silence: Duration,
}

/// The public half of a platform's Ed25519 key.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandKey {
    /// First 16 hex digits of the SHA-256 of the key: what commands name it by.
    pub id: String,
    pub public: [u8; 32],
}

impl CommandKey {
    pub fn new(public: [u8; 32]) -> Self {
        let hash = Sha256::digest(public);
        CommandKey {
            id: hex::encode(&hash[..8]),
            public,
        }
    }

    /// From any text of a public key: its 32 bytes in base64 or base64url, or PEM.
    pub fn parse(text: &str) -> Option<Self> {
        let key: PublicKey = text.parse().ok()?;
        Some(CommandKey::new(key.0))
    }
}

impl fmt::Debug for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommandKey").field(&self.id).finish()
    }
}
