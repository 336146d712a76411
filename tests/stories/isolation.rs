//! A station's account is good for its own topics only, on either broker that is shipped for.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use wangge_tests::{
    account::Gate,
    mosquitto::{Mosquitto, as_root},
    nats::Cluster,
    place, play, until,
};

use crate::words::SOON;

/// Long enough for a message that must not come to have come.
const SETTLED: Duration = Duration::from_millis(500);

/// The shipped configuration with the shipped tool's accounts, on another port and in another
/// folder.
fn district(dir: &Path) -> Result<(Mosquitto, Gate)> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("stations.txt"), "A\nB\nC\n")?;
    fs::write(
        dir.join("fleet.toml"),
        "name = \"district\"\n[[node]]\nname = \"n1\"\naddress = \"127.0.0.1\"\n",
    )?;
    let made = Command::new("python3")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(place::root().join("deploy/fleet/wangge_fleet"))
        .args([
            "build",
            "fleet.toml",
            "--broker",
            "mosquitto",
            "--out",
            "out",
        ])
        .current_dir(dir)
        .output()?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "wangge_fleet: {said}");
    let shipped = place::root().join("deploy/mosquitto");
    let node = dir.join("out/nodes/n1");
    fs::copy(shipped.join("acl"), node.join("acl"))?;
    let text = fs::read_to_string(shipped.join("wangge.conf"))?
        .replace("/etc/mosquitto/wangge", &node.display().to_string());
    let location = dir.join("store");
    fs::create_dir_all(&location)?;
    let broker = Mosquitto::of(dir, |port| {
        let listener = format!("listener {port} 127.0.0.1");
        // What Debian's own file says.
        text.replace("listener 8883", &listener)
            + as_root()
            + &format!(
                "persistence true\npersistence_location {}/\n",
                location.display()
            )
    })?;
    let gate = Gate {
        port: broker.port(),
        ca: node.join("ca.pem"),
        passwords: dir.join("out/passwords"),
    };
    Ok((broker, gate))
}

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
        let (_broker, gate) = district(&dir.join("broker"))?;
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
