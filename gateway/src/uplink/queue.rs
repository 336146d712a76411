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

use super::{
    lane::{Item, Lane, State, Token},
    pace::{Pace, Window},
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

/// What to take from the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub class: Class,
    pub after: Option<Seq>,
    pub max: usize,
    /// The newest sequence number known when this was asked.
    newest: Seq,
}

mod answers;
mod states;

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
        for Entry { seq, mut record } in entries {
            let mut pictures = Vec::new();
            for picture in std::mem::take(&mut record.evidence) {
                let sha256 = picture.sha256.into();
                self.pictures.want(&sha256, picture.media_type);
                pictures.push(sha256);
            }
            let item = Item::new(record, pictures, self.border == Border::Receipt);
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
            .or_else(|| self.next_gap())
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

    /// An answer may name a picture; what is behind it need not wait.
    fn next_gap(&self) -> Option<Token> {
        let may_go = |seq: &&Seq| {
            let item = self.gaps.items.get(seq);
            item.is_some_and(|item| item.pictures.iter().all(|p| self.pictures.clear(p)))
        };
        let seq = self.gaps.ready.iter().find(may_go)?;
        Some(Token::Entry(Class::Gap, *seq))
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

    /// Media type of a picture that is being sent.
    pub fn media_type(&self, sha256: &str) -> Option<&str> {
        self.pictures.media_type(sha256)
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
}

#[cfg(test)]
mod tests;
