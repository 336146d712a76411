//! Who deals with an alert: the tiers of 小事不出社区、难事不出街道、大事三级联动, and the figures
//! that go up regularly.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::EventKind;
#[cfg(feature = "schema")]
use crate::{pattern, schema::ToString as _};

/// Who deals with an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The station itself; it is kept and counted there.
    Community,
    /// The street office (街道).
    Street,
    /// The city, or its district.
    City,
}

impl Tier {
    /// From the lowest to the highest.
    pub const ALL: [Tier; 3] = [Tier::Community, Tier::Street, Tier::City];

    /// Name in configuration and messages.
    pub const fn slug(self) -> &'static str {
        match self {
            Tier::Community => "community",
            Tier::Street => "street",
            Tier::City => "city",
        }
    }

    /// The name that station staff see.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Tier::Community => "社区",
            Tier::Street => "街道",
            Tier::City => "市级",
        }
    }

    /// The next higher one.
    pub const fn above(self) -> Option<Tier> {
        match self {
            Tier::Community => Some(Tier::Street),
            Tier::Street => Some(Tier::City),
            Tier::City => None,
        }
    }
}

/// Who has an alert, and until when they have time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Routing {
    /// The highest tier that has the alert.
    pub tier: Tier,
    /// In the message alone that brings the alert to `tier`: who had it until now and did not
    /// settle it in time. `tier` may see the alert in that message for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated_from: Option<Tier>,
    /// Without a verdict until then the alert goes on to the next higher tier, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub deadline: Option<String>,
}

/// `data` of a digest: what became of a station's alerts in some days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Digest {
    /// The station.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub station: String,
    /// First day, local date of the station.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::DATE)))]
    pub from: String,
    /// Last day, included.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::DATE)))]
    pub to: String,
    /// A long digest comes in several messages: which one this is, from 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub part: u32,
    /// Of how many.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub parts: u32,
    /// Alerts that nobody has settled when the digest is made.
    pub open: u64,
    /// One row for each kind and tier that had any.
    pub rows: Vec<DigestRow>,
}

/// What happened to the alerts of one kind at one tier. Each figure counts what happened in
/// these days, whenever the alert was raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DigestRow {
    /// What the alerts were about.
    pub kind: EventKind,
    /// Who had them then.
    pub tier: Tier,
    /// The figures.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Figures of a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counts {
    /// Alerts that began at this tier, or came to it from the one below.
    pub received: u32,
    /// Ended, or got a verdict, before their deadline; or had none.
    pub in_time: u32,
    /// Passed their deadline at this tier.
    pub late: u32,
    /// Of those, went on to the next tier.
    pub escalated: u32,
}

impl Counts {
    /// Adds another's figures.
    pub fn add(&mut self, other: &Counts) {
        for (sum, n) in [
            (&mut self.received, other.received),
            (&mut self.in_time, other.in_time),
            (&mut self.late, other.late),
            (&mut self.escalated, other.escalated),
        ] {
            *sum = sum.saturating_add(n);
        }
    }
}
