//! SIGTERM under load ends the gateway in order and in time; a second one at once.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::Signal;
use wangge_tests::{gateway::Gateway, place, platform::Platform, play};

use crate::words::{Bins, PATIENT, bins};

#[test]
fn sigterm_under_load_loses_nothing() {
    play("sigterm", |dir| {
        let platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        bins.publish_for(Duration::from_secs(3))?;
        let begun = Instant::now();
        gateway.stop()?;
        ensure!(
            begun.elapsed() < Duration::from_secs(12),
            "took {:?}",
            begun.elapsed()
        );
        gateway.start()?;
        bins.settle()?;
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;
        gateway.stop()
    });
}

#[test]
fn a_second_signal_ends_it_at_once() {
    play("second_signal", |dir| {
        // A platform that never answers: there is always something left to deliver.
        let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = place::free_port()?;
        let uplink = format!(
            "[[uplink]]\nname = \"city\"\nurl = \"http://{}\"\nstreams = [\"bins\"]\n",
            silent.local_addr()?
        );
        let mut gateway = Gateway::new(&dir.join("gateway"), &(bins(port) + &uplink))?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        bins.publish_for(Duration::from_secs(1))?;
        bins.settle()?;
        let process = gateway.process()?;
        process.signal(Signal::TERM)?;
        process.ready("it to be stopping", PATIENT, |log| {
            Ok(log.contains("stopping").then_some(()))
        })?;
        process.signal(Signal::INT)?;
        let begun = Instant::now();
        let status = process.wait(PATIENT)?;
        ensure!(
            begun.elapsed() < Duration::from_secs(2),
            "took {:?}",
            begun.elapsed()
        );
        ensure!(!status.success(), "an interrupted stop is no success");
        Ok(())
    });
}
