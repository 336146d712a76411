//! The file as it is written: plain text and numbers, one struct a table.
//!
//! The JSON Schema is derived from these types and the shape check walks the file by that
//! schema, so the doc comments here are what an editor shows to the installer. Fields are
//! optional for serde even where the schema requires them: the shape check reports what is
//! missing, with its line, and the rest of the file is still checked.

mod calendar;
mod commands;
mod device;
mod privacy;
mod profile;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use wangge_protocol::{EventKind, Severity};

use super::limits;
use crate::vision::ground;
pub use calendar::{RawCalendar, RawDays, RawPermit, RawPermits};
pub use commands::{RawCommands, RawVerdicts};
pub use device::{RawBus, RawDevice, RawParity, RawUnitId};
pub use privacy::{RawPrivacy, RawRetention};
pub use profile::{
    RawMapping, RawOrder, RawPart, RawPayload, RawPoint, RawProfile, RawRule, RawRuleType, RawSide,
    RawTable, RawTotaliser,
};

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

/// A camera, or a video file that is played as one.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCamera {
    /// Unique among devices and cameras.
    #[schemars(required, example = &"gate")]
    pub id: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// `rtsp://host:554/path` or `rtsps://host:322/path` for video, `http://host/path` or
    /// `https://host/path` for a picture that is asked for again and again; without user and
    /// password.
    #[schemars(example = &"rtsp://192.168.1.20:554/Streaming/Channels/102")]
    pub url: Option<String>,
    /// User name at the camera.
    pub username: Option<String>,
    /// Password, for trials only; prefer `password_file`.
    pub password: Option<String>,
    /// File with the password, readable by the gateway alone.
    pub password_file: Option<String>,
    /// For `rtsps://` and `https://`: PEM file of the CA that signed the camera's certificate;
    /// the system's CAs when left out.
    pub ca_file: Option<String>,
    /// For `rtsps://` and `https://`: SHA-256 of the camera's own certificate, for one that
    /// nobody signed; 64 hex digits, with or without colons.
    #[schemars(regex(pattern = r"^([0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31})$"))]
    pub certificate_sha256: Option<String>,
    /// For `rtsp://`: `tcp` (when left out) or `udp`.
    pub transport: Option<RawTransport>,
    /// A video file instead of `url`.
    pub file: Option<String>,
    /// A folder of JPEG pictures instead of `url`, in the order of their names.
    pub folder: Option<String>,
    /// JPEG pictures that the camera publishes, instead of `url`.
    pub mqtt: Option<RawCameraMqtt>,
    /// Play the file or folder again and again.
    pub repeat: Option<bool>,
    /// Instead of playing the folder, wait for pictures that are put into it.
    pub watch: Option<bool>,
    /// Time between two pictures of a camera that sends single ones (`http://`, `mqtt`,
    /// `folder`); `2s` when left out, from 100ms to 60s.
    #[schemars(example = &"2s")]
    pub every: Option<DurationText>,
    /// Frames a second for the detector while something moves; 5 when left out.
    #[schemars(range(min = *limits::FPS.start(), max = *limits::FPS.end()))]
    pub fps: Option<f64>,
    /// Polygons that are blacked out before a picture is written (windows, doors), as fractions
    /// of width and height.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_MASKS))]
    pub masks: Vec<Vec<[f64; 2]>>,
    /// Taped points of the ground, for zones with a `line`.
    pub ground: Option<RawGround>,
    /// Where to look, for what.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_ZONES))]
    pub zone: Vec<RawZone>,
    /// WGS-84 longitude, the station's when left out.
    #[schemars(range(min = -180.0, max = 180.0))]
    pub lon: Option<f64>,
    /// WGS-84 latitude, the station's when left out.
    #[schemars(range(min = -90.0, max = 90.0))]
    pub lat: Option<f64>,
    /// Address text, the station's when left out.
    pub address: Option<String>,
    /// Unit grid, the station's when left out.
    pub unit_grid: Option<String>,
}

