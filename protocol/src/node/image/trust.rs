//! What checks and signs images.

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use sha2::{Digest, Sha256};

use super::{DEV_KEY_ID, KeyId, MANIFEST, Manifest, split};
use crate::node::UpdateError;

/// SHA-256 over a binary that comes in parts.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all bytes so far.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// How a public key is called in a manifest.
pub fn public_key_id(key: &[u8; 32]) -> KeyId {
    let hash = sha256(key);
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    id
}

impl Manifest {
    /// Whether one of `keys` signed it. `development` says whether development images are
    /// welcome; a release says no. A key of zeros is no key.
    ///
    /// # Errors
    /// [`UpdateError::Unsigned`], [`UpdateError::Development`], [`UpdateError::UnknownKey`],
    /// [`UpdateError::Signature`].
    // Its 6 KiB of stack are taken only while it runs.
    #[inline(never)]
    pub fn check(&self, keys: &[[u8; 32]], development: bool) -> Result<(), UpdateError> {
        if self.key == [0; 8] || self.signature == [0; 64] {
            return Err(UpdateError::Unsigned);
        }
        if !development && (self.development || self.key == DEV_KEY_ID) {
            return Err(UpdateError::Development);
        }
        let signer = keys
            .iter()
            .find(|key| **key != [0; 32] && public_key_id(key) == self.key)
            .ok_or(UpdateError::UnknownKey)?;
        PublicKey::new(*signer)
            .verify(self.signed(), &Signature::new(self.signature))
            .map_err(|_| UpdateError::Signature)
    }
}

/// A file's manifest and binary, both checked; see [`Manifest::check`].
///
/// # Errors
/// As [`split`] and [`Manifest::check`], and [`UpdateError::Hash`].
pub fn open<'f>(
    file: &'f [u8],
    keys: &[[u8; 32]],
    development: bool,
) -> Result<(Manifest, &'f [u8]), UpdateError> {
    let (manifest, binary) = split(file)?;
    manifest.check(keys, development)?;
    if sha256(binary) != manifest.hash {
        return Err(UpdateError::Hash);
    }
    Ok((manifest, binary))
}

/// A key that signs.
pub struct SecretKey(KeyPair);

impl core::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SecretKey({:02x?})", self.id())
    }
}

impl SecretKey {
    /// From its 32 secret bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        SecretKey(KeyPair::from_seed(Seed::new(seed)))
    }

    /// The one that everybody has, for development.
    pub fn development() -> Self {
        SecretKey::from_seed(sha256(
            b"wangge node images, development: this key is no secret",
        ))
    }

    /// What a node trusts.
    pub fn public(&self) -> [u8; 32] {
        *self.0.pk
    }

    /// How it is called in a manifest.
    pub fn id(&self) -> KeyId {
        public_key_id(&self.public())
    }

    /// The manifest of `binary`: its length, hash, key and signature are filled in here. With
    /// the development key it is marked so.
    ///
    /// # Errors
    /// [`UpdateError::Length`] for a binary that is empty or longer than 4 GiB.
    pub fn sign(&self, manifest: Manifest, binary: &[u8]) -> Result<[u8; MANIFEST], UpdateError> {
        let length = u32::try_from(binary.len()).map_err(|_| UpdateError::Length)?;
        if length == 0 {
            return Err(UpdateError::Length);
        }
        let mut manifest = Manifest {
            length,
            hash: sha256(binary),
            key: self.id(),
            development: manifest.development || self.id() == DEV_KEY_ID,
            ..manifest
        };
        manifest.signature = *self.0.sk.sign(manifest.signed(), None);
        Ok(manifest.to_bytes())
    }
}
