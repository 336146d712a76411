//! Sealing for the holder of a key: X25519 sealed boxes, as libsodium's `crypto_box_seal` makes
//! them.
//!
//! The gateway has the public half alone: what it seals it cannot open again. The secret half is
//! made and kept elsewhere. Both halves are written as text with a checksum, since a key that was
//! mistyped would lock its pictures for ever.
//!
//! A sealed file is one line, `wangge-sealed-1 RECIPIENT`, and the box: the maker's one-time public
//! key (32 bytes), a tag (16 bytes) and the encrypted bytes.

use std::{fmt, str::FromStr};

use crypto_box::{
    PublicKey, SalsaBox,
    aead::{Aead, OsRng},
};
use sha2::{Digest, Sha256};

/// Media type of a sealed picture.
pub const MEDIA_TYPE: &str = "application/vnd.wangge.sealed";
/// Start of a public half.
const PUBLIC: &str = "wp1";
/// Start of a secret half.
const SECRET: &str = "ws1";
/// Start of a sealed file.
const MAGIC: &str = "wangge-sealed-1";
/// Hex digits of the checksum.
const CHECK: usize = 8;
/// Longest first line of a sealed file.
const MAX_HEADER: usize = 128;

/// Why nothing could be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is no key of the wanted half.
    #[error("{0}")]
    Key(&'static str),
    /// Not made by [`Recipient::seal`].
    #[error("this is no sealed picture: its first line is missing")]
    NotSealed,
    /// Made for somebody else.
    #[error("it is sealed for {0}, which this key does not open")]
    OtherKey(String),
    /// Changed or cut since.
    #[error("it is damaged: what is sealed does not match its seal")]
    Damaged,
    /// The cipher refuses, which it does for pictures beyond all limits only.
    #[error("it cannot be sealed")]
    Cipher,
}

/// The public half: who may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(PublicKey);

impl Recipient {
    /// From its bytes.
    ///
    /// # Errors
    /// A point of low order: everybody could open what is sealed for it.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SealError> {
        let key = PublicKey::from_bytes(bytes);
        // With such a point there are eight shared secrets at most, whatever the other half, so
        // that of nine two are the same.
        let mut boxes = Vec::new();
        for _ in 0..9 {
            let one_time = crypto_box::SecretKey::generate(&mut OsRng);
            let sealed = SalsaBox::new(&key, &one_time).encrypt(&[0; 24].into(), &[0u8; 16][..]);
            boxes.push(sealed.map_err(|_| SealError::Cipher)?);
        }
        boxes.sort_unstable();
        let known = boxes.len();
        boxes.dedup();
        match boxes.len() == known {
            true => Ok(Recipient(key)),
            false => Err(SealError::Key(
                "this key is weak: everybody could open what is sealed for it",
            )),
        }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Seals for the holder of the secret half; each time with another one-time key.
    ///
    /// # Errors
    /// [`SealError::Cipher`]
    pub fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let sealed = self.0.seal(&mut OsRng, bytes);
        let sealed = sealed.map_err(|_| SealError::Cipher)?;
        let mut file = format!("{MAGIC} {self}\n").into_bytes();
        file.extend(sealed);
        Ok(file)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(PUBLIC, &self.to_bytes()))
    }
}

impl FromStr for Recipient {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        if text.trim().starts_with(SECRET) {
            return Err(SealError::Key(
                "this is the secret half, which must not be on a gateway; make a new pair and give the half that starts with `wp1-`",
            ));
        }
        Recipient::from_bytes(bytes(PUBLIC, text)?)
    }
}

/// Whether a file says of itself that it is sealed for `recipient`. Nobody but the holder of the
/// key can tell more.
pub fn is_for(file: &[u8], recipient: &Recipient) -> bool {
    let header = format!("{MAGIC} {recipient}\n");
    file.len() > header.len() && file.starts_with(header.as_bytes())
}

