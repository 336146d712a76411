//! Opening: reads every record once, checks the books, and says what is missing.

use std::{collections::HashMap, ops::ControlFlow, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use wangge_protocol::Text;

use super::{
    Class, Rung, SpoolError, UNKNOWN_STREAM,
    accounts::Accounts,
    engine::{Cut, Engine, EngineError, WriteBatch},
    gaps::Dropped,
    lanes::{Lanes, RECORD, class_of, parse_key, record_key, uplink_of},
    mark::Counters,
    record, redo,
    store::{COUNTERS, LAYOUT, Named, Store, UPLINK, put_counters},
};
use crate::config::Quota;

/// Layout version of the keys.
const VERSION: u8 = 1;

/// Uplinks that lanes can tell apart, those that left the configuration but still hold records
/// included.
pub const MAX_UPLINKS: usize = 255;

/// What an opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that wait for their receipt.
    pub held: u64,
    /// Records whose checksum is wrong; each is in a gap record now (R7).
    pub unreadable: u64,
    /// Acknowledged records that are gone; they are in a gap record now (R13).
    pub lost: u64,
    /// How far the opening had to go (R11).
    pub rung: Rung,
    /// Where the database that could not be read was put.
    pub quarantined: Option<PathBuf>,
    /// Pictures that a record names and that are gone.
    pub evidence_missing: u64,
    /// Pictures that no record named any more, deleted.
    pub evidence_swept: u64,
    /// Uplinks that are no longer configured, and the records that still wait for them.
    pub strangers: Vec<(String, u64)>,
    /// How long it took.
    pub took: Duration,
}

impl Recovery {
    /// Whether an operator must look at it.
    pub fn is_clean(&self) -> bool {
        self.rung == Rung::AsItWas
            && self.unreadable == 0
            && self.lost == 0
            && self.evidence_missing == 0
    }

    /// What an operator must know, if it is not clean.
    pub fn words(&self) -> Option<Text> {
        if self.is_clean() {
            return None;
        }
        let Recovery {
            lost,
            unreadable,
            evidence_missing,
            ..
        } = self;
        let kept = self.quarantined.as_ref().map(|path| path.display());
        let (zh, en) = kept.map_or_else(Default::default, |path| {
            (
                format!("；原数据库保存在 {path}"),
                format!("; the old database is kept in {path}"),
            )
        });
        Some(Text {
            zh: format!(
                "存储启动时发现损坏：丢失记录 {lost} 条，无法读取 {unreadable} 条，缺少图片 {evidence_missing} 张{zh}"
            ),
            en: format!(
                "the storage was damaged at the start: {lost} records lost, {unreadable} unreadable, {evidence_missing} pictures missing{en}"
            ),
        })
    }
}

/// Why a database cannot be used.
#[derive(Debug)]
pub enum LoadError {
    Engine(EngineError),
    Newer(u8),
    TooManyUplinks(usize),
}

impl From<EngineError> for LoadError {
    fn from(error: EngineError) -> Self {
        LoadError::Engine(error)
    }
}

/// What a scan of the whole engine found, before anything is changed.
#[derive(Debug, Default)]
pub struct Scan {
    /// The counters in the engine.
    pub counters: Counters,
    /// Name of each lane id.
    pub names: Vec<Option<String>>,
    /// Records whose checksum is wrong, by lane and number, in order.
    pub unreadable: Vec<(usize, u64, usize)>,
    /// Records of a batch that was cut off before it was durable, and never answered.
    pub uncounted: Vec<(usize, u64)>,
    /// State changes that may have been cut off.
    pub redo: Vec<redo::Change>,
}

