//! What was received, on disk before it is acknowledged.
//!
//! `events.jsonl`: one line per message, appended and synced: `received` (Unix ms), `id`,
//! `type`, `sha256`, and `body`, the exact bytes as a JSON string, so that the hash can be
//! checked later. `evidence/<sha256>.jpg`: pictures, `.part` while pieces are missing
//! ([`crate::parts`]). All are read again at start; a last line that a crash cut off was never
//! acknowledged and is cut away.
//!
//! One thread owns the files. Messages that come together share one sync. The memory that
//! recognises repeats is 48 bytes a message and is never trimmed; a real platform keeps it in
//! its database.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};
use wangge_protocol::{EvidenceRef, Receipt, ReceiptStatus};

use crate::{
    MAX_PICTURE,
    check::{Body, Checker, Event, Unfit},
    outbox::Outbox,
    parts::{MAX_PART_BYTES, MAX_PARTS, Parts, Piece},
    sha256,
    show::Show,
};

/// Messages that may wait for the disk; beyond, the sender waits.
const WAITING: usize = 1_024;
/// Messages per sync at most.
const TOGETHER: usize = 512;
/// Between two looks for incomplete pictures that nobody adds to.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// Something received.
#[derive(Clone, Debug)]
pub enum Delivery {
    Event(Bytes),
    /// The SHA-256 that it was delivered under, and the bytes.
    Picture(String, Bytes),
    /// A piece of a picture.
    Piece {
        sha256: String,
        offset: u64,
        /// Bytes of the whole.
        total: u64,
        bytes: Bytes,
    },
    /// The question how much of a picture is here.
    Ask(String),
}

/// Hands deliveries to the thread that owns the files.
#[derive(Clone, Debug)]
pub struct Store {
    queue: mpsc::Sender<(Delivery, oneshot::Sender<Receipt>)>,
    outbox: Outbox,
}

/// The files failed; nothing is acknowledged any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the storage has failed, see the log; nothing is acknowledged any more")]
pub struct Failed;

/// One line of `events.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    /// Unix time, ms.
    pub received: u64,
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub sha256: String,
    /// The message as it came.
    pub body: String,
}

impl Store {
    /// Opens or creates the directory and starts the thread.
    ///
    /// # Errors
    /// The directory cannot be written, or `events.jsonl` holds something else.
    pub fn open(dir: &Path, show: Show) -> anyhow::Result<Self> {
        let keeper = Keeper::open(dir, show)?;
        let outbox = keeper.outbox.clone();
        let (queue, deliveries) = mpsc::channel(WAITING);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || keeper.run(deliveries))
            .context("cannot start the storage thread")?;
        Ok(Store { queue, outbox })
    }

    /// Stores it durably unless it is here already; the answer comes through the receiver, in
    /// the order of submission.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn submit(&self, delivery: Delivery) -> Result<oneshot::Receiver<Receipt>, Failed> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send((delivery, reply))
            .await
            .map_err(|_| Failed)?;
        Ok(answer)
    }

    /// [`Store::submit`] and its answer.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn receive(&self, delivery: Delivery) -> Result<Receipt, Failed> {
        self.submit(delivery).await?.await.map_err(|_| Failed)
    }

    /// What waits for stations.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Resolves when the storage has failed.
    pub async fn failed(&self) {
        self.queue.closed().await;
    }
}

struct Keeper {
    outbox: Outbox,
    checker: Checker,
    show: Show,
    evidence: PathBuf,
    events: File,
    /// First 16 bytes of the id's SHA-256 -> SHA-256 of the message.
    known: HashMap<[u8; 16], [u8; 32]>,
    pictures: HashMap<String, PathBuf>,
    parts: Parts,
    swept: SystemTime,
}

/// A delivery that is answered after the next sync.
struct Answer {
    receipt: Receipt,
    reply: oneshot::Sender<Receipt>,
    /// New, and therefore shown.
    event: Option<Event>,
}

