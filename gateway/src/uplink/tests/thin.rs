//! Lines that bear little: pictures in pieces, small ones first, budgets.

use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wangge_protocol::EvidenceRef;

use super::rig::*;
use crate::{
    config::{
        self, Border,
        line::{Budget, Period, Pictures},
    },
    spool::{Batch, Class, Lane, Record},
};

/// The reference receiver over HTTP on loopback.
pub struct Plain {
    pub received: Received,
    pub port: u16,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Plain {
    pub async fn start(dir: &TempDir) -> Self {
        let mut plain = Plain {
            received: Received {
                dir: dir.path().to_owned(),
            },
            port: 0,
            stop: CancellationToken::new(),
            task: None,
        };
        plain.restart().await;
        plain
    }

    async fn restart(&mut self) {
        self.stop().await;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        self.stop = CancellationToken::new();
        self.task = Some(tokio::spawn(wangge_platform::http::serve(
            listener,
            None,
            None,
            self.received.open(),
            self.stop.clone(),
        )));
    }

    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }

    fn link(&self) -> config::UplinkLink {
        https_link(&format!("http://127.0.0.1:{}", self.port), None, None)
    }

    fn part(&self, sha256: &str) -> u64 {
        let path = self.received.dir.join(format!("evidence/{sha256}.part"));
        std::fs::metadata(path).map_or(0, |m| m.len())
    }
}

pub fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    use rand::{RngCore, SeedableRng};
    let mut noise = vec![0; bytes];
    rand::rngs::StdRng::seed_from_u64(u64::from(seed)).fill_bytes(&mut noise);
    noise
}

fn line(pictures: Pictures) -> config::Line {
    config::Line {
        pictures,
        ..config::Line::default()
    }
}

