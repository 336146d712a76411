//! One TOML file: `raw` (serde, unknown keys denied) -> `check` (all faults at once, with line
//! and suggestion) -> the validated types below, which later stages never check again.

mod calendars;
mod camera;
mod check;
pub mod code;
mod commands;
mod document;
mod faults;
pub mod limits;
pub mod line;
mod load;
pub mod platform;
mod raw;
mod shape;
mod storage;
mod suggest;
#[cfg(test)]
mod tests;
mod units;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use wangge_protocol::{EventKind, Severity, SourceKind, Tier};

use crate::{calendar::Calendar, observation::Quantity};

pub use calendars::Calendars;
pub use camera::{
    Camera, CameraInput, FolderPlay, RtspTransport, Trust, VideoDecoder, Vision, Zone,
};
pub use commands::{CommandKey, Commands, Verdicts};
pub use faults::{Fault, Faults, Level};
pub use line::Line;
pub use load::{Inspection, console_address, inspect, load, parse, sample, schema};
pub use platform::{Crs, EventCode, FilingCondition, Profile, PushTarget, ReportSource, Working};
pub use storage::Quota;

/// A whole station, valid.
#[derive(Clone, Debug)]
pub struct Config {
    pub station: Station,
    pub storage: Storage,
    /// Brokers that the gateway connects to.
    pub brokers: Vec<Broker>,
    /// The embedded ingest broker, if the station has no other.
    pub listener: Option<Listener>,
    pub buses: Vec<Bus>,
    pub cameras: Vec<Arc<Camera>>,
    pub calendars: Calendars,
    pub vision: Option<Vision>,
    pub devices: Vec<Arc<Device>>,
    pub streams: Vec<Stream>,
    pub uplinks: Vec<Uplink>,
    pub verdicts: Verdicts,
    pub commands: Commands,
    /// Platform profile: codes, sources, coordinates.
    pub profile: Arc<Profile>,
    /// Where metrics and status listen; loopback unless configured.
    pub console: Option<SocketAddr>,
    /// SIGTERM to exit at the latest.
    pub stop_deadline: Duration,
    /// First 16 hex digits of the SHA-256 of the station's file.
    pub hash: String,
}

#[derive(Clone, Debug)]
pub struct Station {
    pub id: Arc<str>,
    pub name: String,
    pub unit_grid: String,
    pub lon: f64,
    pub lat: f64,
    pub address: Option<String>,
    /// IANA zone for night windows and calendars, e.g. `Asia/Shanghai`.
    pub time_zone: jiff::tz::TimeZone,
}

#[derive(Clone, Debug)]
pub struct Storage {
    pub path: PathBuf,
    /// Bytes that it may take.
    pub quota: Quota,
    /// How long pictures stay.
    pub retention: Retention,
    /// Longest wait before a group commit; zero commits as soon as the last sync returned.
    pub commit_interval: Duration,
}

/// How long pictures stay, in time that the station has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of delivered alerts.
    pub default: Duration,
    /// Of alerts that no receiver confirmed, from when they were given up.
    pub unconfirmed: Duration,
    /// Of delivered alerts of these kinds, instead of `default`.
    pub kinds: BTreeMap<EventKind, Duration>,
    /// Of sealed originals, from when they were taken.
    pub sealed: Duration,
}

/// User name and password of a connection; never printed.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// TLS for an outgoing connection: the private CA if not a public one, and our own certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM; the system's trust store when absent.
    pub ca_file: Option<PathBuf>,
    /// PEM certificate chain and key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Where a broker listens.
#[derive(Clone, Debug)]
pub struct BrokerAddr {
    pub host: String,
    pub port: u16,
    pub tls: Option<Tls>,
    pub credentials: Option<Credentials>,
    pub client_id: String,
}

/// A broker that devices publish to.
#[derive(Clone, Debug)]
pub struct Broker {
    pub name: Arc<str>,
    pub addr: BrokerAddr,
    /// Largest payload accepted, bytes.
    pub max_payload: usize,
}

