//! The chain of each uplink: who is next, and after which message.
//!
//! Its head is state of the spool, `chain/<uplink>`, and changes in the batch of the record that
//! it counts. A key that another took over from goes on with that one's chain; an uplink that gets a new
//! name, a key that nobody signed for, and a spool that was lost begin a new one.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    key::Identity,
    message::{self, Attributes, BEGINNING},
};
use crate::{
    clock::{Stamp, StateChange},
    spool::MAX_BODY,
};

const PREFIX: &str = "chain/";

/// By what a message was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Version of the program.
    pub software: String,
    /// See [`crate::config::Config::hash`].
    pub config_hash: String,
}

/// Where a chain stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    keyid: String,
    sequence: u64,
    /// SHA-256 of the newest message.
    previous: String,
}

/// A message ready for an uplink, and the chain's new head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub id: String,
    pub body: Vec<u8>,
    /// To be stored in the batch of the record.
    pub state_change: Option<StateChange>,
}

/// Seals what goes to uplinks. Without a key it passes everything on as it is.
#[derive(Debug)]
pub struct Sealer {
    identity: Option<Arc<Identity>>,
    made: Made,
    heads: BTreeMap<String, Head>,
}

/// Whether a key of the spool's state belongs to a chain.
pub fn is_head(key: &[u8]) -> bool {
    key.starts_with(PREFIX.as_bytes())
}

impl Sealer {
    /// Goes on from the heads in the spool's state; those of a key that did not hand over to the
    /// present one are passed over.
    pub fn restore(
        identity: Option<Arc<Identity>>,
        made: Made,
        state: &[(Vec<u8>, Vec<u8>)],
    ) -> Sealer {
        let mut heads = BTreeMap::new();
        for (key, value) in state {
            let name = key.strip_prefix(PREFIX.as_bytes());
            let Some(Ok(name)) = name.map(std::str::from_utf8) else {
                continue;
            };
            match serde_json::from_slice::<Head>(value) {
                Ok(head) => {
                    let ours = identity.as_ref().is_some_and(|i| {
                        i.id() == head.keyid || i.lineage().earlier.contains(&head.keyid)
                    });
                    if ours {
                        heads.insert(name.to_owned(), head);
                    }
                }
                Err(reason) => {
                    tracing::error!(uplink = name, %reason, "where the chain of sealed alerts stood cannot be read; a new chain begins");
                }
            }
        }
        let made = Made {
            software: made.software.chars().take(message::MAX_VERSION).collect(),
            ..made
        };
        Sealer {
            identity,
            made,
            heads,
        }
    }

    /// From now on messages are made by the configuration with this hash.
    pub fn reconfigure(&mut self, config_hash: String) {
        self.made.config_hash = config_hash;
    }

    /// Name of the key, if there is one.
    pub fn key(&self) -> Option<&str> {
        self.identity.as_deref().map(Identity::id)
    }

