//! The files in `protocol/schema/` are what the types say, and they refuse what they should.
//!
//! `WANGGE_BLESS=1 cargo test -p wangge-protocol --features schema` writes the files anew.

#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use std::{fs, path::Path};

use serde_json::{Value, json};
use wangge_protocol::{EventKind, schemas};

fn schema(name: &str) -> Value {
    schemas()
        .into_iter()
        .find(|(n, _)| *n == name)
        .unwrap_or_else(|| panic!("no schema {name}"))
        .1
}

#[test]
fn files_are_what_the_types_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let bless = std::env::var_os("WANGGE_BLESS").is_some();
    let mut stale = Vec::new();
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = dir.join(name);
        if bless {
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} differ from the types; look at the change and run again with WANGGE_BLESS=1"
    );
    let mut on_disk: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    on_disk.sort();
    let mut known: Vec<_> = schemas().iter().map(|(n, _)| n.to_string()).collect();
    known.sort();
    assert_eq!(on_disk, known, "a file that nothing generates");
}

fn alert() -> Value {
    json!({
        "specversion": "1.0",
        "id": "01936b2a-7c4e-7a10-8b1c-0123456789ab",
        "source": "/stations/haitang",
        "type": "cn.wangge.alert.raised.v1",
        "subject": "01936b2a-7c4e-7a10-8b1c-0123456789ac",
        "time": "2026-11-22T06:00:00.25Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:wangge:schema:alert:1",
        "data": {
            "alert_id": "01936b2a-7c4e-7a10-8b1c-0123456789ac",
            "revision": 1,
            "state": "raised",
            "kind": "bin_overflow",
            "severity": "minor",
            "station": "haitang",
            "device": "bin-1",
            "source": "mqtt",
            "rule": "full",
            "occurred_at": "2026-11-22T05:59:59Z",
            "raised_at": "2026-11-22T06:00:00Z",
            "text": { "zh": "满溢", "en": "full" },
            "measurement": { "quantity": "fill", "value": 93.0, "unit": "%", "limit": 90.0 },
            "place": { "lon": 102.7, "lat": 25.04, "unit_grid": "530102001002001" },
            "platform": {
                "profile": "default", "source_name": "物联感知设备",
                "crs": "wgs84", "x": 102.7, "y": 25.04
            },
            "evidence": [{
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "bytes": 48_123, "media_type": "image/jpeg", "role": "scene",
                "taken_at": "2026-11-22T05:59:59Z"
            }]
        }
    })
}

/// Sets the value at an RFC 6901 pointer; `Value::Null` removes it.
fn with(mut doc: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = doc.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Value::Object(map) if value.is_null() => {
            assert!(map.remove(key).is_some(), "{pointer} is not in the sample");
        }
        Value::Object(map) => {
            map.insert(key.into(), value);
        }
        _ => panic!("{pointer}"),
    }
    doc
}

#[test]
fn alert_schema_takes_a_good_alert_and_every_kind() {
    let schema = jsonschema::validator_for(&schema("alert.json")).unwrap();
    for kind in EventKind::ALL {
        let doc = with(alert(), "/data/kind", json!(kind.slug()));
        schema.validate(&doc).unwrap();
    }
    // A receiver that is older than the gateway takes keys that it does not know.
    schema
        .validate(&with(alert(), "/data/new_key", json!(1)))
        .unwrap();
    let cleared = with(alert(), "/type", json!("cn.wangge.alert.cleared.v1"));
    let cleared = with(cleared, "/data/state", json!("cleared"));
    assert!(!schema.is_valid(&cleared), "cleared without cleared_at");
    let cleared = with(cleared, "/data/cleared_at", json!("2026-11-22T07:00:00Z"));
    schema.validate(&cleared).unwrap();
}

/// A platform that checks what it sends gets no `invalid` for its form.
#[test]
fn verdict_schema_says_what_a_station_asks_for() {
    let verdict = json!({
        "id": "v-1",
        "alert_id": "01936b2a-7c4e-7a10-8b1c-0123456789ac",
        "status": "rejected",
        "reason": "树影",
        "at": "2026-11-26T03:10:00Z",
    });
    let wrong = [
        ("/id", json!("v 1")),
        ("/id", json!("判1")),
        ("/id", json!("v".repeat(65))),
        ("/reason", Value::Null),
        ("/reason", json!("")),
        ("/reason", json!("two\nlines")),
        ("/by", json!("\u{1b}[2J")),
    ];
    let alone = jsonschema::validator_for(&schema("verdict.json")).unwrap();
    let inbox = jsonschema::validator_for(&schema("inbox.json")).unwrap();
    let is_valid = |verdict: Value| {
        let valid = alone.is_valid(&verdict);
        assert_eq!(inbox.is_valid(&json!({ "verdicts": [verdict] })), valid);
        valid
    };
    assert!(is_valid(verdict.clone()));
    let filed = with(verdict.clone(), "/status", json!("filed"));
    assert!(is_valid(with(filed, "/reason", Value::Null)));
    for (pointer, value) in wrong {
        let doc = with(verdict.clone(), pointer, value.clone());
        assert!(!is_valid(doc), "{pointer} {value}");
    }
    let command = jsonschema::validator_for(&schema("command.json")).unwrap();
    let mut doc = json!({
        "id": "k-1", "station": "haitang", "command": "reload", "not_after": "2026-11-26T04:00:00Z",
        "keyid": "53071b9e8dcf2903", "signature": "A".repeat(86),
    });
    command.validate(&doc).unwrap();
    doc["by"] = json!("a\u{7}");
    assert!(!command.is_valid(&doc));
}

