//! `cargo xtask demo`: a whole station on this machine, and its alerts live.
//!
//! Everything is real but the devices' sensors: MQTT, Modbus TCP and RTU, RTSP with real
//! footage, the shipped detector, HTTPS with certificates, a receiver that checks and stores.

mod report;
mod screen;
mod station;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};
use wangge_tests::{place, until};

use crate::{
    build,
    setup::{self, Purpose},
};
use report::Report;
use screen::Screen;
use station::Station;

/// How often the screen is brought up to date.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Longest wait at the end for what was raised last to be acknowledged.
const SETTLE: Duration = Duration::from_secs(30);
/// Marks a directory that this program may empty.
const MARK: &str = "wangge-demo";

/// What `cargo xtask demo` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// End by itself after this many seconds; without it, Ctrl-C ends the demo.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Write what was raised, delivered and acknowledged, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where the station, the platform and their logs live; `target/demo` when left out.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Sets up, builds, runs, reports.
///
/// # Errors
/// Anything that keeps the demo from showing what it should: set-up, build, a process that
/// ends, or, of a run that ends by itself, an alert that was not acknowledged.
pub fn run(options: &Options) -> Result<()> {
    let kit = setup::kit(Purpose::Demo)?;
    build::shipped()?;
    let dir = match &options.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => place::root().join("target/demo"),
    };
    empty(&dir)?;

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The second one ends us at once; the kernel then tells our children.
        flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    let mut screen = Screen::open();
    let mut station = Station::start(&kit, &dir)?;
    screen.say(&station.greeting());

    let begun = Instant::now();
    let end = options.seconds.map(Duration::from_secs);
    while !stop.load(Ordering::Relaxed) && end.is_none_or(|end| begun.elapsed() < end) {
        station.check()?;
        let received = station.received()?;
        screen.alerts(&received);
        screen.state(&station.state(begun.elapsed(), &received)?);
        thread::sleep(LOOK_EVERY);
    }

    screen.say("stopping: waiting until everything raised is acknowledged");
    let settled = until("every alert to be acknowledged", SETTLE, || {
        let report = station.report()?;
        Ok(report.settled().then_some(report))
    });
    let report = match settled {
        Ok(report) => report,
        // The report then says what is open.
        Err(_) => station.report()?,
    };
    screen.alerts(&station.received()?);
    station.stop()?;
    drop(screen);
    finish(options, &report)
}

fn finish(options: &Options, report: &Report) -> Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    if let Some(file) = &options.report {
        fs::write(file, json + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    for (kind, k) in &report.alerts {
        println!(
            "{kind:28} {:7} {:3} raised {:3} delivered {:3} acknowledged",
            k.source, k.raised, k.delivered, k.acknowledged
        );
    }
    println!(
        "raised to stored at the platform: {:.0} ms (median), {:.0} ms (99 of 100)",
        report.latency_ms.p50, report.latency_ms.p99
    );
    match report.judge() {
        // Who ends it early has not waited for every source.
        Err(e) if options.seconds.is_some() => Err(e),
        _ => Ok(()),
    }
}

/// Makes the directory, or empties one that an earlier demo left.
fn empty(dir: &Path) -> Result<()> {
    if dir.join(MARK).exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    ensure!(
        fs::read_dir(dir)?.next().is_none(),
        "{} is not empty and no demo's: name another with --dir",
        dir.display()
    );
    fs::write(dir.join(MARK), "").with_context(|| format!("cannot write to {}", dir.display()))
}
