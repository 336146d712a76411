//! How many cameras two cores hold, and what one costs, against a decoder that looks at five
//! frames a second.

mod clips;
pub mod soak;

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wangge_tests::{Process, gateway::Gateway, platform::Platform, rtsp::Camera, until, usage};

use super::{
    Results, round,
    station::{Meter, scratch},
};
use crate::setup::Kit;

use clips::{Coding, EVENT_AT, EVENT_EVERY, LAWN, Scene};

/// After this streams run evenly and a quiet scene is known to be quiet.
const SETTLE: Duration = Duration::from_secs(25);
/// All cameras have been seen to play by then.
const PLAYING: Duration = Duration::from_secs(90);
/// The quality of service: latency from somebody's appearing to the alert at the platform.
const LATENCY: f64 = 3.0;
/// And the share of frames that may be passed over for want of time.
const DROPPED: f64 = 0.02;
/// Dwell and grace of the lawn; the dwell is part of the latency.
const DWELL: &str = "100ms";
const GRACE: &str = "2s";
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
/// Of the cameras in which something happens now and then, so many play in each run with any.
const EVENTS: usize = 8;

/// A set of cameras.
#[derive(Clone, Copy, Debug)]
struct Mix {
    quiet: usize,
    events: usize,
    busy: usize,
}

impl Mix {
    const fn quiet(cameras: usize) -> Mix {
        Mix {
            quiet: cameras,
            events: 0,
            busy: 0,
        }
    }

    const fn busy(cameras: usize) -> Mix {
        Mix {
            quiet: 0,
            events: 0,
            busy: cameras,
        }
    }

    /// Of so many, every ninth is busy.
    const fn mixed(cameras: usize) -> Mix {
        Mix {
            quiet: cameras - cameras / 9 - EVENTS,
            events: EVENTS,
            busy: cameras / 9,
        }
    }

    const fn cameras(self) -> usize {
        self.quiet + self.events + self.busy
    }

    fn name(self) -> String {
        match (self.quiet + self.events, self.busy) {
            (quiet, 0) => format!("{quiet}_quiet"),
            (0, busy) => format!("{busy}_busy"),
            (quiet, busy) => format!("{quiet}_quiet_{busy}_busy"),
        }
    }
}

/// The quick way measures one camera of each kind, eight and 36 together; `full` climbs further,
/// until a step no longer gives the quality of service.
///
/// # Errors
/// A process fails.
pub fn run(kit: &Kit, seconds: u64, full: bool, results: &mut Results) -> Result<()> {
    let window = Duration::from_secs(seconds);
    results.add("cameras_machine", machine());
    for coding in Coding::ALL {
        let ffmpeg = beside(kit, coding, Scene::Quiet, window)?;
        step(kit, coding, Mix::quiet(1), window, Some(ffmpeg), results)?;
        let ffmpeg = beside(kit, coding, Scene::Busy, window)?;
        step(kit, coding, Mix::busy(1), window, Some(ffmpeg), results)?;
        if full {
            climb(
                kit,
                coding,
                [8, 16, 32, 48, 64].map(Mix::quiet),
                window,
                results,
            )?;
            climb(kit, coding, [2, 3, 4, 6, 8].map(Mix::busy), window, results)?;
            climb(
                kit,
                coding,
                [18, 36, 45, 54, 63].map(Mix::mixed),
                window,
                results,
            )?;
        } else {
            step(kit, coding, Mix::quiet(8), window, None, results)?;
            step(kit, coding, Mix::mixed(36), window, None, results)?;
        }
    }
    Ok(())
}

fn climb(
    kit: &Kit,
    coding: Coding,
    steps: impl IntoIterator<Item = Mix>,
    window: Duration,
    results: &mut Results,
) -> Result<()> {
    for mix in steps {
        if !step(kit, coding, mix, window, None, results)? {
            break;
        }
    }
    Ok(())
}

fn machine() -> Value {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    json!({
        "processor": model,
        "cores": thread::available_parallelism().map_or(1, usize::from),
        "load_before": std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next(),
    })
}

