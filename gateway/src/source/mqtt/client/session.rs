//! One connection to a broker.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions, Outgoing, Publish, QoS, Subscribe,
    SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::{
    pin,
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::Fault;
use crate::{
    clock::Clock,
    config::Broker,
    feed::MAX_STILL,
    observation::{Ack, Arrival},
    source::mqtt::{
        acks::{AckQueue, Owed},
        guard::Fate,
        intake::{Intake, Mark, Message},
    },
    tls,
};

/// Larger packets end the connection in `rumqttc`; up to here a payload over the configured limit
/// is refused like any other that is not believed.
pub const MAX_PACKET: usize = 1024 * 1024;
/// Topics in one SUBSCRIBE; small brokers take few.
const FILTERS_PER_SUBSCRIBE: usize = 32;
/// Requests that may wait for the event loop besides the subscriptions.
const REQUESTS: usize = 256;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// TCP, TLS and CONNACK together.
const CONNECT_TIMEOUT_S: u64 = 10;
/// What is not on disk after this will not be: the spool refused it, and the broker has to repeat.
const ACK_STALL: Duration = Duration::from_secs(300);
/// After a stop, what becomes durable within this is still acknowledged.
const STOP_LINGER: Duration = Duration::from_secs(2);
/// A filter that no device has: its UNSUBACK tells that all earlier answers are through.
const BARRIER: &str = "wangge/barrier";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The normal one: the broker keeps for us what comes while we are away.
    Lasting,
    /// Gives up the session and subscribes one topic at a time, to find the one with an oversize
    /// retained message; ends without a fault when all are in.
    Isolate,
}

/// One connection.
pub struct Session<'a> {
    pub broker: &'a Broker,
    pub intake: &'a Arc<Intake>,
    pub clock: Clock,
    pub topics: Vec<String>,
    pub mode: Mode,
    /// How long nobody listened before it.
    pub absence: Duration,
}

/// How it ended.
#[derive(Default)]
pub struct Ended {
    /// `None`: as wanted.
    pub fault: Option<Fault>,
    /// CONNACK had come.
    pub connected: bool,
    /// In [`Mode::Isolate`]: the topic subscribed last.
    pub last_topic: Option<String>,
}

impl Session<'_> {
    pub async fn run(self, out: &mpsc::Sender<Arrival>, stop: &CancellationToken) -> Ended {
        let (client, events) = match self.options() {
            Ok(options) => {
                let subscriptions = self.topics.len() / FILTERS_PER_SUBSCRIBE + 2;
                let (client, mut events) = AsyncClient::new(options, REQUESTS + subscriptions);
                let mut network = events.network_options();
                network.set_tcp_nodelay(true);
                network.set_connection_timeout(CONNECT_TIMEOUT_S);
                events.set_network_options(network);
                (client, events)
            }
            Err(fault) => {
                return Ended {
                    fault: Some(fault),
                    ..Ended::default()
                };
            }
        };
        let (tokens, mut back) = mpsc::unbounded_channel();
        let queue = Mutex::new(AckQueue::default());
        let sent = Mutex::new(Vec::new());
        let mut pump = Pump {
            session: &self,
            client: &client,
            out,
            queue: &queue,
            sent: &sent,
            tokens,
            ended: Ended::default(),
            asked: Vec::new(),
            named: Vec::new(),
        };
        let writer = self.acknowledge(&client, &queue, &sent, &mut back);
        let fault = {
            let work = pump.run(events, stop);
            pin!(work, writer);
            tokio::select! {
                ended = &mut work => ended,
                fault = &mut writer => Some(fault),
                // The pump goes on for a moment, taking nothing new, so that what is being
                // stored can still be acknowledged.
                () = async {
                    stop.cancelled().await;
                    let settled = async {
                        let mut look = interval(Duration::from_millis(10));
                        while !lock(&queue).is_empty() {
                            look.tick().await;
                        }
                    };
                    let _ = timeout(STOP_LINGER, settled).await;
                    // Closes the connection; the session at the broker stays.
                    let _ = client.try_disconnect();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                } => None,
            }
        };
        let ended = Ended {
            fault,
            ..std::mem::take(&mut pump.ended)
        };
        drop(pump);
        let queue = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !queue.is_empty() && ended.fault.is_some() {
            tokio::spawn(remember(self.intake.clone(), queue, back));
        }
        ended
    }

    fn options(&self) -> Result<MqttOptions, Fault> {
        let addr = &self.broker.addr;
        let mut options = MqttOptions::new(&addr.client_id, &addr.host, addr.port);
        options
            .set_clean_session(self.mode == Mode::Isolate || addr.client_id.is_empty())
            .set_manual_acks(true)
            .set_keep_alive(KEEP_ALIVE)
            // We send only subscriptions; this also bounds packet ids.
            .set_inflight(u16::try_from(self.topics.len() + 2).unwrap_or(u16::MAX))
            .set_max_packet_size(self.max_packet(), usize::MAX);
        if let Some(login) = &addr.credentials {
            options.set_credentials(&login.username, &login.password);
        }
        if let Some(tls) = &addr.tls {
            let config = TlsConfiguration::Rustls(tls::client_config(tls)?);
            options.set_transport(Transport::tls_with_config(config));
        }
        Ok(options)
    }

    fn max_packet(&self) -> usize {
        let pictures = self.intake.pictures().topics();
        let picture = if pictures.is_empty() {
            0
        } else {
            MAX_STILL + MAX_PACKET
        };
        MAX_PACKET
            .max(self.broker.max_payload.saturating_mul(2))
            .max(picture)
    }

    /// Turns what has reached the disk into acknowledgements, in order.
    async fn acknowledge(
        &self,
        client: &AsyncClient,
        queue: &Mutex<AckQueue>,
        sent: &Mutex<Vec<Mark>>,
        back: &mut UnboundedReceiver<u64>,
    ) -> Fault {
        let mut batch = Vec::new();
        let mut ready = Vec::new();
        let mut look = interval(ACK_STALL / 12);
        loop {
            tokio::select! {
                _ = back.recv_many(&mut batch, 1024) => {}
                _ = look.tick() => {
                    let now = self.clock.now().mono;
                    let oldest = lock(queue).oldest();
                    if oldest.is_some_and(|since| now.saturating_sub(since) > ACK_STALL) {
                        return Fault::Stalled(ACK_STALL);
                    }
                }
            }
            {
                let mut queue = lock(queue);
                for token in batch.drain(..) {
                    queue.done(token);
                }
                ready.extend(std::iter::from_fn(|| queue.pop()));
            }
            for (owed, mark) in ready.drain(..) {
                if let Some(mark) = mark {
                    self.intake.settle(mark, Fate::Durable);
                }
                if client.ack(&answered(owed)).await.is_err() {
                    return Fault::Lost("its event loop has ended".to_owned());
                }
                lock(sent).extend(mark);
            }
        }
    }
}

