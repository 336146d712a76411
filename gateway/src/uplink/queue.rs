//! What goes out next, and what an answer means. Pure: no I/O, `now` is [`Now::mono`].
//!
//! Invariants, each with a test:
//! 1. An entry leaves the queue only by a receipt whose id and SHA-256 are those of its bytes
//!    (or the broker's PUBACK where that is the border), or as poison after [`STRIKES`] refusals.
//! 2. After every reconnect everything without a receipt is sent again.
//! 3. Alerts go before gaps, gaps before telemetry; each lane is in order on first sending.
//! 4. A picture is sent before the alert that names it, and once unless the receiver misses it.
//!    An alert does not wait for ever: a picture that found no receiver in one round, or that is
//!    refused, lets its alert pass, and the receiver then says what it misses.
//! 5. Alerts are discarded on the platform's own word only; a link that dies under a picture
//!    gives up the picture, never the alert.
//!
//! [`Now::mono`]: crate::clock::Now::mono

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use tracing::{info, warn};
use wangge_protocol::{Receipt, ReceiptStatus};

use super::{
    lane::{Course, Item, Lane, State, Token},
    pace::{Backoff, Pace, Window},
    pictures::Pictures,
};
use crate::{
    config::Border,
    counters::UplinkCounters,
    spool::{Class, Entry, Seq},
};

/// Refusals after which an entry is poison and makes way.
pub const STRIKES: u32 = 3;
/// Entries in memory per lane; telemetry's is also the most that may wait for receipts.
pub const ALERTS_LOADED: usize = 64;
/// See [`ALERTS_LOADED`].
pub const GAPS_LOADED: usize = 16;
/// See [`ALERTS_LOADED`]; at 3.5 KB each, 1.8 MB.
pub const TELEMETRY_LOADED: usize = 512;
/// Pictures on their way at once: a second one hides the first one's round trip, more would
/// only delay an alert without pictures on a slow link.
pub const PICTURES_FLYING: usize = 2;
/// Wait for a receipt, from the moment that the message left; a platform that is heard
/// meanwhile gets [`PATIENCE`] times as long, because then it is only busy.
pub const RECEIPT_TIMEOUT: Duration = Duration::from_secs(5);
/// See [`RECEIPT_TIMEOUT`].
pub const PATIENCE: u32 = 4;
/// Telemetry messages a second at most, so that thousands of stations that come back after an
/// outage drain evenly instead of as one wave.
pub const DRAIN_PER_SECOND: f64 = 4_000.0;

const SILENCE: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(15),
};
const REFUSAL: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(60),
};
const HOLD: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(30),
};
/// A `Retry-After` beyond this is not believed.
const LONGEST_HOLD: Duration = Duration::from_secs(3_600);

/// What to take from the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub class: Class,
    pub after: Option<Seq>,
    pub max: usize,
    /// The newest sequence number known when this was asked.
    newest: Seq,
}

/// The queue of one uplink.
#[derive(Debug)]
pub struct Queue {
    alerts: Lane,
    gaps: Lane,
    telemetry: Lane,
    pictures: Pictures,
    timers: BTreeSet<(Duration, Token)>,
    /// SHA-256 of what was sent -> which entry it is.
    sent: HashMap<[u8; 32], (Class, Seq)>,
    border: Border,
    carries_telemetry: bool,
    counters: Arc<UplinkCounters>,
    rng: StdRng,
    window: Window,
    pace: Pace,
    /// When the pace allows the next telemetry message, if it is what holds one back.
    paced: Option<Duration>,
    up: bool,
    /// Nobody answers: one probe at a time until somebody does.
    silent: bool,
    heard_at: Duration,
    /// Nothing is sent before this.
    hold: Option<Duration>,
    hold_failures: u32,
    /// Connections in a row that the other side closed before taking anything.
    deaths: u32,
    flying: usize,
    flying_telemetry: usize,
    /// Every entry up to here was taken from the spool or is known to be in a lane marked `more`.
    known: Seq,
    newest: Seq,
    settled: Vec<Seq>,
    poison: Vec<(Seq, String)>,
}

