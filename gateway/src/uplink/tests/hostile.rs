//! Receivers that answer at random: wrong, half, twice, late, in another order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener, task::JoinHandle, time::sleep};
use wangge_platform::sha256;

use super::{https::read_request, rig::*};
use crate::config::Border;

/// What a receiver has taken, and what else it saw.
#[derive(Debug, Default)]
struct Taken {
    /// Id -> hash of what was stored.
    stored: BTreeMap<String, String>,
    /// Ids that came with other bytes than before.
    changed: BTreeSet<String>,
    requests: usize,
    last: Option<String>,
}

fn receipt(id: &str, hash: &str) -> String {
    json!({"id": id, "sha256": hash, "status": "stored"}).to_string()
}

fn id_of(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => value["id"].as_str().unwrap().to_owned(),
        Err(_) => sha256(body),
    }
}

fn answer(head: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Over HTTP; every third request is answered as no receiver should.
async fn erratic(seed: u64) -> (String, Arc<Mutex<Taken>>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Taken::default()));
    let shared = taken.clone();
    let task = tokio::spawn(async move {
        let mut rng = StdRng::seed_from_u64(seed);
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let fault: u8 = rng.random_range(0..48);
            let taken = shared.clone();
            tokio::spawn(async move {
                let Some(body) = read_request(&mut socket).await else {
                    return;
                };
                let reply = taken.lock().unwrap().reply(fault, &body);
                let _ = socket.write_all(reply.as_bytes()).await;
            });
        }
    });
    (url, taken, task)
}

impl Taken {
    /// Stores it or not, and says something that may have nothing to do with it.
    fn reply(&mut self, fault: u8, body: &[u8]) -> String {
        let (id, hash) = (id_of(body), sha256(body));
        self.requests += 1;
        let right = receipt(&id, &hash);
        let others = self.last.replace(right.clone());
        match fault {
            0 => return answer("500 Internal Server Error", &right),
            1 => return answer("502 Bad Gateway", "<html>"),
            2 => return answer("503 Service Unavailable", ""),
            3 => return answer("429 Too Many Requests\r\nretry-after: 0", ""),
            4 => return answer("429 Too Many Requests\r\nretry-after: soon", ""),
            5 => return answer("302 Found\r\nlocation: /elsewhere", &right),
            6 => return answer("404 Not Found", &right),
            7 => return answer("200 OK", r#"{"code":500,"msg":"database is down"}"#),
            8 => return answer("200 OK", &receipt(&id, &sha256(b"other"))),
            // Never this message's own: it is not stored here, and nobody could tell.
            9 => {
                let others = others.filter(|receipt| *receipt != right);
                return answer("200 OK", &others.unwrap_or_default());
            }
            10 => return String::new(),
            _ => {}
        }
        if let Some(missing) = self.missing(body) {
            let text =
                json!({"id": id, "sha256": hash, "status": "evidence_missing", "reason": missing});
            return answer("200 OK", &text.to_string());
        }
        // From here on it is stored, whatever is said about it.
        let before = self.stored.entry(id.clone()).or_insert(hash.clone());
        if *before != hash {
            self.changed.insert(id);
        }
        match fault {
            11 => String::new(),
            12 => answer("200 OK", ""),
            13 => format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{right}"),
            14 => format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{}",
                &right[..40]
            ),
            15 => "HTTP/9.9 what\r\n\r\n".to_owned(),
            _ => answer("200 OK", &right),
        }
    }
}

