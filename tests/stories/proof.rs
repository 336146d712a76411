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

use crate::words::{PATIENT, bins};

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
