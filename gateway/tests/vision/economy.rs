//! A quiet camera is hardly decoded, costs little memory, and misses nothing that stays.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use wangge::config::{Camera as CameraConfig, RtspTransport};
use wangge_tests::{place, rtsp::Camera, usage};

use crate::rig::{PATIENCE, Rig, camera, file, rtsp, sighting, vision};

/// The first picture of the footage, with a sensor's noise, through `filter`; a key frame every
/// `gop` frames.
fn still(dir: &Path, filter: &str, fps: u32, gop: u32) -> PathBuf {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let made = dir.join("still.mp4");
    let gop = gop.to_string();
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(clip)
        .args(["-filter_complex", filter, "-r", &fps.to_string(), "-an"])
        .args([
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", &gop,
        ])
        .args(["-keyint_min", &gop, "-sc_threshold", "0"])
        .arg(&made)
        .status()
        .unwrap();
    assert!(status.success());
    made
}

/// A zone on the lawn, in which anything new counts and nobody walks.
fn lawn(input: wangge::config::CameraInput) -> CameraConfig {
    let mut camera = camera(input);
    camera.masks.clear();
    camera.zones[0].objects = true;
    camera.zones[0].polygon = vec![[0.0, 0.6], [0.4, 0.7], [0.5, 1.0], [0.0, 1.0]];
    camera
}

/// Seconds after the beginning of the clip at which something lies on the lawn, from one frame
/// to the next and with nobody about (synthetic: a box painted into the picture).
const LEFT_AT: u64 = 25;

#[tokio::test]
async fn what_is_left_in_a_quiet_scene_is_found_at_the_next_look_at_the_latest() {
    // Key frames every 2 s; and every 10 s, as smart codecs send them.
    for gop in [20, 100] {
        let dir = tempfile::tempdir().unwrap();
        let filter = format!(
            "trim=end_frame=1,loop=loop=799:size=1,setpts=N/10/TB,\
             drawbox=x=120:y=440:w=60:h=48:color=0xD8C8A0:t=fill:enable='gte(t,{LEFT_AT})',\
             drawbox=x=132:y=452:w=20:h=24:color=0x803020:t=fill:enable='gte(t,{LEFT_AT})',\
             noise=alls=4:allf=t,format=yuv420p"
        );
        let clip = still(dir.path(), &filter, 10, gop);
        let mut rig = Rig::start(vec![lawn(file(&clip, false))]);
        rig.well().await;
        let begun = Instant::now();
        let (seen, after) = rig
            .until("what was left", |a| {
                let seen = sighting(a).filter(|s| s.present)?;
                Some((seen, begun.elapsed()))
            })
            .await;
        assert_eq!(&*seen.label, "object", "{seen:?}");
        let story = seen.story.expect("a story");
        assert!(story.actor.is_none(), "{story:?}");
        // Fifteen seconds to the next look, ten in which it must stay as it is, since nobody saw
        // it coming, and some to be sure that it stands still.
        let limits = LEFT_AT - 2..LEFT_AT + 15 + 10 + 8;
        assert!(limits.contains(&after.as_secs()), "{gop}: {after:?}");
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_quiet_camera_wakes_hardly_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let filter = "trim=end_frame=1,loop=loop=249:size=1,setpts=N/25/TB,noise=alls=4:allf=t,\
                  format=yuv420p";
    let clip = still(dir.path(), filter, 25, 50);
    let server = Camera::start(&[("cam", &clip)], 0, None, &dir.path().join("log")).unwrap();
    let mut rig = Rig::start(vec![lawn(rtsp(
        &server.url("cam"),
        None,
        RtspTransport::Tcp,
    ))]);
    let pid = rig.child_started().await as u32;
    rig.well().await;
    let sleeps = || usage::sleeps(pid, &["network", "look"]);
    assert!(sleeps() > 0, "threads of these names");
    // Until the scene is known and nothing was seen to move for long enough.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let before = (Instant::now(), sleeps());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let each = (sleeps() - before.1) as f64 / before.0.elapsed().as_secs_f64();
    println!("{each:.1} times a second");
    // Some 17; that each of 25 frames a second wakes one thread or two is what is saved.
    assert!(each < 30.0, "woken {each:.1} times a second");
    rig.stop().await;
}

/// Twelve 1080p cameras before which people walk, coded as `coding` says and begun at once, in a
/// process that may have `limit` bytes: the most that it had while something was told of each.
async fn most_resident(coding: &[&str], limit: u64) -> u64 {
    const CAMERAS: usize = 12;
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("busy.mp4");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(place::clip("vtest-h264.mp4").unwrap())
        .args(["-vf", "scale=1920:1080,fps=10", "-t", "20", "-an"])
        .args(coding)
        .arg(&clip)
        .status()
        .unwrap();
    assert!(status.success());
    let names: Vec<String> = (0..CAMERAS).map(|i| format!("cam-{i}")).collect();
    let clips: Vec<(&str, &Path)> = names.iter().map(|n| (n.as_str(), &*clip)).collect();
    let server = Camera::start(&clips, 0, None, &dir.path().join("log")).unwrap();
    let configured = names.iter().map(|name| {
        let mut camera = camera(rtsp(&server.url(name), None, RtspTransport::Tcp));
        camera.id = name.as_str().into();
        // The last seconds of each are kept, too.
        camera.zones[0].objects = true;
        camera
    });
    let mut set_up = vision();
    set_up.threads = 2;
    set_up.memory_limit = limit;
    let mut rig = Rig::with(configured.collect(), set_up);
    let pid = rig.child_started().await as u32;
    let (mut most, mut seen) = (0, BTreeSet::new());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) || seen.len() < CAMERAS {
        assert!(begun.elapsed() < PATIENCE, "seen by {seen:?} only");
        let wait = Duration::from_millis(50);
        if let Ok(Some(arrival)) = tokio::time::timeout(wait, rig.arrivals.recv()).await
            && sighting(&arrival).is_some_and(|s| s.present)
        {
            seen.insert(arrival.subject.to_string());
        }
        most = most.max(usage::of(pid).resident);
    }
    assert_eq!(rig.child(), Some(pid as i32), "the child was restarted");
    rig.stop().await;
    most
}

