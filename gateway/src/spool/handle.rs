//! Temporary in-memory stand-in with the spool's signatures, for the uplink's tests only.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

use super::{Batch, Entry, Lane, Seq, Stats};
use crate::config;

#[derive(Debug, thiserror::Error)]
#[error("spool")]
pub struct SpoolError;

#[derive(Debug, Default)]
pub struct Recovery;

#[derive(Debug, Default)]
struct Inner {
    next: Seq,
    entries: BTreeMap<Seq, Entry>,
    discarded: Vec<(Entry, String)>,
    settled: u64,
    peeks: u64,
}

#[derive(Clone, Debug)]
pub struct Spool {
    inner: Arc<Mutex<Inner>>,
    newest: Arc<watch::Sender<Seq>>,
}

#[allow(clippy::unwrap_used)]
impl Spool {
    pub fn open(_: &config::Storage, _: &[Arc<str>]) -> Result<(Spool, Recovery), SpoolError> {
        Ok((
            Spool {
                inner: Arc::default(),
                newest: Arc::new(watch::channel(0).0),
            },
            Recovery,
        ))
    }

    pub async fn append(&self, batch: Batch) -> Result<Vec<Seq>, SpoolError> {
        let mut seqs = Vec::new();
        {
            let mut inner = self.inner.lock().unwrap();
            for record in batch.records {
                inner.next += 1;
                let seq = inner.next;
                inner.entries.insert(seq, Entry { seq, record });
                seqs.push(seq);
            }
        }
        if let Some(last) = seqs.last() {
            self.newest.send_replace(*last);
        }
        Ok(seqs)
    }

    pub async fn peek(
        &self,
        lane: Lane,
        after: Option<Seq>,
        max: usize,
    ) -> Result<Vec<Entry>, SpoolError> {
        let mut inner = self.inner.lock().unwrap();
        inner.peeks += 1;
        let from = after.map_or(0, |s| s + 1);
        Ok(inner
            .entries
            .range(from..)
            .map(|(_, e)| e)
            .filter(|e| e.record.lane == lane)
            .take(max)
            .cloned()
            .collect())
    }

    pub async fn settle(&self, seqs: Vec<Seq>) -> Result<(), SpoolError> {
        let mut inner = self.inner.lock().unwrap();
        for seq in seqs {
            if inner.entries.remove(&seq).is_some() {
                inner.settled += 1;
            }
        }
        Ok(())
    }

    pub async fn discard(&self, seqs: Vec<Seq>, reason: &str) -> Result<(), SpoolError> {
        let mut inner = self.inner.lock().unwrap();
        for seq in seqs {
            if let Some(entry) = inner.entries.remove(&seq) {
                inner.discarded.push((entry, reason.to_owned()));
            }
        }
        Ok(())
    }

    pub async fn stats(&self) -> Result<Stats, SpoolError> {
        let inner = self.inner.lock().unwrap();
        let mut stats = Stats::default();
        for entry in inner.entries.values() {
            stats
                .streams
                .entry(entry.record.stream.clone())
                .or_default()
                .held += 1;
        }
        for (entry, _) in &inner.discarded {
            stats
                .streams
                .entry(entry.record.stream.clone())
                .or_default()
                .dropped += 1;
        }
        Ok(stats)
    }

    pub fn appended(&self) -> watch::Receiver<Seq> {
        self.newest.subscribe()
    }

    pub async fn close(self) -> Result<(), SpoolError> {
        Ok(())
    }
}
