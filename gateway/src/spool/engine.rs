//! What the outbox asks of a storage engine: little enough that another one can take sled's place.

use std::{io, ops::ControlFlow, ops::Range};

/// R3: no value is longer, because sled moves large values into files that it never syncs
/// (sled 0.34.7 `pagecache/logger.rs`: more than a quarter of a segment, and leaves hold up to
/// 17 values).
pub const MAX_VALUE: usize = 4_096;

/// R3, for keys: the longest state key is far below, and a leaf holds 17 of them.
pub const MAX_KEY: usize = 512;

/// Why an engine could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file system refused; the data that is there may be sound.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The data is not what was written, or the engine lost its footing (a panic counts).
    #[error("damaged: {0}")]
    Damaged(String),
    /// A caller broke R3.
    #[error(
        "a key of {key} or a value of {value} bytes is over the limits of {MAX_KEY} and {MAX_VALUE}"
    )]
    TooLarge {
        /// Bytes of the key.
        key: usize,
        /// Bytes of the value.
        value: usize,
    },
}

/// Sees key and value of each entry, and says when it has seen enough.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// What a power cut before the next sync may leave of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The first so many changes.
    AnyPrefix,
    /// All of it or nothing.
    AllOrNothing,
}

/// Ordered keys and values that survive a power cut as a prefix.
///
/// Changes are made in order. After a power cut what is there is what some prefix of them made,
/// at least as long as what the last `sync` covered; an atomic batch is in it whole or not at
/// all. Atomic batches cost sled three times the writes of ordered ones, so the store asks for
/// them only where order is not enough.
///
/// One thread owns an engine. After any `Err` from `write` or `sync` it must be dropped and
/// opened again: what it holds in memory may differ from what is on disk.
pub trait Engine: Send {
    /// Makes the changes; readable at once, durable after `sync`.
    fn write(&mut self, batch: &WriteBatch, cut: Cut) -> Result<(), EngineError>;
    /// Returns when everything written so far survives a power cut (R1).
    fn sync(&mut self) -> Result<(), EngineError>;
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;
    /// Visits `range` in the order of the keys until the visitor breaks.
    fn scan(&self, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), EngineError>;
    /// Bytes on disk.
    fn disk_bytes(&self) -> u64;
}

/// Changes that happen together, laid out in one buffer that is used again for the next batch.
#[derive(Debug, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    key: usize,
    value: usize,
    end: usize,
    remove: bool,
}

impl WriteBatch {
    /// Sets `key` to what `fill` appends to the buffer.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`]; the batch is then as before.
    pub fn put_with(
        &mut self,
        key: &[u8],
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), EngineError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let value = self.bytes.len();
        fill(&mut self.bytes);
        let end = self.bytes.len();
        if key.len() > MAX_KEY || end - value > MAX_VALUE {
            self.bytes.truncate(start);
            return Err(EngineError::TooLarge {
                key: key.len(),
                value: end - value,
            });
        }
        self.changes.push(Change {
            key: start,
            value,
            end,
            remove: false,
        });
        Ok(())
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`]; the batch is then as before.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.put_with(key, |bytes| bytes.extend_from_slice(value))
    }

    /// Removes `key`, if it is there.
    pub fn remove(&mut self, key: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let end = self.bytes.len();
        self.changes.push(Change {
            key: start,
            value: end,
            end,
            remove: true,
        });
    }

    /// The changes in the order they were made; `None` removes.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|change| {
            let key = &self.bytes[change.key..change.value];
            let value = (!change.remove).then(|| &self.bytes[change.value..change.end]);
            (key, value)
        })
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of keys and values so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.changes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_values_over_4_kib_are_refused_by_the_batch() {
        let mut batch = WriteBatch::default();
        batch.put(b"k", &[7; MAX_VALUE]).unwrap();
        for size in [MAX_VALUE + 1, MAX_VALUE * 10] {
            let error = batch.put(b"k", &vec![7; size]).unwrap_err();
            assert!(error.to_string().contains(&size.to_string()), "{error}");
        }
        batch.put(&[1; MAX_KEY], b"v").unwrap();
        for size in [MAX_KEY + 1, MAX_KEY * 10] {
            assert!(batch.put(&vec![1; size], b"v").is_err());
        }
        let sizes: Vec<_> = batch
            .changes()
            .map(|(key, value)| (key.len(), value.map_or(0, <[u8]>::len)))
            .collect();
        assert_eq!(sizes, [(1, MAX_VALUE), (MAX_KEY, 1)]);
    }
}
