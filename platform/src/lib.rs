//! Reference receiver for Wangge stations: checks every message against its JSON Schema,
//! recomputes hashes, stores durably, and only then answers with a receipt.
//!
//! `docs/operator/receiver.md` is the contract that it keeps; an operator's own receiver may be
//! compared with it.

pub mod check;
pub mod http;
pub mod mqtt;
pub mod outbox;
pub mod page;
pub mod parts;
mod pipe;
pub mod send;
pub mod show;
pub mod store;
pub mod tls;

/// Largest event, bytes; a gateway sends 3.5 KB at most.
pub const MAX_EVENT: usize = 64 * 1024;
/// Largest picture, bytes.
pub const MAX_PICTURE: usize = 2 * 1024 * 1024;

/// SHA-256 as 64 lower-case hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}
