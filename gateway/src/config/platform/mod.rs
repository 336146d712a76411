//! Platform profiles: TOML files that say what a receiving platform calls our events, who deals
//! with which, and until when.

mod check;
mod push;
mod routing;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock},
};

use wangge_protocol::{EventKind, Severity, SourceKind};

use super::{Credentials, Tls};
use crate::{
    calendar::Window,
    geo::Grid,
    push::{Home, Push},
    routing::Plan,
};

pub use check::parse;

/// The profile that a station has unless it names another.
pub const DEFAULT: &str = include_str!("../../../../protocol/profiles/default.toml");

/// Profiles that ship with the gateway, by name.
pub const SHIPPED: &[(&str, &str)] = &[
    ("default", DEFAULT),
    (
        "eurbanmis",
        include_str!("../../../../protocol/profiles/eurbanmis.toml"),
    ),
    (
        "yudao",
        include_str!("../../../../protocol/profiles/yudao.toml"),
    ),
];

/// Longest id, bytes.
pub const MAX_ID: usize = 32;
/// Longest class, subclass or source id, bytes; real platforms use up to three digits, or private
/// ids.
pub const MAX_CODE: usize = 8;
/// Longest event code template, bytes.
pub const MAX_TEMPLATE: usize = 64;
/// Longest name of a subclass, source or condition, bytes (twenty Chinese characters).
pub const MAX_NAME: usize = 60;
/// Conditions for filing (立案条件) of all kinds.
pub const MAX_CONDITIONS: usize = 200;

/// Receiving platform's words and times; `protocol/profiles/*.toml`, read by [`parse`].
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub id: String,
    /// 问题来源 by how the subject speaks to us; has every [`SourceKind`].
    pub sources: BTreeMap<SourceKind, ReportSource>,
    pub crs: Crs,
    /// e.g. `{division}{class}{subclass}`; empty where the platform makes its own codes.
    pub event_code: String,
    pub codes: BTreeMap<EventKind, EventCode>,
    /// 立案条件; the first that fits an alert is its own.
    pub conditions: Vec<FilingCondition>,
    pub working: Working,
    pub routing: Plan,
    /// How its case interface is reached.
    pub push: Option<Arc<Push>>,
}

impl Profile {
    /// The condition for filing that an alert meets.
    pub fn condition(&self, kind: EventKind, severity: Severity) -> Option<&FilingCondition> {
        self.conditions
            .iter()
            .find(|c| c.kind == kind && c.severity.is_none_or(|only| only == severity))
    }
}

/// A case platform.
#[derive(Clone, Debug)]
pub struct PushTarget {
    pub url: url::Url,
    pub tls: Tls,
    pub credentials: Option<Credentials>,
    /// Its words.
    pub profile: Arc<Profile>,
    /// Its requests.
    pub push: Arc<Push>,
    pub home: Home,
}

/// What a platform calls a way that reports come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportSource {
    pub id: Option<String>,
    pub name: String,
}

/// Coordinates of `x` and `y`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crs {
    /// Degrees; equal to CGCS2000 to six decimals.
    Wgs84,
    /// Degrees.
    Gcj02,
    /// Metres.
    Epsg3857,
    /// The city's own, metres.
    Grid(Grid),
}

impl Crs {
    /// Name in profiles and messages.
    pub fn slug(self) -> &'static str {
        match self {
            Crs::Wgs84 => "wgs84",
            Crs::Gcj02 => "gcj02",
            Crs::Epsg3857 => "epsg3857",
            Crs::Grid(_) => "grid",
        }
    }
}

/// What a platform calls a kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCode {
    pub class: String,
    pub class_name: Option<String>,
    /// 中类, where the platform has three levels.
    pub middle: Option<String>,
    pub subclass: String,
    /// Of the subclass.
    pub name: String,
}

impl EventCode {
    /// Class, 中类 and subclass as event codes take them.
    pub fn words(&self) -> [&str; 3] {
        let middle = self.middle.as_deref().unwrap_or_default();
        [&self.class, middle, &self.subclass]
    }
}

/// A condition for filing a case (立案条件).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilingCondition {
    pub kind: EventKind,
    /// Only alerts of this severity; all of the kind when left out.
    pub severity: Option<Severity>,
    /// The platform's own.
    pub id: Option<String>,
    pub name: String,
}

/// The hours in which people work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Working {
    pub hours: Vec<Window>,
    /// Those in which emergencies are dealt with.
    pub urgent: Vec<Window>,
}

/// Tiers, deadlines and hours of profiles that do not say theirs.
static DEFAULTS: LazyLock<Option<Profile>> =
    LazyLock::new(|| parse(DEFAULT, "platform profile default").ok());

/// Everything that is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// File name or other origin.
    pub origin: String,
    /// In the order of lines.
    pub faults: Vec<ProfileFault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFault {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{}: {}", self.origin, fault.line, fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ProfileError {}
