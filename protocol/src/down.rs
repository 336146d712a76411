//! What comes back from the platform, and the station's answer to it.

use alloc::string::String;
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::{pattern, schema::ToString as _};

/// What the platform decided about an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verdict {
    /// The platform's id of this verdict; the same id has the same effect once.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub id: String,
    /// The alert.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::UUID_V7)))]
    pub alert_id: String,
    /// What was decided.
    pub status: VerdictStatus,
    /// Why, in words; a rejection must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 600)))]
    pub reason: Option<String>,
    /// The platform's number of the case (案卷编号).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub case_no: Option<String>,
    /// SHA-256 of a picture of the place after it was dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SHA256)))]
    pub picture: Option<String>,
    /// Who decided: a role or a unit, no person's name is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub by: Option<String>,
    /// When it was decided, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub at: String,
}

/// How far the platform is with an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictStatus {
    /// Somebody looked at it and takes it on (受理).
    Accepted,
    /// It is no case (不予立案), for the reason given.
    Rejected,
    /// It was filed as a case (立案).
    Filed,
    /// It was dealt with (处置).
    Resolved,
    /// The case is closed (结案).
    Closed,
}
