//! What a message costs on a metered line: its bytes, and those that every layer adds in both
//! directions. An estimate: what TCP repeats on a bad line is not seen from here.
//!
//! Headers: IPv4 20, TCP 20 with 12 of timestamps (RFC 9293, RFC 7323); a TLS 1.3 record 22
//! (RFC 8446 §5.2); payload of a segment 1,448 on Ethernet; one acknowledgement for two segments
//! (RFC 9293 §3.8.6.3).

/// Bytes of a receipt as JSON, about.
const RECEIPT: u64 = 200;
const HEADER: u64 = 52;
const SEGMENT: u64 = 1_448;
const TLS_RECORD: u64 = 22;
const TLS_RECORD_BYTES: u64 = 16 * 1_024;
/// A request's head with token and user agent; the head of its answer.
const HTTP_HEADS: (u64, u64) = (420, 200);
/// Certificates of a server with its CA's, keys, tickets; and of a client.
const TLS_HANDSHAKE: u64 = 5_000;
/// Fixed header, topic length, packet id, properties of a PUBLISH; a PUBACK.
const MQTT_PUBLISH: u64 = 10;
const MQTT_ACK: u64 = 4;
/// CONNECT, CONNACK, SUBSCRIBE, SUBACK.
const MQTT_HELLO: u64 = 250;
const MQTT_PING: u64 = 2;

/// What is the same for all messages of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tariff {
    pub tls: bool,
    pub kind: Kind,
}

/// How messages are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Topics have about so many bytes.
    Mqtt {
        topic: u64,
    },
    Https,
}

impl Tariff {
    /// So many bytes in one direction, and what acknowledges them.
    fn moved(self, bytes: u64) -> u64 {
        let records = bytes.div_ceil(TLS_RECORD_BYTES).max(1);
        let bytes = bytes + if self.tls { records * TLS_RECORD } else { 0 };
        let segments = bytes.div_ceil(SEGMENT).max(1);
        bytes + (segments + segments.div_ceil(2)) * HEADER
    }

    /// A message of so many bytes, and the peer's answer to it. Receipts that a broker carries
    /// are counted when they come.
    pub fn message(self, bytes: u64) -> u64 {
        match self.kind {
            Kind::Mqtt { topic } => self.moved(bytes + topic + MQTT_PUBLISH) + self.moved(MQTT_ACK),
            Kind::Https => {
                let (request, answer) = HTTP_HEADS;
                self.moved(bytes + request) + self.moved(answer + RECEIPT)
            }
        }
    }

    /// So many receipts that came in one message.
    pub fn receipts(self, count: usize) -> u64 {
        match self.kind {
            Kind::Mqtt { topic } => {
                let bytes = topic + MQTT_PUBLISH + RECEIPT * count as u64;
                self.moved(bytes) + self.moved(MQTT_ACK)
            }
            Kind::Https => 0,
        }
    }

    /// A new connection.
    pub fn connection(self) -> u64 {
        let tls = if self.tls {
            self.moved(TLS_HANDSHAKE)
        } else {
            0
        };
        let hello = match self.kind {
            Kind::Mqtt { .. } => self.moved(MQTT_HELLO),
            Kind::Https => 0,
        };
        3 * HEADER + tls + hello
    }

    /// A ping and its answer.
    pub fn ping(self) -> u64 {
        2 * self.moved(MQTT_PING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MQTT: Tariff = Tariff {
        tls: false,
        kind: Kind::Mqtt { topic: 40 },
    };

    #[test]
    fn every_layer_adds_its_bytes() {
        // One segment and its acknowledgement each way.
        assert_eq!(MQTT.message(1_000), 1_050 + 2 * 52 + 4 + 2 * 52);
        // 69 segments of 1,448, 35 acknowledgements.
        assert_eq!(MQTT.message(99_000), 99_050 + (69 + 35) * 52 + 4 + 2 * 52);
        let tls = Tariff { tls: true, ..MQTT };
        assert_eq!(tls.message(1_000), MQTT.message(1_000) + 2 * 22);
        assert!(tls.connection() > MQTT.connection() + 5_000);
        assert_eq!(MQTT.ping(), 2 * (2 + 104));
    }
}
