//! The technician's tool as built, from the guide, without a board: simulated chip, then the real
//! image in QEMU.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use wangge_tests::{Process, place, play};

use super::PATIENT;

/// Copies the discovery board's signed files.
fn images(dir: &Path) -> Result<()> {
    copy(dir, &["discovery.wgn", "discovery-boot.wgn"])
}

fn copy(dir: &Path, names: &[&str]) -> Result<()> {
    let images = env::var_os("WANGGE_FIRMWARE").map(PathBuf::from);
    let images = images.context("WANGGE_FIRMWARE is not set")?;
    for name in names {
        fs::copy(images.join(name), dir.join(name)).with_context(|| format!("no {name}"))?;
    }
    Ok(())
}

fn wangge(dir: &Path, arguments: &[&str]) -> Result<Output> {
    Command::new(place::program("wangge")?)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .env("LANG", "C")
        .output()
        .context("cannot start wangge")
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// The commands of a guide that can run without a board, as they stand there.
fn simulated(guide: &str) -> Result<Vec<Vec<String>>> {
    let path = place::root().join("docs/technician").join(guide);
    let markdown = fs::read_to_string(path)?;
    let commands = markdown
        .lines()
        .filter(|line| line.starts_with("wangge ") && line.contains("--simulate"));
    Ok(commands
        .map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect())
        .collect())
}

#[test]
fn the_guides_first_command_makes_a_node() {
    for (guide, passes) in [
        ("flashing.md", "PASS serial 1"),
        ("flashing.zh.md", "合格 序列号 1"),
    ] {
        play("firmware_flash", |dir| {
            images(dir)?;
            let commands = simulated(guide)?;
            ensure!(commands.len() == 1, "{guide}: {commands:?}");
            let arguments: Vec<&str> = commands[0].iter().map(String::as_str).collect();
            let output = wangge(dir, &arguments)?;
            let told = text(&output);
            println!("{told}");
            ensure!(output.status.success() && told.contains(passes), "{told}");
            let log = fs::read_to_string(dir.join("wangge-batch.csv"))?;
            ensure!(
                log.lines().count() == 2 && log.trim_end().ends_with(",yes"),
                "{log}"
            );
            for label in ["labels/simulated-1.png", "labels/simulated-1.pdf"] {
                ensure!(dir.join(label).is_file(), "no {label}");
            }
            Ok(())
        });
    }
}

#[test]
fn a_batch_of_meters_and_its_summary() {
    play("firmware_flash_batch", |dir| {
        images(dir)?;
        fs::write(dir.join("serials.txt"), "1001\n")?;
        let output = wangge(
            dir,
            &[
                "flash",
                "--simulate",
                "--development",
                "--image",
                "discovery.wgn",
                "--serials",
                "serials.txt",
                "--unit",
                "18",
                "--pulses-per-m3",
                "100",
                "--boards",
                "2",
                "--json",
            ],
        )?;
        let report: Value =
            serde_json::from_slice(&output.stdout).with_context(|| text(&output))?;
        ensure!(output.status.success(), "{}", text(&output));
        ensure!(
            report["passed"] == 2 && report["simulated"] == true,
            "{report}"
        );
        ensure!(report["boards"][1]["log"]["serial"] == 1_002, "{report}");
        ensure!(fs::read_to_string(dir.join("serials.txt"))? == "1003\n");
        // The label once more, from the log alone.
        let label = ["flash", "label", "--labels", "again", "--serial"];
        let again = wangge(dir, &[&label[..], &["1002"]].concat())?;
        ensure!(again.status.success(), "{}", text(&again));
        for name in ["simulated-1002.png", "simulated-1002.pdf"] {
            let [first, second] = ["labels", "again"].map(|folder| dir.join(folder).join(name));
            ensure!(fs::read(first)? == fs::read(second)?, "another {name}");
        }
        let nobody = wangge(dir, &[&label[..], &["7"]].concat())?;
        ensure!(nobody.status.code() == Some(2), "{}", text(&nobody));
        Ok(())
    });
}

