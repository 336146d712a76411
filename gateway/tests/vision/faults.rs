//! Cameras that do not work: the reason is said, once, and everything else goes on.

use std::time::Duration;

use wangge::config::{Camera as CameraConfig, RtspTransport};
use wangge_protocol::EventKind;
use wangge_tests::{place, rtsp::Camera};

use crate::{
    rig::{Rig, camera, file, health, rtsp, sighting},
    scripted::{Script, Scripted},
};

fn over_tcp(url: &str, login: Option<(&str, &str)>) -> CameraConfig {
    camera(rtsp(url, login, RtspTransport::Tcp))
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let address = format!("127.0.0.1:{}", place::free_port().unwrap());
    let mut rig = Rig::start(vec![over_tcp(&format!("rtsp://{address}/x"), None)]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(
        reason.contains(&address) && reason.contains("refused"),
        "{reason}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_said_once_and_another_camera_goes_on() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let right = Some(("viewer", "right"));
    let server = Camera::start(&[("cam", &clip)], 0, right, &dir.path().join("log")).unwrap();
    let mut wrong = over_tcp(&server.url("cam"), Some(("viewer", "wrong")));
    wrong.id = "wrong".into();
    let mut missing = over_tcp(&server.url("cam"), None);
    missing.id = "missing".into();
    let mut rig = Rig::start(vec![wrong, missing, over_tcp(&server.url("cam"), right)]);
    // Until the good camera has seen someone there was time for many wrong tries.
    let mut said = Vec::new();
    loop {
        let (subject, fault, seen) = rig
            .until("the good camera", |a| {
                Some((a.subject.clone(), health(a).cloned(), sighting(a)))
            })
            .await;
        match fault {
            Some(wangge::observation::Health::Fault { reason, .. }) => {
                assert!(reason.en.contains("password"), "{reason:?}");
                said.push(subject);
            }
            _ if seen.is_some_and(|s| !s.evidence.is_empty()) => break,
            _ => {}
        }
    }
    said.sort();
    assert_eq!(
        said,
        ["missing".into(), "wrong".into()] as [std::sync::Arc<str>; 2]
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_wrong_path_is_told_from_a_wrong_password() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = Camera::start(&[("cam", &clip)], 0, None, &dir.path().join("log")).unwrap();
    let mut rig = Rig::start(vec![over_tcp(&server.url("nothing"), None)]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(reason.contains("no stream at this path"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_camera_that_goes_away_and_comes_back() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut server = Camera::start(&[("cam", &clip)], 0, None, &log).unwrap();
    let (url, port) = (server.url("cam"), server.port());
    let mut rig = Rig::start(vec![over_tcp(&url, None)]);
    rig.well().await;
    server.process().kill().unwrap();
    rig.fault(EventKind::CameraFault).await;
    let _again = Camera::start(&[("cam", &clip)], port, None, &log).unwrap();
    rig.well().await;
    rig.stop().await;
}

#[tokio::test]
async fn files_that_are_missing_or_no_video() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.mp4");
    std::fs::write(&text, "not a video at all").unwrap();
    for (path, expect) in [
        (dir.path().join("none.mp4"), "No such file"),
        (text, "no video"),
    ] {
        let mut rig = Rig::start(vec![camera(file(&path, true))]);
        let reason = rig.fault(EventKind::CameraFault).await;
        assert!(
            reason.contains(path.to_str().unwrap()) && reason.contains(expect),
            "{reason}"
        );
        rig.stop().await;
    }
}

async fn scripted(script: Script) -> (String, Rig) {
    let server = Scripted::start(script).await;
    let mut rig = Rig::start(vec![over_tcp(&server.url(), None)]);
    let reason = rig.fault(EventKind::CameraFault).await;
    (reason, rig)
}

#[tokio::test]
async fn a_camera_that_never_answers() {
    let (reason, rig) = scripted(Script::Mute).await;
    assert!(reason.contains("did not answer DESCRIBE"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn garbage_instead_of_rtsp() {
    let (reason, rig) = scripted(Script::Garbage).await;
    assert!(reason.contains("broke the protocol"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn garbage_instead_of_video() {
    let (reason, rig) = scripted(Script::BrokenVideo).await;
    assert!(reason.contains("cannot be decoded"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_stream_without_key_frames() {
    let (reason, rig) = scripted(Script::NoKeyFrame).await;
    assert!(reason.contains("no key frame"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_stream_that_stops() {
    let (reason, rig) = scripted(Script::Stops).await;
    assert!(reason.contains("stopped sending"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_clock_that_stands_still() {
    let (reason, rig) = scripted(Script::FrozenClock).await;
    assert!(reason.contains("clock has stood still"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn an_answer_a_byte_at_a_time() {
    let (reason, rig) = scripted(Script::Drip).await;
    assert!(reason.contains("did not answer DESCRIBE"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_camera_that_no_password_satisfies() {
    let server = Scripted::start(Script::NeverSatisfied).await;
    let login = Some(("viewer", "right"));
    let mut rig = Rig::start(vec![over_tcp(&server.url(), login)]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(reason.contains("password"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_frozen_picture() {
    let server = Scripted::start(Script::Frozen).await;
    let mut rig = Rig::start(vec![over_tcp(&server.url(), None)]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(reason.contains("same picture"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_good_camera_among_nine_hostile_ones() {
    let scripts = [
        Script::Mute,
        Script::Garbage,
        Script::BrokenVideo,
        Script::NoKeyFrame,
        Script::FrozenClock,
        Script::Endless,
        Script::Drip,
        Script::NeverSatisfied,
        Script::Frozen,
    ];
    let mut servers = Vec::new();
    let mut cameras = Vec::new();
    for (index, script) in scripts.into_iter().enumerate() {
        let server = Scripted::start(script).await;
        let mut hostile = over_tcp(&server.url(), Some(("viewer", "right")));
        hostile.id = format!("hostile-{index}").into();
        cameras.push(hostile);
        servers.push(server);
    }
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let mut good = camera(file(&clip, true));
    good.id = "good".into();
    cameras.push(good);
    let mut rig = Rig::start(cameras);
    let pid = rig.child_started().await;
    // Several pictures' worth: the others have all shown what they can do by then.
    for _ in 0..2 {
        rig.until("a picture of the good camera", |a| {
            let seen = sighting(a)?;
            if &*a.subject != "good" {
                // A good picture that never changes shows nobody; the others show nothing.
                assert!(!seen.present, "{seen:?}");
                return None;
            }
            (!seen.evidence.is_empty() || seen.dwell.as_secs() > 10).then_some(())
        })
        .await;
    }
    assert_eq!(rig.child(), Some(pid), "no restart");
    rig.stop().await;
}

#[tokio::test]
async fn an_endless_picture_costs_no_memory() {
    let server = Scripted::start(Script::Endless).await;
    let mut rig = Rig::start(vec![over_tcp(&server.url(), None)]);
    let pid = rig.child_started().await;
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(reason.contains("without end"), "{reason}");
    // It is tried again and again; the peak of all tries counts.
    for _ in 0..2 {
        server.served().await;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 200 << 10, "{peak} kB");
    rig.stop().await;
}

#[tokio::test]
async fn a_resolution_that_changes_in_mid_stream() {
    let server = Scripted::start(Script::Resolutions).await;
    let mut rig = Rig::start(vec![over_tcp(&server.url(), None)]);
    rig.well().await;
    // Both sizes have been played several times, and the camera is still well.
    server.served().await;
    let quiet = tokio::time::timeout(
        Duration::from_secs(1),
        rig.until("a fault", |a| {
            health(a)
                .filter(|h| **h != wangge::observation::Health::Ok)
                .cloned()
        }),
    );
    assert!(quiet.await.is_err(), "no fault");
    let refused = rig.counters.refused.get();
    assert_eq!(refused, 0, "no frame was lost");
    rig.stop().await;
}
