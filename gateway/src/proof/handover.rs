//! A key that takes the place of another: the old one signs for the new one.
//!
//! Whoever trusts the old key can follow a station's chain to the new one without having met the
//! station again. The statement is a line of the list that `wangge verify --keys` reads:
//! `STATION NEWKEY after OLDID SIGNATURE`. The station keeps all of its lines, from its first key
//! on, in `identity/keys`.

use std::{fmt, fs, io::ErrorKind, path::Path};

use super::key::{self, Identity, KeyError, PublicKey};

/// Stands between the new key and the old one's name.
const AFTER: &str = "after";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    pub station: String,
    pub new: PublicKey,
    /// Name of the old key.
    pub old: String,
    /// Ed25519 by the old key, base64url without padding.
    signature: String,
}

impl Handover {
    fn sign(station: &str, old: &Identity, new: PublicKey) -> Handover {
        let signature = old.sign(&text(station, old.id(), &new));
        Handover {
            station: station.to_owned(),
            new,
            old: old.id().to_owned(),
            signature,
        }
    }

    /// Reads a line; `None` if it is of another kind.
    ///
    /// # Errors
    /// The new key is none.
    pub fn parse(line: &str) -> Option<Result<Handover, KeyError>> {
        let words: Vec<_> = line.split_whitespace().collect();
        let [station, new, AFTER, old, signature] = words[..] else {
            return None;
        };
        Some(new.parse().map(|new| Handover {
            station: station.to_owned(),
            new,
            old: old.to_owned(),
            signature: signature.to_owned(),
        }))
    }

    /// Whether the old key signed it.
    pub fn is_signed_by(&self, old: &PublicKey) -> bool {
        let text = text(&self.station, &self.old, &self.new);
        old.id() == self.old && old.verifies(&text, &self.signature)
    }
}

/// A line of the list.
impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handover {
            station,
            new,
            old,
            signature,
        } = self;
        write!(f, "{station} {new} {AFTER} {old} {signature}")
    }
}

/// What the old key signs.
fn text(station: &str, old: &str, new: &PublicKey) -> Vec<u8> {
    format!("wangge-handover-1\n{station}\n{old}\n{new}\n").into_bytes()
}

/// The keys that led to a station's present one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Lines of the list, the first key's before the handovers; empty if there was none.
    pub list: String,
    /// Names of the earlier keys.
    pub earlier: Vec<String>,
}

impl Lineage {
    /// Reads what the storage keeps; nothing if it leads to another key than this one.
    pub(super) fn read(storage: &Path, present: &PublicKey) -> Lineage {
        let file = file(storage);
        let list = match fs::read_to_string(&file) {
            Ok(list) => list,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::error!(path = %file.display(), %error, "the station's earlier keys cannot be read");
                }
                return Lineage::default();
            }
        };
        let mut upto = Lineage::default();
        // Where it leads to this key: what follows is of a change that was cut off. A key that
        // was put there by hand is not in it.
        let mut found = Lineage::default();
        for line in list.lines() {
            upto.list += &format!("{line}\n");
            if let Some(Ok(handover)) = Handover::parse(line) {
                upto.earlier.push(handover.old);
                if handover.new == *present {
                    found = upto.clone();
                }
            }
        }
        found
    }
}

fn file(storage: &Path) -> std::path::PathBuf {
    key::key_file(storage).with_file_name("keys")
}

/// Gives the station a new key, for which the present one signs; that one is gone afterwards.
/// The station must not be running.
///
/// # Errors
/// There is no key, or the file system refuses: then the present key stays.
pub fn rotate(storage: &Path, station: &str) -> Result<Identity, KeyError> {
    let old = Identity::read(storage)?;
    let (pem, new) = key::generate()?;
    let mut list = old.lineage().list.clone();
    if list.is_empty() {
        list = format!("{station} {}\n", old.public());
    }
    list += &format!("{}\n", Handover::sign(station, &old, new));
    // In this order: a list that leads to no key is passed over, a key without its list is not
    // believed.
    key::store(&file(storage), &list)?;
    key::store(&key::key_file(storage), &pem)?;
    Identity::read(storage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_signs_for_the_next_and_a_change_that_was_cut_off_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = Identity::open(dir.path()).unwrap();
        assert_eq!(*first.lineage(), Lineage::default());
        let second = rotate(dir.path(), "haitang").unwrap();
        assert_eq!(second.lineage().earlier, [first.id()]);
        let third = rotate(dir.path(), "haitang").unwrap();
        assert_eq!(third.lineage().earlier, [first.id(), second.id()]);
        let (again, new) = Identity::open(dir.path()).unwrap();
        assert!(!new && again.lineage() == third.lineage());
        let lines: Vec<_> = third.lineage().list.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], format!("haitang {}", first.public()));
        let handover = Handover::parse(lines[1]).unwrap().unwrap();
        assert!(handover.is_signed_by(first.public()));
        assert!(!handover.is_signed_by(second.public()));
        assert_eq!(handover.to_string(), lines[1]);
        let elsewhere = Handover {
            station: "yulan".into(),
            ..handover
        };
        assert!(!elsewhere.is_signed_by(first.public()));

        // The list is there, the key is not yet.
        let (_, other) = key::generate().unwrap();
        let cut = format!(
            "{}{}\n",
            third.lineage().list,
            Handover::sign("haitang", &third, other)
        );
        key::store(&file(dir.path()), &cut).unwrap();
        let now = Identity::read(dir.path()).unwrap();
        assert_eq!(now.public(), third.public());
        assert_eq!(now.lineage(), third.lineage());
    }
}
