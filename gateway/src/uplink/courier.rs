//! The loop of one uplink: between spool, queue and transport.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    LAST_WORDS, MAX_PICTURE, SETTLE_AFTER, SETTLE_AT, SPOOL_RETRY,
    gate::{self, Gate},
    lane::Token,
    link::{Content, Link, Parcel, Piece, Report},
    queue::{self, Queue, Want},
};
use crate::{
    clock::Clock,
    counters::UplinkCounters,
    down::{self, Inbound, inbox::Parsed},
    spool::{Batch, Entry, Lane, Record, Seq, Spool, SpoolError, evidence::EvidenceStore},
};

/// Work that the spool or the disk does meanwhile.
pub(super) type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

pub(super) enum Done {
    Fetched(Want, Result<Vec<Entry>, SpoolError>),
    /// What is left to settle and to discard if it failed.
    Settled {
        error: Option<SpoolError>,
        settled: Vec<Seq>,
        poison: Vec<(Seq, String)>,
    },
    Read(Arc<str>, Result<Vec<u8>, String>),
    /// A picture that the platform asked for, and its bytes if it is here.
    Looked(Arc<str>, Option<u64>),
    /// The budget was stored, or not.
    Noted(Option<SpoolError>),
}

/// One uplink at work.
pub(super) struct Courier {
    pub(super) name: Arc<str>,
    pub(super) index: u8,
    pub(super) queue: Queue,
    pub(super) link: Link,
    pub(super) spool: Spool,
    pub(super) evidence: Arc<EvidenceStore>,
    pub(super) counters: Arc<UplinkCounters>,
    /// Where verdicts and commands go.
    pub(super) down: mpsc::Sender<Inbound>,
    /// Alerts that the spool refuses.
    pub(super) live: mpsc::Receiver<Record>,
    /// How many of them may pass.
    pub(super) door: down::Gate,
    pub(super) clock: Clock,
    pub(super) gate: Gate,
    /// When a message last left.
    pub(super) last_sent: Option<Duration>,
    pub(super) jobs: FuturesUnordered<Job>,
    pub(super) fetching: bool,
    pub(super) settling: bool,
    pub(super) noting: bool,
    /// To be passed to the spool.
    pub(super) settled: Vec<Seq>,
    /// To be given up, with the reason.
    pub(super) poison: Vec<(Seq, String)>,
    pub(super) settle_at: Option<Instant>,
    /// The spool failed: not before this.
    pub(super) retry_at: Option<Instant>,
    /// What it last failed with; a repeat is not news.
    pub(super) complaint: Option<String>,
    /// Pictures that pieces are cut from.
    pub(super) open: VecDeque<(Arc<str>, Bytes)>,
}

impl Courier {
    pub(super) async fn run(mut self, mut appended: watch::Receiver<Seq>, stop: CancellationToken) {
        let mut last_words = None;
        self.queue.appended(*appended.borrow_and_update());
        loop {
            let now = self.clock.now();
            let allowance = self.gate.allowance(now);
            let now = now.mono;
            self.queue.allow(allowance);
            self.queue.expire(now);
            self.look();
            self.dispatch();
            self.fetch();
            self.settle(false);
            self.note_spent();
            if last_words.is_some_and(|until| until <= Instant::now() || self.queue.is_idle()) {
                break;
            }
            let wake = self.wake(now, last_words);
            tokio::select! {
                report = self.link.next() => self.take(report),
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.finish(done),
                changed = appended.changed() => match changed {
                    Ok(()) => self.queue.appended(*appended.borrow_and_update()),
                    // The spool is closed; nothing can be settled any more.
                    Err(_) => break,
                },
                Some(record) = self.live.recv() => self.queue.live(record),
                () = sleep_until(wake), if wake.is_some() => {}
                () = stop.cancelled(), if last_words.is_none() => {
                    last_words = Some(Instant::now() + LAST_WORDS);
                }
            }
        }
        self.settle(true);
        let last = self.gate.last(self.clock.now());
        self.note(last);
        while let Some(done) = self.jobs.next().await {
            if let Done::Settled { .. } = done {
                self.finish(done);
                // What came while it was settling; once, a spool that fails is not asked again.
                if self.retry_at.is_none() {
                    self.settle(true);
                }
            }
        }
        self.link.close().await;
    }

