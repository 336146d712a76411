//! MQTT 5 and MQTT 3.1.1 as one: a connection that is tried once, and its events.
//!
//! `rumqttc` keeps a queue of its own that it drops when the broker forgets the session, and a
//! packet id collision that survives its clean-up (rumqttc#863, #1056). So an event loop serves
//! one connection only, and everything that has no receipt is sent again by the queue.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use rumqttc::{
    NetworkOptions, QoS, TlsConfiguration, Transport,
    v5::{self, mqttbytes::v5 as p5},
};

use super::fault::{Fault, FaultKind};
use crate::config::BrokerAddr;

/// Publishes on their way at once. 100 is what Mosquitto holds for a subscriber by default; on
/// loopback it is not the limit, over a 50 ms line it still carries 2,000 messages a second.
pub const INFLIGHT: u16 = 100;
/// Connecting, with TLS, over a bad line.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Silence after which a ping is sent; two of them without an answer end the connection.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The same where every byte counts: 10 s would cost 70 MB a month.
pub const KEEP_ALIVE_METERED: Duration = Duration::from_secs(60);
/// Largest packet taken from the broker; receipts are small.
const MAX_INCOMING: u32 = 256 * 1024;

/// Protocol version to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.1.1: a PUBACK also comes for what the broker drops.
    V4,
    /// 5.0: a PUBACK says whether it was accepted.
    V5,
}

/// What a broker says about a publish that it did not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub reason: String,
    /// About this message's bytes, so that sending it again cannot help.
    pub lasting: bool,
}

/// One event of a connection.
#[derive(Debug)]
pub enum Wire {
    /// CONNACK, and the limits that it sets.
    Connected {
        max_packet: Option<usize>,
        receive_max: Option<u16>,
    },
    Subscribed(Result<(), String>),
    /// The next publish in the order of sending got this packet id.
    Published(u16),
    Acked(u16, Option<Denial>),
    /// Topic and payload.
    Message(String, Bytes),
    /// Pings and the like.
    Other,
    /// The connection is over; nothing comes after it.
    Lost(Fault),
}

