//! Provable alerts: a key per station, a chain per uplink, and the verifier for both.
//!
//! Every message in an uplink's alert lane is sealed when it is made: it gets its place in the
//! chain (`sequence`, `previous`), says by what and when it was made (`clock`, `bootid`,
//! `uptimems`, `software`, `confighash`) and is signed. The chain's head is stored in the same
//! batch as the record, so that no power cut makes two messages with one number.
//!
//! What is signed are the message's bytes as they are sent: a verifier needs no JSON
//! canonicalisation, and whoever stores the bytes can verify them for ever.

pub mod chain;
pub mod handover;
pub mod key;
pub mod keys;
pub mod message;
mod notary;
pub mod read;
pub mod verify;

pub use chain::is_head;
pub use key::{Identity, PublicKey};
pub use message::SEAL_ROOM;
pub use notary::Notary;