impl Queue {
    /// An empty queue; `carries_telemetry` says whether telemetry is to be expected, `seed` is
    /// for the jitter.
    pub fn new(
        border: Border,
        carries_telemetry: bool,
        counters: Arc<UplinkCounters>,
        seed: u64,
    ) -> Self {
        Queue {
            alerts: Lane::new(ALERTS_LOADED),
            gaps: Lane::new(GAPS_LOADED),
            telemetry: Lane::new(TELEMETRY_LOADED),
            pictures: Pictures::default(),
            timers: BTreeSet::new(),
            sent: HashMap::new(),
            border,
            carries_telemetry,
            counters,
            rng: StdRng::seed_from_u64(seed),
            window: Window::new(TELEMETRY_LOADED),
            pace: Pace::new(DRAIN_PER_SECOND, TELEMETRY_LOADED as f64),
            paced: None,
            up: false,
            silent: false,
            heard_at: Duration::ZERO,
            hold: None,
            hold_failures: 0,
            deaths: 0,
            flying: 0,
            flying_telemetry: 0,
            known: 0,
            newest: 0,
            settled: Vec::new(),
            poison: Vec::new(),
        }
    }

    // ---- from the spool ----

    /// The spool's newest durable entry is `newest`.
    pub fn appended(&mut self, newest: Seq) {
        if newest <= self.known.max(self.newest) {
            return;
        }
        self.newest = newest;
        self.telemetry.more |= self.carries_telemetry;
        if !self.carries_telemetry || self.telemetry.wants().is_none() {
            // The telemetry lane is not read now, so it cannot tell whether an alert came.
            self.look_everywhere();
        }
    }

    /// What to take from the spool next. Usually one look at the telemetry lane is enough: if
    /// its numbers leave no hole, no other lane can have anything new.
    pub fn want(&self) -> Option<Want> {
        [Class::Alert, Class::Gap, Class::Telemetry]
            .into_iter()
            .find_map(|class| {
                let lane = self.lane(class);
                lane.wants().map(|max| Want {
                    class,
                    after: lane.after,
                    max,
                    newest: self.newest,
                })
            })
    }

    /// Takes in what the spool answered.
    pub fn load(&mut self, want: Want, entries: Vec<Entry>) {
        let drained = entries.len() < want.max;
        if want.class == Class::Telemetry {
            let mut hole = false;
            for entry in &entries {
                hole |= entry.seq > self.known + 1;
                self.known = self.known.max(entry.seq);
            }
            if hole || (drained && self.known < want.newest) {
                self.look_everywhere();
            }
        }
        // What came while the spool answered may or may not be in the answer.
        let behind = self.newest > want.newest;
        self.lane_mut(want.class).more = !drained || behind;
        for entry in entries {
            let seq = entry.seq;
            let item = Item::new(entry, self.border == Border::Receipt);
            for sha256 in &item.pictures {
                self.pictures.want(sha256);
            }
            let lane = self.lane_mut(want.class);
            lane.after = Some(seq);
            lane.ready.insert(seq);
            lane.items.insert(seq, item);
        }
    }

    fn look_everywhere(&mut self) {
        self.alerts.more = true;
        self.gaps.more = true;
        self.known = self.known.max(self.newest);
    }

    // ---- to the transport ----

    /// What to send now, if anything; it then counts as handed to the transport.
    pub fn next(&mut self, now: Duration) -> Option<Token> {
        self.paced = None;
        if !self.up || self.hold.is_some_and(|until| now < until) {
            return None;
        }
        if self.cautious() && self.flying > 0 {
            return None;
        }
        let token = self
            .next_alert()
            .or_else(|| self.next_picture())
            .or_else(|| {
                self.gaps
                    .ready
                    .first()
                    .map(|s| Token::Entry(Class::Gap, *s))
            })
            .or_else(|| self.next_telemetry(now))?;
        self.set(&token, State::Handed { at: now });
        if let Token::Entry(class, seq) = token
            && let Some(sha256) = self.lane(class).items.get(&seq).and_then(|i| i.sha256)
        {
            self.sent.insert(sha256, (class, seq));
        }
        self.counters.sent.add_one();
        if let Some(course) = self.course_mut(&token)
            && std::mem::replace(&mut course.sent, true)
        {
            self.counters.resent.add_one();
        }
        Some(token)
    }

    fn next_alert(&self) -> Option<Token> {
        for seq in &self.alerts.ready {
            let item = self.alerts.items.get(seq)?;
            if item.pictures.iter().all(|p| self.pictures.clear(p)) {
                return Some(Token::Entry(Class::Alert, *seq));
            }
            if !item.course.sent {
                return None;
            }
        }
        None
    }

