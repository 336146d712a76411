//! What the platform decides comes back: verdicts, and commands that are signed.

use std::path::Path;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use wangge_tests::{
    gateway::{Gateway, wangge},
    mosquitto::Mosquitto,
    mqtt::Publisher,
    place,
    platform::Platform,
    play, until,
};

use crate::words::{PATIENT, SOON, bins};

/// One station, one platform, and what they say to each other.
struct Scene {
    platform: Platform,
    gateway: Gateway,
    bins: Publisher,
    readings: u64,
    toml: String,
    /// File of the platform's signing key.
    key: String,
}

impl Scene {
    fn open(dir: &Path, platform: Platform, more: &str) -> Result<Scene> {
        let port = place::free_port()?;
        let (file, key) = platform.key("commands.key")?;
        let toml = bins(port)
            + &platform.uplink("")
            + &format!("[commands]\nkeys = [\"{key}\"]\n\n[verdicts]\nreopen_after = \"2s\"\n\n")
            + more;
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        Ok(Scene {
            platform,
            gateway,
            bins: Publisher::new(port, "bins"),
            readings: 0,
            toml,
            key: file.display().to_string(),
        })
    }

    /// `bin-1` says how full it is.
    fn reads(&mut self, fill: u64) -> Result<()> {
        self.readings += 1;
        let seq = self.readings;
        let reading = json!({ "id": "bin-1", "seq": seq, "fill": fill }).to_string();
        let topic = "bins/bin-1/up";
        self.bins
            .publish(seq, topic, reading.into_bytes(), PATIENT)?;
        self.bins.settle(PATIENT)
    }

    /// The newest message about the bin's alert in this state.
    fn alert(&self, event_type: &str, after: usize) -> Result<Value> {
        let wanted = format!("cn.wangge.alert.{event_type}.v1");
        until(&format!("an alert {event_type}"), PATIENT, || {
            let received = self.platform.received()?;
            let mut alerts = received.alerts().skip(after);
            let found = alerts.find(|e| e.event_type == wanted);
            Ok(found.map(|e| e.body["data"].clone()))
        })
    }

    /// Sends it and waits for its answer.
    fn send(&self, what: &[&str]) -> Result<Value> {
        let id = self.platform.send(what)?;
        self.answer(&id, 0)
    }

    fn answer(&self, id: &str, after: usize) -> Result<Value> {
        until(&format!("an answer to {id}"), PATIENT, || {
            let received = self.platform.received()?;
            let answer = received.answers(id).nth(after);
            Ok(answer.map(|e| e.body["data"].clone()))
        })
    }

