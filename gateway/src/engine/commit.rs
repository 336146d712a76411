//! From a batch in memory to the disk, and what happens while the disk refuses.
//!
//! While the spool refuses, nothing is acknowledged; rules go on all the same, on what fits into
//! memory, and alerts go to the platform from there. When the spool takes records again, the same
//! messages are stored, and those that have their receipt already are not sent again.

use std::time::Duration;

use tokio::{sync::mpsc, time::Instant};
use tracing::{debug, error, info, warn};
use wangge_protocol::{EventKind, Text};

use super::{Engine, GATEWAY, GROUP};
use crate::{
    bilingual::Bilingual,
    proof,
    rules::{Finding, Transition},
    spool::{Batch, Class, Record, SpoolError},
};

/// First and longest wait before a refused commit is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Records and bytes of them in memory, from which no more arrivals are taken while the spool
/// refuses.
const HELD: (usize, usize) = (2 * GROUP, 8 * 1024 * 1024);
/// State entries from which repeated keys are thinned out.
const STATE: usize = 1_024;

/// The spool refuses.
#[derive(Debug)]
pub(super) struct Outage {
    why: Text,
    wait: Duration,
    /// When the batch is offered again.
    pub(super) retry_at: Instant,
    /// How many of the batch's records were looked at for what goes out from memory.
    told: usize,
}

impl Engine {
    /// Alerts that cannot be stored go through these, one an uplink, in their order.
    pub fn with_live(mut self, live: Vec<mpsc::Sender<Record>>) -> Self {
        self.live = live;
        self
    }

    /// Whether more arrivals fit into memory.
    pub(super) fn takes_more(&self) -> bool {
        let records = &self.batch.records;
        self.outage.is_none()
            || records.len().max(self.acks.len()) < HELD.0
                && records.iter().map(|r| r.body.len()).sum::<usize>() < HELD.1
    }

    /// Makes the batch durable, then acknowledges what it came from; while the spool refuses,
    /// tells of its alerts from memory. Whether nothing waits any more.
    pub(super) async fn commit(&mut self) -> bool {
        if let Some(outage) = &self.outage
            && Instant::now() < outage.retry_at
        {
            self.tell();
            return false;
        }
        self.streams
            .flush(self.clock.now(), &mut self.batch.records);
        self.batch.state.extend(self.router.take_state());
        if (!self.batch.records.is_empty() || !self.batch.state.is_empty()) && !self.append().await
        {
            return false;
        }
        for ack in self.acks.drain(..) {
            ack.done();
        }
        if self.router.take_released() {
            let router = &self.router;
            let released = self.held.release(&self.spool, |alert| router.holds(alert));
            if let Err(fault) = released.await {
                debug!(%fault, "copies are released later");
            }
        }
        true
    }

    /// Stores the batch; `false` if the spool refuses now. One record that can never be stored
    /// must not keep the others out: each goes alone then, and what is refused is named and
    /// counted.
    async fn append(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        match self.spool.append(batch.clone()).await {
            Ok(seqs) => {
                self.held.appended(&batch.records, &seqs);
                self.recovered();
            }
            Err(SpoolError::Closed) => {
                // Nothing was acknowledged, so whoever sent it sends it again.
                error!("the spool is closed; the last readings stay unacknowledged");
                self.acks.clear();
                self.outage = None;
            }
            Err(fault) if fault.is_of_the_record() => {
                error!(%fault, "a record can never be stored; the others of its commit go one by one");
                self.append_one_by_one(batch).await;
                self.recovered();
            }
            Err(fault) => {
                self.batch = batch;
                self.refused(&fault);
                return false;
            }
        }
        true
    }

    async fn append_one_by_one(&mut self, mut batch: Batch) {
        let records = std::mem::take(&mut batch.records);
        // The heads of chains go first: a message that is lost then leaves a hole, and no number
        // is used twice.
        let (heads, state) = std::mem::take(&mut batch.state)
            .into_iter()
            .partition(|(key, _)| proof::is_head(key));
        batch.state = state;
        let heads = Batch {
            state: heads,
            ..Batch::default()
        };
        let alone = records.into_iter().map(|record| Batch {
            records: vec![record],
            ..Batch::default()
        });
        for part in std::iter::once(heads).chain(alone).chain([batch]) {
            if let Err(fault) = self.append_patiently(&part).await {
                error!(%fault, "lost: not stored, not delivered");
                self.progress().unforwardable += 1;
            }
        }
    }

