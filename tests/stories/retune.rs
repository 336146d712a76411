//! An installer changes a zone while the station runs.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use wangge_tests::{gateway::Gateway, place, platform::Platform, play, rtsp::Camera, until};

use crate::words::{SOON, alert, alert_of, camera};

/// The whole picture, as the story's camera is configured.
const EVERYWHERE: &str = "[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]";
/// Where nobody walks.
const SKY: &str = "[[0.0, 0.0], [0.3, 0.0], [0.3, 0.1], [0.0, 0.1]]";

#[test]
fn a_zone_is_moved_and_taken_away_while_the_station_runs() {
    play("retune", |dir| {
        let clip = place::clip("vtest-h264.mp4")?;
        let eye = Camera::start(&[("main", &clip)], 0, None, &dir.join("camera.log"))?;
        let platform = Platform::https(&dir.join("platform"))?;
        let of_people = camera(&eye.url("main"), "")? + &platform.uplink("");
        let of_sky = of_people.replace(EVERYWHERE, SKY);
        let mut gateway = Gateway::new(&dir.join("gateway"), &of_sky)?;
        gateway.start()?;
        let first = until("a vision child", SOON, || gateway.vision())?;

        reload(&mut gateway, &of_people, "zone \"everywhere\" polygon")?;
        let raised = alert_of(&platform, "gate", "public_space_encroachment", "raised")?;
        let hash = |alert: &wangge_tests::platform::Event| alert.body["confighash"].clone();
        ensure!(
            gateway.vision()?.is_some_and(|pid| pid != first),
            "another child looks"
        );

        let zone = of_people.find("[[camera.zone]]").unwrap_or_default();
        let without = of_people[..zone].to_owned() + &platform.uplink("");
        reload(&mut gateway, &without, "zone \"everywhere\"")?;
        let id = raised.body["data"]["alert_id"].clone();
        let cleared = alert(&platform, "its end", SOON, |data| {
            data["alert_id"] == id && data["state"] == "cleared"
        })?;
        ensure!(
            hash(&raised) != hash(&cleared),
            "each names the file that it was made by: {} and {}",
            raised.body,
            cleared.body
        );
        let faults: Vec<_> = platform
            .received()?
            .alerts()
            .filter(|a| a.body["data"]["kind"] == "vision_fault")
            .cloned()
            .collect();
        ensure!(faults.is_empty(), "{faults:?}");
        gateway.stop()
    });
}

fn reload(gateway: &mut Gateway, toml: &str, taken_up: &str) -> Result<()> {
    gateway.configure(toml)?;
    let process = gateway.process()?;
    process.signal(Signal::HUP)?;
    process.ready(taken_up, SOON, |log| {
        let said = log.lines().filter(|line| line.contains("read again"));
        Ok(said
            .last()
            .is_some_and(|line| line.contains(taken_up))
            .then_some(()))
    })
}
