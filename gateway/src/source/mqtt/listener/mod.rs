//! The embedded broker, on purpose only an ingest endpoint: devices log in and publish, and a
//! PUBACK means that the message's consequences are on disk. That promise is why no general
//! broker is embedded: they acknowledge what they hold in memory.
//!
//! MQTT 3.1.1 over TCP, QoS 0, 1 and 2. SUBSCRIBE is refused (SUBACK 0x80), wills are not
//! published, nothing is retained. CONNACK says "session present" to every client that asks for
//! a lasting session: the session consists of nothing but what the client itself has not been
//! acknowledged, and saying no would make some clients throw that away. QoS 2 is at least once
//! across a reconnect, unless the device numbers its messages.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    intake::{Intake, MAX_UNKNOWN},
    pictures::Pictures,
};
use crate::{
    clock::Clock,
    config::{self, Device},
    counters::SourceCounters,
    observation::Arrival,
};

mod connection;
mod wire;

/// Largest packet besides the payload: topic, packet id, and CONNECT with all its fields.
const PACKET_SLACK: usize = 4 * 1024;
/// Wait after `accept` failed (no file descriptors left): closing connections is what helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// A wrong login is answered after this, so that guessing is slow.
const LOGIN_DELAY: Duration = Duration::from_secs(1);

/// Serves `socket` until `stop`.
pub async fn run(
    socket: TcpListener,
    listener: config::Listener,
    devices: Vec<Arc<Device>>,
    pictures: Pictures,
    out: mpsc::Sender<Arrival>,
    clock: Clock,
    counters: Arc<SourceCounters>,
    stop: CancellationToken,
) {
    let intake = Intake::new(
        listener.name.clone(),
        listener.max_payload,
        &devices,
        counters.clone(),
        clock.now(),
    )
    .with_pictures(pictures);
    let shared = Arc::new(Shared {
        intake,
        config: listener,
        clock,
        counters,
        sessions: Mutex::default(),
        refused: Mutex::default(),
    });
    tracing::info!(listener = %shared.config.name, address = ?socket.local_addr().ok(), "MQTT listener ready");

    tokio::join!(
        accept(socket, &shared, out.clone(), &stop),
        super::report_releases(&shared.intake, out, clock, &stop),
    );
}

async fn accept(
    socket: TcpListener,
    shared: &Arc<Shared>,
    out: mpsc::Sender<Arrival>,
    stop: &CancellationToken,
) {
    let name = &shared.config.name;
    let mut connections = JoinSet::new();
    let mut full = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    while connections.try_join_next().is_some() {}
                    let many = connections.len() >= shared.config.max_connections;
                    if many != full {
                        full = many;
                        if many {
                            tracing::warn!(
                                listener = %name,
                                "{} connections, the configured limit: further ones are closed",
                                shared.config.max_connections
                            );
                        }
                    }
                    if many {
                        shared.counters.faults.add_one();
                        continue;
                    }
                    let (shared, out, stop) = (shared.clone(), out.clone(), stop.clone());
                    connections.spawn(async move {
                        serve(stream, peer, shared, out, stop).await;
                    });
                }
                Err(error) => {
                    shared.counters.faults.add_one();
                    tracing::warn!(listener = %name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Connections see the same token, answer what becomes durable in time, and end.
    drop((socket, out));
    while connections.join_next().await.is_some() {}
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    out: mpsc::Sender<Arrival>,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY");
    }
    // A client without keep-alive that lost its power would hold its place for ever.
    if let Err(error) = rustix::net::sockopt::set_socket_keepalive(&stream, true) {
        tracing::debug!(%peer, %error, "SO_KEEPALIVE");
    }
    match connection::serve(stream, &shared, out, stop).await {
        Ok(()) => tracing::debug!(listener = %shared.config.name, %peer, "closed"),
        Err(fault) => {
            shared.counters.faults.add_one();
            let (who, fault) = (fault.who, fault.why);
            tracing::info!(listener = %shared.config.name, %peer, who, "connection closed: {fault}");
        }
    }
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    intake: Intake,
    config: config::Listener,
    clock: Clock,
    counters: Arc<SourceCounters>,
    /// Who is connected, by login or client id: a second connection ends the first [3.1.4-2].
    sessions: Mutex<HashMap<String, Session>>,
    /// Logins whose refusal has been reported.
    refused: Mutex<HashSet<String>>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    end: CancellationToken,
    /// When its connection ended.
    left: Option<Duration>,
}

impl Shared {
    fn max_packet(&self) -> usize {
        self.config.max_payload.saturating_add(PACKET_SLACK)
    }

    /// Whether these credentials open the listener; the log has each refused name once.
    fn login(&self, username: Option<&str>, password: Option<&[u8]>) -> bool {
        if self.config.passwords.is_empty() {
            return true;
        }
        let name = username.unwrap_or_default();
        let good = self
            .config
            .passwords
            .get(name)
            .is_some_and(|want| same(want.as_bytes(), password.unwrap_or_default()));
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if good {
            refused.remove(name);
        } else {
            self.counters.faults.add_one();
            if refused.len() < MAX_UNKNOWN && refused.insert(name.to_owned()) {
                tracing::warn!(
                    listener = %self.config.name,
                    username = name,
                    "login refused: unknown device id or wrong password"
                );
            }
        }
        good
    }

    /// Enters a connection; returns its number and the token that ends it.
    fn enter(&self, identity: &str) -> (u64, CancellationToken) {
        let end = CancellationToken::new();
        if identity.is_empty() {
            return (0, end);
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let before = sessions.remove(identity);
        let number = before.as_ref().map_or(1, |s| s.number + 1);
        if let Some(before) = before {
            before.end.cancel();
            if let Some(left) = before.left {
                let absence = self.clock.now().mono.saturating_sub(left);
                self.intake.grant(Some(identity), absence);
            }
        }
        let session = Session {
            number,
            end: end.clone(),
            left: None,
        };
        sessions.insert(identity.to_owned(), session);
        (number, end)
    }

    fn leave(&self, identity: &str, number: u64) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get_mut(identity)
            && session.number == number
        {
            // Client ids of strangers would pile up; logins are as many as there are devices.
            if self.config.passwords.contains_key(identity) {
                session.left = Some(self.clock.now().mono);
            } else {
                sessions.remove(identity);
            }
        }
    }
}

/// Compares without telling by its duration where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
