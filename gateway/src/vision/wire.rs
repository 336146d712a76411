//! What the gateway and its vision child say to each other.
//!
//! Both ends are the same binary, so there is no version: each message is postcard behind a
//! four-byte big-endian length. The gateway treats what it reads as hostile all the same, since
//! the child parses hostile video: lengths are capped here and values checked on arrival.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wangge_protocol::Text;

use super::ground::Front;
use crate::calendar::{Days, Hours, Permit};
use crate::{config::VideoDecoder, feed::MAX_STILL};

/// Longest message, bytes: [`MAX_PICTURES`] pictures of [`super::evidence::MAX_WIDTH`] pixels,
/// their sealed originals, and some words. A picture of noise has 1.3 MB.
pub const MAX_MESSAGE: usize = 12 << 20;

/// Where RTSP is served if a URL does not say.
pub const RTSP_PORT: u16 = 554;
/// Where RTSP over TLS is (IANA's registry; Hikvision's and Axis' default).
pub const RTSPS_PORT: u16 = 322;

/// The first message to the child. Afterwards come pictures that cameras publish and
/// [`Command`]s ([`read_down`]), until the gateway closes the socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Manifest of a model that knows rubbish, for a second opinion.
    pub litter_model: Option<PathBuf>,
    /// The model's manifest.
    pub model: PathBuf,
    /// A second model's manifest, which looks at the same pictures and is only compared.
    pub shadow: Option<PathBuf>,
    /// libonnxruntime.so
    pub onnxruntime: PathBuf,
    /// Threads that decode, and threads of the detector.
    pub threads: usize,
    /// What decodes video.
    pub decoder: VideoDecoder,
    /// Resident bytes at which the child ends itself.
    pub memory_limit: u64,
    /// The station's IANA time zone.
    pub time_zone: String,
    /// Holidays, for calendars of zones.
    pub days: Days,
    /// Permits of all zones, without holders.
    pub permits: Vec<Permit>,
    /// Public half of the key that originals are sealed for, if they are.
    pub sealed_for: Option<[u8; 32]>,
    /// Whether a small picture goes with each.
    pub thumbnails: bool,
    /// Cameras; messages name them by position.
    pub cameras: Vec<CameraSetup>,
}

/// What the gateway says later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// These permits go from now on, without holders.
    Permits(Vec<Permit>),
    /// Somebody wants a picture of a zone; the answer is a [`Report::Pictured`].
    Picture { camera: u16, zone: u16, ask: u64 },
    /// Whoever draws zones wants to see all that the camera sees; the answer is a
    /// [`Report::Overview`].
    Overview { camera: u16 },
}

/// A camera as the child needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CameraSetup {
    /// For captions and logs.
    pub id: String,
    /// Where pictures come from.
    pub input: Input,
    /// Frames per second given to the detector while something moves.
    pub fps: f32,
    /// Polygons blacked out in every picture, fractions of width and height.
    pub masks: Vec<Vec<[f32; 2]>>,
    /// What to watch; messages name them by position.
    pub zones: Vec<ZoneSetup>,
    /// Nothing of it is decoded for so long, µs: children died of its video. Zero is the rule.
    pub pause_us: u64,
    /// Frames that children died of twice, by [`super::slate::fingerprint`]: passed over.
    pub deadly: Vec<u64>,
}

/// Where pictures come from.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A camera on the network.
    Rtsp {
        /// Without user and password.
        url: String,
        username: Option<String>,
        password: Option<String>,
        udp: bool,
        /// Over TLS, and whose certificate is right.
        trust: Option<Trust>,
    },
    /// A file played as if it were a camera.
    File { path: PathBuf, repeat: bool },
    /// A camera that is asked for a picture again and again.
    Snapshot {
        /// Without user and password.
        url: String,
        username: Option<String>,
        password: Option<String>,
        /// For `https`.
        trust: Trust,
        every: Duration,
    },
    /// A camera whose pictures the gateway passes on.
    Published {
        /// For messages to people.
        topic: String,
        every: Duration,
    },
    /// A folder of pictures.
    Folder {
        path: PathBuf,
        /// Only what is put into it from now on, and for ever.
        watch: bool,
        repeat: bool,
        every: Duration,
    },
    /// Recordings, one after the other, looked at as fast as the machine can: nothing is dropped
    /// and times are those of the recording.
    Recording {
        clips: Vec<PathBuf>,
        /// Wall time of the first frame, µs since 1970; a clip follows where the last one ended.
        start_us: i64,
    },
}

