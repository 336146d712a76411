//! A station with a spool and an uplink, a broker, and a platform.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wangge_platform::{
    mqtt::Broker,
    outbox::Outbox,
    show::{Show, Style},
    store::{Line, Store},
};
use wangge_protocol::{EvidenceRef, Verdict, VerdictStatus};

use crate::{
    config::{self, Border, BrokerAddr, Storage, Tls, Uplink, UplinkLink},
    counters::UplinkCounters,
    down::Inbound,
    spool::{Batch, Class, Lane, Record, Spool, evidence::EvidenceStore},
};

pub const PREFIX: &str = "wangge/v1/S1";

/// A peer's process, which ends with the test however that ends.
pub struct Peer(pub Child);

impl Peer {
    /// SIGKILL.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago, for peers that cannot be given port 0.
pub fn free_port() -> u16 {
    wangge_tests::place::free_port().unwrap()
}

/// Waits until `ready`; the limit only ends a test that hangs, also on a busy machine.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ready().await {
        assert!(start.elapsed() < Duration::from_secs(180), "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Mosquitto on loopback.
pub struct Mosquitto {
    pub port: u16,
    dir: TempDir,
    process: Option<Peer>,
}

impl Mosquitto {
    pub async fn start(settings: &str) -> Self {
        let mut broker = Mosquitto {
            port: free_port(),
            dir: TempDir::new().unwrap(),
            process: None,
        };
        broker.restart(settings).await;
        broker
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts it again on the same port.
    pub async fn restart(&mut self, settings: &str) {
        self.kill();
        let file = self.dir.path().join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\nmax_queued_messages 0\n{settings}\n",
            self.port
        );
        std::fs::write(&file, text).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&file)
            .env("PATH", "/usr/sbin:/usr/bin:/bin")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is installed");
        self.process = Some(Peer(child));
        let port = self.port;
        until("mosquitto listens", async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }
}

/// The reference receiver's store.
pub struct Received {
    pub dir: PathBuf,
}

impl Received {
    pub fn open(&self) -> Store {
        let quiet = Show::new(Box::new(std::io::sink()), Style::Json);
        Store::open(&self.dir, quiet).unwrap()
    }

    /// How often each message was stored.
    pub fn events(&self) -> BTreeMap<String, usize> {
        let mut events = BTreeMap::new();
        let text = std::fs::read_to_string(self.dir.join("events.jsonl")).unwrap_or_default();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).unwrap();
            assert_eq!(wangge_platform::sha256(line.body.as_bytes()), line.sha256);
            *events.entry(line.id).or_insert(0) += 1;
        }
        events
    }

    pub fn open_outbox(&self) -> Outbox {
        Outbox::of(&self.dir)
    }

    pub fn has_picture(&self, sha256: &str) -> bool {
        self.dir.join(format!("evidence/{sha256}.bin")).exists()
    }
}

/// The reference receiver at a broker.
pub struct MqttPlatform {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl MqttPlatform {
    pub fn start(port: u16, received: &Received) -> Self {
        let broker = Broker {
            host: "127.0.0.1".into(),
            port,
            tls: None,
            login: None,
            client_id: "platform".into(),
            prefix: "wangge/v1/+".into(),
        };
        let store = received.open();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            wangge_platform::mqtt::serve(broker, store, None, token)
                .await
                .unwrap();
        });
        MqttPlatform { stop, task }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A station whose uplink runs.
pub struct Station {
    pub spool: Spool,
    pub evidence: Arc<EvidenceStore>,
    pub counters: Arc<UplinkCounters>,
    /// Verdicts and commands.
    pub came: mpsc::Receiver<Inbound>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    dir: TempDir,
    line: config::Line,
}

pub fn mqtt_link(port: u16) -> UplinkLink {
    mqtt_at(broker_addr(port))
}

pub fn mqtt_at(addr: BrokerAddr) -> UplinkLink {
    UplinkLink::Mqtt {
        addr,
        prefix: PREFIX.into(),
    }
}

pub fn broker_addr(port: u16) -> BrokerAddr {
    BrokerAddr {
        host: "127.0.0.1".into(),
        port,
        tls: None,
        credentials: None,
        client_id: "station".into(),
    }
}

pub fn https_link(url: &str, ca_file: Option<PathBuf>, token: Option<&str>) -> UplinkLink {
    UplinkLink::Https {
        url: url.parse().unwrap(),
        tls: Tls {
            ca_file,
            client: None,
        },
        token: token.map(str::to_owned),
    }
}

impl Station {
    pub fn start(link: UplinkLink, border: Border) -> Self {
        Station::new(config::Line::default(), link, border, false)
    }

