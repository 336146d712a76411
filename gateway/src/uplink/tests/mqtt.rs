use std::time::{Duration, Instant};

use rand::Rng;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::rig::*;
use crate::{
    config::{Border, Tls},
    down::Item,
};

fn received() -> (TempDir, Received) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    (dir, Received { dir: path })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_with_pictures_and_telemetry_arrive_once() {
    let broker = Mosquitto::start("").await;
    let (_dir, received) = received();
    let platform = MqttPlatform::start(broker.port, &received);
    let station = Station::start(mqtt_link(broker.port), Border::Receipt);
    let picture = station.picture(&[7; 300_000]);
    let mut ids = Vec::new();
    for n in 0..200 {
        ids.push(station.telemetry().await);
        if n % 20 == 0 {
            ids.push(station.alert(vec![picture.clone()]).await);
        }
    }
    until("all receipted", async || station.empty().await).await;
    let events = received.events();
    assert_eq!(events.len(), ids.len());
    assert!(ids.iter().all(|id| events.get(id) == Some(&1)));
    assert!(received.has_picture(&picture.sha256));
    // One sending each, and the picture, in pieces, once for ten alerts.
    assert_eq!(station.counters.resent.get(), 0);
    assert_eq!(station.counters.receipted.get(), ids.len() as u64 + 1);
    assert_eq!(station.counters.strange_receipts.get(), 0);
    station.stop().await;
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_broker_and_platform_die_at_random() {
    let mut broker = Mosquitto::start("").await;
    let (_dir, received) = received();
    let mut platform = MqttPlatform::start(broker.port, &received);
    let station = Station::start(mqtt_link(broker.port), Border::Receipt);
    let mut ids = Vec::new();
    for round in 0..6_u8 {
        for n in 0..60 {
            ids.push(station.telemetry().await);
            if n % 10 == 0 {
                let picture = station.picture(&[round, n, 1, 2, 3]);
                ids.push(station.alert(vec![picture]).await);
            }
            let pause = rand::rng().random_range(0..4);
            sleep(Duration::from_millis(pause)).await;
        }
        if round % 2 == 0 {
            broker.restart("").await;
        } else {
            platform.stop().await;
            platform = MqttPlatform::start(broker.port, &received);
        }
    }
    until("all receipted", async || station.empty().await).await;
    let events = received.events();
    assert_eq!(events.len(), ids.len());
    assert!(ids.iter().all(|id| events.get(id) == Some(&1)));
    assert!(station.counters.connected.get() >= 3);
    station.stop().await;
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drain_begins_soon_after_the_broker_is_back() {
    let mut broker = Mosquitto::start("").await;
    let station = Station::start(mqtt_link(broker.port), Border::Broker);
    station.telemetry().await;
    until("delivered", async || station.empty().await).await;
    broker.kill();
    for _ in 0..1_000 {
        station.telemetry().await;
    }
    // Long enough for the back-off to reach its cap.
    sleep(Duration::from_secs(6)).await;
    broker.restart("").await;
    let back = Instant::now();
    until("drained", async || station.empty().await).await;
    assert!(
        back.elapsed() < Duration::from_secs(3),
        "{:?}",
        back.elapsed()
    );
    station.stop().await;
}

/// Mosquitto acknowledges over MQTT 3.1.1 what its ACL drops; over 5 it says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_brokers_acl_drops_is_not_delivered() {
    let mut broker = Mosquitto::start("").await;
    let acl = broker.dir().join("acl");
    std::fs::write(&acl, "topic write other/#\n").unwrap();
    let denying = format!("acl_file {}", acl.display());
    broker.restart(&denying).await;
    let station = Station::start(mqtt_link(broker.port), Border::Broker);
    station.alert(Vec::new()).await;
    until("denied", async || station.counters.faults.get() >= 2).await;
    assert!(!station.empty().await);
    assert_eq!(station.counters.receipted.get(), 0);
    broker.restart("").await;
    until("delivered", async || station.empty().await).await;
    assert_eq!(station.counters.poisoned.get(), 0);
    station.stop().await;
}

/// A broker that knows MQTT 3.1.1 only, made of Mosquitto and a door that turns 5 away as the
/// standard (3.1.1 §3.1.2.2) asks: CONNACK 1, and closed.
async fn old_broker(behind: u16) -> u16 {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = door.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut guest, _) = door.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = [0; 9];
                if guest.read_exact(&mut head).await.is_err() {
                    return;
                }
                // Fixed header (2 bytes here), length and name "MQTT", then the level.
                if head[8] == 4 {
                    let mut house = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                    house.write_all(&head).await.unwrap();
                    let _ = copy_bidirectional(&mut guest, &mut house).await;
                } else {
                    let _ = guest.write_all(&[0x20, 2, 0, 1]).await;
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_speaks_mqtt_3_1_1_only_is_served() {
    let broker = Mosquitto::start("").await;
    let door = old_broker(broker.port).await;
    let (_dir, received) = received();
    let platform = MqttPlatform::start(broker.port, &received);
    let station = Station::start(mqtt_link(door), Border::Receipt);
    let picture = station.picture(&[9; 100_000]);
    let mut ids = vec![station.alert(vec![picture]).await];
    for _ in 0..300 {
        ids.push(station.telemetry().await);
    }
    until("all receipted", async || station.empty().await).await;
    assert_eq!(received.events().len(), ids.len());
    station.stop().await;
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_too_large_for_the_broker_does_not_stop_the_rest() {
    let broker = Mosquitto::start("max_packet_size 20000").await;
    let (_dir, received) = received();
    let platform = MqttPlatform::start(broker.port, &received);
    // By receipt it would come in pieces.
    let station = Station::start(mqtt_link(broker.port), Border::Broker);
    let large = station.picture(&[3; 50_000]);
    let small = station.picture(&[4; 5_000]);
    let lost = station.alert(vec![large]).await;
    let kept = station.alert(vec![small]).await;
    let plain = station.telemetry().await;
    until("all is out of the spool", async || station.empty().await).await;
    until("the others are there", async || {
        let events = received.events();
        events.contains_key(&kept) && events.contains_key(&plain)
    })
    .await;
    assert!(
        !received.events().contains_key(&lost),
        "its picture never arrived"
    );
    station.stop().await;
    platform.stop().await;
}

/// Everything that must not settle anything, on the real receipt topic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_receipts_change_nothing() {
    let broker = Mosquitto::start("").await;
    let station = Station::start(mqtt_link(broker.port), Border::Receipt);
    until("connected", async || station.counters.connected.get() == 1).await;
    let id = station.alert(Vec::new()).await;
    let body = alert_body(&id, &[]);
    let right = wangge_platform::sha256(&body);
    let wrong = wangge_platform::sha256(b"other");
    let say = |text: String| {
        let status = std::process::Command::new("mosquitto_pub")
            .args(["-p", &broker.port.to_string(), "-q", "1"])
            .args(["-t", &format!("{PREFIX}/receipts"), "-m", &text])
            .status()
            .unwrap();
        assert!(status.success());
    };
    until("sent", async || station.counters.sent.get() == 1).await;
    let receipt = |id: &str, sha256: &str| {
        format!(r#"{{"id":"{id}","sha256":"{sha256}","status":"stored"}}"#)
    };
    say(receipt(&id, &wrong));
    say(receipt("unknown", &right));
    say(r#"{"id":1}"#.into());
    say("not json".into());
    say(format!("[{}]", receipt(&id, "")));
    until("all heard", async || {
        station.counters.strange_receipts.get() >= 5
    })
    .await;
    assert!(!station.empty().await);
    say(format!(
        "[{},{}]",
        receipt(&id, &right),
        receipt(&id, &right)
    ));
    until("settled", async || station.empty().await).await;
    assert_eq!(station.counters.receipted.get(), 1);
    station.stop().await;
}

/// A line of 200 KB/s to the broker.
async fn slow_line(broker: u16) -> u16 {
    const PART: usize = 4_096;
    let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = near.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (near, _) = near.accept().await.unwrap();
            let far = TcpStream::connect(("127.0.0.1", broker)).await.unwrap();
            let (mut near_in, mut near_out) = near.into_split();
            let (mut far_in, mut far_out) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
            tokio::spawn(async move {
                let mut part = [0; PART];
                let mut ticks = tokio::time::interval(Duration::from_millis(20));
                while let Ok(length @ 1..) = near_in.read(&mut part).await {
                    ticks.tick().await;
                    if far_out.write_all(&part[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_alert_overtakes_a_backlog_on_a_slow_line() {
    let broker = Mosquitto::start("").await;
    let (_dir, received) = received();
    let platform = MqttPlatform::start(broker.port, &received);
    let station = Station::start(mqtt_link(free_port()), Border::Receipt);
    // 10 MB, which the line takes 50 s for.
    station.backlog(3_000).await;
    let line = slow_line(broker.port).await;
    let station = station.relink(mqtt_link(line), Border::Receipt).await;
    // Let the window find its size.
    sleep(Duration::from_secs(8)).await;
    assert!(!station.empty().await);
    for _ in 0..3 {
        let id = station.alert(Vec::new()).await;
        let asked = Instant::now();
        until("the alert is there", async || {
            received.events().contains_key(&id)
        })
        .await;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    station.stop().await;
    platform.stop().await;
}

/// TLS to the broker: the right CA delivers, another CA and another name do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_only_the_right_broker_is_served() {
    let mut broker = Mosquitto::start("").await;
    let dir = broker.dir().to_owned();
    let mut authorities = Vec::new();
    for name in ["ours.pem", "other.pem"] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join(name), ca.pem()).unwrap();
        authorities.push(ca);
    }
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &authorities[0]).unwrap();
    std::fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    let port = free_port();
    let tls = format!(
        "listener {port} 127.0.0.1\ncertfile {0}/cert.pem\nkeyfile {0}/key.pem\n{1}",
        dir.display(),
        // Mosquitto gives up root, and the folder is root's.
        "user root"
    );
    broker.restart(&tls).await;
    for (ca, host, fits) in [
        ("ours.pem", "localhost", true),
        ("other.pem", "localhost", false),
        ("ours.pem", "127.0.0.1", false),
    ] {
        let mut addr = broker_addr(port);
        addr.host = host.into();
        addr.tls = Some(Tls {
            ca_file: Some(dir.join(ca)),
            client: None,
        });
        let station = Station::start(mqtt_at(addr), Border::Broker);
        station.alert(Vec::new()).await;
        if fits {
            until("delivered", async || station.empty().await).await;
        } else {
            until("refused", async || station.counters.faults.get() >= 2).await;
            assert_eq!(station.counters.connected.get(), 0);
            assert!(!station.empty().await);
        }
        station.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_come_back_and_are_repeated_until_they_are_answered() {
    let broker = Mosquitto::start("").await;
    let (_dir, received) = received();
    let platform = MqttPlatform::start(broker.port, &received);
    let verdict = decide(&received, "v1");
    let mut station = Station::listening(mqtt_link(broker.port), Border::Receipt);
    // The first may have gone before the station was there.
    for _ in 0..2 {
        let came = station.came.recv().await.unwrap();
        assert_eq!(came.uplink, 0);
        assert_eq!(came.item, Item::Verdict(Box::new(verdict.clone())));
    }
    assert!(station.counters.came.get() >= 2);
    station.stop().await;
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_without_receipts_carries_verdicts_too() {
    let broker = Mosquitto::start("").await;
    let (_dir, received) = received();
    let platform = MqttPlatform::start(broker.port, &received);
    decide(&received, "v1");
    let mut station = Station::listening(mqtt_link(broker.port), Border::Broker);
    assert!(station.came.recv().await.is_some());
    station.stop().await;
    platform.stop().await;
}
