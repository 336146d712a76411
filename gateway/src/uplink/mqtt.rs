//! The uplink to an MQTT broker.
//!
//! Topics: `<prefix>/alerts`, `<prefix>/gaps`, `<prefix>/telemetry/<stream>`,
//! `<prefix>/answers`, `<prefix>/evidence/<sha256>`; the platform answers on
//! `<prefix>/receipts`, and decides on `<prefix>/verdicts` and `<prefix>/commands`. A picture in
//! pieces goes to `<prefix>/evidence/<sha256>/<offset>/<total>`, an empty message at offset 0 asks
//! how much of it is there.
//!
//! MQTT 5 is tried first, because only its PUBACK says whether the broker kept a message
//! (Mosquitto acknowledges over 3.1.1 what its ACL drops). A broker that speaks 3.1.1 only gets
//! that; with [`Border::Broker`] it must then be one that never acknowledges what it drops.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use futures_util::StreamExt;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::{
    MAX_PICTURE,
    fault::{Fault, FaultKind},
    lane::Token,
    link::{Content, Parcel, Piece, Report},
    pace::Backoff,
    wire::{Connection, Denial, INFLIGHT, Version, Wire},
};
use crate::{
    config::{Border, BrokerAddr},
    down::{ANSWERS, inbox},
    spool::Class,
    tls,
};

/// Ends of the topics that the platform decides on.
const VERDICTS: &str = "verdicts";
const COMMANDS: &str = "commands";
/// Topic, packet id and fixed header around a payload, generously.
const PACKET_OVERHEAD: usize = 1_024;
/// Without any PUBACK for so long (and the time that the largest message takes at
/// [`SLOWEST_LINK`]) the connection is given up, although it still answers pings.
const STALL: Duration = Duration::from_secs(20);
/// Bytes a second that a link must carry.
const SLOWEST_LINK: u64 = 4_096;
/// Subscribing takes a round trip; a broker that has not answered by then never will.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// A connection that stood so long was a good one: the back-off starts over.
const GOOD: Duration = Duration::from_secs(10);

const RETRY: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(30),
};
/// A broker that takes the connection and does not answer may be overrun by stations that all
/// come back: it spends its time on those that have given up meanwhile, and only their staying
/// away longer gets it out of that (`tests/storm.rs`).
const RETRY_SILENT: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(120),
};
/// A broker on this machine that refuses connections is being restarted; asking it every two
/// seconds costs one packet and lets the backlog drain promptly. One elsewhere may serve
/// thousands of stations, which must not do so; a private address says nothing about that.
const RETRY_HERE: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_millis(1_500),
};
/// A wrong password does not become right by asking often, and may lock the account.
const RETRY_LOGIN: Backoff = Backoff {
    base: Duration::from_secs(20),
    cap: Duration::from_secs(60),
};

/// See the module.
#[derive(Debug)]
pub struct Mqtt {
    name: String,
    addr: BrokerAddr,
    prefix: String,
    border: Border,
    /// Whether verdicts and commands are taken.
    listens: bool,
    keep_alive: Duration,
    version: Version,
    /// A connection with `version` succeeded once.
    proven: bool,
    session: Option<Session>,
    failures: u32,
    retry_at: Instant,
    /// What was last complained about; a repeat is not news.
    complaint: Option<String>,
    /// It was said that verdicts cannot be read.
    deaf: bool,
    rng: StdRng,
}

#[derive(Debug)]
struct Session {
    connection: Connection,
    ready: bool,
    since: Instant,
    inflight: usize,
    max_packet: usize,
    /// Given to the event loop, which has not yet named their packet ids.
    handed: VecDeque<(Token, usize)>,
    unacked: HashMap<u16, (Token, usize)>,
    /// The last moment at which the broker took something, or had nothing to take.
    progress: Instant,
}

impl Session {
    fn waiting(&self) -> usize {
        self.handed.len() + self.unacked.len()
    }

    /// When to give it up if nothing happens until then.
    fn deadline(&self) -> Option<Instant> {
        if !self.ready {
            return Some(self.since + HANDSHAKE);
        }
        let waiting = self.handed.iter().chain(self.unacked.values());
        let largest = waiting.map(|(_, bytes)| *bytes as u64).max()?;
        Some(self.progress + STALL + Duration::from_secs(largest / SLOWEST_LINK))
    }
}

