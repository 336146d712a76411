//! What a platform stored is proved afterwards, although the station was killed again and again;
//! and what somebody did to it is found.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use wangge_tests::{
    chaos::Chaos,
    gateway::{self, Gateway},
    mosquitto::{self, Mosquitto},
    place,
    platform::Platform,
    play, until,
};

use crate::words::{PATIENT, alert_of, bins};

/// A verdict of `wangge verify` over a store with the station's key: whether it is whole, and
/// what it printed.
pub fn verify(gateway: &Gateway, store: &Path) -> Result<(bool, String)> {
    let config = gateway.config().display().to_string();
    let keys = gateway::wangge(&["identity", "--config", &config])?;
    ensure!(
        keys.status.success(),
        "no key: {}",
        String::from_utf8_lossy(&keys.stderr)
    );
    let file = gateway.storage().with_extension("keys");
    fs::write(&file, keys.stdout)?;
    let (file, store) = (file.display().to_string(), store.display().to_string());
    let output = gateway::wangge(&["verify", "--keys", &file, &store])?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// Fails unless everything sealed is there, in one chain from its beginning.
pub fn whole(gateway: &Gateway, platform: &Platform) -> Result<()> {
    let (whole, said) = verify(gateway, &platform.store())?;
    ensure!(whole, "{said}");
    let received = platform.received()?;
    let mut sequences: Vec<u64> = received
        .events
        .iter()
        .filter_map(|e| e.body["sequence"].as_str()?.parse().ok())
        .collect();
    sequences.sort_unstable();
    ensure!(!sequences.is_empty(), "nothing is sealed");
    ensure!(
        sequences.iter().copied().eq(1..=sequences.len() as u64),
        "{sequences:?}"
    );
    Ok(())
}

#[test]
fn a_station_that_is_killed_again_and_again_leaves_one_whole_chain() {
    play("proof", |dir| {
        let mut chaos = Chaos::new("proof");
        let broker = Mosquitto::start(&dir.join("broker"), "")?;
        let platform = Platform::mqtt(&dir.join("platform"), broker.port())?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let (mut seq, mut kills) = (0, 0);
        for bin in 1..=9 {
            // Raised, cleared, and begun again: three messages.
            for fill in [95, 5, 96] {
                until("the reading to be taken", PATIENT, || {
                    seq += 1;
                    let reading = format!(r#"{{"id":"bin-{bin}","seq":{seq},"fill":{fill}}}"#);
                    let topic = format!("bins/bin-{bin}/up");
                    Ok(mosquitto::publish(port, &topic, reading.as_bytes(), &[]).ok())
                })?;
                if *chaos.one_of(&[true, false]) {
                    kills += 1;
                    gateway.kill()?;
                    gateway.start()?;
                }
            }
        }
        gateway.drained(PATIENT)?;
        gateway.stop()?;
        eprintln!("{kills} kills");
        let sealed = platform.received()?.alerts().count();
        ensure!(sealed >= 27, "{sealed} alerts");
        whole(&gateway, &platform)?;

        // Somebody makes a bin emptier than it was.
        let store = dir.join("touched");
        fs::create_dir_all(&store)?;
        let events = fs::read_to_string(platform.store().join("events.jsonl"))?;
        let at = events.find("限值90").context("no alert says its limit")?;
        let touched = format!("{}限值99{}", &events[..at], &events[at + "限值90".len()..]);
        fs::write(store.join("events.jsonl"), touched)?;
        let (whole, said) = verify(&gateway, &store)?;
        let line = events[..at].matches('\n').count() + 1;
        let first = said.lines().next().unwrap_or_default();
        ensure!(!whole && first.contains(&format!("line {line}")), "{said}");
        Ok(())
    });
}

#[test]
fn a_station_gets_a_new_key_and_its_chain_goes_on() {
    play("rotation", |dir| {
        let broker = Mosquitto::start(&dir.join("broker"), "")?;
        let platform = Platform::mqtt(&dir.join("platform"), broker.port())?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        let config = gateway.config().display().to_string();
        let identity = |more: &[&str]| -> Result<(bool, String, String)> {
            let arguments = [&["identity", "--config", &config], more].concat();
            let output = gateway::wangge(&arguments)?;
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            Ok((
                output.status.success(),
                text(&output.stdout),
                text(&output.stderr),
            ))
        };
        let fills = |bin: u32| {
            let reading = format!(r#"{{"id":"bin-{bin}","seq":1,"fill":95}}"#);
            let topic = format!("bins/bin-{bin}/up");
            mosquitto::publish(port, &topic, reading.as_bytes(), &[])?;
            alert_of(&platform, &format!("bin-{bin}"), "bin_overflow", "raised").map(drop)
        };
        gateway.start()?;
        fills(1)?;
        let (_, first, _) = identity(&[])?;
        let (changed, _, said) = identity(&["--rotate"])?;
        ensure!(
            !changed && said.contains("stop the station first"),
            "{said}"
        );
        gateway.stop()?;
        for bin in [2, 3] {
            let (changed, _, said) = identity(&["--rotate"])?;
            ensure!(changed, "{said}");
            gateway.start()?;
            fills(bin)?;
            gateway.drained(PATIENT)?;
            gateway.stop()?;
        }
        whole(&gateway, &platform)?;

        // The list of the first day does not do, and neither does one that nobody signed.
        let (_, list, _) = identity(&[])?;
        let store = platform.store().display().to_string();
        let keys = dir.join("list");
        let verify = |list: &str| -> Result<(Option<i32>, String)> {
            fs::write(&keys, list)?;
            let keys = keys.display().to_string();
            let output = gateway::wangge(&["verify", "--keys", &keys, &store])?;
            let said = [output.stdout, output.stderr].concat();
            Ok((
                output.status.code(),
                String::from_utf8_lossy(&said).into_owned(),
            ))
        };
        let (code, said) = verify(&list)?;
        ensure!(
            code == Some(0) && said.contains("changed its key"),
            "{said}"
        );
        let (code, said) = verify(&first)?;
        ensure!(
            code == Some(1) && said.contains("not among the keys"),
            "{said}"
        );
        let unsigned = |line: &str| line.split(" after ").next().map(str::to_owned);
        let unsigned: Vec<_> = list.lines().filter_map(unsigned).collect();
        let (code, said) = verify(&unsigned.join("\n"))?;
        ensure!(
            code == Some(1) && said.contains("did not hand over"),
            "{said}"
        );
        // The last line with the first key in it.
        let key = |line: usize| list.lines().nth(line)?.split(' ').nth(1);
        let (first, last) = key(1).zip(key(3)).context("three keys")?;
        let (code, said) = verify(&list.replace(last, first))?;
        ensure!(code == Some(2) && said.contains("line 4"), "{said}");
        Ok(())
    });
}
