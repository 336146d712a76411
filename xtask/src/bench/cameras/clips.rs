//! What the cameras of the benchmark show, made of real footage: all is 1080p, 25 frames a
//! second, 4 Mbit/s, a key frame every 2 s, with a sensor's noise, which is synthetic.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use wangge_tests::place;

/// When somebody stands on the lawn of [`Scene::Event`], half-way between two key frames.
pub const EVENT_AT: Duration = Duration::from_secs(43);
/// After this it begins anew.
pub const EVENT_EVERY: Duration = Duration::from_secs(52);
/// What is cut off at the beginning: there an encoder looks for its bit rate, which a camera
/// does once in its life and a clip that is repeated would do with every round.
const LEAD: Duration = Duration::from_secs(8);
/// The lawn, empty but for the event.
pub const LAWN: &str = "[[0.0, 0.42], [0.45, 0.56], [0.6, 1.0], [0.0, 1.0]]";

/// The lower part of the footage, 768 × 576, at the camera's size.
const CROP: &str = "scale=1920:1440,crop=1920:1080:0:360";
const NOISE: &str = "noise=alls=7:allf=t,format=yuv420p";

/// What a camera sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Nothing but noise.
    Quiet,
    /// People who never stop walking.
    Busy,
    /// Nothing but noise, and for the last seconds of each round somebody on the lawn, from one
    /// frame to the next.
    Event,
}

impl Scene {
    fn name(self) -> &'static str {
        match self {
            Scene::Quiet => "quiet",
            Scene::Busy => "busy",
            Scene::Event => "event",
        }
    }

    fn filter(self) -> String {
        let still = |seconds: u64| {
            format!(
                "trim=end_frame=1,loop=loop={}:size=1,setpts=N/25/TB,{CROP}",
                seconds * 25 - 1
            )
        };
        match self {
            Scene::Quiet => format!("{},{NOISE}", still(20)),
            Scene::Busy => format!("{CROP},fps=25,trim=end=60,{NOISE}"),
            Scene::Event => format!(
                "split[a][b];[a]{}[still];\
                 [b]trim=start_frame=610:end_frame=700,setpts=PTS-STARTPTS,{CROP},fps=25[walk];\
                 [still][walk]concat,{NOISE}",
                still((LEAD + EVENT_AT).as_secs())
            ),
        }
    }
}

/// How it is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    H264,
    H265,
}

impl Coding {
    pub const ALL: [Coding; 2] = [Coding::H264, Coding::H265];

    pub fn name(self) -> &'static str {
        match self {
            Coding::H264 => "h264",
            Coding::H265 => "h265",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Coding::H264 => &[
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-bf",
                "0",
                "-g",
                "50",
                "-keyint_min",
                "50",
                "-sc_threshold",
                "0",
            ],
            Coding::H265 => &[
                "-c:v",
                "libx265",
                "-preset",
                "superfast",
                "-tag:v",
                "hvc1",
                "-x265-params",
                "keyint=50:min-keyint=50:scenecut=0:bframes=0:open-gop=0:log-level=error",
            ],
        }
    }
}

/// The clip, made if it is not there.
///
/// # Errors
/// ffmpeg fails.
pub fn clip(footage: &Path, scene: Scene, coding: Coding) -> Result<PathBuf> {
    let folder = place::root().join("target/xtask-bench");
    fs::create_dir_all(&folder)?;
    let clip = folder.join(format!("{}-{}-1080p25.mp4", scene.name(), coding.name()));
    if clip.is_file() {
        return Ok(clip);
    }
    eprintln!("making {}", clip.display());
    let whole = clip.with_extension("whole.mp4");
    ffmpeg(
        Command::new("ffmpeg")
            .arg("-i")
            .arg(footage.join("vtest-h264.mp4"))
            .args(["-filter_complex", &scene.filter(), "-r", "25", "-an"])
            .args(coding.arguments())
            .args(["-b:v", "4M", "-maxrate", "4.4M", "-bufsize", "8M"])
            .arg(&whole),
    )?;
    let part = clip.with_extension("part.mp4");
    ffmpeg(
        Command::new("ffmpeg")
            .args(["-ss", &LEAD.as_secs().to_string(), "-i"])
            .arg(&whole)
            .args(["-c", "copy"])
            .arg(&part),
    )?;
    fs::remove_file(whole)?;
    fs::rename(part, &clip)?;
    Ok(clip)
}

fn ffmpeg(command: &mut Command) -> Result<()> {
    let status = command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"])
        .stdin(Stdio::null())
        .status()
        .context("cannot start ffmpeg")?;
    ensure!(status.success(), "ffmpeg could not make a clip ({status})");
    Ok(())
}
