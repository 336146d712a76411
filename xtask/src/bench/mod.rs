//! `cargo xtask bench`: what the gateway does and costs, against what the machine can do, or
//! against other gateways in the same run.

mod cameras;
mod delivery;
mod limits;
mod line;
mod load;
mod modbus;
mod mqtt;
mod peers;
mod slaves;
mod station;

use std::{fs, net::TcpStream, path::Path, time::Duration};

use anyhow::Result;
use serde_json::Value;
use wangge_tests::Process;

use crate::{
    build,
    setup::{self, Kit, Purpose},
};

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Bench {
    /// Latency, CPU and memory of readings at 200 and 1,000 a second.
    Mqtt,
    /// The highest rate of readings that is sustained.
    Throughput,
    /// 10, 50 and 200 Modbus TCP units of 20 registers each second; 5 of 50 dead on one line.
    Modbus,
    /// A serial line at 9600 baud against its own limit.
    Rtu,
    /// Readings and alerts to the platform over MQTT and HTTPS, with a backlog, beside
    /// Mosquitto's bridge.
    Delivery,
    /// 1080p cameras, quiet, busy and mixed, against ffmpeg decoding at 5 frames a second.
    Cameras,
}

impl Bench {
    const ALL: [Bench; 6] = [
        Bench::Mqtt,
        Bench::Throughput,
        Bench::Modbus,
        Bench::Rtu,
        Bench::Delivery,
        Bench::Cameras,
    ];
}

/// Runs the measurements (all, if none is named); with the folder of the side-by-side
/// measurements, other gateways do the same work in the same run.
///
/// # Errors
/// Set-up, the build or a measurement fails.
pub fn run(
    benches: &[Bench],
    side_by_side: Option<&Path>,
    seconds: u64,
    full: bool,
    soak: Option<u64>,
) -> Result<()> {
    let kit = setup::kit(Purpose::Test)?;
    build::shipped()?;
    if let Some(folder) = side_by_side {
        return peers::run(folder);
    }
    if let Some(minutes) = soak {
        return cameras::soak::run(&kit, minutes, &mut Results::default());
    }
    let benches = if benches.is_empty() {
        &Bench::ALL[..]
    } else {
        benches
    };
    let mut results = Results::default();
    results.add(
        "machine",
        serde_json::json!({ "fdatasync_per_s": limits::syncs_per_second()?.round() }),
    );
    for bench in benches {
        measure(*bench, &kit, seconds, full, &mut results)?;
    }
    let file = wangge_tests::place::root().join("target/xtask-bench/results.json");
    fs::write(&file, serde_json::to_vec_pretty(&results.rows)?)?;
    eprintln!("raw results: {}", file.display());
    Ok(())
}

fn measure(bench: Bench, kit: &Kit, seconds: u64, full: bool, results: &mut Results) -> Result<()> {
    match bench {
        Bench::Mqtt => mqtt::latency(seconds, results),
        Bench::Throughput => mqtt::throughput(seconds, results),
        Bench::Modbus => modbus::tcp(seconds, results),
        Bench::Rtu => modbus::rtu(seconds, results),
        Bench::Delivery => delivery::run(results),
        Bench::Cameras => cameras::run(kit, seconds, full, results),
    }
}

/// Rows as they come in, printed at once.
#[derive(Debug, Default)]
pub struct Results {
    rows: serde_json::Map<String, Value>,
}

impl Results {
    /// Adds and prints a row.
    pub fn add(&mut self, name: &str, row: Value) {
        println!("{name}: {row}");
        self.rows.insert(name.to_owned(), row);
    }
}

/// Two figures after the point are plenty for a reader.
pub fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// Waits until a gateway listens.
///
/// # Errors
/// It ends instead, or takes too long.
fn ready(process: &mut Process, port: u16) -> Result<()> {
    process.ready("the gateway to listen", Duration::from_secs(20), |_| {
        Ok(TcpStream::connect(("127.0.0.1", port)).ok().map(drop))
    })
}