impl Keeper {
    fn open(dir: &Path, show: Show) -> anyhow::Result<Self> {
        let evidence = dir.join("evidence");
        fs::create_dir_all(&evidence)
            .with_context(|| format!("{}: cannot be created", evidence.display()))?;
        let path = dir.join("events.jsonl");
        let mut events = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("{}: cannot be opened", path.display()))?;
        let known = replay(&mut events).with_context(|| path.display().to_string())?;
        let pictures = fs::read_dir(&evidence)?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e != "part" && e != "new"))
            .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path.clone())))
            .collect::<HashMap<_, _>>();
        info!(
            events = known.len(),
            pictures = pictures.len(),
            "store {} opened",
            dir.display()
        );
        let mut parts = Parts::open(&evidence, MAX_PARTS, MAX_PART_BYTES)?;
        let swept = SystemTime::now();
        parts.sweep(swept)?;
        Ok(Keeper {
            parts,
            swept,
            outbox: Outbox::of(dir),
            checker: Checker::new()?,
            show,
            evidence,
            events,
            known,
            pictures,
        })
    }

    fn run(mut self, mut deliveries: mpsc::Receiver<(Delivery, oneshot::Sender<Receipt>)>) {
        let mut batch = Vec::with_capacity(TOGETHER);
        while deliveries.blocking_recv_many(&mut batch, TOGETHER) > 0 {
            // After a failed sync the kernel may have dropped the data and forgotten it, so a
            // second try would acknowledge what is lost: end, and let the sender repeat.
            if let Err(error) = self.store(batch.drain(..)) {
                error!("storage failed: {error:#}");
                return;
            }
        }
    }

    fn store(
        &mut self,
        batch: impl Iterator<Item = (Delivery, oneshot::Sender<Receipt>)>,
    ) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        let mut answers = Vec::new();
        for (delivery, reply) in batch {
            let (receipt, event) = match delivery {
                Delivery::Event(bytes) => self.event(&bytes, &mut lines)?,
                Delivery::Picture(name, bytes) => (self.picture(name, &bytes)?, None),
                Delivery::Piece {
                    sha256,
                    offset,
                    total,
                    bytes,
                } => (self.piece(sha256, offset, total, &bytes)?, None),
                Delivery::Ask(sha256) => (self.ask(sha256)?, None),
            };
            answers.push(Answer {
                receipt,
                reply,
                event,
            });
        }
        if !lines.is_empty() {
            self.events.write_all(&lines)?;
            self.events.sync_data()?;
        }
        for answer in answers {
            if let Some(event) = answer.event {
                if let Body::Answer(answer) = &event.body {
                    self.outbox.answered(&event.source, answer);
                }
                self.show.event(&event, &self.pictures);
            } else if answer.receipt.status == ReceiptStatus::Refused {
                self.show.refused(&answer.receipt);
            }
            // Who no longer listens asks again.
            let _ = answer.reply.send(answer.receipt);
        }
        Ok(())
    }

    fn has(&self, picture: &str) -> bool {
        self.pictures.contains_key(picture)
    }

    fn event(
        &mut self,
        bytes: &[u8],
        lines: &mut Vec<u8>,
    ) -> anyhow::Result<(Receipt, Option<Event>)> {
        let sha256 = sha256(bytes);
        let receipt = |id: &str, status, reason: Option<String>| Receipt {
            id: id.to_owned(),
            sha256: sha256.clone(),
            status,
            offset: None,
            reason,
        };
        let event = match self.checker.check(bytes) {
            Ok(event) => event,
            Err(Unfit { id, reason }) => {
                // There is none to echo.
                let id = id.unwrap_or_else(|| sha256.clone());
                return Ok((receipt(&id, ReceiptStatus::Refused, Some(reason)), None));
            }
        };
        let (key, hash) = (key(&event.id), Sha256::digest(bytes).into());
        match self.known.get(&key) {
            Some(known) if *known == hash => {
                return Ok((receipt(&event.id, ReceiptStatus::Stored, None), None));
            }
            Some(_) => {
                let reason = "a message with this id and other bytes is stored already";
                return Ok((
                    receipt(&event.id, ReceiptStatus::Refused, Some(reason.to_owned())),
                    None,
                ));
            }
            None => {}
        }
        let mut named = event.evidence().iter();
        let absent =
            |e: &&EvidenceRef| !self.has(&e.sha256) && !e.thumbnail.iter().any(|t| self.has(t));
        if let Some(missing) = named.find(absent) {
            let reason = format!("picture {} is not here", missing.sha256);
            return Ok((
                receipt(&event.id, ReceiptStatus::EvidenceMissing, Some(reason)),
                None,
            ));
        }
        let line = Line {
            received: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            sha256: sha256.clone(),
            // JSON is UTF-8, which the check has seen.
            body: String::from_utf8(bytes.to_vec())?,
        };
        serde_json::to_writer(&mut *lines, &line)?;
        lines.push(b'\n');
        self.known.insert(key, hash);
        Ok((receipt(&event.id, ReceiptStatus::Stored, None), Some(event)))
    }

    fn picture(&mut self, name: String, bytes: &[u8]) -> anyhow::Result<Receipt> {
        let sha256 = sha256(bytes);
        let refused = |reason: String| Receipt {
            id: name.clone(),
            sha256: sha256.clone(),
            status: ReceiptStatus::Refused,
            offset: None,
            reason: Some(reason),
        };
        if bytes.len() > MAX_PICTURE {
            let reason = format!("{} bytes; {MAX_PICTURE} is the limit", bytes.len());
            return Ok(refused(reason));
        }
        if sha256 != name {
            return Ok(refused("its bytes do not have this hash".to_owned()));
        }
        if !self.pictures.contains_key(&name) {
            self.keep(&name, bytes)?;
        }
        Ok(Receipt {
            id: name,
            sha256,
            status: ReceiptStatus::Stored,
            offset: None,
            reason: None,
        })
    }

    /// Stores a picture whose hash is right.
    fn keep(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.evidence.join(format!("{name}.{}", extension(bytes)));
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.evidence)?.sync_all()?;
        self.parts.remove(name)?;
        self.show.picture(name, &path, bytes.len());
        self.pictures.insert(name.to_owned(), path);
        Ok(())
    }

    fn piece(
        &mut self,
        name: String,
        offset: u64,
        total: u64,
        bytes: &[u8],
    ) -> anyhow::Result<Receipt> {
        let now = SystemTime::now();
        if now.duration_since(self.swept).unwrap_or_default() >= SWEEP_EVERY {
            self.swept = now;
            self.parts.sweep(now)?;
        }
        if self.pictures.contains_key(&name) {
            return self.ask(name);
        }
        let (status, offset, reason) = match self.parts.add(&name, offset, total, bytes, now)? {
            Piece::Held(held) => (ReceiptStatus::Partial, Some(held), None),
            Piece::Refused(reason) => (ReceiptStatus::Refused, None, Some(reason)),
            Piece::Whole(picture) => {
                self.keep(&name, &picture)?;
                (ReceiptStatus::Stored, None, None)
            }
        };
        Ok(Receipt {
            id: name.clone(),
            sha256: name,
            status,
            offset,
            reason,
        })
    }

    /// How much of a picture is here; of a whole one `offset` has the size, too.
    fn ask(&self, name: String) -> anyhow::Result<Receipt> {
        let (status, offset) = match self.pictures.get(&name) {
            Some(path) => (ReceiptStatus::Stored, fs::metadata(path)?.len()),
            None => (ReceiptStatus::Partial, self.parts.held(&name)),
        };
        Ok(Receipt {
            id: name.clone(),
            sha256: name,
            status,
            offset: Some(offset),
            reason: None,
        })
    }
}

/// Reads what earlier runs stored; cuts off a last line without an end.
fn replay(events: &mut File) -> anyhow::Result<HashMap<[u8; 16], [u8; 32]>> {
    let mut known = HashMap::new();
    let mut good = 0;
    let mut reader = BufReader::new(&mut *events);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        if line.last() != Some(&b'\n') {
            warn!(
                line = number,
                "cut off by a crash, never acknowledged: removed"
            );
            break;
        }
        let Ok(line) = serde_json::from_slice::<Line>(&line) else {
            bail!("line {number} is not one of ours; move the file away to start anew");
        };
        known.insert(key(&line.id), Sha256::digest(&line.body).into());
        good += length as u64;
    }
    if events.metadata()?.len() > good {
        events.set_len(good)?;
        events.sync_all()?;
    }
    events.seek(io::SeekFrom::End(0))?;
    Ok(known)
}

fn key(id: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(id).into();
    let mut key = [0; 16];
    key.copy_from_slice(hash.split_at(16).0);
    key
}

/// So that a person can open it.
fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => "jpg",
        [0x89, b'P', b'N', b'G', ..] => "png",
        _ => "bin",
    }
}
