//! Copies of messages whose pictures may still be needed: an alert that the community deals with
//! goes up with its pictures if it goes up at all, days later.
//!
//! The copies are records in a lane of the spool that no uplink reads. So they, and the pictures
//! that they name, are as durable as what is on its way, and the rules of retention begin when
//! the copy is released.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    alert::Outbound,
    spool::{Class, Lane, Record, Seq, Spool, SpoolError},
};

/// The lane's name among those of the uplinks, which cannot have it.
pub const LANE: &str = "#held";
/// The stream in the accounts.
pub const STREAM: &str = "held";
/// Copies at most; then the oldest make way, and their pictures stay as long as delivered ones.
pub const MOST: usize = 500;

/// What is held.
#[derive(Debug)]
pub struct Held {
    lane: Lane,
    alerts: BTreeMap<Seq, String>,
    release: Vec<Seq>,
}

impl Held {
    /// Nothing yet; `uplink` is the number of the lane.
    pub fn new(uplink: u8) -> Self {
        Held {
            lane: Lane {
                uplink,
                class: Class::Alert,
            },
            alerts: BTreeMap::new(),
            release: Vec::new(),
        }
    }

    /// Finds what an earlier run held.
    ///
    /// # Errors
    /// The spool's.
    pub async fn load(&mut self, spool: &Spool) -> Result<(), SpoolError> {
        const PAGE: usize = 256;
        let mut after = None;
        loop {
            let entries = spool.peek(self.lane, after, PAGE).await?;
            let more = entries.len() == PAGE;
            for entry in entries {
                after = Some(entry.seq);
                self.alerts.insert(entry.seq, alert_of(&entry.record));
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// The copy of a message.
    pub fn copy(&self, message: &Outbound) -> Record {
        Record {
            lane: self.lane,
            stream: STREAM.to_owned(),
            id: message.event_id.clone(),
            count: 1,
            evidence: message.evidence.clone(),
            body: message.body.clone(),
        }
    }

    /// Records that were appended got these numbers.
    pub fn appended<'r>(&mut self, records: impl IntoIterator<Item = &'r Record>, seqs: &[Seq]) {
        for (record, seq) in records.into_iter().zip(seqs) {
            if record.lane == self.lane {
                self.alerts.insert(*seq, alert_of(record));
            }
        }
        while self.alerts.len() > MOST
            && let Some((seq, _)) = self.alerts.pop_first()
        {
            self.release.push(seq);
        }
    }

    /// Releases all that is not wanted any longer.
    ///
    /// # Errors
    /// The spool's; what it did not take is released with the next call.
    pub async fn release(
        &mut self,
        spool: &Spool,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), SpoolError> {
        let unwanted = self.alerts.iter().filter(|(_, alert)| !wanted(alert));
        let seqs: Vec<Seq> = unwanted.map(|(seq, _)| *seq).collect();
        for seq in &seqs {
            self.alerts.remove(seq);
        }
        self.release.extend(seqs);
        if !self.release.is_empty() {
            spool.settle(self.release.clone()).await?;
            self.release.clear();
        }
        Ok(())
    }
}

/// The alert that a message is about; what says none is wanted by nobody.
fn alert_of(record: &Record) -> String {
    #[derive(Deserialize)]
    struct About {
        subject: String,
    }
    let about = serde_json::from_slice::<About>(&record.body);
    about.map(|about| about.subject).unwrap_or_default()
}