impl Scan {
    /// Reads everything; `visit` gets the lane, number and frame of each good record.
    pub fn run(
        engine: &dyn Engine,
        mark: Option<Counters>,
        mut visit: impl FnMut(usize, u64, usize, &record::Frame<'_>),
    ) -> Result<Scan, LoadError> {
        let mut scan = Scan::default();
        match engine.get(LAYOUT)?.as_deref() {
            None | Some([VERSION]) => {}
            Some(other) => {
                return Err(LoadError::Newer(other.first().copied().unwrap_or_default()));
            }
        }
        if let Some(value) = engine.get(COUNTERS)? {
            let read = Counters::read_from(&value)
                .and_then(|(counters, redo)| Some((counters, redo::decode(redo)?)));
            (scan.counters, scan.redo) =
                read.ok_or_else(|| EngineError::Damaged("the counters are no counters".into()))?;
        }
        // Synced before the mark was written, so at least this much counts.
        let counts = scan.counters.last.max(mark.unwrap_or_default().last);
        let names = &mut scan.names;
        engine.scan(UPLINK..&[0, b'u' + 1], &mut |key, value| {
            if let Some(id) = key.get(2) {
                let id = usize::from(*id);
                if names.len() <= id {
                    names.resize(id + 1, None);
                }
                names[id] = Some(String::from_utf8_lossy(value).into_owned());
            }
            ControlFlow::Continue(())
        })?;
        let mut foreign = None;
        engine.scan(&[RECORD]..&[RECORD + 1], &mut |key, value| {
            let Some((lane, seq)) = parse_key(key) else {
                foreign = Some(hex::encode(key));
                return ControlFlow::Break(());
            };
            if seq > counts {
                scan.uncounted.push((lane, seq));
                return ControlFlow::Continue(());
            }
            match record::decode(value) {
                Ok(frame) => visit(lane, seq, value.len(), &frame),
                Err(_) => scan.unreadable.push((lane, seq, value.len())),
            }
            ControlFlow::Continue(())
        })?;
        match foreign {
            Some(key) => Err(EngineError::Damaged(format!("{key} is not a record's key")).into()),
            None => Ok(scan),
        }
    }
}

/// Acknowledged records that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// Their numbers are between this one
    first: u64,
    /// and this one.
    last: u64,
}

impl Scan {
    /// Compares the books, `last = live + removed`, and the mark with what is there.
    pub fn lost(&self, live: u64, mark: Option<Counters>) -> Option<Lost> {
        let found = self.counters;
        let mark = mark.unwrap_or_default();
        let last = found.last.max(mark.last);
        // Receipts of the last moments may be on one side only.
        let removed = found.removed.max(mark.removed);
        let count = last.saturating_sub(removed + live);
        let complete = found.last <= found.removed + live;
        (count > 0).then_some(Lost {
            count,
            first: if complete { found.last + 1 } else { 1 },
            last,
        })
    }
}

impl Store {
    /// Reads an engine and stages the gap records for what is missing; `commit` makes it good.
    ///
    /// `mark` is what the outbox is known to have had.
    pub(super) fn load(
        engine: Box<dyn Engine>,
        station: Arc<str>,
        quota: Quota,
        uplinks: &[Arc<str>],
        mark: Option<Counters>,
        now: Timestamp,
    ) -> Result<(Store, Recovery), LoadError> {
        let mut lanes = Lanes::default();
        let mut accounts = Accounts::default();
        let mut pictures = HashMap::<_, u32>::new();
        let scan = Scan::run(&*engine, mark, |lane, seq, len, frame| {
            lanes.admit(lane, seq, len);
            accounts.accept(frame.stream, frame.count);
            for hash in frame.hashes() {
                *pictures.entry(hash).or_default() += 1;
            }
        })?;
        for &(lane, seq, len) in &scan.unreadable {
            lanes.admit(lane, seq, len);
        }
        let mut store = Store::new(engine, station, quota, lanes, accounts, pictures);
        let strangers = store.assign_lanes(&scan, uplinks)?;
        let lost = store.reconcile(&scan, mark);
        let recovery = Recovery {
            held: store.live() - scan.unreadable.len() as u64,
            unreadable: scan.unreadable.len() as u64,
            lost: lost.map_or(0, |lost| lost.count),
            strangers,
            ..Recovery::default()
        };
        store
            .account_for(&scan, lost, now)
            .map_err(|error| EngineError::Damaged(error.to_string()))?;
        Ok((store, recovery))
    }

