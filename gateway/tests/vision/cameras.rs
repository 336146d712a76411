//! What must work: files and cameras, both codings, both transports, with a login.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use wangge::{config::RtspTransport, observation::Sighting};
use wangge_tests::{place, rtsp::Camera};

use crate::rig::{Rig, camera, file, rtsp, sighting, vision};

const LOGIN: (&str, &str) = ("viewer", "correct horse");

#[tokio::test]
async fn a_file_is_watched_and_a_picture_taken_when_the_dwell_is_reached() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let mut rig = Rig::start(vec![camera(file(&clip, true))]);
    rig.well().await;
    let (seen, picture) = rig.picture().await;
    check(&seen, &picture);
    // The zone stays busy: further sightings of the same track bring no second picture.
    rig.stop().await;
}

#[tokio::test]
async fn a_camera_over_tcp_with_digest_login() {
    rtsp_camera("vtest-h264.mp4", RtspTransport::Tcp, Some(LOGIN)).await;
}

#[tokio::test]
async fn a_camera_over_udp_with_h265() {
    rtsp_camera("vtest-h265.mp4", RtspTransport::Udp, None).await;
}

#[tokio::test]
async fn a_camera_over_tcp_with_h265() {
    rtsp_camera("vtest-h265.mp4", RtspTransport::Tcp, None).await;
}

#[tokio::test]
async fn a_camera_over_udp_with_digest_login() {
    rtsp_camera("vtest-h264.mp4", RtspTransport::Udp, Some(LOGIN)).await;
}

async fn rtsp_camera(clip: &str, transport: RtspTransport, login: Option<(&str, &str)>) {
    let clip = place::clip(clip).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = Camera::start(&[("cam", &clip)], 0, login, &dir.path().join("log")).unwrap();
    let mut rig = Rig::start(vec![camera(rtsp(&server.url("cam"), login, transport))]);
    rig.well().await;
    let (seen, picture) = rig.picture().await;
    check(&seen, &picture);
    rig.stop().await;
}

fn check(seen: &Sighting, picture: &Path) {
    assert_eq!(
        (&*seen.zone, &*seen.label, seen.present),
        ("lawn", "person", true)
    );
    assert!(seen.dwell.as_secs_f64() >= 2.0, "{:?}", seen.dwell);
    assert!(seen.score >= 0.35, "{}", seen.score);
    assert_eq!(seen.model, "nanodet_g_416");
    assert_eq!(seen.model_hash, "18380a4e8a1ac969");
    let evidence = &seen.evidence[0];
    assert_eq!(
        (&*evidence.media_type, &*evidence.role),
        ("image/jpeg", "scene")
    );
    let jpeg = std::fs::read(picture).unwrap();
    assert_eq!(jpeg.len() as u64, evidence.bytes);
    if let Some(folder) = std::env::var_os("WANGGE_KEEP_PICTURES") {
        std::fs::copy(
            picture,
            Path::new(&folder).join(format!("{}.jpg", evidence.sha256)),
        )
        .unwrap();
    }
}

#[tokio::test]
async fn two_cameras_share_one_child_and_are_told_apart() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let mut first = camera(file(&clip, true));
    first.id = "first".into();
    let mut second = camera(file(&clip, true));
    second.id = "second".into();
    // The second looks at a zone where nobody ever is.
    second.zones[0].polygon = vec![[0.0, 0.0], [0.02, 0.0], [0.02, 0.02], [0.0, 0.02]];
    let mut rig = Rig::start(vec![first, second]);
    let mut empty = false;
    let mut present = false;
    while !(empty && present) {
        let (subject, seen) = rig
            .until("both cameras' sightings", |a| {
                Some((a.subject.clone(), sighting(a)?))
            })
            .await;
        match &*subject {
            "first" => present |= seen.present,
            _ => {
                assert!(!seen.present, "{seen:?}");
                assert!(seen.dwell.as_secs() >= 5, "grace");
                empty = true;
            }
        }
    }
    rig.stop().await;
}

/// Two seconds of the footage, then its last picture for as long as it takes, with a key frame
/// every two seconds: movement, then none.
pub fn standstill(dir: &Path) -> PathBuf {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let made = dir.join("standstill.mp4");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(clip)
        .args(["-vf", "trim=end=2,tpad=stop_mode=clone:stop_duration=40"])
        .args([
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "20",
        ])
        .args(["-keyint_min", "20", "-sc_threshold", "0"])
        .arg(&made)
        .status()
        .unwrap();
    assert!(status.success());
    made
}

#[tokio::test]
async fn one_who_stands_still_in_a_quiet_scene_is_not_taken_for_one_who_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(vec![camera(file(&standstill(dir.path()), false))]);
    // Long after the scene has become quiet, from key frames alone.
    let seen = rig
        .until("a long stay", |a| {
            sighting(a).filter(|s| !s.present || s.dwell.as_secs() >= 20)
        })
        .await;
    assert!(seen.present, "{seen:?}");
    rig.stop().await;
}

#[tokio::test]
async fn frames_are_all_accounted_for() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let mut rig = Rig::with(vec![camera(file(&clip, false))], vision());
    rig.picture().await;
    let counters = Arc::clone(&rig.counters);
    let count = || {
        let c = &counters;
        (c.received.get(), c.accepted.get() + c.refused.get())
    };
    // On a slow machine a picture takes its time, and frames wait meanwhile: few in the end.
    for _ in 0..60 {
        let (received, done) = count();
        assert!(done <= received, "{received} in, {done} done");
        if received > 100 && (received - done) * 4 < received {
            return rig.stop().await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{:?} (in, done) after a minute", count());
}