/// What `AsyncClient::ack` wants to see.
fn answered(owed: Owed) -> Publish {
    let (qos, pkid) = match owed {
        Owed::PubAck(id) => (QoS::AtLeastOnce, id),
        Owed::PubRec(id) => (QoS::ExactlyOnce, id),
    };
    let mut publish = Publish::new("", qos, Vec::new());
    publish.pkid = pkid;
    publish
}

/// The connection has gone before all was on disk: what gets there yet is known when the broker
/// repeats it.
async fn remember(intake: Arc<Intake>, mut queue: AckQueue, mut back: UnboundedReceiver<u64>) {
    let settle = async {
        while let Some(token) = back.recv().await {
            if let Some(mark) = queue.done(token) {
                intake.settle(mark, Fate::Durable);
            }
        }
    };
    let _ = timeout(ACK_STALL, settle).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one task that polls, and does nothing else that could wait but passing on.
struct Pump<'a> {
    session: &'a Session<'a>,
    client: &'a AsyncClient,
    out: &'a mpsc::Sender<Arrival>,
    queue: &'a Mutex<AckQueue>,
    /// Acknowledged since the broker last gave a sign of life.
    sent: &'a Mutex<Vec<Mark>>,
    tokens: UnboundedSender<u64>,
    ended: Ended,
    /// Topics of the SUBSCRIBEs that have not gone out yet, in order.
    asked: Vec<Vec<String>>,
    /// Packet ids of those that have.
    named: Vec<(u16, Vec<String>)>,
}

