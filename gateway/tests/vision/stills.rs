//! Cameras that send single pictures: asked for over HTTP, published over MQTT, put into a
//! folder.

use std::{path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wangge::{
    clock::Clock,
    config::{
        Broker, BrokerAddr, Camera as CameraConfig, CameraInput, Credentials, FolderPlay, Listener,
        Trust, VideoDecoder, Vision,
    },
    counters::SourceCounters,
    observation::Health,
    source::mqtt::{client, listener, pictures::Pictures},
};
use wangge_protocol::EventKind;
use wangge_tests::{
    mosquitto::{self, Mosquitto},
    place,
    snapshot::{Camera, Manner, pictures},
};

use crate::rig::{PATIENCE, Rig, camera, file, health, sighting, vision};

const EVERY: Duration = Duration::from_millis(200);
const LOGIN: (&str, &str) = ("viewer", "correct horse");

/// A folder of pictures of the car park, five a second.
pub fn car_park(count: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let clip = place::clip("vtest-h264.mp4").unwrap();
    pictures(&clip, 5, count, &dir.path().join("pictures")).unwrap();
    dir
}

pub fn snapshot(url: &str, login: Option<(&str, &str)>, trust: Trust) -> CameraConfig {
    camera(CameraInput::Snapshot {
        url: url.parse().unwrap(),
        credentials: login.map(|(username, password)| Credentials {
            username: username.into(),
            password: password.into(),
        }),
        trust,
        every: EVERY,
    })
}

async fn sees_someone(mut rig: Rig) {
    rig.well().await;
    let (seen, picture) = rig.picture().await;
    assert_eq!((&*seen.zone, &*seen.label), ("lawn", "person"));
    assert!(seen.dwell.as_secs_f64() >= 2.0, "{:?}", seen.dwell);
    assert!(std::fs::read(picture).unwrap().starts_with(&[0xff, 0xd8]));
    rig.stop().await;
}

#[tokio::test]
async fn an_http_camera_with_digest_login_even_if_its_nonces_grow_old() {
    let dir = car_park(200);
    for fault in [None, Some("stale")] {
        let manner = Manner {
            login: Some(LOGIN),
            fault,
            ..Manner::default()
        };
        let log = dir.path().join(fault.unwrap_or("log"));
        let server = Camera::start(&dir.path().join("pictures"), &manner, &log).unwrap();
        let rig = Rig::start(vec![snapshot(&server.url(), Some(LOGIN), Trust::default())]);
        sees_someone(rig).await;
        let asked = server.asked();
        let open = asked.iter().filter(|how| *how == "open").count();
        // The nonce is used again as long as it is good.
        assert!(fault.is_some() || open == 1, "{open} of {}", asked.len());
    }
}

#[tokio::test]
async fn an_http_camera_with_basic_login() {
    let dir = car_park(200);
    let manner = Manner {
        login: Some(LOGIN),
        scheme: Some("basic"),
        ..Manner::default()
    };
    let folder = dir.path().join("pictures");
    let server = Camera::start(&folder, &manner, &dir.path().join("log")).unwrap();
    let camera = snapshot(&server.url(), Some(LOGIN), Trust::default());
    sees_someone(Rig::start(vec![camera])).await;
}

async fn reason(fault: &str, login: Option<(&str, &str)>) -> String {
    let dir = car_park(3);
    let manner = Manner {
        fault: Some(fault),
        login: (fault == "strange").then_some(LOGIN),
        ..Manner::default()
    };
    let folder = dir.path().join("pictures");
    let server = Camera::start(&folder, &manner, &dir.path().join("log")).unwrap();
    let mut rig = Rig::start(vec![snapshot(&server.url(), login, Trust::default())]);
    let pid = rig.child_started().await;
    let reason = rig.fault(EventKind::CameraFault).await;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let peak: u64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(peak < 250 << 10, "{fault}: {peak} kB");
    rig.stop().await;
    reason
}

#[tokio::test]
async fn what_an_http_camera_gets_wrong_is_said_and_costs_no_memory() {
    for (fault, says) in [
        ("huge", "more than 8 MiB"),
        ("endless", "more than 8 MiB"),
        ("garbage", "something unknown instead of a JPEG"),
        ("page", "a web page instead of a JPEG"),
        ("mjpeg", "(MJPEG) instead of a JPEG"),
        ("missing", "no picture at this path (status 404)"),
        ("cut", "end too early"),
        ("dribble", "did not send a whole picture within 10 s"),
        ("closes", "broke the protocol"),
        ("strange", "neither Basic nor Digest (Negotiate)"),
    ] {
        let login = (fault == "strange").then_some(LOGIN);
        let reason = reason(fault, login).await;
        assert!(reason.contains(says), "{fault}: {reason}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_ticket_not_shown() {
    let reason = reason("redirect", None).await;
    assert!(
        reason.contains("/elsewhere") && !reason.contains("geheim"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let dir = car_park(3);
    for scheme in ["basic", "digest"] {
        let manner = Manner {
            login: Some(LOGIN),
            scheme: Some(scheme),
            ..Manner::default()
        };
        let folder = dir.path().join("pictures");
        let server = Camera::start(&folder, &manner, &dir.path().join(scheme)).unwrap();
        let wrong = Some(("viewer", "wrong"));
        let camera = snapshot(&server.url(), wrong, Trust::default());
        let mut rig = Rig::start(vec![camera]);
        let reason = rig.fault(EventKind::CameraFault).await;
        assert!(reason.contains("only in 30 s"), "{reason}");
        // Time for many tries.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(server.asked(), ["open", "wrong"]);
        rig.stop().await;
    }
    // And none at all without a password.
    let manner = Manner {
        login: Some(LOGIN),
        ..Manner::default()
    };
    let folder = dir.path().join("pictures");
    let server = Camera::start(&folder, &manner, &dir.path().join("none")).unwrap();
    let mut rig = Rig::start(vec![snapshot(&server.url(), None, Trust::default())]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(reason.contains("wants user name and password"), "{reason}");
    rig.stop().await;
}

fn folder(path: &Path, play: FolderPlay) -> CameraConfig {
    camera(CameraInput::Folder {
        path: path.to_path_buf(),
        play,
        every: EVERY,
    })
}

#[tokio::test]
async fn a_folder_is_played_in_the_order_of_its_names() {
    let dir = car_park(200);
    let path = dir.path().join("pictures");
    std::fs::write(path.join("notes.txt"), "no picture").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", path.join("0.jpg")).unwrap();
    let rig = Rig::start(vec![folder(&path, FolderPlay::Repeat)]);
    let counters = Arc::clone(&rig.counters);
    sees_someone(rig).await;
    assert!(
        counters.refused.get() >= 1,
        "what was passed over is counted"
    );
}

#[tokio::test]
async fn a_folder_without_pictures_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.jpg"), "no picture").unwrap();
    let mut rig = Rig::start(vec![folder(dir.path(), FolderPlay::Once)]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(reason.contains("no JPEG picture"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn what_is_put_into_a_watched_folder_is_seen() {
    let dir = car_park(150);
    let from = dir.path().join("pictures");
    let into = dir.path().join("upload");
    std::fs::create_dir(&into).unwrap();
    let mut rig = Rig::start(vec![folder(&into, FolderPlay::Watch)]);
    rig.child_started().await;
    let stop = CancellationToken::new();
    let upload = tokio::spawn({
        let stop = stop.clone();
        async move {
            // Until the child watches nothing counts, so they are put there again and again.
            for number in (1..=150).cycle() {
                if stop.is_cancelled() {
                    return;
                }
                let jpeg = std::fs::read(from.join(format!("{number}.jpg"))).unwrap();
                let name = into.join(format!("{number}-{:?}.jpg", std::time::Instant::now()));
                std::fs::write(name, jpeg).unwrap();
                tokio::time::sleep(EVERY).await;
            }
        }
    });
    rig.well().await;
    rig.picture().await;
    stop.cancel();
    upload.await.unwrap();
    rig.stop().await;
}

fn published(via: &str) -> CameraConfig {
    camera(CameraInput::Mqtt {
        via: via.into(),
        topic: "cams/gate/jpeg".into(),
        every: EVERY,
    })
}

/// Publishes pictures in real time until it is stopped.
fn publisher(port: u16, from: &Path, more: &'static [&'static str]) -> CancellationToken {
    let stop = CancellationToken::new();
    let (asked, from) = (stop.clone(), from.to_path_buf());
    tokio::task::spawn_blocking(move || {
        for number in (1..=150).cycle() {
            if asked.is_cancelled() {
                return;
            }
            let begun = std::time::Instant::now();
            let jpeg = std::fs::read(from.join(format!("{number}.jpg"))).unwrap();
            // Refused while the gateway is not there yet.
            let _ = mosquitto::publish(port, "cams/gate/jpeg", &jpeg, more);
            std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
        }
    });
    stop
}

#[tokio::test]
async fn pictures_come_over_a_broker() {
    let dir = car_park(150);
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let mut rig = Rig::start(vec![published("field")]);
    let cameras = [Arc::new(published("field"))];
    let (out, _arrivals) = tokio::sync::mpsc::channel(8);
    let counters = Arc::new(SourceCounters::default());
    let stop = CancellationToken::new();
    let source = tokio::spawn(client::run(
        Broker {
            name: "field".into(),
            addr: BrokerAddr {
                host: "127.0.0.1".into(),
                port: broker.port(),
                tls: None,
                credentials: None,
                client_id: "wangge-test".into(),
            },
            max_payload: 64_000,
        },
        Vec::new(),
        Pictures::new("field", &cameras, rig.feed.clone()),
        out,
        Clock::start(),
        Arc::clone(&counters),
        stop.clone(),
    ));
    let publishing = publisher(broker.port(), &dir.path().join("pictures"), &[]);
    rig.well().await;
    rig.picture().await;
    assert!(counters.accepted.get() > 10);
    assert_eq!(
        counters.accepted.get() + counters.refused.get(),
        counters.received.get()
    );
    // Nothing more: that is a fault after a while, which names the topic.
    publishing.cancel();
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(
        reason.contains("no picture for 10 s (topic cams/gate/jpeg)"),
        "{reason}"
    );
    stop.cancel();
    source.await.unwrap();
    rig.stop().await;
}

#[tokio::test]
async fn pictures_come_to_the_gateways_own_endpoint_however_large_a_device_may_be() {
    let dir = car_park(150);
    let mut rig = Rig::start(vec![published("listen")]);
    let cameras = [Arc::new(published("listen"))];
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (out, _arrivals) = tokio::sync::mpsc::channel(8);
    let counters = Arc::new(SourceCounters::default());
    let stop = CancellationToken::new();
    let source = tokio::spawn(listener::run(
        socket,
        Listener {
            name: "listen".into(),
            listen: address,
            passwords: [("gate".to_owned(), "secret".to_owned())].into(),
            // Less than any of the pictures.
            max_payload: 64,
            max_connections: 10,
        },
        Vec::new(),
        Pictures::new("listen", &cameras, rig.feed.clone()),
        out,
        Clock::start(),
        Arc::clone(&counters),
        stop.clone(),
    ));
    let from = dir.path().join("pictures");
    let publishing = publisher(address.port(), &from, &["-u", "gate", "-P", "secret"]);
    rig.well().await;
    rig.picture().await;
    publishing.cancel();
    assert!(counters.accepted.get() > 10);
    // At the limit, one past it (acknowledged and dropped), ten times past it (connection ends).
    let (before, refused) = (counters.accepted.get(), counters.refused.get());
    let publish = async |bytes: usize| {
        // Apart from this thread, which is the listener's too.
        tokio::task::spawn_blocking(move || {
            let mut jpeg = vec![0; bytes];
            jpeg[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
            let more = ["-u", "gate", "-P", "secret"];
            mosquitto::publish(address.port(), "cams/gate/jpeg", &jpeg, &more)
        })
        .await
        .unwrap()
    };
    let largest = wangge::feed::MAX_STILL;
    publish(largest).await.unwrap();
    assert!(counters.accepted.get() > before);
    publish(largest + 1).await.unwrap();
    assert!(counters.refused.get() > refused);
    assert!(publish(largest * 10).await.is_err());
    stop.cancel();
    source.await.unwrap();
    rig.stop().await;
}

#[tokio::test]
async fn a_published_picture_that_is_none_is_the_cameras_fault() {
    let mut rig = Rig::start(vec![published("field")]);
    rig.child_started().await;
    let garbage = bytes::Bytes::from_static(b"{\"temperature\": 21}");
    let fault = loop {
        rig.feed.offer(0, garbage.clone());
        let soon = Duration::from_millis(200);
        match tokio::time::timeout(soon, rig.fault(EventKind::CameraFault)).await {
            Ok(reason) => break reason,
            Err(_) => continue,
        }
    };
    assert!(
        fault.contains("a text message instead of a JPEG"),
        "{fault}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_flood_of_pictures_is_dropped_and_another_camera_goes_on() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let mut other = camera(file(&clip, true));
    other.id = "other".into();
    let mut rig = Rig::start(vec![published("field"), other]);
    let feed = rig.feed.clone();
    let stop = CancellationToken::new();
    let flooding = tokio::spawn({
        let stop = stop.clone();
        let mut jpeg = vec![7u8; wangge::feed::MAX_STILL];
        jpeg[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        let jpeg = bytes::Bytes::from(jpeg);
        async move {
            while !stop.is_cancelled() {
                feed.offer(0, jpeg.clone());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let pid = rig.child_started().await;
    rig.until("the other camera", |a| {
        sighting(a).filter(|s| !s.evidence.is_empty() && *a.subject == *"other")
    })
    .await;
    assert!(
        rig.counters.refused.get() > 0,
        "dropped pictures are counted"
    );
    assert_eq!(rig.child(), Some(pid), "the child lives");
    stop.cancel();
    flooding.await.unwrap();
    rig.stop().await;
}

#[tokio::test]
async fn a_hardware_decoder_that_is_not_there_is_replaced_and_said() {
    if Path::new("/dev/video0").exists() {
        println!("skipped: there is a video device");
        return;
    }
    let clip = place::clip("vtest-h264.mp4").unwrap();
    for (decoder, name) in [
        (VideoDecoder::V4l2m2m, "h264_v4l2m2m cannot be used"),
        (VideoDecoder::Rkmpp, "h264_rkmpp cannot be used"),
    ] {
        let asked = Vision {
            decoder,
            ..vision()
        };
        let mut rig = Rig::with(vec![camera(file(&clip, true))], asked);
        rig.well().await;
        rig.picture().await;
        let weaknesses = rig.state.get().weaknesses;
        let said: Vec<_> = weaknesses.iter().filter(|w| w.contains(name)).collect();
        assert_eq!(said.len(), 1, "{weaknesses:?}");
        assert!(
            said[0].ends_with("the processor decodes instead"),
            "{said:?}"
        );
        rig.stop().await;
    }
    // Nothing is there, and nothing was promised.
    let auto = Vision {
        decoder: VideoDecoder::Auto,
        ..vision()
    };
    let mut rig = Rig::with(vec![camera(file(&clip, true))], auto);
    rig.well().await;
    let weaknesses = rig.state.get().weaknesses;
    assert!(
        !weaknesses.iter().any(|w| w.contains("h264")),
        "{weaknesses:?}"
    );
    rig.stop().await;
}

/// Long enough for a silent camera: its fault must not come from elsewhere.
#[tokio::test]
async fn a_camera_that_never_publishes_is_said_to_be_silent() {
    let mut rig = Rig::start(vec![published("field")]);
    let begun = std::time::Instant::now();
    let fault = rig
        .until("a fault", |a| match health(a)? {
            Health::Fault { reason, .. } => Some(reason.clone()),
            Health::Ok => None,
        })
        .await;
    assert!(fault.en.contains("no picture for 10 s"), "{fault:?}");
    assert!(fault.zh.contains("已 10 秒没有图片(主题 "), "{fault:?}");
    assert!(begun.elapsed() < PATIENCE);
    rig.stop().await;
}
