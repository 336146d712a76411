//! The alert as the platform receives it: a CloudEvents 1.0 structured JSON document.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{EventKind, Routing, Severity, VerdictStatus};
#[cfg(feature = "schema")]
use crate::{pattern, schema::ToString as _};

/// CloudEvents 1.0 envelope (<https://github.com/cloudevents/spec>, JSON format).
///
/// `id` is unique per message and repeats only when the same bytes are sent again, so it is the
/// receiver's idempotency key; `subject` is the alert, which keeps its id for life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct CloudEvent<T> {
    /// Always `1.0`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SPECVERSION)))]
    pub specversion: String,
    /// UUIDv7 of this message.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::UUID_V7)))]
    pub id: String,
    /// `/stations/<station id>`
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::STATION_SOURCE)))]
    pub source: String,
    /// One of the `TYPE_*` constants.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The alert's id, or the stream's name for telemetry.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub subject: String,
    /// When the message was made, RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub time: String,
    /// Always `application/json`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::JSON)))]
    pub datacontenttype: String,
    /// URI of the JSON Schema that `data` follows.
    pub dataschema: String,
    /// What happened.
    pub data: T,
}

/// An alert began.
pub const TYPE_RAISED: &str = "cn.wangge.alert.raised.v1";
/// An alert that goes on, with newer figures, or has begun again soon after it was cleared.
pub const TYPE_UPDATED: &str = "cn.wangge.alert.updated.v1";
/// An alert ended by itself.
pub const TYPE_CLEARED: &str = "cn.wangge.alert.cleared.v1";
/// A batch of forwarded readings.
pub const TYPE_TELEMETRY: &str = "cn.wangge.telemetry.v1";
/// What became of a station's alerts in some days, in figures.
pub const TYPE_DIGEST: &str = "cn.wangge.digest.v1";
/// Records that the gateway had to drop; never silently.
pub const TYPE_GAP: &str = "cn.wangge.gap.v1";

/// `dataschema` of alerts.
pub const SCHEMA_ALERT: &str = "urn:wangge:schema:alert:1";
/// `dataschema` of telemetry.
pub const SCHEMA_TELEMETRY: &str = "urn:wangge:schema:telemetry:1";
/// `dataschema` of digests.
pub const SCHEMA_DIGEST: &str = "urn:wangge:schema:digest:1";
/// `dataschema` of gap records.
pub const SCHEMA_GAP: &str = "urn:wangge:schema:gap:1";

/// The state that a message reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It began.
    Raised,
    /// It goes on, with newer figures; after `cleared` it has begun again, as the same alert.
    Updated,
    /// It is over.
    Cleared,
}

/// Where the observation came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A device that publishes over MQTT.
    Mqtt,
    /// A device polled over Modbus.
    Modbus,
    /// A camera.
    Camera,
    /// The gateway itself.
    Gateway,
}

impl SourceKind {
    /// Every kind of source.
    pub const ALL: &'static [SourceKind] = &[
        SourceKind::Mqtt,
        SourceKind::Modbus,
        SourceKind::Camera,
        SourceKind::Gateway,
    ];

    /// Name in messages and profiles.
    pub const fn slug(self) -> &'static str {
        match self {
            SourceKind::Mqtt => "mqtt",
            SourceKind::Modbus => "modbus",
            SourceKind::Camera => "camera",
            SourceKind::Gateway => "gateway",
        }
    }
}

/// `data` of an alert message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AlertData {
    /// UUIDv7 made once, when the alert was raised.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::UUID_V7)))]
    pub alert_id: String,
    /// Rises by one with every message about this alert, from 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub revision: u32,
    /// What the message says about the alert.
    pub state: AlertState,
    /// What the alert is about.
    pub kind: EventKind,
    /// How much it matters.
    pub severity: Severity,
    /// The station.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub station: String,
    /// Device or camera id.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub device: String,
    /// How the device speaks to the gateway.
    pub source: SourceKind,
    /// The rule that fired.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub rule: String,
    /// When the condition began, by the device's or camera's clock if it is believed, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub occurred_at: String,
    /// When the gateway raised it, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub raised_at: String,
    /// When it cleared, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub cleared_at: Option<String>,
    /// One sentence for people, in Chinese and English.
    pub text: Text,
    /// The figure that crossed the rule's limit, if the rule has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<AlertMeasurement>,
    /// What the camera saw, if a camera saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sighting: Option<AlertSighting>,
    /// Where it is.
    pub place: Place,
    /// What the receiving platform calls it; every code here comes from the platform profile.
    pub platform: PlatformCodes,
    /// The platform's last verdict on it, as far as the station knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictStatus>,
    /// Pictures, each delivered under its hash before this message.
    pub evidence: Vec<EvidenceRef>,
    /// Who has the alert, at stations whose uplinks have tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
}

/// The same sentence in two languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Text {
    /// Chinese.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub zh: String,
    /// English.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub en: String,
}

