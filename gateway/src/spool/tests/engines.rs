//! Two more engines: a model whose power can be cut, and redb as a control (R12).

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
};

use super::super::engine::{Cut, Engine, EngineError, Visitor, WriteBatch};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The disk under [`MemEngine`]s.
#[derive(Clone, Default)]
pub struct MemDisk(Arc<Mutex<MemState>>);

type Change = (Vec<u8>, Option<Vec<u8>>);

#[derive(Default)]
struct MemState {
    durable: Map,
    cached: Map,
    /// What `cached` has and `durable` has not: units that a power cut keeps whole.
    unsynced: Vec<Vec<Change>>,
    /// Counts down with every write and sync; the one that reaches zero fails, and all after it.
    fail_in: Option<u64>,
    operations: u64,
    /// How often the power was cut.
    cuts: u64,
}

fn apply(map: &mut Map, unit: &[Change]) {
    for (key, value) in unit {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

impl MemDisk {
    /// Of what was not synced, only the first `share` (0 to 1) is kept. Engines that are open then
    /// write no more: who had one may not know yet that its time is over.
    pub fn cut_power(&self, share: f64) {
        let mut state = self.0.lock().unwrap();
        let kept = (state.unsynced.len() as f64 * share).round() as usize;
        let unsynced = std::mem::take(&mut state.unsynced);
        for unit in &unsynced[..kept] {
            apply(&mut state.durable, unit);
        }
        state.cached = state.durable.clone();
        state.cuts += 1;
    }

    /// The `n`-th write or sync from now fails, and all after it until [`MemDisk::repair`].
    pub fn fail_in(&self, n: u64) {
        self.0.lock().unwrap().fail_in = Some(n);
    }

    pub fn repair(&self) {
        self.0.lock().unwrap().fail_in = None;
    }

    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    pub fn engine(&self) -> MemEngine {
        let cuts = self.0.lock().unwrap().cuts;
        MemEngine {
            disk: self.clone(),
            cuts,
        }
    }
}

pub struct MemEngine {
    disk: MemDisk,
    /// Of its disk, when it was opened.
    cuts: u64,
}

impl MemState {
    fn step(&mut self, cuts: u64) -> Result<(), EngineError> {
        if cuts != self.cuts {
            return Err(io::Error::other("the power was cut").into());
        }
        self.operations += 1;
        if let Some(left) = &mut self.fail_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Err(io::Error::other("injected").into());
            }
        }
        Ok(())
    }
}

impl Engine for MemEngine {
    fn write(&mut self, batch: &WriteBatch, cut: Cut) -> Result<(), EngineError> {
        let mut state = self.disk.0.lock().unwrap();
        state.step(self.cuts)?;
        let changes: Vec<Change> = batch
            .changes()
            .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
            .collect();
        apply(&mut state.cached, &changes);
        match cut {
            Cut::AllOrNothing => state.unsynced.push(changes),
            Cut::AnyPrefix => state.unsynced.extend(changes.into_iter().map(|c| vec![c])),
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        let mut state = self.disk.0.lock().unwrap();
        state.step(self.cuts)?;
        let unsynced = std::mem::take(&mut state.unsynced);
        for unit in &unsynced {
            apply(&mut state.durable, unit);
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.disk.0.lock().unwrap().cached.get(key).cloned())
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), EngineError> {
        let state = self.disk.0.lock().unwrap();
        let range = range.start.to_vec()..range.end.to_vec();
        for (key, value) in state.cached.range(range) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        let state = self.disk.0.lock().unwrap();
        state.durable.values().map(|value| value.len() as u64).sum()
    }
}

const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("outbox");

/// redb: batches are written without durability, `sync` is an empty durable commit after them.
pub struct RedbEngine(redb::Database);

impl RedbEngine {
    pub fn open(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let db = redb::Database::create(path.join("outbox.redb")).unwrap();
        let begin = db.begin_write().unwrap();
        begin.open_table(TABLE).unwrap();
        begin.commit().unwrap();
        RedbEngine(db)
    }
}

fn redb_error(error: impl std::error::Error) -> EngineError {
    EngineError::Damaged(error.to_string())
}

impl Engine for RedbEngine {
    fn write(&mut self, batch: &WriteBatch, _: Cut) -> Result<(), EngineError> {
        let mut write = self.0.begin_write().map_err(redb_error)?;
        write
            .set_durability(redb::Durability::None)
            .map_err(redb_error)?;
        {
            let mut table = write.open_table(TABLE).map_err(redb_error)?;
            for (key, value) in batch.changes() {
                match value {
                    Some(value) => drop(table.insert(key, value).map_err(redb_error)?),
                    None => drop(table.remove(key).map_err(redb_error)?),
                }
            }
        }
        write.commit().map_err(redb_error)
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        let write = self.0.begin_write().map_err(redb_error)?;
        write.commit().map_err(redb_error)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        use redb::ReadableDatabase;
        let read = self.0.begin_read().map_err(redb_error)?;
        let table = read.open_table(TABLE).map_err(redb_error)?;
        let value = table.get(key).map_err(redb_error)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), EngineError> {
        use redb::ReadableDatabase;
        let read = self.0.begin_read().map_err(redb_error)?;
        let table = read.open_table(TABLE).map_err(redb_error)?;
        for item in table
            .range::<&[u8]>(range.start..range.end)
            .map_err(redb_error)?
        {
            let (key, value) = item.map_err(redb_error)?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}
