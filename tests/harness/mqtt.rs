//! The little of MQTT 3.1.1 that a load generator and a careful publisher need, without a client
//! library's own queue in between: what was acknowledged is known exactly.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// Largest remaining length that is believed, bytes.
const MAX_PACKET: usize = 8 << 20;
/// Longest wait for an answer to CONNECT or SUBSCRIBE.
const ANSWER: Duration = Duration::from_secs(10);
const KEEP_ALIVE_S: u16 = 0; // off

/// What a broker sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// CONNACK with its return code and whether a session was there.
    Connected { code: u8, session: bool },
    /// PUBACK of this packet id.
    Acked(u16),
    /// SUBACK with its (one) return code.
    Subscribed(u8),
    /// PUBLISH; `id` is there with QoS 1.
    Message {
        topic: &'a [u8],
        payload: &'a [u8],
        id: Option<u16>,
    },
    /// Anything else, by its type.
    Other(u8),
}

/// One connection to a broker on 127.0.0.1.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Connection {
    /// Connects; `login` is user name and password.
    ///
    /// # Errors
    /// Nobody listens, or the broker refuses.
    pub fn open(
        port: u16,
        client_id: &str,
        clean: bool,
        login: Option<(&str, &str)>,
    ) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            stream,
            inbox: Vec::new(),
        };
        let mut packet = Vec::new();
        connect(&mut packet, client_id, clean, KEEP_ALIVE_S, login);
        connection.send(&packet)?;
        let code = connection.wait_for(|p| match p {
            Packet::Connected { code, .. } => Some(code),
            _ => None,
        })?;
        ensure!(
            code == 0,
            "the broker refused the connection (return code {code})"
        );
        Ok(connection)
    }

    /// Subscribes at QoS 1.
    ///
    /// # Errors
    /// The broker refuses or does not answer.
    pub fn subscribe(&mut self, filter: &str) -> Result<()> {
        let mut packet = Vec::new();
        subscribe(&mut packet, filter, 1);
        self.send(&packet)?;
        let code = self.wait_for(|p| match p {
            Packet::Subscribed(code) => Some(code),
            _ => None,
        })?;
        ensure!(code <= 2, "the broker refused the subscription to {filter}");
        Ok(())
    }

    /// Sends whole packets.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn send(&mut self, packets: &[u8]) -> io::Result<()> {
        self.stream.write_all(packets)
    }

    /// A second handle that sends on the same connection.
    ///
    /// # Errors
    /// The operating system has no more file descriptors.
    pub fn sender(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Waits at most `wait` for bytes and gives every whole packet to `take`; messages at QoS 1
    /// are acknowledged afterwards.
    ///
    /// # Errors
    /// The connection is lost, or what comes is no MQTT.
    pub fn receive(&mut self, wait: Duration, mut take: impl FnMut(Packet<'_>)) -> Result<()> {
        self.stream
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let used = self.inbox.len();
        self.inbox.resize(used + (64 << 10), 0);
        let read = self.stream.read(&mut self.inbox[used..]);
        self.inbox.truncate(used + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => bail!("the broker closed the connection"),
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e).context("the connection to the broker is lost"),
        }
        let (mut at, mut acks) = (0, Vec::new());
        while let Some((packet, end)) = parse(&self.inbox[at..])? {
            if let Packet::Message { id: Some(id), .. } = packet {
                acks.extend([0x40, 2]);
                acks.extend(id.to_be_bytes());
            }
            take(packet);
            at += end;
        }
        self.inbox.drain(..at);
        if !acks.is_empty() {
            self.stream.write_all(&acks)?;
        }
        Ok(())
    }

    fn wait_for<T>(&mut self, mut wanted: impl FnMut(Packet<'_>) -> Option<T>) -> Result<T> {
        let end = Instant::now() + ANSWER;
        let mut found = None;
        while found.is_none() {
            ensure!(
                Instant::now() < end,
                "the broker did not answer within {ANSWER:?}"
            );
            self.receive(Duration::from_millis(100), |p| {
                if found.is_none() {
                    found = wanted(p);
                }
            })?;
        }
        found.context("no answer")
    }
}

/// Appends a CONNECT; `login` is user name and password, `keep_alive` seconds, 0 for never.
pub fn connect(
    out: &mut Vec<u8>,
    client_id: &str,
    clean: bool,
    keep_alive: u16,
    login: Option<(&str, &str)>,
) {
    let flags = u8::from(clean) << 1 | if login.is_some() { 0xC0 } else { 0 };
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, flags];
    body.extend(keep_alive.to_be_bytes());
    text(&mut body, client_id.as_bytes());
    if let Some((user, password)) = login {
        text(&mut body, user.as_bytes());
        text(&mut body, password.as_bytes());
    }
    out.push(0x10);
    length(out, body.len());
    out.extend(body);
}

