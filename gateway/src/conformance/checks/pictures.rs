//! Pictures: whole, in pieces, missing and wrong.

use bytes::Bytes;

use super::super::{
    exam::{Exam, Miss, Outcome, fails, has_status, holds, is_refused, receipt},
    material::{Picture, parcel},
    peer::{Content, Parcel, Peer, Piece, PieceReply},
};
use crate::uplink::MAX_PICTURE;

/// A picture for three pieces, bytes.
const IN_PIECES: usize = 100_000;
/// Where the second and the third begin.
const CUTS: [usize; 2] = [40_000, 65_000];

pub(super) async fn picture(exam: &mut Exam) -> Outcome {
    let picture = Picture::new().parcel();
    exam.stored("a picture", &picture).await?;
    exam.stored("the same again", &picture).await?;
    exam.note(&picture);
    Ok(())
}

pub(super) async fn wrong_hash(exam: &mut Exam) -> Outcome {
    let (named, other) = (Picture::new(), Picture::new());
    let what = "a picture under another one's hash";
    let parcel_under = other.under(&named.sha256);
    let reply = exam.send(what, &parcel_under).await;
    match reply.http() {
        // A plain refusal of the request does no harm either: it never comes from a station.
        Some(400 | 409 | 422) => {}
        _ => is_refused(what, &parcel_under, &reply)?,
    }
    let alert = parcel(&exam.maker.alert(&[named.evidence()]));
    let what = "an alert that names that hash";
    let reply = exam.send(what, &alert).await;
    has_status(what, receipt(what, &alert, &reply)?, "evidence_missing")
}

pub(super) async fn missing(exam: &mut Exam) -> Outcome {
    let picture = Picture::new();
    let alert = parcel(&exam.maker.alert(&[picture.evidence()]));
    let what = "an alert before its picture";
    for what in [what, "the same again"] {
        let reply = exam.send(what, &alert).await;
        let receipt = receipt(what, &alert, &reply)?;
        has_status(what, receipt, "evidence_missing")?;
        if receipt.sha256 != alert.sha256 {
            return Err(fails(format!(
                "{what}: the receipt's sha256 is not that of the message, so the station takes it for nothing"
            )));
        }
    }
    exam.stored("its picture", &picture.parcel()).await?;
    exam.stored("the same alert", &alert).await?;
    exam.note(&picture.parcel());
    exam.note(&alert);
    Ok(())
}

pub(super) async fn largest(exam: &mut Exam) -> Outcome {
    let picture = Picture::sized(MAX_PICTURE).parcel();
    exam.stored("a picture of the largest size", &picture).await
}

pub(super) async fn thumbnail(exam: &mut Exam) -> Outcome {
    let (small, large) = (Picture::new(), Picture::new());
    let mut named = large.evidence();
    named.thumbnail = Some(small.sha256.clone());
    let alert = parcel(&exam.maker.alert(&[named]));
    let what = "an alert before its small picture and its large one";
    let reply = exam.send(what, &alert).await;
    has_status(what, receipt(what, &alert, &reply)?, "evidence_missing")?;
    exam.stored("the small picture", &small.parcel()).await?;
    exam.stored("the same alert", &alert).await?;
    exam.stored("the large picture, later", &large.parcel())
        .await
}

