//! What goes with alerts: telemetry, gap records and the receiver's receipts.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::{pattern, schema::ToString as _};

/// `data` of a telemetry message. `payload` is kept as the stream is configured, so it is free JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
pub struct Telemetry<P> {
    /// Stream name from the gateway's configuration.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub stream: String,
    /// The readings, oldest first.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub readings: Vec<Reading<P>>,
}

/// One forwarded reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
pub struct Reading<P> {
    /// Device id.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub device: String,
    /// Device time if the device sent one, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub device_time: Option<String>,
    /// When the gateway received it, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub gateway_time: String,
    /// The rule of an alert that is open on this device, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The payload's own fields.
    pub payload: P,
}

/// `data` of a gap record: what was dropped, how much and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gap {
    /// `alert` or `telemetry`; `unknown` where that was lost as well.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::GAP_CLASS)))]
    pub class: String,
    /// Name of the stream, empty where that was lost as well.
    pub stream: String,
    /// How many alerts, or readings, were dropped.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub count: u64,
    /// First and last spool sequence number dropped.
    pub first_seq: u64,
    /// See `first_seq`.
    pub last_seq: u64,
    /// e.g. `quota`, `unreadable`, `lost`, `poison`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub reason: String,
}

/// The receiver's word that it stored a message or a picture.
///
/// Both fields are echoed from what was received; the hash is computed by the receiver over the
/// bytes it stored. Anything else is no receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Receipt {
    /// `id` of the CloudEvent; for a picture its SHA-256.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::RECEIPT_ID)))]
    pub id: String,
    /// SHA-256 of the bytes stored, 64 lower-case hex digits.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SHA256)))]
    pub sha256: String,
    /// What the receiver did with it.
    pub status: ReceiptStatus,
    /// With `partial`: how many bytes of the picture are stored, from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Why, when it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a receiver did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReceiptStatus {
    /// Stored, now or earlier; a repeat gets the same answer.
    Stored,
    /// The picture that the message names is not here; send it again.
    EvidenceMissing,
    /// It will never be accepted as it is.
    Refused,
    /// A picture that comes in pieces: what is stored of it so far, see `offset`.
    Partial,
}