/// Appends a SUBSCRIBE with packet id 1.
pub fn subscribe(out: &mut Vec<u8>, filter: &str, qos: u8) {
    out.push(0x82);
    length(out, 2 + 2 + filter.len() + 1);
    out.extend([0, 1]);
    text(out, filter.as_bytes());
    out.push(qos);
}

/// Appends a PUBLISH: QoS 1 with an id, QoS 0 without.
pub fn publish(out: &mut Vec<u8>, topic: &str, payload: &[u8], id: Option<u16>) {
    out.push(if id.is_some() { 0x32 } else { 0x30 });
    length(
        out,
        2 + topic.len() + if id.is_some() { 2 } else { 0 } + payload.len(),
    );
    text(out, topic.as_bytes());
    if let Some(id) = id {
        out.extend(id.to_be_bytes());
    }
    out.extend(payload);
}

/// One whole packet at the start of `bytes` and its length, if it is all there.
///
/// # Errors
/// It is no MQTT, or larger than is believed.
pub fn parse(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let (mut len, mut at) = (0usize, 1);
    loop {
        let Some(&byte) = bytes.get(at) else {
            return Ok(None);
        };
        len |= usize::from(byte & 127) << (7 * (at - 1));
        at += 1;
        if byte & 128 == 0 {
            break;
        }
        ensure!(at <= 4, "no MQTT: a length of more than four bytes");
    }
    ensure!(len <= MAX_PACKET, "a packet of {len} bytes");
    let Some(body) = bytes.get(at..at + len) else {
        return Ok(None);
    };
    let id = |at: usize| {
        body.get(at..at + 2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
    };
    let short = || anyhow::anyhow!("a packet of type {} that is too short", first >> 4);
    let packet = match first >> 4 {
        2 => Packet::Connected {
            code: *body.get(1).ok_or_else(short)?,
            session: body[0] & 1 == 1,
        },
        3 => {
            let qos = first >> 1 & 3;
            let end = 2 + usize::from(id(0).ok_or_else(short)?);
            let topic = body.get(2..end).ok_or_else(short)?;
            let message_id = if qos > 0 {
                Some(id(end).ok_or_else(short)?)
            } else {
                None
            };
            let payload = body
                .get(end + if qos > 0 { 2 } else { 0 }..)
                .ok_or_else(short)?;
            Packet::Message {
                topic,
                payload,
                id: message_id,
            }
        }
        4 => Packet::Acked(id(0).ok_or_else(short)?),
        9 => Packet::Subscribed(*body.get(2).ok_or_else(short)?),
        other => Packet::Other(other),
    };
    Ok(Some((packet, at + len)))
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    // Topics and ids here are far shorter than the 65,535 bytes that MQTT allows.
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(text);
}

fn length(out: &mut Vec<u8>, mut len: usize) {
    loop {
        let byte = (len & 127) as u8;
        len >>= 7;
        out.push(if len > 0 { byte | 128 } else { byte });
        if len == 0 {
            return;
        }
    }
}

/// A device that keeps what it publishes until it is acknowledged, over any number of
/// connections: what it was promised is known exactly.
#[derive(Debug)]
pub struct Publisher {
    port: u16,
    client_id: String,
    connection: Option<Connection>,
    next_id: u16,
    /// Packet id -> key, topic and payload.
    waiting: BTreeMap<u16, (u64, String, Vec<u8>)>,
    acked: Vec<u64>,
    reconnects: u64,
}

/// Unacknowledged messages that a [`Publisher`] keeps.
const WINDOW: usize = 100;

impl Publisher {
    /// A publisher that will connect when there is something to say.
    pub fn new(port: u16, client_id: &str) -> Publisher {
        Publisher {
            port,
            client_id: client_id.to_owned(),
            connection: None,
            next_id: 1,
            waiting: BTreeMap::new(),
            acked: Vec::new(),
            reconnects: 0,
        }
    }

    /// Publishes at QoS 1 under a key of the caller's; waits while too much is unacknowledged.
    ///
    /// # Errors
    /// Nothing was acknowledged for `patience`.
    pub fn publish(
        &mut self,
        key: u64,
        topic: &str,
        payload: Vec<u8>,
        patience: Duration,
    ) -> Result<()> {
        let end = Instant::now() + patience;
        while self.waiting.len() >= WINDOW {
            ensure!(
                Instant::now() < end,
                "nothing acknowledged for {patience:?}"
            );
            self.pump(Duration::from_millis(20));
        }
        let id = self.next_id;
        self.next_id = if id == u16::MAX { 1 } else { id + 1 };
        let mut packet = Vec::new();
        publish(&mut packet, topic, &payload, Some(id));
        self.waiting.insert(id, (key, topic.to_owned(), payload));
        let sent = self
            .connection
            .as_mut()
            .is_some_and(|connection| connection.send(&packet).is_ok());
        if !sent {
            self.connection = None;
        }
        Ok(())
    }

    /// Takes acknowledgements for at most `wait`; connects again and repeats what is open when
    /// the connection was lost.
    pub fn pump(&mut self, wait: Duration) {
        if self.connection.is_none() && self.connect().is_err() {
            std::thread::sleep(wait);
            return;
        }
        let Some(connection) = &mut self.connection else {
            return;
        };
        let (waiting, acked) = (&mut self.waiting, &mut self.acked);
        let received = connection.receive(wait, |packet| {
            if let Packet::Acked(id) = packet
                && let Some((key, ..)) = waiting.remove(&id)
            {
                acked.push(key);
            }
        });
        if received.is_err() {
            self.connection = None;
        }
    }

    fn connect(&mut self) -> Result<()> {
        let mut connection = Connection::open(self.port, &self.client_id, true, None)?;
        let mut packets = Vec::new();
        for (id, (_, topic, payload)) in &self.waiting {
            publish(&mut packets, topic, payload, Some(*id));
        }
        connection.send(&packets)?;
        self.connection = Some(connection);
        self.reconnects += 1;
        Ok(())
    }

    /// Waits until everything published is acknowledged.
    ///
    /// # Errors
    /// It is not within `patience`.
    pub fn settle(&mut self, patience: Duration) -> Result<()> {
        let end = Instant::now() + patience;
        while !self.waiting.is_empty() {
            ensure!(
                Instant::now() < end,
                "{} messages not acknowledged within {patience:?}",
                self.waiting.len()
            );
            self.pump(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The keys that were acknowledged, in that order.
    pub fn acked(&self) -> &[u64] {
        &self.acked
    }

    /// Connections made so far.
    pub fn connections(&self) -> u64 {
        self.reconnects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mosquitto::Mosquitto;

    #[test]
    fn packets_come_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        publish(&mut bytes, "a/b", &[7; 200], Some(513));
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]).unwrap(), None, "{end}");
        }
        let (packet, end) = parse(&bytes).unwrap().unwrap();
        assert_eq!(end, bytes.len());
        assert_eq!(
            packet,
            Packet::Message {
                topic: b"a/b",
                payload: &[7; 200],
                id: Some(513)
            }
        );
        assert!(parse(&[0x40, 1, 0]).is_err());
        assert!(parse(&[0x30, 255, 255, 255, 255, 1]).is_err());
    }

    #[test]
    fn a_publisher_survives_its_broker() {
        let dir = tempfile::tempdir().unwrap();
        let mut broker = Mosquitto::start(dir.path(), "").unwrap();
        let mut reader = Connection::open(broker.port(), "reader", true, None).unwrap();
        reader.subscribe("t/#").unwrap();
        let mut publisher = Publisher::new(broker.port(), "writer");
        let patience = Duration::from_secs(20);
        publisher
            .publish(1, "t/1", b"one".to_vec(), patience)
            .unwrap();
        publisher.settle(patience).unwrap();
        let mut got = Vec::new();
        crate::until("the message", patience, || {
            reader.receive(Duration::from_millis(10), |p| {
                if let Packet::Message { payload, .. } = p {
                    got.push(payload.to_vec());
                }
            })?;
            Ok((!got.is_empty()).then_some(()))
        })
        .unwrap();
        assert_eq!(got, [b"one"]);
        broker.kill().unwrap();
        publisher
            .publish(2, "t/2", b"two".to_vec(), patience)
            .unwrap();
        broker.restart().unwrap();
        publisher.settle(patience).unwrap();
        assert_eq!(publisher.acked(), [1, 2]);
        assert!(publisher.connections() >= 2);
    }
}
