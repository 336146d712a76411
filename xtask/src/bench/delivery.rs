//! From a sensor's reading to the platform's receipt: how much is made durable and delivered a
//! second, and how long a fresh alert takes, alone and while a backlog drains.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wangge_tests::{
    gateway::Gateway,
    mosquitto::Mosquitto,
    mqtt::{Connection, Packet, Publisher},
    place,
    platform::Platform,
    until,
};

use super::{Results, round, station::scratch};

/// Readings that wait when the platform comes back.
const BACKLOG: u64 = 50_000;
/// Fresh alerts, one after the other.
const ALERTS: u64 = 200;
const BETWEEN: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_secs(300);
/// Bins that forward readings; those above tell of alerts.
const QUIET: u64 = 900;

/// Measures both transports, and Mosquitto's bridge with the same backlog.
///
/// # Errors
/// A process fails, or something does not arrive.
pub fn run(results: &mut Results) -> Result<()> {
    let bridge = bridge()?;
    results.add("delivery_mosquitto_bridge", bridge.clone());
    for transport in ["mqtt", "https"] {
        let mut row = ours(transport)?;
        for figure in ["accepted_per_s", "drained_per_s"] {
            let ratio = row[figure].as_f64().zip(bridge[figure].as_f64());
            row[format!("{figure}_of_bridge")] = ratio.map(|(a, b)| round(a / b)).into();
        }
        results.add(&format!("delivery_{transport}"), row);
    }
    Ok(())
}

fn reading(bin: u64, seq: u64, fill: u64) -> (String, Vec<u8>) {
    let payload = json!({ "id": format!("bin-{bin}"), "seq": seq, "fill": fill });
    (
        format!("bins/bin-{bin}/up"),
        payload.to_string().into_bytes(),
    )
}

/// Publishes the backlog; seconds until all of it is acknowledged.
fn publish(publisher: &mut Publisher) -> Result<f64> {
    let begun = Instant::now();
    for seq in 1..=BACKLOG {
        let (topic, payload) = reading(seq % QUIET + 1, seq, seq % 50);
        publisher.publish(seq, &topic, payload, PATIENCE)?;
    }
    publisher.settle(PATIENCE)?;
    Ok(begun.elapsed().as_secs_f64())
}

fn ours(transport: &str) -> Result<Value> {
    let dir = scratch()?;
    let dir = dir.path();
    // Dropped after the platform that uses it.
    let broker = match transport {
        "mqtt" => Some(Mosquitto::start(&dir.join("broker"), "")?),
        _ => None,
    };
    let mut platform = match &broker {
        Some(broker) => Platform::mqtt(&dir.join("platform"), broker.port())?,
        None => Platform::https(&dir.join("platform"))?,
    };
    let port = place::free_port()?;
    let toml = format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n\n[[device]]\nids = \"bin-{{1..5000}}\"\n\
         profile = \"wangge-bin\"\nheight = \"1.2m\"\nmax_rate = 1000.0\n\n\
         [[stream]]\nname = \"bins\"\ndevices = [\"bin-*\"]\n\n{}",
        platform.uplink("streams = [\"bins\"]")
    );
    let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
    gateway.start()?;
    let mut publisher = Publisher::new(port, "bins");

    let mut next = QUIET;
    let alone = alerts(&mut publisher, &mut next)?;
    gateway.drained(PATIENCE)?;

    platform.kill()?;
    let accepted = publish(&mut publisher)?;
    platform.restart()?;
    let begun = Instant::now();
    let busy = alerts(&mut publisher, &mut next)?;
    let streams = gateway.drained(PATIENCE)?;
    let drained = begun.elapsed().as_secs_f64();
    let bins = streams.get("bins").context("no stream bins")?;
    ensure!(bins.dropped == 0, "readings were dropped: {bins:?}");
    gateway.stop()?;

    let received = platform.received()?;
    let latency = |bins: std::ops::Range<u64>| -> Result<Value> {
        let mut times = Vec::new();
        for event in received.raised() {
            let data = &event.body["data"];
            let bin = data["device"].as_str().and_then(|d| d.strip_prefix("bin-"));
            if bin
                .and_then(|b| b.parse().ok())
                .is_some_and(|b| bins.contains(&b))
            {
                let raised: jiff::Timestamp = data["raised_at"].as_str().unwrap_or("").parse()?;
                // Stored with its time in whole milliseconds.
                times.push((event.received_ms as i64 - raised.as_millisecond()).max(0));
            }
        }
        times.sort_unstable();
        ensure!(
            times.len() as u64 == ALERTS,
            "{} alerts arrived",
            times.len()
        );
        let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
        Ok(json!({ "p50": at(0.5), "p99": at(0.99) }))
    };
    Ok(json!({
        "accepted_per_s": round(BACKLOG as f64 / accepted),
        "drained_per_s": round(BACKLOG as f64 / drained),
        "alert_ms": latency(alone)?,
        "alert_ms_while_draining": latency(busy)?,
        "messages": bins.accepted,
    }))
}

/// Fills bins that were not full before; says which.
fn alerts(publisher: &mut Publisher, next: &mut u64) -> Result<std::ops::Range<u64>> {
    let first = *next + 1;
    for _ in 0..ALERTS {
        *next += 1;
        let (topic, payload) = reading(*next, 1, 99);
        publisher.publish(BACKLOG + *next, &topic, payload, PATIENCE)?;
        publisher.pump(BETWEEN);
    }
    publisher.settle(PATIENCE)?;
    Ok(first..*next + 1)
}

/// Two Mosquittos with a bridge between; the far one is away meanwhile.
fn bridge() -> Result<Value> {
    let dir = scratch()?;
    let dir = dir.path();
    let mut far = Mosquitto::start(&dir.join("far"), "")?;
    let lines = format!(
        "connection uplink\naddress 127.0.0.1:{}\ntopic bins/# out 1\ncleansession false\nrestart_timeout 1 5\n",
        far.port()
    );
    let near = Mosquitto::start(&dir.join("near"), &lines)?;
    // Its session is kept, so that nothing is lost before it is back.
    Connection::open(far.port(), "platform", false, None)?.subscribe("bins/#")?;
    let log = dir.join("near/mosquitto.log");
    until("the bridge", Duration::from_secs(20), || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        Ok(text.contains("Connecting bridge").then_some(()))
    })?;
    far.stop()?;
    let accepted = publish(&mut Publisher::new(near.port(), "bins"))?;
    far.restart()?;
    let begun = Instant::now();
    let mut reader = Connection::open(far.port(), "platform", false, None)?;
    let mut got = 0;
    while got < BACKLOG {
        ensure!(
            begun.elapsed() < PATIENCE,
            "{got} of {BACKLOG} came over the bridge"
        );
        reader.receive(Duration::from_millis(100), |p| {
            got += u64::from(matches!(p, Packet::Message { .. }));
        })?;
    }
    Ok(json!({
        "accepted_per_s": round(BACKLOG as f64 / accepted),
        "drained_per_s": round(BACKLOG as f64 / begun.elapsed().as_secs_f64()),
    }))
}
