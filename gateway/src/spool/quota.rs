//! How full it may get, and what goes first (R5, C6).
//!
//! Pictures that are delivered and stay for their term go first, before that term (`retention`);
//! then telemetry, the oldest first, with a gap record; then telemetry is refused, and its
//! sources keep what they have. Alerts are taken to the last byte and never dropped. Telemetry and
//! pictures have quotas of their own besides, so that neither can take all.

use std::ops::ControlFlow;

use jiff::Timestamp;

use super::{
    Batch, Class, Record, Seq, SpoolError,
    error::Full,
    gaps::Dropped,
    lanes::{class_of, uplink_of},
    record,
    store::{Named, Store, damaged},
};

/// What a record costs in the quota beside its frame: key and the tree's bookkeeping.
const OVERHEAD: u64 = 48;

/// Telemetry is thinned by a little more than is needed, so that not every batch has to; at
/// most this many bytes, so that no batch waits long for it.
const THIN_STEP: u64 = 256 << 10;

/// How full the disk under the spool is, whatever the quota says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disk {
    /// Enough.
    Roomy,
    /// Alerts only.
    Low,
    /// Nothing: the engine itself needs the rest to remove what was receipted.
    Full,
}

/// What a record takes of the quota.
pub fn frame_cost(frame: usize) -> u64 {
    frame as u64 + OVERHEAD
}

impl Store {
    /// Whether the batch's telemetry fits as well, or why not even its alerts do.
    pub(super) fn make_room(
        &mut self,
        batch: &Batch,
        disk: Disk,
        evidence_bytes: u64,
        now: Timestamp,
    ) -> Result<bool, SpoolError> {
        let cost = |record: &Record| frame_cost(record.body.len() + 128);
        let all: u64 = batch.records.iter().map(cost).sum();
        let urgent = |record: &&Record| record.lane.class != Class::Telemetry;
        let alerts: u64 = batch.records.iter().filter(urgent).map(cost).sum();
        let has_telemetry = batch.records.iter().any(|record| !urgent(&record));
        let readings = all - alerts;
        let watermark = self.quota.watermark();

        let telemetry = |store: &Store| store.class_use(Class::Telemetry).1;
        let mut used = self.live_bytes() + evidence_bytes;
        if used + all > watermark || telemetry(self) + readings > self.quota.telemetry {
            self.apply_receipts()?;
            used = self.live_bytes() + evidence_bytes;
        }
        // What alone is over the quota of its class would only drive out what is there.
        let can_fit = readings <= self.quota.telemetry;
        if has_telemetry && disk == Disk::Roomy && can_fit {
            let beyond_all = (used + all).saturating_sub(watermark);
            let of_class = telemetry(self) + readings;
            let beyond_class = of_class.saturating_sub(self.quota.telemetry);
            let wanted = beyond_all.max(beyond_class);
            if wanted > 0 {
                self.thin(wanted + THIN_STEP.min(self.quota.telemetry / 100), now)?;
                used = self.live_bytes() + evidence_bytes;
            }
        }
        let class_has_room = telemetry(self) + readings <= self.quota.telemetry;
        let telemetry_fits =
            has_telemetry && disk == Disk::Roomy && class_has_room && used + all <= watermark;
        if disk == Disk::Full {
            return Err(SpoolError::Full(Full::Disk));
        }
        // Waiting would not make a batch smaller: then its readings become a gap.
        if has_telemetry && !telemetry_fits && alerts == 0 && can_fit {
            return Err(SpoolError::Full(match disk {
                Disk::Low => Full::DiskAlmost,
                _ => Full::Readings {
                    used,
                    quota: self.quota.all,
                    watermark,
                },
            }));
        }
        if alerts > 0 && used + alerts > self.quota.all {
            return Err(SpoolError::Full(Full::Alerts {
                used,
                quota: self.quota.all,
            }));
        }
        Ok(telemetry_fits)
    }

    /// Drops the oldest telemetry until about `bytes` are free or none is left (C6).
    fn thin(&mut self, bytes: u64, now: Timestamp) -> Result<(), SpoolError> {
        let mut freed = 0;
        while freed < bytes {
            let mut heads: Vec<_> = (0..self.lanes.len())
                .filter(|at| class_of(*at) == Class::Telemetry)
                .filter(|at| self.lanes[*at].records > 0)
                .map(|at| (self.lanes[at].first, at))
                .collect();
            heads.sort_unstable();
            let Some(&(_, lane)) = heads.first() else {
                break;
            };
            let next = heads.get(1).map_or(Seq::MAX, |(first, _)| *first);
            let before = self.lanes[lane].bytes;
            let drops = self.thin_lane(lane, next, bytes - freed)?;
            freed += before - self.lanes[lane].bytes;
            if drops.is_empty() {
                // What the lane counts is staged, not yet written: the next batch may thin it.
                break;
            }
            for dropped in drops {
                self.stage_gap(uplink_of(lane), dropped, now)?;
            }
        }
        Ok(())
    }

    /// Drops from the head of one lane, and not past the head of the next.
    fn thin_lane(
        &mut self,
        lane: usize,
        next: Seq,
        bytes: u64,
    ) -> Result<Vec<Dropped>, SpoolError> {
        let mut heads = Vec::new();
        let mut freed = 0;
        self.visit(lane, self.lanes[lane].first, |seq, frame| {
            let Ok(read) = record::decode(frame) else {
                return ControlFlow::Break(Err(damaged(lane, seq)));
            };
            let named = Named::by(&read, false);
            heads.push((seq, read.stream.to_owned(), read.count, frame.len(), named));
            freed += frame_cost(frame.len());
            if freed >= bytes || seq >= next {
                ControlFlow::Break(Ok(()))
            } else {
                ControlFlow::Continue(())
            }
        })?;
        let mut drops: Vec<Dropped> = Vec::new();
        for (seq, stream, count, len, named) in heads {
            self.remove(lane, seq, len, named);
            self.accounts.drop_held(&stream, count);
            self.lanes[lane].first = seq + 1;
            match drops.iter_mut().find(|dropped| dropped.stream == stream) {
                Some(dropped) => {
                    dropped.count += u64::from(count);
                    dropped.last = seq;
                }
                None => drops.push(Dropped {
                    class: Class::Telemetry.name(),
                    stream,
                    reason: "quota".into(),
                    count: count.into(),
                    first: seq,
                    last: seq,
                }),
            }
        }
        Ok(drops)
    }
}
