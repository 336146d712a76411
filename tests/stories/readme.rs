//! What README.md and the receiver's guide show works as it stands there.

use std::{collections::HashSet, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use wangge_tests::{
    Process,
    gateway::{Gateway, wangge},
    place,
    platform::certificate,
    play,
};

use crate::words::{Bins, PATIENT, SOON, bins, secret};

/// The blocks of a fenced language, in order.
fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    markdown
        .split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .map(|block| block.to_owned() + "\n")
        .collect()
}

#[test]
fn the_readme_s_station_is_valid() {
    play("readme", |dir| {
        let readme = fs::read_to_string(place::root().join("README.md"))?;
        let toml = blocks(&readme, "toml").join("\n");
        ensure!(
            toml.contains("[[camera]]"),
            "no camera in the README's TOML"
        );
        secret(dir, "camera.password", "a secret")?;
        certificate(dir)?;
        fs::rename(dir.join("ca.pem"), dir.join("city-ca.pem"))?;
        let file = dir.join("station.toml");
        fs::write(&file, toml)?;
        let output = wangge(&["check", "--config", &file.display().to_string()])?;
        ensure!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    });
}

/// The receiver that the guide gives to platform teams, against the gateway as built.
#[test]
fn the_guide_s_python_receiver_loses_nothing() {
    play("python_receiver", |dir| {
        certificate(dir)?;
        let port = place::free_port()?;
        let store = dir.join("received");
        let mut receiver = receiver(dir, port, &store)?;
        let field = place::free_port()?;
        let uplink = format!(
            "[[uplink]]\nname = \"city\"\nurl = \"https://127.0.0.1:{port}/\"\nca_file = \"{}\"\nstreams = [\"bins\"]\n",
            dir.join("ca.pem").display()
        );
        let mut gateway = Gateway::new(&dir.join("gateway"), &(bins(field) + &uplink))?;
        gateway.start()?;
        let mut bins = Bins::new(field);
        bins.publish_for(Duration::from_secs(1))?;
        receiver.kill()?;
        bins.publish_for(Duration::from_secs(1))?;
        receiver = self::receiver(dir, port, &store)?;
        bins.settle()?;
        gateway.drained(PATIENT)?;
        bins.none_missing(&numbers_under(&store)?)?;
        receiver.still_running()?;
        gateway.stop()
    });
}

fn receiver(dir: &Path, port: u16, store: &Path) -> Result<Process> {
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(place::root().join("docs/operator/receiver.py"))
        .arg(port.to_string())
        .arg(store)
        .arg(dir.join("cert.pem"))
        .arg(dir.join("key.pem"));
    let mut process = Process::start("receiver.py", &command, &dir.join("receiver.log"))?;
    process.ready("the receiver to listen", SOON, |_| {
        Ok(std::net::TcpStream::connect(("127.0.0.1", port))
            .ok()
            .map(drop))
    })?;
    Ok(process)
}

/// Every `"seq":N` in the files of a folder.
fn numbers_under(folder: &Path) -> Result<HashSet<u64>> {
    let mut numbers = HashSet::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            numbers.extend(numbers_under(&path)?);
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path)?).replace('\\', "");
        for rest in text.split("\"seq\":").skip(1) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            numbers.extend(digits.parse::<u64>());
        }
    }
    Ok(numbers)
}

#[test]
fn the_sample_is_a_station_that_runs() {
    play("sample", |dir| {
        let output = wangge(&["config", "sample"])?;
        let sample = String::from_utf8(output.stdout)?
            .replace(
                "/var/lib/wangge",
                &dir.join("storage").display().to_string(),
            )
            .replace(
                "127.0.0.1:1883",
                &format!("127.0.0.1:{}", place::free_port()?),
            )
            .replace("#listen = \"127.0.0.1:9464\"", "listen = \"off\"")
            .replace("#[console]", "[console]");
        let file = dir.join("station.toml");
        fs::write(&file, sample)?;
        let mut command = Command::new(place::program("wangge")?);
        command.args(["run", "--config"]).arg(&file);
        let mut process = Process::start("wangge", &command, &dir.join("wangge.log"))?;
        process.ready("the sample station to run", SOON, |log| {
            Ok(log.contains("running").then_some(()))
        })?;
        let status = process.stop(Duration::from_secs(20))?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    });
}
