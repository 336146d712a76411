//! What goes out next, and what an answer means. Pure: no I/O, `now` is [`Now::mono`].
//!
//! Invariants, each with a test:
//! 1. An entry leaves the queue only by a receipt whose id and SHA-256 are those of its bytes
//!    (or the broker's PUBACK where that is the border), or as poison after [`STRIKES`] refusals.
//! 2. After every reconnect everything without a receipt is sent again.
//! 3. Alerts go before gaps, gaps before telemetry; each lane is in order on first sending, with
//!    two exceptions for alerts: one that waits for its picture holds up nobody but the messages
//!    of the same alert, and a new alert overtakes a backlog that is not yet in memory.
//! 4. A picture is sent before the alert that names it, and once unless the receiver misses it.
//!    An alert does not wait for ever: a picture that found no receiver in one round, or that is
//!    refused, lets its alert pass, and the receiver then says what it misses.
//! 5. A picture in pieces goes on where the receiver says that it stands; between two pieces
//!    whatever is more urgent goes first.
//! 6. A record of pictures that may come later is settled when the receiver has them all.
//! 7. Alerts are discarded on the platform's own word only; a link that dies under a picture
//!    gives up the picture, never the alert.
//! 8. An alert that went from memory, because the spool refused it, is not sent again when it
//!    comes from the spool after its receipt ([`live`]).
//!
//! [`Now::mono`]: crate::clock::Now::mono

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    lane::{Item, Lane, State, Token, begins_alert},
    link::Piece,
    pace::{Pace, Window},
    pictures::{Pictures, Whose},
};
use crate::{
    config::Border,
    counters::UplinkCounters,
    spool::{Class, Entry, KEPT, Record, Seq},
};

/// Refusals after which an entry is poison and makes way.
pub const STRIKES: u32 = 3;
/// Entries in memory per lane; telemetry's is also the most that may wait for receipts.
pub const ALERTS_LOADED: usize = 64;
/// See [`ALERTS_LOADED`].
pub const GAPS_LOADED: usize = 16;
/// See [`ALERTS_LOADED`]; at 3.5 KB each, 1.8 MB.
pub const TELEMETRY_LOADED: usize = 512;
/// Records of late pictures in memory; beyond, telemetry behind them waits with them.
pub const LATE_LOADED: usize = 4_096;
/// New alerts that are taken out of turn while older ones are still on disk.
pub const EARLY_LOADED: usize = 16;
/// Of those, the most that are remembered until the backlog has reached them; beyond, new alerts
/// wait for their turn.
pub const EARLY_KNOWN: usize = 4_096;
/// Pictures on their way at once: a second one hides the first one's round trip, more would
/// only delay an alert without pictures on a slow link, where there is but one.
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
    /// For what is new, ahead of the backlog.
    early: bool,
}

/// What may go now of what can wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowance {
    /// Everything.
    #[default]
    All,
    /// No telemetry and no late pictures but those that the platform asked for.
    Urgent,
    /// Alerts and the pictures that they wait for.
    Alerts,
}

mod answers;
mod live;
mod pieces;
mod states;

pub use pieces::Pieces;

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
    alert_window: Window,
    pace: Pace,
    pieces: Pieces,
    allowance: Allowance,
    /// Records of pictures that may come later.
    late: BTreeMap<Seq, Vec<Arc<str>>>,
    /// Pictures that the platform asked for and that nothing in memory names.
    asked: Vec<Arc<str>>,
    /// What went from memory.
    live: live::Live,
    /// Alerts newer than this are looked for, ahead of the backlog.
    early_after: Option<Seq>,
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
    flying_alerts: usize,
    /// Every entry up to here was taken from the spool or is known to be in a lane marked `more`.
    known: Seq,
    newest: Seq,
    settled: Vec<Seq>,
    poison: Vec<(Seq, String)>,
}

