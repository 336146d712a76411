//! A station's account is good for its own topics only, on either broker that is shipped for.

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use wangge_tests::{account::Gate, mosquitto::Mosquitto, nats::Cluster, play, until};

use crate::words::SOON;

/// Long enough for a message that must not come to have come.
const SETTLED: Duration = Duration::from_millis(500);

/// A, with a password of its own, tries all it can to speak and hear as B. Returns how often B
/// had to connect. An account has one connection at a time: Mosquitto is told so.
fn a_is_not_b(gate: &Gate, version: &str, dir: &Path) -> Result<usize> {
    let log = |name: &str| dir.join(format!("{name}-{version}.log"));
    let publish = |user: &str, id: &str, topic: &str, payload: &str| {
        let topic = format!("wangge/v1/{topic}");
        gate.publish(user, version, &["-i", id, "-t", &topic, "-m", payload])
    };
    let mut b = gate.listen(
        "B",
        version,
        &log("b"),
        &["-i", "b", "-t", "wangge/v1/B/receipts"],
    )?;

    // Speaking: as B, as the platform, and under B's client id.
    let topics =
        ["alerts", "gaps", "telemetry/+", "evidence/#"].map(|t| format!("wangge/v1/+/{t}"));
    let mut all: Vec<&str> = topics.iter().flat_map(|t| ["-t", t]).collect();
    all.extend(["-i", "p"]);
    let platform = gate.listen("platform", version, &log("platform"), &all)?;
    for topic in [
        "B/alerts",
        "B/gaps",
        "B/telemetry/bins",
        "B/evidence/00",
        "B/receipts",
        "A/receipts",
    ] {
        publish("A", "a", topic, "forged")?;
    }
    publish("A", "b", "A/alerts", "as-b-id")?;
    publish("C", "c", "C/alerts", "from-c")?;
    until("what is allowed to arrive", SOON, || {
        let log = platform.log();
        let there = log.contains("wangge/v1/C/alerts from-c");
        Ok((there && log.contains("wangge/v1/A/alerts as-b-id")).then_some(()))
    })?;
    let heard = platform.log();
    ensure!(
        !heard.contains("forged"),
        "{version}: A spoke as B:\n{heard}"
    );
    drop(platform);

    // Hearing: refused, or granted and never served, either will do.
    for (n, topic) in [
        "wangge/v1/B/receipts",
        "wangge/v1/B/commands",
        "wangge/v1/+/alerts",
        "#",
        "$MQTT/msgs/#",
    ]
    .into_iter()
    .enumerate()
    {
        let spy = log(&format!("spy-{n}"));
        let _running = gate.listen("A", version, &spy, &["-i", "a", "-t", topic]);
        let word = format!("for-b-{n}");
        until("a receipt for B", SOON, || {
            publish("platform", "p", "B/commands", &word)?;
            publish("C", "c", "C/alerts", &word)?;
            publish("platform", "p", "B/receipts", &word)?;
            Ok(b.log().contains(&word).then_some(()))
        })?;
        std::thread::sleep(SETTLED);
        let heard = fs::read_to_string(&spy)?;
        ensure!(
            !heard.contains("for-b"),
            "{version}: A heard what is B's on {topic}:\n{heard}"
        );
    }
    b.still_running()?;
    let wrong = gate.publish("A", version, &["-P", "wrong", "-t", "x", "-m", "x"])?;
    ensure!(
        !wrong.status.success(),
        "{version}: a wrong password is good"
    );
    ensure!(
        !b.log().contains("forged"),
        "{version}: A answered B as the platform"
    );
    Ok(b.log().matches("sending CONNECT").count())
}

#[test]
fn on_mosquitto() {
    play("isolation_mosquitto", |dir| {
        let (_broker, gate) = Mosquitto::district(&dir.join("broker"), &["A", "B", "C"])?;
        for version in ["mqttv311", "mqttv5"] {
            let connects = a_is_not_b(&gate, version, dir)?;
            ensure!(connects == 1, "{version}: A displaced B by its client id");
        }
        Ok(())
    });
}

#[test]
fn on_nats() {
    play("isolation_nats", |dir| {
        let cluster = Cluster::start(&dir.join("cluster"), &["A", "B", "C"])?;
        // A client id is not bound to an account there: A can displace B for a moment, and no
        // more than that.
        a_is_not_b(&cluster.gate(1), "mqttv311", dir)?;
        Ok(())
    });
}