/// The embedded ingest broker: devices publish, nobody subscribes to others; PUBACK means
/// on disk.
#[derive(Clone, Debug)]
pub struct Listener {
    pub name: Arc<str>,
    pub listen: SocketAddr,
    /// Device id -> password; empty only on loopback.
    pub passwords: BTreeMap<String, String>,
    pub max_payload: usize,
    pub max_connections: usize,
}

/// One Modbus bus: a TCP connection or a serial line, polled by one task.
#[derive(Clone, Debug)]
pub struct Bus {
    pub name: Arc<str>,
    pub link: BusLink,
    /// Longest wait for a reply.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub enum BusLink {
    Tcp {
        host: String,
        port: u16,
    },
    Rtu {
        path: PathBuf,
        baud: u32,
        parity: Parity,
        stop_bits: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    None,
    Even,
    Odd,
}

/// A bin, a meter: whatever has an id.
#[derive(Clone, Debug)]
pub struct Device {
    pub id: Arc<str>,
    pub name: Option<String>,
    pub profile: Arc<DeviceProfile>,
    pub link: DeviceLink,
    /// Bin: sensor to floor, mm. `None` where the profile does not need it.
    pub height_mm: Option<f64>,
    /// Rules after defaults and overrides.
    pub rules: Vec<Arc<Rule>>,
    pub unit_grid: String,
    pub lon: f64,
    pub lat: f64,
    pub address: Option<String>,
    /// Messages per second that are believed; more is a flood.
    pub max_rate: f64,
}

#[derive(Clone, Debug)]
pub enum DeviceLink {
    /// Broker or listener name, and the topic (one, without wildcards) it publishes on.
    Mqtt { via: Arc<str>, topic: String },
    /// Bus name, unit id, how often.
    Modbus {
        bus: Arc<str>,
        unit_id: u8,
        every: Duration,
    },
}

impl Device {
    pub fn source(&self) -> SourceKind {
        match self.link {
            DeviceLink::Mqtt { .. } => SourceKind::Mqtt,
            DeviceLink::Modbus { .. } => SourceKind::Modbus,
        }
    }
}

/// What is true of every device of a type; a data file under `gateway/profiles/devices/` or a
/// `[profile.NAME]` table.
#[derive(Clone, Debug)]
pub struct DeviceProfile {
    pub name: String,
    /// For people, e.g. vendor and model.
    pub title: String,
    pub payload: Option<Payload>,
    /// Modbus points, empty for MQTT.
    pub points: Vec<Point>,
    /// Rules a device gets unless it overrides them by id.
    pub rules: Vec<Arc<Rule>>,
    pub needs_height: bool,
    /// Distance at which a bin is full (blind zone and headroom), mm.
    pub full_at_mm: f64,
}

/// How an MQTT payload becomes measurements.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Our own JSON: `{"id","seq","time","fill"…}`, see docs/installer.
    Wangge,
    /// Anyone's JSON.
    JsonPointer(JsonMapping),
    /// Milesight EM400 TLV bytes.
    Em400,
}

#[derive(Clone, Debug, Default)]
pub struct JsonMapping {
    /// RFC 6901 pointer to the device's own id; checked against the topic's when present.
    pub id: Option<String>,
    /// Pointer to the time: RFC 3339 text or Unix seconds or milliseconds.
    pub time: Option<String>,
    /// Pointer to a sequence number that rises.
    pub seq: Option<String>,
    pub values: Vec<JsonValueMapping>,
}

#[derive(Clone, Debug)]
pub struct JsonValueMapping {
    pub quantity: Quantity,
    pub pointer: String,
    pub scale: f64,
    pub offset: f64,
}

/// One figure in a Modbus device.
#[derive(Clone, Debug)]
pub struct Point {
    pub quantity: Quantity,
    /// Name in forwarded readings; unique per profile.
    pub name: String,
    /// Sum of parts, usually one: (integer part + fraction), e.g. a totaliser.
    pub parts: Vec<RegisterPart>,
    pub scale: f64,
    pub offset: f64,
    /// A totaliser: may not fall, may not rise faster than this per hour.
    pub totaliser: Option<Totaliser>,
}

