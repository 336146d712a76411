//! Connecting, idling, working, falling and coming back.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rand::{Rng, RngCore};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use wangge_tests::usage;

use crate::{
    Options,
    link::{self, Login},
    station::{self, Common, Raised},
    stats::{Counts, Stats, percentiles},
};

/// Longest wait for a phase's end.
const PATIENCE: Duration = Duration::from_secs(180);
const IDLE: Duration = Duration::from_secs(10);
const PREFIX: &str = "wangge/v1";

type Raise = mpsc::UnboundedSender<Raised>;

/// Plays all phases.
///
/// # Errors
/// Files are missing; or nothing connects.
pub async fn play(options: Options) -> Result<()> {
    let mut noise = vec![0; options.picture];
    rand::rng().fill_bytes(&mut noise);
    let common = Arc::new(Common {
        stats: Stats::default(),
        network: watch::Sender::new(true),
        noise,
        park: options.park.is_some(),
        prefix: PREFIX.to_owned(),
    });
    let stations = connect(&options, &common).await?;
    if let Some(each) = options.park {
        return park(&options, &common, &stations, each).await;
    }
    idle(&options).await;
    steady(&options, &common, &stations).await;
    if options.outage > 0 {
        outage(&options, &common, &stations).await;
    }
    Ok(())
}

fn say(phase: &str, mut told: Value, options: &Options) {
    let used: Vec<usage::Usage> = options.watch.iter().map(|pid| usage::of(*pid)).collect();
    told["phase"] = phase.into();
    told["rss_mib"] = used.iter().map(|u| u.resident >> 20).collect();
    println!("{told}");
}

fn cpu(options: &Options) -> Duration {
    options.watch.iter().map(|pid| usage::of(*pid).cpu).sum()
}

fn resident(options: &Options) -> u64 {
    options
        .watch
        .iter()
        .map(|pid| usage::of(*pid).resident)
        .sum()
}