    /// Over a line that bears less.
    pub fn on(line: config::Line, link: UplinkLink, border: Border) -> Self {
        Station::new(line, link, border, false)
    }

    /// One that takes verdicts and commands.
    pub fn listening(link: UplinkLink, border: Border) -> Self {
        Station::new(config::Line::default(), link, border, true)
    }

    fn new(line: config::Line, link: UplinkLink, border: Border, listens: bool) -> Self {
        let dir = TempDir::new().unwrap();
        let storage = Storage {
            path: dir.path().join("spool"),
            quota: config::Quota::of(1 << 30),
            retention: config::Retention {
                default: Duration::from_secs(3600),
                unconfirmed: Duration::from_secs(3600),
                kinds: Default::default(),
                sealed: Duration::from_secs(3600),
            },
            commit_interval: Duration::ZERO,
        };
        let name: Arc<str> = "up".into();
        let (spool, _) =
            Spool::open(&storage, "test-station", std::slice::from_ref(&name)).unwrap();
        Station::with(spool, dir, link, border, line, listens)
    }

    /// Goes on with another link, as after a restart.
    pub async fn relink(self, link: UplinkLink, border: Border) -> Self {
        self.stop.cancel();
        self.task.await.unwrap();
        Station::with(self.spool, self.dir, link, border, self.line, false)
    }

    fn with(
        spool: Spool,
        dir: TempDir,
        link: UplinkLink,
        border: Border,
        line: config::Line,
        listens: bool,
    ) -> Self {
        let evidence = spool.evidence();
        let counters = Arc::new(UplinkCounters::default());
        let stop = CancellationToken::new();
        let uplink = Uplink {
            name: "up".into(),
            link,
            border,
            alerts: true,
            verdicts: listens,
            tiers: Vec::new(),
            streams: vec!["all".into()],
            line: line.clone(),
        };
        let (down, came) = mpsc::channel(64);
        let task = tokio::spawn(super::super::run(
            uplink,
            0,
            "S1".into(),
            spool.clone(),
            evidence.clone(),
            counters.clone(),
            super::super::Channels {
                down,
                live: mpsc::channel(1).1,
            },
            stop.clone(),
        ));
        Station {
            spool,
            evidence,
            counters,
            came,
            stop,
            task,
            dir,
            line,
        }
    }

    pub fn picture(&self, bytes: &[u8]) -> EvidenceRef {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        self.evidence
            .put(bytes, "image/jpeg", "scene", now)
            .unwrap()
    }

    /// Appends an alert; its message id.
    pub async fn alert(&self, pictures: Vec<EvidenceRef>) -> String {
        let id = Uuid::now_v7().to_string();
        let body = alert_body(&id, &pictures);
        self.append(Class::Alert, &id, pictures, body).await;
        id
    }

    /// Appends a telemetry message; its id.
    pub async fn telemetry(&self) -> String {
        let id = Uuid::now_v7().to_string();
        let body = telemetry_body(&id);
        self.append(Class::Telemetry, &id, Vec::new(), body).await;
        id
    }

