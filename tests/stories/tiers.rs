//! 小事不出社区、难事不出街道、大事三级联动: a station with a street, a city and a case platform. What
//! is small stays; what burns goes to all; what nobody settles in time goes up, over a restart, and
//! the figures say so.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wangge_tests::{
    faketime::FakeClock,
    gateway::{self, Gateway},
    mosquitto::{self, Mosquitto},
    mqtt::Publisher,
    place,
    platform::{Event, Platform},
    play, until,
};

use crate::words::{PATIENT, alert_of, bins};

const DAY: i64 = 86_400;

/// The case platform that the uplink's own tests use, which knows nothing of the gateway.
struct Cases {
    process: Child,
    port: u16,
    state: std::path::PathBuf,
}

impl Cases {
    fn start(dir: &std::path::Path) -> Result<Cases> {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../gateway/src/uplink/tests/push.py"
        );
        let state = dir.join("cases.json");
        let mut process = Command::new("python3")
            .args([script, "FORM"])
            .arg(&state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("Python is not installed")?;
        let mut port = String::new();
        let out = process.stdout.as_mut().context("no output")?;
        BufReader::new(out).read_line(&mut port)?;
        Ok(Cases {
            process,
            port: port.trim().parse()?,
            state,
        })
    }

    fn filed(&self) -> Result<Vec<Value>> {
        let state: Value = serde_json::from_slice(&std::fs::read(&self.state)?)?;
        Ok(state["cases"].as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Cases {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn alerts(platform: &Platform, kind: &str) -> Result<Vec<Event>> {
    let received = platform.received()?;
    let found = received.alerts().filter(|e| e.body["data"]["kind"] == kind);
    Ok(found.cloned().collect())
}

#[test]
fn small_things_stay_and_what_nobody_settles_goes_up() {
    play("tiers", |dir| {
        let clock = FakeClock::new(&dir.join("clock"))?;
        let street = Platform::https(&dir.join("street"))?;
        let city = Platform::https(&dir.join("city"))?;
        let cases = Cases::start(dir)?;
        let port = place::free_port()?;
        std::fs::write(dir.join("password"), "secret\n")?;
        private(&dir.join("password"))?;
        let uplink = |platform: &Platform, tier: &str| {
            let uplink = platform.uplink(&format!("tier = \"{tier}\""));
            uplink.replace("name = \"city\"", &format!("name = \"{tier}\""))
        };
        let toml = format!(
            "[listen]\naddress = \"127.0.0.1:{port}\"\n\n\
             [[device]]\nids = \"bin-{{1..9}}\"\nprofile = \"wangge-bin\"\nheight = \"1.2m\"\nmax_rate = 1000.0\n\n\
             {}{}[[uplink]]\nname = \"cases\"\ntype = \"push\"\nurl = \"http://127.0.0.1:{}/base\"\n\
             profile = \"eurbanmis\"\nusername = \"station\"\npassword_file = \"{}\"\ntier = \"city\"\n",
            uplink(&street, "street"),
            uplink(&city, "city"),
            cases.port,
            dir.join("password").display(),
        );
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start_with(&clock.env())?;
        let mut bins = Publisher::new(port, "bins");
        let mut seq = 0;
        let mut reads = |bin: u32, what: Value| -> Result<()> {
            seq += 1;
            let mut reading = json!({ "id": format!("bin-{bin}"), "seq": seq });
            for (key, value) in what.as_object().into_iter().flatten() {
                reading[key] = value.clone();
            }
            let topic = format!("bins/bin-{bin}/up");
            bins.publish(seq, &topic, reading.to_string().into_bytes(), PATIENT)?;
            bins.settle(PATIENT)
        };

        // A full bin is the community's; a bin on fire everybody's.
        reads(1, json!({ "fill": 95 }))?;
        reads(2, json!({ "temperature": 70 }))?;
        for platform in [&street, &city] {
            until("the fire", PATIENT, || {
                Ok((!alerts(platform, "bin_fire")?.is_empty()).then_some(()))
            })?;
        }
        until("the fire's case", PATIENT, || {
            Ok((!cases.filed()?.is_empty()).then_some(()))
        })?;
        // The console's list of open alerts is renewed once a tick.
        let full = until("the full bin to be shown as open", PATIENT, || {
            let status = gateway.status()?;
            let open = status["alerts"].as_array().context("no alerts")?;
            Ok(open.iter().find(|a| a["kind"] == "bin_overflow").cloned())
        })?;
        ensure!(
            full["tier"] == "community" && full["deadline"].is_string(),
            "{full}"
        );
        ensure!(
            alerts(&street, "bin_overflow")?.is_empty(),
            "a small thing went up"
        );

        // Three days later nobody has emptied it, and the station was off for most of them.
        gateway.stop()?;
        clock.off_by(5 * DAY)?;
        gateway.start_with(&clock.env())?;
        let risen = until("the full bin to go up", PATIENT, || {
            Ok(alerts(&street, "bin_overflow")?.into_iter().next())
        })?;
        let data = &risen.body["data"];
        ensure!(data["state"] == "updated", "{data}");
        ensure!(data["routing"]["tier"] == "street", "{data}");
        ensure!(data["routing"]["escalated_from"] == "community", "{data}");
        let text = data["text"]["zh"].as_str().unwrap_or_default();
        ensure!(text.contains("社区逾期未处置,转街道"), "{text}");
        ensure!(
            alerts(&city, "bin_overflow")?.is_empty(),
            "one tier at a time"
        );

        // Emptied: whoever has it hears it.
        reads(1, json!({ "fill": 20 }))?;
        until("the end", PATIENT, || {
            let all = alerts(&street, "bin_overflow")?;
            Ok(all
                .iter()
                .any(|e| e.body["data"]["state"] == "cleared")
                .then_some(()))
        })?;
        ensure!(
            alerts(&city, "bin_overflow")?.is_empty(),
            "the city never had it"
        );
        let filed = cases.filed()?;
        ensure!(
            filed.len() == 1 && filed[0]["subTypeName"] == "焚烧垃圾树叶",
            "{filed:?}"
        );

        // The figures.
        let config = gateway.config().display().to_string();
        let csv = gateway::wangge(&[
            "digest",
            "--config",
            &config,
            "--since",
            "2020-01-01",
            "--format",
            "csv",
        ])?;
        let csv = String::from_utf8(csv.stdout)?;
        let count = |what: &str| -> u32 {
            let lines = csv.lines().filter(|l| l.contains(what));
            let received = lines.filter_map(|l| l.split(',').nth(3)?.parse::<u32>().ok());
            received.sum()
        };
        ensure!(count(",bin_overflow,community,") == 1, "{csv}");
        ensure!(count(",bin_overflow,street,") == 1, "{csv}");
        ensure!(count(",bin_fire,city,") == 1, "{csv}");
        ensure!(
            csv.lines()
                .any(|l| l.contains("bin_overflow,community") && l.ends_with(",1,1")),
            "late and escalated: {csv}"
        );
        let streams = gateway.drained(PATIENT)?;
        ensure!(streams.contains_key("alerts"), "{streams:?}");
        gateway.stop()
    });
}

/// What somebody reads in the street office on the morning after, although neither it nor the
/// station was up when it was due.
#[test]
fn the_figures_of_a_day_come_over_a_broker_once() {
    play("digest", |dir| {
        let clock = FakeClock::new(&dir.join("clock"))?;
        let broker = Mosquitto::start(&dir.join("broker"), "")?;
        let mut street = Platform::mqtt(&dir.join("street"), broker.port())?;
        let port = place::free_port()?;
        let toml = bins(port) + &street.uplink("tier = \"street\"\nstreams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start_with(&clock.env())?;
        let burns = |street: &Platform, bin: u32| {
            let reading = json!({ "id": format!("bin-{bin}"), "seq": bin, "temperature": 70 });
            let topic = format!("bins/bin-{bin}/up");
            mosquitto::publish(port, &topic, reading.to_string().as_bytes(), &[])?;
            alert_of(street, &format!("bin-{bin}"), "bin_fire", "raised").map(drop)
        };
        burns(&street, 1)?;
        burns(&street, 2)?;

        gateway.stop()?;
        street.kill()?;
        clock.off_by(2 * DAY)?;
        gateway.start_with(&clock.env())?;
        until("the digest to wait", PATIENT, || {
            let streams = gateway.streams()?;
            Ok(streams.get("digest").filter(|s| s.held == 1).map(drop))
        })?;
        gateway.kill()?;
        gateway.start_with(&clock.env())?;
        street.restart()?;
        let digests = || -> Result<Vec<Event>> {
            let mut events = street.received()?.events;
            events.retain(|e| e.event_type == "cn.wangge.digest.v1");
            Ok(events)
        };
        let digest = until("the digest", PATIENT, || Ok(digests()?.into_iter().next()))?;
        let data = &digest.body["data"];
        let rows = data["rows"].as_array().context("no rows")?;
        let fires = rows.iter().filter(|row| row["kind"] == "bin_fire");
        let received: u64 = fires.filter_map(|row| row["received"].as_u64()).sum();
        ensure!(received == 2, "{data}");

        // The next start does not send it again.
        gateway.stop()?;
        gateway.start_with(&clock.env())?;
        burns(&street, 3)?;
        gateway.drained(PATIENT)?;
        ensure!(digests()?.len() == 1, "{:?}", digests()?);
        gateway.stop()
    });
}

fn private(file: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
