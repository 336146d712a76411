//! Recordings: looked at to their last frame, faster than they were made, always alike; and the
//! command that does it.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value as Json;
use wangge::{
    config::{Calendars, Camera},
    observation::Value,
    source::vision::{
        Launch,
        replay::{Frames, Recording, ReplayError, Step, replay},
    },
    vision::wire::Played,
};
use wangge_tests::place;

use crate::{
    cameras::standstill,
    rig::{camera, file, keep, vision},
};

const START: &str = "2026-03-01T10:30:00Z";
/// Two seconds of movement and forty of none, ten frames a second.
const FRAMES: u64 = 420;
const LENGTH: Duration = Duration::from_secs(42);

/// Plays clips as a camera's; gives what came.
pub async fn play(camera: Camera, clips: Vec<PathBuf>) -> (Vec<Step>, Result<Frames, ReplayError>) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("wangge");
    symlink(env!("CARGO_BIN_EXE_wangge-vision"), &program).unwrap();
    let launch = Launch {
        program,
        vision: vision(),
        state: Arc::default(),
        feed: Default::default(),
    };
    let recording = Recording {
        clips,
        start: START.parse().unwrap(),
    };
    let camera = Arc::new(camera);
    let keep = keep(dir.path().to_path_buf());
    let mut steps = Vec::new();
    let played = replay(
        &launch,
        (camera, &Calendars::default()),
        recording,
        keep,
        |step| steps.push(step),
    )
    .await;
    (steps, played)
}

/// Its own input is not used.
fn lawn() -> Camera {
    camera(file(Path::new("/nowhere"), false))
}

fn times(steps: &[Step]) -> Vec<Timestamp> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Arrival(arrival, _) => Some(arrival.observations.iter()),
            Step::Played(_) => None,
        })
        .flatten()
        .map(|observation| observation.at)
        .collect()
}

#[tokio::test]
async fn every_frame_is_looked_at_faster_than_it_was_made_and_always_alike() {
    let dir = tempfile::tempdir().unwrap();
    let clip = standstill(dir.path());
    let begun = Instant::now();
    let (steps, frames) = play(lawn(), vec![clip.clone()]).await;
    assert!(begun.elapsed() < LENGTH, "{:?}", begun.elapsed());
    // More frames than a lane holds: the reader waited, nothing was dropped.
    let all = Frames {
        received: FRAMES,
        accepted: FRAMES,
        refused: 0,
    };
    assert_eq!(frames.unwrap(), all);
    let (again, _) = play(lawn(), vec![clip]).await;
    // Pictures' hashes and all.
    assert_eq!(format!("{steps:?}"), format!("{again:?}"));
}

#[tokio::test]
async fn times_are_those_of_the_recording_and_clips_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let clip = standstill(dir.path());
    let (steps, frames) = play(lawn(), vec![clip.clone(), clip]).await;
    frames.unwrap();
    let start: Timestamp = START.parse().unwrap();
    let clips: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Played(Played::Clip { index, at_us }) => Some((*index, *at_us)),
            _ => None,
        })
        .collect();
    let second = start.as_microsecond() + LENGTH.as_micros() as i64;
    assert_eq!(clips, [(0, start.as_microsecond()), (1, second)]);
    let length = steps.iter().find_map(|step| match step {
        Step::Played(Played::Length(us)) => Some(*us),
        _ => None,
    });
    assert_eq!(length, Some(2 * LENGTH.as_micros() as i64));

    let times = times(&steps);
    let end = start + 2 * LENGTH;
    assert!(
        times.iter().all(|at| (start..=end).contains(at)),
        "{times:?}"
    );
    let stay = steps.iter().find_map(|step| match step {
        Step::Arrival(arrival, _) => arrival.observations.iter().find_map(|o| match &o.value {
            Value::Sighting(s) if !s.evidence.is_empty() => Some((o.at, s.dwell)),
            _ => None,
        }),
        Step::Played(_) => None,
    });
    let (at, dwell) = stay.expect("somebody stays for two seconds");
    assert!(dwell >= Duration::from_secs(2));
    // Somebody is there from the first second on.
    assert!(
        at.duration_since(start).unsigned_abs() < Duration::from_secs(10),
        "{at}"
    );
}