/// Points of the ground that somebody taped, each with its place in the picture. They belong to
/// this very view: mark and tape again when the camera was moved or zoomed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGround {
    /// Four or more that span the ground that is watched; six or more tell how the lens bends
    /// straight lines, and find a mistyped figure.
    #[schemars(
        required,
        length(min = *ground::limits::POINTS.start(), max = *ground::limits::POINTS.end())
    )]
    pub points: Option<Vec<RawGroundPoint>>,
    /// Width and height of the picture that the points were marked in, pixels; `[1920, 1080]`
    /// when left out.
    pub picture: Option<[u32; 2]>,
    /// How exactly a point was marked in that picture, pixels (standard deviation); 2 when left
    /// out.
    #[schemars(range(
        min = *ground::limits::POINT_ERROR.start(), max = *ground::limits::POINT_ERROR.end()
    ))]
    pub point_error: Option<f64>,
    /// How exactly a point was taped (standard deviation); `2cm` when left out.
    pub tape_error: Option<LengthText>,
}

/// A point of the ground.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGroundPoint {
    /// Where it is in the picture, as fractions of width and height.
    #[schemars(required, extend("examples" = [[0.31, 0.72]]))]
    pub image: Option<[f64; 2]>,
    /// Where it is on the ground, metres from any origin, in any two directions at right angles.
    #[schemars(required, extend("examples" = [[0.0, 0.0]]))]
    pub metres: Option<[f64; 2]>,
}

/// A shop-front and how far things may stand out of it (出店一米线), in the metres of the
/// camera's `ground`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLine {
    /// Along the shop-front, in metres; two points for a straight one.
    #[schemars(
        required,
        length(min = *ground::front_limits::POINTS.start(), max = *ground::front_limits::POINTS.end()),
        extend("examples" = [[[0.0, 0.0], [6.0, 0.0]]])
    )]
    pub points: Option<Vec<[f64; 2]>>,
    /// Any place on the road side, in metres, farther from the shop-front than `limit`.
    #[schemars(required, extend("examples" = [[3.0, 5.0]]))]
    pub road: Option<[f64; 2]>,
    /// How far from the shop-front things may stand.
    #[schemars(required, example = &"1m")]
    pub limit: Option<LengthText>,
    /// Largest error of a figure; where it is larger, nothing is measured. `0.3m` when left out.
    pub tolerance: Option<LengthText>,
    /// How far beyond the limit things are looked for; `3m` when left out.
    pub reach: Option<LengthText>,
}

/// Where a camera publishes its pictures.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCameraMqtt {
    /// Name of a `[[broker]]`, or of `[listen]`; may be left out where there is only one.
    #[schemars(example = &"field")]
    pub broker: Option<String>,
    /// Topic of its pictures, without wildcards; each message is one JPEG.
    #[schemars(required, example = &"cams/gate/jpeg")]
    pub topic: Option<String>,
}

/// How the camera sends its pictures.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawTransport {
    /// Interleaved in the RTSP connection; passes every firewall.
    Tcp,
    /// RTP over UDP.
    Udp,
}

