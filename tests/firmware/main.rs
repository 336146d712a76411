//! The sensor node's real image, in an emulator, asked by other people's masters and by the
//! gateway. Run with `cargo xtask test firmware`, which builds the image.

mod flash;
mod update;

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wangge_flash_sim::Flash;
use wangge_node::storage::{Snapshot, Storage};
use wangge_protocol::node::{Identity, NodeKind, holding, layout::DISCOVERY, log, status};
use wangge_tests::{
    gateway::Gateway,
    node::{EmulatedNode, Pages},
    place,
    platform::Platform,
    play, until,
};

/// Long enough for anything, on a machine that is busy.
const PATIENT: Duration = Duration::from_secs(90);
/// The unit id that a bare node has.
const UNIT: &str = "247";

/// `mbpoll`, which is built on libmodbus, for one request to registers of `table` (3 is input,
/// 4 is holding) from `first`.
fn mbpoll(node: &EmulatedNode, table: &str, first: u16) -> Command {
    mbpoll_unit(node, UNIT, table, first)
}

/// The same to another unit than a bare node's.
fn mbpoll_unit(node: &EmulatedNode, unit: &str, table: &str, first: u16) -> Command {
    let mut command = Command::new("mbpoll");
    command
        .args([
            "-m", "rtu", "-a", unit, "-b", "9600", "-P", "none", "-0", "-1", "-o", "3",
        ])
        .args(["-t", table, "-r", &first.to_string()]);
    command.arg(node.bus());
    command
}

/// Reads registers of a bare node.
fn read(node: &EmulatedNode, table: &str, first: u16, count: u16) -> Result<Vec<u16>> {
    values(mbpoll(node, table, first), count)
}

/// What `mbpoll` reads.
fn values(mut mbpoll: Command, count: u16) -> Result<Vec<u16>> {
    let output = mbpoll.args(["-c", &count.to_string()]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "mbpoll: {output:?}");
    let lines = text.lines().filter(|line| line.starts_with('['));
    lines
        .map(|line| {
            let value = line.split_whitespace().nth(1);
            Ok(value.context("a line without a value")?.parse()?)
        })
        .collect()
}

/// Reads input registers.
fn inputs(node: &EmulatedNode, first: u16, count: u16) -> Result<Vec<u16>> {
    read(node, "3", first, count)
}

/// Writes holding registers.
fn set(node: &EmulatedNode, first: u16, values: &[u16]) -> Result<()> {
    let values = values.iter().map(u16::to_string);
    let output = mbpoll(node, "4", first).args(values).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && text.contains("Written"),
        "{output:?}"
    );
    Ok(())
}

/// Waits until an input register has a value.
fn becomes(node: &EmulatedNode, register: u16, value: u16) -> Result<()> {
    until(
        &format!("register {register} to become {value}"),
        PATIENT,
        || {
            // An emulator that gets no time may miss a request; the next one will do.
            let now = inputs(node, register, 1).ok();
            Ok((now == Some(vec![value])).then_some(()))
        },
    )
}

#[test]
fn somebody_elses_master_reads_and_sets_it() {
    play("firmware_master", |dir| {
        let node = EmulatedNode::start(1_300, &dir.join("qemu.log"))?;
        becomes(&node, 33, 1_300)?;
        let who = inputs(&node, 0, 20)?;
        ensure!(
            who[..4] == [1, 1, 0x0100, 1],
            "map, kind, hardware, firmware: {who:?}"
        );
        ensure!(
            inputs(&node, 32, 3)? == [65_535, 1_300, 7],
            "a level before calibration"
        );
        set(&node, 16, &[1_300, 300])?;
        becomes(&node, 32, 0)?;
        node.sees(800);
        becomes(&node, 32, 500)?;
        // The same through function 03, for masters that know no other.
        let mirror = read(&node, "4", 0x4000 + 32, 2)?;
        ensure!(mirror == [500, 800], "{mirror:?}");
        for (refused, why) in [
            (
                set(&node, 16, &[1_300, 1_300]),
                "a bin that is full below its floor",
            ),
            (set(&node, 0, &[248]), "unit 248"),
            (set(&node, 0x4000, &[1]), "a read-only register"),
            (
                inputs(&node, 20, 1).map(drop),
                "a register that is not there",
            ),
        ] {
            ensure!(refused.is_err(), "accepted: {why}");
        }
        node.unplug_sensor();
        becomes(&node, 34, 2)?;
        ensure!(
            inputs(&node, 32, 2)? == [65_535, 65_535],
            "a figure without a sensor"
        );
        Ok(())
    });
}

