//! MQTT 3.1.1 as an ingest endpoint reads and writes it.
//!
//! `rumqttc` has a codec too, but it copies the topic of every message, panics in places on what
//! a server may be sent, and knows only the client's side of strictness; at 25,000 messages a
//! second reading in place is half of the listener's work.
//! Source: OASIS mqtt-v3.1.1-os, sections in brackets.

use std::str;

/// Bytes of the remaining length at most [2.2.3].
const MAX_LENGTH: usize = 4;

/// One packet, borrowed from the read buffer.
#[derive(Debug, PartialEq)]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    Publish(Publish<'a>),
    /// Second half of QoS 2: the client has our PUBREC.
    PubRel(u16),
    /// Packet id and number of filters.
    Subscribe(u16, usize),
    Unsubscribe(u16),
    PingReq,
    Disconnect,
    /// PUBACK, PUBREC, PUBCOMP: answers to what we never send.
    Stray,
}

#[derive(Debug, PartialEq)]
pub struct Connect<'a> {
    pub client_id: &'a str,
    pub clean_session: bool,
    /// Seconds, 0 for none.
    pub keep_alive: u16,
    pub has_will: bool,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
}

#[derive(Debug, PartialEq)]
pub struct Publish<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub dup: bool,
    pub retain: bool,
    pub qos: u8,
    /// 0 for QoS 0.
    pub id: u16,
}

/// Why the connection cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("a packet of {len} bytes, at most {max} are taken")]
    TooLarge { len: usize, max: usize },
    #[error("malformed {packet}: {what}")]
    Malformed {
        packet: &'static str,
        what: &'static str,
    },
    #[error("packet type {0} is not one that a client sends")]
    Unexpected(u8),
    /// Answered with CONNACK return code 1 [3.2.2.3].
    #[error("protocol {name:?} level {level} is not MQTT 3.1.1")]
    Version { name: String, level: u8 },
}

/// The first packet in `buffer` and its length, or `None` while it is incomplete.
///
/// # Errors
/// As soon as the beginning shows that it can never become a packet that we take.
pub fn read(buffer: &[u8], max: usize) -> Result<Option<(Packet<'_>, usize)>, WireError> {
    let Some((&first, rest)) = buffer.split_first() else {
        return Ok(None);
    };
    let Some((len, header)) = length(rest)? else {
        return Ok(None);
    };
    if len > max {
        return Err(WireError::TooLarge { len, max });
    }
    let Some(body) = rest.get(header..header + len) else {
        return Ok(None);
    };
    let packet = parse(first, Body(body))?;
    Ok(Some((packet, 1 + header + len)))
}

/// Whether the packet that begins here is a PUBLISH.
pub fn is_publish(buffer: &[u8]) -> bool {
    buffer.first().is_some_and(|first| first >> 4 == 3)
}

/// Topic and id of a PUBLISH that is too large to be read, without its payload, and its length;
/// `None` while even that much is not here yet.
///
/// # Errors
/// As [`read`].
pub fn read_oversize(buffer: &[u8]) -> Result<Option<(Publish<'_>, usize)>, WireError> {
    let Some((&first, rest)) = buffer.split_first() else {
        return Ok(None);
    };
    let Some((len, header)) = length(rest)? else {
        return Ok(None);
    };
    let body = rest.get(header..).unwrap_or_default();
    let topic = match body {
        [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Ok(None),
    };
    let Some(beginning) = body.get(..topic + 4) else {
        return Ok(None);
    };
    let p = publish(first & 0x0f, Body(beginning))?;
    Ok(Some((p, 1 + header + len)))
}

/// Remaining length and how many bytes it takes [2.2.3].
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, WireError> {
    let mut len = 0usize;
    for (i, byte) in bytes.iter().take(MAX_LENGTH).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((len, i + 1)));
        }
    }
    if bytes.len() < MAX_LENGTH {
        return Ok(None);
    }
    Err(malformed("header", "its length has more than four bytes"))
}