/// A part of a camera's picture, and what must not be there.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawZone {
    /// Unique per camera.
    #[schemars(required, example = &"corner")]
    pub id: Option<String>,
    /// Event kind of its alerts.
    #[schemars(required, example = &"garbage_exposed")]
    pub kind: Option<EventKind>,
    /// Severity of its alerts; the kind's own when left out.
    pub severity: Option<Severity>,
    /// Corners as fractions of width and height, from `[0, 0]` top left to `[1, 1]` bottom right.
    /// May be left out with a `line`: the ground from the shop-front to `reach` beyond the limit.
    #[schemars(
        length(min = *limits::CORNERS.start(), max = *limits::CORNERS.end()),
        extend("examples" = [[[0.1, 0.5], [0.9, 0.5], [0.9, 1.0], [0.1, 1.0]]])
    )]
    pub polygon: Option<Vec<[f64; 2]>>,
    /// A shop-front on the ground: only what stands out over its limit counts, and the alert
    /// says by how many metres. The camera needs `ground`.
    pub line: Option<RawLine>,
    /// What the detector must see there, by the model's labels; may be left out with `objects`.
    #[schemars(length(min = 1, max = limits::MAX_LABELS), extend("examples" = [["person"]]))]
    pub labels: Option<Vec<String>>,
    /// What to look for by everyday words instead of `labels`: `vehicle`, `nonmotor`, `stall`,
    /// `pile`, `people`.
    #[schemars(length(min = 1, max = limits::MAX_LABELS), extend("examples" = [["vehicle"]]))]
    pub what: Option<Vec<String>>,
    /// Whether anything new that stays counts, whatever it is: bags, rubble, furniture. When left
    /// out, it does for `illegal_dumping`, `garbage_exposed` and `material_pile`, and with
    /// a `line`, if there are neither `labels` nor `what`; and for `what` of `stall` and `pile`.
    pub objects: Option<bool>,
    /// Polygons in the zone whose contents belong there whatever they are (bins, a bench), as
    /// fractions of width and height.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_FIXTURES))]
    pub fixtures: Vec<Vec<[f64; 2]>>,
    /// Bins (device ids) beside the zone: while one of them is full, what lies here is an overflow,
    /// a fault of the service, and nobody is blamed.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_BINS), extend("examples" = [["bin-1"]]))]
    pub bins: Vec<String>,
    /// Pictures show the zone, what was seen in it and a margin only; the rest is cut away before
    /// they are written. `false` when left out.
    pub crop: Option<bool>,
    /// How long it must stay there; `20s` when left out.
    pub dwell: Option<DurationText>,
    /// How long the zone must be empty before the alert is cleared; `10s` when left out.
    pub grace: Option<DurationText>,
    /// When things may be there, by local time; forbidden otherwise.
    #[schemars(
        length(min = 1, max = limits::MAX_WINDOWS),
        extend("examples" = [["mon-fri 17:00-22:00", "restday 09:00-22:00"]])
    )]
    pub allowed: Option<Vec<String>>,
    /// When the zone is watched, by local time; nobody's business otherwise. Not with `allowed`.
    #[schemars(
        length(min = 1, max = limits::MAX_WINDOWS),
        extend("examples" = [["workday 07:00-09:00"]])
    )]
    pub watched: Option<Vec<String>>,
    /// Set-up is tolerated so long before use is permitted; `0s` when left out.
    pub grace_in: Option<DurationText>,
    /// Take-down is tolerated so long after it has ended; `0s` when left out.
    pub grace_out: Option<DurationText>,
    /// Whether what is left after use and `grace_out` is an alert of its own; when left out, it
    /// is for `street_vendor` and `shop_overflow` with `allowed`.
    pub take_down: Option<bool>,
    /// Only try the zone: nothing is alerted and no picture is taken; `wangge shadow report` says
    /// what it would have alerted, beside the live zones of its kind on the same camera.
    pub shadow: Option<bool>,
}

/// The process that looks at pictures.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawVision {
    /// The model's manifest; the packaged one when left out, else the one that
    /// `cargo xtask setup` made.
    pub model: Option<String>,
    /// Manifest of a model that knows rubbish, for a second opinion on what lies in a zone; the
    /// packaged one when left out, else the one that `cargo xtask setup` made, else none.
    pub litter_model: Option<String>,
    /// ONNX Runtime library; the packaged one when left out, else the one that
    /// `cargo xtask setup` fetched.
    pub onnxruntime: Option<String>,
    /// Threads for the detector; 1 when left out.
    #[schemars(range(min = *limits::VISION_THREADS.start(), max = *limits::VISION_THREADS.end()))]
    pub threads: Option<usize>,
    /// Resident memory at which the process is restarted; `512MB` when left out.
    pub memory_limit: Option<SizeText>,
    /// What decodes H.264 and H.265: `software` (when left out), or a hardware decoder of this
    /// libavcodec: `v4l2m2m`, `rkmpp`, `qsv`, or `auto` for the first that is there. What cannot
    /// be decoded there is decoded in software.
    pub decoder: Option<RawDecoder>,
    /// A model that is only tried.
    pub shadow: Option<RawShadow>,
}

/// What decodes video.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawDecoder {
    /// The first hardware decoder that is there, else software.
    Auto,
    /// The processor.
    Software,
    /// A V4L2 memory-to-memory device.
    V4l2m2m,
    /// Rockchip's media process platform.
    Rkmpp,
    /// Intel Quick Sync Video.
    Qsv,
    /// Not supported: an error says what to use instead.
    Vaapi,
}

/// A second model that looks at the same pictures: nothing is alerted and no picture is taken;
/// `wangge shadow report` says what it would have alerted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawShadow {
    /// The model's manifest.
    #[schemars(required, example = &"/var/lib/wangge/models/candidate.toml")]
    pub model: Option<String>,
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