/// Four kilobytes a piece, so that there is time to disturb them.
fn short() -> config::Line {
    config::Line {
        chunk: 4 * 1024,
        ..config::Line::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_over_http_goes_on_after_a_restart_of_either_side() {
    let dir = TempDir::new().unwrap();
    let mut platform = Plain::start(&dir).await;
    let mut station = Station::on(short(), platform.link(), Border::Receipt);
    let picture = station.picture(&noise(2 << 20, 1));
    let sha256 = picture.sha256.clone();
    let id = station.alert(vec![picture]).await;
    let mut seen = 0;
    for round in 0..4 {
        until("some pieces came", async || {
            platform.part(&sha256) > seen || platform.received.has_picture(&sha256)
        })
        .await;
        let before = platform.part(&sha256);
        match round % 2 {
            0 => platform.restart().await,
            _ => station = station.relink(platform.link(), Border::Receipt).await,
        }
        let after = platform.part(&sha256);
        assert!(after >= before || platform.received.has_picture(&sha256));
        seen = after;
    }
    until("delivered", async || station.empty().await).await;
    assert_eq!(platform.received.events().get(&id), Some(&1));
    assert!(platform.received.has_picture(&sha256));
    assert_eq!(platform.part(&sha256), 0, "nothing is left behind");
    // Twice the picture would mean that it was begun anew.
    let carried = station.counters.carried.get();
    assert!(carried < 3 << 20, "{carried} bytes, the last run alone");
    station.stop().await;
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_pass_a_broker_that_takes_no_large_messages() {
    let broker = Mosquitto::start("max_packet_size 30000").await;
    let dir = TempDir::new().unwrap();
    let received = Received {
        dir: dir.path().to_owned(),
    };
    let mut platform = MqttPlatform::start(broker.port, &received);
    let station = Station::start(mqtt_link(broker.port), Border::Receipt);
    let mut ids = Vec::new();
    let mut pictures = Vec::new();
    for n in 0..4 {
        let picture = station.picture(&noise(300_000, n));
        pictures.push(picture.sha256.clone());
        ids.push(station.alert(vec![picture]).await);
        if n == 1 {
            platform.stop().await;
            platform = MqttPlatform::start(broker.port, &received);
        }
    }
    until("delivered", async || station.empty().await).await;
    let events = received.events();
    assert!(ids.iter().all(|id| events.get(id) == Some(&1)));
    assert!(pictures.iter().all(|p| received.has_picture(p)));
    assert_eq!(station.counters.poisoned.get(), 0);
    station.stop().await;
    platform.stop().await;
}

/// Appends an alert with a small picture, and the record of the picture itself.
pub async fn small_first(station: &Station, full: EvidenceRef, small: EvidenceRef) -> String {
    let id = Uuid::now_v7().to_string();
    let named = EvidenceRef {
        thumbnail: Some(small.sha256.clone()),
        ..full.clone()
    };
    let record = |class, evidence, body| Record {
        lane: Lane { uplink: 0, class },
        stream: "alerts".into(),
        id: id.clone(),
        count: 1,
        evidence,
        body,
    };
    let batch = Batch {
        records: vec![
            record(Class::Alert, vec![small], alert_body(&id, &[named])),
            record(Class::Telemetry, vec![full], b"{}".to_vec()),
        ],
        state: Vec::new(),
    };
    station.spool.append(batch).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alert_goes_with_the_small_picture_and_the_large_one_follows() {
    let dir = TempDir::new().unwrap();
    let mut platform = Plain::start(&dir).await;
    let station = Station::on(
        line(Pictures::ThumbnailFirst),
        platform.link(),
        Border::Receipt,
    );
    let full = station.picture(&noise(2 << 20, 1));
    let small = station.picture(&noise(5_000, 2));
    let (large, tiny) = (full.sha256.clone(), small.sha256.clone());
    let id = small_first(&station, full, small).await;
    until("the alert is there", async || {
        platform.received.events().contains_key(&id)
    })
    .await;
    assert!(platform.received.has_picture(&tiny));
    until("the large picture follows", async || {
        platform.received.has_picture(&large) && station.empty().await
    })
    .await;
    assert_eq!(station.counters.poisoned.get(), 0);
    station.stop().await;
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_was_kept_back_comes_when_the_platform_asks() {
    let broker = Mosquitto::start("").await;
    let dir = TempDir::new().unwrap();
    let received = Received {
        dir: dir.path().to_owned(),
    };
    let platform = MqttPlatform::start(broker.port, &received);
    let link = mqtt_link(broker.port);
    let station = Station::on(line(Pictures::ThumbnailOnly), link, Border::Receipt);
    let kept = EvidenceRef {
        role: crate::spool::KEPT.to_owned(),
        ..station.picture(&noise(100_000, 1))
    };
    let small = station.picture(&noise(5_000, 2));
    let large = kept.sha256.clone();
    let id = Uuid::now_v7().to_string();
    let named = EvidenceRef {
        thumbnail: Some(small.sha256.clone()),
        ..kept.clone()
    };
    let body = alert_body(&id, &[named]);
    station
        .append(Class::Alert, &id, vec![small, kept], body)
        .await;
    until("delivered", async || station.empty().await).await;
    assert!(!received.has_picture(&large), "nobody asked");
    let asked = std::process::Command::new("mosquitto_pub")
        .args(["-p", &broker.port.to_string(), "-q", "1"])
        .args(["-t", &format!("{PREFIX}/receipts"), "-m"])
        .arg(format!(
            r#"{{"id":"{large}","sha256":"{large}","status":"evidence_missing"}}"#
        ))
        .status();
    assert!(asked.expect("mosquitto-clients is installed").success());
    until("it comes", async || received.has_picture(&large)).await;
    station.stop().await;
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_budget_holds_readings_and_lets_alerts_pass_over_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut platform = Plain::start(&dir).await;
    let line = config::Line {
        budget: Some(Budget {
            bytes: 1_000_000,
            per: Period::Month,
        }),
        ..config::Line::default()
    };
    let mut station = Station::on(line, platform.link(), Border::Receipt);
    station.backlog(600).await;
    let spent = |station: &Station| station.counters.line.get().budget.map_or(0, |b| b.1);
    until("the budget is spent", async || spent(&station) >= 1_000_000).await;
    for restarted in [false, true] {
        if restarted {
            station = station.relink(platform.link(), Border::Receipt).await;
            until("read again", async || spent(&station) >= 1_000_000).await;
        }
        let id = station.alert(Vec::new()).await;
        until("the alert passes", async || {
            platform.received.events().contains_key(&id)
        })
        .await;
    }
    let readings = platform.received.events().len() - 2;
    // 3.4 KB each, and what is around them; what was on its way is not called back.
    assert!((150..330).contains(&readings), "{readings} passed");
    assert!(!station.empty().await, "the rest is held");
    station.stop().await;
    platform.stop().await;
}