/// Waits until `done`; says whether it came to that. A message that was refused never comes.
async fn wait(what: &str, common: &Common, mut done: impl FnMut(&Counts) -> bool) -> bool {
    let begun = Instant::now();
    while !common.stats.with(|s| done(s)) {
        if begun.elapsed() > PATIENCE || common.stats.with(|s| s.refused > 0) {
            eprintln!("waited {PATIENCE:?} in vain for {what}, or it was refused");
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
    true
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

async fn connect(options: &Options, common: &Arc<Common>) -> Result<Vec<Raise>> {
    let tls = link::trust(&options.ca)?;
    let mut names: Vec<String> = fs::read_dir(&options.passwords)
        .with_context(|| options.passwords.display().to_string())?
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|name| name.starts_with("st-"))
        .collect();
    names.sort();
    names.truncate(options.stations);
    ensure!(
        names.len() == options.stations,
        "only {} passwords of stations",
        names.len()
    );
    let before = resident(options);
    let cpu_before = cpu(options);
    let begun = Instant::now();
    let mut stations = Vec::new();
    for (n, name) in names.into_iter().enumerate() {
        let password = fs::read_to_string(options.passwords.join(&name))?;
        let login = Login {
            broker: options.broker[n % options.broker.len()],
            tls: tls.clone(),
            password: password.trim().to_owned(),
            receipts: format!("{PREFIX}/{name}/receipts"),
            receipt_qos: options.receipt_qos,
            station: name,
        };
        let (raise, raised) = mpsc::unbounded_channel();
        let first = Duration::from_secs_f64(n as f64 / options.connect_rate);
        tokio::spawn(station::live(login, common.clone(), raised, first));
        stations.push(raise);
    }
    let count = options.stations;
    wait("all to connect", common, |s| s.connects.len() >= count).await;
    let took = begun.elapsed();
    // What grew while connecting is not all of the connections'.
    sleep(Duration::from_secs(2)).await;
    let mut counts = common.stats.take();
    let each = resident(options).saturating_sub(before) / count as u64;
    let told = json!({
        "connected": counts.connects.len(), "failed": counts.lost, "reason": counts.reason,
        "took_s": round(took.as_secs_f64()),
        "per_s": round(count as f64 / took.as_secs_f64()),
        "ms": percentiles(&mut counts.connects),
        "broker_kib_each": each >> 10,
        "broker_cpu_ms_each": round((cpu(options) - cpu_before).as_secs_f64() * 1e3 / count as f64),
    });
    say("connect", told, options);
    Ok(stations)
}

async fn idle(options: &Options) {
    let before = cpu(options);
    sleep(IDLE).await;
    let share = (cpu(options) - before).as_secs_f64() / IDLE.as_secs_f64();
    say("idle", json!({ "broker_cores": round(share) }), options);
}

/// Raises alerts at random stations at the rate, for a time.
async fn raise(options: &Options, stations: &[Raise], time: Duration) -> u64 {
    let begun = Instant::now();
    let mut raised = 0;
    while begun.elapsed() < time {
        while (raised as f64) < begun.elapsed().as_secs_f64() * options.rate {
            let station = &stations[rand::rng().random_range(0..stations.len())];
            let at = Instant::now();
            let _ = station.send(Raised { at, backlog: false });
            raised += 1;
        }
        sleep(Duration::from_millis(5)).await;
    }
    raised
}

async fn steady(options: &Options, common: &Common, stations: &[Raise]) {
    let before = cpu(options);
    let time = Duration::from_secs(options.seconds);
    let raised = raise(options, stations, time).await;
    let share = (cpu(options) - before).as_secs_f64() / time.as_secs_f64();
    let whole = wait("all receipts", common, |s| s.live.len() as u64 >= raised).await;
    let mut counts = common.stats.take();
    let told = json!({
        "alerts": raised, "all_receipted": whole, "alerts_per_s": round(options.rate),
        "raise_to_receipt_ms": percentiles(&mut counts.live),
        "repeats": counts.repeats, "refused": counts.refused, "lost": counts.lost,
        "broker_cores": round(share),
    });
    say("steady", told, options);
}

async fn outage(options: &Options, common: &Common, stations: &[Raise]) {
    common.network.send_replace(false);
    sleep(Duration::from_secs(2)).await;
    common.stats.take();
    let missed = (options.rate * options.outage as f64 * 60.0) as u64;
    let at = Instant::now();
    for n in 0..missed {
        let _ = stations[n as usize % stations.len()].send(Raised { at, backlog: true });
    }
    let before = cpu(options);
    let begun = Instant::now();
    common.network.send_replace(true);
    let (mut live, mut peak) = (0, 0);
    // Life goes on: fresh alerts come between those of the outage.
    while common.stats.with(|s| s.backlog < missed) && begun.elapsed() < PATIENCE {
        live += raise(options, stations, Duration::from_secs(1)).await;
        peak = peak.max(resident(options));
    }
    let whole = wait("fresh alerts", common, |s| s.live.len() as u64 >= live).await;
    let mut counts = common.stats.take();
    let since = |at: Option<Instant>| at.map(|at| round((at - begun).as_secs_f64()));
    let drained = counts
        .backlog_at
        .map_or(0.0, |at| (at - begun).as_secs_f64());
    let told = json!({
        "minutes": options.outage, "backlog": missed, "delivered": counts.backlog,
        "drained_after_s": since(counts.backlog_at),
        "drained_per_s": round(counts.backlog as f64 / drained.max(0.001)),
        "reconnected": counts.connects.len(), "all_reconnected_after_s": since(counts.connected_at),
        "attempts_failed": counts.lost, "reason": counts.reason,
        "connect_ms": percentiles(&mut counts.connects),
        "live": live, "all_live_receipted": whole,
        "live_raise_to_receipt_ms": percentiles(&mut counts.live),
        "repeats": counts.repeats, "refused": counts.refused,
        "broker_cpu_s": round((cpu(options) - before).as_secs_f64()),
        "peak_rss_mib_all": peak >> 20,
    });
    say("outage", told, options);
}

async fn park(options: &Options, common: &Common, stations: &[Raise], each: u64) -> Result<()> {
    let at = Instant::now();
    for _ in 0..each {
        for station in stations {
            let _ = station.send(Raised { at, backlog: true });
        }
    }
    let alerts = each * stations.len() as u64;
    let packets = alerts * if options.picture > 0 { 2 } else { 1 };
    let whole = wait("acknowledgements", common, |s| s.acked >= packets).await;
    let took = at.elapsed().as_secs_f64();
    let told = json!({
        "alerts": alerts, "all_acknowledged": whole, "took_s": round(took),
        "alerts_per_s": round(alerts as f64 / took),
        "mib_per_s": round(alerts as f64 * options.picture as f64 / took / f64::from(1 << 20)),
    });
    say("park", told, options);
    Ok(())
}