/// Where alerts and streams are delivered.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUplink {
    /// Names the queue on disk: keep it, or undelivered alerts stay behind.
    #[schemars(required, example = &"city")]
    pub name: Option<String>,
    /// `mqtts://host:8883`, `mqtt://host:1883` or `https://host/path`.
    #[schemars(required, example = &"https://platform.example/wangge")]
    pub url: Option<String>,
    /// `push` for a platform's own case interface, as `[push]` of its profile describes it; when
    /// left out, a receiver of our messages.
    #[serde(rename = "type")]
    pub kind: Option<RawUplinkType>,
    /// `push`: a platform profile that ships with the gateway; the station's own when left out.
    pub profile: Option<String>,
    /// `push`: a platform profile file instead.
    pub profile_file: Option<String>,
    /// MQTT: start of all topics; `wangge/v1/STATION` when left out.
    pub topic_prefix: Option<String>,
    /// MQTT and `push`: user name.
    pub username: Option<String>,
    /// MQTT and `push`: password, for trials only; prefer `password_file`.
    pub password: Option<String>,
    /// MQTT and `push`: file with the password, readable by the gateway alone.
    pub password_file: Option<String>,
    /// HTTPS: file with the bearer token, readable by the gateway alone.
    pub token_file: Option<String>,
    /// PEM file of a private CA; the system's CAs when left out.
    pub ca_file: Option<String>,
    /// PEM file of the gateway's own certificate.
    pub client_cert: Option<String>,
    /// PEM file of its key, readable by the gateway alone.
    pub client_key: Option<String>,
    /// MQTT: client id; `wangge-STATION-NAME` when left out.
    pub client_id: Option<String>,
    /// What counts as delivered: the platform's own `receipt` (when left out), or the `broker`'s
    /// acknowledgement where the broker is the durable border.
    pub border: Option<RawBorder>,
    /// Whether alerts go this way; `true` when left out.
    pub alerts: Option<bool>,
    /// Whether verdicts on alerts and commands are taken from there; as `alerts` when left out.
    pub verdicts: Option<bool>,
    /// Who is at the other end: `community`, `street`, `city`, or several of them. An uplink with
    /// a tier gets the alerts that the platform profile's `[routing]` sends there; one without
    /// gets all.
    #[schemars(example = &"street")]
    pub tier: Option<RawTiers>,
    /// Streams that go this way.
    #[serde(default)]
    #[schemars(example = ["bins"])]
    pub streams: Vec<String>,
    /// Largest piece in which a large picture goes, so that an alert can overtake it and a cut
    /// costs one piece; `64KiB` when left out.
    pub chunk: Option<SizeText>,
    /// Which pictures go with an alert: `full` (when left out), `thumbnail-first`, the pictures
    /// themselves following later, or `thumbnail-only`, when the platform asks for them.
    pub pictures: Option<RawPictures>,
    /// Bytes that may cross the line in a day or month, `SIZE/day` or `SIZE/month`; when they are
    /// spent, alerts only.
    #[schemars(
        regex(pattern = r"^[0-9]+(\.[0-9]+)?([KMGT]i?)?B/(day|month)$"),
        example = &"200MiB/month"
    )]
    pub budget: Option<String>,
    /// When readings and late pictures may go, by local time; at all times when left out.
    #[schemars(
        length(min = 1, max = limits::MAX_WINDOWS),
        extend("examples" = [["22:00-06:00"]])
    )]
    pub windows: Option<Vec<String>>,
}

/// Which pictures go with an alert.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RawPictures {
    /// The pictures themselves, before the alert.
    Full,
    /// A small one before the alert, the picture itself afterwards.
    ThumbnailFirst,
    /// A small one before the alert, the picture itself if the platform asks for it.
    ThumbnailOnly,
}

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawUplinkType {
    /// A receiver of our messages, which answers with receipts.
    Receiver,
    /// A platform's own case interface.
    Push,
}

/// One tier or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum RawTiers {
    One(RawTier),
    Many(Vec<RawTier>),
}

/// Who deals with alerts.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawTier {
    /// The station's own community: also gets what is kept at the station.
    Community,
    /// The street office (街道).
    Street,
    /// The city, or its district.
    City,
}

/// What counts as delivered.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawBorder {
    /// The platform's own receipt with id and hash.
    Receipt,
    /// The broker's PUBACK. A broker acknowledges what its rules drop, so choose it only for a
    /// broker known to store.
    Broker,
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
