//! The file as it is written: plain text and numbers, one struct a table.
//!
//! The JSON Schema is derived from these types and the shape check walks the file by that
//! schema, so the doc comments here are what an editor shows to the installer. Fields are
//! optional for serde even where the schema requires them: the shape check reports what is
//! missing, with its line, and the rest of the file is still checked.

mod calendar;
mod camera;
mod commands;
mod device;
mod privacy;
mod profile;
mod uplink;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::limits;
pub use calendar::{RawCalendar, RawDays, RawPermit, RawPermits};
pub use camera::{
    RawCamera, RawCameraMqtt, RawDecoder, RawGround, RawLine, RawTransport, RawVision, RawZone,
};
pub use commands::{RawCommands, RawVerdicts};
pub use device::{RawBus, RawDevice, RawParity, RawUnitId};
pub use privacy::{RawPrivacy, RawRetention};
pub use profile::{
    RawMapping, RawOrder, RawPart, RawPayload, RawPoint, RawProfile, RawRule, RawRuleType, RawSide,
    RawTable, RawTotaliser,
};
pub use uplink::{RawBorder, RawPictures, RawTier, RawTiers, RawUplink, RawUplinkType};

/// A span of time with its unit: `ms`, `s`, `m`, `h` or `d`, e.g. `500ms`, `20s`, `1h30m`, `30d`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, example = &"10s")]
pub struct DurationText(
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"))] pub String,
);

/// A size with its unit: `B`, `KB`, `MB`, `GB`, `TB` (thousands) or `KiB`, `MiB`, `GiB`, `TiB` (1024s).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, example = &"2GB")]
pub struct SizeText(#[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)?([KMGT]i?)?B$"))] pub String);

/// A length with its unit: `mm`, `cm` or `m`, e.g. `1.2m`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, example = &"1.2m")]
pub struct LengthText(#[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)?(mm|cm|m)$"))] pub String);

/// Configuration of one Wangge station gateway.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Wangge station")]
pub struct RawConfig {
    /// Who and where the station is.
    #[schemars(required)]
    pub station: Option<RawStation>,
    /// Where undelivered alerts and pictures are kept.
    #[schemars(required)]
    pub storage: Option<RawStorage>,
    /// How long pictures stay.
    pub retention: Option<RawRetention>,
    /// What people in pictures are owed.
    pub privacy: Option<RawPrivacy>,
    /// MQTT brokers that devices publish to and the gateway subscribes at.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_BROKERS))]
    pub broker: Vec<RawBroker>,
    /// The gateway's own small MQTT broker, for stations that have no other.
    pub listen: Option<RawListen>,
    /// Modbus buses: one TCP connection or one serial line each.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_BUSES))]
    pub bus: Vec<RawBus>,
    /// Bins, meters and whatever else reports figures.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_DEVICES))]
    pub device: Vec<RawDevice>,
    /// Cameras.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_CAMERAS))]
    pub camera: Vec<RawCamera>,
    /// Public holidays, and permits to use zones.
    pub calendar: Option<RawCalendar>,
    /// The process that looks at pictures.
    pub vision: Option<RawVision>,
    /// Readings that are forwarded as they are, besides alerts.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_STREAMS))]
    pub stream: Vec<RawStream>,
    /// Where alerts and streams are delivered.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_UPLINKS))]
    pub uplink: Vec<RawUplink>,
    /// What follows from the platform's verdicts on alerts.
    pub verdicts: Option<RawVerdicts>,
    /// Who may command the station, and how far.
    pub commands: Option<RawCommands>,
    /// The receiving platform's codes, sources and coordinates.
    pub platform: Option<RawPlatform>,
    /// Device profiles of this station's own; the name stands in the table's key.
    #[serde(default)]
    #[schemars(extend("maxProperties" = limits::MAX_PROFILES))]
    pub profile: BTreeMap<String, RawProfile>,
    /// Metrics and status for this machine.
    pub console: Option<RawConsole>,
    /// How the gateway stops.
    pub stop: Option<RawStop>,
}

/// Who and where the station is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStation {
    /// Unique among all stations of the platform; letters, digits, `.`, `_` and `-`.
    #[schemars(required, example = &"kunming-wuhua-01")]
    pub id: Option<String>,
    /// For people, e.g. the station's name in Chinese; the id when left out.
    pub name: Option<String>,
    /// Unit grid code (单元网格), 15 digits: 6 division, 3 street, 3 community, 3 sequence.
    #[schemars(required, example = &"530102001001001")]
    pub unit_grid: Option<String>,
    /// WGS-84 longitude in degrees.
    #[schemars(required, range(min = -180.0, max = 180.0), example = 102.7)]
    pub lon: Option<f64>,
    /// WGS-84 latitude in degrees.
    #[schemars(required, range(min = -90.0, max = 90.0), example = 25.05)]
    pub lat: Option<f64>,
    /// Address text for alerts.
    pub address: Option<String>,
    /// IANA time zone for night windows; `Asia/Shanghai` when left out.
    #[schemars(example = &"Asia/Shanghai")]
    pub time_zone: Option<String>,
}

/// Where undelivered alerts and pictures are kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStorage {
    /// Directory of its own, on a disk that survives a restart.
    #[schemars(required, example = &"/var/lib/wangge")]
    pub path: Option<String>,
    /// Most space for records and pictures together; `2GB` when left out, at least 64MB.
    pub quota: Option<SizeText>,
    /// Most space for readings that wait for delivery; 85 % of `quota` when left out, at least 16MB.
    pub telemetry_quota: Option<SizeText>,
    /// Most space for pictures; 70 % of `quota` when left out, at least 16MB.
    pub picture_quota: Option<SizeText>,
    /// Longest wait before readings are synced to disk together; `4ms` when left out, `0s`
    /// syncs as fast as the disk can.
    pub commit_interval: Option<DurationText>,
}