pub(super) async fn pieces(exam: &mut Exam) -> Outcome {
    let picture = Picture::sized(IN_PIECES);
    let [first, second] = CUTS;
    let ask = exam.held(&picture.sha256).await;
    let begin = exam.piece(&picture, 0..first).await;
    if let Some(why) = not_offered(exam, &begin) {
        return Err(Miss::NotOffered(why));
    }
    if ask.offset.is_some_and(|held| held != 0) {
        return Err(fails("it claims to have some of a picture that is new"));
    }
    partial("the first piece", &begin, first)?;
    let ask = exam.held(&picture.sha256).await;
    holds(
        "how much is there after the first piece",
        &ask,
        first as u64,
    )?;

    let what = "a piece that begins where nothing ends";
    // It ends elsewhere, too: a repeat of the last piece may get 204 again.
    let wrong = exam.piece(&picture, 10..first / 2).await;
    if matches!(exam.peer, Peer::Https(_)) && wrong.status != 409 {
        return Err(fails(format!(
            "{what}: the status is {} instead of 409",
            wrong.status
        )));
    }
    holds(what, &wrong, first as u64)?;

    let middle = exam.piece(&picture, first..second).await;
    partial("the second piece", &middle, second)?;
    let last = exam.piece(&picture, second..IN_PIECES).await;
    let what = "the last piece";
    let Some(receipt) = last.receipt else {
        return Err(fails(format!("{what}: no receipt for the picture")));
    };
    has_status(what, &receipt, "stored")?;
    if (&receipt.id, &receipt.sha256) != (&picture.sha256, &picture.sha256) {
        return Err(fails(format!(
            "{what}: id and sha256 of the receipt are not both the picture's hash"
        )));
    }
    let alert = parcel(&exam.maker.alert(&[picture.evidence()]));
    exam.stored("an alert that names the picture", &alert)
        .await?;

    // The pieces fit together, but to another picture than was said.
    let (named, other) = (Picture::new(), Picture::sized(IN_PIECES));
    let other = Picture {
        sha256: named.sha256.clone(),
        bytes: other.bytes,
    };
    exam.piece(&other, 0..first).await;
    let what = "pieces that do not have the hash they came under";
    let last = exam.piece(&other, first..IN_PIECES).await;
    match &last.receipt {
        Some(receipt) => has_status(what, receipt, "refused"),
        None if matches!(last.status, 400 | 409 | 422) => Ok(()),
        None => Err(fails(format!("{what}: {}", last.text))),
    }
}

/// One that offers pieces has taken the first.
fn not_offered(exam: &Exam, begin: &PieceReply) -> Option<String> {
    match &exam.peer {
        Peer::Https(_) => matches!(begin.status, 404 | 405 | 501).then(|| {
            format!(
                "PATCH is answered by {}: pictures come whole, by PUT",
                begin.status
            )
        }),
        Peer::Mqtt(_) => begin
            .receipt
            .is_none()
            .then(|| "pieces are not answered: pictures come whole".to_owned()),
    }
}

/// Taken, and more is to come.
fn partial(what: &str, reply: &PieceReply, held: usize) -> Outcome {
    match &reply.receipt {
        None if reply.status == 204 => {}
        Some(receipt) => has_status(what, receipt, "partial")?,
        None => return Err(fails(format!("{what}: {}", reply.text))),
    }
    holds(what, reply, held as u64)
}

impl Exam {
    /// Asks how much of a picture is there.
    async fn held(&mut self, sha256: &str) -> PieceReply {
        let (sent, reply) = match &self.peer {
            Peer::Https(peer) => (
                format!("how much is there: HEAD /evidence/{sha256}"),
                peer.held(sha256).await,
            ),
            Peer::Mqtt(peer) => {
                let nothing = piece_parcel(sha256, Bytes::new());
                (
                    format!("how much is there: no bytes to …/evidence/{sha256}/0/{IN_PIECES}"),
                    peer.piece(&nothing, 0, IN_PIECES as u64).await,
                )
            }
        };
        self.log(sent, reply.text.clone());
        reply
    }

    /// Sends a piece of a picture.
    async fn piece(&mut self, picture: &Picture, range: std::ops::Range<usize>) -> PieceReply {
        let (offset, total) = (range.start as u64, picture.bytes.len() as u64);
        let bytes = picture.bytes.slice(range.clone());
        let sha256 = &picture.sha256;
        let reply = match &self.peer {
            Peer::Https(peer) => {
                let piece = Piece {
                    sha256: sha256.clone(),
                    offset,
                    total,
                    bytes,
                };
                peer.piece(&piece).await
            }
            Peer::Mqtt(peer) => {
                let piece = piece_parcel(sha256, bytes);
                peer.piece(&piece, offset, total).await
            }
        };
        let sent = format!(
            "bytes {} to {} of {total} of picture {sha256}",
            range.start, range.end
        );
        self.log(sent, reply.text.clone());
        reply
    }
}

/// Its receipt has the picture's hash in both places.
fn piece_parcel(sha256: &str, bytes: Bytes) -> Parcel {
    Parcel {
        id: sha256.to_owned(),
        sha256: sha256.to_owned(),
        content: Content::Picture,
        bytes,
    }
}
