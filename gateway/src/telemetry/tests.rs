use serde_json::{Value, json};
use wangge_protocol::{CloudEvent, Telemetry};

use super::*;
use crate::{config::Border, rules::fixtures};

const NOON: &str = "2026-05-01T04:00:00Z";

fn config(streams: Vec<config::Stream>, uplinks: &[&[&str]]) -> config::Config {
    let mut config = fixtures::config(Vec::new(), Vec::new());
    config.streams = streams;
    config.uplinks = uplinks
        .iter()
        .map(|carried| config::Uplink {
            name: "up".into(),
            link: config::UplinkLink::Https {
                url: "https://127.0.0.1/".parse().unwrap(),
                tls: config::Tls {
                    ca_file: None,
                    client: None,
                },
                token: None,
            },
            border: Border::Receipt,
            alerts: true,
            verdicts: true,
            tiers: Vec::new(),
            streams: carried.iter().map(|&s| s.into()).collect(),
            line: config::Line::default(),
        })
        .collect();
    config
}

fn stream(name: &str) -> config::Stream {
    config::Stream {
        name: name.into(),
        devices: Vec::new(),
        thin: Duration::ZERO,
        batch: true,
        fields: Vec::new(),
    }
}

fn now(seconds: f64) -> Now {
    Now {
        wall: NOON.parse().unwrap(),
        mono: Duration::from_secs_f64(seconds),
    }
}

fn arrival(device: &str, payload: &Value) -> Arrival {
    Arrival {
        subject: device.into(),
        device_time: None,
        received: NOON.parse().unwrap(),
        observations: Vec::new(),
        payload: Some(serde_json::value::to_raw_value(payload).unwrap()),
        ack: None,
    }
}

fn read(record: &Record) -> CloudEvent<Telemetry<Value>> {
    serde_json::from_slice(&record.body).unwrap()
}

