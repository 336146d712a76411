//! `cargo xtask fleet`: many simulated stations on the brokers that are shipped for, measured.

mod district;
mod table;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wangge_tests::{nats::Cluster, place, platform::Platform};

use crate::{
    build,
    setup::{self, Purpose},
};
use district::District;

/// What can be done with a fleet.
#[derive(clap::Subcommand)]
pub enum Task {
    /// Connect many stations to a NATS cluster and to one Mosquitto, one after the other, and
    /// measure connections, latency, memory, storage, and how they come back after an outage.
    Simulate(Options),
}

/// How many, how much.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Stations, each with an account of its own.
    #[arg(long, default_value_t = 1_000)]
    stations: usize,
    /// Alerts a second of all together.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Length of the steady phase.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Minutes of a simulated outage; what they would have brought comes at once.
    #[arg(long, default_value_t = 2)]
    outage: u64,
    /// Bytes of an alert's picture.
    #[arg(long, default_value_t = 150_000)]
    picture: usize,
    /// QoS at which stations subscribe to their receipts.
    #[arg(long, default_value_t = 1)]
    receipt_qos: u8,
    /// New connections a second at the start.
    #[arg(long, default_value_t = 100.0)]
    connect_rate: f64,
    /// Only this broker.
    #[arg(long, value_enum)]
    only: Option<Broker>,
    /// Write all figures here, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<std::path::PathBuf>,
}

/// What stations connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Broker {
    /// Three NATS servers with JetStream.
    Nats,
    /// One Mosquitto.
    Mosquitto,
}

impl Broker {
    fn name(self) -> &'static str {
        match self {
            Broker::Nats => "nats",
            Broker::Mosquitto => "mosquitto",
        }
    }
}

/// Runs a task.
///
/// # Errors
/// Set-up, a build or a broker fails.
pub fn run(task: &Task) -> Result<()> {
    let Task::Simulate(options) = task;
    setup::kit(Purpose::Test)?;
    build::shipped()?;
    let crowd = build::crowd()?;
    let dir = tempfile::tempdir()?;
    let mut report = Vec::new();
    for broker in [Broker::Nats, Broker::Mosquitto] {
        if options.only.is_none_or(|only| only == broker) {
            eprintln!("== {} stations on {} ==", options.stations, broker.name());
            let figures = measure(broker, options, &crowd, &dir.path().join(broker.name()))
                .with_context(|| broker.name())?;
            report.push((broker, figures));
        }
    }
    print!("{}", table::render(&report));
    if let Some(path) = &options.report {
        let all: serde_json::Map<String, Value> = report
            .iter()
            .map(|(broker, figures)| (broker.name().to_owned(), figures.clone().into()))
            .collect();
        fs::write(path, serde_json::to_vec_pretty(&all)?)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Names of stations that the crowd takes for its own.
fn stations(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("st-{n:06}")).collect()
}

fn measure(broker: Broker, options: &Options, crowd: &Path, dir: &Path) -> Result<Vec<Value>> {
    let names = stations(options.stations);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match broker {
        Broker::Nats => {
            let mut cluster = Cluster::start(&dir.join("cluster"), &names)?;
            let platform = cluster.platform(&dir.join("platform"), 0)?;
            let gates: Vec<_> = (0..3).map(|n| cluster.gate(n)).collect();
            let pids = cluster.pids()?;
            let site = Site {
                ports: gates.iter().map(|g| g.port).collect(),
                ca: &gates[0].ca,
                passwords: &gates[0].passwords,
                pids: &pids,
            };
            let mut figures = site.play(options, crowd, &[])?;
            figures.extend(parked(&site, options, crowd, platform, || {
                Ok(cluster.stored())
            })?);
            Ok(figures)
        }
        Broker::Mosquitto => {
            let mut district = District::start(&dir.join("district"), &names)?;
            let platform = district.platform(&dir.join("platform"))?;
            let pids = [district.pid()?];
            let (gate, store) = (district.gate.clone(), district.store());
            let site = Site {
                ports: vec![gate.port],
                ca: &gate.ca,
                passwords: &gate.passwords,
                pids: &pids,
            };
            let mut figures = site.play(options, crowd, &[])?;
            figures.extend(parked(&site, options, crowd, platform, || {
                district.settle()?;
                Ok(place::folder_bytes(&store))
            })?);
            Ok(figures)
        }
    }
}

/// A broker as the crowd finds it.
struct Site<'a> {
    ports: Vec<u16>,
    ca: &'a Path,
    passwords: &'a Path,
    pids: &'a [u32],
}

impl Site<'_> {
    fn play(&self, options: &Options, crowd: &Path, more: &[String]) -> Result<Vec<Value>> {
        let list = |items: Vec<String>| items.join(",");
        let brokers = list(
            self.ports
                .iter()
                .map(|p| format!("127.0.0.1:{p}"))
                .collect(),
        );
        let output = Command::new(crowd)
            .args(["--broker", &brokers, "--watch"])
            .arg(list(self.pids.iter().map(u32::to_string).collect()))
            .arg("--ca")
            .arg(self.ca)
            .arg("--passwords")
            .arg(self.passwords)
            .args(["--stations", &options.stations.to_string()])
            .args(["--rate", &options.rate.to_string()])
            .args(["--seconds", &options.seconds.to_string()])
            .args(["--outage", &options.outage.to_string()])
            .args(["--picture", &options.picture.to_string()])
            .args(["--receipt-qos", &options.receipt_qos.to_string()])
            .args(["--connect-rate", &options.connect_rate.to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start wangge-crowd")?;
        ensure!(
            output.status.success(),
            "wangge-crowd ended with {}",
            output.status
        );
        let text = String::from_utf8(output.stdout)?;
        text.lines()
            .map(|line| serde_json::from_str(line).context("a line of wangge-crowd's"))
            .collect()
    }
}

/// What an alert with its picture takes on the broker's disks while the receiver is away.
fn parked(
    site: &Site<'_>,
    options: &Options,
    crowd: &Path,
    mut platform: Platform,
    mut stored: impl FnMut() -> Result<u64>,
) -> Result<Vec<Value>> {
    // Killed: its session stays, and what is published is kept for it.
    platform.kill()?;
    let before = stored()?;
    let few = Options {
        stations: options.stations.min(100),
        ..options.clone()
    };
    let each = 200usize.div_ceil(few.stations).max(1);
    let mut figures = site.play(&few, crowd, &["--park".to_owned(), each.to_string()])?;
    figures.retain(|f| f["phase"] == "park");
    for told in &mut figures {
        let alerts = told["alerts"].as_u64().unwrap_or(1).max(1);
        told["bytes_each_all_disks"] = (stored()?.saturating_sub(before) / alerts).into();
    }
    Ok(figures)
}
