//! What one camera costs, against a decoder that looks at five frames a second.

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::Result;
use serde_json::json;
use wangge_tests::{Process, rtsp::Camera};

use super::{
    Results, round,
    station::{Meter, Station, scratch},
};
use crate::setup::Kit;

const CONNECT: Duration = Duration::from_secs(10);
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
/// alone.
///
/// # Errors
/// A process fails.
pub fn run(kit: &Kit, seconds: u64, results: &mut Results) -> Result<()> {
    let dir = scratch()?;
    let clip = kit.footage.join("vtest-h264.mp4");
    let camera = Camera::start(&[("gate", &clip)], 0, None, &dir.path().join("camera.log"))?;
    let url = camera.url("gate");
    let window = Duration::from_secs(seconds);
    let per_minute = |meter: &Meter| round(meter.cpu().as_secs_f64() * 60.0 / window.as_secs_f64());

    let gateway = {
        let station = Station::with_config(&format!(
            "[vision]\nmodel = \"{}\"\nonnxruntime = \"{}\"\n\n[[camera]]\nid = \"gate\"\nurl = \"{url}\"\n\n\
             [[camera.zone]]\nid = \"lawn\"\nkind = \"green_encroachment\"\nlabels = [\"person\"]\n\
             polygon = [[0.0, 0.5], [0.4, 0.5], [0.4, 1.0], [0.0, 1.0]]\n",
            kit.model.display(),
            kit.onnxruntime.display()
        ))?;
        thread::sleep(CONNECT);
        let meter = station.meter();
        thread::sleep(window);
        per_minute(&meter)
    };

    let ffmpeg = {
        let mut command = Command::new("ffmpeg");
        command
            .args([
                "-nostdin",
                "-hide_banner",
                "-loglevel",
                "error",
                "-threads",
                "2",
            ])
            .args(["-rtsp_transport", "tcp", "-i", &url])
            .args(FFMPEG)
            .stdout(Stdio::null());
        let process = Process::start("ffmpeg", &command, &dir.path().join("ffmpeg.log"))?;
        thread::sleep(CONNECT);
        let meter = Meter::of(process.id());
        thread::sleep(window);
        per_minute(&meter)
    };
    results.add(
        "camera_768x576_10fps",
        json!({
            "wangge_cpu_s_per_min": gateway,
            "ffmpeg_5fps_cpu_s_per_min": ffmpeg,
            "times_ffmpeg": round(gateway / ffmpeg.max(0.01)),
        }),
    );
    Ok(())
}
