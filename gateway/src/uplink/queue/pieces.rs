//! Pictures in pieces: how large a piece is, what an answer about one means, and when a record of
//! late pictures is settled.

use std::{sync::Arc, time::Duration};

use tracing::{debug, info};
use wangge_protocol::Receipt;

use super::{
    super::{
        lane::{Course, State, Token},
        link::Piece,
        pictures::Whose,
    },
    Queue,
    answers::REFUSAL,
};
use crate::spool::Seq;

/// Smallest piece, bytes: half a second at 64 kbit/s.
pub const SMALLEST: u64 = 4 * 1024;
/// First piece on a link whose speed is not known yet, bytes: two seconds at 64 kbit/s.
const FIRST: u64 = 16 * 1024;
/// A piece that took longer is halved: an alert would have waited as long.
const LATE: Duration = Duration::from_secs(2);
/// A piece that took less is doubled.
const EARLY: Duration = Duration::from_millis(500);
/// A receiver that knew no pieces is asked again after this; it may have been renewed.
const ASK_AGAIN: Duration = Duration::from_secs(3_600);
/// Doubts about a receiver that never answered about pieces, after which a picture goes whole.
const DOUBTS: u32 = 3;
/// Pictures that a platform may have asked for at a time; more requests are passed over, and it
/// asks again.
pub const ASKED: usize = 64;

/// How pictures are cut on one link.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    /// Whether they are cut at all.
    enabled: bool,
    /// Bytes of the next piece.
    size: u64,
    /// Largest piece by the configuration, and by what the link takes.
    largest: u64,
    link: u64,
    slow: bool,
    /// The receiver has answered about pieces.
    proven: bool,
    /// It knows none; not before this is it asked again.
    never_before: Option<Duration>,
}

impl Pieces {
    /// Pieces of `largest` bytes at most.
    pub fn of(largest: u64) -> Self {
        Pieces {
            enabled: true,
            size: FIRST.min(largest),
            largest,
            link: largest,
            slow: false,
            proven: false,
            never_before: None,
        }
    }

    /// Every picture whole: nobody would answer about its pieces.
    pub fn never() -> Self {
        Pieces {
            enabled: false,
            ..Pieces::of(FIRST)
        }
    }

    /// The link takes messages of so many bytes.
    pub fn link_takes(&mut self, bytes: u64) {
        self.link = bytes.max(1);
    }

    fn size(&self) -> u64 {
        self.size.min(self.largest).min(self.link)
    }

    /// Whether the last picture or piece took long.
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    fn plan(&self, total: u64, held: Option<u64>, asked: u32, now: Duration) -> Piece {
        let deaf =
            self.never_before.is_some_and(|at| now < at) || (!self.proven && asked >= DOUBTS);
        if !self.enabled || total <= self.size() || deaf {
            return Piece::Whole;
        }
        match held {
            None => Piece::Ask,
            Some(offset) => Piece::Part {
                offset,
                length: self.size().min(total.saturating_sub(offset)),
            },
        }
    }

    /// So many bytes took so long.
    fn took(&mut self, bytes: u64, took: Duration) {
        self.slow = took > EARLY;
        if took >= LATE {
            self.shrink();
        } else if took <= EARLY && bytes >= self.size() {
            self.size = (self.size * 2).min(self.largest);
        }
    }

    fn shrink(&mut self) {
        self.size = (self.size() / 2).max(SMALLEST);
    }

    fn deny(&mut self, now: Duration) {
        self.proven = false;
        self.never_before = Some(now + ASK_AGAIN);
        info!("the receiver takes no pictures in pieces: it gets them whole");
    }
}

/// What did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Anything: the connection went.
    Link,
    /// The reply to a request, which the line may have lost.
    Reply,
    /// The receipt, although the connection stands.
    Receipt,
}

impl Queue {
    /// How large messages the link takes now.
    pub fn link_takes(&mut self, bytes: u64) {
        self.pieces.link_takes(bytes);
    }

    /// Decides what of a picture goes now.
    pub(super) fn plan_piece(&mut self, sha256: &Arc<str>, now: Duration) {
        let total = self.pictures.total(sha256);
        let held = self.pictures.held(sha256).map(|held| held.min(total));
        let asked = self.pictures.unanswered(sha256);
        let piece = self.pieces.plan(total, held, asked, now);
        self.pictures.set_piece(sha256, piece);
    }

    /// A picture, or a piece of one, took so long to get an answer.
    pub(super) fn piece_took(&mut self, sha256: &Arc<str>, took: Duration) {
        match self.pictures.piece(sha256) {
            Piece::Ask => {}
            Piece::Whole => self.pieces.took(self.pictures.total(sha256), took),
            Piece::Part { length, .. } => self.pieces.took(length, took),
        }
    }

    /// Nobody answered, or the link went: what the receiver has must be asked again. A whole
    /// picture that is lost was too much, so pieces are tried again.
    pub(super) fn piece_lost(&mut self, sha256: &Arc<str>, lost: Lost) {
        let piece = self.pictures.piece(sha256);
        let doubts = self.pictures.unanswered(sha256);
        let doubts = match (piece, lost) {
            (Piece::Whole, _) => 0,
            (_, Lost::Link) => doubts,
            (_, Lost::Reply) => doubts + 1,
            (_, Lost::Receipt) => doubts + DOUBTS,
        };
        self.pictures.set_unanswered(sha256, doubts);
        if matches!(piece, Piece::Part { .. }) {
            self.pieces.shrink();
        }
        self.pictures.set_held(sha256, None);
    }

