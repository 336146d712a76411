use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::rig::*;
use crate::{config::Border, down::Item};

/// The reference receiver over HTTPS with a certificate of a private CA.
struct Platform {
    received: Received,
    ca: PathBuf,
    port: u16,
    certificate: (CertifiedIssuer<'static, KeyPair>, Certificate),
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    dir: TempDir,
}

#[derive(Clone, Copy)]
struct Certificate {
    name: &'static str,
    expired: bool,
}

const GOOD: Certificate = Certificate {
    name: "127.0.0.1",
    expired: false,
};

impl Platform {
    async fn start(certificate: Certificate) -> Self {
        let dir = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let received = Received {
            dir: dir.path().join("received"),
        };
        let mut platform = Platform {
            received,
            ca,
            port: 0,
            certificate: (authority, certificate),
            stop: CancellationToken::new(),
            task: None,
            dir,
        };
        platform.restart().await;
        platform
    }

    async fn restart(&mut self) {
        self.kill().await;
        let (authority, wanted) = &self.certificate;
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![wanted.name.to_owned()]).unwrap();
        if wanted.expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let cert = params.signed_by(&key, authority).unwrap();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = wangge_platform::tls::server(vec![cert.der().clone()], der).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        self.stop = CancellationToken::new();
        self.task = Some(tokio::spawn(wangge_platform::http::serve(
            listener,
            Some(config),
            Some("secret".into()),
            self.received.open(),
            self.stop.clone(),
        )));
    }

    async fn kill(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }

