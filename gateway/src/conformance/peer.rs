//! The receiver that is tried, over either transport: something is sent, an answer comes or not.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{https::Https, mqtt::Mqtt};

/// Something to send.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// What a receipt must echo: the message's id, a picture's hash.
    pub id: String,
    /// Of `bytes`.
    pub sha256: String,
    pub content: Content,
    pub bytes: Bytes,
}

/// What it is, for path, topic and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Alert,
    Telemetry,
    Gap,
    Answer,
    Digest,
    Picture,
}

/// What the receiver said about it. Status and offset are free: judging them is what for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    pub id: String,
    pub sha256: String,
    pub status: String,
    #[serde(default)]
    pub reason: Option<String>,
    /// Of a piece: how much of the picture is there now, bytes.
    #[serde(default)]
    pub offset: Option<u64>,
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A receipt, and the whole answer for people.
    Receipt(Receipt, String),
    /// An answer over HTTP that is no receipt: its status, and the whole answer for people.
    Http(u16, String),
    /// Nothing in this time.
    Silence(Duration),
    /// The connection failed.
    Broken(String),
}

impl Reply {
    /// For people.
    pub fn text(&self) -> String {
        match self {
            Reply::Receipt(_, text) | Reply::Http(_, text) => text.clone(),
            Reply::Silence(waited) => format!("nothing within {} s", waited.as_secs_f32()),
            Reply::Broken(reason) => format!("no answer: {reason}"),
        }
    }

    /// The HTTP status, where it is no receipt.
    pub fn http(&self) -> Option<u16> {
        match self {
            Reply::Http(status, _) => Some(*status),
            _ => None,
        }
    }
}

/// How somebody says who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// As they should.
    Right,
    /// With a token that is wrong.
    Wrong,
    /// Not at all.
    None,
}

/// A piece of a picture over HTTPS.
#[derive(Clone, Debug)]
pub struct Piece {
    pub sha256: String,
    /// Where in the picture it begins, bytes.
    pub offset: u64,
    /// The picture's size, bytes.
    pub total: u64,
    pub bytes: Bytes,
}

/// What came back for a piece, or for the question how much is there.
#[derive(Clone, Debug)]
pub struct PieceReply {
    /// HTTP: the status. MQTT: 0.
    pub status: u16,
    /// How much is there, if it says so.
    pub offset: Option<u64>,
    pub receipt: Option<Receipt>,
    pub text: String,
}

/// A receiver.
#[derive(Debug)]
pub enum Peer {
    Https(Https),
    Mqtt(Mqtt),
}

impl Peer {
    /// Sends it and waits for its answer.
    pub async fn deliver(&self, parcel: &Parcel) -> Reply {
        match self {
            Peer::Https(peer) => peer.deliver(parcel, Login::Right).await,
            Peer::Mqtt(peer) => peer.deliver(parcel).await,
        }
    }

    /// `POST /events` or the topic, for people.
    pub fn address(&self, content: Content, name: &str) -> String {
        match (self, content) {
            (Peer::Https(_), Content::Picture) => format!("PUT /evidence/{name}"),
            (Peer::Https(_), _) => "POST /events".to_owned(),
            (Peer::Mqtt(peer), _) => peer.topic(content, name),
        }
    }
}

/// The receipts of an answer: one, or an array of them.
pub fn receipts(bytes: &[u8]) -> Option<Vec<Receipt>> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    list.into_iter()
        .map(|v| serde_json::from_value(v).ok())
        .collect()
}

/// The beginning of an answer, on one line and without what moves a terminal's cursor.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 300;
    let text = String::from_utf8_lossy(bytes);
    let mut line: String = text
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().count() > MOST {
        line.push('…');
    }
    line
}