/// Which certificate a camera may show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// PEM; the system's trust store when absent.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the one certificate that is right.
    pub pin: Option<[u8; 32]>,
}

impl Input {
    /// The TCP port that the camera is reached at, if it is on the network and its URL is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Input::Rtsp { url, trust, .. } => {
                let url = url::Url::parse(url).ok()?;
                let usual = trust.as_ref().map_or(RTSP_PORT, |_| RTSPS_PORT);
                Some(url.port().unwrap_or(usual))
            }
            Input::Snapshot { url, .. } => url::Url::parse(url).ok()?.port_or_known_default(),
            Input::File { .. }
            | Input::Recording { .. }
            | Input::Published { .. }
            | Input::Folder { .. } => None,
        }
    }

    /// Time between two pictures, of a camera that sends single ones.
    pub fn every(&self) -> Option<Duration> {
        match self {
            Input::Snapshot { every, .. }
            | Input::Published { every, .. }
            | Input::Folder { every, .. } => Some(*every),
            Input::Rtsp { .. } | Input::File { .. } | Input::Recording { .. } => None,
        }
    }
}

impl std::fmt::Debug for Input {
    // Credentials must not reach a log by way of a debug print.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Rtsp { url, udp, .. } => f
                .debug_struct("Rtsp")
                .field("url", url)
                .field("udp", udp)
                .finish_non_exhaustive(),
            Input::File { path, repeat } => f
                .debug_struct("File")
                .field("path", path)
                .field("repeat", repeat)
                .finish(),
            Input::Snapshot { url, every, .. } => f
                .debug_struct("Snapshot")
                .field("url", url)
                .field("every", every)
                .finish_non_exhaustive(),
            Input::Published { topic, every } => f
                .debug_struct("Published")
                .field("topic", topic)
                .field("every", every)
                .finish(),
            Input::Folder { path, every, .. } => f
                .debug_struct("Folder")
                .field("path", path)
                .field("every", every)
                .finish_non_exhaustive(),
            Input::Recording { clips, start_us } => f
                .debug_struct("Recording")
                .field("clips", clips)
                .field("start_us", start_us)
                .finish(),
        }
    }
}

/// A zone as the child needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZoneSetup {
    /// For captions.
    pub id: String,
    /// Fractions of width and height.
    pub polygon: Vec<[f32; 2]>,
    /// A line on the ground that things must stand out over, if that is what counts.
    pub front: Option<Front>,
    /// Labels that count.
    pub labels: Vec<String>,
    /// Whether anything new that stays counts, whatever it is.
    pub objects: bool,
    /// Only compared with other zones: no pictures.
    pub shadow: bool,
    /// Polygons whose contents belong there.
    pub fixtures: Vec<Vec<[f32; 2]>>,
    /// Whether pictures show the zone's surroundings only.
    pub crop: bool,
    /// Media time after which a picture is taken, µs.
    pub dwell_us: u64,
    /// Media time of emptiness after which the zone is said to be empty, µs.
    pub grace_us: u64,
    /// When things may be there.
    pub hours: Hours,
    /// Whether what is left after use is told apart.
    pub take_down: bool,
}

