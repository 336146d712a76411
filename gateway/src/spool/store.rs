//! The outbox's logic over an engine: numbering, lanes, gaps, quota. One thread, no clock, no
//! waiting; what is staged reaches the engine in `commit`.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use wangge_protocol::EventKind;

use super::{
    Batch, Class, GAP_STREAM, Lane, MAX_BODY, MAX_STATE_KEY, Seq, SpoolError, StreamAccount,
    accounts::Accounts,
    engine::{Cut, Engine, EngineError, MAX_VALUE, WriteBatch},
    gaps::{Dropped, OpenGap},
    lanes::{Lanes, class_of, lane_of, record_key, uplink_of},
    mark::Counters,
    quota::{Disk, frame_cost},
    record, redo,
};
use crate::config::Quota;

pub const COUNTERS: &[u8] = &[0, b'c'];
pub const LAYOUT: &[u8] = &[0, b'v'];
pub const UPLINK: &[u8] = &[0, b'u'];
/// When the database was made: the station's age then, seconds u64.
const BORN: &[u8] = &[0, b'b'];
pub const STATE: u8 = 1;

/// A record that named a picture has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    pub hash: [u8; 32],
    /// Of the alert that named it.
    pub kind: Option<EventKind>,
    /// By a receipt; not because it was given up.
    pub is_confirmed: bool,
    /// No other record names it.
    pub is_last: bool,
}

/// The pictures of a record that goes, and why it goes.
#[derive(Debug, Default)]
pub(super) struct Named {
    hashes: Vec<[u8; 32]>,
    kind: Option<EventKind>,
    is_confirmed: bool,
}

impl Named {
    pub(super) fn by(record: &record::Frame<'_>, is_confirmed: bool) -> Named {
        #[derive(serde::Deserialize)]
        struct Data {
            kind: EventKind,
        }
        #[derive(serde::Deserialize)]
        struct Message {
            data: Data,
        }
        let hashes: Vec<_> = record.hashes().collect();
        let kind = (!hashes.is_empty())
            .then(|| serde_json::from_slice::<Message>(record.body).ok())
            .flatten();
        Named {
            hashes,
            kind: kind.map(|message| message.data.kind),
            is_confirmed,
        }
    }
}

/// The outbox over one opened engine.
pub struct Store {
    pub(super) engine: Box<dyn Engine>,
    pub(super) station: Arc<str>,
    pub(super) quota: Quota,
    /// Lane id of each configured uplink.
    pub(super) uplinks: Vec<u8>,
    /// By lane id and class.
    pub(super) lanes: Lanes,
    pub(super) accounts: Accounts,
    /// With everything staged.
    pub(super) counters: Counters,
    /// As the engine has them.
    pub(super) written: Counters,
    /// How many live records name a picture.
    pub(super) pictures: HashMap<[u8; 32], u32>,
    pub(super) batch: WriteBatch,
    /// Ordered is enough for records, receipts and state; drops and their gap records need more.
    pub(super) cut: Cut,
    /// For removals; empty in between.
    spare: WriteBatch,
    pub(super) gaps: Vec<OpenGap>,
    receipts: Vec<Seq>,
    /// Pictures that a record named which has gone, since the last `take_released`.
    released: Vec<Released>,
    frames: Vec<u8>,
    /// Bytes of records taken since the last `take_taken`.
    taken: u64,
    sync_failed: bool,
}

impl Store {
    pub(super) fn new(
        engine: Box<dyn Engine>,
        station: Arc<str>,
        quota: Quota,
        lanes: Lanes,
        accounts: Accounts,
        pictures: HashMap<[u8; 32], u32>,
    ) -> Store {
        Store {
            engine,
            station,
            quota,
            uplinks: Vec::new(),
            lanes,
            accounts,
            counters: Counters::default(),
            written: Counters::default(),
            pictures,
            batch: WriteBatch::default(),
            cut: Cut::AnyPrefix,
            spare: WriteBatch::default(),
            gaps: Vec::new(),
            receipts: Vec::new(),
            released: Vec::new(),
            frames: Vec::new(),
            taken: 0,
            sync_failed: false,
        }
    }

