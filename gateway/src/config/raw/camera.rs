//! `[[camera]]` and `[vision]`.

use schemars::JsonSchema;
use serde::Deserialize;
use wangge_protocol::{EventKind, Severity};

use super::{DurationText, LengthText, SizeText};
use crate::{config::limits, vision::ground};

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
    /// Threads that decode and look; 1 when left out. Every three cameras have a network of their
    /// own (some 40 MB), but no more than there are threads.
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
