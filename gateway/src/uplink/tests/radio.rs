//! Radio links of 64 kbit/s. One has a modem's queue and is a relay; the other loses packets and
//! comes and goes: real TCP through the kernel's packet filter (`nft`), in a network namespace of
//! its own, which needs root, as other faults do.

use std::{
    env,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream, tcp::OwnedWriteHalf},
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::sleep,
};

use super::{rig::*, thin::Plain};
use crate::{
    config::{self, Border, line::Pictures},
    uplink::tests::thin::{noise, small_first},
};

/// Set in the process inside the namespace.
const INSIDE: &str = "WANGGE_TEST_RADIO";

/// Runs this test again inside a namespace; `false` inside it.
fn moved(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        run(
            "ip",
            &[
                "link",
                "set",
                "lo",
                "up",
                "mtu",
                "1500",
                "gso_max_segs",
                "1",
            ],
        );
        return false;
    }
    let ran = Command::new("unshare")
        .arg("--net")
        .arg(env::current_exe().unwrap())
        .arg(format!("uplink::tests::radio::{test}"))
        .args(["--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(ran.unwrap().success());
    true
}

fn run(program: &str, args: &[&str]) {
    let ran = Command::new(program).args(args).status();
    let ran = ran.unwrap_or_else(|e| panic!("{program} is needed: {e}"));
    assert!(ran.success(), "{program} {args:?}; is it run as root?");
}

/// Bytes a second of 64 kbit/s.
const SPEED: f64 = 8_000.0;
/// Bytes at once on the air, and how many of them a modem queues: 32 KB, four seconds.
const PACKET: usize = 1_448;
const QUEUED: usize = 22;

type Packet = (Arc<Mutex<OwnedWriteHalf>>, Vec<u8>);

/// A modem: all that is sent waits in one queue for its turn on the air. What comes back is small.
async fn modem(to: u16) -> (u16, JoinHandle<()>) {
    let socket = TcpSocket::new_v4().unwrap();
    // What the modem does not take stays with the station.
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(64).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (queue, mut air) = mpsc::channel::<Packet>(QUEUED);
    let task = tokio::spawn(async move {
        let accept = async {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else {
                    continue;
                };
                let ((mut up, mut down), (mut back, forth)) = (near.into_split(), far.into_split());
                let (queue, forth) = (queue.clone(), Arc::new(Mutex::new(forth)));
                tokio::spawn(async move { copy(&mut back, &mut down).await });
                tokio::spawn(async move {
                    let mut packet = vec![0; PACKET];
                    while let Ok(n @ 1..) = up.read(&mut packet).await {
                        let sent = queue.send((forth.clone(), packet[..n].to_vec()));
                        if sent.await.is_err() {
                            return;
                        }
                    }
                });
            }
        };
        let send = async {
            while let Some((forth, packet)) = air.recv().await {
                sleep(Duration::from_secs_f64(packet.len() as f64 / SPEED)).await;
                // Whoever is gone misses nothing.
                let _ = forth.lock().await.write_all(&packet).await;
            }
        };
        tokio::join!(accept, send);
    });
    (port, task)
}

/// A relay whose station's side is the radio link.
struct Radio {
    port: u16,
    relay: JoinHandle<()>,
    weather: Option<JoinHandle<()>>,
}

impl Radio {
    /// `loss` in tenths.
    async fn start(to: u16, loss: u8) -> Radio {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let drop = format!("numgen random mod 10 < {loss} drop");
        let both = |rule: &str| format!("tcp dport {port} {rule}\ntcp sport {port} {rule}\n");
        let rules = format!(
            "table inet radio {{\nchain c {{\ntype filter hook input priority 0\n{}{}{}}}\n}}\n",
            both(&drop),
            both("limit rate over 8 kbytes/second burst 8 kbytes drop"),
            both("counter"),
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), rules).unwrap();
        run("nft", &["-f", file.path().to_str().unwrap()]);
        let relay = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", to)).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Radio {
            port,
            relay,
            weather: None,
        }
    }

    /// Seven seconds there, three gone, for ever.
    fn flap(&mut self) {
        let port = self.port;
        self.weather = Some(tokio::spawn(async move {
            let gone = format!(
                "add table inet gone; add chain inet gone c {{ type filter hook input priority 1; }}; add rule inet gone c tcp dport {port} drop; add rule inet gone c tcp sport {port} drop"
            );
            loop {
                sleep(Duration::from_secs(7)).await;
                run("nft", &[&gone]);
                sleep(Duration::from_secs(3)).await;
                run("nft", &["delete", "table", "inet", "gone"]);
            }
        }));
    }

    /// IP bytes that arrived so far, both ways.
    fn bytes(&self) -> u64 {
        let shown = Command::new("nft")
            .args(["list", "chain", "inet", "radio", "c"])
            .output()
            .unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        let counted = text.lines().filter_map(|l| l.split_once(" bytes "));
        counted
            .filter_map(|(_, n)| n.trim().parse::<u64>().ok())
            .sum()
    }
}