#[test]
fn readings_of_one_commit_share_a_message_that_follows_the_schema() {
    let mut streams = Streams::new(&config(vec![stream("bins")], &[&["bins"]]));
    let mut out = Vec::new();
    let mut first = arrival("bin-1", &json!({"id": "bin-1", "fill": 12.5}));
    first.device_time = Some("2026-05-01T03:59:59.5Z".parse().unwrap());
    streams.push(&first, None, now(0.0), &mut out).unwrap();
    let second = arrival("b\"in\\2", &json!({"name": "桶"}));
    streams
        .push(&second, Some("overflow"), now(0.0), &mut out)
        .unwrap();
    assert!(out.is_empty(), "nothing leaves before the commit");
    streams.flush(now(0.0), &mut out);
    streams.flush(now(0.0), &mut out);

    let [record] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((record.count, &*record.stream), (2, "bins"));
    let event = read(record);
    assert_eq!(event.id, record.id);
    let [a, b] = &event.data.readings[..] else {
        panic!("{event:?}")
    };
    assert_eq!(a.payload, json!({"id": "bin-1", "fill": 12.5}));
    assert_eq!(a.device_time.as_deref(), Some("2026-05-01T03:59:59.500Z"));
    assert_eq!(
        (&*b.device, b.alert.as_deref()),
        ("b\"in\\2", Some("overflow"))
    );

    let schema = wangge_protocol::schemas()
        .into_iter()
        .find_map(|(name, schema)| name.contains("telemetry").then_some(schema))
        .unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let document: Value = serde_json::from_slice(&record.body).unwrap();
    let faults: Vec<_> = schema
        .iter_errors(&document)
        .map(|e| e.to_string())
        .collect();
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_stream_without_batches_sends_each_reading_alone_to_every_uplink_that_carries_it() {
    let mut alone = stream("bins");
    alone.batch = false;
    let carried: &[&[&str]] = &[&["bins"], &[], &["bins"]];
    let mut streams = Streams::new(&config(vec![alone], carried));
    let mut out = Vec::new();
    for _ in 0..2 {
        let reading = arrival("bin-1", &json!({}));
        streams.push(&reading, None, now(0.0), &mut out).unwrap();
    }
    let lanes: Vec<_> = out
        .iter()
        .map(|r| (r.lane.uplink, r.lane.class, r.count))
        .collect();
    let expected = [0, 2, 0, 2].map(|uplink| (uplink, Class::Telemetry, 1));
    assert_eq!(lanes, expected);
    let ids: std::collections::BTreeSet<_> = out.iter().map(|r| &r.id).collect();
    assert_eq!(ids.len(), 4, "each uplink's copy has an id of its own");
}

#[test]
fn thinning_is_per_device_and_by_the_monotonic_clock() {
    let mut thinned = stream("bins");
    thinned.thin = Duration::from_secs(10);
    thinned.devices = vec!["bin-1".into(), "bin-2".into()];
    let mut streams = Streams::new(&config(vec![thinned], &[&["bins"]]));
    let mut out = Vec::new();
    for (device, seconds, passes) in [
        ("bin-1", 0.0, true),
        ("bin-2", 1.0, true),
        ("bin-3", 2.0, false),
        ("bin-1", 9.999, false),
        ("bin-1", 10.0, true),
        ("bin-1", 19.0, false),
        ("bin-2", 100.0, true),
    ] {
        let reading = arrival(device, &json!({}));
        streams
            .push(&reading, None, now(seconds), &mut out)
            .unwrap();
        streams.flush(now(seconds), &mut out);
        assert_eq!(!out.is_empty(), passes, "{device} at {seconds}");
        out.clear();
    }
}

#[test]
fn only_the_named_fields_are_kept() {
    let mut kept = stream("bins");
    kept.fields = vec!["fill".into(), "/object/battery".into(), "absent".into()];
    let mut streams = Streams::new(&config(vec![kept], &[&["bins"]]));
    let mut out = Vec::new();
    let payload = json!({"fill": 3, "imei": "secret", "object": {"battery": 88, "x": 1}});
    streams
        .push(&arrival("bin-1", &payload), None, now(0.0), &mut out)
        .unwrap();
    streams.flush(now(0.0), &mut out);
    let event = read(&out[0]);
    assert_eq!(
        event.data.readings[0].payload,
        json!({"fill": 3, "battery": 88})
    );
}

#[test]
fn a_reading_fits_up_to_the_limit_and_no_further() {
    let fill = |bytes: usize| arrival("bin-1", &json!("x".repeat(bytes)));
    // What the reading takes besides the payload's own letters.
    let around = {
        let mut streams = Streams::new(&config(vec![stream("bins")], &[&["bins"]]));
        let fault = streams.push(&fill(10 * MAX_BODY), None, now(0.0), &mut Vec::new());
        let Err(TelemetryError::TooLarge { size, .. }) = fault else {
            panic!("{fault:?}")
        };
        size - 10 * MAX_BODY
    };
    let mut streams = Streams::new(&config(vec![stream("bins")], &[&["bins"]]));
    let mut out = Vec::new();
    for (bytes, fits) in [
        (MAX_READING - around, true),
        (MAX_READING - around + 1, false),
        (10 * MAX_READING, false),
    ] {
        let pushed = streams.push(&fill(bytes), None, now(0.0), &mut out);
        assert_eq!(pushed.is_ok(), fits, "{bytes}");
    }
    // A refused reading costs the others nothing.
    streams.push(&fill(1), None, now(0.0), &mut out).unwrap();
    streams.flush(now(0.0), &mut out);
    assert_eq!(out.iter().map(|r| r.count).sum::<u32>(), 2);
    assert!(out.iter().all(|r| r.body.len() <= MAX_BODY));
    out.iter().for_each(|record| drop(read(record)));
}

#[test]
fn the_envelope_fits_at_the_longest_names() {
    let long = "\"".repeat(64);
    let mut config = config(vec![stream(&long)], &[&[&long]]);
    config.station.id = "s".repeat(64).into();
    let mut streams = Streams::new(&config);
    streams.set_clock(Some(Stamp {
        quality: wangge_protocol::ClockQuality::Unknown,
        boot: "00000000-0000-4000-8000-000000000001".into(),
        uptime_ms: u64::MAX,
    }));
    let mut out = Vec::new();
    let reading = arrival("bin-1", &json!("x".repeat(MAX_READING - 100)));
    streams.push(&reading, None, now(0.0), &mut out).unwrap();
    streams.flush(now(0.0), &mut out);
    assert!(out[0].body.len() <= MAX_BODY, "{}", out[0].body.len());
}

#[test]
fn messages_say_so_while_the_clock_is_not_believed() {
    let schemas = wangge_protocol::schemas();
    let (_, schema) = schemas
        .iter()
        .find(|(n, _)| *n == "telemetry.json")
        .unwrap();
    let schema = jsonschema::validator_for(schema).unwrap();
    let mut streams = Streams::new(&config(vec![stream("bins")], &[&["bins"]]));
    let mut send = |stamp: Option<Stamp>| {
        let mut out = Vec::new();
        streams.set_clock(stamp);
        let reading = arrival("bin-1", &json!({ "fill": 7 }));
        streams.push(&reading, None, now(0.0), &mut out).unwrap();
        streams.flush(now(0.0), &mut out);
        read(&out[0]);
        let message: Value = serde_json::from_slice(&out[0].body).unwrap();
        schema.validate(&message).unwrap_or_else(|e| panic!("{e}"));
        (message["clock"].clone(), message["uptimems"].clone())
    };
    let stamp = Stamp {
        quality: wangge_protocol::ClockQuality::Unknown,
        boot: "00000000-0000-4000-8000-000000000001".into(),
        uptime_ms: 17,
    };
    assert_eq!(send(Some(stamp)), (json!("unknown"), json!("17")));
    assert_eq!(send(None), (Value::Null, Value::Null));
}