    fn station(&self) -> Station {
        let url = format!("https://127.0.0.1:{}/in/", self.port);
        let url = url.replace("/in/", "");
        let link = https_link(&url, Some(self.ca.clone()), Some("secret"));
        Station::start(link, Border::Receipt)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_with_pictures_arrive_once_over_tls_although_the_platform_restarts() {
    let mut platform = Platform::start(GOOD).await;
    let station = platform.station();
    let mut ids = Vec::new();
    for round in 0..4_u8 {
        for n in 0..40 {
            ids.push(station.telemetry().await);
            if n % 10 == 0 {
                let picture = station.picture(&[[round, n]; 50_000].concat());
                ids.push(station.alert(vec![picture]).await);
            }
        }
        platform.restart().await;
    }
    until("all receipted", async || station.empty().await).await;
    let events = platform.received.events();
    assert_eq!(events.len(), ids.len());
    assert!(ids.iter().all(|id| events.get(id) == Some(&1)));
    station.stop().await;
    platform.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_stops_delivery_and_loses_nothing() {
    let mut platform = Platform::start(GOOD).await;
    let url = format!("https://127.0.0.1:{}", platform.port);
    let link = https_link(&url, Some(platform.ca.clone()), Some("guess"));
    let station = Station::start(link, Border::Receipt);
    for _ in 0..20 {
        station.alert(Vec::new()).await;
    }
    until("asked", async || station.counters.faults.get() >= 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // The first round may have been out together; after that nobody asks for a minute.
    assert!(station.counters.sent.get() <= 8);
    assert!(!station.empty().await);
    assert!(platform.received.events().is_empty());
    station.stop().await;
    platform.kill().await;
}

/// What the log says when a certificate does not fit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_does_not_fit_is_refused_and_named() {
    let other = Platform::start(GOOD).await;
    let cases = [
        (
            GOOD,
            Some(other.ca.clone()),
            "not issued by a CA that is trusted here",
        ),
        (
            Certificate {
                name: "elsewhere.example",
                expired: false,
            },
            None,
            "for another name",
        ),
        (
            Certificate {
                name: "127.0.0.1",
                expired: true,
            },
            None,
            "and the server's certificate is valid until",
        ),
    ];
    for (certificate, ca, said) in cases {
        let mut platform = Platform::start(certificate).await;
        let url = format!("https://127.0.0.1:{}", platform.port);
        let ca = ca.unwrap_or_else(|| platform.ca.clone());
        let text = super::super::https::complaint(&url, &ca, b"{}").await;
        assert!(text.contains(said), "{text}");
        let station = Station::start(https_link(&url, Some(ca), None), Border::Receipt);
        station.alert(Vec::new()).await;
        until("tried", async || station.counters.faults.get() >= 1).await;
        assert!(!station.empty().await);
        assert!(platform.received.events().is_empty());
        station.stop().await;
        platform.kill().await;
    }
    assert!(other.dir.path().exists());
}

/// Answers that no well-behaved receiver gives, one a request, then good ones.
struct Script {
    url: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

enum Act {
    /// Head and body; `{}` in the body is replaced by a right receipt.
    Say(&'static str, &'static str),
    /// The head of a good answer and half of its body.
    Half,
    /// Nothing, and closed.
    Hang,
}

async fn script(acts: Vec<Act>) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let task = tokio::spawn(async move {
        let mut acts = acts.into_iter();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let Some(body) = read_request(&mut socket).await else {
                continue;
            };
            count.fetch_add(1, Ordering::Relaxed);
            let id = serde_json::from_slice::<serde_json::Value>(&body)
                .ok()
                .and_then(|v| Some(v.get("id")?.as_str()?.to_owned()))
                .unwrap_or_else(|| wangge_platform::sha256(&body));
            let receipt = format!(
                r#"{{"id":"{id}","sha256":"{}","status":"stored"}}"#,
                wangge_platform::sha256(&body)
            );
            let answer = match acts.next().unwrap_or(Act::Say("200 OK", "{}")) {
                Act::Say(head, text) => {
                    let text = text.replace("{}", &receipt);
                    format!(
                        "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
                        text.len()
                    )
                }
                Act::Half => {
                    let half = &receipt[..receipt.len() / 2];
                    format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}",
                        receipt.len()
                    )
                }
                Act::Hang => continue,
            };
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    Script {
        url,
        requests,
        task,
    }
}

pub(super) async fn read_request(socket: &mut tokio::net::TcpStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let read = socket.read_buf(&mut all).await.ok()?;
        if let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)?
                .lines()
                .next()?
                .parse::<usize>()
                .ok()?;
            if all.len() >= end + 4 + length {
                return Some(all.split_off(end + 4));
            }
        }
        if read == 0 {
            return None;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_a_right_receipt_counts_as_delivered() {
    const ZERO: &str = r#"{"id":"x","sha256":"0","status":"stored"}"#;
    const OTHER: &str = r#"{"id":"01936b2a-7c4e-7a10-8b1c-0123456789ab","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","status":"stored"}"#;
    let without: &'static str = format!("[{OTHER}]").leak();
    let others: &'static str = format!("[{OTHER}]").leak();
    // A right receipt at the end of more than is read.
    let huge: &'static str = format!("{}{{}}", " ".repeat(70_000)).leak();
    let acts: Vec<(&str, Act)> = vec![
        ("500", Act::Say("500 Internal Server Error", "{}")),
        ("404", Act::Say("404 Not Found", "{}")),
        (
            "redirect",
            Act::Say("302 Found\r\nlocation: http://127.0.0.1:1/", "{}"),
        ),
        (
            "503",
            Act::Say("503 Service Unavailable\r\nretry-after: 1", "{}"),
        ),
        ("empty", Act::Say("200 OK", "")),
        ("bad JSON", Act::Say("200 OK", "<html>ok</html>")),
        (
            "error body",
            Act::Say("200 OK", r#"{"error":"database is down"}"#),
        ),
        ("wrong hash", Act::Say("200 OK", ZERO)),
        ("half", Act::Half),
        ("hang", Act::Hang),
        ("400", Act::Say("400 Bad Request", "{}")),
        ("an array without its own", Act::Say("200 OK", without)),
        ("an empty array", Act::Say("200 OK", "[]")),
        ("an array of another's", Act::Say("200 OK", others)),
        ("another's", Act::Say("200 OK", OTHER)),
        ("huge", Act::Say("200 OK", huge)),
    ];
    for (name, act) in acts {
        let peer = script(vec![act]).await;
        let station = Station::start(https_link(&peer.url, None, None), Border::Receipt);
        station.alert(Vec::new()).await;
        until(name, async || peer.requests.load(Ordering::Relaxed) == 1).await;
        until(name, async || {
            let counters = &station.counters;
            counters.faults.get() >= 1 || counters.receipted.get() >= 1
        })
        .await;
        assert!(!station.empty().await, "{name} was taken for a receipt");
        until(name, async || station.empty().await).await;
        assert_eq!(peer.requests.load(Ordering::Relaxed), 2, "{name}");
        assert_eq!(station.counters.poisoned.get(), 0);
        station.stop().await;
        peer.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_kept() {
    let peer = script(vec![Act::Say(
        "429 Too Many Requests\r\nretry-after: 3",
        "",
    )])
    .await;
    let station = Station::start(https_link(&peer.url, None, None), Border::Receipt);
    station.alert(Vec::new()).await;
    until("asked", async || station.counters.faults.get() == 1).await;
    let asked = Instant::now();
    station.alert(Vec::new()).await;
    until("delivered", async || station.empty().await).await;
    assert!(asked.elapsed() >= Duration::from_millis(2_900));
    assert!(asked.elapsed() < Duration::from_secs(5));
    station.stop().await;
    peer.task.abort();
}

/// The other form that RFC 9110 allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_may_be_a_date() {
    // Whole seconds: it is then two to three seconds away.
    let at = jiff::Timestamp::now() + Duration::from_secs(3);
    let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let head = format!("503 Service Unavailable\r\nretry-after: {date}").leak();
    let peer = script(vec![Act::Say(head, "")]).await;
    let station = Station::start(https_link(&peer.url, None, None), Border::Receipt);
    station.alert(Vec::new()).await;
    until("delivered", async || station.empty().await).await;
    assert!(jiff::Timestamp::now() >= at - Duration::from_secs(1));
    assert_eq!(peer.requests.load(Ordering::Relaxed), 2);
    station.stop().await;
    peer.task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_three_times_makes_way() {
    let too_large = || Act::Say("413 Content Too Large", "");
    let peer = script(vec![too_large(), too_large(), too_large()]).await;
    let station = Station::start(https_link(&peer.url, None, None), Border::Receipt);
    station.telemetry().await;
    until("given up", async || station.empty().await).await;
    assert_eq!(station.counters.poisoned.get(), 1);
    let before = station.counters.receipted.get();
    station.telemetry().await;
    until("the next is delivered", async || station.empty().await).await;
    assert!(station.counters.receipted.get() > before);
    station.stop().await;
    peer.task.abort();
}

/// `docs/operator/receiver.py` as the guide says to start it, killed and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receiver_of_the_operators_guide_keeps_the_contract() {
    let dir = TempDir::new().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let made = params.self_signed(&pair).unwrap();
    std::fs::write(&cert, made.pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let port = free_port();
    let received = Received {
        dir: dir.path().join("received"),
    };
    let start = async || {
        let child = std::process::Command::new("python3")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../docs/operator/receiver.py"
            ))
            .arg(port.to_string())
            .args([&received.dir, &cert, &key])
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("python3 is installed");
        until("the receiver listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await;
        Peer(child)
    };
    let mut receiver = start().await;
    let url = format!("https://127.0.0.1:{port}");
    let station = Station::start(https_link(&url, Some(cert.clone()), None), Border::Receipt);
    let mut ids = Vec::new();
    let mut pictures = Vec::new();
    for round in 0..3_u8 {
        for n in 0..20 {
            ids.push(station.telemetry().await);
            if n % 5 == 0 {
                let picture = station.picture(&[[round, n]; 20_000].concat());
                pictures.push(picture.sha256.clone());
                ids.push(station.alert(vec![picture]).await);
            }
        }
        receiver.kill();
        receiver = start().await;
    }
    until("all receipted", async || station.empty().await).await;
    let text = std::fs::read_to_string(received.dir.join("events.jsonl")).unwrap();
    assert_eq!(text.lines().count(), ids.len());
    assert!(ids.iter().all(|id| text.contains(id)));
    for sha256 in pictures {
        assert!(received.dir.join("evidence").join(sha256).exists());
    }
    station.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_is_asked_until_its_entries_are_answered() {
    let mut platform = Platform::start(GOOD).await;
    let url = format!("https://127.0.0.1:{}", platform.port);
    let link = https_link(&url, Some(platform.ca.clone()), Some("secret"));
    let mut station = Station::listening(link, Border::Receipt);
    let verdict = decide(&platform.received, "v1");
    for _ in 0..2 {
        let came = station.came.recv().await.unwrap();
        assert_eq!(came.item, Item::Verdict(Box::new(verdict.clone())));
    }
    // The receiver goes and comes back.
    platform.restart().await;
    assert!(station.came.recv().await.is_some());
    station.stop().await;
    platform.kill().await;
}
