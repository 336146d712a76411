//! A broker that devices publish to: subscribed with a lasting session, every message
//! acknowledged only when its consequences are on disk, so that the broker keeps what we lose.
//!
//! `run` is the retry, [`session`] one connection. A connection gets a new client and event loop:
//! `rumqttc` 0.25 carries requests, packet ids and collisions of an old connection into the next,
//! and an acknowledgement must never reach a connection for which it was not meant.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::Rng;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{intake::Intake, pictures::Pictures};
use crate::{
    bilingual::text,
    clock::Clock,
    config::{self, Device},
    counters::SourceCounters,
    observation::Arrival,
};

mod fault;
mod session;

use fault::Fault;
use session::{Mode, Session};

/// First and longest wait before connecting again; each is drawn between half and all of it.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A connection that held for this long was a good one: the wait starts again from the least.
const GOOD_AFTER: Duration = Duration::from_secs(30);
/// How long we are taken to have been away when a session waits for us at the first connection.
const FIRST_ABSENCE: Duration = Duration::from_secs(600);
/// Connections in a row that may end with an oversize packet before the session is given up to
/// get rid of it.
const OVERSIZE_STRIKES: u32 = 2;
/// A topic with an oversize retained message is tried again after this.
const POISON_RETRY: Duration = Duration::from_secs(3600);

/// Receives from `broker` until `stop`.
pub async fn run(
    broker: config::Broker,
    devices: Vec<Arc<Device>>,
    pictures: Pictures,
    out: mpsc::Sender<Arrival>,
    clock: Clock,
    counters: Arc<SourceCounters>,
    stop: CancellationToken,
) {
    let intake = Intake::new(
        broker.name.clone(),
        broker.max_payload,
        &devices,
        counters.clone(),
        clock.now(),
    );
    let intake = Arc::new(intake.with_pictures(pictures));
    let releases = super::report_releases(&intake, out.clone(), clock, &stop);
    let client = Client {
        broker,
        intake: intake.clone(),
        clock,
        counters,
        poisoned: HashMap::new(),
        oversize: 0,
        lost: None,
        told: None,
        wait: BACKOFF_MIN,
    };
    tokio::join!(client.connect(out, &stop), releases);
}

/// What outlives a connection.
struct Client {
    broker: config::Broker,
    intake: Arc<Intake>,
    clock: Clock,
    counters: Arc<SourceCounters>,
    /// Topics left out because of an oversize retained message, and since when.
    poisoned: HashMap<String, Duration>,
    /// Connections in a row that an oversize packet ended.
    oversize: u32,
    /// When the last connection ended.
    lost: Option<Duration>,
    /// The fault that was reported last; the same again is not news.
    told: Option<String>,
    wait: Duration,
}

impl Client {
    async fn connect(mut self, out: mpsc::Sender<Arrival>, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let mode = if self.oversize >= OVERSIZE_STRIKES {
                Mode::Isolate
            } else {
                Mode::Lasting
            };
            let topics = self.topics();
            let session = Session {
                broker: &self.broker,
                intake: &self.intake,
                clock: self.clock,
                topics,
                mode,
                absence: self.lost.map_or(FIRST_ABSENCE, |lost| {
                    self.clock.now().mono.saturating_sub(lost)
                }),
            };
            let start = self.clock.now().mono;
            let ended = session.run(&out, stop).await;
            self.counters.faults.add(u64::from(ended.fault.is_some()));
            let now = self.clock.now().mono;
            if ended.connected {
                self.lost = Some(now);
            }
            if now.saturating_sub(start) >= GOOD_AFTER {
                self.wait = BACKOFF_MIN;
                self.oversize = 0;
            }
            let Some(fault) = ended.fault else {
                if mode == Mode::Isolate {
                    self.oversize = 0;
                    continue;
                }
                return;
            };
            if matches!(fault, Fault::PipelineEnded) {
                return;
            }
            self.tell(&fault, ended.connected);
            self.consider(&fault, mode, ended.last_topic, &out).await;
            let wait = rand::rng().random_range(self.wait / 2..=self.wait);
            self.wait = (self.wait * 2).min(BACKOFF_MAX);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn topics(&mut self) -> Vec<String> {
        let now = self.clock.now().mono;
        self.poisoned
            .retain(|_, since| now.saturating_sub(*since) < POISON_RETRY);
        let mut topics = self.intake.topics();
        topics.retain(|topic| !self.poisoned.contains_key(topic));
        topics
    }

    /// Once per change: a broker that is down for a day is one line.
    fn tell(&mut self, fault: &Fault, connected: bool) {
        let said = fault.to_string();
        let addr = &self.broker.addr;
        let (broker, host, port) = (&self.broker.name, &addr.host, addr.port);
        if connected || self.told.as_ref() != Some(&said) {
            tracing::warn!(%broker, host, port, "{said}; trying again");
        } else {
            tracing::debug!(%broker, host, port, "{said}; trying again");
        }
        self.told = Some(said);
    }

    /// What a fault means for the next connection.
    async fn consider(
        &mut self,
        fault: &Fault,
        mode: Mode,
        last_topic: Option<String>,
        out: &mpsc::Sender<Arrival>,
    ) {
        let Fault::Oversize { len, max } = fault else {
            return;
        };
        self.oversize += 1;
        if mode == Mode::Lasting {
            if self.oversize == OVERSIZE_STRIKES {
                tracing::warn!(
                    broker = %self.broker.name,
                    "the oversize message comes again and again: giving up the session at the \
                     broker, with whatever waits there, and looking for its topic. Limit the \
                     size at the broker (Mosquitto: max_packet_size)"
                );
                self.wait = BACKOFF_MIN;
            }
            return;
        }
        let Some(topic) = last_topic else { return };
        let reason = text(
            format!(
                "MQTT 服务器在主题 {topic:?} 上保留了 {len} 字节的报文,上限 {max} 字节;\
                 该主题停收一小时,请用空的保留报文清除"
            ),
            format!(
                "the broker retains a message of {len} bytes on {topic:?}, at most {max} are taken; \
                 the topic is left out for an hour. Clear it with an empty retained message"
            ),
        );
        self.poisoned.insert(topic.clone(), self.clock.now().mono);
        self.wait = BACKOFF_MIN;
        if let Some(report) = self.intake.quarantine(&topic, reason, self.clock.now()) {
            // A closed pipeline means that we are stopping.
            let _ = out.send(report).await;
        }
    }
}

#[cfg(test)]
mod tests;
