//! What proves a message, and what is said about the clock that dated it.
//!
//! These are CloudEvents extension attributes, beside `id` and `time`, so that a receiver finds
//! them without knowing what `data` holds.

use alloc::string::String;
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::{pattern, schema::ToString as _};

/// The seal of a message in an uplink's alert lane: alerts, and what is said about the clock.
///
/// `signature` is the last member of the document. What is signed are the bytes of the document
/// up to but without `,"signature":"…"`, closed with `}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Seal {
    /// How far the times in the message can be believed.
    pub clock: ClockQuality,
    /// Which start of the machine it was made in (the kernel's boot id).
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::BOOT_ID)))]
    pub bootid: String,
    /// When it was made, in milliseconds since that start, decimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::DECIMAL)))]
    pub uptimems: String,
    /// Version of the program that made it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub software: String,
    /// First 16 hex digits of the SHA-256 of the station's file.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::MODEL_HASH)))]
    pub confighash: String,
    /// Rises by one with every sealed message on this uplink, from 1, decimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::DECIMAL)))]
    pub sequence: String,
    /// SHA-256 of the bytes of the sealed message before it on this uplink; zeros for the first.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SHA256)))]
    pub previous: String,
    /// First 16 hex digits of the SHA-256 of the station's public key.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::MODEL_HASH)))]
    pub keyid: String,
    /// Ed25519, base64url without padding.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SIGNATURE)))]
    pub signature: String,
}

/// How far a station's clock can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClockQuality {
    /// The kernel's clock is disciplined by a time source.
    Synchronised,
    /// Not at the moment; the time is plausible, and may be off by what the clock drifts or the
    /// machine was off.
    Held,
    /// The time is known to be wrong, or nothing is known of it: times are no times of day.
    #[default]
    Unknown,
}

impl ClockQuality {
    /// The name in messages.
    pub const fn slug(self) -> &'static str {
        match self {
            ClockQuality::Synchronised => "synchronised",
            ClockQuality::Held => "held",
            ClockQuality::Unknown => "unknown",
        }
    }
}

/// `type` of [`ClockRecord`].
pub const TYPE_CLOCK: &str = "cn.wangge.clock.v1";
/// `dataschema` of [`ClockRecord`].
pub const SCHEMA_CLOCK: &str = "urn:wangge:schema:clock:1";

/// `data` of a clock message: the clock is known now, or was set.
///
/// A message of the same start (`bootid`) was really made at `booted_at` + its `uptimems`; its
/// other times are off by as much as its `time` is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClockRecord {
    /// The start of the machine that it is about.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::BOOT_ID)))]
    pub boot: String,
    /// When that start was, by the clock as it is now, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub booted_at: String,
    /// What the clock says now minus what it would say had it not been set, ms: to be added to
    /// the times of messages made just before.
    pub offset_ms: i64,
    /// How far the clock can be believed now; never `unknown`.
    pub quality: ClockQuality,
}
