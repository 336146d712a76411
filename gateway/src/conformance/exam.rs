//! One clause being tried: what is sent and what comes back is written down as it happens.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use super::{
    clause::Clause,
    material::Maker,
    notes::Notes,
    peer::{Content, Login, Parcel, Peer, PieceReply, Receipt, Reply},
};

/// What was sent and what came back.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub sent: String,
    pub came: String,
}

/// Why a clause was not seen to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It does not hold.
    Fails(String),
    /// The receiver does not offer it, which is its choice.
    NotOffered(String),
    /// It could not be tried.
    Skipped(String),
}

/// Whether a clause holds.
pub type Outcome = Result<(), Miss>;

/// It does not hold, and why.
pub fn fails(why: impl Into<String>) -> Miss {
    Miss::Fails(why.into())
}

/// Everything that a clause's trial needs.
#[derive(Debug)]
pub struct Exam {
    pub peer: Peer,
    pub maker: Maker,
    pub station: String,
    /// For the run after the restart.
    pub notes: Notes,
    /// Anything was answered so far.
    pub heard: bool,
    trail: Vec<Step>,
}

impl Exam {
    pub fn new(peer: Peer, station: &str) -> Self {
        Exam {
            peer,
            maker: Maker::new(station),
            station: station.to_owned(),
            notes: Notes::new(station),
            heard: false,
            trail: Vec::new(),
        }
    }

    /// What happened since the last call.
    pub fn take_trail(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.trail)
    }

    /// Sends it; `what` says what it is.
    pub async fn send(&mut self, what: &str, parcel: &Parcel) -> Reply {
        let reply = self.peer.deliver(parcel).await;
        self.heard |= !matches!(reply, Reply::Silence(_));
        self.log(self.sent(what, parcel), reply.text());
        reply
    }

    /// Sends all of them at once.
    pub async fn send_at_once(&mut self, what: &str, parcels: &[Parcel]) -> Vec<Reply> {
        let replies = join_all(parcels.iter().map(|p| self.peer.deliver(p))).await;
        for (parcel, reply) in parcels.iter().zip(&replies) {
            let sent = self.sent(what, parcel);
            self.trail.push(Step {
                sent,
                came: reply.text(),
            });
        }
        replies
    }

    /// Sends it over HTTPS as somebody else.
    pub async fn send_as(&mut self, login: Login, what: &str, parcel: &Parcel) -> Reply {
        let Peer::Https(peer) = &self.peer else {
            return Reply::Broken("over MQTT it is the broker who asks for passwords".to_owned());
        };
        let reply = peer.deliver(parcel, login).await;
        self.log(self.sent(what, parcel), reply.text());
        reply
    }

    /// Writes down what had no parcel.
    pub fn log(&mut self, sent: String, came: String) {
        self.trail.push(Step { sent, came });
    }

    /// Sends it, and it must be stored.
    pub async fn stored(&mut self, what: &str, parcel: &Parcel) -> Outcome {
        let reply = self.send(what, parcel).await;
        is_stored(what, parcel, &reply)
    }

    /// Sends it, and it must be refused with a reason.
    pub async fn refused(&mut self, what: &str, parcel: &Parcel) -> Outcome {
        let reply = self.send(what, parcel).await;
        is_refused(what, parcel, &reply)
    }

    /// Notes what the receiver has promised to keep.
    pub fn note(&mut self, parcel: &Parcel) {
        self.notes.add(parcel);
    }

    fn sent(&self, what: &str, parcel: &Parcel) -> String {
        let address = self.peer.address(parcel.content, &parcel.id);
        let bytes = parcel.bytes.len();
        match parcel.content {
            Content::Picture => format!("{what}: {address}, {bytes} bytes"),
            _ if parcel.id.is_empty() => format!("{what}: {address}, {bytes} bytes"),
            _ => format!("{what}: {address}, id {}, {bytes} bytes", parcel.id),
        }
    }
}

/// The receipt of a reply, and that it is about this parcel.
pub fn receipt<'r>(what: &str, parcel: &Parcel, reply: &'r Reply) -> Result<&'r Receipt, Miss> {
    let receipt = match reply {
        Reply::Receipt(receipt, _) => receipt,
        Reply::Silence(waited) => return Err(silence(what, *waited)),
        Reply::Broken(reason) => return Err(fails(format!("{what}: {reason}"))),
        Reply::Http(status, _) => {
            let why = match status {
                200..=299 => "the body is no receipt, so to the station nothing was delivered",
                413 => "it is not too large",
                401 | 403 => "the token is refused",
                429 | 503 => "the receiver is busy; try again when it is not",
                300..=399 => "redirects are not followed",
                _ => "that is no receipt, and the station repeats the message for ever",
            };
            return Err(fails(format!("{what}: {why}")));
        }
    };
    if !parcel.id.is_empty() && receipt.id != parcel.id {
        return Err(fails(format!(
            "{what}: the receipt's id is \"{}\" and not that of the message",
            receipt.id
        )));
    }
    Ok(receipt)
}

/// It was stored, with the right hash.
pub fn is_stored(what: &str, parcel: &Parcel, reply: &Reply) -> Outcome {
    let receipt = receipt(what, parcel, reply)?;
    has_status(what, receipt, "stored")?;
    if receipt.sha256 != parcel.sha256 {
        return Err(fails(format!(
            "{what}: the receipt's sha256 is not that of the bytes sent, {}",
            parcel.sha256
        )));
    }
    Ok(())
}

/// It was refused, with a reason.
pub fn is_refused(what: &str, parcel: &Parcel, reply: &Reply) -> Outcome {
    let receipt = receipt(what, parcel, reply)?;
    has_status(what, receipt, "refused")?;
    match receipt.reason.as_deref() {
        None | Some("") => Err(fails(format!("{what}: refused without a reason"))),
        Some(_) => Ok(()),
    }
}

/// Its status is this.
pub fn has_status(what: &str, receipt: &Receipt, wanted: &str) -> Outcome {
    match &*receipt.status {
        status if status == wanted => Ok(()),
        status => Err(fails(format!(
            "{what}: status is \"{status}\" instead of \"{wanted}\"{}",
            match &receipt.reason {
                Some(reason) => format!(" ({reason})"),
                None => String::new(),
            }
        ))),
    }
}

/// Too large for it, said in one of the ways that end the matter.
pub fn is_too_large(what: &str, parcel: &Parcel, reply: &Reply) -> Outcome {
    match reply.http() {
        Some(413) => Ok(()),
        _ => {
            // Nobody need read so much to find its id.
            let nameless = Parcel {
                id: String::new(),
                ..parcel.clone()
            };
            is_refused(what, &nameless, reply)
        }
    }
}

/// What a piece's answer must say about how much is there.
pub fn holds(what: &str, reply: &PieceReply, offset: u64) -> Outcome {
    match reply.offset {
        Some(held) if held == offset => Ok(()),
        Some(held) => Err(fails(format!("{what}: it says {held} instead of {offset}"))),
        None => Err(fails(format!("{what}: it does not say how much is there"))),
    }
}

fn silence(what: &str, waited: Duration) -> Miss {
    fails(format!(
        "{what}: no answer within {} s",
        waited.as_secs_f32()
    ))
}

/// A clause and what became of it.
#[derive(Clone, Debug)]
pub struct Finding {
    pub clause: Clause,
    pub outcome: Outcome,
    pub trail: Vec<Step>,
}