/// What the child says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Model loaded, sandbox closed; cameras start now.
    Ready {
        model: String,
        /// All 64 hex digits.
        model_hash: String,
        /// What the kernel could not give, one sentence each.
        weaknesses: Vec<String>,
    },
    /// The child cannot do its work and ends.
    Fatal { reason: Text },
    /// It has to do without something from now on, one sentence; once.
    Weakness { reason: String },
    /// Something in a zone, or a zone found empty.
    Sighting(Sighting),
    /// A camera works, or why it does not; once per change.
    Camera { camera: u16, state: CameraState },
    /// Once a second: proof of life.
    Progress(Vec<CameraProgress>),
    /// How far a recording has been looked at.
    Played { camera: u16, what: Played },
    /// The picture that was asked for, or why there is none.
    Pictured {
        camera: u16,
        ask: u64,
        picture: Result<Picture, String>,
    },
    /// What the camera sees, or why that cannot be shown.
    Overview {
        camera: u16,
        overview: Result<Overview, String>,
    },
}

/// All that a camera sees, with nothing drawn on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Masked, and nobody to be recognised, as every picture that leaves the child.
    pub jpeg: Vec<u8>,
    /// Of the frame that it was made from, pixels; the JPEG may be smaller.
    pub width: u32,
    pub height: u32,
}

/// How far a recording has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Played {
    /// Before it begins: how long all its clips are, µs; 0 where their headers do not say.
    Length(i64),
    /// A clip begins, by its position in [`Input::Recording`].
    Clip { index: u16, at_us: i64 },
    /// All that there is to say of the time before this (as [`Sighting::at_us`]) has been said.
    Upto(i64),
}

/// See [`crate::observation::Sighting`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    pub camera: u16,
    pub zone: u16,
    /// Of a shadow model, or in a shadow zone: to be compared, never to be acted upon.
    pub shadow: bool,
    pub present: bool,
    pub label: String,
    pub score: f32,
    pub bbox: [f32; 4],
    pub track: u64,
    pub dwell_us: u64,
    /// Media time mapped to wall time, µs since 1970.
    pub at_us: i64,
    /// With the first sighting whose dwell reaches the zone's.
    pub pictures: Vec<Picture>,
    /// How it came there, of something without a class.
    pub story: Option<Story>,
    /// How far everything in the zone together stands out over its line.
    pub overrun: Option<Overrun>,
    /// The zone has not been seen empty since its use ended.
    pub left_behind: bool,
}

/// How far things stand out over a line, metres; errors are half-widths that hold 95 of 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overrun {
    /// Beyond the line.
    pub metres: f64,
    pub error: f64,
    /// Along the line.
    pub along: f64,
    pub along_error: f64,
}

/// Label of something that is new and stays, whatever it is.
pub const OBJECT: &str = "object";
/// Pictures with one sighting at most: before, coming, leaving, after.
pub const MAX_PICTURES: usize = 4;

/// A JPEG with its masks burnt in and nobody to be recognised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    pub role: Role,
    /// As [`Sighting::at_us`].
    pub at_us: i64,
    pub jpeg: Vec<u8>,
    /// The same with heads and plates to be seen, sealed for the holder of a key.
    pub sealed: Option<Vec<u8>>,
    /// A small one of the same.
    pub thumbnail: Option<Vec<u8>>,
}

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Something in its zone.
    Scene,
    /// The place before.
    Before,
    /// Something coming to lie there.
    Drop,
    /// Whoever brought it, on their way.
    Leaving,
    /// What they left.
    After,
    /// The place, empty again.
    Cleared,
    /// The place as it is, because somebody asked.
    Requested,
}

impl Role {
    /// Name in messages.
    pub const fn slug(self) -> &'static str {
        match self {
            Role::Scene => "scene",
            Role::Before => "before",
            Role::Drop => "drop",
            Role::Leaving => "leaving",
            Role::After => "after",
            Role::Cleared => "cleared",
            Role::Requested => "requested",
        }
    }
}

/// How something came to lie there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// As [`Sighting::at_us`].
    pub appeared_us: i64,
    /// Nobody, if none was seen.
    pub actor: Option<Actor>,
    /// With pictures, where there is a model that knows rubbish.
    pub litter: Option<Litter>,
}

