//! How the gateway is, as `GET /status` and `wangge status` tell it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use wangge_protocol::{ClockQuality, EventKind, Severity, SourceKind, Tier};

use super::VerdictsStatus;
use crate::{
    counters::{SourceCounters, UplinkCounters},
    routing::DayRow,
    spool::{ClassUse, StreamAccount},
};

/// The whole gateway at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    pub station: StationStatus,
    /// Brokers, the listener, buses, and the cameras together.
    pub sources: Vec<SourceStatus>,
    pub cameras: Vec<CameraStatus>,
    /// There when cameras are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision: Option<VisionStatus>,
    pub storage: StorageStatus,
    #[serde(default)]
    pub proof: ProofStatus,
    /// What somebody must see to, a sentence each: permits, holidays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Accounts of alerts and of each stream.
    pub streams: BTreeMap<String, StreamAccount>,
    pub uplinks: Vec<UplinkStatus>,
    /// What the platform decided, and what it asked for.
    #[serde(default)]
    pub verdicts: VerdictsStatus,
    /// Alerts that have not ended.
    pub alerts: Vec<OpenAlert>,
    /// Alert messages made since the start.
    pub totals: Vec<AlertTotal>,
    /// Figures of the days, which have a page of their own.
    #[serde(skip)]
    pub digest: DigestPage,
}

/// Figures of every day that is kept, as `GET /digest` tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestPage {
    pub station: String,
    /// Local date of the station.
    pub today: Date,
    /// Alerts that have not ended.
    pub open: usize,
    /// Of those, past their deadline at the last tier.
    pub overdue: usize,
    pub rows: Vec<DayRow>,
}

/// What alerts are proved with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofStatus {
    /// How far the clock is believed.
    pub clock: ClockQuality,
    /// Name of the key that alerts are signed with; `None` when they are not signed.
    pub key: Option<String>,
}

/// What became of alerts of one kind and source since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertTotal {
    pub kind: EventKind,
    pub source: SourceKind,
    pub raised: u64,
    pub updated: u64,
    pub cleared: u64,
}

impl Status {
    /// Whether something accepts nothing or lost something: what `wangge status` fails for.
    pub fn refusing(&self) -> bool {
        self.storage.refusing.is_some()
    }

    /// Streams whose account does not add up, which is a fault of the program.
    pub fn unbalanced(&self) -> impl Iterator<Item = &str> {
        let wrong = self.streams.iter().filter(|(_, s)| !s.is_balanced());
        wrong.map(|(name, _)| name.as_str())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationStatus {
    pub id: String,
    pub name: String,
}

/// One broker, listener, bus, or all cameras together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name in the configuration.
    pub name: String,
    pub kind: SourceKind,
    pub received: u64,
    pub accepted: u64,
    pub refused: u64,
    pub faults: u64,
}

impl SourceStatus {
    /// Reads a source's counters.
    pub fn new(name: &str, kind: SourceKind, counters: &SourceCounters) -> Self {
        SourceStatus {
            name: name.to_owned(),
            kind,
            received: counters.received.get(),
            accepted: counters.accepted.get(),
            refused: counters.refused.get(),
            faults: counters.faults.get(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraStatus {
    pub id: String,
    /// Why it gives no usable pictures; `None` when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The same in Chinese.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_zh: Option<String>,
}

/// The process that looks at pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisionStatus {
    /// `None` while it is down.
    pub pid: Option<u32>,
    /// How often it had to be started again.
    pub restarts: u64,
    /// Bytes resident, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
    /// Why it last ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The same in Chinese.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_zh: Option<String>,
    /// What it has to do without, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weaknesses: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StorageStatus {
    /// Bytes on disk: records and pictures.
    pub bytes: u64,
    pub quota: u64,
    /// Of the bytes on disk, those that count against the quota; the database gives space back
    /// late.
    #[serde(default)]
    pub used: u64,
    /// Of `used`: above it only alerts are taken.
    #[serde(default)]
    pub watermark: u64,
    /// What each class takes: alert, gap, telemetry, picture.
    #[serde(default)]
    pub classes: BTreeMap<String, ClassUse>,
    /// Group commits so far.
    pub syncs: u64,
    /// Databases replaced by a fresh one since the start.
    #[serde(default)]
    pub rotations: u64,
    /// Hours until only alerts are taken if nothing is delivered from now on and it comes in as in
    /// the last hour; `None` while nothing comes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours_left: Option<f64>,
    /// Why nothing is accepted, if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusing: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// Its name in the configuration.
    pub name: String,
    pub connected: bool,
    pub sent: u64,
    pub receipted: u64,
    pub strange_receipts: u64,
    pub poisoned: u64,
    /// Verdicts and commands that came.
    #[serde(default)]
    pub came: u64,
    /// What came from the platform and cannot even be answered.
    #[serde(default)]
    pub garbled: u64,
    /// Verdicts and commands that were too many, and come again.
    #[serde(default)]
    pub deferred: u64,
    pub faults: u64,
    /// Bytes over the line in both directions since the start, about.
    #[serde(default)]
    pub carried: u64,
    /// Of the day's or month's budget, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetStatus>,
    /// Whether readings and late pictures may go now, where there are windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_open: Option<bool>,
    /// What went wrong last, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Bytes agreed.
    pub bytes: u64,
    /// `day` or `month`.
    pub per: String,
    /// Bytes spent in this one.
    pub spent: u64,
}

impl UplinkStatus {
    /// Reads an uplink's counters.
    pub fn new(name: &str, counters: &UplinkCounters) -> Self {
        let (connected, last_error) = counters.link.get();
        let line = counters.line.get();
        UplinkStatus {
            name: name.to_owned(),
            connected,
            sent: counters.sent.get(),
            receipted: counters.receipted.get(),
            strange_receipts: counters.strange_receipts.get(),
            poisoned: counters.poisoned.get(),
            came: counters.came.get(),
            garbled: counters.garbled.get(),
            deferred: counters.deferred.get(),
            faults: counters.faults.get(),
            carried: counters.carried.get(),
            budget: line.budget.map(|(budget, spent)| BudgetStatus {
                bytes: budget.bytes,
                per: budget.per.word().to_owned(),
                spent,
            }),
            window_open: line.open,
            last_error,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAlert {
    /// UUID for life.
    pub id: String,
    /// Device or camera.
    pub subject: String,
    pub rule: String,
    pub kind: EventKind,
    pub severity: Severity,
    /// RFC 3339.
    pub since: String,
    /// Who has it, at a station with tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Without a verdict until then it goes on to the next tier, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Past its deadline, and there is no tier above.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
}