    /// Live records over all lanes.
    pub fn live(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.records).sum()
    }

    /// What the live records cost in the quota.
    pub fn live_bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.bytes).sum()
    }

    /// Live records of a class over all uplinks, and what they cost in its quota.
    pub fn class_use(&self, class: Class) -> (u64, u64) {
        let lanes = self.lanes.iter().enumerate();
        lanes
            .filter(|(at, _)| class_of(*at) == class)
            .fold((0, 0), |(records, bytes), (_, lane)| {
                (records + lane.records, bytes + lane.bytes)
            })
    }

    /// Bytes of records taken since the last call.
    pub fn take_taken(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    pub fn accounts(&self) -> BTreeMap<String, StreamAccount> {
        self.accounts.durable()
    }

    pub fn disk_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }

    /// Whether a sync failed, so that what can be read may not be on disk. A full disk refuses
    /// before it takes the bytes, so that is not meant.
    pub fn sync_failed(&self) -> bool {
        self.sync_failed
    }

    /// The station's age when this database was made, if that is known and not in the future.
    pub fn born(&self, now: Duration) -> Option<Duration> {
        let value = self.engine.get(BORN).ok()??;
        let seconds = u64::from_be_bytes(value.try_into().ok()?);
        Some(Duration::from_secs(seconds)).filter(|born| *born <= now)
    }

    /// Stages `now` as the station's age when this database was made.
    pub fn stage_born(&mut self, now: Duration) -> Result<(), SpoolError> {
        self.batch
            .put(BORN, &now.as_secs().to_be_bytes())
            .map_err(refusing)
    }

    /// The engine, to copy from.
    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Goes on from the accounts of before a reopening, and commits what loading staged.
    pub fn resume(&mut self, before: &BTreeMap<String, StreamAccount>) -> Result<(), SpoolError> {
        self.commit()?;
        self.accounts.resume(before);
        Ok(())
    }

    /// Whether `commit` has something to write.
    pub fn has_staged(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Bytes that `commit` would write.
    pub fn staged_bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// The pictures that live records name.
    pub fn pictures(&self) -> impl Iterator<Item = String> {
        self.pictures.keys().map(hex::encode)
    }

    /// Whether a picture is named by a live record.
    pub fn names_picture(&self, hash: &[u8; 32]) -> bool {
        self.pictures.contains_key(hash)
    }

    /// What has gone of records that named pictures since the last call.
    pub fn take_released(&mut self) -> Vec<Released> {
        std::mem::take(&mut self.released)
    }

    /// The place of a lane in `lanes`.
    pub(super) fn lane(&self, lane: Lane) -> Result<usize, SpoolError> {
        let id = self.uplinks.get(usize::from(lane.uplink));
        let id = id.ok_or(SpoolError::NoUplink(lane.uplink))?;
        Ok(lane_of(usize::from(*id), lane.class))
    }

    /// Stages a whole batch, or says why not and stages none of it.
    ///
    /// `evidence_bytes` is what the pictures take of the quota; telemetry may be thinned to make
    /// room, which stays staged even if the batch itself is refused.
    pub fn stage(
        &mut self,
        batch: &Batch,
        disk: Disk,
        evidence_bytes: u64,
        now: Timestamp,
    ) -> Result<Vec<Seq>, SpoolError> {
        check_state(batch)?;
        self.frames.clear();
        let mut ends = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            self.lane(record.lane)?;
            if record.body.len() > MAX_BODY {
                return Err(SpoolError::TooLarge {
                    id: record.id.clone(),
                    what: "the body",
                    bytes: record.body.len(),
                    limit: MAX_BODY,
                });
            }
            record::encode(record, &mut self.frames)?;
            ends.push(self.frames.len());
        }
        let telemetry_fits = self.make_room(batch, disk, evidence_bytes, now)?;

        let frames = std::mem::take(&mut self.frames);
        let mut seqs = Vec::with_capacity(batch.records.len());
        let mut start = 0;
        for (record, end) in batch.records.iter().zip(ends) {
            let frame = &frames[start..end];
            start = end;
            let lane = self.lane(record.lane)?;
            let seq = self.next_seq();
            seqs.push(seq);
            if record.lane.class == Class::Telemetry && !telemetry_fits {
                self.counters.removed += 1;
                self.accounts
                    .accept_and_drop(&record.stream, record.count.into());
                let dropped = Dropped {
                    class: Class::Telemetry.name(),
                    stream: record.stream.clone(),
                    reason: "quota".into(),
                    count: record.count.into(),
                    first: seq,
                    last: seq,
                };
                self.stage_gap(uplink_of(lane), dropped, now)?;
                continue;
            }
            self.batch
                .put(&record_key(lane, seq), frame)
                .map_err(refusing)?;
            self.lanes.admit(lane, seq, frame.len());
            self.taken += frame_cost(frame.len());
            self.accounts.accept(&record.stream, record.count);
            for picture in &record.evidence {
                if let Some(hash) = record::unhex(&picture.sha256) {
                    *self.pictures.entry(hash).or_default() += 1;
                }
            }
        }
        self.frames = frames;
        if !batch.state.is_empty() && !self.stage_redo(batch) {
            self.cut = Cut::AllOrNothing;
        }
        for (key, value) in &batch.state {
            self.stage_state(key, value.as_deref())?;
        }
        Ok(seqs)
    }

    pub(super) fn stage_state(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), SpoolError> {
        let key = [&[STATE], key].concat();
        match value {
            Some(value) => self.batch.put(&key, value).map_err(refusing),
            None => {
                self.batch.remove(&key);
                Ok(())
            }
        }
    }

    /// Puts the counters, which make everything staged so far count, together with the state
    /// changes that follow them, so that the state cannot be without its records nor they
    /// without it. False if that is too much for one value.
    fn stage_redo(&mut self, batch: &Batch) -> bool {
        let counters = self.counters;
        self.batch
            .put_with(COUNTERS, |value| {
                counters.write_to(value);
                redo::encode(&batch.state, value);
            })
            .is_ok()
    }

    /// Notes receipts; the records go with the next write.
    pub fn settle(&mut self, seqs: Vec<Seq>) {
        self.receipts.extend(seqs);
    }

    /// Removes what has a receipt from the engine; the next `commit` makes it durable.
    pub fn apply_receipts(&mut self) -> Result<(), SpoolError> {
        if self.receipts.is_empty() {
            return Ok(());
        }
        let mut receipts = std::mem::take(&mut self.receipts);
        receipts.sort_unstable();
        receipts.dedup();
        let mut found = Vec::with_capacity(receipts.len());
        for seq in receipts {
            if let Some((lane, frame)) = self.find(seq)? {
                let read = record::decode(&frame).map_err(|_| damaged(lane, seq))?;
                self.accounts.receipt(read.stream, read.count);
                let named = Named::by(&read, true);
                found.push((lane, seq, frame.len(), named));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        // What is staged is not to be written yet.
        std::mem::swap(&mut self.batch, &mut self.spare);
        // Before the removals: cut between them, a record is sent once more. The other way
        // round it would look lost.
        self.written.removed += found.len() as u64;
        put_counters(&mut self.batch, self.written)?;
        for (lane, seq, len, named) in found {
            self.remove(lane, seq, len, named);
            if self.lanes[lane].first == seq {
                self.lanes[lane].first = seq + 1;
            }
        }
        std::mem::swap(&mut self.batch, &mut self.spare);
        let written = self.engine.write(&self.spare, Cut::AnyPrefix);
        self.spare.clear();
        written.map_err(refusing)
    }

    /// Stages the removal of records that will never be delivered, and the gap records that say so.
    pub fn discard(
        &mut self,
        mut seqs: Vec<Seq>,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), SpoolError> {
        seqs.sort_unstable();
        seqs.dedup();
        for seq in seqs {
            let Some((lane, frame)) = self.find(seq)? else {
                continue;
            };
            let read = record::decode(&frame).map_err(|_| damaged(lane, seq))?;
            let named = Named::by(&read, false);
            self.remove(lane, seq, frame.len(), named);
            self.accounts.drop_held(read.stream, read.count);
            let class = class_of(lane);
            if class == Class::Gap && read.stream == GAP_STREAM {
                self.cut = Cut::AllOrNothing;
                // A gap record about a gap record would be refused as well, for ever.
                tracing::error!(id = read.id, reason, "a gap record was discarded");
                continue;
            }
            let dropped = Dropped {
                class: class.name(),
                stream: read.stream.to_owned(),
                // As long as a body has room for, whatever a receiver answered.
                reason: reason.chars().take(200).collect(),
                count: read.count.into(),
                first: seq,
                last: seq,
            };
            self.stage_gap(uplink_of(lane), dropped, now)?;
        }
        Ok(())
    }

    /// Writes and syncs everything staged and every receipt so far.
    pub fn commit(&mut self) -> Result<(), SpoolError> {
        self.write_staged()?;
        self.engine.sync().map_err(|error| {
            let full =
                matches!(&error, EngineError::Io(io) if io.kind() == io::ErrorKind::StorageFull);
            self.sync_failed = !full;
            refusing(error)
        })?;
        self.accounts.commit();
        for open in &mut self.gaps {
            open.staged = false;
        }
        Ok(())
    }

    /// The part of `commit` before the sync.
    pub(super) fn write_staged(&mut self) -> Result<(), SpoolError> {
        self.apply_receipts()?;
        if !self.batch.is_empty() {
            put_counters(&mut self.batch, self.counters)?;
            self.engine.write(&self.batch, self.cut).map_err(refusing)?;
            self.written = self.counters;
            self.cut = Cut::AnyPrefix;
        }
        self.batch.clear();
        Ok(())
    }

    pub(super) fn next_seq(&mut self) -> Seq {
        self.counters.last += 1;
        self.counters.last
    }

    pub(super) fn remove(&mut self, lane: usize, seq: Seq, frame: usize, named: Named) {
        self.batch.remove(&record_key(lane, seq));
        self.counters.removed += 1;
        self.lanes.release(lane, frame);
        for hash in named.hashes {
            if let Some(users) = self.pictures.get_mut(&hash) {
                *users -= 1;
                let is_last = *users == 0;
                if is_last {
                    self.pictures.remove(&hash);
                }
                self.released.push(Released {
                    hash,
                    kind: named.kind,
                    is_confirmed: named.is_confirmed,
                    is_last,
                });
            }
        }
    }
}

/// Writes the station's age into a database that is being made.
pub(super) fn put_born(engine: &mut dyn Engine, age: Duration) -> Result<(), EngineError> {
    let mut batch = WriteBatch::default();
    batch.put(BORN, &age.as_secs().to_be_bytes())?;
    engine.write(&batch, Cut::AnyPrefix)
}

/// Stages the counters; what was staged before counts from here on.
pub(super) fn put_counters(batch: &mut WriteBatch, counters: Counters) -> Result<(), SpoolError> {
    batch
        .put_with(COUNTERS, |value| counters.write_to(value))
        .map_err(refusing)
}

fn check_state(batch: &Batch) -> Result<(), SpoolError> {
    for (key, value) in &batch.state {
        let size = |what, bytes, limit| SpoolError::TooLarge {
            id: String::from_utf8_lossy(key).chars().take(80).collect(),
            what,
            bytes,
            limit,
        };
        if key.len() > MAX_STATE_KEY {
            return Err(size("the state key", key.len(), MAX_STATE_KEY));
        }
        let value = value.as_ref().map_or(0, Vec::len);
        if value > MAX_VALUE {
            return Err(size("the state value", value, MAX_VALUE));
        }
    }
    Ok(())
}

/// Any engine error: what is in memory cannot be trusted until the database was opened again.
pub(super) fn refusing(error: EngineError) -> SpoolError {
    SpoolError::Refusing(error.to_string())
}

pub(super) fn damaged(lane: usize, seq: Seq) -> SpoolError {
    let class = class_of(lane).name();
    SpoolError::Refusing(format!("{class} record {seq} cannot be read"))
}
