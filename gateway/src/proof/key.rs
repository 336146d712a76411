//! The station's key: Ed25519, made once, kept beside the spool, never shown.
//!
//! `identity/key.pem` under the storage directory, PKCS#8 in PEM, readable by its owner alone.
//! It goes with the storage: whoever copies the storage copies the station's identity.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use super::handover::Lineage;

/// Bytes of a public key.
pub const PUBLIC_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Hex digits of a key's name.
pub const ID_DIGITS: usize = 16;
/// Largest file with a key that is read.
const MAX_FILE: u64 = 4_096;
/// RFC 8410 §4: what stands before the 32 bytes in a SubjectPublicKeyInfo.
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{}: {error} (while trying to {what})", path.display())]
    Io {
        path: PathBuf,
        what: &'static str,
        error: io::Error,
    },
    #[error(
        "{}: it is no Ed25519 key ({reason}); put the station's own key back from a copy, or move the file away for the station to make another, which the platform must then register",
        path.display()
    )]
    Unreadable { path: PathBuf, reason: String },
    #[error("the system gives no random bytes for a key")]
    NoRandom,
    /// Not the text of a public key.
    #[error("{0}")]
    Public(&'static str),
}

/// Where the key of a storage is.
pub fn key_file(storage: &Path) -> PathBuf {
    storage.join("identity").join("key.pem")
}

/// A station's pair of keys.
pub struct Identity {
    pair: Ed25519KeyPair,
    public: PublicKey,
    id: String,
    lineage: Lineage,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the key of a storage, or makes it where there is none. True if it was made now.
    ///
    /// # Errors
    /// The file system refuses, or the file holds something else: that is not replaced silently,
    /// because the platform would then refuse every alert of a key that it does not know.
    pub fn open(storage: &Path) -> Result<(Identity, bool), KeyError> {
        let path = key_file(storage);
        match Identity::read(storage) {
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                let (pem, _) = generate()?;
                store(&path, &pem)?;
                Ok((Identity::read(storage)?, true))
            }
            other => Ok((other?, false)),
        }
    }

    /// Reads the key of a storage.
    ///
    /// # Errors
    /// There is none, it may not be read, or it is no key.
    pub fn read(storage: &Path) -> Result<Identity, KeyError> {
        let path = key_file(storage);
        let io = |what| {
            let path = path.clone();
            move |error| KeyError::Io { path, what, error }
        };
        let mut text = String::new();
        let file = File::open(&path).map_err(io("read the station's key"))?;
        let mode = file.metadata().map_err(io("read the station's key"))?;
        file.take(MAX_FILE)
            .read_to_string(&mut text)
            .map_err(io("read the station's key"))?;
        let mut identity = Identity::from_pem(&text).map_err(|reason| KeyError::Unreadable {
            path: path.clone(),
            reason,
        })?;
        if mode.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others could read the station's key; that is mended, but whoever did can sign as this station");
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(io("protect the station's key"))?;
        }
        identity.lineage = Lineage::read(storage, &identity.public);
        Ok(identity)
    }

    fn from_pem(text: &str) -> Result<Identity, String> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|e| e.to_string())?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|e| e.to_string())?;
        let bytes = pair.public_key().as_ref().try_into();
        let public = PublicKey(bytes.map_err(|_| "its public half has another length")?);
        Ok(Identity {
            id: public.id(),
            public,
            pair,
            lineage: Lineage::default(),
        })
    }

    /// Its name in messages: [`PublicKey::id`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The half for the platform.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The keys before it.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Signs; the signature in base64url without padding.
    pub fn sign(&self, bytes: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(bytes))
    }
}

/// A new key in PEM, and its public half.
pub(super) fn generate() -> Result<(String, PublicKey), KeyError> {
    let der =
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoRandom)?;
    let pem = pem("PRIVATE KEY", der.as_ref());
    let made = Identity::from_pem(&pem).map_err(|_| KeyError::NoRandom)?;
    Ok((pem, made.public))
}

/// Writes a file whole or not at all, and durably.
pub(super) fn store(path: &Path, text: &str) -> Result<(), KeyError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let new = path.with_extension("new");
    let io = |error| KeyError::Io {
        path: path.to_owned(),
        what: "store the station's new key",
        error,
    };
    let made = DirBuilder::new().mode(0o700).create(dir);
    if let Err(error) = made
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(io(error));
    }
    // Left by a start that was cut off; the mode is given at creation only.
    let _ = fs::remove_file(&new);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| File::open(dir)?.sync_all())
        .and_then(|()| {
            dir.parent()
                .map_or(Ok(()), |top| File::open(top)?.sync_all())
        })
        .map_err(io)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (at, c) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem + &format!("\n-----END {label}-----\n")
}

