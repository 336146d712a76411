//! A station whose clock is wrong: it starts in 1970, leaps a year either way, and cannot reach a
//! platform because of it. Nothing is lost, everything can be dated afterwards, and who is to
//! blame is said.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wangge_tests::{
    faketime::FakeClock,
    gateway::Gateway,
    mosquitto::Mosquitto,
    place,
    platform::{Event, Platform},
    play, until,
};

use crate::words::{Bins, PATIENT};

const YEAR: i64 = 365 * 86_400;

/// A bin of a broker's that a test fills and empties.
struct Bin<'a> {
    broker: &'a Mosquitto,
    seq: u32,
}

impl Bin<'_> {
    /// Publishes until the platform has what comes of it: a first message may pass unseen while
    /// the subscription is under way.
    fn reads(
        &mut self,
        fill: u32,
        platform: &Platform,
        state: &str,
        count: usize,
    ) -> Result<Event> {
        until(&format!("alert {count} that is {state}"), PATIENT, || {
            self.seq += 1;
            let reading = format!(r#"{{"id":"box-1","seq":{},"fill":{fill}}}"#, self.seq);
            self.broker.publish("street/box-1", reading.as_bytes())?;
            std::thread::sleep(Duration::from_millis(500));
            let received = platform.received()?;
            let mut found = received.alerts().filter(|e| {
                e.body["data"]["kind"] == "bin_overflow" && e.body["data"]["state"] == state
            });
            Ok(found.nth(count - 1).cloned())
        })
    }
}

fn seconds(event: &Value, key: &str) -> Result<u64> {
    let text = event[key].as_str().context("no such attribute")?;
    Ok(text.parse::<u64>()? / 1_000)
}

/// RFC 3339 in UTC as Unix seconds, by `date`.
fn unix(text: &str) -> Result<u64> {
    let output = std::process::Command::new("date")
        .args(["-u", "+%s", "-d", text])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

#[test]
fn a_clock_that_starts_in_1970_and_leaps_a_year_either_way() {
    play("clock_leaps", |dir| {
        let clock = FakeClock::new(&dir.join("clock"))?;
        let field = Mosquitto::start(&dir.join("field"), "")?;
        let mut up = Mosquitto::start(&dir.join("up"), "")?;
        let platform = Platform::mqtt(&dir.join("platform"), up.port())?;
        let listen = place::free_port()?;
        let toml = format!(
            "[[broker]]\nname = \"field\"\nurl = \"mqtt://127.0.0.1:{}\"\n\n\
             [[device]]\nid = \"box-1\"\nprofile = \"wangge-bin\"\nheight = \"1.2m\"\nvia = \"field\"\ntopic = \"street/box-1\"\nmax_rate = 1000.0\n\n\
             [listen]\naddress = \"127.0.0.1:{listen}\"\n\n\
             [[device]]\nids = \"bin-{{1..9}}\"\nvia = \"listen\"\nprofile = \"wangge-bin\"\nheight = \"1.2m\"\nmax_rate = 1000.0\n\n\
             [[stream]]\nname = \"bins\"\ndevices = [\"bin-*\"]\n\n{}",
            field.port(),
            platform.uplink("streams = [\"bins\"]"),
        );
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        clock.set(Duration::from_secs(600))?;
        gateway.start_with(&clock.env())?;
        let mut bin = Bin {
            broker: &field,
            seq: 0,
        };

        // 1970: it is raised and delivered, and says what it knows.
        let raised = bin.reads(95, &platform, "raised", 1)?;
        ensure!(raised.body["clock"] == "unknown", "{}", raised.body);
        ensure!(
            raised.body["time"]
                .as_str()
                .is_some_and(|t| t.starts_with("1970")),
            "{}",
            raised.body
        );
        let notice = gateway.status()?["notices"].to_string();
        ensure!(
            notice.contains("the clock is not to be believed"),
            "{notice}"
        );

        // The time comes, and one message dates it all.
        let true_time = raised.received_ms / 1_000;
        clock.off_by(0)?;
        let record = until("the clock's message", PATIENT, || {
            let received = platform.received()?;
            Ok(received
                .events
                .iter()
                .find(|e| e.event_type == "cn.wangge.clock.v1")
                .cloned())
        })?;
        ensure!(
            record.body["bootid"] == raised.body["bootid"],
            "another start"
        );
        let booted = unix(
            record.body["data"]["booted_at"]
                .as_str()
                .unwrap_or_default(),
        )?;
        let made = booted + seconds(&raised.body, "uptimems")?;
        ensure!(
            made.abs_diff(true_time) < 60,
            "made at {made} by the record, received at {true_time}"
        );
        // What is told from now on has the right times, of what began in 1970, too.
        let cleared = bin.reads(5, &platform, "cleared", 1)?;
        ensure!(cleared.body["data"]["alert_id"] == raised.body["data"]["alert_id"]);
        let began = unix(
            cleared.body["data"]["raised_at"]
                .as_str()
                .unwrap_or_default(),
        )?;
        ensure!(
            began.abs_diff(true_time) < 60,
            "raised at {began}, in truth {true_time}"
        );

        // A year ahead and a year back, while readings stream in and the platform is away: what
        // waits neither expires nor changes its order.
        let mut bins = Bins::new(listen);
        up.stop()?;
        for leap in [YEAR, -YEAR, 0] {
            clock.off_by(leap)?;
            bins.publish_for(Duration::from_secs(3))?;
        }
        up.restart()?;
        let acknowledged = bins.settle()?;
        ensure!(acknowledged > 50, "only {acknowledged} readings in all");
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;

        // Between the leaps alerts went on, in order, and nothing doubted is called certain.
        clock.off_by(YEAR)?;
        let ahead = bin
            .reads(96, &platform, "updated", 1)
            .or_else(|_| bin.reads(96, &platform, "raised", 2))?;
        ensure!(ahead.body["clock"] == "unknown", "{}", ahead.body);
        clock.off_by(0)?;
        gateway.drained(PATIENT)?;
        ordered(&platform)?;

        // And all of it can be proved.
        gateway.stop()?;
        crate::proof::whole(&gateway, &platform)
    });
}

/// Sealed messages stand in the platform's store in the order of their numbers: one uplink, no
/// pictures, nothing overtakes.
fn ordered(platform: &Platform) -> Result<()> {
    let received = platform.received()?;
    let sequences: Vec<u64> = received
        .events
        .iter()
        .filter_map(|e| e.body["sequence"].as_str()?.parse().ok())
        .collect();
    ensure!(
        sequences.iter().copied().eq(1..=sequences.len() as u64),
        "{sequences:?}"
    );
    Ok(())
}

#[test]
fn a_platform_that_cannot_be_reached_because_of_the_clock() {
    play("clock_tls", |dir| {
        let clock = FakeClock::new(&dir.join("clock"))?;
        let platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let toml = crate::words::bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        clock.off_by(YEAR)?;
        gateway.start_with(&clock.env())?;
        let mut bins = Bins::new(port);
        bins.publish_some(20)?;
        let year = 1970
            + (SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + YEAR as u64) / 31_556_952;
        let says = format!("this station's clock says {year}");
        let blamed = |gateway: &Gateway| -> Result<Option<()>> {
            let uplinks = gateway.status()?["uplinks"].to_string();
            Ok((uplinks.contains(&says) && uplinks.contains("valid until")).then_some(()))
        };
        until("the clock to be named", PATIENT, || blamed(&gateway))?;
        ensure!(gateway.log().contains(&says), "not in the log");
        clock.off_by(0)?;
        ensure!(bins.settle()? >= 20);
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;
        gateway.stop()
    });
}
