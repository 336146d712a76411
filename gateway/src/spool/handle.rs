//! The handle that stages hold.

use std::{
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};
use wangge_protocol::Text;

use super::{
    Batch, Entry, Lane, Recovery, Seq, SpoolError, StateEntries, Stats,
    age::Uptime,
    command::{Answer, Command, Keeper},
    evidence::{EvidenceError, EvidenceStore},
    home::{Home, Plan, Rotated},
    mark::Counters,
    quota::Disk,
    retention::Keeping,
    sealed::SealedStore,
    store::Store,
    worker::Worker,
};
use crate::{
    audit::{Audit, audit_dir},
    config::Storage,
};

/// The outbox, shared by cloning. When the last clone is dropped, or after [`Spool::close`], what
/// was appended is durable and the directory is free again.
#[derive(Clone, Debug)]
pub struct Spool {
    commands: mpsc::Sender<Command>,
    durable: watch::Receiver<Seq>,
    evidence: Arc<EvidenceStore>,
    sealed: Arc<SealedStore>,
    damage: Option<Arc<Text>>,
    audit: Arc<Mutex<Audit>>,
}

struct DiskKeeper {
    home: Home,
    plan: Plan,
}

impl Keeper for DiskKeeper {
    fn open(&mut self, rewrite: bool) -> Result<(Store, Recovery), SpoolError> {
        self.home.open(&self.plan, rewrite)
    }
    fn note(&mut self, counters: Counters) -> Result<(), SpoolError> {
        self.home.note(counters)
    }
    fn sync_mark(&mut self) -> Result<(), SpoolError> {
        self.home.sync_mark()
    }
    fn disk(&mut self) -> Disk {
        self.home.disk()
    }
    fn rotate(&mut self, store: Store, age: Duration) -> Result<Rotated, SpoolError> {
        self.home.rotate(&self.plan, store, age)
    }
}

impl Spool {
    /// Takes the directory, recovers what is there and starts the thread. Blocks.
    ///
    /// `station` is the id that gap records carry; `uplinks` are the names that lanes count, in
    /// the order of [`Lane::uplink`]. What waits for an uplink is found again by its name.
    ///
    /// # Errors
    /// [`SpoolError::Held`], [`SpoolError::Newer`], [`SpoolError::TooManyUplinks`], and
    /// [`SpoolError::Io`] where the file system refuses; damage is no error (see [`Recovery`]).
    pub fn open(
        storage: &Storage,
        station: &str,
        uplinks: &[Arc<str>],
    ) -> Result<(Spool, Recovery), SpoolError> {
        let home = Home::take(&storage.path)?;
        let evidence = EvidenceStore::open(&evidence_dir(&storage.path)).map_err(from_evidence)?;
        let evidence = evidence.at_most(storage.quota.pictures);
        let keeper = DiskKeeper {
            home,
            plan: Plan {
                station: station.into(),
                quota: storage.quota,
                uplinks: uplinks.to_vec(),
            },
        };
        Spool::start(Box::new(keeper), Arc::new(evidence), storage)
    }

    pub(super) fn start(
        mut keeper: Box<dyn Keeper>,
        evidence: Arc<EvidenceStore>,
        storage: &Storage,
    ) -> Result<(Spool, Recovery), SpoolError> {
        let started = Instant::now();
        let (mut store, mut recovery) = keeper.open(false)?;
        store.commit()?;
        keeper.note(store.counters())?;
        keeper.sync_mark()?;
        recovery.evidence_missing = store
            .pictures()
            .filter(|sha256| !evidence.holds(sha256))
            .count() as u64;
        let audit = Arc::new(Mutex::new(Audit::new(&audit_dir(&storage.path))));
        let noted = audit.clone();
        let sealed = SealedStore::open(&storage.path.join("sealed"), audit.clone());
        let sealed = Arc::new(sealed.map_err(from_evidence)?);
        let terms = storage.retention.clone();
        let keeping = Keeping::open(&storage.path, terms, audit, Uptime::now());
        let mut worker = Worker::new(
            keeper,
            evidence.clone(),
            keeping,
            storage.quota,
            storage.commit_interval,
            store,
        );
        recovery.evidence_swept = worker.sweep();
        recovery.took = started.elapsed();
        let durable = worker.durable.subscribe();
        let (commands, queue) = mpsc::channel();
        thread::Builder::new()
            .name("spool".into())
            .spawn(move || worker.run(&queue))
            .map_err(|error| SpoolError::io(&storage.path, "start a thread", &error))?;
        let spool = Spool {
            commands,
            durable,
            evidence,
            sealed,
            damage: recovery.words().map(Arc::new),
            audit: noted,
        };
        Ok((spool, recovery))
    }