/// CPU seconds a minute of ffmpeg on the same stream.
fn beside(kit: &Kit, coding: Coding, scene: Scene, window: Duration) -> Result<f64> {
    let dir = scratch()?;
    let clip = clips::clip(&kit.footage, scene, coding)?;
    let camera = Camera::start(&[("gate", &clip)], 0, None, &dir.path().join("camera.log"))?;
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error"])
        .args(["-threads", "2", "-rtsp_transport", "tcp", "-i"])
        .arg(camera.url("gate"))
        .args(FFMPEG);
    let mut process = Process::start("ffmpeg", &command, &dir.path().join("ffmpeg.log"))?;
    thread::sleep(Duration::from_secs(5));
    let meter = Meter::of(process.id());
    thread::sleep(window);
    let cost = per_minute(meter.cpu(), window);
    process.still_running()?;
    Ok(cost)
}

fn per_minute(cpu: Duration, window: Duration) -> f64 {
    cpu.as_secs_f64() * 60.0 / window.as_secs_f64()
}

/// One run; true if it gave the quality of service.
fn step(
    kit: &Kit,
    coding: Coding,
    mix: Mix,
    window: Duration,
    ffmpeg: Option<f64>,
    results: &mut Results,
) -> Result<bool> {
    let dir = scratch()?;
    let shown = Shown::start(kit, coding, mix, &dir.path().join("cameras.log"))?;
    let platform = Platform::https(&dir.path().join("platform"))?;
    let toml = shown.configuration(kit) + &platform.uplink("");
    let mut gateway = Gateway::new(&dir.path().join("gateway"), &toml)?;
    gateway.start()?;
    let mut server = shown.playing()?;
    thread::sleep(SETTLE);

    let vision = until("the vision child", Duration::from_secs(5), || {
        gateway.vision()
    })?;
    let before = (usage::of(vision), frames(&gateway)?);
    // Events come once a minute.
    let window = if mix.events > 0 {
        window.max(EVENT_EVERY * 2)
    } else {
        window
    };
    thread::sleep(window);
    let now = usage::of(vision);
    let [received, dropped] = frames(&gateway)?;
    let (received, dropped) = (received - before.1[0], dropped - before.1[1]);
    ensure!(
        gateway.vision()? == Some(vision),
        "the vision child was started again"
    );
    let cpu = per_minute(now.cpu.saturating_sub(before.0.cpu), window);
    let cameras = mix.cameras() as f64;
    let megabytes = now.resident as f64 / 1e6;
    let mut row = json!({
        "cpu_s_per_min": round(cpu),
        "cpu_s_per_camera_min": round(cpu / cameras),
        "resident_mb": round(megabytes),
        "beyond_150_mb_per_camera": round((megabytes - 150.0) / cameras),
        "frames": received,
        "dropped_frames": dropped,
    });
    let mut served = dropped as f64 <= DROPPED * received as f64;
    if let Some(ffmpeg) = ffmpeg {
        row["ffmpeg_5fps_cpu_s_per_min"] = json!(round(ffmpeg));
        row["times_ffmpeg"] = json!(round(cpu / ffmpeg.max(0.01)));
    }
    if mix.events > 0 {
        let (seconds, missed) = latencies(&server.process().log(), &platform, mix)?;
        let [p50, p95] = [0.5, 0.95].map(|share| quantile(&seconds, share));
        served &= missed == 0 && p95.is_some_and(|p95| p95 < LATENCY);
        row["events"] = json!(seconds.len() + missed);
        row["missed"] = json!(missed);
        row["latency_p50_s"] = json!(p50.map(round));
        row["latency_p95_s"] = json!(p95.map(round));
    }
    row["served"] = json!(served);
    results.add(&format!("cameras_{}_{}", coding.name(), mix.name()), row);
    gateway.stop()?;
    Ok(served)
}

/// Cameras that show a mix.
struct Shown {
    server: Camera,
    /// Streams that begin one by one.
    streams: usize,
    names: Vec<String>,
    mix: Mix,
}

