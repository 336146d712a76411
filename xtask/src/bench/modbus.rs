//! Modbus polls: kept deadlines over TCP, and a serial line's use.

use std::{fmt::Write as _, sync::atomic::Ordering, thread, time::Duration};

use anyhow::Result;
use serde_json::json;
use wangge_tests::mosquitto::Mosquitto;

use super::{
    Results,
    line::{Line, UNITS},
    round,
    slaves::Slaves,
    station::{Station, scratch},
};

const PERIOD: Duration = Duration::from_secs(1);
const UNIT_COUNTS: [usize; 3] = [10, 50, 200];
const FIRST_POLLS: Duration = Duration::from_secs(120);
const SETTLE: Duration = Duration::from_secs(5);
const BAUD: u32 = 9_600;
const REGISTERS: u32 = 20;

/// Units behind ports of their own, then 50 behind one connection of which 5 are dead.
///
/// # Errors
/// A process fails.
pub fn tcp(seconds: u64, results: &mut Results) -> Result<()> {
    for count in UNIT_COUNTS {
        let slaves = Slaves::ports(count, PERIOD)?;
        one(
            &format!("modbus_{count}"),
            "ports",
            count,
            &slaves,
            seconds,
            results,
        )?;
    }
    let slaves = Slaves::units(50, 5, PERIOD)?;
    one(
        "modbus_50_of_them_5_dead",
        "units",
        50,
        &slaves,
        seconds,
        results,
    )
}

fn one(
    name: &str,
    layout: &str,
    count: usize,
    slaves: &Slaves,
    seconds: u64,
    results: &mut Results,
) -> Result<()> {
    let dir = scratch()?;
    let broker = Mosquitto::start(dir.path(), "")?;
    let env = [
        ("UPLINK_PORT", broker.port().to_string()),
        ("MODBUS_PORT", slaves.first_port.to_string()),
        ("MODBUS_SLAVES", count.to_string()),
        ("MODBUS_LAYOUT", layout.to_owned()),
    ];
    let mut station = Station::contestant("modbus", &env)?;
    station.process.ready("the first polls", FIRST_POLLS, |_| {
        Ok(slaves.all_polled().then_some(()))
    })?;
    thread::sleep(SETTLE);
    slaves.score(SETTLE);
    let (meter, window) = (station.meter(), Duration::from_secs(seconds));
    thread::sleep(window);
    let (score, cost) = (slaves.score(window), meter.read());
    results.add(
        name,
        json!({
            "polls_per_s": round(score.polls as f64 / window.as_secs_f64()),
            "missed": score.missed,
            "cpu_percent": round(cost.cpu_percent),
            "resident_mb": round(cost.resident_mb),
        }),
    );
    Ok(())
}

/// Units on one line at 9600 baud, wanted more often than the line can carry.
///
/// # Errors
/// No pty, or the gateway fails.
pub fn rtu(seconds: u64, results: &mut Results) -> Result<()> {
    let line = Line::open(BAUD)?;
    let mut toml = format!(
        "[[bus]]\nname = \"line\"\nserial = \"{}\"\nbaud = {BAUD}\n\n[profile.slave]\ntitle = \"20 registers\"\n",
        line.path.display()
    );
    for register in 0..REGISTERS {
        let _ = write!(
            toml,
            "\n[[profile.slave.point]]\nquantity = \"level\"\nname = \"r{register}\"\nparts = [{{ address = {register}, format = \"u16\" }}]\n"
        );
    }
    let _ = write!(
        toml,
        "\n[[device]]\nids = \"slave-{{1..{UNITS}}}\"\nprofile = \"slave\"\nbus = \"line\"\nunit_id = \"1..{UNITS}\"\nevery = \"100ms\"\n"
    );
    let mut station = Station::with_config(&toml)?;
    let answered = || line.answered.load(Ordering::Relaxed);
    station.process.ready("the first polls", FIRST_POLLS, |_| {
        Ok((answered() > 20).then_some(()))
    })?;
    let (before, meter) = (answered(), station.meter());
    thread::sleep(Duration::from_secs(seconds));
    let (rate, limit) = (
        (answered() - before) as f64 / seconds as f64,
        line.limit(REGISTERS),
    );
    let cost = meter.read();
    results.add(
        "rtu_9600",
        json!({
            "reads_per_s": round(rate),
            "line_allows": round(limit),
            "of_line": round(rate / limit),
            "cpu_percent": round(cost.cpu_percent),
        }),
    );
    station.process.stop(Duration::from_secs(15))?;
    Ok(())
}