impl Taken {
    /// A picture that a message names and that is not here.
    fn missing(&self, body: &[u8]) -> Option<String> {
        let value: Value = serde_json::from_slice(body).ok()?;
        value["data"]["evidence"]
            .as_array()?
            .iter()
            .map(|e| e["sha256"].as_str().unwrap().to_owned())
            .find(|hash| !self.stored.contains_key(hash))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_receiver_answers_everything_arrives_and_nothing_is_given_up() {
    let seed = rand::random();
    println!("seed {seed}");
    let (url, taken, task) = erratic(seed).await;
    let station = Station::start(https_link(&url, None, None), Border::Receipt);
    let mut ids = BTreeSet::new();
    for n in 0..30_u8 {
        ids.insert(station.telemetry().await);
        if n % 3 == 0 {
            let picture = station.picture(&[n; 5_000]);
            ids.insert(picture.sha256.clone());
            ids.insert(station.alert(vec![picture]).await);
        }
    }
    until("all receipted", async || station.empty().await).await;
    assert_eq!(station.counters.poisoned.get(), 0);
    station.stop().await;
    let taken = taken.lock().unwrap();
    assert_eq!(taken.stored.keys().cloned().collect::<BTreeSet<_>>(), ids);
    assert!(taken.changed.is_empty(), "{:?}", taken.changed);
    assert!(taken.requests > ids.len(), "nothing was wrong");
    task.abort();
}

/// A receiver at a broker whose receipts come in any order, late, doubled, and among others that
/// are about nothing.
struct Unordered {
    task: JoinHandle<()>,
    /// Id -> hashes that came under it.
    seen: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
}

/// Receipts that are held back until so many are there.
const TOGETHER: usize = 25;
/// Or until so long nothing came.
const QUIET: Duration = Duration::from_secs(7);

async fn unordered(port: u16, seed: u64) -> Unordered {
    let mut options = MqttOptions::new("unordered", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(10));
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 100);
    for topic in ["alerts", "telemetry/+", "evidence/+"] {
        let topic = format!("{PREFIX}/{topic}");
        client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
    }
    let seen = Arc::new(Mutex::new(BTreeMap::<_, BTreeSet<_>>::new()));
    let noted = seen.clone();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut held, mut ready, mut subscribed) = (Vec::new(), Some(ready), 0);
        loop {
            let event = tokio::time::timeout(QUIET, events.poll()).await;
            let quiet = event.is_err();
            match event {
                Ok(Ok(Event::Incoming(Packet::SubAck(_)))) => {
                    subscribed += 1;
                    if subscribed == 3 {
                        let _ = ready.take().unwrap().send(());
                    }
                }
                Ok(Ok(Event::Incoming(Packet::Publish(message)))) => {
                    let (id, hash) = (id_of(&message.payload), sha256(&message.payload));
                    let mut noted = noted.lock().unwrap();
                    noted.entry(id.clone()).or_default().insert(hash.clone());
                    held.push((id, hash));
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return,
                Err(_) => {}
            }
            if held.is_empty() || (held.len() < TOGETHER && !quiet) {
                continue;
            }
            held.shuffle(&mut rng);
            let mut receipts = Vec::new();
            for (id, hash) in held.drain(..) {
                for _ in 0..rng.random_range(1..=3) {
                    receipts.push(receipt(&id, &hash));
                }
                receipts.push(receipt(&id, &sha256(b"other")));
                receipts.push(receipt(&uuid::Uuid::now_v7().to_string(), &hash));
            }
            receipts.shuffle(&mut rng);
            let payload = format!("[{}]", receipts.join(","));
            let topic = format!("{PREFIX}/receipts");
            // Its own loop drains it, and it has room.
            let _ = client.try_publish(topic, QoS::AtLeastOnce, false, payload);
        }
    });
    is_ready.await.unwrap();
    Unordered { task, seen }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_in_any_order_late_and_doubled_settle_each_message_once() {
    let seed = rand::random();
    println!("seed {seed}");
    let broker = Mosquitto::start("").await;
    let receiver = unordered(broker.port, seed).await;
    let station = Station::start(mqtt_link(broker.port), Border::Receipt);
    let mut ids = BTreeSet::new();
    for n in 0..60_u8 {
        ids.insert(station.telemetry().await);
        if n % 10 == 0 {
            let picture = station.picture(&[n; 3_000]);
            ids.insert(picture.sha256.clone());
            ids.insert(station.alert(vec![picture]).await);
        }
    }
    until("all receipted", async || station.empty().await).await;
    // What comes twice, or about nothing, is counted apart.
    sleep(Duration::from_millis(500)).await;
    // A picture's receipt after its alert's is about nothing any more.
    let messages = ids.iter().filter(|id| id.len() == 36).count() as u64;
    let receipted = station.counters.receipted.get();
    assert!(
        (messages..=ids.len() as u64).contains(&receipted),
        "{receipted}"
    );
    assert!(station.counters.strange_receipts.get() >= ids.len() as u64);
    assert_eq!(station.counters.poisoned.get(), 0);
    station.stop().await;
    let seen = receiver.seen.lock().unwrap();
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), ids);
    assert!(
        seen.values().all(|hashes| hashes.len() == 1),
        "a repeat had other bytes"
    );
    receiver.task.abort();
}