#[tokio::test]
async fn however_many_scenes_move_at_once_memory_stays_within_what_was_promised() {
    // H.265 decoders are the largest: some 27 MB each for pictures of this size.
    let set_up = "keyint=20:min-keyint=20:scenecut=0:bframes=0:open-gop=0:log-level=error";
    let coding = [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-tag:v",
        "hvc1",
        "-x265-params",
        set_up,
    ];
    let most = most_resident(&coding, 512_000_000).await;
    // 150 MB and 6 MB a camera.
    assert!(most <= 222_000_000, "{most} bytes");
}

#[tokio::test]
async fn decoders_that_take_more_than_was_reckoned_make_way_before_memory_runs_out() {
    // Each keeps sixteen pictures, five times what is usual.
    let coding = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-bf",
        "0",
        "-refs",
        "16",
        "-g",
        "20",
        "-keyint_min",
        "20",
        "-sc_threshold",
        "0",
    ];
    let limit = 300_000_000;
    let most = most_resident(&coding, limit).await;
    assert!(most < limit, "{most} bytes");
}

/// Resident bytes of a child that watches so many 1080p cameras for `time`, and what it grew by
/// in as long again.
async fn resident(clip: &Path, cameras: usize, time: Duration) -> (u64, i64) {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..cameras).map(|i| format!("cam-{i}")).collect();
    let clips: Vec<(&str, &Path)> = names.iter().map(|n| (n.as_str(), clip)).collect();
    let server = Camera::start(&clips, 0, None, &dir.path().join("log")).unwrap();
    let configured = names.iter().map(|name| {
        let mut camera = lawn(rtsp(&server.url(name), None, RtspTransport::Tcp));
        camera.id = name.as_str().into();
        camera.fps = 1.0;
        camera
    });
    let mut rig = Rig::start(configured.collect());
    let pid = rig.child_started().await as u32;
    let mut measured = Vec::new();
    for _ in 0..2 {
        let begun = Instant::now();
        while begun.elapsed() < time {
            // The arrivals have to be taken, or the child waits.
            let _ = tokio::time::timeout(Duration::from_millis(200), rig.arrivals.recv()).await;
        }
        measured.push(usage::of(pid).resident);
    }
    assert_eq!(rig.child(), Some(pid as i32), "the child was restarted");
    rig.stop().await;
    (measured[0], measured[1] as i64 - measured[0] as i64)
}

#[tokio::test]
async fn quiet_1080p_cameras_stay_within_their_memory_and_do_not_grow() {
    const CAMERAS: usize = 9;
    const MB: u64 = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let filter = "trim=end_frame=1,loop=loop=149:size=1,setpts=N/15/TB,scale=1920:1080,\
                  noise=alls=5:allf=t,format=yuv420p";
    let clip = still(dir.path(), filter, 15, 30);
    let time = Duration::from_secs(45);
    let (one, _) = resident(&clip, 1, time).await;
    let (many, growth) = resident(&clip, CAMERAS, time).await;
    let each = many.saturating_sub(one) / (CAMERAS as u64 - 1);
    println!("one camera: {one} B, each more: {each} B, growth {growth} B");
    // What the station is promised, and what a camera that kept its decoder would break.
    assert!(one <= 156 * MB, "{one} bytes with one camera");
    assert!(many <= (150 + 6 * CAMERAS as u64) * MB, "{many} bytes");
    assert!(each <= 8 * MB, "{each} bytes for each further camera");
    let per_camera = growth / CAMERAS as i64;
    assert!(per_camera < MB as i64, "grew by {growth} bytes");
}