    /// Gives each configured uplink its lanes: by name, so that the order in the configuration
    /// may change. Returns the uplinks that left it and what they hold.
    fn assign_lanes(
        &mut self,
        scan: &Scan,
        uplinks: &[Arc<str>],
    ) -> Result<Vec<(String, u64)>, LoadError> {
        let mut names = scan.names.clone();
        let lane_ids = names.len().max(self.lanes.len() / Class::ALL.len());
        names.resize(lane_ids, None);
        let mut strangers = Vec::new();
        for (id, name) in names.iter_mut().enumerate() {
            let configured = |name: &str| uplinks.iter().any(|uplink| &**uplink == name);
            if name.as_deref().is_some_and(configured) {
                continue;
            }
            match self.lanes.held_by(id) {
                0 => *name = None,
                held => {
                    let name = name.get_or_insert_with(|| format!("(lane {id}, name lost)"));
                    strangers.push((name.clone(), held));
                }
            }
        }
        for uplink in uplinks {
            let known = names
                .iter()
                .position(|name| name.as_deref() == Some(uplink));
            let free = || {
                names
                    .iter()
                    .position(Option::is_none)
                    .unwrap_or(names.len())
            };
            let id = known.unwrap_or_else(free);
            if id >= MAX_UPLINKS {
                return Err(LoadError::TooManyUplinks(uplinks.len() + strangers.len()));
            }
            if known.is_none() {
                names.resize(names.len().max(id + 1), None);
                names[id] = Some(uplink.to_string());
                // Below MAX_UPLINKS, like every id here.
                self.batch
                    .put(&[UPLINK, &[id as u8]].concat(), uplink.as_bytes())?;
            }
            self.lanes.grow(id);
            self.uplinks.push(id as u8);
        }
        self.batch.put(LAYOUT, &[VERSION])?;
        Ok(strangers)
    }

    /// Sets the counters to what is true now.
    fn reconcile(&mut self, scan: &Scan, mark: Option<Counters>) -> Option<Lost> {
        let live = self.live();
        let last = scan.counters.last.max(mark.unwrap_or_default().last);
        self.counters = Counters {
            last,
            removed: last.saturating_sub(live),
        };
        self.written = self.counters;
        scan.lost(live, mark)
    }

    /// Stages the gap records.
    fn account_for(
        &mut self,
        scan: &Scan,
        lost: Option<Lost>,
        now: Timestamp,
    ) -> Result<(), SpoolError> {
        for &(lane, seq) in &scan.uncounted {
            self.batch.remove(&record_key(lane, seq));
        }
        for (key, value) in &scan.redo {
            self.stage_state(key, value.as_deref())?;
        }
        for &(lane, seq, len) in &scan.unreadable {
            self.remove(lane, seq, len, Named::default());
            self.accounts.accept_and_drop(UNKNOWN_STREAM, 1);
            let dropped = Dropped {
                class: class_of(lane).name(),
                stream: String::new(),
                reason: "unreadable".into(),
                count: 1,
                first: seq,
                last: seq,
            };
            self.stage_gap(uplink_of(lane), dropped, now)?;
        }
        if let Some(Lost { count, first, last }) = lost {
            self.accounts.accept_and_drop(UNKNOWN_STREAM, count);
            for uplink in self.uplinks.clone() {
                // Whose they were is lost with them, so every receiver hears of it.
                let dropped = Dropped {
                    class: "unknown",
                    stream: String::new(),
                    reason: "lost".into(),
                    count,
                    first,
                    last,
                };
                self.stage_gap(usize::from(uplink), dropped, now)?;
            }
        }
        put_counters(&mut self.batch, self.counters)
    }
}

/// Copies everything that can be read from one engine into another, in groups; what cannot be
/// read is left out, and the counters, which come first, will tell.
pub fn copy(from: &dyn Engine, into: &mut dyn Engine) -> Result<u64, EngineError> {
    /// Bytes per group: a few segments of the engine.
    const GROUP: usize = 1 << 20;
    let mut batch = WriteBatch::default();
    let mut copied = 0;
    let mut failure = None;
    // Everything but the records, then lane by lane: a bad page ends one of the scans only.
    let mut ranges = vec![(vec![0], vec![RECORD])];
    for lane in 0..MAX_UPLINKS * Class::ALL.len() {
        let [start, end] = [0, u64::MAX].map(|seq| record_key(lane, seq).to_vec());
        ranges.push((start, end));
    }
    for (start, end) in &ranges {
        let scanned = from.scan(start..end, &mut |key, value| {
            copied += 1;
            let mut step = || {
                batch.put(key, value)?;
                if batch.bytes() >= GROUP {
                    into.write(&batch, Cut::AnyPrefix)?;
                    batch.clear();
                }
                Ok(())
            };
            match step() {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if let Err(error) = scanned {
            tracing::warn!(%error, "part of the spool cannot be read; going on after it");
        }
    }
    into.write(&batch, Cut::AnyPrefix)?;
    into.sync()?;
    Ok(copied)
}
