//! The receiving end at a broker: reads what stations publish and answers on each station's
//! `<prefix>/receipts`; what waits for a station goes to its `<prefix>/verdicts` and
//! `<prefix>/commands`, again and again until it is answered.
//!
//! The session is persistent and a message is acknowledged to the broker only after it is
//! stored and its receipt is on its way, so that a restart loses nothing that the broker has.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use rumqttc::{
    AsyncClient, Event, MqttOptions, NetworkOptions, Packet, Publish, QoS, SubscribeFilter,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinSet, spawn_blocking},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wangge_protocol::{Receipt, ReceiptStatus};

use crate::{
    show::Show,
    store::{Delivery, Failed, Store},
};

/// Beyond [`crate::MAX_PICTURE`], so that a picture that is too large gets its refusal instead
/// of ending the connection again and again.
const MAX_PACKET: usize = 8 * 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);
/// Receipts per message at most: 100 of them are 20 KB.
const TOGETHER: usize = 100;
/// Messages whose receipts are awaited together.
const WAITING: usize = 1_024;
/// How often the outbox is looked at, and what has no answer sent again.
const LOOK: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_secs(30);
/// Requests on their way to the connection.
const REQUESTS: usize = 10;

/// What stations publish, under their prefixes.
const TOPICS: [&str; 7] = [
    "alerts",
    "gaps",
    "answers",
    "digest",
    "telemetry/+",
    "evidence/+",
    // Picture, offset of the piece, bytes of the whole.
    "evidence/+/+/+",
];

/// A broker and what to read there.
#[derive(Clone)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// Names the persistent session.
    pub client_id: String,
    /// Topic filter of the stations' prefixes, e.g. `wangge/v1/+`.
    pub prefix: String,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A message whose receipt is awaited, in the order of arrival.
struct Pending {
    /// The station's own prefix.
    prefix: String,
    message: Publish,
    answer: oneshot::Receiver<Receipt>,
}

/// Receives until `stop`; reconnects by itself. `show` is told once when the broker listens.
///
/// # Errors
/// The storage failed.
pub async fn serve(
    broker: Broker,
    store: Store,
    mut show: Option<Show>,
    stop: CancellationToken,
) -> Result<(), Failed> {
    let mut complaint = None;
    loop {
        let text = tokio::select! {
            text = connection(&broker, &store, &mut show) => text,
            () = store.failed() => return Err(Failed),
            () = stop.cancelled() => return Ok(()),
        };
        if complaint.as_ref() != Some(&text) {
            warn!(
                "broker {}:{}: {text}; trying again",
                broker.host, broker.port
            );
            complaint = Some(text);
        }
        sleep(RETRY).await;
    }
}

/// One connection; returns why it ended. What was not acknowledged in it, the broker sends
/// again in the next.
async fn connection(broker: &Broker, store: &Store, show: &mut Option<Show>) -> String {
    let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
    options
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_max_packet_size(MAX_PACKET, MAX_PACKET);
    if let Some((user, password)) = &broker.login {
        options.set_credentials(user, password);
    }
    if let Some(tls) = &broker.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
            tls.clone(),
        )));
    }
    let (client, mut events) = AsyncClient::new(options, REQUESTS);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    // The loop below drains the requests of the other two, so it must never wait for them: this
    // channel has no bound of its own. The broker's window of unacknowledged messages is one.
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let (pending, waiting) = mpsc::channel(WAITING);
    let mut tasks = JoinSet::new();
    tasks.spawn(submit(store.clone(), arrivals, pending));
    tasks.spawn(acknowledge(client.clone(), waiting));
    tasks.spawn(decide(client.clone(), store.clone(), broker.prefix.clone()));
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                // Also where the session is present: the prefix may be another than last time.
                let filters = TOPICS.map(|topic| {
                    SubscribeFilter::new(format!("{}/{topic}", broker.prefix), QoS::AtLeastOnce)
                });
                if let Err(e) = client.try_subscribe_many(filters) {
                    return e.to_string();
                }
            }
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return format!("the broker does not let us read {}", broker.prefix);
                }
                let address = format!("{}:{} {}", broker.host, broker.port, broker.prefix);
                info!("receiving from {address}");
                if let Some(mut show) = show.take() {
                    show.listening("mqtt", &address);
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                if arrived.send(message).is_err() {
                    return Failed.to_string();
                }
            }
            Ok(_) => {}
            Err(e) => return e.to_string(),
        }
    }
}

/// Gives what arrives to the store, in order.
async fn submit(
    store: Store,
    mut arrivals: mpsc::UnboundedReceiver<Publish>,
    pending: mpsc::Sender<Pending>,
) {
    while let Some(message) = arrivals.recv().await {
        let Some((prefix, delivery)) = delivery(&message) else {
            warn!(
                topic = message.topic,
                "not a topic of the contract: ignored"
            );
            continue;
        };
        let prefix = prefix.to_owned();
        let Ok(answer) = store.submit(delivery).await else {
            return;
        };
        let next = Pending {
            prefix,
            message,
            answer,
        };
        if pending.send(next).await.is_err() {
            return;
        }
    }
}

