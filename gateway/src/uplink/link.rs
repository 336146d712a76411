//! What the queue and a transport say to each other.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use wangge_protocol::Receipt;

use super::{https::Https, lane::Token, mqtt::Mqtt, push::Push};
use crate::{down::inbox::Parsed, spool::Class};

/// Something to send.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub token: Token,
    pub content: Content,
    pub bytes: Bytes,
}

/// What it is, for topics and headers.
#[derive(Clone, Debug)]
pub enum Content {
    Event {
        class: Class,
        stream: String,
    },
    Picture {
        sha256: Arc<str>,
        media_type: String,
        piece: Piece,
        /// Bytes of the whole picture.
        total: u64,
    },
}

/// What of a picture is sent at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Piece {
    #[default]
    Whole,
    /// Nothing; how much does the receiver have?
    Ask,
    /// So many bytes from there.
    Part { offset: u64, length: u64 },
}

/// What a transport reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Ready to send.
    Connected,
    /// No longer; `closed` if the other side closed it.
    Lost { closed: bool },
    /// The peer has it; at a broker that is not yet the platform.
    Transmitted(Token),
    /// The platform's word, on a channel of its own.
    Receipts(Vec<Receipt>),
    /// The platform's word in answer to this message, which it must name.
    Answered(Token, Receipt),
    /// In answer to this message: so many bytes of the picture are there.
    Held(Token, u64),
    /// The receiver knows nothing of pictures in pieces.
    NoPieces(Token),
    /// Something in a receipt's place that is none.
    Garbled,
    /// Verdicts and commands.
    Came(Parsed),
    /// It will never be taken as it is.
    Refused(Token, String),
    /// Not taken this time.
    Failed(Token),
    /// No answer about this message; wait so long if the receiver said how long.
    Unanswered(Token, Option<Duration>),
}

/// A transport. All kinds drive themselves inside [`Link::next`], so that an uplink is one task.
#[derive(Debug)]
pub enum Link {
    Mqtt(Box<Mqtt>),
    Https(Box<Https>),
    Push(Box<Push>),
}

impl Link {
    /// What last went wrong, in a sentence for people.
    pub fn complaint(&self) -> Option<&str> {
        match self {
            Link::Mqtt(link) => link.complaint(),
            Link::Https(link) => link.complaint(),
            Link::Push(link) => link.complaint(),
        }
    }

    /// How many parcels it takes now.
    pub fn room(&self) -> usize {
        match self {
            Link::Mqtt(link) => link.room(),
            Link::Https(link) => link.room(),
            Link::Push(link) => link.room(),
        }
    }

    /// Largest payload that the other side takes, bytes.
    pub fn max_payload(&self) -> usize {
        match self {
            Link::Mqtt(link) => link.max_payload(),
            Link::Https(_) | Link::Push(_) => super::MAX_PICTURE,
        }
    }

    /// Sends it; call only while there is [`Link::room`].
    pub fn send(&mut self, parcel: Parcel) {
        match self {
            Link::Mqtt(link) => link.send(parcel),
            Link::Https(link) => link.send(parcel),
            Link::Push(link) => link.send(parcel),
        }
    }

    /// The next report; connects and reconnects by itself. Cancel-safe.
    pub async fn next(&mut self) -> Report {
        match self {
            Link::Mqtt(link) => link.next().await,
            Link::Https(link) => link.next().await,
            Link::Push(link) => link.next().await,
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        if let Link::Mqtt(link) = self {
            link.close().await;
        }
    }
}
