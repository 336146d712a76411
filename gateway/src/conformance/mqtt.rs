//! A receiver at an MQTT broker. Speaks 3.1.1, which every broker does.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS, SubscribeReasonCode,
    TlsConfiguration, Transport,
};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    ConformanceError,
    peer::{Content, Parcel, PieceReply, Receipt, Reply, receipts, shown},
};
use crate::{config::BrokerAddr, tls, uplink::MAX_PICTURE};

/// For a picture beyond the limit, which the receiver should see.
const MAX_PACKET: usize = 2 * MAX_PICTURE;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const REQUESTS: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct Mqtt {
    client: AsyncClient,
    prefix: String,
    patience: Duration,
    inbox: Arc<Inbox>,
    task: JoinHandle<()>,
}

/// What came on the receipt topic, and who waits for it.
#[derive(Debug, Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    retained: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_number: HashMap<u64, Wait>,
    /// Why the connection ended.
    broken: Option<String>,
}

#[derive(Debug)]
struct Wait {
    id: String,
    sha256: String,
    answer: oneshot::Sender<Reply>,
}

impl Mqtt {
    /// Connects and subscribes to the receipts.
    ///
    /// # Errors
    /// A certificate that cannot be used, nobody listens, or the broker refuses.
    pub async fn connect(
        addr: &BrokerAddr,
        prefix: &str,
        patience: Duration,
    ) -> Result<Self, ConformanceError> {
        // An IPv6 address needs brackets where a port follows, but not where TLS compares names.
        let host = match (&addr.tls, addr.host.contains(':')) {
            (None, true) => format!("[{}]", addr.host),
            _ => addr.host.clone(),
        };
        let mut options = MqttOptions::new(&addr.client_id, host, addr.port);
        options
            .set_clean_session(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_max_packet_size(MAX_PACKET, MAX_PACKET);
        if let Some(login) = &addr.credentials {
            options.set_credentials(&login.username, &login.password);
        }
        if let Some(tls) = &addr.tls {
            let config =
                tls::client_config(tls).map_err(|e| ConformanceError::Setup(e.to_string()))?;
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
        }
        let (client, mut events) = AsyncClient::new(options, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let topic = format!("{prefix}/receipts");
        let ready = async {
            client
                .subscribe(&topic, QoS::AtLeastOnce)
                .await
                .map_err(|e| e.to_string())?;
            subscribed(&mut events, &topic).await
        };
        match timeout(patience, ready).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(ConformanceError::Unreachable(reason)),
            Err(_) => {
                let reason = format!("the broker does not answer within {patience:?}");
                return Err(ConformanceError::Unreachable(reason));
            }
        }
        let inbox = Arc::new(Inbox::default());
        let task = tokio::spawn(listen(events, inbox.clone()));
        Ok(Mqtt {
            client,
            prefix: prefix.to_owned(),
            patience,
            inbox,
            task,
        })
    }

    /// Where it goes.
    pub fn topic(&self, content: Content, name: &str) -> String {
        let prefix = &self.prefix;
        match content {
            Content::Alert => format!("{prefix}/alerts"),
            Content::Telemetry => format!("{prefix}/telemetry/conformance"),
            Content::Gap => format!("{prefix}/gaps"),
            Content::Digest => format!("{prefix}/digest"),
            Content::Answer => format!("{prefix}/answers"),
            Content::Picture => format!("{prefix}/evidence/{name}"),
        }
    }

    /// Sends it and waits for its receipt.
    pub async fn deliver(&self, parcel: &Parcel) -> Reply {
        let topic = self.topic(parcel.content, &parcel.id);
        self.exchange(topic, parcel).await
    }

    /// Sends a piece of a picture, or with no bytes asks how much is there.
    pub async fn piece(&self, parcel: &Parcel, offset: u64, total: u64) -> PieceReply {
        let topic = format!("{}/evidence/{}/{offset}/{total}", self.prefix, parcel.id);
        let reply = self.exchange(topic, parcel).await;
        let text = reply.text();
        let receipt = match reply {
            Reply::Receipt(receipt, _) => Some(receipt),
            _ => None,
        };
        PieceReply {
            status: 0,
            offset: receipt.as_ref().and_then(|r| r.offset),
            receipt,
            text,
        }
    }

    /// Whether the broker keeps receipts: it then sends them, marked, at every subscription.
    pub async fn keeps_receipts(&self) -> Result<bool, String> {
        /// A broker sends what it kept right behind its SUBACK.
        const GREETING: Duration = Duration::from_secs(1);
        let topic = format!("{}/receipts", self.prefix);
        self.client
            .subscribe(topic, QoS::AtLeastOnce)
            .await
            .map_err(|e| e.to_string())?;
        sleep(GREETING).await;
        Ok(self.inbox.retained.load(Ordering::Relaxed))
    }

    /// Whether the connection ended.
    pub fn is_broken(&self) -> bool {
        self.inbox.lock().broken.is_some()
    }

    async fn exchange(&self, topic: String, parcel: &Parcel) -> Reply {
        let (number, answer) = match self.inbox.wait(parcel) {
            Ok(waiting) => waiting,
            Err(reason) => return Reply::Broken(reason),
        };
        let publish = self
            .client
            .publish(topic, QoS::AtLeastOnce, false, parcel.bytes.to_vec());
        let reply = async {
            if let Err(e) = publish.await {
                return Reply::Broken(e.to_string());
            }
            answer
                .await
                .unwrap_or_else(|_| Reply::Broken("the connection ended".to_owned()))
        };
        match timeout(self.patience, reply).await {
            Ok(reply) => reply,
            Err(_) => {
                self.inbox.lock().by_number.remove(&number);
                Reply::Silence(self.patience)
            }
        }
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, parcel: &Parcel) -> Result<(u64, oneshot::Receiver<Reply>), String> {
        let mut waiting = self.lock();
        if let Some(reason) = &waiting.broken {
            return Err(reason.clone());
        }
        let (answer, receiver) = oneshot::channel();
        let number = waiting.next;
        waiting.next += 1;
        let wait = Wait {
            id: parcel.id.clone(),
            sha256: parcel.sha256.clone(),
            answer,
        };
        waiting.by_number.insert(number, wait);
        Ok((number, receiver))
    }

    /// Gives a message on the receipt topic to whoever it is for: best both id and hash, then
    /// either, because a receipt with the wrong one is what they want to see.
    fn take(&self, payload: &[u8]) {
        for receipt in receipts(payload).unwrap_or_default() {
            let mut waiting = self.lock();
            let best = waiting
                .by_number
                .iter()
                .map(|(number, wait)| {
                    let (id, hash) = (wait.id == receipt.id, wait.sha256 == receipt.sha256);
                    (u8::from(id) * 2 + u8::from(hash), *number)
                })
                .filter(|(fit, _)| *fit > 0)
                .max_by_key(|(fit, number)| (*fit, std::cmp::Reverse(*number)));
            if let Some((_, number)) = best
                && let Some(wait) = waiting.by_number.remove(&number)
            {
                let text = shown(describe(&receipt).as_bytes());
                // Who no longer waits has said so already.
                let _ = wait.answer.send(Reply::Receipt(receipt, text));
            }
        }
    }
}

fn describe(receipt: &Receipt) -> String {
    let Receipt {
        id,
        sha256,
        status,
        reason,
        offset,
    } = receipt;
    let mut text = format!(r#"{{"id":"{id}","sha256":"{sha256}","status":"{status}""#);
    if let Some(offset) = offset {
        text.push_str(&format!(r#","offset":{offset}"#));
    }
    if let Some(reason) = reason {
        text.push_str(&format!(r#","reason":"{reason}""#));
    }
    text.push('}');
    text
}

async fn subscribed(events: &mut EventLoop, topic: &str) -> Result<(), String> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                return match ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    true => Err(format!("the broker does not let us read {topic}")),
                    false => Ok(()),
                };
            }
            Ok(_) => {}
            Err(e) => return Err(e.to_string()),
        }
    }
}

async fn listen(mut events: EventLoop, inbox: Arc<Inbox>) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(message))) => {
                if message.retain {
                    inbox.retained.store(true, Ordering::Relaxed);
                }
                inbox.take(&message.payload);
            }
            Ok(_) => {}
            Err(e) => {
                let mut waiting = inbox.lock();
                let reason = format!("the connection to the broker ended: {e}");
                for (_, wait) in waiting.by_number.drain() {
                    let _ = wait.answer.send(Reply::Broken(reason.clone()));
                }
                waiting.broken = Some(reason);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(id: &str, sha256: &str) -> Parcel {
        Parcel {
            id: id.to_owned(),
            sha256: sha256.to_owned(),
            content: Content::Alert,
            bytes: bytes::Bytes::new(),
        }
    }

    fn got(answer: &mut oneshot::Receiver<Reply>) -> Option<String> {
        match answer.try_recv() {
            Ok(Reply::Receipt(receipt, _)) => Some(receipt.status),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    #[test]
    fn a_receipt_goes_to_whom_it_fits_best_and_to_one_only() {
        let inbox = Inbox::default();
        let (_, mut first) = inbox.wait(&parcel("a", "1")).unwrap();
        let (_, mut second) = inbox.wait(&parcel("a", "2")).unwrap();
        let (_, mut nameless) = inbox.wait(&parcel("", "3")).unwrap();
        let say = |id: &str, sha256: &str, status: &str| {
            let text = format!(r#"{{"id":"{id}","sha256":"{sha256}","status":"{status}"}}"#);
            inbox.take(text.as_bytes());
        };
        say("b", "9", "for nobody");
        assert_eq!(got(&mut first), None);
        say("a", "2", "for the second");
        assert_eq!(got(&mut first), None);
        assert_eq!(got(&mut second).as_deref(), Some("for the second"));
        say("3", "3", "by its hash");
        assert_eq!(got(&mut nameless).as_deref(), Some("by its hash"));
        say("a", "8", "a wrong hash");
        assert_eq!(got(&mut first).as_deref(), Some("a wrong hash"));
        assert!(inbox.lock().by_number.is_empty());
    }

    #[test]
    fn copies_get_a_receipt_each_also_from_one_array() {
        let inbox = Inbox::default();
        let mut answers: Vec<_> = (0..3)
            .map(|_| inbox.wait(&parcel("a", "1")).unwrap().1)
            .collect();
        let one = r#"{"id":"a","sha256":"1","status":"stored"}"#;
        inbox.take(format!("[{one},{one}]").as_bytes());
        let count = |answers: &mut Vec<_>| answers.iter_mut().filter_map(got).count();
        assert_eq!(count(&mut answers), 2);
        inbox.take(b"no receipt at all");
        inbox.take(one.as_bytes());
        assert_eq!(count(&mut answers), 1);
    }
}