    fn next_picture(&self) -> Option<Token> {
        (self.pictures.flying() < PICTURES_FLYING)
            .then(|| self.pictures.next().map(Token::Picture))
            .flatten()
    }

    fn next_telemetry(&mut self, now: Duration) -> Option<Token> {
        let seq = *self.telemetry.ready.first()?;
        if self.flying_telemetry >= self.window.size() {
            return None;
        }
        if !self.pace.take(now) {
            self.paced = Some(self.pace.next());
            return None;
        }
        Some(Token::Entry(Class::Telemetry, seq))
    }

    fn cautious(&self) -> bool {
        self.silent || self.deaths >= 2
    }

    /// Stream and body of an entry that is being sent.
    pub fn item(&self, class: Class, seq: Seq) -> Option<(&str, Bytes)> {
        let item = self.lane(class).items.get(&seq)?;
        Some((&item.stream, item.body.clone()))
    }

    /// Whether this was handed to the transport and nothing happened since.
    pub fn is_handed(&self, token: &Token) -> bool {
        self.course(token)
            .is_some_and(|c| matches!(c.state, State::Handed { .. }))
    }

    /// When [`Queue::expire`] or [`Queue::next`] should be called again at the latest.
    pub fn due(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, self.hold, self.paced].into_iter().flatten().min()
    }

    /// Whether nothing could be done now, even with room and time.
    pub fn is_idle(&self) -> bool {
        let idle = |lane: &Lane| lane.ready.is_empty() && !lane.more;
        let lanes = idle(&self.alerts) && idle(&self.gaps) && idle(&self.telemetry);
        !self.up || (self.flying == 0 && lanes)
    }

    // ---- from the transport ----

    /// The connection stands.
    pub fn connected(&mut self) {
        self.up = true;
    }

    /// The connection is gone: everything without a receipt will go again. `closed` says that
    /// the other side closed it, which may be its answer to a picture that is too large.
    pub fn lost(&mut self, now: Duration, closed: bool) {
        self.up = false;
        let flying: Vec<Token> = self.tokens(|c| c.flying());
        if closed && !flying.is_empty() {
            self.deaths = self.deaths.saturating_add(1);
        }
        if let [token @ Token::Picture(_)] = flying.as_slice()
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
        let Some(token) = self.match_receipt(receipt) else {
            self.counters.strange_receipts.add_one();
            return false;
        };
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
        let Some(course) = self.course_mut(token) else {
            return;
        };
        course.strikes += 1;
        let strikes = course.strikes;
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
                self.poison.push((*seq, format!("poison: {reason}")));
            }
            Token::Picture(sha256) => {
                warn!(%sha256, reason, "picture given up; its alert goes without it");
                self.set(token, State::Done { delivered: false });
            }
        }
    }

    /// Not taken this time, through no fault of the link (HTTP 5xx, a PUBACK that says no).
    pub fn failed(&mut self, token: &Token, now: Duration) {
        self.counters.faults.add_one();
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
                    if alive && now < since + RECEIPT_TIMEOUT * PATIENCE {
                        let due = now + RECEIPT_TIMEOUT;
                        self.set(&token, State::Awaiting { since, due });
                    } else {
                        if !alive && !self.silent {
                            info!("no receipt within {RECEIPT_TIMEOUT:?}: probing the platform");
                            self.silent = true;
                        }
                        self.counters.faults.add_one();
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

    // ---- within ----

    fn delivered(&mut self, token: &Token, now: Duration) {
        self.answered(token, now);
        self.heard(now);
        self.counters.receipted.add_one();
        match token {
            Token::Entry(class, seq) => {
                if self.remove(*class, *seq) {
                    self.settled.push(*seq);
                }
            }
            Token::Picture(_) => self.set(token, State::Done { delivered: true }),
        }
    }

    /// Notes the round trip; whether it was on its way at all.
    fn answered(&mut self, token: &Token, now: Duration) -> bool {
        let Some(State::Handed { at }) = self.course(token).map(|c| c.state) else {
            return false;
        };
        if let Token::Entry(Class::Telemetry, _) = token {
            let full = self.flying_telemetry >= self.window.size();
            self.window.answered(now.saturating_sub(at), full, now);
        }
        true
    }

    fn heard(&mut self, now: Duration) {
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
            return self.refused(token, "a picture cannot miss a picture", now);
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

    fn rest(&mut self, token: &Token, backoff: Backoff, silence: bool, now: Duration) {
        let Some(course) = self.course_mut(token) else {
            return;
        };
        let failures = course.failures;
        course.failures = failures.saturating_add(1);
        let until = now + backoff.delay(failures, &mut self.rng);
        self.set(token, State::Resting { until, silence });
    }

    /// Whether it was there.
    fn remove(&mut self, class: Class, seq: Seq) -> bool {
        self.set(&Token::Entry(class, seq), State::Ready);
        let lane = self.lane_mut(class);
        lane.ready.remove(&seq);
        let Some(item) = lane.items.remove(&seq) else {
            return false;
        };
        if let Some(sha256) = item.sha256
            && self.sent.get(&sha256) == Some(&(class, seq))
        {
            self.sent.remove(&sha256);
        }
        for sha256 in &item.pictures {
            let token = Token::Picture(sha256.clone());
            let done = matches!(
                self.course(&token).map(|c| c.state),
                Some(State::Done { .. })
            );
            if self.pictures.users(sha256) == 1 && !done {
                // Out of every count and timer before it goes.
                self.set(&token, State::Ready);
            }
            self.pictures.release(sha256);
        }
        true
    }

    /// The one place where a state changes: counts, timers and ready sets follow it.
    fn set(&mut self, token: &Token, next: State) {
        let Some(course) = self.course_mut(token) else {
            return;
        };
        let flew = course.flying();
        let before = std::mem::replace(&mut course.state, next);
        let flies = course.flying();
        if let State::Resting { until: at, .. } | State::Awaiting { due: at, .. } = before {
            self.timers.remove(&(at, token.clone()));
        }
        if let State::Resting { until: at, .. } | State::Awaiting { due: at, .. } = next {
            self.timers.insert((at, token.clone()));
        }
        self.flying = self.flying + usize::from(flies) - usize::from(flew);
        match token {
            Token::Entry(class, seq) => {
                if *class == Class::Telemetry {
                    // On the link only; what waits for receipts is bounded by the lane.
                    let handed = |s| usize::from(matches!(s, State::Handed { .. }));
                    self.flying_telemetry = self.flying_telemetry + handed(next) - handed(before);
                }
                let ready = &mut self.lane_mut(*class).ready;
                if next == State::Ready {
                    ready.insert(*seq);
                } else {
                    ready.remove(seq);
                }
            }
            Token::Picture(sha256) => self.pictures.moved(sha256, before, next),
        }
    }

    fn tokens(&self, which: impl Fn(&Course) -> bool) -> Vec<Token> {
        let entries = [Class::Alert, Class::Gap, Class::Telemetry]
            .into_iter()
            .flat_map(|class| {
                let items = self.lane(class).items.iter();
                items.map(move |(seq, item)| (Token::Entry(class, *seq), &item.course))
            });
        let pictures = self
            .pictures
            .iter()
            .map(|(sha256, course)| (Token::Picture(sha256.clone()), course));
        entries
            .chain(pictures)
            .filter(|(_, course)| which(course))
            .map(|(token, _)| token)
            .collect()
    }

    fn course(&self, token: &Token) -> Option<&Course> {
        match token {
            Token::Entry(class, seq) => self.lane(*class).items.get(seq).map(|i| &i.course),
            Token::Picture(sha256) => self.pictures.get(sha256).map(|(_, c)| c),
        }
    }

    fn course_mut(&mut self, token: &Token) -> Option<&mut Course> {
        match token {
            Token::Entry(class, seq) => self
                .lane_mut(*class)
                .items
                .get_mut(seq)
                .map(|i| &mut i.course),
            Token::Picture(sha256) => self.pictures.get_mut(sha256),
        }
    }

    fn lane(&self, class: Class) -> &Lane {
        match class {
            Class::Alert => &self.alerts,
            Class::Gap => &self.gaps,
            Class::Telemetry => &self.telemetry,
        }
    }

    fn lane_mut(&mut self, class: Class) -> &mut Lane {
        match class {
            Class::Alert => &mut self.alerts,
            Class::Gap => &mut self.gaps,
            Class::Telemetry => &mut self.telemetry,
        }
    }
}

/// 64 hex digits, either case.
fn decode(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let digit = |d: &u8| char::from(*d).to_digit(16);
        *byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