#[test]
fn thousands_of_cycles_with_garbage_in_between_give_no_wrong_value() {
    play("firmware_cycles", |dir| {
        let node = EmulatedNode::start(1_100, &dir.join("qemu.log"))?;
        becomes(&node, 33, 1_100)?;
        for (cycles, garbage) in [("3000", None), ("300", Some("--garbage"))] {
            let output = Command::new(place::python()?)
                .arg(place::peer("rtu_master.py"))
                .arg(node.bus())
                .args([UNIT, "0", "4", cycles, "1", "1", "256", "1"])
                .args(garbage)
                .output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let counts: Value = serde_json::from_str(&text)
                .with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
            println!("{counts}");
            ensure!(counts["wrong"] == 0, "{counts}");
            let (asked, answered) = (counts["cycles"].as_u64(), counts["answered"].as_u64());
            let (asked, answered) = (asked.unwrap_or(0), answered.unwrap_or(0));
            ensure!(
                answered * 100 >= asked * 95,
                "too many without an answer: {counts}"
            );
        }
        Ok(())
    });
}

#[test]
fn a_bin_that_fills_becomes_an_alert() {
    play("firmware_alert", |dir| {
        let node = EmulatedNode::start(1_300, &dir.join("qemu.log"))?;
        becomes(&node, 33, 1_300)?;
        set(&node, 16, &[1_300, 300])?;
        let platform = Platform::https(&dir.join("platform"))?;
        let toml = format!(
            "[[bus]]\nname = \"street\"\nserial = \"{}\"\nbaud = 9600\n\n\
             [[device]]\nid = \"bin-1\"\nprofile = \"wangge-bin-node\"\nbus = \"street\"\nunit_id = {UNIT}\nevery = \"1s\"\n\n{}",
            node.bus().display(),
            platform.uplink("")
        );
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let told = |state: &str| -> Result<Option<Value>> {
            let received = platform.received()?;
            let of_bin =
                |e: &&Value| e["data"]["kind"] == "bin_overflow" && e["data"]["state"] == state;
            Ok(received.alerts().map(|e| &e.body).find(of_bin).cloned())
        };
        node.sees(350);
        let raised = until("the overflow", PATIENT, || told("raised"))?;
        ensure!(raised["data"]["measurement"]["value"] == 95.0, "{raised}");
        node.sees(1_200);
        until("its end", PATIENT, || told("cleared"))?;
        gateway.drained(PATIENT)?;
        gateway.stop()
    });
}

#[test]
fn flash_that_does_not_keep_anything_is_told() {
    play("firmware_storage", |dir| {
        let node = EmulatedNode::start(1_300, &dir.join("qemu.log"))?;
        becomes(&node, 33, 1_300)?;
        // The emulator's flash is a ROM. No storage, and nobody who provisioned it.
        ensure!(inputs(&node, 13, 1)? == [status::STORAGE | status::BARE]);
        let log = inputs(&node, 256, 65)?;
        let codes: Vec<u16> = log[1..].chunks(4).map(|entry| entry[2]).collect();
        ensure!(
            codes.contains(&log::STORAGE) && codes.contains(&log::STARTED),
            "{codes:?}"
        );
        let [supply, stack] = inputs(&node, 14, 2)?[..] else {
            anyhow::bail!("two registers were asked for");
        };
        ensure!(supply == 65_535, "a supply without a converter: {supply}");
        println!("{stack} bytes of stack were never used");
        ensure!((512..8_192).contains(&stack), "{stack} bytes of stack left");
        // A set-up is taken all the same, and lasts until the next start.
        set(&node, 16, &[1_300, 300])?;
        becomes(&node, 32, 0)
    });
}

