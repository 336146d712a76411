//! What every source produces and the only thing that rules know.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use wangge_protocol::{EvidenceRef, Text};

use crate::calendar::Permit;

/// A physical quantity in the one unit that the product uses for it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// How full a bin is, %.
    Fill,
    /// Sensor to surface, mm.
    Distance,
    /// °C.
    Temperature,
    /// Degrees from upright; a sensor that only knows yes or no reports 90 or 0.
    Tilt,
    /// Battery left, %.
    Battery,
    /// Supply voltage, V.
    Voltage,
    /// Momentary flow, m³/h; negative is backwards.
    Flow,
    /// Meter reading, m³.
    Volume,
    /// Anything else a rule may look at, without a unit.
    Level,
}

impl Quantity {
    /// Every quantity.
    pub const ALL: &'static [Quantity] = &[
        Quantity::Fill,
        Quantity::Distance,
        Quantity::Temperature,
        Quantity::Tilt,
        Quantity::Battery,
        Quantity::Voltage,
        Quantity::Flow,
        Quantity::Volume,
        Quantity::Level,
    ];

    /// Name in configuration and messages.
    pub const fn slug(self) -> &'static str {
        match self {
            Quantity::Fill => "fill",
            Quantity::Distance => "distance",
            Quantity::Temperature => "temperature",
            Quantity::Tilt => "tilt",
            Quantity::Battery => "battery",
            Quantity::Voltage => "voltage",
            Quantity::Flow => "flow",
            Quantity::Volume => "volume",
            Quantity::Level => "level",
        }
    }

    /// Unit in messages.
    pub const fn unit(self) -> &'static str {
        match self {
            Quantity::Fill | Quantity::Battery => "%",
            Quantity::Distance => "mm",
            Quantity::Temperature => "Cel",
            Quantity::Tilt => "deg",
            Quantity::Voltage => "V",
            Quantity::Flow => "m3/h",
            Quantity::Volume => "m3",
            Quantity::Level => "1",
        }
    }

    /// Values outside cannot be true of any device that this quantity is used for; a source
    /// marks them [`Quality::Implausible`] and rules ignore them.
    pub const fn plausible(self) -> (f64, f64) {
        match self {
            Quantity::Fill | Quantity::Battery => (0.0, 100.0),
            Quantity::Distance => (0.0, 50_000.0),
            Quantity::Temperature => (-60.0, 300.0),
            Quantity::Tilt => (0.0, 180.0),
            Quantity::Voltage => (0.0, 60.0),
            Quantity::Flow => (-100_000.0, 100_000.0),
            Quantity::Volume => (0.0, 1e10),
            Quantity::Level => (f64::MIN, f64::MAX),
        }
    }
}

/// How far a value can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// As measured.
    Good,
    /// The device's clock is off by more than ten minutes: the value counts, its time is ours.
    ClockSuspect,
    /// Outside what the quantity can be; kept for the record, never for a rule.
    Implausible,
}

/// One thing that was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Device or camera id.
    pub subject: Arc<str>,
    /// When it was so: the device's clock if it is believed, else the gateway's; media time
    /// mapped to wall time for cameras.
    pub at: Timestamp,
    /// What was observed.
    pub value: Value,
    /// How far to believe it.
    pub quality: Quality,
}

/// What was observed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A figure.
    Measurement { quantity: Quantity, value: f64 },
    /// Something in a camera's zone.
    Sighting(Box<Sighting>),
    /// The state of the device itself.
    Health(Health),
    /// The permits that go from now on, for all zones.
    Permits(Arc<[Permit]>),
}

/// A track in a zone, or that zone found empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Zone id.
    pub zone: Arc<str>,
    /// False: the zone has been watched and found empty since `dwell`.
    pub present: bool,
    /// Detector label, score 0..1 and box as fractions (left, top, right, bottom).
    pub label: String,
    pub score: f32,
    pub bbox: [f32; 4],
    /// Track id, unique per camera and run.
    pub track: u64,
    /// Time in the zone (or empty), in media time.
    pub dwell: std::time::Duration,
    /// Model id and the first 16 hex digits of its hash.
    pub model: String,
    pub model_hash: String,
    /// Pictures already safe on disk.
    pub evidence: Vec<EvidenceRef>,
    /// How it came there, of something without a class.
    pub story: Option<wangge_protocol::Story>,
    /// How far everything in the zone together stands out over its line.
    pub overrun: Option<wangge_protocol::Overrun>,
    /// The zone has not been seen empty since its use ended.
    pub left_behind: bool,
}

/// The state of a device, camera or part of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works (again).
    Ok,
    /// It does not, and why, in one sentence for people.
    Fault {
        what: wangge_protocol::EventKind,
        reason: Text,
    },
}

/// Everything that one message, poll or frame brought, with what has to happen once its
/// consequences are on disk.
#[derive(Debug)]
pub struct Arrival {
    /// Device or camera id.
    pub subject: Arc<str>,
    /// Device time as sent, whether believed or not.
    pub device_time: Option<Timestamp>,
    /// When the gateway had it.
    pub received: Timestamp,
    /// What rules look at.
    pub observations: Vec<Observation>,
    /// JSON object that a telemetry stream forwards: the payload's own fields. `None` where
    /// nothing is to be forwarded.
    pub payload: Option<Box<serde_json::value::RawValue>>,
    /// To be called back after the sync.
    pub ack: Option<Ack>,
}

/// The right to acknowledge one arrival to whoever sent it; dropping it acknowledges nothing,
/// so the sender will repeat.
#[derive(Debug)]
pub struct Ack {
    /// The connection that waits.
    pub to: UnboundedSender<u64>,
    /// That connection's own name for the message.
    pub token: u64,
}

impl Ack {
    /// Tells the sender that its message is safe. A connection that has gone needs no word.
    pub fn done(self) {
        let _ = self.to.send(self.token);
    }
}

/// What cameras' source tells whoever compares a shadow with the live side.
#[derive(Clone, Debug)]
pub enum Witnessed {
    /// Goes to the rules as well.
    Live(Observation),
    /// Of a shadow model, or in a shadow zone: goes nowhere else.
    Shadow(Observation),
    /// The permits that go from now on, for both sides.
    Permits(Arc<[Permit]>),
    /// How often a camera's models looked since the last word.
    Looks {
        subject: Arc<str>,
        live: u64,
        shadow: u64,
    },
}

/// Takes what was witnessed; does not wait.
pub type Witness = Arc<dyn Fn(Witnessed) + Send + Sync>;
