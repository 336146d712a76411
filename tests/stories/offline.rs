//! The platform is away for a while and the gateway is killed in the middle: every reading that
//! was acknowledged arrives.

use std::time::Duration;

use anyhow::ensure;
use wangge_tests::{gateway::Gateway, mosquitto::Mosquitto, place, platform::Platform, play};

use crate::words::{Bins, PATIENT, bins};

const AWAY: Duration = Duration::from_secs(10);

#[test]
fn https_platform_away_and_gateway_killed() {
    play("offline_https", |dir| {
        let mut platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        bins.publish_for(Duration::from_secs(2))?;
        platform.kill()?;
        bins.publish_for(AWAY)?;
        gateway.kill()?;
        gateway.start()?;
        bins.publish_for(AWAY)?;
        platform.restart()?;
        let acknowledged = bins.settle()?;
        ensure!(acknowledged > 100, "only {acknowledged} readings in all");
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;
        gateway.stop()
    });
}

#[test]
fn broker_to_the_platform_away_and_gateway_killed() {
    play("offline_mqtt", |dir| {
        let mut broker = Mosquitto::start(&dir.join("broker"), "")?;
        let platform = Platform::mqtt(&dir.join("platform"), broker.port())?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        bins.publish_for(Duration::from_secs(2))?;
        // Killed, not stopped: whatever it held in memory is gone.
        broker.kill()?;
        bins.publish_for(AWAY)?;
        gateway.kill()?;
        gateway.start()?;
        bins.publish_for(AWAY)?;
        broker.restart()?;
        let acknowledged = bins.settle()?;
        ensure!(acknowledged > 100, "only {acknowledged} readings in all");
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;
        gateway.stop()
    });
}