enum Client {
    V4(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// One connection.
pub struct Connection {
    client: Client,
    pub events: Pin<Box<dyn Stream<Item = Wire> + Send>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A request could not be handed to the event loop, which has ended.
#[derive(Debug)]
pub struct Ended;

impl Connection {
    /// Opens nothing yet: the first `events.next()` connects.
    pub fn new(
        addr: &BrokerAddr,
        tls: Option<Arc<rustls::ClientConfig>>,
        version: Version,
        keep_alive: Duration,
        max_outgoing: usize,
    ) -> Self {
        // Room for all that may be in flight, two pictures that were read meanwhile, three
        // subscriptions and a goodbye: a request never waits.
        let channel = usize::from(INFLIGHT) + 6;
        let transport = match tls {
            Some(config) => Transport::tls_with_config(TlsConfiguration::Rustls(config)),
            None => Transport::Tcp,
        };
        // An IPv6 address needs brackets where a port follows, but not where TLS compares names.
        let host = match (&addr.tls, addr.host.contains(':')) {
            (None, true) => format!("[{}]", addr.host),
            _ => addr.host.clone(),
        };
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
        match version {
            Version::V5 => {
                let mut options = v5::MqttOptions::new(&addr.client_id, host, addr.port);
                options
                    .set_transport(transport)
                    .set_clean_start(true)
                    .set_keep_alive(keep_alive)
                    .set_connection_timeout(CONNECT_TIMEOUT.as_secs())
                    .set_max_packet_size(Some(MAX_INCOMING))
                    .set_network_options(network)
                    .set_outgoing_inflight_upper_limit(INFLIGHT);
                if let Some(login) = &addr.credentials {
                    options.set_credentials(&login.username, &login.password);
                }
                let (client, events) = v5::AsyncClient::new(options, channel);
                Connection {
                    client: Client::V5(client),
                    events: Box::pin(stream::unfold(Some(events), |events| async {
                        let mut events = events?;
                        match events.poll().await {
                            Ok(event) => Some((from_v5(event), Some(events))),
                            Err(e) => Some((Wire::Lost(fault_v5(&e)), None)),
                        }
                    })),
                }
            }
            Version::V4 => {
                let mut options = rumqttc::MqttOptions::new(&addr.client_id, host, addr.port);
                options
                    .set_transport(transport)
                    .set_clean_session(true)
                    .set_keep_alive(keep_alive)
                    .set_max_packet_size(MAX_INCOMING as usize, max_outgoing)
                    .set_inflight(INFLIGHT);
                if let Some(login) = &addr.credentials {
                    options.set_credentials(&login.username, &login.password);
                }
                let (client, mut events) = rumqttc::AsyncClient::new(options, channel);
                events.set_network_options(network);
                Connection {
                    client: Client::V4(client),
                    events: Box::pin(stream::unfold(Some(events), |events| async {
                        let mut events = events?;
                        match events.poll().await {
                            Ok(event) => Some((from_v4(event), Some(events))),
                            Err(e) => Some((Wire::Lost(fault_v4(&e)), None)),
                        }
                    })),
                }
            }
        }
    }

    /// QoS 1, not retained.
    pub fn publish(&self, topic: String, payload: Bytes) -> Result<(), Ended> {
        match &self.client {
            Client::V4(client) => client
                .try_publish(topic, QoS::AtLeastOnce, false, payload)
                .map_err(|_| Ended),
            Client::V5(client) => client
                .try_publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload)
                .map_err(|_| Ended),
        }
    }

    /// QoS 0: a receipt that is lost costs one repeat, and the broker keeps nothing for it. At
    /// QoS 1 a NATS cluster makes a replicated consumer for each station (ADR 0022).
    pub fn subscribe(&self, topic: &str) -> Result<(), Ended> {
        match &self.client {
            Client::V4(client) => client
                .try_subscribe(topic, QoS::AtMostOnce)
                .map_err(|_| Ended),
            Client::V5(client) => client
                .try_subscribe(topic, v5::mqttbytes::QoS::AtMostOnce)
                .map_err(|_| Ended),
        }
    }

    /// Asks for a clean end; the events end with it.
    pub fn disconnect(&self) -> Result<(), Ended> {
        match &self.client {
            Client::V4(client) => client.try_disconnect().map_err(|_| Ended),
            Client::V5(client) => client.try_disconnect().map_err(|_| Ended),
        }
    }
}

fn from_v4(event: rumqttc::Event) -> Wire {
    use rumqttc::{Event, Outgoing, Packet, SubscribeReasonCode};
    match event {
        Event::Incoming(Packet::ConnAck(_)) => Wire::Connected {
            max_packet: None,
            receive_max: None,
        },
        Event::Incoming(Packet::SubAck(ack)) => Wire::Subscribed(
            match ack
                .return_codes
                .iter()
                .all(|c| matches!(c, SubscribeReasonCode::Success(_)))
            {
                true => Ok(()),
                false => Err("refused".to_owned()),
            },
        ),
        Event::Outgoing(Outgoing::Publish(pkid)) => Wire::Published(pkid),
        Event::Incoming(Packet::PubAck(ack)) => Wire::Acked(ack.pkid, None),
        Event::Incoming(Packet::Publish(message)) => Wire::Message(message.topic, message.payload),
        _ => Wire::Other,
    }
}

fn from_v5(event: v5::Event) -> Wire {
    use v5::Event;
    match event {
        Event::Incoming(p5::Packet::ConnAck(ack)) => {
            let properties = ack.properties.as_ref();
            Wire::Connected {
                max_packet: properties
                    .and_then(|p| p.max_packet_size)
                    .and_then(|m| usize::try_from(m).ok()),
                receive_max: properties.and_then(|p| p.receive_max),
            }
        }
        Event::Incoming(p5::Packet::SubAck(ack)) => Wire::Subscribed(
            match ack
                .return_codes
                .iter()
                .find(|c| !matches!(c, p5::SubscribeReasonCode::Success(_)))
            {
                None => Ok(()),
                Some(code) => Err(format!("{code:?}")),
            },
        ),
        Event::Outgoing(rumqttc::Outgoing::Publish(pkid)) => Wire::Published(pkid),
        Event::Incoming(p5::Packet::PubAck(ack)) => Wire::Acked(ack.pkid, denial(ack.reason)),
        Event::Incoming(p5::Packet::Publish(message)) => {
            let topic = String::from_utf8_lossy(&message.topic).into_owned();
            Wire::Message(topic, message.payload)
        }
        _ => Wire::Other,
    }
}

/// MQTT 5.0 §3.4.2.1. "No matching subscribers" is an acceptance: a durable broker may store
/// without one.
fn denial(reason: p5::PubAckReason) -> Option<Denial> {
    use p5::PubAckReason as R;
    let lasting = match reason {
        R::Success | R::NoMatchingSubscribers => return None,
        R::TopicNameInvalid | R::PayloadFormatInvalid => true,
        // An ACL, a quota, a bug: the operator's to mend, and the message is good after that.
        R::NotAuthorized
        | R::QuotaExceeded
        | R::UnspecifiedError
        | R::ImplementationSpecificError
        | R::PacketIdentifierInUse => false,
    };
    Some(Denial {
        reason: format!("the broker answers {reason:?}"),
        lasting,
    })
}

fn fault_v4(error: &rumqttc::ConnectionError) -> Fault {
    use rumqttc::{ConnectReturnCode as Code, ConnectionError as E, StateError as S};
    let kind = match error {
        E::NetworkTimeout | E::FlushTimeout | E::MqttState(S::AwaitPingResp) => FaultKind::Silent,
        E::MqttState(S::ConnectionAborted) => FaultKind::Closed,
        E::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized) => FaultKind::Login,
        E::ConnectionRefused(_) | E::NotConnAck(_) | E::MqttState(S::Deserialization(_)) => {
            FaultKind::Protocol
        }
        other => return Fault::of(other),
    };
    Fault::new(kind, error.to_string())
}

fn fault_v5(error: &v5::ConnectionError) -> Fault {
    use p5::ConnectReturnCode as Code;
    use v5::{ConnectionError as E, StateError as S, mqttbytes::Error as P};
    let kind = match error {
        E::Timeout(_) | E::MqttState(S::AwaitPingResp) => FaultKind::Silent,
        E::MqttState(S::ConnectionAborted | S::ServerDisconnect { .. }) => FaultKind::Closed,
        E::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized | Code::Banned) => {
            FaultKind::Login
        }
        E::MqttState(S::Deserialization(P::Io(io))) => return Fault::of(io),
        E::ConnectionRefused(_) | E::NotConnAck(_) | E::MqttState(S::Deserialization(_)) => {
            FaultKind::Protocol
        }
        other => return Fault::of(other),
    };
    Fault::new(kind, error.to_string())
}