/// An MQTT broker that devices publish to.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBroker {
    /// How devices refer to it with `via`.
    #[schemars(required, example = &"field")]
    pub name: Option<String>,
    /// `mqtt://host:1883`, or `mqtts://host:8883` for TLS.
    #[schemars(required, example = &"mqtts://broker.local:8883")]
    pub url: Option<String>,
    /// User name at the broker.
    pub username: Option<String>,
    /// Password, for trials only; prefer `password_file`.
    pub password: Option<String>,
    /// File with the password, readable by the gateway alone.
    pub password_file: Option<String>,
    /// PEM file of the private CA that signed the broker's certificate; the system's CAs when
    /// left out.
    pub ca_file: Option<String>,
    /// PEM file of the gateway's own certificate.
    pub client_cert: Option<String>,
    /// PEM file of its key, readable by the gateway alone.
    pub client_key: Option<String>,
    /// MQTT client id, for the persistent session; `wangge-STATION-NAME` when left out.
    pub client_id: Option<String>,
    /// Largest payload taken from a device; `64KB` when left out.
    pub max_payload: Option<SizeText>,
}

/// The gateway's own small MQTT broker.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawListen {
    /// How devices refer to it with `via`; `listen` when left out.
    #[schemars(example = &"bins")]
    pub name: Option<String>,
    /// Address and port, e.g. `127.0.0.1:1883`; anything but loopback needs `password_file`.
    #[schemars(required, example = &"127.0.0.1:1883")]
    pub address: Option<String>,
    /// File with one line `DEVICE-ID:PASSWORD` a device; the device's id is its user name.
    pub password_file: Option<String>,
    /// Largest payload taken from a device; `64KB` when left out.
    pub max_payload: Option<SizeText>,
    /// Most devices connected at once; 1,000 when left out.
    #[schemars(range(min = *limits::MAX_CONNECTIONS.start(), max = *limits::MAX_CONNECTIONS.end()))]
    pub max_connections: Option<usize>,
}

/// Readings that are forwarded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStream {
    /// How uplinks refer to it; it is the last part of the MQTT topic too.
    #[schemars(required, example = &"bins")]
    pub name: Option<String>,
    /// Device ids, `*` stands for any text; all devices when left out.
    #[schemars(example = ["bin-*"])]
    #[serde(default)]
    pub devices: Vec<String>,
    /// At most one reading a device in this time; `0s` (when left out) forwards all.
    pub thin: Option<DurationText>,
    /// Put readings that become durable together into one message; `true` when left out.
    pub batch: Option<bool>,
    /// Fields of the payload to keep, as JSON pointers; all when left out.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_FIELDS), example = ["/fill", "/time"])]
    pub fields: Vec<String>,
}

/// The receiving platform's words.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPlatform {
    /// A profile that ships with the gateway; `default` when left out.
    pub profile: Option<String>,
    /// A platform profile file instead.
    pub file: Option<String>,
}

/// Metrics and status for this machine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawConsole {
    /// Loopback address and port, or `off`; `127.0.0.1:9464` when left out.
    #[schemars(example = &"127.0.0.1:9464")]
    pub listen: Option<String>,
}

/// How the gateway stops.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStop {
    /// Longest time from SIGTERM to exit; `10s` when left out.
    pub deadline: Option<DurationText>,
}
