//! Readings from MQTT devices through the spool to the uplink broker.

use anyhow::Result;
use serde_json::json;
use wangge_tests::{mosquitto::Mosquitto, place};

use super::{
    Results,
    load::{self, Load, Outcome},
    round,
    station::{Cost, Station, scratch},
};

const RATES: [u64; 2] = [200, 1_000];
/// Rates that are tried one after the other, a second.
const LADDER: [u64; 7] = [5_000, 10_000, 25_000, 32_000, 40_000, 50_000, 64_000];
/// A rate is sustained when nothing is lost and the backlog is gone this soon.
const DRAIN_S: f64 = 1.0;

/// One load through a fresh gateway.
fn through(rate: u64, seconds: u64) -> Result<(Outcome, Cost)> {
    let dir = scratch()?;
    let broker = Mosquitto::start(dir.path(), "")?;
    let field = place::free_port()?;
    let env = [
        ("FIELD_PORT", field.to_string()),
        ("UPLINK_PORT", broker.port().to_string()),
    ];
    let mut station = Station::contestant("mqtt", &env)?;
    super::ready(&mut station.process, field)?;
    let mut meter = station.meter();
    let load = Load {
        field,
        uplink: broker.port(),
        filter: "uplink/#",
        rate,
        seconds,
    };
    let outcome = load::run(load, || meter = station.meter())?;
    Ok((outcome, meter.read()))
}

/// The same load through Mosquitto alone: what generator and broker can do.
fn broker_alone(rate: u64, seconds: u64) -> Result<Outcome> {
    let dir = scratch()?;
    let broker = Mosquitto::start(dir.path(), "")?;
    let load = Load {
        field: broker.port(),
        uplink: broker.port(),
        filter: "station/#",
        rate,
        seconds,
    };
    load::run(load, || ())
}

/// Latency and cost at fixed rates, with Mosquitto alone beside it.
///
/// # Errors
/// A process fails, or nothing comes through.
pub fn latency(seconds: u64, results: &mut Results) -> Result<()> {
    for rate in RATES {
        let (ours, cost) = through(rate, seconds)?;
        let alone = broker_alone(rate, seconds)?;
        results.add(
            &format!("mqtt_{rate}"),
            json!({
                "wangge": ours,
                "cpu_percent": round(cost.cpu_percent),
                "resident_mb": round(cost.resident_mb),
                "mosquitto_alone": alone,
                "p99_times_mosquitto_alone": round(ours.p99_ms / alone.p99_ms),
            }),
        );
    }
    Ok(())
}

/// The highest rate that is sustained, with Mosquitto alone beside it.
///
/// # Errors
/// A process fails, or nothing comes through.
pub fn throughput(seconds: u64, results: &mut Results) -> Result<()> {
    let climb = |name: &str, step: &dyn Fn(u64) -> Result<Outcome>| -> Result<u64> {
        let mut best = 0;
        for rate in LADDER {
            let outcome = step(rate)?;
            let held = outcome.lost == 0
                && outcome.drain_s <= DRAIN_S
                && outcome.send_rate >= 0.98 * rate as f64;
            println!("throughput {name} at {rate}/s: {}", json!(outcome));
            if !held {
                break;
            }
            best = rate;
        }
        Ok(best)
    };
    let ours = climb("wangge", &|rate| Ok(through(rate, seconds)?.0))?;
    let alone = climb("mosquitto alone", &|rate| broker_alone(rate, seconds))?;
    results.add(
        "throughput",
        json!({
            "wangge_per_s": ours,
            "mosquitto_alone_per_s": alone,
            "of_mosquitto_alone": round(ours as f64 / alone.max(1) as f64),
        }),
    );
    Ok(())
}
