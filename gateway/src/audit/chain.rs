//! Entries and their chain; pure.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// `prev` of the first entry.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Longest line; ours have about 500 bytes.
pub const MAX_LINE: usize = 4_096;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A picture is deleted; written before it is, so that none goes without an entry.
    Deleted,
    /// An original was sealed and stored.
    Sealed,
    /// A signed command came from a platform; `object` is its id, `kind` what it asks for.
    Command,
    /// A signed command was not carried out, and why.
    CommandRefused,
    /// The log's oldest file is deleted; `object` is the hash of its last entry.
    Rotated,
}

/// Something to note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub what: What,
    /// File name of a picture (its SHA-256 and an ending), or a hash.
    pub object: String,
    /// Event kind of its alert, if known.
    pub kind: Option<String>,
    /// In a few words.
    pub why: String,
}

/// A noted event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'e> {
    /// From 1, without gaps.
    pub seq: u64,
    /// RFC 3339, by the system clock; the order is the chain's.
    pub time: Cow<'e, str>,
    pub what: What,
    pub object: Cow<'e, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Cow<'e, str>>,
    pub why: Cow<'e, str>,
    /// Hash of the entry before.
    pub prev: Cow<'e, str>,
}

/// A line: the entry's own bytes are what is hashed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line<'l> {
    pub hash: Cow<'l, str>,
    #[serde(borrow)]
    entry: &'l RawValue,
}

/// Where the chain stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the newest entry; 0 before the first.
    pub seq: u64,
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Head {
            seq: 0,
            hash: BEGINNING.into(),
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is no entry: {0}")]
    Unreadable(String),
    #[error("its content was changed: it does not match its hash")]
    Changed,
    #[error("the entry before it is missing or was changed")]
    Broken,
    #[error("its number is {found} where {expected} must come")]
    Number { found: u64, expected: u64 },
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The line for an event, with its end, and where the chain stands then.
pub fn append(head: &Head, event: &Event, time: &str) -> serde_json::Result<(String, Head)> {
    let entry = Entry {
        seq: head.seq + 1,
        time: time.into(),
        what: event.what,
        object: event.object.as_str().into(),
        kind: event.kind.as_deref().map(Into::into),
        why: event.why.as_str().into(),
        prev: head.hash.as_str().into(),
    };
    let entry = serde_json::to_string(&entry)?;
    let head = Head {
        seq: head.seq + 1,
        hash: hash(entry.as_bytes()),
    };
    let line = Line {
        hash: head.hash.as_str().into(),
        entry: &RawValue::from_string(entry)?,
    };
    Ok((serde_json::to_string(&line)? + "\n", head))
}

/// Checks a line (without its end) against the chain before it; `None` begins anywhere.
///
/// # Errors
/// What is wrong with it.
pub fn follow<'l>(before: Option<&Head>, line: &'l str) -> Result<(Entry<'l>, Head), Fault> {
    let unreadable = |e: serde_json::Error| Fault::Unreadable(e.to_string());
    let line: Line<'_> = serde_json::from_str(line).map_err(unreadable)?;
    let raw: &'l str = line.entry.get();
    if hash(raw.as_bytes()) != line.hash {
        return Err(Fault::Changed);
    }
    let entry: Entry<'l> = serde_json::from_str(raw).map_err(unreadable)?;
    if let Some(before) = before {
        let expected = before.seq + 1;
        if entry.seq != expected {
            let found = entry.seq;
            return Err(Fault::Number { found, expected });
        }
        if entry.prev != before.hash {
            return Err(Fault::Broken);
        }
    }
    let head = Head {
        seq: entry.seq,
        hash: line.hash.into_owned(),
    };
    Ok((entry, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> Event {
        Event {
            what: What::Deleted,
            object: format!("{n:064x}.jpg"),
            kind: Some("illegal_dumping".into()),
            why: "its term of 30d is over".into(),
        }
    }

    fn lines(count: u64) -> Vec<String> {
        let mut head = Head::default();
        (1..=count)
            .map(|n| {
                let (line, next) = append(&head, &event(n), "2026-11-26T10:00:00Z").unwrap();
                head = next;
                assert!(line.len() < MAX_LINE / 4);
                line.trim_end().to_owned()
            })
            .collect()
    }

    /// The first line that does not follow.
    fn first_fault(lines: &[String]) -> Option<(usize, Fault)> {
        let mut head = Head::default();
        for (at, line) in lines.iter().enumerate() {
            match follow(Some(&head), line) {
                Ok((_, next)) => head = next,
                Err(fault) => return Some((at, fault)),
            }
        }
        None
    }

    #[test]
    fn a_chain_follows_from_its_beginning() {
        let lines = lines(5);
        assert_eq!(first_fault(&lines), None);
        let (entry, _) = follow(None, &lines[3]).unwrap();
        assert_eq!((entry.seq, entry.what), (4, What::Deleted));
        assert_eq!(entry.kind.as_deref(), Some("illegal_dumping"));
    }

    #[test]
    fn whatever_is_changed_taken_out_put_in_or_moved_is_noticed() {
        let good = lines(5);
        let mut edited = good.clone();
        edited[2] = edited[2].replace("30d", "90d");
        assert_eq!(first_fault(&edited), Some((2, Fault::Changed)));
        let mut cut = good.clone();
        cut.remove(2);
        assert!(matches!(
            first_fault(&cut),
            Some((
                2,
                Fault::Number {
                    found: 4,
                    expected: 3
                }
            ))
        ));
        let mut twice = good.clone();
        twice.insert(2, good[1].clone());
        assert!(matches!(
            first_fault(&twice),
            Some((2, Fault::Number { .. }))
        ));
        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert!(matches!(
            first_fault(&swapped),
            Some((1, Fault::Number { .. }))
        ));
        // An entry that was made anew, its hash too: the next one does not follow any more.
        let mut forged = good.clone();
        let mut head = Head::default();
        for line in &good[..2] {
            head = follow(Some(&head), line).unwrap().1;
        }
        let (line, _) = append(&head, &event(99), "2026-11-26T10:00:00Z").unwrap();
        forged[2] = line.trim_end().to_owned();
        assert_eq!(first_fault(&forged), Some((3, Fault::Broken)));
        for garbage in ["", "{}", "null", "[1]", "{\"hash\":\"\",\"entry\":{}}"] {
            assert!(follow(None, garbage).is_err(), "{garbage}");
        }
    }

    #[test]
    fn no_byte_of_a_line_can_be_changed() {
        let good = lines(1);
        let line = good[0].as_bytes();
        for at in 0..line.len() {
            let mut changed = line.to_vec();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(
                follow(Some(&Head::default()), &changed).is_err(),
                "byte {at}"
            );
        }
    }
}
