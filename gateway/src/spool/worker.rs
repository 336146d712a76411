//! The thread that owns the engine: group commit, and opening again after an error.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    Batch, Class, ClassUse, Seq, SpoolError, Stats, StreamAccount,
    age::Uptime,
    buffer::BufferGauge,
    command::{Answer, Command, Keeper, refuse},
    evidence::EvidenceStore,
    home::close,
    quota::Disk,
    retention::Keeping,
    store::Store,
};
use crate::config::Quota;

/// Longest that a receipt waits for somebody else's sync before it gets its own. A power cut in
/// between only means that the record is sent once more.
pub const SETTLE_DELAY: Duration = Duration::from_millis(100);

/// A group is committed early when it has this many bytes, so that no batch in it waits long.
const GROUP_BYTES: usize = 1 << 20;

/// Records in one answer to `peek`, which bounds its memory to some megabytes.
const PEEK_MAX: usize = 1_024;

const MARK_SYNC_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const REOPEN_EVERY: Duration = Duration::from_secs(1);
/// How often the database's wear and the rate of filling are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Why the store is closed.
pub(super) struct Outage {
    pub(super) why: String,
    pub(super) rewrite: bool,
    pub(super) accounts: BTreeMap<String, StreamAccount>,
    pub(super) retry: Instant,
}

pub struct Worker {
    pub keeper: Box<dyn Keeper>,
    pub evidence: Arc<EvidenceStore>,
    pub keeping: Keeping,
    pub quota: Quota,
    pub interval: Duration,
    pub durable: watch::Sender<Seq>,
    pub(super) store: Result<Store, Outage>,
    waiting: Vec<(Answer<Vec<Seq>>, Vec<Seq>)>,
    receipts_since: Option<Instant>,
    /// Settled since the last sync: who passed them on has forgotten them, so they are kept here
    /// until they can no longer be lost with an outage.
    receipts: Vec<Seq>,
    pub(super) disk: Disk,
    syncs: u64,
    mark_due: Option<Instant>,
    sweep_due: Instant,
    look_due: Instant,
    pub(super) rotate_after: Instant,
    pub(super) relieve_after: Instant,
    pub(super) rotations: u64,
    pub(super) began: Instant,
    pub(super) gauge: BufferGauge,
    /// Bytes of records taken since the start.
    pub(super) taken: u64,
}

impl Worker {
    pub fn new(
        keeper: Box<dyn Keeper>,
        evidence: Arc<EvidenceStore>,
        keeping: Keeping,
        quota: Quota,
        interval: Duration,
        store: Store,
    ) -> Worker {
        let now = Instant::now();
        Worker {
            keeper,
            evidence,
            keeping,
            quota,
            interval,
            durable: watch::Sender::new(store.counters().last),
            store: Ok(store),
            waiting: Vec::new(),
            receipts_since: None,
            receipts: Vec::new(),
            disk: Disk::Roomy,
            syncs: 0,
            mark_due: None,
            sweep_due: now + SWEEP_EVERY,
            look_due: now,
            rotate_after: now,
            relieve_after: now,
            rotations: 0,
            began: now,
            gauge: BufferGauge::default(),
            taken: 0,
        }
    }

