//! Cameras, their zones, and the process that looks at them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use wangge_protocol::EventKind;

use super::{Credentials, Rule};
use crate::{
    calendar::Calendar,
    seal::Recipient,
    vision::ground::{Fit, Front, Survey},
};

/// A camera, real or replayed.
#[derive(Clone, Debug)]
pub struct Camera {
    pub id: Arc<str>,
    pub name: Option<String>,
    pub input: CameraInput,
    pub zones: Vec<Zone>,
    /// Polygons blacked out before anything is written, fractions of width and height.
    pub masks: Vec<Vec<[f32; 2]>>,
    /// Frames per second given to the detector while something moves.
    pub fps: f32,
    /// Taped points, and the ground plane that they give.
    pub ground: Option<(Survey, Fit)>,
    /// Rules: one presence rule a zone, and camera health.
    pub rules: Vec<Arc<Rule>>,
    pub unit_grid: String,
    pub lon: f64,
    pub lat: f64,
    pub address: Option<String>,
}

#[derive(Clone, Debug)]
pub enum CameraInput {
    Rtsp {
        url: url::Url,
        credentials: Option<Credentials>,
        transport: RtspTransport,
    },
    File {
        path: PathBuf,
        repeat: bool,
    },
    /// A picture asked for again and again, over HTTP or HTTPS.
    Snapshot {
        url: url::Url,
        credentials: Option<Credentials>,
        trust: Trust,
        every: Duration,
    },
    /// Pictures that the camera publishes.
    Mqtt {
        /// Broker or listener name.
        via: Arc<str>,
        topic: String,
        /// How often it does.
        every: Duration,
    },
    /// A folder of pictures.
    Folder {
        path: PathBuf,
        play: FolderPlay,
        every: Duration,
    },
}

impl CameraInput {
    /// Time between two pictures, of a camera that sends single ones.
    pub fn every(&self) -> Option<Duration> {
        match self {
            CameraInput::Snapshot { every, .. }
            | CameraInput::Mqtt { every, .. }
            | CameraInput::Folder { every, .. } => Some(*every),
            CameraInput::Rtsp { .. } | CameraInput::File { .. } => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtspTransport {
    Tcp,
    Udp,
    /// RTSP in TLS, pictures and all.
    Tls(Trust),
}

/// Which certificate a camera may show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM; the system's trust store when absent.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the one certificate that is right, whoever signed it.
    pub pin: Option<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderPlay {
    /// In the order of names.
    Once,
    /// The same, again and again.
    Repeat,
    /// What is put into it from now on.
    Watch,
}

#[derive(Clone, Debug)]
pub struct Zone {
    pub id: Arc<str>,
    pub kind: EventKind,
    /// At least three points, not crossing itself, fractions of width and height.
    pub polygon: Vec<[f32; 2]>,
    /// A line on the ground that things must stand out over, if that is what counts.
    pub front: Option<Arc<Front>>,
    pub labels: Vec<String>,
    /// Whether anything new that stays counts, whatever it is.
    pub objects: bool,
    /// Polygons whose contents belong there.
    pub fixtures: Vec<Vec<[f32; 2]>>,
    /// Whether pictures show the zone's surroundings only.
    pub crop: bool,
    pub dwell: Duration,
    /// Whether what is left after use is told apart.
    pub take_down: bool,
    /// When things may be there, by the station's own file.
    pub calendar: Arc<Calendar>,
    /// The zone's rule where it is only tried: then the camera's rules do not have it.
    pub shadow: Option<Arc<Rule>>,
}

/// The vision child.
#[derive(Clone, Debug)]
pub struct Vision {
    /// The model's manifest (TOML) beside its weights.
    pub model: PathBuf,
    /// Manifest of a model that knows rubbish, for a second opinion.
    pub litter_model: Option<PathBuf>,
    /// A second model's manifest, which looks too and is only compared.
    pub shadow: Option<PathBuf>,
    /// libonnxruntime.so
    pub onnxruntime: PathBuf,
    pub threads: usize,
    /// Resident memory at which the child is restarted.
    pub memory_limit: u64,
    /// What decodes video.
    pub decoder: VideoDecoder,
    /// Who may open pictures as they were before heads and plates were hidden.
    pub sealed_for: Option<Recipient>,
    /// Whether some uplink wants a small picture with each.
    pub thumbnails: bool,
}

/// What decodes video; whatever cannot is replaced by the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VideoDecoder {
    /// The processor.
    #[default]
    Software,
    /// The first of the others that is there.
    Auto,
    /// A V4L2 memory-to-memory device: Raspberry Pi, i.MX, Allwinner, MediaTek.
    V4l2m2m,
    /// Rockchip's media process platform.
    Rkmpp,
    /// Intel Quick Sync Video.
    Qsv,
}