/// Waits for the answers in order, publishes the receipts, then lets the broker forget the
/// messages.
async fn acknowledge(client: AsyncClient, mut waiting: mpsc::Receiver<Pending>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, TOGETHER).await > 0 {
        let mut groups: Vec<(String, Vec<Receipt>)> = Vec::new();
        let mut messages = Vec::new();
        for pending in batch.drain(..) {
            let Ok(mut receipt) = pending.answer.await else {
                return; // the storage failed: no receipt, no acknowledgement
            };
            if receipt.status == ReceiptStatus::Stored {
                receipt.offset = None;
            }
            match groups
                .iter_mut()
                .find(|(prefix, _)| *prefix == pending.prefix)
            {
                Some((_, receipts)) => receipts.push(receipt),
                None => groups.push((pending.prefix, vec![receipt])),
            }
            messages.push(pending.message);
        }
        for (prefix, receipts) in groups {
            let Ok(payload) = serde_json::to_vec(&receipts) else {
                return;
            };
            let topic = format!("{prefix}/receipts");
            if client
                .publish(topic, QoS::AtLeastOnce, false, payload)
                .await
                .is_err()
            {
                return;
            }
        }
        for message in &messages {
            if client.ack(message).await.is_err() {
                return;
            }
        }
    }
}

/// Publishes what waits for stations. A station that is away misses it, so it is repeated.
async fn decide(client: AsyncClient, store: Store, filter: String) {
    let mut sent: HashMap<(String, String), Instant> = HashMap::new();
    loop {
        let outbox = store.outbox().clone();
        let waiting = spawn_blocking(move || {
            let stations = outbox.stations().into_iter();
            let inboxes = stations.map(|station| (outbox.inbox(&station), station));
            inboxes.collect::<Vec<_>>()
        });
        sent.retain(|_, at| at.elapsed() < AGAIN);
        for (mut inbox, station) in waiting.await.unwrap_or_default() {
            let prefix = filter.replace('+', &station);
            let mut is_due = |id: &str| {
                let key = (station.clone(), id.to_owned());
                let due = !sent.contains_key(&key);
                sent.entry(key).or_insert_with(Instant::now);
                due
            };
            inbox
                .verdicts
                .retain(|v| is_due(&format!("verdict {}", v.id)));
            inbox
                .commands
                .retain(|c| is_due(&format!("command {}", c.id)));
            let commands = serde_json::to_vec(&inbox.commands).unwrap_or_default();
            let verdicts = serde_json::to_vec(&inbox.verdicts).unwrap_or_default();
            let messages = [
                ("commands", inbox.commands.is_empty(), commands),
                ("verdicts", inbox.verdicts.is_empty(), verdicts),
            ];
            for (what, _, payload) in messages.into_iter().filter(|(_, is_empty, _)| !is_empty) {
                let topic = format!("{prefix}/{what}");
                let sent = client.publish(topic, QoS::AtLeastOnce, false, payload);
                if sent.await.is_err() {
                    return;
                }
            }
        }
        sleep(LOOK).await;
    }
}

/// The station's prefix, and what came.
fn delivery(message: &Publish) -> Option<(&str, Delivery)> {
    let bytes = message.payload.clone();
    let topic = &message.topic;
    if let Some((prefix, sha256)) = topic.rsplit_once("/evidence/") {
        return Some((prefix, picture(sha256, bytes)?));
    }
    let prefix = topic
        .strip_suffix("/alerts")
        .or_else(|| topic.strip_suffix("/gaps"))
        .or_else(|| topic.strip_suffix("/answers"))
        .or_else(|| topic.strip_suffix("/digest"))
        .or_else(|| topic.rsplit_once("/telemetry/").map(|(prefix, _)| prefix))?;
    Some((prefix, Delivery::Event(bytes)))
}

/// `<sha256>` or `<sha256>/<offset>/<total>`; nothing at offset 0 is a question.
fn picture(name: &str, bytes: bytes::Bytes) -> Option<Delivery> {
    let Some((sha256, piece)) = name.split_once('/') else {
        return Some(Delivery::Picture(name.to_owned(), bytes));
    };
    let sha256 = sha256.to_owned();
    let (offset, total) = piece.split_once('/')?;
    let (offset, total) = (offset.parse().ok()?, total.parse().ok()?);
    Some(match offset {
        0 if bytes.is_empty() => Delivery::Ask(sha256),
        offset => Delivery::Piece {
            sha256,
            offset,
            total,
            bytes,
        },
    })
}