impl Drop for Radio {
    fn drop(&mut self) {
        self.relay.abort();
        if let Some(weather) = &self.weather {
            weather.abort();
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Raises `count` alerts, one each `every`; how long each took.
async fn alerts(
    station: &Station,
    received: &Received,
    count: u32,
    every: Duration,
) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..count {
        sleep(every).await;
        let raised = Instant::now();
        let id = station.alert(Vec::new()).await;
        until("the alert", async || {
            let text = std::fs::read_to_string(received.dir.join("events.jsonl"));
            text.unwrap_or_default().contains(&id)
        })
        .await;
        took.push(raised.elapsed());
    }
    took
}

fn show(what: &str, took: &[Duration]) {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2);
    println!(
        "{what}: {} alerts, median {middle:?}, longest {:?}",
        took.len(),
        sorted.last()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_alert_overtakes_a_large_picture_that_is_being_sent() {
    let course = async |mqtt: bool| {
        let peers = Peers::start(mqtt).await;
        let (port, air) = modem(peers.port).await;
        let station = Station::start(peers.link(port), Border::Receipt);
        let picture = station.picture(&noise(2 << 20, 1));
        let sha256 = picture.sha256.clone();
        let with_picture = station.alert(vec![picture]).await;
        until("some pieces came", async || peers.part(&sha256) > 20_000).await;
        let took = alerts(&station, &peers.received, 4, Duration::from_secs(2)).await;
        let name = format!("64 kbit/s, 2 MiB picture being sent, {}", peers.name());
        show(&name, &took);
        println!(
            "{name}: {} bytes of the picture are there",
            peers.part(&sha256)
        );
        let waits = !peers.received.events().contains_key(&with_picture);
        assert!(waits, "the picture cannot be there yet");
        // Loose: the machine may be busy. Behind the whole picture it would be four minutes.
        assert!(
            took.iter().all(|took| *took < Duration::from_secs(20)),
            "{took:?}"
        );
        station.stop().await;
        air.abort();
        peers.stop().await;
    };
    tokio::join!(course(false), course(true));
}

#[test]
fn loss_and_flapping() {
    if moved("loss_and_flapping") {
        return;
    }
    runtime().block_on(async {
        for mqtt in [false, true] {
            let peers = Peers::start(mqtt).await;
            // Of an earlier round.
            run("nft", &["flush", "ruleset"]);
            let mut radio = Radio::start(peers.port, 2).await;
            radio.flap();
            let line = config::Line {
                pictures: Pictures::ThumbnailFirst,
                ..config::Line::default()
            };
            let station = Station::on(line, peers.link(radio.port), Border::Receipt);
            let name = format!("64 kbit/s, 20 % lost, gone 3 s in 10, {}", peers.name());
            let (full, small) = (
                station.picture(&noise(40_000, 1)),
                station.picture(&noise(6_000, 2)),
            );
            let sha256 = full.sha256.clone();
            let start = Instant::now();
            let id = small_first(&station, full, small).await;
            until("the alert", async || {
                peers.received.events().contains_key(&id)
            })
            .await;
            println!(
                "{name}: the alert with its thumbnail after {:?}",
                start.elapsed()
            );
            let took = alerts(&station, &peers.received, 4, Duration::from_secs(5)).await;
            show(&name, &took);
            until("the picture", async || peers.received.has_picture(&sha256)).await;
            println!("{name}: 40 KB picture after {:?}", start.elapsed());
            until("all receipts", async || station.empty().await).await;
            let (wire, counted) = (radio.bytes(), station.counters.carried.get());
            println!("{name}: {wire} bytes crossed the line, {counted} were counted");
            // What the kernel sends again is not seen from here; what is lost did not cross.
            assert!(counted * 10 >= wire * 7 && counted * 10 <= wire * 13);
            assert_eq!(station.counters.poisoned.get(), 0);
            station.stop().await;
            peers.stop().await;
        }
    });
}

/// A receiver, with a broker or without.
struct Peers {
    port: u16,
    received: Arc<Received>,
    broker: Option<(Mosquitto, MqttPlatform)>,
    http: Option<Plain>,
    _dir: TempDir,
}

impl Peers {
    async fn start(mqtt: bool) -> Peers {
        let dir = TempDir::new().unwrap();
        let received = Arc::new(Received {
            dir: dir.path().to_owned(),
        });
        let (mut broker, mut http) = (None, None);
        let port = match mqtt {
            true => {
                let mosquitto = Mosquitto::start("").await;
                let port = mosquitto.port;
                let platform = MqttPlatform::start(port, &received);
                broker = Some((mosquitto, platform));
                port
            }
            false => {
                let plain = Plain::start(&dir).await;
                let port = plain.port;
                http = Some(plain);
                port
            }
        };
        Peers {
            port,
            received,
            broker,
            http,
            _dir: dir,
        }
    }

    fn name(&self) -> &'static str {
        match self.broker {
            Some(_) => "MQTT",
            None => "HTTP",
        }
    }

    fn link(&self, port: u16) -> config::UplinkLink {
        match self.broker {
            Some(_) => mqtt_link(port),
            None => https_link(&format!("http://127.0.0.1:{port}"), None, None),
        }
    }

    fn part(&self, sha256: &str) -> u64 {
        let path = self.received.dir.join(format!("evidence/{sha256}.part"));
        std::fs::metadata(path).map_or(0, |m| m.len())
    }

    async fn stop(self) {
        if let Some((_broker, platform)) = self.broker {
            platform.stop().await;
        }
        if let Some(mut http) = self.http {
            http.stop().await;
        }
    }
}