/// The half that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; PUBLIC_BYTES]);

impl PublicKey {
    /// Its name in messages: the first 16 hex digits of the SHA-256 of its 32 bytes.
    pub fn id(&self) -> String {
        let mut id = super::message::sha256(&self.0);
        id.truncate(ID_DIGITS);
        id
    }

    /// SubjectPublicKeyInfo in PEM, as OpenSSL reads it.
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &[&SPKI[..], &self.0].concat())
    }

    /// Whether the signature (base64url without padding) is of these bytes, by this key.
    pub fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(bytes, &signature)
            .is_ok()
    }
}

/// The 32 bytes in base64, standard alphabet.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

/// Base64 or base64url of the 32 bytes, or PEM.
impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Public(
                "this is the secret half of a key, which belongs to its station alone; `wangge identity` prints the public half",
            ));
        }
        let base64 = match text.strip_prefix("-----BEGIN PUBLIC KEY-----") {
            Some(rest) => rest
                .trim_end()
                .trim_end_matches("-----END PUBLIC KEY-----")
                .split_whitespace()
                .collect(),
            None => text.to_owned(),
        };
        // Both alphabets, with padding or without: libraries and tools differ in it.
        let base64 = base64.replace('-', "+").replace('_', "/");
        let bytes = BASE64_STANDARD_NO_PAD.decode(base64.trim_end_matches('='));
        let bytes = bytes.map_err(|_| KeyError::Public("it is neither base64 nor PEM"))?;
        let bytes = bytes.strip_prefix(&SPKI).unwrap_or(&bytes);
        let bytes = bytes
            .try_into()
            .map_err(|_| KeyError::Public("it is not the 32 bytes of an Ed25519 public key"))?;
        Ok(PublicKey(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (first, new) = Identity::open(dir.path()).unwrap();
        assert!(new);
        let (again, new) = Identity::open(dir.path()).unwrap();
        assert!(!new);
        assert_eq!(first.public(), again.public());
        let path = key_file(dir.path());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        Identity::open(dir.path()).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(!format!("{first:?}").contains("pair"));
        let other = tempfile::tempdir().unwrap();
        let (other, _) = Identity::open(other.path()).unwrap();
        assert_ne!(first.public(), other.public());
    }

    #[test]
    fn a_damaged_key_is_not_replaced_silently() {
        let dir = tempfile::tempdir().unwrap();
        Identity::open(dir.path()).unwrap();
        let path = key_file(dir.path());
        for text in [
            "",
            "rubbish",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            fs::write(&path, text).unwrap();
            let error = Identity::open(dir.path()).unwrap_err().to_string();
            assert!(
                error.contains("key.pem") && error.contains("move the file away"),
                "{error}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    /// RFC 8032 §7.1, TEST 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let unhex = |text: &str| hex::decode(text).unwrap();
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let public = PublicKey(unhex(public).try_into().unwrap());
        let signature = unhex(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        assert!(public.verifies(&[0x72], &signature));
        assert!(!public.verifies(&[0x73], &signature));
        // Another spelling of the same bytes would be another message with the same seal.
        let last = signature.chars().last().unwrap();
        let other = char::from_u32(u32::from(last) + 1).unwrap();
        let spelled = format!("{}{other}", &signature[..signature.len() - 1]);
        assert!(!public.verifies(&[0x72], &spelled));
        assert!(!public.verifies(&[0x72], &format!("{signature}==")));
    }

    #[test]
    fn a_public_key_reads_back_from_both_its_texts() {
        let dir = tempfile::tempdir().unwrap();
        let (identity, _) = Identity::open(dir.path()).unwrap();
        let public = identity.public();
        for text in [public.to_string(), public.pem(), format!(" {public}\n")] {
            assert_eq!(&text.parse::<PublicKey>().unwrap(), public);
        }
        assert_eq!(public.id(), identity.id());
        assert_eq!(public.id().len(), ID_DIGITS);
        let signature = identity.sign(b"message");
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        let secret = fs::read_to_string(key_file(dir.path())).unwrap();
        let error = secret.parse::<PublicKey>().unwrap_err().to_string();
        assert!(error.contains("secret half"), "{error}");
        for text in [
            "",
            "AAAA",
            "not base64 at all",
            "-----BEGIN PUBLIC KEY-----",
        ] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
    }
}