/// The secret half; never printed by accident.
pub struct SecretKey(crypto_box::SecretKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

impl SecretKey {
    /// A new one.
    pub fn generate() -> Self {
        SecretKey(crypto_box::SecretKey::generate(&mut OsRng))
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.public_key())
    }

    /// The text to keep in a file that nobody else can read.
    pub fn expose(&self) -> String {
        text(SECRET, &self.0.to_bytes())
    }

    /// Opens what was sealed for the public half.
    ///
    /// # Errors
    /// No sealed file, another key's, or a damaged one.
    pub fn open(&self, file: &[u8]) -> Result<Vec<u8>, SealError> {
        let end = file.iter().take(MAX_HEADER).position(|b| *b == b'\n');
        let (header, sealed) = end
            .and_then(|end| {
                Some((
                    std::str::from_utf8(file.get(..end)?).ok()?,
                    file.get(end + 1..)?,
                ))
            })
            .ok_or(SealError::NotSealed)?;
        let recipient = header
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or(SealError::NotSealed)?;
        let recipient: Recipient = recipient.parse().map_err(|_| SealError::NotSealed)?;
        if recipient != self.recipient() {
            return Err(SealError::OtherKey(recipient.to_string()));
        }
        self.0.unseal(sealed).map_err(|_| SealError::Damaged)
    }
}

impl FromStr for SecretKey {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        if text.trim().starts_with(PUBLIC) {
            return Err(SealError::Key(
                "this is the public half, which seals and does not open; give the half that starts with `ws1-`",
            ));
        }
        Ok(SecretKey(bytes(SECRET, text)?.into()))
    }
}

fn checksum(kind: &str, hex: &str) -> String {
    let digest = Sha256::digest(format!("{kind}-{hex}"));
    hex::encode(digest).chars().take(CHECK).collect()
}

fn text(kind: &str, bytes: &[u8; 32]) -> String {
    let hex = hex::encode(bytes);
    format!("{kind}-{hex}-{}", checksum(kind, &hex))
}

fn bytes(kind: &str, text: &str) -> Result<[u8; 32], SealError> {
    const SHAPE: SealError =
        SealError::Key("a key looks like `wp1-` or `ws1-`, 64 hex digits, `-` and 8 hex digits");
    let mut parts = text.trim().split('-');
    let (Some(found), Some(hex), Some(check), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SHAPE);
    };
    let digits = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if found != kind || !digits {
        return Err(SHAPE);
    }
    if check != checksum(kind, hex) {
        return Err(SealError::Key(
            "the key's last 8 digits do not match the others: it was mistyped or cut",
        ));
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex, &mut bytes).map_err(|_| SHAPE)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_alone() {
        let (key, other) = (SecretKey::generate(), SecretKey::generate());
        for picture in [&b""[..], b"picture", &[7; 300_000]] {
            let sealed = key.recipient().seal(picture).unwrap();
            assert_eq!(key.open(&sealed).unwrap(), picture);
            let foreign = other.open(&sealed);
            assert_eq!(
                foreign,
                Err(SealError::OtherKey(key.recipient().to_string()))
            );
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let key = SecretKey::generate();
        let sealed = key.recipient().seal(b"picture").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&changed).is_err(), "byte {at}");
            assert!(key.open(&sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(key.open(&[0xff; 4096]), Err(SealError::NotSealed));
    }

    #[test]
    fn keys_are_text_and_mistakes_are_noticed() {
        let key = SecretKey::generate();
        let public = key.recipient().to_string();
        assert_eq!(public.parse::<Recipient>().unwrap(), key.recipient());
        let again: SecretKey = format!("{}\n", key.expose()).parse().unwrap();
        assert_eq!(again.recipient(), key.recipient());
        for at in 0..public.len() {
            let mut typo = public.clone().into_bytes();
            typo[at] = if typo[at] == b'0' { b'1' } else { b'0' };
            let typo = String::from_utf8(typo).unwrap();
            assert!(typo.parse::<Recipient>().is_err(), "{typo}");
        }
        // Each half in the other's place is named as such.
        let wrong = key.expose().parse::<Recipient>().unwrap_err();
        assert!(wrong.to_string().contains("secret half"), "{wrong}");
        let wrong = public.parse::<SecretKey>().unwrap_err();
        assert!(wrong.to_string().contains("public half"), "{wrong}");
        assert!(!format!("{key:?}").contains(&key.expose()[4..20]));
    }

    #[test]
    fn points_that_everybody_can_open_are_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        // RFC 7748, 6: an all-zero shared secret. The last is a point of order eight.
        let eight = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        let mut of_eight = [0; 32];
        hex::decode_to_slice(eight, &mut of_eight).unwrap();
        for weak in [[0; 32], one, of_eight] {
            assert!(Recipient::from_bytes(weak).is_err(), "{weak:?}");
        }
    }
}
