//! What nobody should send, and a disk that has no room: each is named once, and the rest goes on.

use std::{collections::BTreeMap, fs, process::Command, time::Duration};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use wangge_tests::{
    gateway::Gateway,
    modbus::{ModbusServer, Registers},
    mosquitto, place,
    platform::Platform,
    play, until,
};

use crate::words::{Bins, PATIENT, SOON, alert_of, bins};

#[test]
fn garbage_from_one_bin_never_disturbs_the_others() {
    play("garbage", |dir| {
        let platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let evil = "[[device]]\nid = \"evil\"\nprofile = \"wangge-bin\"\nheight = \"1m\"\n";
        let toml = bins(port) + evil + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        bins.publish_for(Duration::from_secs(1))?;

        let deep = "[".repeat(20_000);
        let large = format!("{{\"id\":\"evil\",\"pad\":\"{}\"}}", "x".repeat(100_000));
        let garbage: [&[u8]; 9] = [
            b"",
            b"{",
            b"\xff\xfe\x00",
            br#"{"id":"evil","fill":NaN}"#,
            br#"{"id":"evil","fill":"full"}"#,
            br#"{"id":"bin-1","fill":99}"#,
            br#"{"id":"evil","fill":1e400}"#,
            deep.as_bytes(),
            large.as_bytes(),
        ];
        for _ in 0..3 {
            for payload in garbage {
                // The gateway may hang up on some of it, which is no failure here.
                let _ = mosquitto::publish(port, "bins/evil/up", payload, &["-r"]);
            }
            let _ = mosquitto::publish(port, "bins/nobody/up", b"{}", &[]);
            let _ = mosquitto::publish(port, "$SYS/x", b"{}", &[]);
        }
        let told = alert_of(&platform, "evil", "device_quarantined", "raised")?;
        let zh = told.body["data"]["text"]["zh"].as_str().unwrap_or_default();
        ensure!(zh.contains("设备异常隔离:") && zh.contains("报文"), "{zh}");
        bins.publish_for(Duration::from_secs(1))?;
        bins.settle()?;
        gateway.drained(PATIENT)?;
        let received = platform.received()?;
        bins.all_arrived(&received)?;
        let said = received
            .raised()
            .filter(|e| e.body["data"]["kind"] == "device_quarantined")
            .count();
        ensure!(said == 1, "said {said} times, once is enough");
        ensure!(
            !received
                .raised()
                .any(|e| e.body["data"]["device"] == "bin-1"),
            "a bin was blamed for what another sent in its name"
        );
        gateway.stop()
    });
}

#[test]
fn a_meter_that_refuses_and_one_that_is_silent() {
    play("meters", |dir| {
        let flow = |litres| Registers {
            holding: BTreeMap::from([(4, litres)]),
            input: BTreeMap::new(),
        };
        // Unit 2 has another register than the one it is asked for.
        let other = Registers {
            holding: BTreeMap::from([(90, 1)]),
            input: BTreeMap::new(),
        };
        let units = BTreeMap::from([(1, flow(900)), (2, other)]);
        let mut meters = ModbusServer::start(&units, 0, &dir.join("meters"))?;
        let platform = Platform::https(&dir.join("platform"))?;
        let toml = format!(
            r#"
[[bus]]
name = "meters"
tcp = "127.0.0.1:{port}"

[profile.litres]
title = "Meter with one register"
point = [{{ quantity = "flow", parts = [{{ address = 4, format = "u16" }}], scale = 0.001 }}]

[[device]]
ids = "meter-{{1..2}}"
profile = "litres"
bus = "meters"
unit_id = "1..2"
every = "500ms"

[[stream]]
name = "meters"

{uplink}"#,
            port = meters.port(),
            uplink = platform.uplink("streams = [\"meters\"]")
        );
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        // The refusal is one meter's and says so; the other is read all the same.
        let fault = until("an alert about the refusal", PATIENT, || {
            let received = platform.received()?;
            Ok(received
                .raised()
                .find(|e| e.body["data"]["device"] == "meter-2")
                .cloned())
        })?;
        let text = &fault.body["data"]["text"];
        let said = |language: &str| text[language].as_str().unwrap_or_default();
        ensure!(
            said("en").contains("refuses") && said("en").contains("Illegal data address"),
            "{text}"
        );
        ensure!(
            said("zh").contains("拒绝") && said("zh").contains("非法数据地址"),
            "{text}"
        );
        until("readings of the good meter", SOON, || {
            Ok((platform.received()?.readings("meters").count() > 4).then_some(()))
        })?;
        let of_the_bad = platform
            .received()?
            .readings("meters")
            .filter(|r| r["device"] == "meter-2")
            .count();
        ensure!(
            of_the_bad == 0,
            "{of_the_bad} readings of a meter that refused"
        );

        meters.process().signal(Signal::STOP)?;
        alert_of(&platform, "meter-1", "device_silent", "raised")?;
        meters.process().signal(Signal::CONT)?;
        alert_of(&platform, "meter-1", "device_silent", "cleared")?;
        gateway.stop()
    });
}

/// A small file system of its own, unmounted at the end.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(path: std::path::PathBuf, megabytes: u32) -> Result<Option<Mount>> {
        fs::create_dir_all(&path)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none"])
            .arg(&path)
            .output()?;
        Ok(mounted.status.success().then_some(Mount(path)))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_loses_nothing() {
    play("full_disk", |dir| {
        let Some(disk) = Mount::tmpfs(dir.join("gateway/storage"), 96)? else {
            println!("skipped: a full disk: mounting needs root");
            return Ok(());
        };
        let platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        bins.publish_for(Duration::from_secs(1))?;
        bins.settle()?;
        // Everything but some pages is taken by somebody else.
        let ballast = disk.0.join("somebody-elses");
        let _ = Command::new("dd")
            .args([
                "if=/dev/zero",
                "bs=4k",
                &format!("of={}", ballast.display()),
            ])
            .output()?;
        bins.publish_some(60)?;
        until("the gateway to say that it accepts nothing", SOON, || {
            let status = gateway.status()?;
            Ok(status["storage"]["refusing"].is_string().then_some(()))
        })?;
        fs::remove_file(&ballast)?;
        bins.settle()?;
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;
        gateway.stop()
    });
}