/// A meter with unit id 7 and 100 pulses a cubic metre.
fn meter() -> Result<Identity> {
    Ok(Identity {
        kind: NodeKind::Meter,
        hardware: DISCOVERY.hardware,
        serial: 0x0001_0002_0003_0004,
        update_keys: [None; 2],
        initial: [(holding::UNIT_ID, 7), (holding::METER_PULSES, 100)]
            .into_iter()
            .collect(),
    })
}

#[test]
fn an_identity_page_makes_it_a_meter_with_its_own_unit_and_totals() {
    play("firmware_identity", |dir| {
        let region = 0..DISCOVERY.storage.size;
        let mut flash = Flash::new(DISCOVERY.storage.size as usize, 0);
        let (mut storage, _) = Storage::mount(&mut flash, region);
        let stored = Snapshot {
            totals: Some((1_234, 5)),
            starts: 41,
            ..Snapshot::default()
        };
        storage.save(&mut flash, &stored)?;
        let pages = Pages {
            identity: meter()?.to_bytes().to_vec(),
            storage: flash.bytes().to_vec(),
        };
        let node = EmulatedNode::with(&pages, 1_300, &dir.join("qemu.log"))?;
        let ask = |first, count| values(mbpoll_unit(&node, "7", "3", first), count);
        let who = until("the meter", PATIENT, || Ok(ask(0, 20).ok()))?;
        ensure!(who[1] == NodeKind::Meter as u16, "{who:?}");
        ensure!(who[6..10] == [1, 2, 3, 4], "serial: {who:?}");
        ensure!(who[12] == 42, "starts: {who:?}");
        ensure!(who[13] == status::STORAGE, "status: {who:?}");
        let volumes = ask(64, 9)?;
        ensure!(volumes == [0, 12_340, 0, 50, 0, 0, 0, 0, 0], "{volumes:?}");
        ensure!(
            inputs(&node, 0, 1).is_err(),
            "the bare node's unit answers, too"
        );
        Ok(())
    });
}

#[test]
fn a_damaged_identity_is_told_and_not_believed() {
    play("firmware_damaged", |dir| {
        let mut identity = meter()?.to_bytes().to_vec();
        identity[85] ^= 1;
        let pages = Pages {
            identity,
            storage: vec![0; DISCOVERY.storage.size as usize],
        };
        let node = EmulatedNode::with(&pages, 1_300, &dir.join("qemu.log"))?;
        becomes(&node, 33, 1_300)?;
        let who = inputs(&node, 0, 14)?;
        ensure!(
            who[1] == NodeKind::Bin as u16 && who[6..10] == [0; 4],
            "{who:?}"
        );
        ensure!(
            who[13] == status::STORAGE | status::SET_UP | status::IDENTITY,
            "{who:?}"
        );
        Ok(())
    });
}

#[test]
fn a_node_takes_its_new_unit_and_parity_after_the_answer() {
    play("firmware_line", |dir| {
        let node = EmulatedNode::start(1_300, &dir.join("qemu.log"))?;
        becomes(&node, 33, 1_300)?;
        // The emulator's line has no speed; what counts is that the node goes on.
        set(&node, 0, &[9, 192, 2])?;
        let ask = || values(mbpoll_unit(&node, "9", "4", 0), 3);
        let line = until("the new unit", PATIENT, || Ok(ask().ok()))?;
        ensure!(line == [9, 192, 2], "{line:?}");
        ensure!(inputs(&node, 0, 1).is_err(), "the old unit answers still");
        Ok(())
    });
}