    fn signed<'a>(&'a self, what: &[&'a str]) -> Vec<&'a str> {
        [what, &["--key", &self.key]].concat()
    }
}

fn result(answer: &Value) -> &str {
    answer["result"].as_str().unwrap_or_default()
}

/// The same over both transports.
fn verdicts_and_commands(scene: &mut Scene) -> Result<()> {
    scene.reads(30)?;
    scene.reads(97)?;
    let raised = scene.alert("raised", 0)?;
    let id = raised["alert_id"].as_str().unwrap_or_default().to_owned();
    let alert = ["--alert", id.as_str()];
    let verdict = |status: &'static str| [&["verdict", "--status", status][..], &alert].concat();

    // Filed, twice under the same id: the second time it is a repeat.
    let filed = [
        &["--id", "v-filed"][..],
        &verdict("filed"),
        &["--case-no", "案2026-17", "--at", "2026-01-01T00:00:00Z"],
    ]
    .concat();
    ensure!(result(&scene.send(&filed)?) == "applied");
    // Killed in between: the answer was durable, and so is what it says.
    scene.gateway.kill()?;
    scene.gateway.start()?;
    scene.platform.send(&filed)?;
    ensure!(result(&scene.answer("v-filed", 1)?) == "repeated");

    // Closed while the bin is still full: over, and after the grace it is back and says so.
    ensure!(result(&scene.send(&verdict("closed"))?) == "applied");
    let cleared = scene.alert("cleared", 0)?;
    ensure!(cleared["verdict"] == "closed" && cleared["alert_id"] == id.as_str());
    scene.reads(98)?;
    let before = scene.platform.received()?.alerts().count();
    let reopened = scene.alert("updated", before.saturating_sub(1))?;
    ensure!(reopened["alert_id"] == id.as_str());
    ensure!(
        reopened["text"]["en"]
            .as_str()
            .unwrap_or_default()
            .contains("still there"),
        "{reopened}"
    );

    // Rejected: quiet, however full it is.
    let before = scene.platform.received()?.alerts().count();
    let rejected = [&verdict("rejected")[..], &["--reason", "空桶,传感器误报"]].concat();
    ensure!(result(&scene.send(&rejected)?) == "applied");
    let cleared = scene.alert("cleared", before)?;
    ensure!(cleared["verdict"] == "rejected", "{cleared}");
    let before = scene.platform.received()?.alerts().count();
    for fill in [99, 40, 97, 20, 96] {
        scene.reads(fill)?;
    }

    // Nobody's alert.
    let nobody = [
        "verdict",
        "--status",
        "filed",
        "--alert",
        "01936b2a-7c4e-7a10-8b1c-0123456789ac",
    ];
    ensure!(result(&scene.send(&nobody)?) == "unknown_alert");

    // Commands: another's key, the right one, a rule that is not there, and too long.
    let silence = [
        "silence", "--device", "bin-2", "--rule", "overflow", "--until",
    ];
    let (stranger, _) = scene.platform.key("stranger.key")?;
    let stranger = stranger.display().to_string();
    let until_soon = [&silence[..], &["2020-01-01T00:00:00Z"]].concat();
    let forged = [&until_soon[..], &["--key", &stranger]].concat();
    ensure!(result(&scene.send(&forged)?) == "forbidden");
    let good = scene.signed(&until_soon);
    let answer = scene.send(&good)?;
    ensure!(result(&answer) == "applied", "{answer}");
    let far = [&silence[..], &["2099-01-01T00:00:00Z"]].concat();
    ensure!(result(&scene.send(&scene.signed(&far))?) == "invalid");
    let no_zone = ["picture", "--camera", "gate", "--zone", "yard"];
    ensure!(result(&scene.send(&scene.signed(&no_zone))?) == "failed");
    let late = scene.signed(&["reload", "--valid", "0"]);
    ensure!(result(&scene.send(&late)?) == "expired");

    // The file, broken and then good: by command and by signal.
    std::fs::write(scene.gateway.config(), "[station")?;
    let answer = scene.send(&scene.signed(&["reload"]))?;
    ensure!(result(&answer) == "failed", "{answer}");
    let lower = "[[device.rule]]\nid = \"overflow\"\nraise = 50\nclear = 40\n\n[[stream]]";
    scene
        .gateway
        .configure(&scene.toml.replacen("[[stream]]", lower, 1))?;
    let answer = scene.send(&scene.signed(&["reload"]))?;
    ensure!(result(&answer) == "applied", "{answer}");
    let said = answer["reason"].as_str().unwrap_or_default();
    ensure!(said.contains("taken up") && said.contains("rule"), "{said}");
    scene.gateway.process()?.signal(Signal::HUP)?;
    scene
        .gateway
        .process()?
        .ready("SIGHUP to be heard", SOON, |log| {
            Ok(log.contains("read again: nothing changed").then_some(()))
        })?;

    // What people see.
    let status = scene.gateway.status()?;
    let verdicts = &status["verdicts"];
    ensure!(verdicts["recent"][0]["status"] == "rejected", "{verdicts}");
    let row = &verdicts["precision"][0];
    ensure!(row["right"] == 0 && row["wrong"] == 1, "{row}");
    ensure!(
        scene.platform.received()?.alerts().count() == before,
        "something was said of what was rejected"
    );
    let config = scene.gateway.config().display().to_string();
    let page = wangge(&["verdicts", "--config", &config])?;
    ensure!(String::from_utf8_lossy(&page.stdout).contains("rejected"));
    let log = wangge(&["audit", "show", "--config", &config])?;
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    ensure!(log.contains("silence of bin-2 rule overflow"), "{log}");
    ensure!(!log.contains("stranger"), "{log}");
    scene.gateway.drained(PATIENT)?;
    Ok(())
}

#[test]
fn verdicts_over_https() {
    play("verdicts_https", |dir| {
        let platform = Platform::https(&dir.join("platform"))?;
        let mut scene = Scene::open(dir, platform, "")?;
        verdicts_and_commands(&mut scene)?;
        scene.gateway.stop()
    });
}

#[test]
fn verdicts_over_mqtt() {
    play("verdicts_mqtt", |dir| {
        let broker = Mosquitto::start(&dir.join("broker"), "")?;
        let platform = Platform::mqtt(&dir.join("platform"), broker.port())?;
        let mut scene = Scene::open(dir, platform, "")?;
        // Whatever else is published there is passed over, and counted.
        let many: Vec<_> = (0..10_000)
            .map(|n| json!({ "id": n.to_string() }))
            .collect();
        let many = json!(many).to_string();
        until("garbage to be counted", PATIENT, || {
            // Again until the station listens.
            for topic in ["verdicts", "commands"] {
                let topic = format!("wangge/v1/story/{topic}");
                for garbage in [&b"\xff\xfe"[..], b" ", b"[{]", many.as_bytes()] {
                    broker.publish(&topic, garbage)?;
                }
            }
            let status = scene.gateway.status()?;
            let garbled = status["uplinks"][0]["garbled"].as_u64();
            Ok(garbled.is_some_and(|n| n >= 8).then_some(()))
        })?;
        verdicts_and_commands(&mut scene)?;
        scene.gateway.stop()
    });
}

#[test]
fn a_picture_on_demand() {
    play("picture_on_demand", |dir| {
        let platform = Platform::https(&dir.join("platform"))?;
        let camera = format!(
            "[vision]\nmodel = \"{}\"\nonnxruntime = \"{}\"\n\n\
             [[camera]]\nid = \"gate\"\nfile = \"{}\"\nrepeat = true\n\n\
             [[camera.zone]]\nid = \"yard\"\nkind = \"illegal_dumping\"\nlabels = [\"person\"]\n\
             polygon = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]\ndwell = \"1h\"\n\n",
            place::model()?.display(),
            place::onnxruntime()?.display(),
            place::clip("vtest-h264.mp4")?.display()
        );
        let mut scene = Scene::open(dir, platform, &camera)?;
        let asked = scene.signed(&["picture", "--camera", "gate", "--zone", "yard"]);
        let answer = scene.send(&asked)?;
        ensure!(result(&answer) == "applied", "{answer}");
        let received = scene.platform.received()?;
        let id = answer["in_reply_to"].as_str().unwrap_or_default();
        let answers: Vec<_> = received.answers(id).collect();
        let [event] = answers.as_slice() else {
            anyhow::bail!("{answers:?}");
        };
        let pictures = received.evidence(event)?;
        ensure!(pictures.len() == 1, "{pictures:?}");
        ensure!(answer["evidence"][0]["role"] == "requested", "{answer}");
        let other = scene.signed(&["picture", "--camera", "gate", "--zone", "moon"]);
        ensure!(result(&scene.send(&other)?) == "failed");
        scene.gateway.drained(PATIENT)?;
        scene.gateway.stop()
    });
}