fn parse(first: u8, mut body: Body<'_>) -> Result<Packet<'_>, WireError> {
    let flags = first & 0x0f;
    let reserved = |packet, want| {
        if flags == want {
            Ok(())
        } else {
            Err(malformed(packet, "reserved flags are wrong"))
        }
    };
    let packet = match first >> 4 {
        1 => {
            reserved("CONNECT", 0)?;
            return connect(body).map(Packet::Connect);
        }
        3 => return publish(flags, body).map(Packet::Publish),
        4 | 5 | 7 => Packet::Stray,
        6 => {
            reserved("PUBREL", 2)?;
            Packet::PubRel(body.id("PUBREL")?)
        }
        8 => {
            reserved("SUBSCRIBE", 2)?;
            let id = body.id("SUBSCRIBE")?;
            let mut filters = 0;
            while !body.0.is_empty() {
                body.text("SUBSCRIBE")?;
                if body.byte("SUBSCRIBE")? > 2 {
                    return Err(malformed("SUBSCRIBE", "no such QoS"));
                }
                filters += 1;
            }
            if filters == 0 {
                return Err(malformed("SUBSCRIBE", "no filter"));
            }
            Packet::Subscribe(id, filters)
        }
        10 => {
            reserved("UNSUBSCRIBE", 2)?;
            Packet::Unsubscribe(body.id("UNSUBSCRIBE")?)
        }
        12 => {
            reserved("PINGREQ", 0)?;
            Packet::PingReq
        }
        14 => {
            reserved("DISCONNECT", 0)?;
            Packet::Disconnect
        }
        other => return Err(WireError::Unexpected(other)),
    };
    Ok(packet)
}

fn connect(mut body: Body<'_>) -> Result<Connect<'_>, WireError> {
    const P: &str = "CONNECT";
    let name = body.text(P)?;
    let level = body.byte(P)?;
    if name != "MQTT" || level != 4 {
        return Err(WireError::Version {
            name: name.chars().take(16).collect(),
            level,
        });
    }
    let flags = body.byte(P)?;
    let has = |bit: u8| flags & (1 << bit) != 0;
    if has(0) {
        return Err(malformed(P, "the reserved flag is set"));
    }
    let keep_alive = body.number(P)?;
    let client_id = body.text(P)?;
    let will_qos = flags >> 3 & 3;
    if will_qos == 3 || (!has(2) && flags & 0b11_1000 != 0) || (has(6) && !has(7)) {
        return Err(malformed(P, "the flags contradict each other"));
    }
    if has(2) {
        body.text(P)?;
        body.bytes(P)?;
    }
    let username = has(7).then(|| body.text(P)).transpose()?;
    let password = has(6).then(|| body.bytes(P)).transpose()?;
    if !body.0.is_empty() {
        return Err(malformed(P, "bytes follow after its end"));
    }
    Ok(Connect {
        client_id,
        clean_session: has(1),
        keep_alive,
        has_will: has(2),
        username,
        password,
    })
}

fn publish(flags: u8, mut body: Body<'_>) -> Result<Publish<'_>, WireError> {
    const P: &str = "PUBLISH";
    let qos = flags >> 1 & 3;
    if qos == 3 {
        return Err(malformed(P, "QoS 3"));
    }
    let topic = body.text(P)?;
    if topic.is_empty() || topic.contains(['+', '#', '\0']) {
        return Err(malformed(P, "the topic is empty or has a wildcard"));
    }
    let id = if qos == 0 { 0 } else { body.id(P)? };
    Ok(Publish {
        topic,
        payload: body.0,
        dup: flags & 8 != 0,
        retain: flags & 1 != 0,
        qos,
        id,
    })
}

fn malformed(packet: &'static str, what: &'static str) -> WireError {
    WireError::Malformed { packet, what }
}

/// What is left of a packet.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn split(&mut self, n: usize, packet: &'static str) -> Result<&'a [u8], WireError> {
        let (head, rest) = self
            .0
            .split_at_checked(n)
            .ok_or(malformed(packet, "it ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self, packet: &'static str) -> Result<u8, WireError> {
        self.split(1, packet)
            .map(|b| b.first().copied().unwrap_or_default())
    }

    fn number(&mut self, packet: &'static str) -> Result<u16, WireError> {
        self.split(2, packet)
            .map(|b| b.iter().fold(0, |n, b| n << 8 | u16::from(*b)))
    }

    /// A packet id, never 0 [2.3.1].
    fn id(&mut self, packet: &'static str) -> Result<u16, WireError> {
        match self.number(packet)? {
            0 => Err(malformed(packet, "packet id 0")),
            id => Ok(id),
        }
    }

    fn bytes(&mut self, packet: &'static str) -> Result<&'a [u8], WireError> {
        let len = self.number(packet)?;
        self.split(len.into(), packet)
    }

    fn text(&mut self, packet: &'static str) -> Result<&'a str, WireError> {
        str::from_utf8(self.bytes(packet)?).map_err(|_| malformed(packet, "text is not UTF-8"))
    }
}

/// First byte of every CONNECT.
pub const CONNECT: u8 = 0x10;
/// CONNACK return codes [3.2.2.3].
pub const ACCEPTED: u8 = 0;
pub const WRONG_VERSION: u8 = 1;
pub const BAD_CLIENT_ID: u8 = 2;
pub const BAD_LOGIN: u8 = 4;

pub fn connack(out: &mut Vec<u8>, session_present: bool, code: u8) {
    out.extend([0x20, 2, u8::from(session_present), code]);
}

pub fn puback(out: &mut Vec<u8>, id: u16) {
    short(out, 0x40, id);
}

pub fn pubrec(out: &mut Vec<u8>, id: u16) {
    short(out, 0x50, id);
}

pub fn pubcomp(out: &mut Vec<u8>, id: u16) {
    short(out, 0x70, id);
}

pub fn unsuback(out: &mut Vec<u8>, id: u16) {
    short(out, 0xb0, id);
}

pub fn pingresp(out: &mut Vec<u8>) {
    out.extend([0xd0, 0]);
}

/// SUBACK that refuses every filter [3.9.3].
pub fn suback_refused(out: &mut Vec<u8>, id: u16, filters: usize) {
    out.push(0x90);
    let mut len = 2 + filters;
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(id.to_be_bytes());
    out.resize(out.len() + filters, 0x80);
}

fn short(out: &mut Vec<u8>, first: u8, id: u16) {
    let [high, low] = id.to_be_bytes();
    out.extend([first, 2, high, low]);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use rumqttc::mqttbytes::{QoS, v4};

    use super::*;

    /// As another implementation writes it.
    fn bytes(packet: v4::Packet) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        packet.write(&mut buffer, usize::MAX).unwrap();
        buffer.to_vec()
    }

    fn one(buffer: &[u8]) -> Packet<'_> {
        let (packet, len) = read(buffer, 1 << 20).unwrap().unwrap();
        assert_eq!(len, buffer.len());
        for cut in 0..buffer.len() {
            assert_eq!(read(&buffer[..cut], 1 << 20), Ok(None), "cut at {cut}");
        }
        packet
    }

    #[test]
    fn packets_of_another_implementation_are_read() {
        let mut connect = v4::Connect::new("c1");
        connect.clean_session = false;
        connect.keep_alive = 77;
        connect.last_will = Some(v4::LastWill::new("w", "gone", QoS::AtLeastOnce, true));
        connect.set_login("bin-1", "secret");
        assert_eq!(
            one(&bytes(v4::Packet::Connect(connect))),
            Packet::Connect(Connect {
                client_id: "c1",
                clean_session: false,
                keep_alive: 77,
                has_will: true,
                username: Some("bin-1"),
                password: Some(b"secret"),
            })
        );
        let mut publish = v4::Publish::new("a/b", QoS::ExactlyOnce, vec![7; 200]);
        publish.pkid = 513;
        publish.dup = true;
        assert_eq!(
            one(&bytes(v4::Packet::Publish(publish))),
            Packet::Publish(Publish {
                topic: "a/b",
                payload: &[7; 200],
                dup: true,
                retain: false,
                qos: 2,
                id: 513,
            })
        );
        let mut subscribe = v4::Subscribe::new("a", QoS::AtLeastOnce);
        subscribe.add("b/#".to_owned(), QoS::AtMostOnce);
        subscribe.pkid = 3;
        assert_eq!(
            one(&bytes(v4::Packet::Subscribe(subscribe))),
            Packet::Subscribe(3, 2)
        );
        assert_eq!(one(&[0x62, 2, 0, 9]), Packet::PubRel(9));
        assert_eq!(one(&bytes(v4::Packet::PingReq)), Packet::PingReq);
        assert_eq!(one(&bytes(v4::Packet::Disconnect)), Packet::Disconnect);
    }

    #[test]
    fn another_implementation_reads_what_is_written() {
        let mut out = Vec::new();
        connack(&mut out, true, BAD_LOGIN);
        puback(&mut out, 0x1234);
        pubrec(&mut out, 2);
        pubcomp(&mut out, 3);
        suback_refused(&mut out, 4, 300);
        unsuback(&mut out, 5);
        pingresp(&mut out);
        let mut buffer = BytesMut::from(&out[..]);
        let mut read = Vec::new();
        while !buffer.is_empty() {
            read.push(v4::Packet::read(&mut buffer, 1 << 20).unwrap());
        }
        assert_eq!(
            read,
            [
                v4::Packet::ConnAck(v4::ConnAck {
                    session_present: true,
                    code: v4::ConnectReturnCode::BadUserNamePassword,
                }),
                v4::Packet::PubAck(v4::PubAck::new(0x1234)),
                v4::Packet::PubRec(v4::PubRec::new(2)),
                v4::Packet::PubComp(v4::PubComp::new(3)),
                v4::Packet::SubAck(v4::SubAck::new(
                    4,
                    vec![v4::SubscribeReasonCode::Failure; 300]
                )),
                v4::Packet::UnsubAck(v4::UnsubAck::new(5)),
                v4::Packet::PingResp,
            ]
        );
    }

    #[test]
    fn size_is_refused_before_the_bytes_come() {
        let max = 1000;
        for (len, good) in [(max, true), (max + 1, false), (max * 10, false)] {
            let publish = v4::Publish::new("t", QoS::AtMostOnce, vec![0; len - 3]);
            let bytes = bytes(v4::Packet::Publish(publish));
            let got = read(&bytes[..5], max);
            if good {
                assert_eq!(got, Ok(None));
                assert!(read(&bytes, max).unwrap().is_some());
            } else {
                assert_eq!(got, Err(WireError::TooLarge { len, max }));
            }
        }
    }

    #[test]
    fn nonsense_is_named() {
        for (bytes, want) in [
            (&[0x30, 0xff, 0xff, 0xff, 0xff][..], "more than four bytes"),
            (&[0x36, 3, 0, 1, b'a'], "QoS 3"),
            (&[0x32, 5, 0, 1, b'a', 0, 0], "packet id 0"),
            (&[0x32, 3, 0, 1, b'a'], "ends early"),
            (&[0x30, 3, 0, 9, b'a'], "ends early"),
            (&[0x30, 3, 0, 1, b'#'], "wildcard"),
            (&[0x30, 2, 0, 0], "empty"),
            (&[0x30, 3, 0, 1, 0xff], "UTF-8"),
            (&[0x20, 0], "type 2"),
            (&[0x00, 0], "type 0"),
            (&[0xf0, 0], "type 15"),
            (&[0x60, 2, 0, 1], "reserved flags"),
            (&[0x80, 0], "reserved flags"),
            (&[0x82, 2, 0, 1], "no filter"),
            (&[0x82, 6, 0, 1, 0, 1, b'a', 3], "no such QoS"),
            (
                &[0x10, 9, 0, 4, b'M', b'Q', b'T', b'T', 5, 0, 0],
                "level 5 is not",
            ),
            (
                &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x40, 0, 9, 0, 0],
                "contradict",
            ),
        ] {
            let fault = read(bytes, 1000).unwrap_err().to_string();
            assert!(fault.contains(want), "{bytes:x?}: {fault}");
        }
    }

    #[test]
    fn the_beginning_of_a_large_publish_tells_whose_it_is() {
        for (qos, id) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 258)] {
            let mut publish = v4::Publish::new("a/b", qos, vec![7; 5000]);
            publish.pkid = id;
            let bytes = bytes(v4::Packet::Publish(publish));
            for cut in 0..bytes.len() {
                let got = read_oversize(&bytes[..cut]).unwrap();
                // Header 3, topic 2 + 3, packet id 2.
                assert_eq!(got.is_some(), cut >= 10, "cut at {cut}");
                if let Some((p, len)) = got {
                    assert_eq!((p.topic, p.id, len), ("a/b", id, bytes.len()));
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Ok(Some((_, len))) = read(&bytes, 100) {
                assert!(len <= bytes.len());
            }
        }

        #[test]
        fn no_connect_body_makes_it_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            let mut bytes = vec![0x10, 6 + body.len() as u8, 0, 4, b'M', b'Q', b'T', b'T'];
            bytes.extend(body);
            let _ = read(&bytes, 200);
        }
    }
}
