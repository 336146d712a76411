//! What the gateway and its vision child say to each other.
//!
//! Both ends are the same binary, so there is no version: each message is postcard behind a
//! four-byte big-endian length. The gateway treats what it reads as hostile all the same, since
//! the child parses hostile video: lengths are capped here and values checked on arrival.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Longest message, bytes: a picture of [`super::evidence::MAX_WIDTH`] pixels and some words.
pub const MAX_MESSAGE: usize = 4 << 20;

/// Where RTSP is served if a URL does not say.
pub const RTSP_PORT: u16 = 554;

/// The one message to the child; afterwards the gateway only closes the socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The model's manifest.
    pub model: PathBuf,
    /// A second model's manifest, which looks at the same pictures and is only compared.
    pub shadow: Option<PathBuf>,
    /// libonnxruntime.so
    pub onnxruntime: PathBuf,
    /// Threads that decode, and threads of the detector.
    pub threads: usize,
    /// Resident bytes at which the child ends itself.
    pub memory_limit: u64,
    /// Cameras; messages name them by position.
    pub cameras: Vec<CameraSetup>,
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
    },
    /// A file played as if it were a camera.
    File { path: PathBuf, repeat: bool },
}

impl Input {
    /// The TCP port that the camera is reached at, if it is on the network and its URL is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Input::Rtsp { url, .. } => {
                let url = url::Url::parse(url).ok()?;
                Some(url.port().unwrap_or(RTSP_PORT))
            }
            Input::File { .. } => None,
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
    /// Labels that count.
    pub labels: Vec<String>,
    /// Whether anything new that stays counts, whatever it is.
    pub objects: bool,
    /// Only compared with other zones: no pictures.
    pub shadow: bool,
    /// Polygons whose contents belong there.
    pub fixtures: Vec<Vec<[f32; 2]>>,
    /// Media time after which a picture is taken, µs.
    pub dwell_us: u64,
    /// Media time of emptiness after which the zone is said to be empty, µs.
    pub grace_us: u64,
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
    Fatal { reason: String },
    /// Something in a zone, or a zone found empty.
    Sighting(Sighting),
    /// A camera works, or why it does not; once per change.
    Camera { camera: u16, state: CameraState },
    /// Once a second: proof of life.
    Progress(Vec<CameraProgress>),
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
    Fault(String),
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

fn invalid(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(picture: usize) -> Report {
        Report::Sighting(Sighting {
            camera: 1,
            zone: 2,
            shadow: false,
            present: true,
            label: "person".into(),
            score: 0.5,
            bbox: [0.1, 0.2, 0.3, 0.4],
            track: 9,
            dwell_us: 1_000_000,
            at_us: -1,
            pictures: vec![Picture {
                role: Role::Scene,
                at_us: 0,
                jpeg: vec![7; picture],
            }],
            story: None,
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let mut pipe = Vec::new();
        write(&mut pipe, &sighting(1000)).unwrap();
        write(
            &mut pipe,
            &Report::Progress(vec![CameraProgress::default()]),
        )
        .unwrap();
        let mut pipe = pipe.as_slice();
        assert_eq!(read::<Report>(&mut pipe).unwrap(), sighting(1000));
        assert!(matches!(read(&mut pipe).unwrap(), Report::Progress(p) if p.len() == 1));
        let end = read::<Report>(&mut pipe).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn messages_up_to_the_limit_pass_and_no_longer_ones() {
        let overhead = encode(&sighting(MAX_MESSAGE / 2)).unwrap().len() - MAX_MESSAGE / 2;
        let largest = MAX_MESSAGE - overhead;
        assert!(encode(&sighting(largest)).is_ok());
        assert!(encode(&sighting(largest + 1)).is_err());
        assert!(encode(&sighting(MAX_MESSAGE * 10)).is_err());

        for length in [MAX_MESSAGE as u32 + 1, u32::MAX] {
            let bytes = length.to_be_bytes();
            let e = read::<Report>(&mut bytes.as_slice()).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let mut bytes = 5u32.to_be_bytes().to_vec();
        bytes.extend([0xff; 5]);
        let e = read::<Report>(&mut bytes.as_slice()).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn debug_output_keeps_secrets() {
        let input = Input::Rtsp {
            url: "rtsp://10.0.0.1/".into(),
            username: Some("operator-7".into()),
            password: Some("hunter2".into()),
            udp: false,
        };
        let text = format!("{input:?}");
        assert!(
            text.contains("10.0.0.1") && !text.contains("hunter2") && !text.contains("operator-7")
        );
    }
}