#[test]
fn alert_schema_refuses_what_is_wrong() {
    let schema = jsonschema::validator_for(&schema("alert.json")).unwrap();
    for required in [
        "/specversion",
        "/id",
        "/source",
        "/type",
        "/subject",
        "/time",
        "/datacontenttype",
        "/dataschema",
        "/data",
        "/data/alert_id",
        "/data/revision",
        "/data/state",
        "/data/kind",
        "/data/severity",
        "/data/station",
        "/data/device",
        "/data/source",
        "/data/rule",
        "/data/occurred_at",
        "/data/raised_at",
        "/data/text",
        "/data/text/zh",
        "/data/place",
        "/data/place/unit_grid",
        "/data/platform",
        "/data/platform/crs",
        "/data/evidence",
        "/data/evidence/0/sha256",
        "/data/measurement/unit",
    ] {
        let doc = with(alert(), required, Value::Null);
        assert!(!schema.is_valid(&doc), "taken without {required}");
    }
    let short_hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0";
    for (pointer, value) in [
        ("/specversion", json!("0.3")),
        ("/id", json!("1")),
        ("/id", json!("01936b2a-7c4e-4a10-8b1c-0123456789ab")), // version 4
        ("/id", json!("01936B2A-7C4E-7A10-8B1C-0123456789AB")),
        ("/source", json!("/stations/")),
        ("/type", json!("cn.wangge.alert.exploded.v1")),
        ("/type", json!("cn.wangge.alert.updated.v1")), // against data.state
        ("/subject", json!("bin-1")),
        ("/time", json!("2026-11-22 06:00:00")),
        ("/time", json!("2026-11-22T06:00:00+08:00")),
        ("/datacontenttype", json!("text/plain")),
        ("/dataschema", json!("urn:wangge:schema:gap:1")),
        ("/data", json!([])),
        ("/data/alert_id", json!("a")),
        ("/data/revision", json!(0)),
        ("/data/revision", json!(1.5)),
        ("/data/state", json!("open")),
        ("/data/state", json!("cleared")),
        ("/data/kind", json!("aliens")),
        ("/data/severity", json!("high")),
        ("/data/station", json!("")),
        ("/data/device", json!(7)),
        ("/data/source", json!("smoke_signal")),
        ("/data/occurred_at", json!("yesterday")),
        ("/data/text/en", json!("")),
        ("/data/measurement/value", json!("93")),
        ("/data/place/lat", json!(91)),
        ("/data/place/lon", json!(-180.5)),
        ("/data/place/unit_grid", json!("53010200100200")),
        ("/data/place/unit_grid", json!("5301020010020011")),
        ("/data/platform/crs", json!("bd09")),
        ("/data/evidence/0/sha256", json!(short_hash)),
        ("/data/evidence/0/sha256", json!(format!("{short_hash}8f"))),
        ("/data/evidence/0/sha256", json!(format!("{short_hash}G"))),
        ("/data/evidence/0/bytes", json!(-1)),
        ("/data/evidence/0", json!("picture.jpg")),
    ] {
        let doc = with(alert(), pointer, value.clone());
        assert!(!schema.is_valid(&doc), "taken with {pointer} = {value}");
    }
}

#[test]
fn sighting_is_checked() {
    let schema = jsonschema::validator_for(&schema("alert.json")).unwrap();
    let doc = with(
        alert(),
        "/data/sighting",
        json!({
            "zone": "door", "label": "person", "score": 0.5, "bbox": [0.1, 0.1, 0.2, 0.9],
            "dwell_s": 31.5, "track": 7, "model": "m", "model_hash": "0123456789abcdef",
            "human_confirmed": false,
            "overrun": {
                "metres": 0.62, "error_m": 0.15, "along_m": 4.0, "along_error_m": 0.2, "limit_m": 1.0
            }
        }),
    );
    schema.validate(&doc).unwrap();
    for (pointer, value) in [
        ("/data/sighting/overrun/metres", json!(-0.1)),
        ("/data/sighting/overrun/metres", json!(100.1)),
        ("/data/sighting/overrun/error_m", Value::Null),
        ("/data/sighting/overrun/along_m", json!(1000.1)),
        ("/data/sighting/overrun/limit_m", json!("1m")),
        ("/data/sighting/score", json!(1.5)),
        ("/data/sighting/bbox", json!([0.1, 0.1, 0.2])),
        ("/data/sighting/bbox", json!([0.1, 0.1, 0.2, 1.2])),
        ("/data/sighting/bbox", json!([0.1, 0.1, 0.2, 0.9, 0.9])),
        ("/data/sighting/dwell_s", json!(-1)),
        ("/data/sighting/model_hash", json!("0123")),
        ("/data/sighting/human_confirmed", Value::Null),
    ] {
        let bad = with(doc.clone(), pointer, value.clone());
        assert!(!schema.is_valid(&bad), "taken with {pointer} = {value}");
    }
}