#[tokio::test]
async fn a_clip_that_is_none_is_named_before_anything_is_played() {
    let dir = tempfile::tempdir().unwrap();
    let clip = standstill(dir.path());
    let text = dir.path().join("notes.mp4");
    std::fs::write(&text, "no video").unwrap();
    let (steps, played) = play(lawn(), vec![clip, text]).await;
    let error = played.unwrap_err();
    assert!(matches!(error, ReplayError::Fatal(_)), "{error:?}");
    assert!(error.to_string().contains("notes.mp4"), "{error}");
    assert!(times(&steps).is_empty());
}

/// A station's file with one camera of which nothing but its zones is written.
pub fn station(dir: &Path, zones: &str) -> PathBuf {
    let file = dir.join("station.toml");
    let text = format!(
        r#"
        [station]
        id = "tried"
        unit_grid = "530102001001001"
        lon = 102.7
        lat = 25.05
        [storage]
        path = "storage"
        [vision]
        model = {:?}
        onnxruntime = {:?}
        [[camera]]
        id = "gate"
        url = "rtsp://127.0.0.1/gate"
        {zones}
        "#,
        place::model().unwrap(),
        place::onnxruntime().unwrap()
    );
    std::fs::write(&file, text).unwrap();
    file
}

const LAWN: &str = r#"
    [[camera.zone]]
    id = "lawn"
    kind = "green_encroachment"
    polygon = [[0.0, 0.3], [0.6, 0.3], [0.6, 1.0], [0.0, 1.0]]
    labels = ["person"]
    dwell = "5s"
"#;

/// What the command writes of a clip: a line each message.
pub fn alerts(station: &Path, clip: &Path, start: &str) -> Vec<Json> {
    let lines = station.with_file_name("alerts.jsonl");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (clip, station, file) = (path(clip), path(station), path(&lines));
    let mut arguments = vec![&*clip, "--camera", "gate", "--config", &*station];
    arguments.extend(["--start", start, "--json", &*file]);
    let output = wangge(&arguments);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    let lines = std::fs::read_to_string(lines).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn wangge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wangge"))
        .arg("replay")
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

#[test]
fn the_command_prints_alerts_with_their_times_and_keeps_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let (clip, station) = (standstill(dir.path()), station(dir.path(), LAWN));
    let (lines, pictures) = (dir.path().join("alerts.jsonl"), dir.path().join("pictures"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let output = wangge(&[
        &path(&clip),
        "--camera",
        "gate",
        "--config",
        &path(&station),
        "--start",
        "2026-03-01T18:30:00+08:00",
        "--json",
        &path(&lines),
        "--pictures",
        &path(&pictures),
    ]);
    let said = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(
        said.contains("raised") && said.contains("Public green"),
        "{said}"
    );
    assert!(log.contains("of recording in"), "{log}");

    let lines = std::fs::read_to_string(lines).unwrap();
    let first: Json = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let after = first["after_s"].as_f64().unwrap();
    assert!((5.0..LENGTH.as_secs_f64()).contains(&after), "{after}");
    assert_eq!(first["event"]["data"]["state"], "raised");
    assert_eq!(first["event"]["data"]["rule"], "zone:lawn");
    assert!(
        first["at"]
            .as_str()
            .unwrap()
            .starts_with("2026-03-01T10:30:")
    );
    let named = first["event"]["data"]["evidence"][0]["sha256"]
        .as_str()
        .unwrap();
    let kept: Vec<_> = std::fs::read_dir(pictures)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        kept.iter().any(|name| name.contains(&named[..8])),
        "{kept:?} {named}"
    );
}

#[test]
fn what_is_wrong_is_said_with_the_right_code() {
    let dir = tempfile::tempdir().unwrap();
    let station = station(dir.path(), LAWN);
    let text = dir.path().join("notes.mp4");
    std::fs::write(&text, "no video").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (station, text) = (path(&station), path(&text));
    for (arguments, code, says) in [
        (vec![&*text, "--camera", "door"], 2, "it has gate"),
        (vec!["nowhere.mp4", "--camera", "gate"], 2, "nowhere.mp4"),
        (vec![&*text, "--camera", "gate"], 1, "notes.mp4"),
    ] {
        let mut arguments = arguments;
        arguments.extend(["--config", &station]);
        let output = wangge(&arguments);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {log}");
        assert!(log.contains(says), "{log}");
    }
}
