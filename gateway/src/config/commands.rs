//! What a platform may do to the station.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

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

    /// From its 32 bytes in base64url, 43 letters.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(CommandKey::new(bytes.try_into().ok()?))
    }
}

impl fmt::Debug for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommandKey").field(&self.id).finish()
    }
}