/// The schema takes `good`, and takes it no longer with any one of `bad` set in it.
fn refuses(name: &str, good: Value, bad: &[(&str, Value)]) {
    let schema = jsonschema::validator_for(&schema(name)).unwrap();
    schema
        .validate(&good)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    for (pointer, value) in bad {
        let doc = with(good.clone(), pointer, value.clone());
        assert!(
            !schema.is_valid(&doc),
            "{name}: taken with {pointer} = {value}"
        );
    }
}

#[test]
fn telemetry_gap_receipt_and_reading_are_checked() {
    let telemetry = json!({
        "specversion": "1.0",
        "id": "01936b2a-7c4e-7a10-8b1c-0123456789ab",
        "source": "/stations/haitang",
        "type": "cn.wangge.telemetry.v1",
        "subject": "all",
        "time": "2026-11-22T06:00:00Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:wangge:schema:telemetry:1",
        "data": { "stream": "all", "readings": [{
            "device": "bin-1", "gateway_time": "2026-11-22T06:00:00Z",
            "payload": { "level": 12, "seq": 1 }
        }] }
    });
    let gap = with(
        with(
            with(
                telemetry.clone(),
                "/data",
                json!({
                    "class": "telemetry", "stream": "bins", "count": 3, "first_seq": 1, "last_seq": 9,
                    "reason": "quota"
                }),
            ),
            "/type",
            json!("cn.wangge.gap.v1"),
        ),
        "/dataschema",
        json!("urn:wangge:schema:gap:1"),
    );
    let receipt = json!({
        "id": "01936b2a-7c4e-7a10-8b1c-0123456789ab",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "status": "stored"
    });
    let reading = json!({ "id": "bin-1", "seq": 7, "time": "2026-11-22T06:00:00Z", "fill": 12.5 });
    refuses(
        "telemetry.json",
        telemetry,
        &[
            ("/data/readings", json!([])),
            ("/data/readings/0/payload", json!("text")),
            ("/data/readings/0/payload", Value::Null),
            ("/data/readings/0/gateway_time", json!(1_700_000_000)),
            ("/data/stream", json!("")),
            ("/type", json!("cn.wangge.gap.v1")),
        ],
    );
    refuses(
        "gap.json",
        gap,
        &[
            ("/data/class", json!("picture")),
            ("/data/count", json!(0)),
            ("/data/reason", json!("")),
            ("/data/last_seq", Value::Null),
        ],
    );
    refuses(
        "receipt.json",
        receipt,
        &[
            ("/id", Value::Null),
            ("/id", json!("")),
            ("/sha256", Value::Null),
            ("/sha256", json!("abc")),
            ("/status", json!("ok")),
        ],
    );
    refuses(
        "reading.json",
        reading,
        &[
            ("/id", Value::Null),
            ("/id", json!("")),
            ("/id", json!("b".repeat(65))),
            ("/seq", json!(-1)),
            ("/time", json!("now")),
            ("/fill", json!("12")),
            ("/fill", json!(101)),
        ],
    );
}

#[test]
fn routing_and_digest_are_checked() {
    let routing = json!({
        "tier": "street", "escalated_from": "community", "deadline": "2026-11-22T06:00:00Z"
    });
    refuses(
        "alert.json",
        with(alert(), "/data/routing", routing),
        &[
            ("/data/routing/tier", json!("county")),
            ("/data/routing/tier", Value::Null),
            ("/data/routing/escalated_from", json!("nobody")),
            ("/data/routing/deadline", json!("soon")),
        ],
    );
    let digest = json!({
        "specversion": "1.0",
        "id": "01936b2a-7c4e-7a10-8b1c-0123456789ab",
        "source": "/stations/haitang",
        "type": "cn.wangge.digest.v1",
        "subject": "2026-11-21",
        "time": "2026-11-22T00:00:00Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:wangge:schema:digest:1",
        "data": {
            "station": "haitang", "from": "2026-11-21", "to": "2026-11-21", "part": 1, "parts": 1,
            "open": 2, "rows": [{
                "kind": "bin_overflow", "tier": "community",
                "received": 5, "in_time": 3, "late": 1, "escalated": 1
            }]
        }
    });
    refuses(
        "digest.json",
        digest,
        &[
            ("/type", json!("cn.wangge.gap.v1")),
            ("/data/from", json!("2026-11-21T00:00:00Z")),
            ("/data/part", json!(0)),
            ("/data/rows/0/kind", json!("aliens")),
            ("/data/rows/0/tier", Value::Null),
            ("/data/rows/0/received", json!(-1)),
            ("/data/rows/0/late", Value::Null),
        ],
    );
}