/// A figure and the limit it crossed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AlertMeasurement {
    /// Quantity slug, e.g. `fill`.
    pub quantity: String,
    /// The figure, in `unit`.
    pub value: f64,
    /// Unit, e.g. `%`, `m3/h`.
    pub unit: String,
    /// The rule's limit, in `unit` (or `unit`/min for a rate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// What a camera saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AlertSighting {
    /// Zone id.
    pub zone: String,
    /// Detector's label.
    pub label: String,
    /// Detector's score, 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub score: f32,
    /// Box in the picture as fractions of its width and height: left, top, right, bottom.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0, max = 1))))]
    pub bbox: [f32; 4],
    /// Seconds in the zone, in media time.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub dwell_s: f64,
    /// Track id, unique per camera and run.
    pub track: u64,
    /// Model id from its manifest.
    pub model: String,
    /// First 16 hex digits of the weights' SHA-256.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::MODEL_HASH)))]
    pub model_hash: String,
    /// A machine saw this; nobody confirmed it yet.
    pub human_confirmed: bool,
    /// How it came there, of something that is new and stays (`label` `object`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<Story>,
    /// Device id of a bin beside it that was full when this began: then it is an overflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_bin: Option<String>,
    /// How far things stand out over the zone's line, in a zone that has one. Of everything there
    /// together, not only of what `label` and `bbox` name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrun: Option<Overrun>,
    /// Since when it may not be there, RFC 3339; of zones with a calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub forbidden_since: Option<String>,
    /// What permitted it until then: the permit's id, or the window as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<String>,
}

/// How far things stand out over a line on the ground, in metres. Errors are half-widths: in 95
/// of 100 cases the truth is within figure ± error. An overrun is only told when it is larger
/// than its error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overrun {
    /// Greatest distance beyond the limit, m.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub metres: f64,
    /// Its error, m.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub error_m: f64,
    /// Along how much of the line something stands out, m.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000)))]
    pub along_m: f64,
    /// Its error, m.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000)))]
    pub along_error_m: f64,
    /// The limit: how far from the shop-front things may stand, m.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub limit_m: f64,
}

/// How something came to lie there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Story {
    /// When it was first there, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub appeared_at: String,
    /// Whether anybody was seen to bring it. A lead for people to follow, not a proof.
    pub actor_seen: bool,
    /// Who or what did, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What a model that knows rubbish thinks of it, where there is one. Evidence beside the
    /// story, never the reason of an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub litter: Option<Litter>,
}

/// A second opinion on what lies there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Litter {
    /// Its best score at the place, 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub score: f32,
    /// The score is at or above the model's threshold.
    pub likely: bool,
    /// Model id from its manifest.
    pub model: String,
    /// First 16 hex digits of the weights' SHA-256.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::MODEL_HASH)))]
    pub model_hash: String,
}

/// A person or vehicle that touched the place last before something lay there. No identity: a
/// label, and a track that ends when they leave the picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Actor {
    /// Detector's label, e.g. `person`.
    pub label: String,
    /// Track id, unique per camera and run.
    pub track: u64,
    /// When they were last at the place, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub left_at: String,
}

/// Where something is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Place {
    /// WGS-84 longitude, degrees.
    #[cfg_attr(feature = "schema", schemars(range(min = -180, max = 180)))]
    pub lon: f64,
    /// WGS-84 latitude, degrees.
    #[cfg_attr(feature = "schema", schemars(range(min = -90, max = 90)))]
    pub lat: f64,
    /// Unit grid (单元网格), 15 digits: 6 division + 3 street + 3 community + 3 sequence.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::UNIT_GRID)))]
    pub unit_grid: String,
    /// Address text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// What the receiving platform calls the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlatformCodes {
    /// Profile id.
    pub profile: String,
    /// Event code built by the profile's template, e.g. division + class + subclass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_code: Option<String>,
    /// Class (大类).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Subclass (小类).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subclass: Option<String>,
    /// Name of the subclass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Condition for filing (立案条件), where the platform has several for a subclass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Where the report comes from (问题来源).
    pub source_name: String,
    /// The platform's own id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Coordinate reference system of `x` and `y`: `wgs84`, `gcj02`, `epsg3857`, or `grid` for
    /// the city's own in metres.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::CRS)))]
    pub crs: String,
    /// Easting or longitude in `crs`.
    pub x: f64,
    /// Northing or latitude in `crs`.
    pub y: f64,
}

/// A picture named by its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EvidenceRef {
    /// SHA-256 of the bytes, 64 lower-case hex digits.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SHA256)))]
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
    /// e.g. `image/jpeg`.
    pub media_type: String,
    /// What it shows: `scene`, or of a story `before`, `drop`, `leaving`, `after`, `cleared`; or
    /// `requested`, of a zone that somebody asked for.
    pub role: String,
    /// When it was taken, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub taken_at: String,
    /// SHA-256 of a small JPEG of the same, where a thin link is sent that one first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SHA256)))]
    pub thumbnail: Option<String>,
}
