//! A node's signed image, as a file (`.wgn`) and over the bus: a manifest, then the raw binary.
//!
//! | bytes | what, high byte first |
//! |---|---|
//! | 0..4 | `WGNI` |
//! | 4 | format: 1 |
//! | 5 | flags: bit 0 is signed for development; the others are 0 |
//! | 6..8 | kinds of nodes that it serves: bit N−1 is [`NodeKind`] N |
//! | 8..10 | board it is for: family, revision |
//! | 10..12 | firmware version: major, minor |
//! | 12..16 | address in flash for which it is linked |
//! | 16..20 | counter: rises with every release |
//! | 20..24 | length of the binary, bytes |
//! | 24..56 | SHA-256 of the binary |
//! | 56..64 | key: the first 8 bytes of the SHA-256 of the public key |
//! | 64..128 | Ed25519 signature over [`DOMAIN`] and bytes 0..64 |
//!
//! The signature covers the binary by its hash, so a node can refuse an image before it takes a
//! single block of it. The feature `image` adds what checks and signs; without it this module
//! only reads and writes.

use super::{NodeKind, UpdateError};

/// Bytes of a manifest; as many as a block of an update.
pub const MANIFEST: usize = 128;
/// Bytes of it that are signed.
const SIGNED: usize = 64;
/// What stands before the signed bytes, so that no signature for another purpose fits.
pub const DOMAIN: [u8; 22] = *b"wangge node image, v1\n";
const MAGIC: [u8; 4] = *b"WGNI";
const FORMAT: u8 = 1;
const DEVELOPMENT: u8 = 1;

/// First 8 bytes of the SHA-256 of a public key.
pub type KeyId = [u8; 8];

/// The key of development images, whose secret everybody has; a release trusts it nowhere.
pub const DEV_KEY_ID: KeyId = [0x35, 0xD8, 0x3F, 0xD2, 0x4F, 0x2B, 0x20, 0x69];

/// What an image says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Signed for development.
    pub development: bool,
    /// Kinds of nodes that it serves: bit N−1 is [`NodeKind`] N.
    pub kinds: u16,
    /// Board family and revision.
    pub hardware: u16,
    /// Firmware version: major and minor byte.
    pub firmware: u16,
    /// Address in flash for which the binary is linked.
    pub address: u32,
    /// Rises with every release.
    pub counter: u32,
    /// Of the binary, bytes.
    pub length: u32,
    /// SHA-256 of the binary.
    pub hash: [u8; 32],
    /// Who signed it; zeros if nobody.
    pub key: KeyId,
    /// Ed25519; zeros if nobody signed.
    pub signature: [u8; 64],
}

impl Manifest {
    /// Reads one; the signature is not checked.
    ///
    /// # Errors
    /// [`UpdateError::Length`] for fewer than [`MANIFEST`] bytes, [`UpdateError::NotAnImage`],
    /// [`UpdateError::Format`], [`UpdateError::Product`] if it serves no kind that is known here.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UpdateError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(UpdateError::NotAnImage);
        }
        let bytes: &[u8; MANIFEST] = bytes.first_chunk().ok_or(UpdateError::Length)?;
        if bytes[4] != FORMAT || bytes[5] & !DEVELOPMENT != 0 {
            return Err(UpdateError::Format);
        }
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| super::long([short(at), short(at + 2)]);
        let mut manifest = Manifest {
            development: bytes[5] & DEVELOPMENT != 0,
            kinds: short(6),
            hardware: short(8),
            firmware: short(10),
            address: long(12),
            counter: long(16),
            length: long(20),
            hash: [0; 32],
            key: [0; 8],
            signature: [0; 64],
        };
        manifest.hash.copy_from_slice(&bytes[24..56]);
        manifest.key.copy_from_slice(&bytes[56..64]);
        manifest.signature.copy_from_slice(&bytes[SIGNED..]);
        if NodeKind::ALL.iter().all(|kind| !manifest.serves(*kind)) {
            return Err(UpdateError::Product);
        }
        if manifest.length == 0 {
            return Err(UpdateError::Length);
        }
        Ok(manifest)
    }

    /// As it stands in a file.
    pub fn to_bytes(&self) -> [u8; MANIFEST] {
        let mut bytes = [0; MANIFEST];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = FORMAT;
        bytes[5] = if self.development { DEVELOPMENT } else { 0 };
        bytes[6..8].copy_from_slice(&self.kinds.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.hardware.to_be_bytes());
        bytes[10..12].copy_from_slice(&self.firmware.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.address.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.counter.to_be_bytes());
        bytes[20..24].copy_from_slice(&self.length.to_be_bytes());
        bytes[24..56].copy_from_slice(&self.hash);
        bytes[56..64].copy_from_slice(&self.key);
        bytes[SIGNED..].copy_from_slice(&self.signature);
        bytes
    }

    /// Whether it is for nodes of this kind.
    pub const fn serves(&self, kind: NodeKind) -> bool {
        self.kinds & kind_bit(kind) != 0
    }

    /// What the signature is over.
    pub fn signed(&self) -> [u8; DOMAIN.len() + SIGNED] {
        let mut message = [0; DOMAIN.len() + SIGNED];
        message[..DOMAIN.len()].copy_from_slice(&DOMAIN);
        message[DOMAIN.len()..].copy_from_slice(&self.to_bytes()[..SIGNED]);
        message
    }
}

/// The bit of [`Manifest::kinds`] for a kind.
pub const fn kind_bit(kind: NodeKind) -> u16 {
    1 << (kind as u16 - 1)
}

/// An image file's manifest and binary, of the length that the manifest says; neither hash nor
/// signature is checked.
///
/// # Errors
/// As [`Manifest::from_bytes`], and [`UpdateError::Length`] for a file that is cut short or has
/// more than the binary.
pub fn split(file: &[u8]) -> Result<(Manifest, &[u8]), UpdateError> {
    let manifest = Manifest::from_bytes(file)?;
    let binary = file.get(MANIFEST..).unwrap_or_default();
    if usize::try_from(manifest.length) != Ok(binary.len()) {
        return Err(UpdateError::Length);
    }
    Ok((manifest, binary))
}

#[cfg(feature = "image")]
mod trust;
#[cfg(feature = "image")]
pub use trust::{Hasher, SecretKey, open, public_key_id};

#[cfg(all(test, feature = "image"))]
mod tests;