#[derive(Clone, Copy, Debug)]
pub struct Totaliser {
    /// Wraps to zero here, if it does.
    pub rollover: Option<f64>,
    /// Largest believable rise, units per hour.
    pub max_per_hour: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RegisterPart {
    pub table: RegisterTable,
    /// Wire address, 0-based: base 1 is already taken off.
    pub address: u16,
    pub format: RegisterFormat,
    pub order: ByteOrder,
    pub scale: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RegisterTable {
    /// FC 03.
    Holding,
    /// FC 04.
    Input,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterFormat {
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    /// Packed BCD over this many registers.
    Bcd(u8),
    /// One bit of one register.
    Bit(u8),
}

/// Order of bytes and words as they stand on the wire, A the most significant byte. 16-bit
/// values use `Abcd` (high byte first) or `Badc`; 64-bit values extend the same pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    Abcd,
    Cdab,
    Badc,
    Dcba,
}

/// A rule as configured: what to look at, when it fires, what it then says.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique per device.
    pub id: String,
    pub kind: EventKind,
    pub severity: Severity,
    pub when: Condition,
    /// Least time between two updates of one open alert.
    pub update_every: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Raised at or beyond `raise` for `hold`, cleared beyond `clear` on the other side.
    Threshold {
        quantity: Quantity,
        side: Side,
        raise: f64,
        clear: f64,
        hold: Duration,
    },
    /// Change per minute over `window` at or beyond `per_minute` (its sign is the direction).
    Rate {
        quantity: Quantity,
        per_minute: f64,
        window: Duration,
    },
    /// Nothing heard for `after`.
    Absence { after: Duration },
    /// Flow never below `min_flow` within the night window for `hold` on end.
    NightFlow {
        from: jiff::civil::Time,
        to: jiff::civil::Time,
        min_flow: f64,
        hold: Duration,
    },
    /// Flow at or above `flow` for `hold`.
    Burst { flow: f64, hold: Duration },
    /// Anything of `labels` (anything at all if there are none) in `zone` for `dwell` (media
    /// time) while that is forbidden; cleared after `grace` empty, or when it is permitted.
    Presence {
        zone: Arc<str>,
        labels: Vec<String>,
        dwell: Duration,
        grace: Duration,
        /// Devices: if one of them overflows, that is what the alert is about.
        bins: Vec<Arc<str>>,
        among: Among,
        calendar: Arc<Calendar>,
    },
    /// The device's own health, as its source reports it; its kind overrides the rule's.
    Health,
}

/// Which of the things in a zone a rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Among {
    #[default]
    All,
    /// What came after the zone had been seen empty since its use ended.
    Arrived,
    /// What has been there since a permitted use.
    LeftBehind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Above,
    Below,
}

/// Readings that are forwarded.
#[derive(Clone, Debug)]
pub struct Stream {
    pub name: Arc<str>,
    /// Device ids; empty means all.
    pub devices: Vec<Arc<str>>,
    /// At most one reading per device in this time; zero forwards all.
    pub thin: Duration,
    /// Readings that become durable in one commit share a message; else each has its own.
    pub batch: bool,
    /// Only these fields of the payload; empty keeps all.
    pub fields: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Uplink {
    pub name: Arc<str>,
    pub link: UplinkLink,
    /// What counts as delivered.
    pub border: Border,
    pub alerts: bool,
    /// Whether verdicts and commands are taken from there.
    pub verdicts: bool,
    /// Who is at the other end; none gets the alerts of all tiers.
    pub tiers: Vec<Tier>,
    /// Names of streams it carries.
    pub streams: Vec<Arc<str>>,
    pub line: Line,
}

#[derive(Clone, Debug)]
pub enum UplinkLink {
    /// Topics start with `prefix`.
    Mqtt { addr: BrokerAddr, prefix: String },
    Https {
        url: url::Url,
        tls: Tls,
        token: Option<String>,
    },
    /// A platform's own case interface, as a profile describes it.
    Push(Box<PushTarget>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// The platform's own receipt with id and hash.
    Receipt,
    /// The broker's PUBACK: only where the broker is durable and known to say no when it drops.
    Broker,
}
