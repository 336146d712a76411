//! Platform, its broker and the gateway are killed at random while readings come in.

use anyhow::{Result, ensure};
use wangge_tests::{
    chaos::Chaos, gateway::Gateway, mosquitto::Mosquitto, place, platform::Platform, play,
};

use crate::words::{Bins, PATIENT, bins};

/// Kills in one run.
const KILLS: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Platform,
    Broker,
    Gateway,
}

#[test]
fn whatever_is_killed_nothing_acknowledged_is_lost() {
    play("random_kills", |dir| {
        let mut chaos = Chaos::new("random_kills");
        let mut broker = Mosquitto::start(&dir.join("broker"), "")?;
        let mut platform = Platform::mqtt(&dir.join("platform"), broker.port())?;
        let port = place::free_port()?;
        let toml = bins(port) + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        for _ in 0..KILLS {
            bins.publish_for(chaos.pause(300..=2_500))?;
            let victim = *chaos.one_of(&[Victim::Platform, Victim::Broker, Victim::Gateway]);
            eprintln!("killing {victim:?}");
            kill(victim, &mut platform, &mut broker, &mut gateway)?;
            if !matches!(victim, Victim::Gateway) {
                // The bins go on meanwhile.
                bins.publish_for(chaos.pause(0..=1_500))?;
            }
            revive(victim, &mut platform, &mut broker, &mut gateway)?;
        }
        let acknowledged = bins.settle()?;
        ensure!(acknowledged > 100, "only {acknowledged} readings in all");
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;
        gateway.stop()
    });
}

fn kill(
    victim: Victim,
    platform: &mut Platform,
    broker: &mut Mosquitto,
    gateway: &mut Gateway,
) -> Result<()> {
    match victim {
        Victim::Platform => platform.kill(),
        Victim::Broker => broker.kill(),
        Victim::Gateway => gateway.kill(),
    }
}

fn revive(
    victim: Victim,
    platform: &mut Platform,
    broker: &mut Mosquitto,
    gateway: &mut Gateway,
) -> Result<()> {
    match victim {
        Victim::Platform => platform.restart(),
        Victim::Broker => broker.restart(),
        Victim::Gateway => gateway.start(),
    }
}