impl Queue {
    /// An empty queue; `carries_telemetry` says whether telemetry or late pictures are to be
    /// expected, `seed` is for the jitter.
    pub fn new(
        border: Border,
        carries_telemetry: bool,
        pieces: Pieces,
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
            alert_window: Window::new(ALERTS_LOADED),
            pieces,
            allowance: Allowance::All,
            late: BTreeMap::new(),
            asked: Vec::new(),
            live: live::Live::default(),
            early_after: None,
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
            flying_alerts: 0,
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
        if self.alerts.backlog && self.alerts.ahead.len() < EARLY_KNOWN {
            self.early_after.get_or_insert(self.newest.max(self.known));
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
        if let Some(after) = self.early_after
            && self.alerts.early().count() < EARLY_LOADED
        {
            return Some(Want {
                class: Class::Alert,
                after: Some(after),
                max: EARLY_LOADED,
                newest: self.newest,
                early: true,
            });
        }
        [Class::Alert, Class::Gap, Class::Telemetry]
            .into_iter()
            .filter(|class| *class != Class::Telemetry || self.late.len() < LATE_LOADED)
            .find_map(|class| {
                let lane = self.lane(class);
                lane.wants().map(|max| Want {
                    class,
                    after: lane.after,
                    max,
                    newest: self.newest,
                    early: false,
                })
            })
    }

    /// Takes in what the spool answered.
    pub fn load(&mut self, want: Want, entries: Vec<Entry>) {
        let drained = entries.len() < want.max;
        // What came while the spool answered may or may not be in the answer.
        let behind = self.newest > want.newest;
        if want.early {
            return self.load_early(want, entries, drained && !behind);
        }
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
        let lane = self.lane_mut(want.class);
        lane.more = !drained || behind;
        lane.backlog = !drained;
        for Entry { seq, record } in entries {
            let lane = self.lane_mut(want.class);
            lane.after = Some(seq);
            if !lane.ahead.remove(&seq) && !self.went_from_memory(seq, &record) {
                self.admit(seq, record);
            }
        }
    }

    /// New alerts, ahead of the backlog. What goes on with an older alert waits for its turn.
    fn load_early(&mut self, want: Want, entries: Vec<Entry>, complete: bool) {
        let last = entries.last().map_or(want.newest, |e| e.seq);
        self.early_after = (!complete).then_some(match entries.len() < want.max {
            true => want.newest,
            false => last,
        });
        for Entry { seq, record } in entries {
            let in_turn = self.alerts.after.is_none_or(|after| seq <= after);
            if !in_turn
                && begins_alert(&record)
                && self.alerts.ahead.insert(seq)
                && !self.went_from_memory(seq, &record)
            {
                self.admit(seq, record);
            }
        }
    }

    fn admit(&mut self, seq: Seq, mut record: Record) {
        let class = record.lane.class;
        let evidence = std::mem::take(&mut record.evidence);
        let whose = match class {
            Class::Telemetry => Whose::Late,
            _ => Whose::Alert,
        };
        let mut pictures = Vec::new();
        for picture in evidence.into_iter().filter(|p| p.role != KEPT) {
            let sha256: Arc<str> = picture.sha256.into();
            self.pictures
                .want(&sha256, picture.media_type, picture.bytes, whose);
            pictures.push(sha256);
        }
        if whose == Whose::Late && !pictures.is_empty() {
            self.late.insert(seq, pictures);
            return self.settle_late();
        }
        let item = Item::new(record, pictures, self.border == Border::Receipt);
        let lane = self.lane_mut(class);
        lane.ready.insert(seq);
        lane.items.insert(seq, item);
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
            .or_else(|| self.next_picture(false))
            .or_else(|| self.next_gap())
            .or_else(|| self.next_telemetry(now))
            .or_else(|| self.next_picture(self.allowance == Allowance::All))?;
        if let Token::Picture(sha256) = &token {
            let sha256 = sha256.clone();
            self.plan_piece(&sha256, now);
        }
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
        if self.flying_alerts >= self.alert_window.size() {
            return None;
        }
        let mut waiting: Vec<&str> = Vec::new();
        let early = self.alerts.early().copied();
        let in_turn = self.alerts.ready.iter().copied();
        for seq in early.chain(in_turn) {
            let item = self.alerts.items.get(&seq)?;
            let subject = item.subject.as_deref();
            let held_up = subject.is_some_and(|s| waiting.contains(&s));
            if !held_up && item.pictures.iter().all(|p| self.pictures.clear(p)) {
                return Some(Token::Entry(Class::Alert, seq));
            }
            waiting.extend(subject);
        }
        None
    }

    fn next_picture(&self, late: bool) -> Option<Token> {
        let most = match self.pieces.is_slow() {
            true => 1,
            false => PICTURES_FLYING,
        };
        let alerts_only = self.allowance == Allowance::Alerts;
        (self.pictures.flying() < most)
            .then(|| self.pictures.next(late))
            .flatten()
            .filter(|sha256| !(alerts_only && self.pictures.is_asked(sha256)))
            .map(Token::Picture)
    }

    /// An answer may name a picture; what is behind it need not wait.
    fn next_gap(&self) -> Option<Token> {
        if self.allowance == Allowance::Alerts {
            return None;
        }
        let may_go = |seq: &&Seq| {
            let item = self.gaps.items.get(seq);
            item.is_some_and(|item| item.pictures.iter().all(|p| self.pictures.clear(p)))
        };
        let seq = self.gaps.ready.iter().find(may_go)?;
        Some(Token::Entry(Class::Gap, *seq))
    }

    fn next_telemetry(&mut self, now: Duration) -> Option<Token> {
        let seq = *self.telemetry.ready.first()?;
        if self.allowance != Allowance::All {
            return None;
        }
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

    /// Media type of a picture that is being sent, and what of it.
    pub fn picture(&self, sha256: &str) -> Option<(&str, Piece)> {
        let media_type = self.pictures.media_type(sha256)?;
        Some((media_type, self.pictures.piece(sha256)))
    }

    /// What may go from now on.
    pub fn allow(&mut self, allowance: Allowance) {
        self.allowance = allowance;
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
        let may_wait = self.allowance != Allowance::All;
        let lanes = idle(&self.alerts)
            && (idle(&self.gaps) || self.allowance == Allowance::Alerts)
            && (idle(&self.telemetry) || may_wait);
        !self.up || (self.flying == 0 && lanes)
    }
}

#[cfg(test)]
mod tests;
