//! The rules of the outbox, each by its name, on real files; the logic on three engines.

use std::{path::Path, sync::Arc, time::Duration};

use super::*;
use crate::config::Storage;

mod engines;
mod faults;
mod model;
mod quota;
mod recovery;
mod rules;

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
        quota: 1 << 30,
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
        assert_eq!(
            account.accepted,
            account.receipted + account.dropped + account.held,
            "{stream}: {account:?}"
        );
    }
}
