//! Measurements, run by hand:
//! `cargo test -p wangge --lib uplink::tests::speed -- --ignored --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::rig::*;
use crate::{config::Border, spool::Class};

/// CPU time of this process so far (the spool in it included; for receipts the platform, too).
/// From the scheduler: `/proc/self/stat` counts in ticks, which timers beat with.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let run = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.filter_map(run).sum())
}

async fn drain(border: Border, count: u32) {
    let broker = Mosquitto::start("").await;
    let dir = TempDir::new().unwrap();
    let received = Received {
        dir: dir.path().to_owned(),
    };
    let platform = (border == Border::Receipt).then(|| MqttPlatform::start(broker.port, &received));
    let station = Station::start(mqtt_link(free_port()), border);
    station.backlog(count as usize).await;
    let (start, before) = (Instant::now(), cpu());
    let station = station.relink(mqtt_link(broker.port), border).await;
    until("drained", async || station.empty().await).await;
    let took = start.elapsed();
    println!(
        "{border:?}: {count} messages of 3.4 KB in {took:?}: {:.0}/s, {:.1} us of CPU each",
        f64::from(count) / took.as_secs_f64(),
        (cpu() - before).as_secs_f64() * 1e6 / f64::from(count)
    );
    station.stop().await;
    if let Some(platform) = platform {
        platform.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: prints figures and asserts nothing, so a suite learns nothing from it"]
async fn drain_rate() {
    drain(Border::Broker, 20_000).await;
    drain(Border::Receipt, 20_000).await;
}

#[tokio::test]
#[ignore = "a measurement: prints figures and asserts nothing, so a suite learns nothing from it"]
async fn steady_thousand_a_second() {
    let broker = Mosquitto::start("").await;
    let station = Station::start(mqtt_link(broker.port), Border::Broker);
    station.telemetry().await;
    until("connected", async || station.empty().await).await;
    for each in [1, 5, 20] {
        let (start, before) = (Instant::now(), cpu());
        let mut ticks = interval(Duration::from_millis(1) * each);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut sent = 0;
        while start.elapsed() < Duration::from_secs(10) {
            ticks.tick().await;
            let id = Uuid::now_v7().to_string();
            let body = padded(telemetry_body(&id), 150 * each as usize);
            station
                .append(Class::Telemetry, &id, Vec::new(), body)
                .await;
            sent += 1;
        }
        println!(
            "{} commits a second of {each} readings: {:.2} % of a core",
            sent / 10,
            (cpu() - before).as_secs_f64() * 10.0
        );
    }
    station.stop().await;
}