#[test]
fn a_missing_sensor_and_a_damaged_image_are_told() {
    play("firmware_flash_faults", |dir| {
        images(dir)?;
        let flash = |more: &[&str]| {
            let mut arguments = vec![
                "flash",
                "--simulate",
                "--image",
                "discovery.wgn",
                "--serial",
                "7",
                "--height-mm",
                "1300",
            ];
            arguments.extend(more);
            wangge(dir, &arguments)
        };
        let output = flash(&["--development", "--simulate-mm", "0"])?;
        let told = text(&output);
        ensure!(output.status.code() == Some(1), "{told}");
        ensure!(
            told.contains("FAIL  distance") && told.contains("PA3"),
            "{told}"
        );
        for unwritable in [["--labels", "/proc/labels"], ["--log", "/proc/log.csv"]] {
            let output = flash(&["--development", unwritable[0], unwritable[1]])?;
            let told = text(&output);
            ensure!(
                output.status.code() == Some(2) && !told.contains("erase"),
                "{told}"
            );
        }
        let output = flash(&[])?;
        ensure!(
            output.status.code() == Some(2),
            "development without being asked: {}",
            text(&output)
        );
        let image = dir.join("discovery.wgn");
        let mut bytes = fs::read(&image)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&image, &bytes)?;
        let output = flash(&["--development"])?;
        ensure!(
            output.status.code() == Some(2) && text(&output).contains("damaged"),
            "{}",
            text(&output)
        );
        Ok(())
    });
}

/// Ctrl-C reaches everybody in the terminal, the emulator, too.
#[test]
fn ctrl_c_in_a_self_test_lets_it_end() {
    play("firmware_flash_ctrl_c", |dir| {
        images(dir)?;
        fs::write(dir.join("serials.txt"), "1001\n")?;
        let mut command = Command::new(place::program("wangge")?);
        command
            .args(["flash", "--simulate", "--development", "--batch"])
            .args(["--image", "discovery.wgn", "--serials", "serials.txt"])
            .args(["--height-mm", "1300"])
            .current_dir(dir)
            .env("LANG", "C");
        let mut tool = Process::start("flash", &command, &dir.join("flash.log"))?;
        tool.ready("the self-test", PATIENT, |log| {
            Ok(log.contains("self-test (").then_some(()))
        })?;
        let group = format!("-{}", tool.id());
        let sent = Command::new("kill").args(["-INT", "--", &group]).status()?;
        ensure!(sent.success(), "no signal to {group}");
        let ended = tool.wait(PATIENT)?;
        let told = tool.log();
        ensure!(
            ended.success() && told.contains("1 passed, 0 failed"),
            "{ended}: {told}"
        );
        Ok(())
    });
}

/// From the guide to updates: a node that needs no board is flashed, runs on, and is updated.
#[test]
fn an_update_is_practised_without_a_board() {
    play("firmware_flash_practice", |dir| {
        copy(dir, &["mps2.wgn", "mps2-boot.wgn", "mps2-next.wgn"])?;
        let commands = simulated("updates.md")?;
        ensure!(commands.len() == 1, "{commands:?}");
        let mut command = Command::new(place::program("wangge")?);
        command.args(&commands[0]).current_dir(dir).env("LANG", "C");
        let mut node = Process::start("node", &command, &dir.join("flash.log"))?;
        let bus = node.ready("the node", PATIENT, |log| {
            let line = log.lines().find(|line| line.contains("runs on"));
            Ok(line.and_then(|line| line.split_whitespace().nth(4).map(str::to_owned)))
        })?;
        ensure!(node.log().contains("PASS serial"), "{}", node.log());
        let update = [
            "node", "update", "--unit", "17", "--baud", "1200", "--serial", &bus,
        ];
        let output = wangge(dir, &[&update[..], &["mps2-next.wgn"]].concat())?;
        let told = text(&output);
        ensure!(
            output.status.success() && told.contains("(counter 2) runs and is confirmed"),
            "{told}"
        );
        node.signal(Signal::INT)?;
        let ended = node.wait(PATIENT)?;
        ensure!(ended.success(), "{ended}: {}", node.log());
        // Nobody is there any more.
        let gone = wangge(dir, &[&update[..], &["mps2-next.wgn"]].concat())?;
        ensure!(gone.status.code() == Some(3), "{}", text(&gone));
        Ok(())
    });
}
