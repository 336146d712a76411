//! What a report from the transport does to the queue.

use std::time::Duration;

use tracing::{info, warn};
use wangge_protocol::{Receipt, ReceiptStatus};

use super::{
    super::{
        lane::{Course, State, Token},
        link::Piece,
        pace::Backoff,
    },
    PATIENCE, Queue, RECEIPT_TIMEOUT, STRIKES,
    live::is_live,
    pieces::Lost,
};
use crate::{
    config::Border,
    spool::{Class, Seq},
};

const SILENCE: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(15),
};
pub(super) const REFUSAL: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(60),
};
const HOLD: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(30),
};
/// A `Retry-After` beyond this is not believed.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(3_600);

impl Queue {
    /// The connection stands.
    pub fn connected(&mut self) {
        self.up = true;
    }

    /// The connection is gone: everything without a receipt will go again. `closed` says that
    /// the other side closed it, which may be its answer to a picture that is too large.
    pub fn lost(&mut self, now: Duration, closed: bool) {
        self.up = false;
        let flying: Vec<Token> = self.tokens(|c| c.flying());
        for token in &flying {
            if let Token::Picture(sha256) = token {
                self.piece_lost(sha256, Lost::Link);
            }
        }
        self.pictures.forget_held();
        if closed && !flying.is_empty() {
            self.deaths = self.deaths.saturating_add(1);
        }
        if let [token @ Token::Picture(sha256)] = flying.as_slice()
            && self.pictures.piece(sha256) == Piece::Whole
            && closed
            && self.deaths > 2
        {
            self.refused(token, "the receiver closes the connection on it", now);
        }
        let again =
            self.tokens(|c| c.flying() || matches!(c.state, State::Resting { silence: true, .. }));
        for token in again {
            self.set(&token, State::Ready);
        }
    }

    /// The transport's peer has it (MQTT: PUBACK); the wait for the receipt begins.
    pub fn transmitted(&mut self, token: &Token, now: Duration) {
        if self.border == Border::Broker {
            self.delivered(token, now);
        } else if self.answered(token, now) {
            self.deaths = 0;
            self.set(
                token,
                State::Awaiting {
                    since: now,
                    due: now + RECEIPT_TIMEOUT,
                },
            );
        }
    }

    /// The receiver's word. `false` if it is about nothing that we wait for, or its hash is not
    /// that of our bytes; it then changes nothing.
    pub fn receipt(&mut self, receipt: &Receipt, now: Duration) -> bool {
        if receipt.status == ReceiptStatus::EvidenceMissing
            && receipt.id == receipt.sha256
            && decode(&receipt.sha256).is_some()
        {
            let token = Token::Picture(receipt.id.as_str().into());
            if !self.course(&token).is_some_and(Course::flying) {
                self.heard(now);
                self.wanted(&receipt.id);
                return true;
            }
        }
        let Some(token) = self.match_receipt(receipt) else {
            self.counters.strange_receipts.add_one();
            return false;
        };
        if receipt.status == ReceiptStatus::Partial {
            return self.partial(&token, receipt, now);
        }
        self.answered(&token, now);
        match receipt.status {
            ReceiptStatus::Stored => self.delivered(&token, now),
            // A repeat of a bad answer must not count as a second strike.
            _ if !self.course(&token).is_some_and(Course::flying) => {
                self.counters.strange_receipts.add_one();
                return false;
            }
            ReceiptStatus::EvidenceMissing => {
                self.heard(now);
                self.evidence_missing(&token, now);
            }
            ReceiptStatus::Refused => {
                self.heard(now);
                let reason = receipt.reason.as_deref().unwrap_or("no reason given");
                self.refused(&token, reason, now);
            }
            ReceiptStatus::Partial => return false,
        }
        true
    }

    /// The receiver's answer to one message; if it is about another, it is no answer.
    pub fn answer(&mut self, token: &Token, receipt: &Receipt, now: Duration) {
        if self.match_receipt(receipt).as_ref() == Some(token) {
            self.receipt(receipt, now);
        } else {
            warn!(
                id = receipt.id,
                sha256 = receipt.sha256,
                "the receipt's id or hash is not that of the message: sending it again"
            );
            self.counters.strange_receipts.add_one();
            self.failed(token, now);
        }
    }