/// What a model that knows rubbish thinks of something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Litter {
    /// Its best score at the place.
    pub score: f32,
    /// Whether that reaches the model's threshold.
    pub likely: bool,
    pub model: String,
    /// All 64 hex digits.
    pub model_hash: String,
}

/// Who brought it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    pub label: String,
    pub track: u64,
    /// When they were last at the place, as [`Sighting::at_us`].
    pub left_us: i64,
}

/// Whether a camera gives pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CameraState {
    /// Pictures are decoded.
    Playing,
    /// They are not, and why, in one sentence.
    Fault(Text),
    /// A file that is played once has been.
    Ended,
}

/// One camera's work since the child started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraProgress {
    /// Compressed frames that came in.
    pub received: u64,
    /// Of these, given to the decoder.
    pub decoded: u64,
    /// Of these, passed over on purpose: nothing could change by looking.
    pub skipped: u64,
    /// Of these, lost: damaged, or no time to look.
    pub dropped: u64,
    /// Times the detector looked.
    pub detected: u64,
    /// Of these, times the shadow model looked too.
    pub shadowed: u64,
    /// Pictures made for alerts: many may be due at one frame, and each takes time.
    pub pictured: u64,
    /// Frames waiting to be looked at.
    pub waiting: u64,
}

/// Writes one message.
///
/// # Errors
/// The socket's, or `InvalidData` for a message beyond [`MAX_MESSAGE`].
pub fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let bytes = encode(message)?;
    to.write_all(&u32::to_be_bytes(bytes.len() as u32))?;
    to.write_all(&bytes)?;
    to.flush()
}

/// A message's bytes, without the length.
///
/// # Errors
/// `InvalidData` for a message beyond [`MAX_MESSAGE`].
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_stdvec(message).map_err(invalid)?;
    if bytes.len() > MAX_MESSAGE {
        return Err(invalid(format!("message of {} bytes", bytes.len())));
    }
    Ok(bytes)
}

/// Reads one message.
///
/// # Errors
/// The socket's (`UnexpectedEof` when the other side has gone), or `InvalidData`.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(invalid(format!("message of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(invalid)
}

/// What stands before a published picture: the length of all that follows, and whose it is.
pub fn still_header(camera: u16, bytes: usize) -> [u8; 6] {
    let [a, b, c, d] = (bytes as u32 + 2).to_be_bytes();
    let [high, low] = camera.to_be_bytes();
    [a, b, c, d, high, low]
}

/// Stands for a camera's position where a [`Command`] follows; there are never so many cameras.
const COMMAND: u16 = u16::MAX;

/// A command's bytes, header included.
///
/// # Errors
/// `InvalidData` for a message beyond [`MAX_MESSAGE`].
pub fn command(command: &Command) -> io::Result<Vec<u8>> {
    let body = encode(command)?;
    let mut bytes = still_header(COMMAND, body.len()).to_vec();
    bytes.extend(body);
    Ok(bytes)
}

/// What comes to the child after its set-up.
#[derive(Debug, PartialEq)]
pub enum Down {
    /// A published picture: position of its camera, and bytes that nobody has looked at.
    Still(u16, Vec<u8>),
    Command(Command),
}

/// Reads one picture or command.
///
/// # Errors
/// As [`read`].
pub fn read_down(from: &mut impl Read) -> io::Result<Down> {
    let mut header = [0; 6];
    from.read_exact(&mut header)?;
    let [a, b, c, d, high, low] = header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let bytes = length.checked_sub(2).filter(|bytes| *bytes <= MAX_STILL);
    let Some(bytes) = bytes else {
        return Err(invalid(format!("picture of {length} bytes")));
    };
    let mut body = vec![0; bytes];
    from.read_exact(&mut body)?;
    match u16::from_be_bytes([high, low]) {
        COMMAND => Ok(Down::Command(postcard::from_bytes(&body).map_err(invalid)?)),
        camera => Ok(Down::Still(camera, body)),
    }
}

fn invalid(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e)
}

#[cfg(test)]
mod tests;