    /// Sends all that may go now.
    fn dispatch(&mut self) {
        self.queue.link_takes(self.link.max_payload() as u64);
        while self.link.room() > 0 {
            let Some(token) = self.queue.next(self.clock.now().mono) else {
                return;
            };
            match token {
                Token::Picture(sha256) => {
                    let open = self.open.iter().find(|(name, _)| *name == sha256);
                    match open.map(|(_, bytes)| bytes.clone()) {
                        Some(bytes) => self.send_picture(sha256, &bytes),
                        None => self.read(sha256),
                    }
                }
                Token::Entry(class, seq) => {
                    let Some((stream, bytes)) = self.queue.item(class, seq) else {
                        continue;
                    };
                    let stream = stream.to_owned();
                    self.send(Parcel {
                        token,
                        content: Content::Event { class, stream },
                        bytes,
                    });
                }
            }
        }
    }

    fn send(&mut self, parcel: Parcel) {
        let (bytes, limit) = (parcel.bytes.len(), self.link.max_payload());
        if bytes <= limit {
            let now = self.clock.now();
            let pooled = self
                .last_sent
                .is_some_and(|at| now.mono < at + gate::POOLED);
            let connects = !pooled && matches!(self.link, Link::Https(_) | Link::Push(_));
            self.last_sent = Some(now.mono);
            self.gate.sent(bytes, connects, now);
            self.queue.allow(self.gate.allowance(now));
            return self.link.send(parcel);
        }
        let reason = format!("{bytes} bytes, and the receiver takes {limit} at most");
        self.queue
            .refused(&parcel.token, &reason, self.clock.now().mono);
    }

    fn read(&mut self, sha256: Arc<str>) {
        let evidence = self.evidence.clone();
        self.jobs.push(Box::pin(async move {
            let name = sha256.clone();
            let bytes = spawn_blocking(move || {
                let bytes = evidence.read(&name).map_err(|e| e.to_string())?;
                // The receiver would find it out, but could not say what is wrong.
                if hex::encode(Sha256::digest(&bytes)) != *name {
                    return Err("the file's content is not what its name says".to_owned());
                }
                Ok(bytes)
            })
            .await
            .unwrap_or_else(|e| Err(e.to_string()));
            Done::Read(sha256, bytes)
        }));
    }

    /// Takes more from the spool if there is room and it may have more.
    fn fetch(&mut self) {
        if self.fetching || self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.retry_at = None;
        let Some(want) = self.queue.want() else {
            return;
        };
        self.fetching = true;
        let spool = self.spool.clone();
        let lane = Lane {
            uplink: self.index,
            class: want.class,
        };
        self.jobs.push(Box::pin(async move {
            Done::Fetched(want, spool.peek(lane, want.after, want.max).await)
        }));
    }

    /// Passes receipts to the spool when there are enough, or the first has waited enough.
    fn settle(&mut self, now: bool) {
        self.settled.append(&mut self.queue.take_settled());
        self.poison.append(&mut self.queue.take_poison());
        let waiting = self.settled.len() + self.poison.len();
        if waiting == 0 {
            self.settle_at = None;
            return;
        }
        let at = *self
            .settle_at
            .get_or_insert_with(|| Instant::now() + SETTLE_AFTER);
        let due = now || waiting >= SETTLE_AT || at <= Instant::now();
        if self.settling || !due || (!now && self.retry_at.is_some()) {
            return;
        }
        self.settling = true;
        self.settle_at = None;
        let spool = self.spool.clone();
        let mut settled = std::mem::take(&mut self.settled);
        let mut poison = std::mem::take(&mut self.poison);
        self.jobs.push(Box::pin(async move {
            let mut error = None;
            if !settled.is_empty() {
                match spool.settle(settled.clone()).await {
                    Ok(()) => settled.clear(),
                    Err(e) => error = Some(e),
                }
            }
            while error.is_none()
                && let Some((seq, reason)) = poison.last()
            {
                match spool.discard(vec![*seq], reason).await {
                    Ok(()) => drop(poison.pop()),
                    Err(e) => error = Some(e),
                }
            }
            Done::Settled {
                error,
                settled,
                poison,
            }
        }));
    }