impl Mqtt {
    /// Connects in [`Mqtt::next`].
    pub fn new(
        name: &str,
        addr: BrokerAddr,
        prefix: String,
        border: Border,
        listens: bool,
        keep_alive: Duration,
        seed: u64,
    ) -> Self {
        Mqtt {
            keep_alive,
            name: name.to_owned(),
            addr,
            prefix,
            border,
            listens,
            version: Version::V5,
            proven: false,
            session: None,
            failures: 0,
            retry_at: Instant::now(),
            complaint: None,
            deaf: false,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// See [`super::link::Link::room`].
    pub fn room(&self) -> usize {
        self.session
            .as_ref()
            .filter(|s| s.ready)
            .map_or(0, |s| s.inflight.saturating_sub(s.waiting()))
    }

    /// See [`super::link::Link::max_payload`].
    pub fn max_payload(&self) -> usize {
        self.session.as_ref().map_or(MAX_PICTURE, |s| {
            s.max_packet.saturating_sub(PACKET_OVERHEAD)
        })
    }

    /// See [`super::link::Link::send`].
    pub fn send(&mut self, parcel: Parcel) {
        let topic = self.topic(&parcel.content);
        let Some(session) = &mut self.session else {
            return;
        };
        if session.waiting() == 0 {
            session.progress = Instant::now();
        }
        let bytes = parcel.bytes.len();
        // A refusal means that the event loop ended, which `next` reports and the queue mends.
        if session.connection.publish(topic, parcel.bytes).is_ok() {
            session.handed.push_back((parcel.token, bytes));
        }
    }

    fn topic(&self, content: &Content) -> String {
        let prefix = &self.prefix;
        match content {
            Content::Picture {
                sha256,
                piece,
                total,
                ..
            } => match piece {
                Piece::Whole => format!("{prefix}/evidence/{sha256}"),
                Piece::Ask => format!("{prefix}/evidence/{sha256}/0/{total}"),
                Piece::Part { offset, .. } => {
                    format!("{prefix}/evidence/{sha256}/{offset}/{total}")
                }
            },
            Content::Event { class, stream } => match class {
                // Alerts, and what is as precious: digests.
                Class::Alert => format!("{prefix}/{stream}"),
                Class::Gap if stream == ANSWERS => format!("{prefix}/{ANSWERS}"),
                Class::Gap => format!("{prefix}/gaps"),
                Class::Telemetry => format!("{prefix}/telemetry/{stream}"),
            },
        }
    }

    /// See [`super::link::Link::next`].
    pub async fn next(&mut self) -> Report {
        loop {
            let Some(session) = &mut self.session else {
                sleep_until(self.retry_at).await;
                self.open();
                continue;
            };
            let wire = match session.deadline() {
                Some(deadline) => timeout_at(deadline, session.connection.events.next()).await,
                None => Ok(session.connection.events.next().await),
            };
            let wire = match wire {
                Ok(Some(wire)) => wire,
                Ok(None) => Wire::Lost(Fault::new(FaultKind::Closed, "the connection ended")),
                Err(_) => Wire::Lost(Fault::new(
                    FaultKind::Silent,
                    "the broker takes nothing any more although the connection stands",
                )),
            };
            if let Some(report) = self.take(wire) {
                return report;
            }
        }
    }

    fn open(&mut self) {
        // Read at every attempt, so that a renewed certificate or CA needs no restart.
        let tls = match self.addr.tls.as_ref().map(tls::client_config).transpose() {
            Ok(tls) => tls,
            Err(e) => return self.fail(&Fault::new(FaultKind::Tls, e.to_string())),
        };
        let max_packet = MAX_PICTURE + PACKET_OVERHEAD;
        let now = Instant::now();
        self.session = Some(Session {
            connection: Connection::new(&self.addr, tls, self.version, self.keep_alive, max_packet),
            ready: false,
            since: now,
            inflight: usize::from(INFLIGHT),
            max_packet,
            handed: VecDeque::new(),
            unacked: HashMap::new(),
            progress: now,
        });
    }

    fn take(&mut self, wire: Wire) -> Option<Report> {
        let session = self.session.as_mut()?;
        match wire {
            Wire::Other => None,
            Wire::Connected {
                max_packet,
                receive_max,
            } => {
                if let Some(max) = max_packet {
                    session.max_packet = session.max_packet.min(max);
                }
                if let Some(max) = receive_max {
                    session.inflight = session.inflight.min(usize::from(max));
                }
                self.proven = true;
                if self.border == Border::Broker {
                    return Some(self.ready());
                }
                let topic = format!("{}/receipts", self.prefix);
                match session.connection.subscribe(&topic) {
                    Ok(()) => None,
                    Err(_) => Some(self.lost(&Fault::new(
                        FaultKind::Closed,
                        "the connection ended before the subscription to receipts",
                    ))),
                }
            }
            Wire::Subscribed(asked) if session.ready => {
                // Alerts go all the same; who reads the log gives the right.
                if let Err(reason) = asked
                    && !std::mem::replace(&mut self.deaf, true)
                {
                    warn!(
                        uplink = self.name,
                        "the broker does not let {:?} read {}/verdicts and {}/commands ({reason}): none will come",
                        self.addr.client_id,
                        self.prefix,
                        self.prefix
                    );
                }
                None
            }
            Wire::Subscribed(Ok(())) => Some(self.ready()),
            Wire::Subscribed(Err(reason)) => {
                let text = format!(
                    "the broker does not let {:?} read {}/receipts ({reason}); its ACL must allow it",
                    self.addr.client_id, self.prefix
                );
                Some(self.lost(&Fault::new(FaultKind::Login, text)))
            }
            Wire::Published(pkid) => {
                if let Some(parcel) = session.handed.pop_front() {
                    session.unacked.insert(pkid, parcel);
                }
                None
            }
            Wire::Acked(pkid, denial) => {
                session.progress = Instant::now();
                let (token, _) = session.unacked.remove(&pkid)?;
                match denial {
                    None => {
                        self.failures = 0;
                        Some(Report::Transmitted(token))
                    }
                    Some(Denial { reason, lasting }) => {
                        self.complain(&reason);
                        Some(match lasting {
                            true => Report::Refused(token, reason),
                            false => Report::Failed(token),
                        })
                    }
                }
            }
            Wire::Message(topic, payload) => Some(match topic.rsplit('/').next() {
                Some(VERDICTS) => Report::Came(inbox::verdicts(&payload)),
                Some(COMMANDS) => Report::Came(inbox::commands(&payload)),
                _ => match super::receipts(&payload) {
                    Some(receipts) => Report::Receipts(receipts),
                    None => Report::Garbled,
                },
            }),
            Wire::Lost(fault) => Some(self.lost(&fault)),
        }
    }

    fn ready(&mut self) -> Report {
        let speaks = match self.version {
            Version::V4 => "3.1.1",
            Version::V5 => "5",
        };
        info!(
            uplink = self.name,
            host = self.addr.host,
            port = self.addr.port,
            "connected, MQTT {speaks}"
        );
        if self.version == Version::V4 && self.border == Border::Broker {
            warn!(
                uplink = self.name,
                "this broker speaks MQTT 3.1.1 only, so its acknowledgement does not tell whether it kept a message; deliver by receipt, or make sure that it never drops what it acknowledges"
            );
        }
        if let Some(session) = &mut self.session {
            session.ready = true;
            session.progress = Instant::now();
            if self.listens {
                // A connection that has ended says so by itself.
                for topic in [VERDICTS, COMMANDS] {
                    let topic = format!("{}/{topic}", self.prefix);
                    let _ = session.connection.subscribe(&topic);
                }
            }
        }
        self.complaint = None;
        Report::Connected
    }

    fn lost(&mut self, fault: &Fault) -> Report {
        let session = self.session.take();
        if session.is_some_and(|s| s.ready && s.since.elapsed() >= GOOD) {
            self.failures = 0;
        }
        let unheard = matches!(fault.kind, FaultKind::Protocol | FaultKind::Closed);
        if unheard && !self.proven {
            // Perhaps it does not know this version; it says so in one of many ways.
            self.version = match self.version {
                Version::V5 => Version::V4,
                Version::V4 => Version::V5,
            };
        }
        self.fail(fault);
        Report::Lost {
            closed: fault.kind == FaultKind::Closed,
        }
    }

    fn fail(&mut self, fault: &Fault) {
        let backoff = backoff(fault.kind, nearby(&self.addr.host));
        let wait = backoff.delay(self.failures, &mut self.rng);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Instant::now() + wait;
        self.complain(&fault.text);
        debug!(uplink = self.name, ?wait, "next attempt");
    }

    /// What last went wrong.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    fn complain(&mut self, text: &str) {
        if self.complaint.as_deref() != Some(text) {
            warn!(
                uplink = self.name,
                host = self.addr.host,
                port = self.addr.port,
                "{text}; trying again, nothing is lost"
            );
            self.complaint = Some(text.to_owned());
        }
    }

    /// Disconnects in MQTT's way, so that the broker does not report a lost client.
    pub async fn close(mut self) {
        const GOODBYE: Duration = Duration::from_millis(500);
        let Some(session) = &mut self.session else {
            return;
        };
        if session.ready && session.connection.disconnect().is_ok() {
            let drained = async {
                while let Some(wire) = session.connection.events.next().await {
                    if matches!(wire, Wire::Lost(_)) {
                        break;
                    }
                }
            };
            // A broker that does not hear the goodbye loses nothing by it.
            let _ = timeout(GOODBYE, drained).await;
        }
    }
}

/// How to wait after a failure of this kind; `nearby` says that nobody else uses this broker.
pub(super) fn backoff(kind: FaultKind, nearby: bool) -> Backoff {
    match kind {
        FaultKind::Login => RETRY_LOGIN,
        FaultKind::Refused if nearby => RETRY_HERE,
        FaultKind::Silent => RETRY_SILENT,
        _ => RETRY,
    }
}

/// Whether a host can only be this machine's or its immediate neighbour.
fn nearby(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unicast_link_local(),
        Err(_) => host == "localhost" || host.ends_with(".local"),
    }
}
