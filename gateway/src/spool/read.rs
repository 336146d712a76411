//! Reading the outbox: what is on disk and not staged for removal.

use std::ops::ControlFlow;

use super::{
    Class, Entry, Lane, Seq, SpoolError, StateEntries,
    lanes::{parse_key, record_key},
    record,
    store::{STATE, Store, damaged, refusing},
};

impl Store {
    /// The oldest records of a lane after `after`, at most `max`.
    pub fn peek(
        &mut self,
        lane: Lane,
        after: Option<Seq>,
        max: usize,
    ) -> Result<Vec<Entry>, SpoolError> {
        let at = self.lane(lane)?;
        let state = &self.lanes[at];
        let from = state
            .first
            .max(after.map_or(0, |after| after.saturating_add(1)));
        let mut entries = Vec::new();
        if state.records == 0 || max == 0 || from > state.last {
            return Ok(entries);
        }
        // A gap record that is just growing shows itself when that is on disk.
        let growing = self.gaps.iter().filter(|gap| gap.staged && gap.lane == at);
        let end = growing.map(|gap| gap.seq).min().unwrap_or(Seq::MAX);
        self.visit(at, from, |seq, frame| match record::decode(frame) {
            _ if seq >= end => ControlFlow::Break(Ok(())),
            Ok(read) => {
                entries.push(Entry {
                    seq,
                    record: read.record(lane),
                });
                if entries.len() == max {
                    ControlFlow::Break(Ok(()))
                } else {
                    ControlFlow::Continue(())
                }
            }
            Err(_) => ControlFlow::Break(Err(damaged(at, seq))),
        })?;
        if let Some(first) = entries.first() {
            if from == self.lanes[at].first {
                self.lanes[at].first = first.seq;
            }
            if lane.class == Class::Gap {
                // Somebody may be sending it: the bytes must not change any more (C3).
                self.gaps.retain(|open| open.lane != at);
            }
        }
        Ok(entries)
    }

    /// All state entries.
    pub fn state(&self) -> Result<StateEntries, SpoolError> {
        let mut entries = Vec::new();
        self.engine
            .scan(&[STATE]..&[STATE + 1], &mut |key, value| {
                entries.push((key[1..].to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })
            .map_err(refusing)?;
        Ok(entries)
    }

    /// The lane and frame of a record that is on disk and not staged for removal.
    pub(super) fn find(&self, seq: Seq) -> Result<Option<(usize, Vec<u8>)>, SpoolError> {
        for (at, lane) in self.lanes.iter().enumerate() {
            if lane.records > 0 && (lane.first..=lane.last).contains(&seq) {
                let found = self.engine.get(&record_key(at, seq)).map_err(refusing)?;
                if let Some(frame) = found {
                    return Ok(Some((at, frame)));
                }
            }
        }
        Ok(None)
    }

    /// Visits a lane's records that are on disk.
    pub(super) fn visit(
        &self,
        lane: usize,
        from: Seq,
        mut visit: impl FnMut(Seq, &[u8]) -> ControlFlow<Result<(), SpoolError>>,
    ) -> Result<(), SpoolError> {
        let mut outcome = Ok(());
        self.engine
            .scan(
                &record_key(lane, from)..&record_key(lane, Seq::MAX),
                &mut |key, frame| {
                    let Some((_, seq)) = parse_key(key) else {
                        return ControlFlow::Continue(());
                    };
                    visit(seq, frame).map_break(|result| outcome = result)
                },
            )
            .map_err(refusing)?;
        outcome
    }
}