    /// Appends `count` telemetry messages of the largest size, in few batches.
    pub async fn backlog(&self, count: usize) {
        for start in (0..count).step_by(100) {
            let records = (start..count.min(start + 100)).map(|_| {
                let id = Uuid::now_v7().to_string();
                let body = padded(telemetry_body(&id), 3_400);
                record(Class::Telemetry, &id, Vec::new(), body)
            });
            let batch = Batch {
                records: records.collect(),
                state: Vec::new(),
            };
            self.spool.append(batch).await.unwrap();
        }
    }

    pub async fn append(&self, class: Class, id: &str, evidence: Vec<EvidenceRef>, body: Vec<u8>) {
        let batch = Batch {
            records: vec![record(class, id, evidence, body)],
            state: Vec::new(),
        };
        self.spool.append(batch).await.unwrap();
    }

    /// Whether every alert and telemetry message has left the spool.
    pub async fn empty(&self) -> bool {
        for class in [Class::Alert, Class::Telemetry] {
            let lane = Lane { uplink: 0, class };
            if !self.spool.peek(lane, None, 1).await.unwrap().is_empty() {
                return false;
            }
        }
        true
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

pub fn alert_body(id: &str, pictures: &[EvidenceRef]) -> Vec<u8> {
    let now = "2026-01-01T00:00:00Z";
    let event = serde_json::json!({
        "specversion": "1.0", "id": id, "source": "/stations/S1",
        "type": wangge_protocol::TYPE_RAISED, "subject": id, "time": now,
        "datacontenttype": "application/json", "dataschema": wangge_protocol::SCHEMA_ALERT,
        "data": {
            "alert_id": id, "revision": 1, "state": "raised", "kind": "bin_overflow",
            "severity": "minor", "station": "S1", "device": "bin-1", "source": "mqtt",
            "rule": "full", "occurred_at": now, "raised_at": now,
            "text": {"zh": "1号桶已满", "en": "bin 1 is full"},
            "place": {"lon": 121.4, "lat": 31.2, "unit_grid": "310101001001001"},
            "platform": {"profile": "default", "source_name": "物联感知", "crs": "wgs84", "x": 121.4, "y": 31.2},
            "evidence": pictures,
        }
    });
    serde_json::to_vec(&event).unwrap()
}

pub fn telemetry_body(id: &str) -> Vec<u8> {
    let now = "2026-01-01T00:00:00Z";
    let event = serde_json::json!({
        "specversion": "1.0", "id": id, "source": "/stations/S1",
        "type": wangge_protocol::TYPE_TELEMETRY, "subject": "all", "time": now,
        "datacontenttype": "application/json", "dataschema": wangge_protocol::SCHEMA_TELEMETRY,
        "data": {"stream": "all", "readings": [
            {"device": "bin-1", "gateway_time": now, "payload": {"fill": 40}}
        ]}
    });
    serde_json::to_vec(&event).unwrap()
}

fn record(class: Class, id: &str, evidence: Vec<EvidenceRef>, body: Vec<u8>) -> Record {
    Record {
        lane: Lane { uplink: 0, class },
        stream: match class {
            Class::Telemetry => "all".into(),
            _ => "alerts".into(),
        },
        id: id.into(),
        count: 1,
        evidence,
        body,
    }
}

/// The same JSON object with a key more, about `bytes` long.
pub fn padded(mut body: Vec<u8>, bytes: usize) -> Vec<u8> {
    let pad = bytes.saturating_sub(body.len() + 9);
    body.pop();
    body.extend(format!(r#","pad":"{}"}}"#, "x".repeat(pad)).into_bytes());
    body
}

/// A verdict that waits for the station `S1`.
pub fn decide(received: &Received, id: &str) -> Verdict {
    let verdict = Verdict {
        id: id.into(),
        alert_id: Uuid::now_v7().to_string(),
        status: VerdictStatus::Filed,
        reason: None,
        case_no: None,
        picture: None,
        by: None,
        at: "2026-11-26T02:00:00Z".into(),
    };
    received.open_outbox().verdict("S1", &verdict).unwrap();
    verdict
}
