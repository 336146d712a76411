//! Cameras that are odd in ways that no other peer is: what can be borne is, and the rest is said
//! as what it is, with what to do about it.

use std::time::Duration;

use wangge::{
    config::{Camera as CameraConfig, RtspTransport, Trust, Vision},
    observation::Health,
};
use wangge_protocol::EventKind;
use wangge_tests::snapshot::{Camera, Manner};

use crate::{
    rig::{Rig, camera, health, rtsp, sighting, vision},
    scripted::{Script, Scripted},
    stills::{car_park, snapshot},
};

fn played(server: &Scripted) -> CameraConfig {
    let login = Some(("viewer", "right"));
    camera(rtsp(&server.url(), login, RtspTransport::Tcp))
}

/// The first thing that is said of what the script does.
async fn reason(script: Script) -> String {
    let server = Scripted::start(script).await;
    let mut rig = Rig::start(vec![played(&server)]);
    let reason = rig.fault(EventKind::CameraFault).await;
    rig.stop().await;
    reason
}

/// Nothing is wrong with any camera for so long.
async fn stays_well(rig: &mut Rig, span: Duration) {
    let fault = rig.until("a fault", |arrival| match health(arrival)? {
        Health::Fault { reason, .. } => Some(reason.en.clone()),
        Health::Ok => None,
    });
    if let Ok(reason) = tokio::time::timeout(span, fault).await {
        panic!("{reason}");
    }
}

#[tokio::test]
async fn a_camera_that_agrees_to_play_and_sends_nothing() {
    let reason = reason(Script::Silent).await;
    assert!(reason.contains("sends nothing"), "{reason}");
}

#[tokio::test]
async fn packets_without_a_picture_are_no_sign_of_life() {
    let reason = reason(Script::Delimiters).await;
    assert!(reason.contains("without a picture"), "{reason}");
}

#[tokio::test]
async fn a_login_that_holds_for_one_request_is_no_wrong_password() {
    let reason = reason(Script::OneTime).await;
    assert!(reason.contains("SETUP"), "{reason}");
}

#[tokio::test]
async fn a_mark_on_every_packet_is_borne() {
    let server = Scripted::start(Script::Marks).await;
    let mut rig = Rig::start(vec![played(&server)]);
    rig.well().await;
    stays_well(&mut rig, Duration::from_secs(5)).await;
    // A machine that is short of time passes frames over, but not most of them.
    let (came, lost) = (rig.counters.received.get(), rig.counters.refused.get());
    assert!(lost * 2 < came, "{lost} of {came} lost");
    rig.stop().await;
}

#[tokio::test]
async fn requests_of_the_camera_s_own_hold_nothing_up() {
    let server = Scripted::start(Script::Asks).await;
    let mut rig = Rig::start(vec![played(&server)]);
    rig.well().await;
    // Ten pictures a second are sent, whether they are taken or not.
    for _ in 0..8 {
        let before = rig.counters.received.get();
        stays_well(&mut rig, Duration::from_secs(2)).await;
        let came = rig.counters.received.get() - before;
        assert!(came > 0, "nothing came in two seconds");
    }
    rig.stop().await;
}

/// A message without end is its camera's fault: the others go on, in the same child.
async fn endless(script: Script) {
    let limited = Vision {
        memory_limit: 512 << 20,
        ..vision()
    };
    let server = Scripted::start(script).await;
    let good = Scripted::start(Script::Marks).await;
    let mut beside = played(&good);
    beside.id = "good".into();
    let mut rig = Rig::with(vec![played(&server), beside], limited);
    let pid = rig.child_started().await;
    let reason = rig.fault(EventKind::CameraFault).await;
    // On a slow machine it is not the memory that ends first.
    let says = ["without end", "did not answer", "stopped sending"];
    assert!(says.iter().any(|s| reason.contains(s)), "{reason}");
    // It is tried again and again.
    for _ in 0..2 {
        server.served().await;
    }
    assert_eq!(rig.child(), Some(pid), "no restart");
    rig.stop().await;
}

#[tokio::test]
async fn an_answer_without_end_is_one_camera_s_fault() {
    endless(Script::EndlessAnswer).await;
}

#[tokio::test]
async fn a_message_without_end_in_a_stream_is_one_camera_s_fault() {
    endless(Script::EndlessMessage).await;
}

#[tokio::test]
async fn what_stands_behind_a_picture_and_a_camera_that_is_busy_now_and_then_are_borne() {
    let dir = car_park(200);
    for fault in ["tail", "busy"] {
        let manner = Manner {
            fault: Some(fault),
            ..Manner::default()
        };
        let folder = dir.path().join("pictures");
        let server = Camera::start(&folder, &manner, &dir.path().join(fault)).unwrap();
        let mut rig = Rig::start(vec![snapshot(&server.url(), None, Trust::default())]);
        rig.well().await;
        let told = rig.until("somebody, or a fault", |arrival| {
            if let Some(Health::Fault { reason, .. }) = health(arrival) {
                return Some(Err(reason.en.clone()));
            }
            sighting(arrival)
                .filter(|seen| !seen.evidence.is_empty())
                .map(Ok)
        });
        let seen = told
            .await
            .unwrap_or_else(|reason| panic!("{fault}: {reason}"));
        assert!(seen.dwell.as_secs_f64() >= 2.0, "{fault}: {:?}", seen.dwell);
        rig.stop().await;
    }
}
