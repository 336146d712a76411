//! What one camera costs, against a decoder that looks at five frames a second.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wangge_tests::{Process, place, rtsp::Camera};

use super::{
    Results, round,
    station::{Meter, Station, scratch},
};
use crate::setup::Kit;

/// After this a stream runs evenly and a quiet scene is known to be quiet.
const CONNECT: Duration = Duration::from_secs(15);
/// As an NVR decodes for its detector (Frigate's defaults, scaled to its detect size).
const FFMPEG: &[&str] = &[
    "-an",
    "-r",
    "5",
    "-vf",
    "fps=5,scale=640:360",
    "-threads",
    "2",
    "-f",
    "rawvideo",
    "-pix_fmt",
    "yuv420p",
    "-y",
    "/dev/null",
];

/// CPU seconds a minute of stream: the gateway with everything it does, and ffmpeg decoding
/// alone; of a scene in which nothing happens, and of one in which people never stop walking.
///
/// # Errors
/// A process fails.
pub fn run(kit: &Kit, seconds: u64, results: &mut Results) -> Result<()> {
    let window = Duration::from_secs(seconds);
    let busy = kit.footage.join("vtest-h264.mp4");
    let quiet = quiet_clip(&busy)?;
    for (name, clip) in [
        ("camera_quiet_1080p25", &quiet),
        ("camera_busy_768x576", &busy),
    ] {
        one(name, clip, kit, window, results)?;
    }
    Ok(())
}

fn one(name: &str, clip: &Path, kit: &Kit, window: Duration, results: &mut Results) -> Result<()> {
    let dir = scratch()?;
    let camera = Camera::start(&[("gate", clip)], 0, None, &dir.path().join("camera.log"))?;
    let url = camera.url("gate");
    let per_minute = |pid: u32| {
        thread::sleep(CONNECT);
        let meter = Meter::of(pid);
        thread::sleep(window);
        round(meter.cpu().as_secs_f64() * 60.0 / window.as_secs_f64())
    };

    let mut station = Station::with_config(&format!(
        "[vision]\nmodel = \"{}\"\nonnxruntime = \"{}\"\n\n[[camera]]\nid = \"gate\"\nurl = \"{url}\"\n\n\
         [[camera.zone]]\nid = \"lawn\"\nkind = \"green_encroachment\"\nlabels = [\"person\"]\n\
         polygon = [[0.0, 0.5], [0.4, 0.5], [0.4, 1.0], [0.0, 1.0]]\n",
        kit.model.display(),
        kit.onnxruntime.display()
    ))?;
    let gateway = per_minute(station.process.id());
    station.process.still_running()?;
    drop(station);

    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error"])
        .args(["-threads", "2", "-rtsp_transport", "tcp", "-i", &url])
        .args(FFMPEG);
    let mut process = Process::start("ffmpeg", &command, &dir.path().join("ffmpeg.log"))?;
    let ffmpeg = per_minute(process.id());
    process.still_running()?;

    results.add(
        name,
        json!({
            "wangge_cpu_s_per_min": gateway,
            "ffmpeg_5fps_cpu_s_per_min": ffmpeg,
            "times_ffmpeg": round(gateway / ffmpeg.max(0.01)),
        }),
    );
    Ok(())
}

/// One frame of the footage at 1080p, 25 frames a second, with a sensor's noise, a key frame
/// every 2 s and 4 Mbit/s, as a camera sends a street at night.
fn quiet_clip(footage: &Path) -> Result<PathBuf> {
    const RECIPE: &str = "trim=end_frame=1,loop=loop=-1:size=1,setpts=N/25/TB,scale=1920:1080,noise=alls=7:allf=t,format=yuv420p";
    let clip = place::root().join("target/xtask-bench/quiet-1080p25.mp4");
    if clip.is_file() {
        return Ok(clip);
    }
    eprintln!("making {}", clip.display());
    let part = clip.with_extension("part.mp4");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-i"])
        .arg(footage)
        .args(["-vf", RECIPE, "-r", "25", "-t", "20", "-an"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-bf", "0"])
        .args(["-g", "50", "-keyint_min", "50", "-sc_threshold", "0"])
        .args(["-b:v", "4M", "-maxrate", "4.4M", "-bufsize", "8M"])
        .arg(&part)
        .stdin(Stdio::null())
        .status()
        .context("cannot start ffmpeg")?;
    ensure!(
        status.success(),
        "ffmpeg could not make the quiet clip ({status})"
    );
    std::fs::rename(part, &clip)?;
    Ok(clip)
}