    /// Appends a batch; resolves when all of it survives a power cut, with one number per record.
    ///
    /// # Errors
    /// Nothing of the batch is taken: [`SpoolError::TooLarge`], [`SpoolError::TooLong`],
    /// [`SpoolError::BadHash`], [`SpoolError::NoEvidence`], [`SpoolError::NoUplink`] are the
    /// caller's; [`SpoolError::Full`] passes when receipts come. After [`SpoolError::Refusing`]
    /// a record may be there all the same, so appending it again may send it twice; its id
    /// lets the receiver know.
    pub async fn append(&self, batch: Batch) -> Result<Vec<Seq>, SpoolError> {
        self.ask(|answer| Command::Append(batch, answer)).await
    }

    /// The oldest records of a lane after `after`, oldest first, at most `max` (and 1,024).
    ///
    /// # Errors
    /// [`SpoolError::Refusing`], [`SpoolError::NoUplink`].
    pub async fn peek(
        &self,
        lane: Lane,
        after: Option<Seq>,
        max: usize,
    ) -> Result<Vec<Entry>, SpoolError> {
        self.ask(|answer| Command::Peek(lane, after, max, answer))
            .await
    }

    /// Takes receipts: the records leave with the next group commit. Numbers of nothing that is
    /// here are ignored. Answers at once: if the power goes before that commit, the record is
    /// sent once more.
    ///
    /// # Errors
    /// [`SpoolError::Refusing`]
    pub async fn settle(&self, seqs: Vec<Seq>) -> Result<(), SpoolError> {
        self.ask(|answer| Command::Settle(seqs, answer)).await
    }

    /// Gives records up, e.g. because the receiver will never take them; what they were becomes
    /// a gap record on the same uplink, durable when this resolves.
    ///
    /// # Errors
    /// [`SpoolError::Refusing`]
    pub async fn discard(&self, seqs: Vec<Seq>, reason: &str) -> Result<(), SpoolError> {
        self.ask(|answer| Command::Discard(seqs, reason.to_owned(), answer))
            .await
    }

    /// All state entries, sorted by key.
    ///
    /// # Errors
    /// [`SpoolError::Refusing`]
    pub async fn state(&self) -> Result<StateEntries, SpoolError> {
        self.ask(Command::State).await
    }

    /// The accounts and the room left. Answers while the spool refuses, too.
    ///
    /// # Errors
    /// [`SpoolError::Closed`]
    pub async fn stats(&self) -> Result<Stats, SpoolError> {
        self.ask(Command::Stats).await
    }

    /// Moves what is held into a fresh database now, instead of when the old one is worn (R10);
    /// false if the disk has no room for both.
    ///
    /// # Errors
    /// [`SpoolError::Refusing`], [`SpoolError::Io`]
    pub async fn rotate(&self) -> Result<bool, SpoolError> {
        self.ask(Command::Rotate).await
    }

    /// The newest durable number; changes wake the uplinks.
    pub fn appended(&self) -> watch::Receiver<Seq> {
        self.durable.clone()
    }

    /// What was found damaged at the start, for the operator.
    pub fn damage(&self) -> Option<Text> {
        self.damage.as_deref().cloned()
    }

    /// The audit log of this storage.
    pub fn audit(&self) -> Arc<Mutex<Audit>> {
        self.audit.clone()
    }

    /// The pictures, under `evidence/` in the same directory.
    pub fn evidence(&self) -> Arc<EvidenceStore> {
        self.evidence.clone()
    }

    /// Originals that only the holder of a key can open, under `sealed/`.
    pub fn sealed(&self) -> Arc<SealedStore> {
        self.sealed.clone()
    }

    /// Commits what waits, closes the database and frees the directory.
    ///
    /// # Errors
    /// [`SpoolError::Refusing`] when the spool was closed by an I/O error.
    pub async fn close(self) -> Result<(), SpoolError> {
        self.ask(Command::Close).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, SpoolError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(command(answer));
        sent.map_err(|_| SpoolError::Closed)?;
        answered.await.map_err(|_| SpoolError::Closed)?
    }
}

/// Where the pictures of a spool are.
pub fn evidence_dir(root: &Path) -> std::path::PathBuf {
    root.join("evidence")
}

pub(super) fn from_evidence(error: EvidenceError) -> SpoolError {
    match error {
        EvidenceError::Io { path, what, error } => SpoolError::io(&path, what, &error),
        other => SpoolError::Refusing(other.to_string()),
    }
}