impl Shown {
    fn start(kit: &Kit, coding: Coding, mix: Mix, log: &Path) -> Result<Shown> {
        let files: Vec<PathBuf> = [
            (Scene::Quiet, mix.quiet),
            (Scene::Event, mix.events),
            (Scene::Busy, mix.busy),
        ]
        .into_iter()
        .flat_map(|(scene, count)| std::iter::repeat_n(scene, count))
        .map(|scene| clips::clip(&kit.footage, scene, coding))
        .collect::<Result<_>>()?;
        let names: Vec<String> = (0..files.len()).map(|i| format!("cam-{i}")).collect();
        // Cameras are not what is measured, but take processor time here: those that show the same
        // stillness are packed once, and sent to as many connections as there are cameras.
        let mounts: Vec<String> = (names.iter().enumerate())
            .map(|(index, name)| match index < mix.quiet + mix.events {
                // Not all at once; by whole groups of pictures.
                true => format!("{name}@{}", index % EVENTS * 2),
                false => name.clone(),
            })
            .collect();
        let mut clips: Vec<(&str, &Path)> = mounts
            .iter()
            .zip(&files)
            .map(|(mount, file)| (mount.as_str(), file.as_path()))
            .skip(mix.quiet)
            .collect();
        if mix.quiet > 0 {
            clips.push(("still*", files[0].as_path()));
        }
        Ok(Shown {
            server: Camera::start(&clips, 0, None, log)?,
            streams: clips.len(),
            names,
            mix,
        })
    }

    /// Waits until a gateway is being shown all of them.
    fn playing(mut self) -> Result<Camera> {
        let begun = |log: &str| log.matches("PLAYS ").count() >= self.streams;
        self.server
            .process()
            .ready("all cameras to play", PLAYING, |log| {
                Ok(begun(log).then_some(()))
            })?;
        Ok(self.server)
    }

    /// `[vision]` and `[[camera]]`.
    fn configuration(&self, kit: &Kit) -> String {
        let mut toml = format!(
            "[vision]\nmodel = \"{}\"\nonnxruntime = \"{}\"\nthreads = 2\n\n",
            kit.model.display(),
            kit.onnxruntime.display()
        );
        for (index, name) in self.names.iter().enumerate() {
            let polygon = if index < self.mix.quiet + self.mix.events {
                LAWN
            } else {
                "[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]"
            };
            toml += &format!(
                "[[camera]]\nid = \"{name}\"\nurl = \"{}\"\n\n\
                 [[camera.zone]]\nid = \"lawn\"\nkind = \"green_encroachment\"\nlabels = [\"person\"]\n\
                 dwell = \"{DWELL}\"\ngrace = \"{GRACE}\"\npolygon = {polygon}\n\n",
                self.server.url(if index < self.mix.quiet {
                    "still"
                } else {
                    name
                })
            );
        }
        toml
    }
}

/// Frames of cameras, and those of them that were lost, damaged or passed over for want of time.
fn frames(gateway: &Gateway) -> Result<[u64; 2]> {
    let status = gateway.status()?;
    let sources = status["sources"].as_array().context("sources")?;
    let cameras = || sources.iter().filter(|s| s["kind"] == "camera");
    Ok(["received", "refused"].map(|what| cameras().filter_map(|s| s[what].as_u64()).sum()))
}

/// From each appearance that was shown to the alert's arrival, in order, and how many brought none.
fn latencies(log: &str, platform: &Platform, mix: Mix) -> Result<(Vec<f64>, usize)> {
    let received = platform.received()?;
    let end = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock")?
        .as_secs_f64();
    let mut seconds = Vec::new();
    let mut missed = 0;
    for index in mix.quiet..mix.quiet + mix.events {
        let name = format!("cam-{index}");
        let began: f64 = log
            .lines()
            .filter_map(|l| l.strip_prefix("PLAYS ")?.split_once(' '))
            .find(|(camera, _)| *camera == name)
            .and_then(|(_, at)| at.trim().parse().ok())
            .with_context(|| format!("when {name} began to play"))?;
        // Who comes back within minutes goes on with the same alert: it is updated.
        let raised: Vec<f64> = received
            .alerts()
            .filter(|e| e.body["data"]["state"] != "cleared")
            .filter(|e| e.body["data"]["device"] == *name)
            .filter(|e| e.body["data"]["kind"] == "green_encroachment")
            .map(|e| e.received_ms as f64 / 1e3)
            .collect();
        let shown = EVENT_EVERY.as_secs_f64() - EVENT_AT.as_secs_f64();
        let mut event = began + EVENT_AT.as_secs_f64();
        while event + shown < end {
            match raised
                .iter()
                .find(|at| **at >= event && **at < event + EVENT_EVERY.as_secs_f64() / 2.0)
            {
                Some(at) => seconds.push(at - event),
                None => missed += 1,
            }
            event += EVENT_EVERY.as_secs_f64();
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds, missed))
}

/// The value below which this share of sorted values lies.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}
