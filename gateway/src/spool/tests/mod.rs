//! The rules of the outbox, each by its name, on real files; the logic on three engines.

use std::{path::Path, sync::Arc, time::Duration};

use super::*;
use crate::config::{Quota, Storage};

mod engines;
mod faults;
mod model;
mod quota;
mod recovery;
mod rotation;
mod rules;
mod salvage;

const ALERT: Lane = Lane {
    uplink: 0,
    class: Class::Alert,
};
const GAP: Lane = Lane {
    uplink: 0,
    class: Class::Gap,
};
const TELEMETRY: Lane = Lane {
    uplink: 0,
    class: Class::Telemetry,
};

fn storage(path: &Path) -> Storage {
    Storage {
        path: path.to_owned(),
        quota: Quota::of(1 << 30),
        retention: crate::config::Retention {
            default: Duration::from_secs(3_600),
            unconfirmed: Duration::from_secs(3_600),
            kinds: Default::default(),
            sealed: Duration::from_secs(3_600),
        },
        commit_interval: Duration::ZERO,
    }
}

fn uplinks() -> Vec<Arc<str>> {
    vec!["platform".into()]
}

fn open(path: &Path) -> (Spool, Recovery) {
    Spool::open(&storage(path), "st-1", &uplinks()).unwrap()
}

fn record(lane: Lane, id: &str) -> Record {
    Record {
        lane,
        stream: match lane.class {
            Class::Alert => "alerts".into(),
            Class::Gap => GAP_STREAM.into(),
            Class::Telemetry => "bins".into(),
        },
        id: id.into(),
        count: 1,
        evidence: Vec::new(),
        body: format!("{{\"id\":\"{id}\"}}").into_bytes(),
    }
}

fn batch(records: Vec<Record>) -> Batch {
    Batch {
        records,
        state: Vec::new(),
    }
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry.record.id.as_str())
        .collect()
}

fn gap_of(entry: &Entry) -> wangge_protocol::Gap {
    let event: wangge_protocol::CloudEvent<wangge_protocol::Gap> =
        serde_json::from_slice(&entry.record.body).unwrap();
    assert_eq!(event.event_type, wangge_protocol::TYPE_GAP);
    assert_eq!(event.source, "/stations/st-1");
    assert_eq!(event.id, entry.record.id);
    event.data
}

fn assert_balanced(stats: &Stats) {
    for (stream, account) in &stats.streams {
        assert!(account.is_balanced(), "{stream}: {account:?}");
    }
}

/// The accounts, against what is there: they add up, what they call held is held, and what they
/// call dropped is told by gap records, as long as none of those was settled. Called at the end of
/// each test that breaks something. A gap record outlives the process that counted it.
async fn assert_accounted(spool: &Spool) {
    let stats = spool.stats().await.unwrap();
    assert_balanced(&stats);
    let mut held = BTreeMap::<String, u64>::new();
    let mut told = BTreeMap::<String, u64>::new();
    let mut records = BTreeMap::<&str, u64>::new();
    for lane in [ALERT, GAP, TELEMETRY] {
        let mut after = None;
        loop {
            let entries = spool.peek(lane, after, 500).await.unwrap();
            let Some(last) = entries.last() else { break };
            after = Some(last.seq);
            for entry in &entries {
                *records.entry(lane.class.name()).or_default() += 1;
                let stream = entry.record.stream.clone();
                *held.entry(stream).or_default() += u64::from(entry.record.count);
                if lane.class == Class::Gap {
                    let gap = gap_of(entry);
                    let stream = match gap.stream.as_str() {
                        "" => UNKNOWN_STREAM.to_owned(),
                        named => named.to_owned(),
                    };
                    *told.entry(stream).or_default() += gap.count;
                }
            }
        }
    }
    for (stream, account) in &stats.streams {
        let counted = held.get(stream).copied().unwrap_or(0);
        assert_eq!(account.held, counted, "{stream} is held");
        let counted = told.get(stream).copied().unwrap_or(0);
        assert!(
            account.dropped <= counted,
            "{stream}: {account:?}, gaps tell of {counted}"
        );
    }
    for class in Class::ALL {
        let counted = records.get(class.name()).copied().unwrap_or(0);
        assert_eq!(stats.classes[class.name()].records, counted, "{class:?}");
    }
}