    fn match_receipt(&self, receipt: &Receipt) -> Option<Token> {
        if receipt.id == receipt.sha256 {
            let (sha256, course) = self.pictures.get(&receipt.id)?;
            return (!matches!(course.state, State::Done { .. }))
                .then(|| Token::Picture(sha256.clone()));
        }
        let (class, seq) = *self.sent.get(&decode(&receipt.sha256)?)?;
        (self.lane(class).items.get(&seq)?.id == receipt.id).then_some(Token::Entry(class, seq))
    }

    /// It will never be accepted as it is; after [`STRIKES`] times it makes way.
    pub fn refused(&mut self, token: &Token, reason: &str, now: Duration) {
        self.counters.faults.add_one();
        if self.piece_doubted(token) {
            return self.rest(token, REFUSAL, false, now);
        }
        let Some(course) = self.course_mut(token) else {
            return;
        };
        course.strikes += 1;
        let strikes = course.strikes;
        if let Token::Picture(sha256) = token {
            self.pictures.set_held(sha256, None);
        }
        if strikes < STRIKES {
            self.rest(token, REFUSAL, false, now);
            return;
        }
        self.counters.poisoned.add_one();
        match token {
            Token::Entry(class, seq) => {
                warn!(
                    ?class,
                    seq, reason, "refused {STRIKES} times, makes way for others"
                );
                self.remove(*class, *seq);
                match is_live(*seq) {
                    true => self.live_done(*seq, "", false),
                    false => self.poison.push((*seq, format!("poison: {reason}"))),
                }
            }
            Token::Picture(sha256) => {
                warn!(%sha256, reason, "picture given up; its alert goes without it");
                self.set(token, State::Done { delivered: false });
                let sha256 = sha256.clone();
                self.picture_done(&sha256, now);
            }
        }
    }

    /// Not taken this time, through no fault of the link (HTTP 5xx, a PUBACK that says no).
    pub fn failed(&mut self, token: &Token, now: Duration) {
        self.counters.faults.add_one();
        self.piece_doubted(token);
        self.rest(token, REFUSAL, false, now);
        // One failure is the message's, two in a row are the receiver's.
        let again = self.silent;
        self.silent = true;
        if again {
            self.hold_off(None, now);
        }
    }

    /// No answer, or one that is about all messages (HTTP 401, 429); `after` is what the
    /// receiver asked for.
    pub fn unanswered(&mut self, token: &Token, after: Option<Duration>, now: Duration) {
        self.counters.faults.add_one();
        if let Token::Picture(sha256) = token {
            self.piece_lost(sha256, Lost::Reply);
        }
        self.rest(token, SILENCE, true, now);
        self.silent = true;
        self.hold_off(after, now);
    }

    fn hold_off(&mut self, after: Option<Duration>, now: Duration) {
        // Messages that fail together count once.
        if after.is_none() && self.hold.is_some_and(|until| now < until) {
            return;
        }
        let wait = match after {
            Some(asked) => asked.min(LONGEST_HOLD),
            None => HOLD.delay(self.hold_failures, &mut self.rng),
        };
        self.hold_failures = self.hold_failures.saturating_add(1);
        self.hold = Some(self.hold.unwrap_or_default().max(now + wait));
    }

