//! Dropping is never silent: what was dropped becomes a record itself (R9).

use std::ops::ControlFlow;

use jiff::Timestamp;
use uuid::Uuid;
use wangge_protocol::{CloudEvent, Gap, SCHEMA_GAP, TYPE_GAP};

use super::{
    Class, GAP_STREAM, Lane, Record, Seq, SpoolError,
    engine::Cut,
    lanes::{lane_of, record_key},
    record,
    store::{Store, refusing},
};

/// A gap record that nobody has read yet and that may still grow.
#[derive(Debug)]
pub struct OpenGap {
    pub seq: Seq,
    /// Its place in `Store::lanes`.
    pub lane: usize,
    /// Not yet on disk in its present form.
    pub staged: bool,
    id: String,
    gap: Gap,
    frame: usize,
}

/// Records dropped for one reason.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// `alert`, `telemetry` or `unknown`.
    pub class: &'static str,
    pub stream: String,
    pub reason: String,
    /// Readings, or alerts.
    pub count: u64,
    pub first: Seq,
    pub last: Seq,
}

impl Store {
    /// Stages a gap record on the uplink with lane id `uplink`, or lets the last one grow (R9).
    pub(super) fn stage_gap(
        &mut self,
        uplink: usize,
        dropped: Dropped,
        now: Timestamp,
    ) -> Result<(), SpoolError> {
        // A record must not be gone without its gap record, nor be in it and there.
        self.cut = Cut::AllOrNothing;
        let lane = lane_of(uplink, Class::Gap);
        let open = self.gaps.iter().position(|open| {
            let gap = &open.gap;
            open.lane == lane
                && (gap.class.as_str(), &gap.stream, &gap.reason)
                    == (dropped.class, &dropped.stream, &dropped.reason)
        });
        let open = open.map(|at| self.gaps.swap_remove(at));
        let adjacent = match &open {
            Some(open) => self.nothing_between(uplink, &open.gap, &dropped)?,
            None => false,
        };
        let (seq, id, gap) = match open {
            Some(open) if adjacent => {
                let gap = Gap {
                    count: open.gap.count + dropped.count,
                    first_seq: open.gap.first_seq.min(dropped.first),
                    last_seq: open.gap.last_seq.max(dropped.last),
                    ..open.gap
                };
                // The same key is written again: take its cost back first.
                self.lanes.release(lane, open.frame);
                (open.seq, open.id, gap)
            }
            _ => {
                self.accounts.accept(GAP_STREAM, 1);
                let gap = Gap {
                    class: dropped.class.into(),
                    stream: dropped.stream,
                    count: dropped.count,
                    first_seq: dropped.first,
                    last_seq: dropped.last,
                    reason: dropped.reason,
                };
                (self.next_seq(), Uuid::now_v7().to_string(), gap)
            }
        };
        let record = Record {
            lane: Lane {
                uplink: 0,
                class: Class::Gap,
            },
            stream: GAP_STREAM.into(),
            id: id.clone(),
            count: 1,
            evidence: Vec::new(),
            body: gap_event(&self.station, &id, &gap, now),
        };
        let mut frame = Vec::new();
        record::encode(&record, &mut frame)?;
        self.batch
            .put(&record_key(lane, seq), &frame)
            .map_err(refusing)?;
        self.lanes.admit(lane, seq, frame.len());
        self.gaps.push(OpenGap {
            seq,
            lane,
            staged: true,
            id,
            gap,
            frame: frame.len(),
        });
        Ok(())
    }

    /// Whether no live record of the class lies between a gap and what was dropped after it.
    fn nothing_between(
        &self,
        uplink: usize,
        gap: &Gap,
        dropped: &Dropped,
    ) -> Result<bool, SpoolError> {
        let Some(class) = Class::ALL.into_iter().find(|c| c.name() == gap.class) else {
            return Ok(false);
        };
        let lane = lane_of(uplink, class);
        let from = self.lanes[lane].first.max(gap.last_seq + 1);
        let mut empty = true;
        if from < dropped.first {
            self.visit(lane, from, |seq, _| {
                empty = seq >= dropped.first;
                ControlFlow::Break(Ok(()))
            })?;
        }
        Ok(empty)
    }
}

/// The message: a CloudEvent like every other.
fn gap_event(station: &str, id: &str, gap: &Gap, now: Timestamp) -> Vec<u8> {
    let event = CloudEvent {
        specversion: "1.0".into(),
        id: id.into(),
        source: format!("/stations/{station}"),
        event_type: TYPE_GAP.into(),
        subject: if gap.stream.is_empty() {
            "spool"
        } else {
            &gap.stream
        }
        .into(),
        time: now.to_string(),
        datacontenttype: "application/json".into(),
        dataschema: SCHEMA_GAP.into(),
        data: gap,
    };
    // Strings and numbers only: this cannot fail.
    serde_json::to_vec(&event).unwrap_or_default()
}
