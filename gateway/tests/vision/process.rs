//! The child's life: killed, stopped dead, too large; and what it may not do.

use std::{
    fs::File,
    os::{
        fd::OwnedFd,
        unix::{fs::FileExt, net::UnixStream},
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use wangge::{
    config::Vision,
    observation::Health,
    vision::{NICENESS, wire},
};
use wangge_protocol::EventKind;
use wangge_tests::place;

use crate::rig::{PATIENCE, Rig, camera, file, health, rtsp, vision};

fn a_camera() -> wangge::config::Camera {
    camera(file(&place::clip("vtest-h264.mp4").unwrap(), true))
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_killed_child_is_back_within_seconds() {
    let mut rig = Rig::start(vec![a_camera()]);
    rig.well().await;
    let first = rig.child_started().await;
    signal(first, Signal::KILL);
    let killed = Instant::now();
    let reason = rig.fault(EventKind::VisionFault).await;
    assert!(reason.contains("killed by signal 9"), "{reason}");
    let second = rig.child_started().await;
    assert_ne!(first, second);
    assert!(
        killed.elapsed() < Duration::from_secs(2),
        "{:?}",
        killed.elapsed()
    );
    rig.well().await;
    assert_eq!(rig.counters.faults.get(), 1);
    rig.picture().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_child_that_hangs_is_replaced() {
    let mut rig = Rig::start(vec![a_camera()]);
    rig.well().await;
    signal(rig.child_started().await, Signal::STOP);
    let reason = rig.fault(EventKind::VisionFault).await;
    assert!(reason.contains("hangs"), "{reason}");
    rig.well().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_child_beyond_its_memory_is_replaced() {
    let small = Vision {
        memory_limit: 40 << 20,
        ..vision()
    };
    let mut rig = Rig::with(vec![a_camera()], small);
    let reason = rig.fault(EventKind::VisionFault).await;
    assert!(reason.contains("memory"), "{reason}");
    rig.stop().await;
}

/// Kills it while it works on the first camera's video and on nobody else's; at any moment, if
/// that may not be seen.
async fn kill_at_work(pid: i32) {
    // Its standard output is where it notes what it works on: 12 bytes a thread, of which the
    // first four are the camera's position, counted from 1, or 0.
    let Ok(slate) = File::open(format!("/proc/{pid}/fd/1")) else {
        // Only root may look into a process that is not to be dumped.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        return signal(pid, Signal::KILL);
    };
    let begun = Instant::now();
    loop {
        signal(pid, Signal::STOP);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut places = [0; 64 * 12];
        slate.read_exact_at(&mut places, 0).unwrap();
        let (places, _) = places.as_chunks::<12>();
        let at_work = places.iter().map(|place| place[0]).filter(|at| *at != 0);
        if at_work.eq([1]) {
            return signal(pid, Signal::KILL);
        }
        signal(pid, Signal::CONT);
        assert!(begun.elapsed() < PATIENCE, "it never works on that video");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Killed whenever it works on the first camera's video, as if that had killed it.
#[tokio::test]
async fn a_camera_whose_video_kills_is_passed_over_and_the_others_go_on() {
    let cameras = ["one", "two"].map(|id| {
        let mut camera = a_camera();
        camera.id = id.into();
        camera
    });
    let mut rig = Rig::start(cameras.into());
    let mut deaths = 0;
    loop {
        let passed_over = rig.until("the first to be well or passed over", |a| {
            match health(a).filter(|_| &*a.subject == "one")? {
                Health::Ok => Some(false),
                Health::Fault { reason, .. } => Some(reason.en.contains("passed over")),
            }
        });
        if passed_over.await {
            break;
        }
        // Two are enough, if its video was worked on at both.
        deaths += 1;
        assert!(deaths <= 12, "it is not passed over");
        kill_at_work(rig.child_started().await).await;
        rig.fault(EventKind::VisionFault).await;
    }
    // What the one told before it was passed over may still be on its way.
    rig.until("a picture of the other", |a| {
        let seen = crate::rig::sighting(a)?;
        (!seen.evidence.is_empty() && &*a.subject == "two").then_some(())
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn stopping_leaves_no_child() {
    let mut rig = Rig::start(vec![a_camera()]);
    rig.well().await;
    let pid = rig.child_started().await;
    rig.stop().await;
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn the_child_ends_when_the_gateway_is_gone() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wangge-vision"))
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let vision = vision();
    let setup = wire::Setup {
        litter_model: None,
        model: vision.model,
        shadow: None,
        onnxruntime: vision.onnxruntime,
        threads: 1,
        memory_limit: vision.memory_limit,
        decoder: vision.decoder,
        time_zone: "Asia/Shanghai".into(),
        days: Default::default(),
        permits: Vec::new(),
        sealed_for: None,
        thumbnails: false,
        cameras: Vec::new(),
    };
    wire::write(&mut ours, &setup).unwrap();
    let first: wire::Report = wire::read(&mut ours).unwrap();
    assert!(matches!(first, wire::Report::Ready { .. }), "{first:?}");
    // As after kill -9 of the gateway: nobody says stop.
    drop(ours);
    let ended = wangge_tests::until("the child to end", PATIENCE, || Ok(child.try_wait()?));
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[test]
fn by_hand_it_says_that_it_is_not_for_hands() {
    let child = Command::new(env!("CARGO_BIN_EXE_wangge-vision"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(child.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&child.stderr).contains("started by `wangge run`"));
}

#[tokio::test]
async fn the_child_is_confined_and_its_secrets_are_not_to_be_seen() {
    let secret = "swordfish-4711";
    let input = rtsp(
        "rtsp://127.0.0.1:9/x",
        Some(("viewer", secret)),
        wangge::config::RtspTransport::Tcp,
    );
    let mut rig = Rig::start(vec![camera(input), a_camera()]);
    rig.well().await;
    let proc = format!("/proc/{}", rig.child_started().await);
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(format!("{proc}/{file}")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(secret), "{file}");
    }
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find(|l| l.starts_with(name))
            .unwrap_or_default();
        line.split_whitespace()
            .last()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2", "a filter is on");
    let limits = std::fs::read_to_string(format!("{proc}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|l| l.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let number = |name: &str, column: usize| -> u64 {
        let line = limits.lines().find(|l| l.starts_with(name)).unwrap();
        let words = line.trim_start_matches(name).split_whitespace();
        words.clone().nth(column).unwrap().parse().unwrap()
    };
    // The hard limit too: it cannot take its limits back.
    for column in [0, 1] {
        assert!(number("Max address space", column) < 8 << 30, "{limits}");
        assert!(number("Max open files", column) < 200, "{limits}");
    }
    let stat = std::fs::read_to_string(format!("{proc}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let nice: i32 = after_name
        .split_whitespace()
        .nth(16)
        .unwrap()
        .parse()
        .unwrap();
    let own = rustix::process::getpriority_process(None).unwrap();
    assert_eq!(nice, (own + NICENESS).min(19), "behind the gateway");
    rig.stop().await;
}