    /// Seals `body` as the next message of an uplink. `again` for the second and further uplinks
    /// that get it: their copy has bytes, and so an id, of its own.
    pub fn seal(
        &mut self,
        uplink: &str,
        (id, body): (&str, &[u8]),
        again: bool,
        stamp: &Stamp,
    ) -> Sealed {
        let plain = || Sealed {
            id: id.to_owned(),
            body: body.to_vec(),
            state_change: None,
        };
        let Some(identity) = &self.identity else {
            return plain();
        };
        let first = Head {
            keyid: identity.id().to_owned(),
            sequence: 0,
            previous: BEGINNING.to_owned(),
        };
        let head = self.heads.get(uplink).unwrap_or(&first);
        let new_id = match again {
            true => Uuid::now_v7().to_string(),
            false => id.to_owned(),
        };
        let with = Attributes {
            clock: stamp.quality,
            boot: &stamp.boot,
            uptime_ms: stamp.uptime_ms,
            software: &self.made.software,
            config_hash: &self.made.config_hash,
            sequence: head.sequence + 1,
            previous: &head.previous,
        };
        let renamed = message::renamed(body, id, &new_id);
        let sealed = message::seal(&renamed, &with, identity).filter(|b| b.len() <= MAX_BODY);
        let Some(sealed) = sealed else {
            // A fault of ours. An alert without its proof is better than none.
            tracing::error!(
                id,
                bytes = body.len(),
                "there is no room for the seal; the message goes without"
            );
            return plain();
        };
        let head = Head {
            keyid: identity.id().to_owned(),
            sequence: with.sequence,
            previous: message::sha256(&sealed),
        };
        // Numbers and strings: this cannot fail.
        let value = serde_json::to_vec(&head).unwrap_or_default();
        self.heads.insert(uplink.to_owned(), head);
        Sealed {
            id: new_id,
            body: sealed,
            state_change: Some((format!("{PREFIX}{uplink}").into_bytes(), Some(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use wangge_protocol::{ClockQuality, Seal};

    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            quality: ClockQuality::Held,
            boot: "00000000-0000-0000-0000-000000000001".into(),
            uptime_ms: 17,
        }
    }

    fn made() -> Made {
        Made {
            software: "0.1.0".into(),
            config_hash: "0123456789abcdef".into(),
        }
    }

    fn identity() -> Arc<Identity> {
        Arc::new(
            Identity::open(tempfile::tempdir().unwrap().path())
                .unwrap()
                .0,
        )
    }

    const BODY: &[u8] = br#"{"id":"0190-a","data":{}}"#;

    #[test]
    fn chains_go_on_over_a_restart_and_are_apart_for_each_uplink() {
        let identity = identity();
        let mut sealer = Sealer::restore(Some(identity.clone()), made(), &[]);
        let mut state = BTreeMap::new();
        let mut last = BTreeMap::<&str, (u64, String)>::new();
        for (round, uplink) in ["city", "street", "city", "city", "street"]
            .iter()
            .enumerate()
        {
            if round == 3 {
                let stored: Vec<_> = state.clone().into_iter().collect();
                sealer = Sealer::restore(Some(identity.clone()), made(), &stored);
            }
            let sealed = sealer.seal(uplink, ("0190-a", BODY), *uplink == "street", &stamp());
            let (key, value) = sealed.state_change.unwrap();
            assert!(is_head(&key));
            state.insert(key, value.unwrap());
            let seal: Seal = serde_json::from_slice(&sealed.body).unwrap();
            let (sequence, previous) = last.remove(uplink).unwrap_or((0, BEGINNING.into()));
            assert_eq!(
                (seal.sequence, seal.previous),
                ((sequence + 1).to_string(), previous)
            );
            assert_eq!(seal.keyid, identity.id());
            assert!(message::is_signed_by(&sealed.body, identity.public()));
            assert_eq!(sealed.id == "0190-a", *uplink == "city");
            last.insert(uplink, (sequence + 1, message::sha256(&sealed.body)));
        }
        // Another key: another chain.
        let stored: Vec<_> = state.into_iter().collect();
        let mut other = Sealer::restore(Some(self::identity()), made(), &stored);
        let sealed = other.seal("city", ("0190-a", BODY), false, &stamp());
        let seal: Seal = serde_json::from_slice(&sealed.body).unwrap();
        assert_eq!(
            (seal.sequence.as_str(), seal.previous.as_str()),
            ("1", BEGINNING)
        );
    }

    #[test]
    fn without_a_key_or_room_a_message_goes_as_it_is() {
        let plain = Sealed {
            id: "0190-a".into(),
            body: BODY.to_vec(),
            state_change: None,
        };
        let mut sealer = Sealer::restore(None, made(), &[]);
        assert_eq!(sealer.seal("city", ("0190-a", BODY), true, &stamp()), plain);
        let mut sealer = Sealer::restore(Some(identity()), made(), &[]);
        let long = format!("{{\"id\":\"a\",\"x\":\"{}\"}}", "x".repeat(MAX_BODY - 30));
        let sealed = sealer.seal("city", ("a", long.as_bytes()), false, &stamp());
        assert_eq!(
            (sealed.body, sealed.state_change),
            (long.into_bytes(), None)
        );
        // The number is not used up.
        let sealed = sealer.seal("city", ("0190-a", BODY), false, &stamp());
        assert!(String::from_utf8_lossy(&sealed.body).contains("\"sequence\":\"1\""));
    }

    #[test]
    fn a_head_that_cannot_be_read_begins_a_new_chain() {
        let state = [(b"chain/city".to_vec(), b"rubbish".to_vec())];
        let mut sealer = Sealer::restore(Some(identity()), made(), &state);
        let sealed = sealer.seal("city", ("0190-a", BODY), false, &stamp());
        assert!(String::from_utf8_lossy(&sealed.body).contains(BEGINNING));
    }
}
