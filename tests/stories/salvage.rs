//! The platform never answers and the gateway is killed: whoever takes the station's disk away
//! finds every acknowledged reading on it, damaged or not.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wangge_tests::{
    gateway::{Gateway, wangge},
    place, play,
};

use crate::words::{Bins, bins};

#[test]
fn a_killed_gateways_spool_is_checked_and_exported_to_files() {
    play("salvage", |dir| {
        let (port, nobody) = (place::free_port()?, place::free_port()?);
        let uplink = format!(
            "[[uplink]]\nname = \"city\"\nurl = \"mqtt://127.0.0.1:{nobody}\"\nstreams = [\"bins\"]\n"
        );
        let mut gateway = Gateway::new(&dir.join("gateway"), &(bins(port) + &uplink))?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        bins.publish_for(Duration::from_secs(3))?;
        let storage = gateway.storage();
        let path = storage.to_str().context("a path")?;

        // While it runs, both refuse and name it.
        let pid = gateway.process()?.id().to_string();
        for command in [&["check"][..], &["export", "--out", "nowhere"]] {
            let output = wangge(&[&["spool"], command, &["--path", path]].concat())?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(
                output.status.code() == Some(1) && said.contains(&pid),
                "{said}"
            );
        }
        bins.settle()?;
        gateway.kill()?;

        let check = run(&["check", "--json", "--path", path], 0)?;
        ensure!(
            check["sound"] == true && check["lanes"][0]["uplink"] == "city",
            "{check}"
        );
        let whole = dir.join("whole");
        let report = export(path, &whole, 0)?;
        ensure!(report["whole"] == true, "{report}");
        bins.none_missing(&readings(&whole)?)?;

        // The header of the database's first segment goes bad, and its snapshot is gone: sled opens
        // it as empty and calls that success.
        for entry in fs::read_dir(storage.join("outbox"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                fs::remove_file(entry.path())?;
            }
        }
        let db = storage.join("outbox/db");
        let mut bytes = fs::read(&db)?;
        bytes[..20].fill(0x5a);
        fs::write(&db, bytes)?;
        let salvaged = dir.join("salvaged");
        let report = export(path, &salvaged, 1)?;
        ensure!(report["whole"] == false, "{report}");
        bins.none_missing(&readings(&salvaged)?)?;
        Ok(())
    });
}

fn export(path: &str, out: &Path, code: i32) -> Result<Value> {
    let out = out.to_str().context("a path")?;
    run(&["export", "--json", "--path", path, "--out", out], code)
}

/// Runs `wangge spool` and reads its JSON.
fn run(arguments: &[&str], code: i32) -> Result<Value> {
    let output = wangge(&[&["spool"], arguments].concat())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "{arguments:?}: {said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The numbers of the readings in an export.
fn readings(out: &Path) -> Result<HashSet<u64>> {
    let mut numbers = HashSet::new();
    for line in fs::read_to_string(out.join("index.jsonl"))?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let file = line["file"].as_str().context("a file")?;
        let event: Value = serde_json::from_slice(&fs::read(out.join(file))?)?;
        let readings = event["data"]["readings"].as_array();
        let seqs = readings.into_iter().flatten();
        numbers.extend(seqs.filter_map(|reading| reading["payload"]["seq"].as_u64()));
    }
    Ok(numbers)
}