    /// Serves until `Close` or until every handle is gone.
    pub fn run(mut self, commands: &Receiver<Command>) {
        let closing = loop {
            match commands.recv_timeout(self.patience()) {
                Ok(Command::Close(answer)) => break Some(answer),
                Ok(command) => self.take(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
            if !self.waiting.is_empty() && !self.interval.is_zero() {
                // Asleep rather than listening: senders then need not wake this thread for
                // every record of the group.
                thread::sleep(self.interval);
            }
            let mut closing = None;
            while let Ok(command) = commands.try_recv() {
                match command {
                    Command::Close(answer) => {
                        closing = Some(answer);
                        break;
                    }
                    command => self.take(command),
                }
            }
            if closing.is_some() {
                break closing;
            }
            self.finish_round();
        };
        let closed = self.commit().and_then(|()| self.keeper.sync_mark());
        // Before the answer, so that whoever waits for it can open the directory again.
        let Worker { keeper, store, .. } = self;
        if let Ok(store) = store {
            close(store);
        }
        drop(keeper);
        if let Some(answer) = closing {
            let _ = answer.send(closed);
        }
    }

    /// How long the thread may sleep when no command comes.
    fn patience(&self) -> Duration {
        let receipts = self.receipts_since.map(|then| then + SETTLE_DELAY);
        let retry = self.store.as_ref().err().map(|outage| outage.retry);
        let regular = Some(self.sweep_due.min(self.look_due));
        [receipts, retry, self.mark_due, regular]
            .into_iter()
            .flatten()
            .min()
            .map_or(SWEEP_EVERY, |due| {
                due.saturating_duration_since(Instant::now())
            })
    }

    fn take(&mut self, command: Command) {
        if let Command::Append(batch, _) = &command {
            self.relieve(batch.records.iter().map(|r| r.body.len() as u64).sum());
        }
        let store = match &mut self.store {
            Ok(store) => store,
            Err(outage) => {
                let why = outage.why.clone();
                return refuse(command, &why, || self.stats());
            }
        };
        match command {
            Command::Append(batch, answer) => {
                if self.disk != Disk::Roomy {
                    // Nothing is committed while everything is refused, so look again here.
                    self.disk = self.keeper.disk();
                }
                let pictures = self.evidence.bytes();
                let missing = missing_picture(&batch, &self.evidence);
                let staged = match missing {
                    Some(hash) => Err(SpoolError::NoEvidence(hash)),
                    None => store.stage(&batch, self.disk, pictures, Timestamp::now()),
                };
                match staged {
                    Ok(seqs) => self.waiting.push((answer, seqs)),
                    Err(error) => {
                        let broken = matches!(error, SpoolError::Refusing(_));
                        let _ = answer.send(Err(error.clone()));
                        if broken {
                            self.fail(error);
                        }
                    }
                }
                if self.staged_bytes() >= GROUP_BYTES {
                    // An error has been given to everyone who waits.
                    let _ = self.commit();
                }
            }
            Command::Peek(lane, after, max, answer) => {
                let found = store
                    .apply_receipts()
                    .and_then(|()| store.peek(lane, after, max.min(PEEK_MAX)));
                self.answer(answer, found);
            }
            Command::Settle(seqs, answer) => {
                self.receipts.extend(&seqs);
                store.settle(seqs);
                self.receipts_since.get_or_insert_with(Instant::now);
                let _ = answer.send(Ok(()));
            }
            Command::Discard(seqs, reason, answer) => {
                let staged = store
                    .apply_receipts()
                    .and_then(|()| store.discard(seqs, &reason, Timestamp::now()));
                let done = match staged {
                    Ok(()) => self.commit(),
                    Err(error) => Err(error),
                };
                self.answer(answer, done);
            }
            Command::State(answer) => {
                let state = store.state();
                self.answer(answer, state);
            }
            Command::Stats(answer) => {
                let applied = store.apply_receipts();
                let stats = applied.map(|()| self.stats());
                self.answer(answer, stats);
            }
            Command::Rotate(answer) => {
                let rotated = self.rotate("it was asked for");
                let _ = answer.send(rotated);
            }
            Command::Close(_) => {}
        }
    }

    /// Answers; an engine error closes the store first.
    fn answer<T>(&mut self, answer: Answer<T>, result: Result<T, SpoolError>) {
        if let Err(error @ SpoolError::Refusing(_)) = &result {
            self.fail(error.clone());
        }
        let _ = answer.send(result);
    }

    fn staged_bytes(&self) -> usize {
        self.store.as_ref().map_or(0, Store::staged_bytes)
    }

    /// What is due at the end of a round.
    fn finish_round(&mut self) {
        let now = Instant::now();
        let staged = self.store.as_ref().is_ok_and(Store::has_staged);
        let settle = self
            .receipts_since
            .is_some_and(|then| now - then >= SETTLE_DELAY);
        if staged || settle || !self.waiting.is_empty() {
            // An error has been given to everyone who waits.
            let _ = self.commit();
        }
        if self.mark_due.is_some_and(|due| now >= due) {
            self.mark_due = None;
            if let Err(error) = self.keeper.sync_mark() {
                self.fail(error);
            }
        }
        if now >= self.sweep_due {
            self.sweep_due = now + SWEEP_EVERY;
            self.sweep();
        }
        if now >= self.look_due {
            self.look_due = now + LOOK_EVERY;
            self.look(now);
        }
        if self.store.as_ref().is_err_and(|outage| now >= outage.retry) {
            self.reopen();
        }
    }

    /// One write, one sync, then all the answers (R1).
    pub(super) fn commit(&mut self) -> Result<(), SpoolError> {
        let store = match &mut self.store {
            Ok(store) => store,
            Err(outage) => return Err(SpoolError::Refusing(outage.why.clone())),
        };
        if let Err(error) = store.commit() {
            return Err(self.fail(error));
        }
        self.syncs += 1;
        self.taken += store.take_taken();
        self.receipts_since = None;
        self.receipts.clear();
        let counters = store.counters();
        let released = store.take_released();
        if !released.is_empty() {
            // There may be something to delete now.
            self.relieve_after = Instant::now();
            self.keeping
                .released(&self.evidence, released, Uptime::now());
        }
        let newest = counters.last;
        self.durable.send_if_modified(|last| {
            let newer = *last < newest;
            *last = newest;
            newer
        });
        for (answer, seqs) in self.waiting.drain(..) {
            let _ = answer.send(Ok(seqs));
        }
        self.disk = self.keeper.disk();
        match self.keeper.note(counters) {
            Ok(()) => {
                let due = Instant::now() + MARK_SYNC_EVERY;
                self.mark_due.get_or_insert(due);
                Ok(())
            }
            // What was answered is durable; without a mark nothing more is taken.
            Err(error) => {
                self.fail(error);
                Ok(())
            }
        }
    }

    /// Closes the store after an error and tells everyone who waits; returns the error they get.
    pub(super) fn fail(&mut self, error: SpoolError) -> SpoolError {
        let why = reason(error);
        let refusal = SpoolError::Refusing(why.clone());
        tracing::error!(
            why,
            "the spool takes nothing until it could be opened again"
        );
        let accounts = self.store.as_ref().map(Store::accounts);
        let outage = Outage {
            why,
            rewrite: self.store.as_ref().is_ok_and(Store::sync_failed),
            accounts: accounts.unwrap_or_default(),
            retry: Instant::now(),
        };
        // A second failure of the same outage changes nothing.
        if let Ok(store) = std::mem::replace(&mut self.store, Err(outage)) {
            close(store);
        }
        self.receipts_since = None;
        for (answer, _) in self.waiting.drain(..) {
            let _ = answer.send(Err(refusal.clone()));
        }
        refusal
    }

    fn reopen(&mut self) {
        let Err(outage) = &mut self.store else {
            return;
        };
        let opened = self.keeper.open(outage.rewrite).and_then(|(store, found)| {
            let mut store = store;
            store.resume(&outage.accounts)?;
            Ok((store, found))
        });
        match opened {
            Ok((mut store, recovery)) => {
                tracing::warn!(?recovery, "the spool is open again");
                store.settle(self.receipts.clone());
                self.receipts_since = (!self.receipts.is_empty()).then(Instant::now);
                self.durable.send_replace(store.counters().last);
                self.disk = self.keeper.disk();
                self.store = Ok(store);
            }
            Err(error) => {
                outage.retry = Instant::now() + REOPEN_EVERY;
                let why = reason(error);
                if outage.why != why {
                    tracing::error!(why, "the spool cannot be opened yet");
                    outage.why = why;
                }
            }
        }
    }

    /// Deletes pictures that nothing names any more.
    pub fn sweep(&mut self) -> u64 {
        let Ok(store) = &self.store else { return 0 };
        let named = |hash: &[u8; 32]| store.names_picture(hash);
        match self.keeping.sweep(&self.evidence, named, Uptime::now()) {
            Ok(swept) => swept.deleted,
            Err(error) => {
                tracing::warn!(%error, "the evidence could not be swept");
                0
            }
        }
    }

    fn stats(&self) -> Stats {
        let pictures = self.evidence.bytes();
        let mut stats = Stats {
            quota: self.quota.all,
            watermark: self.quota.watermark(),
            syncs: self.syncs,
            rotations: self.rotations,
            bytes: pictures,
            used: pictures,
            ..Stats::default()
        };
        let mut class = |name: &str, records, bytes, limit| {
            let class = ClassUse {
                records,
                bytes,
                limit,
            };
            stats.classes.insert(name.to_owned(), class);
        };
        class(
            "picture",
            self.evidence.files(),
            pictures,
            self.quota.pictures,
        );
        match &self.store {
            Ok(store) => {
                for of in Class::ALL {
                    let (records, bytes) = store.class_use(of);
                    let limit = match of {
                        Class::Telemetry => self.quota.telemetry,
                        Class::Alert | Class::Gap => self.quota.all,
                    };
                    class(of.name(), records, bytes, limit);
                }
                stats.streams = store.accounts();
                stats.bytes += store.disk_bytes();
                stats.used += store.live_bytes();
                if self.disk == Disk::Full {
                    stats.refusing = Some("the disk has no free space left".into());
                }
            }
            Err(outage) => {
                stats.streams = outage.accounts.clone();
                stats.refusing = Some(outage.why.clone());
            }
        }
        let taken = self.taken + self.evidence.taken();
        let free = stats.watermark.saturating_sub(stats.used);
        stats.hours_left = self.gauge.hours_left(self.began.elapsed(), taken, free);
        stats
    }
}

/// The bare reason, which `Refusing` puts its own words around.
fn reason(error: SpoolError) -> String {
    match error {
        SpoolError::Refusing(why) => why,
        other => other.to_string(),
    }
}

/// R4: the first picture that a batch names and the store does not hold.
fn missing_picture(batch: &Batch, evidence: &EvidenceStore) -> Option<String> {
    let pictures = batch.records.iter().flat_map(|record| &record.evidence);
    pictures
        .map(|picture| &picture.sha256)
        .find(|hash| !evidence.holds(hash))
        .cloned()
}