    /// Tries until the spool takes the batch.
    ///
    /// # Errors
    /// Only what no waiting mends: the spool is closed, or a record can never be stored.
    async fn append_patiently(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        loop {
            match self.spool.append(batch.clone()).await {
                Ok(seqs) => {
                    self.held.appended(&batch.records, &seqs);
                    return Ok(());
                }
                Err(fault) if fault == SpoolError::Closed || fault.is_of_the_record() => {
                    return Err(fault);
                }
                Err(fault) => {
                    let retry_at = self.refused(&fault);
                    tokio::time::sleep_until(retry_at).await;
                    self.progress().alive = Some(Instant::now());
                }
            }
        }
    }

    /// The spool refuses; returns when to try again.
    fn refused(&mut self, fault: &SpoolError) -> Instant {
        let why = fault.told();
        let (wait, told) = match &self.outage {
            Some(outage) => ((outage.wait * 2).min(RETRY.1), outage.told),
            None => (RETRY.0, 0),
        };
        if self.outage.as_ref().is_none_or(|outage| outage.why != why) {
            error!(
                fault = why.en,
                "the spool refuses; nothing is acknowledged until it takes records again"
            );
            self.progress().refused = Some(why.en.clone());
        }
        let retry_at = Instant::now() + wait;
        self.outage = Some(Outage {
            why,
            wait,
            retry_at,
            told,
        });
        self.tell();
        if self.batch.state.len() > STATE {
            thin(&mut self.batch.state);
        }
        retry_at
    }

    fn recovered(&mut self) {
        let Some(outage) = self.outage.take() else {
            return;
        };
        info!("the spool takes records again");
        self.progress().refused = None;
        self.storage_fault(outage.why);
    }

    /// Passes alerts of the batch to the uplinks from memory, each once.
    fn tell(&mut self) {
        let Some(outage) = &mut self.outage else {
            return;
        };
        for record in self.batch.records.iter().skip(outage.told) {
            let live = self.live.get(usize::from(record.lane.uplink));
            if record.lane.class != Class::Alert || record.body.is_empty() {
                continue;
            }
            if let Some(live) = live
                && live.try_send(record.clone()).is_err()
            {
                warn!(
                    id = record.id,
                    "an alert waits for the disk: too many go from memory"
                );
            }
        }
        outage.told = self.batch.records.len();
    }

    /// Reports a storage fault after the fact: while it lasted, nothing could be stored.
    pub(super) fn storage_fault(&mut self, reason: Text) {
        let now = self.clock.now();
        for what in [Transition::Began, Transition::Ended] {
            self.findings.push(Finding {
                subject: GATEWAY.into(),
                rule: "storage".to_owned(),
                kind: EventKind::StorageFault,
                severity: EventKind::StorageFault.default_severity(),
                what,
                at: now.wall,
                measurement: None,
                sighting: None,
                evidence: Vec::new(),
                reason: Some(reason.clone()),
            });
        }
        self.apply();
        debug!("storage fault reported; it leaves with the next commit");
    }
}

/// Leaves the last entry of each key, in the order of these.
fn thin(state: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    let mut seen = std::collections::HashSet::new();
    state.reverse();
    state.retain(|(key, _)| seen.insert(key.clone()));
    state.reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_repeated_keys_the_last_value_is_left() {
        let entry = |key: &str, value: Option<&str>| {
            (
                key.as_bytes().to_vec(),
                value.map(|v| v.as_bytes().to_vec()),
            )
        };
        let mut state = vec![
            entry("a", Some("1")),
            entry("b", Some("1")),
            entry("a", None),
            entry("c", Some("1")),
            entry("b", Some("2")),
        ];
        thin(&mut state);
        assert_eq!(
            state,
            [
                entry("a", None),
                entry("c", Some("1")),
                entry("b", Some("2"))
            ]
        );
    }
}
