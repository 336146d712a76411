//! Somebody else's broker, meter, camera and an HTTPS platform: every source raises an alert,
//! every alert arrives with its pictures and is acknowledged, and what ends is cleared.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use anyhow::{Result, ensure};
use wangge_tests::{
    gateway::Gateway,
    modbus::{ModbusServer, Registers},
    mosquitto::Mosquitto,
    place,
    platform::Platform,
    play,
    rtsp::Camera,
    until,
};

use crate::words::{PATIENT, alert_of, camera, secret};

/// A meter whose one flow register counts litres an hour.
fn flow(litres: u16) -> BTreeMap<u8, Registers> {
    let registers = Registers {
        holding: BTreeMap::from([(4, litres)]),
        input: BTreeMap::new(),
    };
    BTreeMap::from([(7, registers)])
}

#[test]
fn a_whole_station() {
    play("whole_station", |dir| {
        let broker = Mosquitto::start(&dir.join("broker"), "")?;
        let meter = ModbusServer::start(&flow(900), 0, &dir.join("meter"))?;
        let clip = place::clip("vtest-h264.mp4")?;
        let eye = Camera::start(
            &[("main", &clip)],
            0,
            Some(("viewer", "a secret")),
            &dir.join("camera.log"),
        )?;
        let platform = Platform::https(&dir.join("platform"))?;
        let password = secret(dir, "camera.password", "a secret")?;
        let toml = format!(
            r#"
[[broker]]
name = "field"
url = "mqtt://127.0.0.1:{broker}"

[[device]]
id = "bin-1"
profile = "wangge-bin"
height = "1.2m"
topic = "street/bin-1"

[[bus]]
name = "meters"
tcp = "127.0.0.1:{meter}"

[profile.litres]
title = "Meter with one register"
point = [{{ quantity = "flow", parts = [{{ address = 4, format = "u16" }}], scale = 0.001 }}]
rule = [{{ id = "burst", kind = "burst_suspected", type = "burst", flow = 5.0, hold = "1s" }}]

[[device]]
id = "meter-1"
profile = "litres"
bus = "meters"
unit_id = 7
every = "1s"

[[stream]]
name = "all"

{camera}
{uplink}"#,
            broker = broker.port(),
            meter = meter.port(),
            camera = camera(
                &eye.url("main"),
                &format!(
                    "username = \"viewer\"\npassword_file = \"{}\"",
                    password.display()
                )
            )?,
            uplink = platform.uplink("streams = [\"all\"]"),
        );
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;

        let reading = |seq: u32, distance: u32| {
            format!(
                r#"{{"id":"bin-1","seq":{seq},"distance":{distance},"temperature":21.5,"battery":88}}"#
            )
        };
        // The subscription may still be under way: a first message may pass unseen.
        let mut seq = 0;
        until("the bin's overflow", PATIENT, || {
            seq += 1;
            broker.publish("street/bin-1", reading(seq, 180).as_bytes())?;
            thread::sleep(Duration::from_secs(1));
            let received = platform.received()?;
            Ok(received
                .raised()
                .any(|e| e.body["data"]["kind"] == "bin_overflow")
                .then_some(()))
        })?;
        meter.set(&flow(9_000))?;

        let overflow = alert_of(&platform, "bin-1", "bin_overflow", "raised")?;
        let burst = alert_of(&platform, "meter-1", "burst_suspected", "raised")?;
        let person = alert_of(&platform, "gate", "public_space_encroachment", "raised")?;
        ensure!(
            overflow.body["data"]["source"] == "mqtt",
            "{}",
            overflow.body
        );
        ensure!(burst.body["data"]["source"] == "modbus", "{}", burst.body);
        ensure!(
            burst.body["data"]["measurement"]["value"] == 9.0,
            "{}",
            burst.body
        );
        ensure!(person.body["data"]["source"] == "camera", "{}", person.body);
        let received = platform.received()?;
        let pictures = received.evidence(&person)?;
        ensure!(!pictures.is_empty(), "no picture in {}", person.body);
        for picture in pictures {
            ensure!(
                fs::read(picture)?.starts_with(&[0xFF, 0xD8, 0xFF]),
                "{picture:?} is no JPEG"
            );
        }

        // What ends is cleared, under the same alert.
        meter.set(&flow(900))?;
        let over = alert_of(&platform, "meter-1", "burst_suspected", "cleared")?;
        ensure!(
            over.body["data"]["alert_id"] == burst.body["data"]["alert_id"],
            "another alert was cleared: {}",
            over.body
        );
        ensure!(
            platform
                .received()?
                .readings("all")
                .any(|r| r["device"] == "meter-1"),
            "no reading of the meter was forwarded"
        );
        gateway.drained(PATIENT)?;
        gateway.stop()
    });
}

#[test]
fn a_file_at_fault_is_refused_with_its_line() {
    play("file_at_fault", |dir| -> Result<()> {
        let file = dir.join("station.toml");
        fs::write(
            &file,
            "[station]\nid = \"a\"\nunit_grid = \"12\"\nlon = 1.0\nlat = 1.0\n\n[storage]\npath = \"x\"\nqota = \"2GB\"\n",
        )?;
        let output =
            wangge_tests::gateway::wangge(&["check", "--config", &file.display().to_string()])?;
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "accepted: {text}");
        for part in ["station.toml:3", "station.toml:9", "qota", "quota"] {
            ensure!(text.contains(part), "{part} is not in: {text}");
        }
        Ok(())
    });
}