    /// Moves what is due; call before [`Queue::next`].
    pub fn expire(&mut self, now: Duration) {
        if self.hold.is_some_and(|until| until <= now) {
            self.hold = None;
        }
        while let Some((at, token)) = self.timers.first().cloned()
            && at <= now
        {
            match self.course(&token).map(|c| c.state) {
                Some(State::Awaiting { since, .. }) => {
                    let alive = self.heard_at > since;
                    let asked =
                        matches!(&token, Token::Picture(p) if self.pictures.piece(p) == Piece::Ask);
                    if alive && !asked && now < since + RECEIPT_TIMEOUT * PATIENCE {
                        let due = now + RECEIPT_TIMEOUT;
                        self.set(&token, State::Awaiting { since, due });
                    } else {
                        if !alive && !self.silent {
                            info!("no receipt within {RECEIPT_TIMEOUT:?}: probing the platform");
                            self.silent = true;
                        }
                        self.counters.faults.add_one();
                        if let Token::Picture(sha256) = &token {
                            self.piece_lost(sha256, Lost::Receipt);
                        }
                        self.rest(&token, SILENCE, true, now);
                    }
                }
                Some(State::Resting { .. }) => self.set(&token, State::Ready),
                _ => {
                    self.timers.pop_first();
                }
            }
        }
    }

    /// Entries that have their receipt since the last call.
    pub fn take_settled(&mut self) -> Vec<Seq> {
        std::mem::take(&mut self.settled)
    }

    /// Entries that were given up since the last call, with the reason.
    pub fn take_poison(&mut self) -> Vec<(Seq, String)> {
        std::mem::take(&mut self.poison)
    }

    fn delivered(&mut self, token: &Token, now: Duration) {
        self.answered(token, now);
        self.heard(now);
        self.counters.receipted.add_one();
        match token {
            Token::Entry(class, seq) => {
                let id = is_live(*seq).then(|| self.id(token)).flatten();
                match (self.remove(*class, *seq), id) {
                    (true, Some(id)) => self.live_done(*seq, &id, true),
                    (true, None) => self.settled.push(*seq),
                    (false, _) => {}
                }
            }
            Token::Picture(sha256) => {
                self.set(token, State::Done { delivered: true });
                self.picture_done(sha256, now);
            }
        }
    }

    /// Notes the round trip; whether it was on its way at all.
    pub(super) fn answered(&mut self, token: &Token, now: Duration) -> bool {
        let Some(State::Handed { at }) = self.course(token).map(|c| c.state) else {
            return false;
        };
        let took = now.saturating_sub(at);
        match token {
            Token::Entry(Class::Telemetry, _) => {
                let full = self.flying_telemetry >= self.window.size();
                self.window.answered(took, full, now);
            }
            Token::Entry(Class::Alert, _) => {
                let full = self.flying_alerts >= self.alert_window.size();
                self.alert_window.answered(took, full, now);
            }
            Token::Entry(Class::Gap, _) => {}
            Token::Picture(sha256) => self.piece_took(sha256, took),
        }
        true
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.heard_at = now;
        self.deaths = 0;
        self.hold = None;
        self.hold_failures = 0;
        if std::mem::take(&mut self.silent) {
            for token in self.tokens(|c| matches!(c.state, State::Resting { silence: true, .. })) {
                self.set(&token, State::Ready);
            }
        }
    }

    fn evidence_missing(&mut self, token: &Token, now: Duration) {
        let Token::Entry(class, seq) = token else {
            // In answer to the picture itself: it did not arrive whole.
            return self.failed(token, now);
        };
        let pictures = match self.lane(*class).items.get(seq) {
            Some(item) => item.pictures.clone(),
            None => return,
        };
        let again: Vec<Token> = pictures
            .into_iter()
            .map(Token::Picture)
            .filter(|p| {
                self.course(p)
                    .is_some_and(|c| c.state != State::Done { delivered: false })
            })
            .collect();
        if again.is_empty() {
            return self.refused(
                token,
                "the receiver wants a picture that it cannot get",
                now,
            );
        }
        self.counters.faults.add_one();
        for picture in again {
            if !self.course(&picture).is_some_and(Course::flying) {
                self.set(&picture, State::Ready);
            }
        }
        self.rest(token, REFUSAL, false, now);
    }

    pub(super) fn rest(&mut self, token: &Token, backoff: Backoff, silence: bool, now: Duration) {
        let Some(course) = self.course_mut(token) else {
            return;
        };
        let failures = course.failures;
        course.failures = failures.saturating_add(1);
        let until = now + backoff.delay(failures, &mut self.rng);
        self.set(token, State::Resting { until, silence });
    }
}

/// 64 hex digits, either case.
fn decode(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}
