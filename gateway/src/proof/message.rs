//! The bytes of one sealed message; pure.

use sha2::{Digest, Sha256};
use wangge_protocol::ClockQuality;

use super::key::{Identity, PublicKey};

/// `previous` of a chain's first message.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What stands before the signature, which is always the last member.
const SIGNATURE: &str = ",\"signature\":\"";
/// Characters of a signature.
const SIGNATURE_CHARS: usize = 86;
/// Longest version of the program in a seal.
pub const MAX_VERSION: usize = 24;
/// Longest boot id.
pub const MAX_BOOT: usize = 36;

/// Bytes that sealing adds to a message at most (tested).
pub const SEAL_ROOM: usize = 416;

/// SHA-256 as 64 lower-case hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What the seal says besides the signature.
#[derive(Clone, Debug)]
pub(super) struct Attributes<'a> {
    pub clock: ClockQuality,
    pub boot: &'a str,
    pub uptime_ms: u64,
    pub software: &'a str,
    pub config_hash: &'a str,
    pub sequence: u64,
    pub previous: &'a str,
}

/// Seals a JSON object; `None` if `body` is none.
pub(super) fn seal(body: &[u8], with: &Attributes<'_>, identity: &Identity) -> Option<Vec<u8>> {
    let open = body.strip_suffix(b"}").filter(|open| open.len() > 1)?;
    let mut sealed = open.to_vec();
    // None of the values holds a character that JSON would escape.
    let attributes = format!(
        ",\"clock\":\"{}\",\"bootid\":\"{}\",\"uptimems\":\"{}\",\"software\":\"{}\",\"confighash\":\"{}\",\"sequence\":\"{}\",\"previous\":\"{}\",\"keyid\":\"{}\"}}",
        with.clock.slug(),
        with.boot,
        with.uptime_ms,
        with.software,
        with.config_hash,
        with.sequence,
        with.previous,
        identity.id(),
    );
    sealed.extend_from_slice(attributes.as_bytes());
    let signature = identity.sign(&sealed);
    sealed.pop();
    sealed.extend_from_slice(SIGNATURE.as_bytes());
    sealed.extend_from_slice(signature.as_bytes());
    sealed.extend_from_slice(b"\"}");
    Some(sealed)
}

/// The part of a sealed message that is signed, and the signature; `None` if it does not end as
/// a sealed message does.
pub fn split(body: &[u8]) -> Option<(Vec<u8>, &str)> {
    let open = body.strip_suffix(b"\"}")?;
    let (rest, signature) = open.split_at_checked(open.len().checked_sub(SIGNATURE_CHARS)?)?;
    let mut signed = rest.strip_suffix(SIGNATURE.as_bytes())?.to_vec();
    signed.push(b'}');
    Some((signed, std::str::from_utf8(signature).ok()?))
}

/// Whether a message is signed by the holder of this key.
pub fn is_signed_by(body: &[u8], key: &PublicKey) -> bool {
    split(body).is_some_and(|(signed, signature)| key.verifies(&signed, signature))
}

/// The message under another id of the same length: each uplink's copy has bytes of its own, and
/// so it needs an id of its own. As it was if `old` is not its id.
pub(super) fn renamed(body: &[u8], old: &str, new: &str) -> Vec<u8> {
    let member = |id: &str| format!("\"id\":\"{id}\"").into_bytes();
    let (old, new) = (member(old), member(new));
    let at = body.windows(old.len()).position(|part| part == old);
    match at {
        Some(at) if old.len() == new.len() => {
            let mut body = body.to_vec();
            body.splice(at..at + old.len(), new);
            body
        }
        _ => body.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::open(tempfile::tempdir().unwrap().path())
            .unwrap()
            .0
    }

    fn worst() -> Attributes<'static> {
        Attributes {
            clock: ClockQuality::Synchronised,
            boot: "0123456789abcdef0123456789abcdef0123",
            uptime_ms: u64::MAX,
            software: "100.100.100-alpha.100100",
            config_hash: "0123456789abcdef",
            sequence: u64::MAX,
            previous: BEGINNING,
        }
    }

    #[test]
    fn the_worst_seal_fits_its_room() {
        let with = worst();
        assert_eq!(
            (with.boot.len(), with.software.len()),
            (MAX_BOOT, MAX_VERSION)
        );
        let body = br#"{"id":"a"}"#;
        let sealed = seal(body, &with, &identity()).unwrap();
        let added = sealed.len() - body.len();
        println!("a seal takes {added} bytes at most");
        assert!(added <= SEAL_ROOM, "{added}");
        let seal: wangge_protocol::Seal = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(seal.sequence, u64::MAX.to_string());
    }

    #[test]
    fn no_byte_of_a_sealed_message_can_be_changed() {
        let identity = identity();
        let sealed = seal(
            "{\"id\":\"a\",\"x\":\"海\"}".as_bytes(),
            &worst(),
            &identity,
        )
        .unwrap();
        assert!(is_signed_by(&sealed, identity.public()));
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(
                    !is_signed_by(&changed, identity.public()),
                    "byte {at} bit {bit}"
                );
            }
        }
        for at in 0..sealed.len() {
            let mut shorter = sealed.clone();
            shorter.remove(at);
            assert!(
                !is_signed_by(&shorter, identity.public()),
                "without byte {at}"
            );
        }
        assert!(!is_signed_by(&sealed, self::identity().public()));
    }

    #[test]
    fn only_objects_are_sealed_and_rubbish_is_not_split() {
        for body in ["", "}", "{}", "[1]", "null"] {
            assert!(
                seal(body.as_bytes(), &worst(), &identity()).is_none(),
                "{body}"
            );
            assert!(split(body.as_bytes()).is_none());
        }
    }

    #[test]
    fn a_copy_gets_its_own_id_and_nothing_else_changes() {
        let body = br#"{"specversion":"1.0","id":"aa","data":{"alert_id":"aa","id":"aa"}}"#;
        let copy = renamed(body, "aa", "bb");
        assert_eq!(
            copy,
            br#"{"specversion":"1.0","id":"bb","data":{"alert_id":"aa","id":"aa"}}"#
        );
        assert_eq!(renamed(body, "cc", "bb"), body);
    }
}
