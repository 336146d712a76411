//! A line on which every byte counts: what is told about it holds for a whole station, counted by
//! somebody between it and its platform.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, ensure};
use serde_json::json;
use wangge_tests::{
    faketime::FakeClock, gateway::Gateway, mosquitto::Mosquitto, mqtt::Publisher, place,
    platform::Platform, play, until,
};

use crate::words::{PATIENT, alert_of, bins};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const BUDGET: u64 = 1_000_000;
/// Beside what a budget lets through: alerts go when it is spent, and what is on its way arrives.
const ALLOWED_BEYOND: u64 = 50_000;
/// Numbered readings of 1 KB; together they cost more than the budget of a day.
const READINGS: u64 = 1_100;

/// Passes TCP on and counts what it carries in both directions.
struct Line {
    port: u16,
    carried: Arc<AtomicU64>,
}

impl Line {
    fn to(platform: u16) -> Result<Line> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let carried = Arc::new(AtomicU64::new(0));
        let count = carried.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", platform)) else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                        let count = count.clone();
                        thread::spawn(move || pass_on(from, to, &count));
                    }
                }
            }
        });
        Ok(Line { port, carried })
    }

    fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut bytes = [0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A Unix time at which it is this hour in Shanghai, tomorrow: a clock that is behind the program's
/// own making is not believed.
fn at_hour(hour: u64) -> Result<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let midnight = (now + 8 * HOUR) / DAY * DAY - 8 * HOUR;
    Ok(Duration::from_secs(midnight + DAY + hour * HOUR))
}

#[test]
fn budget_and_window_hold_for_a_whole_station() {
    play("lines", |dir| {
        let clock = FakeClock::new(&dir.join("clock"))?;
        let broker = Mosquitto::start(&dir.join("broker"), "")?;
        let platform = Platform::mqtt(&dir.join("platform"), broker.port())?;
        let line = Line::to(broker.port())?;
        let uplink = platform
            .uplink("streams = [\"bins\"]\nbudget = \"1MB/day\"\nwindows = [\"22:00-06:00\"]")
            .replace(&format!(":{}", broker.port()), &format!(":{}", line.port));
        let listen = place::free_port()?;
        let mut gateway = Gateway::new(&dir.join("gateway"), &(bins(listen) + &uplink))?;
        let held = |gateway: &Gateway| -> Result<u64> {
            Ok(gateway.streams()?.get("bins").map_or(0, |bins| bins.held))
        };

        // At noon readings wait, and a fire does not.
        clock.set(at_hour(12)?)?;
        gateway.start_with(&clock.env())?;
        let mut publisher = Publisher::new(listen, "bins");
        for seq in 1..=READINGS {
            let bin = seq % 8 + 2;
            let reading = json!({ "id": format!("bin-{bin}"), "seq": seq, "fill": 20, "pad": "x".repeat(1_000) });
            let topic = format!("bins/bin-{bin}/up");
            publisher.publish(seq, &topic, reading.to_string().into_bytes(), PATIENT)?;
            publisher.pump(Duration::from_millis(1));
        }
        publisher.settle(PATIENT)?;
        burns(&mut publisher, 1, READINGS + 1)?;
        alert_of(&platform, "bin-1", "bin_fire", "raised")?;
        ensure!(
            platform.received()?.readings("bins").count() == 0,
            "readings went outside the window"
        );
        ensure!(held(&gateway)? == READINGS + 1, "{:?}", gateway.streams()?);
        let by_day = line.carried();
        ensure!(by_day < ALLOWED_BEYOND, "{by_day} bytes for one alert");

        // In the window they go, as far as the budget reaches; the station counts no less than
        // there was.
        gateway.stop()?;
        clock.set(at_hour(22)?)?;
        gateway.start_with(&clock.env())?;
        let spent = || -> Result<Option<u64>> {
            let status = gateway.status()?;
            let spent = status["uplinks"][0]["budget"]["spent"].as_u64();
            Ok(spent.filter(|spent| *spent >= BUDGET))
        };
        let counted = until("the budget to be spent", PATIENT, spent)?;
        let left = until("nothing more to go", PATIENT, || {
            let before = line.carried();
            thread::sleep(Duration::from_secs(3));
            Ok((line.carried() == before).then_some(held(&gateway)?))
        })?;
        let carried = line.carried();
        eprintln!("{carried} bytes carried, {counted} counted, {left} readings left");
        ensure!(carried <= counted, "{counted} counted, {carried} carried");
        ensure!(carried < BUDGET + ALLOWED_BEYOND, "{carried} bytes");
        ensure!(carried > BUDGET / 2, "no more than {carried} bytes went");
        ensure!(left > 0, "everything went");
        let mut publisher = Publisher::new(listen, "bins-again");
        burns(&mut publisher, 2, READINGS + 2)?;
        alert_of(&platform, "bin-2", "bin_fire", "raised")?;
        let beyond = line.carried() - carried;
        ensure!(beyond < ALLOWED_BEYOND, "{beyond} bytes for one alert");

        // On the next day the rest goes.
        gateway.stop()?;
        clock.set(at_hour(22)? + Duration::from_secs(DAY))?;
        gateway.start_with(&clock.env())?;
        gateway.drained(PATIENT)?;
        let received = platform.received()?;
        ensure!(received.readings("bins").count() as u64 == READINGS + 2);
        gateway.stop()
    });
}

fn burns(bins: &mut Publisher, bin: u32, seq: u64) -> Result<()> {
    let reading = json!({ "id": format!("bin-{bin}"), "seq": seq, "temperature": 70 });
    let topic = format!("bins/bin-{bin}/up");
    bins.publish(seq, &topic, reading.to_string().into_bytes(), PATIENT)?;
    bins.settle(PATIENT)
}
