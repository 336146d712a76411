//! The audit log: what was deleted of people's pictures, when and why.
//!
//! JSON lines in `audit/` under the storage. Each line holds an entry and its SHA-256, and each
//! entry holds the hash of the one before, so that a line that is changed, taken out or put in is
//! noticed by [`verify`]. Files are `audit-SEQ.jsonl`, named by their first entry; a full one is
//! followed by the next, and the oldest goes when there are too many, which is an entry too.
//!
//! What this cannot notice: somebody who may write the files can make the whole chain anew. The
//! hash of the newest entry, noted elsewhere now and then, is what shows that
//! (`wangge audit verify --head HASH`).

mod chain;
mod log;

pub use chain::{Entry, Event, Fault, What};
pub use log::{Audit, AuditError, MAX_FILE, MAX_FILES, Report, audit_dir, entry, read, verify};
