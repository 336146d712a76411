//! What a demo run comes to: what the gateway says it raised, held against what the platform
//! stored and what was acknowledged.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wangge_tests::{
    gateway::Account,
    platform::{Event, Received},
};

/// Sources that a run must have seen at work.
const SOURCES: [&str; 3] = ["mqtt", "modbus", "camera"];

/// The report, as `--report` writes it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Per event kind.
    pub alerts: BTreeMap<String, Kind>,
    /// Per stream, alerts among them: `in = out + held + dropped`.
    pub streams: BTreeMap<String, Account>,
    /// From the gateway's raising of an alert to its being stored at the platform.
    pub latency_ms: Latency,
}

/// One event kind's alerts.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// `mqtt`, `modbus`, `camera` or `gateway`.
    pub source: String,
    /// By the gateway's count.
    pub raised: u64,
    /// Stored at the platform.
    pub delivered: u64,
    /// Stored, every picture there under its hash, and settled by the receipt.
    pub acknowledged: u64,
}

/// Milliseconds.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50: f64,
    /// One of a hundred was slower.
    pub p99: f64,
}

/// The gateway's own count.
#[derive(Debug, Deserialize)]
struct Raised {
    kind: String,
    source: String,
    raised: u64,
}

impl Report {
    /// Holds the gateway's status against the platform's store.
    ///
    /// # Errors
    /// The status lacks a figure, or an alert has no usable time.
    pub fn new(status: &Value, received: &Received) -> Result<Report> {
        let counts: Vec<Raised> = serde_json::from_value(status["totals"].clone())
            .context("totals in the gateway's status")?;
        let streams: BTreeMap<String, Account> = serde_json::from_value(status["streams"].clone())
            .context("streams in the gateway's status")?;
        // Which of the stored messages still await settling is not known one by one.
        let unsettled = streams.get("alerts").map_or(0, |s| s.held);
        let mut alerts = BTreeMap::new();
        for count in counts.iter().filter(|c| c.raised > 0) {
            let same = |e: &&Event| {
                let data = &e.body["data"];
                data["kind"] == count.kind.as_str() && data["source"] == count.source.as_str()
            };
            let delivered = received.raised().filter(same).count() as u64;
            let verified = received
                .raised()
                .filter(same)
                .filter(|e| is_proven(e, received));
            let kind = Kind {
                source: count.source.clone(),
                raised: count.raised,
                delivered,
                acknowledged: (verified.count() as u64).saturating_sub(unsettled),
            };
            // The same kind may come from two sources, e.g. silent devices.
            let name = if alerts.contains_key(&count.kind) {
                format!("{}/{}", count.kind, count.source)
            } else {
                count.kind.clone()
            };
            alerts.insert(name, kind);
        }
        Ok(Report {
            alerts,
            streams,
            latency_ms: latency(received)?,
        })
    }

    /// True when every alert raised is acknowledged.
    pub fn settled(&self) -> bool {
        self.alerts
            .values()
            .all(|k| k.raised == k.delivered && k.raised == k.acknowledged)
    }

    /// Fails unless every source raised an alert and all were acknowledged.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn judge(&self) -> Result<()> {
        let mut missing = Vec::new();
        for source in SOURCES {
            if !self
                .alerts
                .values()
                .any(|k| k.source == source && k.acknowledged > 0)
            {
                missing.push(format!(
                    "no alert from {source} was raised and acknowledged"
                ));
            }
        }
        for (name, k) in &self.alerts {
            if k.raised != k.acknowledged {
                missing.push(format!(
                    "{name}: {} raised, {} delivered, {} acknowledged",
                    k.raised, k.delivered, k.acknowledged
                ));
            }
        }
        for (name, s) in &self.streams {
            if s.accepted != s.out + s.held + s.dropped {
                missing.push(format!("stream {name} does not add up: {s:?}"));
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            bail!("{}", missing.join("\n  "))
        }
    }
}

/// All pictures are there under their hashes, and an alert of a camera has at least one.
fn is_proven(event: &Event, received: &Received) -> bool {
    let needed = usize::from(event.body["data"]["source"] == "camera");
    received
        .evidence(event)
        .is_ok_and(|pictures| pictures.len() >= needed)
}

fn latency(received: &Received) -> Result<Latency> {
    let mut all = Vec::new();
    for event in received.raised() {
        let raised = event.body["data"]["raised_at"].as_str().unwrap_or_default();
        let raised =
            unix_ms(raised).with_context(|| format!("{}: raised_at {raised:?}", event.id))?;
        all.push(event.received_ms as f64 - raised);
    }
    all.sort_by(f64::total_cmp);
    let at = |q: f64| match all.len() {
        0 => 0.0,
        n => all[((n - 1) as f64 * q).round() as usize],
    };
    Ok(Latency {
        p50: at(0.5),
        p99: at(0.99),
    })
}

/// RFC 3339 in UTC to Unix milliseconds.
fn unix_ms(text: &str) -> Option<f64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_nanosecond() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, source: &str, evidence: &[&str]) -> Event {
        Event {
            received_ms: 1_700_000_000_250,
            id: format!("{kind}-{source}"),
            event_type: "cn.wangge.alert.raised.v1".into(),
            body: json!({ "data": {
                "kind": kind, "source": source, "raised_at": "2023-11-14T22:13:20Z",
                "evidence": evidence.iter().map(|h| json!({ "sha256": h })).collect::<Vec<_>>(),
            }}),
        }
    }

    fn status(held: u64) -> Value {
        let count = |kind: &str, source: &str| json!({ "kind": kind, "source": source, "raised": 1, "updated": 0, "cleared": 0 });
        json!({
            "totals": [count("bin_fire", "mqtt"), count("burst_suspected", "modbus"), count("vehicle_parking", "camera")],
            "streams": { "alerts": { "in": 3, "out": 3 - held, "held": held, "dropped": 0 } },
        })
    }

    fn received(picture: bool) -> Received {
        Received {
            events: vec![
                event("bin_fire", "mqtt", &[]),
                event("burst_suspected", "modbus", &[]),
                event("vehicle_parking", "camera", &["ab"]),
            ],
            pictures: picture
                .then(|| ("ab".to_owned(), "ab.jpg".into()))
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn a_good_run() {
        let report = Report::new(&status(0), &received(true)).unwrap();
        assert!(report.settled());
        report.judge().unwrap();
        assert_eq!(report.latency_ms.p50, 250.0);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["alerts"]["bin_fire"],
            json!({ "source": "mqtt", "raised": 1, "delivered": 1, "acknowledged": 1 })
        );
        assert_eq!(
            json["streams"]["alerts"],
            json!({ "in": 3, "out": 3, "held": 0, "dropped": 0 })
        );
    }

    #[test]
    fn a_missing_picture_a_missing_source_and_an_open_receipt_fail() {
        let report = Report::new(&status(0), &received(false)).unwrap();
        assert!(!report.settled());
        assert!(report.judge().unwrap_err().to_string().contains("camera"));
        assert!(
            Report::new(&status(1), &received(true))
                .unwrap()
                .judge()
                .is_err()
        );
        let mut fewer = received(true);
        fewer.events.remove(0);
        assert!(
            Report::new(&status(0), &fewer)
                .unwrap()
                .judge()
                .unwrap_err()
                .to_string()
                .contains("mqtt")
        );
    }
}