    /// Stores what is spent of the budget, when it has become enough.
    fn note_spent(&mut self) {
        if self.noting {
            return;
        }
        let changed = self.gate.take_changed(self.clock.now());
        self.note(changed);
    }

    fn note(&mut self, entry: Option<(Vec<u8>, Vec<u8>)>) {
        let Some((key, value)) = entry else { return };
        self.noting = true;
        let spool = self.spool.clone();
        self.jobs.push(Box::pin(async move {
            let batch = Batch {
                records: Vec::new(),
                state: vec![(key, Some(value))],
            };
            Done::Noted(spool.append(batch).await.err())
        }));
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Fetched(want, Ok(entries)) => {
                self.fetching = false;
                self.complaint = None;
                self.queue.load(want, entries);
            }
            Done::Fetched(_, Err(e)) => {
                self.fetching = false;
                self.spool_failed(&e);
            }
            Done::Settled {
                error,
                settled,
                poison,
            } => {
                self.settling = false;
                self.settled.extend(settled);
                self.poison.extend(poison);
                if let Some(e) = error {
                    self.spool_failed(&e);
                }
            }
            Done::Read(sha256, bytes) => self.picture_read(sha256, bytes),
            Done::Noted(error) => {
                self.noting = false;
                if let Some(e) = error {
                    self.spool_failed(&e);
                }
            }
            Done::Looked(sha256, Some(bytes)) => self.queue.bring(&sha256, bytes),
            Done::Looked(sha256, None) => {
                info!(uplink = %self.name, %sha256, "the platform asks for a picture that is not here any more");
            }
        }
    }

    fn picture_read(&mut self, sha256: Arc<str>, bytes: Result<Vec<u8>, String>) {
        let token = Token::Picture(sha256.clone());
        // The connection may have gone meanwhile; the queue then asks for it again.
        if !self.queue.is_handed(&token) {
            return;
        }
        let now = self.clock.now().mono;
        match bytes {
            Ok(bytes) if bytes.len() > MAX_PICTURE => {
                let reason = format!("{} bytes; {MAX_PICTURE} is the limit", bytes.len());
                self.queue.refused(&token, &reason, now);
            }
            Ok(bytes) => {
                let bytes = Bytes::from(bytes);
                self.send_picture(sha256.clone(), &bytes);
                self.open.push_back((sha256, bytes));
                if self.open.len() > queue::PICTURES_FLYING {
                    self.open.pop_front();
                }
            }
            Err(reason) => {
                let reason = format!("evidence cannot be read: {reason}");
                self.queue.refused(&token, &reason, now);
            }
        }
    }

    /// Sends of a picture what the queue decided.
    fn send_picture(&mut self, sha256: Arc<str>, bytes: &Bytes) {
        let token = Token::Picture(sha256.clone());
        let Some((media_type, piece)) = self.queue.picture(&sha256) else {
            return;
        };
        let media_type = media_type.to_owned();
        let part = match piece {
            Piece::Whole => Some(bytes.clone()),
            Piece::Ask => Some(Bytes::new()),
            Piece::Part { offset, length } => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
                (to <= bytes.len()).then(|| bytes.slice(from..to))
            }
        };
        match part {
            Some(part) => self.send(Parcel {
                token,
                content: Content::Picture {
                    sha256,
                    media_type,
                    piece,
                    total: bytes.len() as u64,
                },
                bytes: part,
            }),
            None => {
                let reason = "the file is shorter than the alert says";
                self.queue.refused(&token, reason, self.clock.now().mono);
            }
        }
    }

    /// Looks for pictures that the platform asked for.
    fn look(&mut self) {
        for sha256 in self.queue.take_asked() {
            let evidence = self.evidence.clone();
            self.jobs.push(Box::pin(async move {
                let name = sha256.clone();
                let size = spawn_blocking(move || evidence.size(&name)).await;
                Done::Looked(sha256, size.ok().flatten())
            }));
        }
    }

    fn spool_failed(&mut self, error: &SpoolError) {
        let text = error.to_string();
        if self.complaint.as_ref() != Some(&text) {
            warn!(uplink = %self.name, "the spool fails: {text}; trying again every {SPOOL_RETRY:?}");
            self.complaint = Some(text);
        }
        self.counters.faults.add_one();
        self.retry_at = Some(Instant::now() + SPOOL_RETRY);
    }

    fn take(&mut self, report: Report) {
        let now = self.clock.now();
        match &report {
            Report::Connected => self.gate.connected(now),
            Report::Lost { .. } => self.gate.lost(now),
            Report::Receipts(receipts) => self.gate.received(receipts.len(), now),
            _ => {}
        }
        let now = now.mono;
        self.show_link(&report);
        match report {
            Report::Connected => {
                self.counters.connected.add_one();
                self.queue.connected();
            }
            Report::Lost { closed } => {
                self.counters.faults.add_one();
                self.queue.lost(now, closed);
            }
            Report::Transmitted(token) => self.queue.transmitted(&token, now),
            Report::Receipts(receipts) => {
                for receipt in &receipts {
                    if !self.queue.receipt(receipt, now) {
                        debug!(uplink = %self.name, id = receipt.id, "receipt for nothing that waits for one");
                    }
                }
            }
            Report::Answered(token, receipt) => self.queue.answer(&token, &receipt, now),
            Report::Held(token, bytes) => self.queue.held(&token, bytes, now),
            Report::NoPieces(token) => self.queue.no_pieces(&token, now),
            Report::Came(parsed) => self.came(parsed, now),
            Report::Garbled => {
                self.counters.strange_receipts.add_one();
                debug!(uplink = %self.name, "a message on the receipt topic is no receipt");
            }
            Report::Refused(token, reason) => self.queue.refused(&token, &reason, now),
            Report::Failed(token) => self.queue.failed(&token, now),
            Report::Unanswered(token, after) => self.queue.unanswered(&token, after, now),
        }
    }

    /// Passes verdicts and commands on. What cannot be taken now comes again, because it has no
    /// answer.
    fn came(&mut self, parsed: Parsed, now: Duration) {
        let Parsed {
            items,
            refused,
            complaint,
        } = parsed;
        self.counters.garbled.add(refused);
        if let Some(complaint) = complaint {
            debug!(uplink = %self.name, "from the platform: {complaint}");
        }
        for item in items {
            self.counters.came.add_one();
            let inbound = Inbound {
                uplink: self.index,
                item,
            };
            if !self.door.passes(now) || self.down.try_send(inbound).is_err() {
                self.counters.deferred.add_one();
            }
        }
    }

    /// What the console shows of the connection.
    fn show_link(&self, report: &Report) {
        match report {
            // A client over HTTPS is ready without having reached anybody: it counts as
            // connected until a request fails.
            Report::Connected => {
                if self.link.complaint().is_none() {
                    self.counters.link.up();
                }
            }
            Report::Receipts(_)
            | Report::Answered(..)
            | Report::Held(..)
            | Report::NoPieces(_)
            | Report::Came(_) => self.counters.link.up(),
            Report::Lost { .. } | Report::Failed(_) | Report::Unanswered(..) => {
                let reason = self.link.complaint().unwrap_or("no answer");
                self.counters.link.down(reason);
            }
            Report::Transmitted(_) | Report::Garbled | Report::Refused(..) => {}
        }
    }

    /// When to look again if nothing happens.
    fn wake(&self, now: Duration, last_words: Option<Instant>) -> Option<Instant> {
        let due = [self.queue.due(), self.gate.due()].into_iter().flatten();
        let due = due
            .min()
            .map(|due| Instant::now() + due.saturating_sub(now));
        [due, self.settle_at, self.retry_at, last_words]
            .into_iter()
            .flatten()
            .min()
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