impl Pump<'_> {
    /// Polls until something ends it; `None` when an isolation has found nothing (more).
    async fn run(&mut self, mut events: EventLoop, stop: &CancellationToken) -> Option<Fault> {
        if self.session.mode == Mode::Lasting {
            let chunks: Vec<_> = self.session.topics.chunks(FILTERS_PER_SUBSCRIBE).collect();
            for chunk in chunks {
                self.subscribe(chunk);
            }
        }
        let mut isolating = self.session.topics.clone().into_iter();
        loop {
            // Never cancelled but by the end of the connection: its cancel safety is not stated.
            let event = match events.poll().await {
                Ok(event) => event,
                Err(e) => return Some(Fault::from_poll(e, self.session.max_packet())),
            };
            if matches!(event, Event::Incoming(_)) {
                for mark in lock(self.sent).drain(..) {
                    self.session.intake.settle(mark, Fate::Acknowledged);
                }
            }
            match event {
                Event::Incoming(Incoming::ConnAck(ack)) => {
                    self.ended.connected = true;
                    self.connected(ack.session_present);
                    if self.session.mode == Mode::Isolate && !self.isolate(&mut isolating) {
                        return None;
                    }
                }
                Event::Incoming(Incoming::UnsubAck(_))
                    if self.session.mode == Mode::Isolate && !self.isolate(&mut isolating) =>
                {
                    return None;
                }
                Event::Incoming(Incoming::SubAck(ack)) => {
                    self.subscribed(ack.pkid, &ack.return_codes);
                }
                Event::Outgoing(Outgoing::Subscribe(id)) if !self.asked.is_empty() => {
                    let topics = self.asked.remove(0);
                    self.named.push((id, topics));
                }
                // While stopping, what comes is left for the next session.
                Event::Incoming(Incoming::Publish(p))
                    if !stop.is_cancelled() && !self.publish(&p).await =>
                {
                    return Some(Fault::PipelineEnded);
                }
                _ => {}
            }
        }
    }

    fn subscribe(&mut self, topics: &[String]) {
        let filters = topics.iter().map(|topic| {
            let pictures = self.session.intake.pictures().has_topic(topic);
            // The broker is not to keep pictures for us: old ones are worth nothing.
            let qos = if pictures {
                QoS::AtMostOnce
            } else {
                QoS::AtLeastOnce
            };
            SubscribeFilter::new(topic.clone(), qos)
        });
        // The channel has room for all of them.
        if let Err(error) = self
            .client
            .try_subscribe_many(Subscribe::new_many(filters).filters)
        {
            tracing::warn!(broker = %self.session.broker.name, %error, "SUBSCRIBE not sent");
        }
        self.asked.push(topics.to_vec());
    }

    /// Subscribes the next topic, with a barrier behind it; false when there is none.
    fn isolate(&mut self, topics: &mut impl Iterator<Item = String>) -> bool {
        let Some(topic) = topics.next() else {
            return false;
        };
        self.subscribe(std::slice::from_ref(&topic));
        let _ = self.client.try_unsubscribe(BARRIER);
        self.ended.last_topic = Some(topic);
        true
    }

    fn connected(&self, session_present: bool) {
        let Session { broker, intake, .. } = self.session;
        tracing::info!(broker = %broker.name, session_present, "connected");
        if session_present {
            intake.grant(None, self.session.absence);
        }
    }

    fn subscribed(&mut self, id: u16, codes: &[SubscribeReasonCode]) {
        let Some(at) = self.named.iter().position(|(named, _)| *named == id) else {
            return;
        };
        let (_, topics) = self.named.swap_remove(at);
        for (topic, code) in topics.iter().zip(codes) {
            if matches!(code, SubscribeReasonCode::Failure) {
                tracing::warn!(
                    broker = %self.session.broker.name,
                    topic,
                    "the broker refuses the subscription: its ACL does not let us read the topic"
                );
            }
        }
    }

    /// False: nobody takes arrivals any more.
    async fn publish(&mut self, p: &Publish) -> bool {
        let now = self.session.clock.now();
        let message = Message {
            topic: &p.topic,
            payload: &p.payload,
            dup: p.dup,
            retain: p.retain,
            waits: p.qos != QoS::AtMostOnce,
            login: None,
        };
        let taken = self.session.intake.take(message, now);
        if self.session.mode == Mode::Lasting && !self.session.intake.has_topic(&p.topic) {
            // A device that is no longer configured, remembered by the session at the broker.
            let _ = self.client.try_unsubscribe(&p.topic);
        }
        if let Some(report) = taken.report
            && self.out.send(*report).await.is_err()
        {
            return false;
        }
        let owed = match p.qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(Owed::PubAck(p.pkid)),
            QoS::ExactlyOnce => Some(Owed::PubRec(p.pkid)),
        };
        let mut arrival = taken.arrival;
        if let Some(owed) = owed {
            let token = lock(self.queue).push(owed, taken.mark, now.mono);
            let ack = Ack {
                to: self.tokens.clone(),
                token,
            };
            match &mut arrival {
                Some(arrival) => arrival.ack = Some(ack),
                // Nothing to store: it only waits for those before it.
                None => ack.done(),
            }
        }
        match arrival {
            Some(arrival) => self.out.send(arrival).await.is_ok(),
            None => true,
        }
    }
}
