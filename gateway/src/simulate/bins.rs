//! Waste bins over MQTT: each its own connection, as sensors are.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use jiff::Timestamp;
use rand::Rng;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use serde::Serialize;
use tokio::{task::JoinSet, time::interval};
use tokio_util::sync::CancellationToken;

use super::{Args, Scenario};

/// Sensor to floor, mm: configure the same height.
pub const HEIGHT_MM: f64 = 1200.0;
/// From emptied to emptied.
const CYCLE: Duration = Duration::from_secs(8 * 3600);
/// Fill at the beginning and end of a cycle, and how far into it the first bin starts.
const EMPTY: f64 = 15.0;
const FULL: f64 = 99.0;
const HEAD_START: f64 = 0.7;
/// Distance at which the sensor sees a full bin, mm.
const FULL_AT_MM: f64 = 150.0;
/// When fire and fall happen, in simulated time, and how long the fire grows.
const EVENT_AT: Duration = Duration::from_secs(3 * 3600);
const FIRE_GROWS: Duration = Duration::from_secs(600);
const FALLEN: Duration = Duration::from_secs(2 * 3600);
/// Wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);

/// One bin's day.
#[derive(Clone, Debug)]
pub struct Bin {
    pub id: String,
    /// Its place among the bins, which shifts its cycle.
    pub index: u8,
    pub burns: bool,
    pub falls: bool,
}

/// One message.
#[derive(Debug, PartialEq, Serialize)]
pub struct Reading<'a> {
    pub id: &'a str,
    pub seq: u64,
    pub time: Timestamp,
    /// mm
    pub distance: f64,
    /// °C
    pub temperature: f64,
    /// Degrees.
    pub tilt: f64,
    /// %
    pub battery: f64,
}

impl Bin {
    /// How full it is, %, after so much simulated time.
    pub fn fill(&self, day: Duration) -> f64 {
        let phase = HEAD_START + f64::from(self.index) * 0.23;
        let through = (day.as_secs_f64() / CYCLE.as_secs_f64() + phase).fract();
        // Emptied in the last twentieth of the cycle.
        if through > 0.95 {
            return EMPTY;
        }
        EMPTY + (FULL - EMPTY) * (through / 0.9).min(1.0)
    }

    /// What its sensor says.
    pub fn reading(&self, seq: u64, day: Duration, time: Timestamp) -> Reading<'_> {
        let since = day.checked_sub(EVENT_AT);
        let heat = match since {
            Some(since) if self.burns => {
                (since.as_secs_f64() / FIRE_GROWS.as_secs_f64()).min(1.0) * 60.0
            }
            _ => 0.0,
        };
        let fallen = self.falls && since.is_some_and(|since| since < FALLEN);
        let hour = day.as_secs_f64() / 3600.0;
        let noon = ((hour - 14.0) / 24.0 * std::f64::consts::TAU).cos();
        let rubbish = self.fill(day) / 100.0 * (HEIGHT_MM - FULL_AT_MM);
        Reading {
            id: &self.id,
            seq,
            time,
            distance: (HEIGHT_MM - rubbish).round(),
            temperature: ((18.0 + 6.0 * noon + heat) * 10.0).round() / 10.0,
            tilt: if fallen { 87.0 } else { 2.0 },
            battery: (96.0 - hour / 24.0).max(0.0).round(),
        }
    }
}

/// All bins of a run.
pub(super) struct Plan {
    bins: Vec<Bin>,
    host: String,
    port: u16,
    topic: String,
    password: Option<String>,
    every: Duration,
    scenario: Scenario,
}

impl Plan {
    pub(super) fn new(args: &Args, broker: &str) -> Result<Plan> {
        let (host, port) = broker
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
            .with_context(|| format!("--mqtt {broker}: HOST:PORT is expected"))?;
        let password = match &args.password_file {
            None => None,
            Some(file) => {
                let text = fs::read_to_string(file)
                    .with_context(|| format!("{}: cannot be read", file.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let every = Duration::try_from_secs_f64(args.every)
            .ok()
            .filter(|every| *every >= Duration::from_millis(1))
            .with_context(|| format!("--every {}: at least 0.001 is expected", args.every))?;
        let bins = (0..args.bins)
            .map(|index| Bin {
                id: format!("bin-{}", u16::from(index) + 1),
                index,
                burns: args.fire && index == 1.min(args.bins - 1),
                falls: args.tilt && index == 2.min(args.bins - 1),
            })
            .collect();
        Ok(Plan {
            bins,
            host,
            port,
            topic: args.topic.clone(),
            password,
            every,
            scenario: args.scenario,
        })
    }

    pub(super) async fn run(self, stop: CancellationToken) -> Result<()> {
        let start = tokio::time::Instant::now();
        let mut tasks = JoinSet::new();
        for bin in self.bins {
            let topic = self.topic.replace("{id}", &bin.id);
            let mut options = MqttOptions::new(&bin.id, &self.host, self.port);
            options
                .set_clean_session(false)
                .set_keep_alive(Duration::from_secs(30));
            if let Some(password) = &self.password {
                options.set_credentials(&bin.id, password);
            }
            let (every, scenario, stop) = (self.every, self.scenario, stop.clone());
            tasks.spawn(async move {
                let (client, events) = AsyncClient::new(options, 10);
                let publish = publish(&bin, &topic, &client, every, scenario, start);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = poll(&bin.id, events) => {}
                    () = publish => {}
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Ok(())
    }
}

async fn publish(
    bin: &Bin,
    topic: &str,
    client: &AsyncClient,
    every: Duration,
    scenario: Scenario,
    start: tokio::time::Instant,
) {
    // A thousand bins that are switched on together do not report together.
    let offset = rand::rng().random_range(Duration::ZERO..every);
    tokio::time::sleep(offset).await;
    let mut tick = interval(every);
    // Counts on over a restart, as a sensor with its number in flash does.
    let first = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    for seq in first.. {
        tick.tick().await;
        let day = scenario.day_time(start.elapsed());
        let reading = bin.reading(seq, day, Timestamp::now());
        let Ok(payload) = serde_json::to_vec(&reading) else {
            return; // plain numbers and text always become JSON
        };
        if client
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn poll(id: &str, mut events: EventLoop) {
    let mut told = false;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                tracing::info!(id, "bin connected");
                told = false;
            }
            Ok(_) => {}
            Err(error) => {
                if !told {
                    tracing::warn!(id, %error, "bin not connected; trying again");
                    told = true;
                }
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }
}