    /// Whether a bad answer may only mean that the receiver takes a piece for a picture; it then
    /// gets the picture whole.
    pub(super) fn piece_doubted(&mut self, token: &Token) -> bool {
        let Token::Picture(sha256) = token else {
            return false;
        };
        let doubted = !self.pieces.proven && self.pictures.piece(sha256) != Piece::Whole;
        if doubted {
            self.pictures.set_unanswered(sha256, DOUBTS);
            self.pictures.set_held(sha256, None);
        }
        doubted
    }

    /// The receiver's definite answer to what was sent: so many bytes are there.
    pub fn held(&mut self, token: &Token, held: u64, now: Duration) {
        let Token::Picture(sha256) = token else {
            return self.failed(token, now);
        };
        if !self.course(token).is_some_and(Course::flying) {
            return;
        }
        self.answered(token, now);
        self.heard(now);
        if held > self.pictures.total(sha256) {
            debug!(%sha256, held, "more than the picture has");
            return self.failed(token, now);
        }
        // "Nothing is here" is also what a receiver says that never heard of it.
        if held > 0 || self.pictures.piece(sha256) != Piece::Ask {
            self.pieces.proven = true;
            self.pictures.set_unanswered(sha256, 0);
        }
        self.pictures.set_held(sha256, Some(held));
        match self.pictures.piece(sha256) {
            Piece::Part { offset, .. } if held <= offset => {
                // Going on at once could go on for ever.
                self.counters.faults.add_one();
                self.rest(token, REFUSAL, false, now);
            }
            piece => {
                if let Some(course) = self.course_mut(token) {
                    // The next piece is no repeat.
                    course.sent = false;
                    if piece != Piece::Ask {
                        course.failures = 0;
                    }
                }
                self.set(token, State::Ready);
            }
        }
    }

    /// The receiver's word, perhaps late or repeated, on how much of a picture is there.
    pub(super) fn partial(&mut self, token: &Token, receipt: &Receipt, now: Duration) -> bool {
        let (Token::Picture(sha256), Some(held)) = (token, receipt.offset) else {
            return false;
        };
        let flying = self.course(token).is_some_and(Course::flying);
        let news = match self.pictures.piece(sha256) {
            Piece::Ask => true,
            Piece::Part { offset, .. } => held > offset,
            Piece::Whole => false,
        };
        self.pieces.proven = true;
        if flying && news {
            self.held(token, held, now);
        } else {
            // A repeat of an earlier word; if it was not, the time-out asks again.
            self.heard(now);
        }
        true
    }

    /// The receiver knows no pieces.
    pub fn no_pieces(&mut self, token: &Token, now: Duration) {
        let Token::Picture(sha256) = token else {
            return self.failed(token, now);
        };
        if !self.course(token).is_some_and(Course::flying) {
            return;
        }
        self.heard(now);
        if self.pictures.piece(sha256) == Piece::Whole {
            return self.failed(token, now);
        }
        self.pieces.deny(now);
        self.pictures.set_held(sha256, None);
        self.set(token, State::Ready);
    }

    // ---- late pictures, and those that were asked for ----

    /// The platform says that it misses a picture, not in answer to one.
    pub(super) fn wanted(&mut self, sha256: &str) {
        let sha256: Arc<str> = sha256.into();
        if self.pictures.get(&sha256).is_some() {
            let total = self.pictures.total(&sha256);
            return self.bring(&sha256, total);
        }
        let there = self.asked.len() + self.pictures.asked();
        if there < ASKED && !self.asked.contains(&sha256) {
            self.asked.push(sha256);
        }
    }

    /// Pictures that the platform asked for since the last call and that nothing here names.
    pub fn take_asked(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.asked)
    }

    /// Sends a picture of `total` bytes because the platform asked for it.
    pub fn bring(&mut self, sha256: &Arc<str>, total: u64) {
        let jpeg = "image/jpeg".to_owned();
        if !self.pictures.is_asked(sha256) {
            self.pictures.want(sha256, jpeg, total, Whose::Platform);
        }
        let token = Token::Picture(sha256.clone());
        if matches!(
            self.course(&token).map(|c| c.state),
            Some(State::Done { .. })
        ) {
            self.pictures.set_held(sha256, None);
            self.set(&token, State::Ready);
        }
    }

    /// A picture needs no more sending.
    pub(super) fn picture_done(&mut self, sha256: &Arc<str>, now: Duration) {
        let whole = self.pictures.piece(sha256) == Piece::Whole;
        if whole && !self.pieces.proven && self.pictures.unanswered(sha256) > 0 {
            // It is there and answers, but not what it does not know.
            self.pieces.deny(now);
        }
        if self.pictures.is_asked(sha256) {
            self.pictures.release(sha256, Whose::Platform);
        }
        self.settle_late();
    }

    /// Settles the records of which every picture is there, gives up those with one that never
    /// will be.
    pub(super) fn settle_late(&mut self) {
        let state = |p: &Arc<str>| self.pictures.get(p).map(|(_, course)| course.state);
        let ended: Vec<(Seq, bool)> = self
            .late
            .iter()
            .filter(|(_, pictures)| {
                pictures
                    .iter()
                    .all(|p| matches!(state(p), None | Some(State::Done { .. })))
            })
            .map(|(seq, pictures)| {
                let given_up = Some(State::Done { delivered: false });
                (*seq, pictures.iter().any(|p| state(p) == given_up))
            })
            .collect();
        for (seq, given_up) in ended {
            for picture in self.late.remove(&seq).unwrap_or_default() {
                self.pictures.release(&picture, Whose::Late);
            }
            match given_up {
                true => self
                    .poison
                    .push((seq, "poison: picture refused".to_owned())),
                false => self.settled.push(seq),
            }
        }
    }
}

#[cfg(test)]
mod tests;
