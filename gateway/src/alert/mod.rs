//! The life of one alert, from raised to cleared, and what the platform is told of it.
//!
//! [`Ledger`] turns findings into messages. An alert is named by (subject, rule) while it is
//! open, and by a UUIDv7 that is made once, when it is raised. Every message carries the change
//! of the ledger's own state, so that both become durable in one batch or not at all: after a
//! restart at any point the alert goes on with the same id and the next revision.
//!
//! What keeps a flapping condition from becoming a storm:
//! - updates of one alert come at most every [`crate::config::Rule::update_every`]; figures that
//!   come sooner wait, the newest replacing the older, and are sent when the time has come;
//! - a condition that begins again within [`REOPEN`] of its end reopens the same alert: the
//!   platform gets `updated` with the same id after `cleared`, not a new alert;
//! - an alert that was reopened is cleared only after its condition has been away for
//!   [`REOPEN`]: however fast it flaps, a rule costs at most two messages per [`REOPEN`] and
//!   its updates;
//! - what the platform rejected stays quiet while it lasts, and what it closed too early is opened
//!   again once ([`Ledger::judge`]);
//! - a station sends at most [`UPDATES_PER_MINUTE`] updates; more wait like the others.

mod desk;
mod directory;
mod entry;
mod ledger;
mod message;
mod platform;
mod text;
mod verdict;

use std::time::Duration;

use thiserror::Error;
use wangge_protocol::{AlertState, EventKind, EvidenceRef, Severity, SourceKind, Text};

use crate::config::code::TemplateError;

pub use ledger::Ledger;
pub use message::{MAX_EVIDENCE, digest_message, with_routing};
pub use text::name_en;
pub use verdict::Silenced;

/// A condition that begins again within this time of its end belongs to the same alert.
pub const REOPEN: Duration = Duration::from_secs(300);

/// Updates of all alerts of a station together, a minute; raised and cleared always go.
pub const UPDATES_PER_MINUTE: u32 = 120;

/// Longest id of a station, device, camera or rule, bytes; with it a message always fits.
pub const MAX_ID: usize = 64;

/// One message about an alert, with what has to be stored beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound {
    /// CloudEvent id, which the receipt echoes.
    pub event_id: String,
    /// The alert, for life.
    pub alert_id: String,
    /// Device, camera or part of the gateway.
    pub device: String,
    /// What it is about.
    pub kind: EventKind,
    /// How its subject speaks to the gateway.
    pub source: SourceKind,
    /// What the message says.
    pub state: AlertState,
    /// How much it matters.
    pub severity: Severity,
    /// The sentence for people.
    pub text: Text,
    /// Pictures that must be delivered first.
    pub evidence: Vec<EvidenceRef>,
    /// CloudEvent JSON, at most [`crate::spool::MAX_BODY`] bytes.
    pub body: Vec<u8>,
    /// Key and value to store in the same batch; `None` removes.
    pub state_change: (Vec<u8>, Option<Vec<u8>>),
}

/// What a restart found, to be stored before anything else.
#[derive(Debug, Default, PartialEq)]
pub struct Restored {
    /// Alerts that were open on subjects or rules that the configuration no longer has.
    pub cleared: Vec<Outbound>,
    /// Entries that are of no more use.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Entries that could not be read. Their alerts are raised again, with new ids, if their
    /// conditions still hold; the platform may show the old ones as open for ever.
    pub unreadable: Vec<Unreadable>,
}

/// An entry of the stored state that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("stored alert {key} cannot be read and is forgotten: {reason}")]
pub struct Unreadable {
    /// Its key, as text.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// Why there can be no ledger.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AlertError {
    /// Ids have a limit because messages have one.
    #[error("{what} id {id:?} has {} bytes; at most {MAX_ID} are possible", id.len())]
    IdTooLong {
        /// `station`, `device`, `camera` or `rule`.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// The profile's event code template.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

#[cfg(test)]
mod tests;
