//! Many stations on a cluster of brokers: nodes die, receivers restart, a majority goes; every
//! alert arrives once in effect, and nobody speaks for another.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wangge_tests::{
    chaos::Chaos,
    gateway::Gateway,
    mqtt::Publisher,
    nats::Cluster,
    place,
    platform::{Platform, Received},
    play, until,
};

use crate::words::PATIENT;

/// Bins of a station: each is filled once and emptied once, because an alert that comes and goes
/// is told of less often.
const BINS: u64 = 5_000;

/// One station with bins that are filled and emptied, which is an alert message each.
struct Station {
    name: &'static str,
    gateway: Gateway,
    bins: Publisher,
    next: u64,
}

impl Station {
    /// A station that delivers to node `n`.
    fn start(name: &'static str, cluster: &Cluster, n: usize, dir: &Path) -> Result<Station> {
        let dir = dir.join(name);
        let port = place::free_port()?;
        let toml = format!(
            "[listen]\naddress = \"127.0.0.1:{port}\"\n\n[[device]]\nids = \"bin-{{1..{BINS}}}\"\n\
             profile = \"wangge-bin\"\nheight = \"1.2m\"\nmax_rate = 1000.0\n\n"
        ) + &cluster.uplink(name, n, &dir)?;
        let table = format!(
            "[station]\nid = \"{name}\"\nname = \"{name}\"\nunit_grid = \"530102001001001\"\nlon = 102.7\nlat = 25.05\n"
        );
        let mut gateway = Gateway::of(&table, &dir, &toml)?;
        gateway.start()?;
        Ok(Station {
            name,
            gateway,
            bins: Publisher::new(port, "bins"),
            next: 0,
        })
    }

    /// Fills or empties the next bin.
    fn change(&mut self) -> Result<()> {
        let (bin, round) = (self.next % BINS + 1, self.next / BINS);
        self.next += 1;
        let fill = if round % 2 == 0 { 99 } else { 5 };
        let reading = json!({ "id": format!("bin-{bin}"), "seq": self.next, "fill": fill });
        let topic = format!("bins/bin-{bin}/up");
        self.bins
            .publish(self.next, &topic, reading.to_string().into_bytes(), PATIENT)?;
        self.bins.pump(Duration::from_millis(2));
        Ok(())
    }

    /// Waits until all is delivered; fails unless what the receiver has is what went out.
    fn settled(&mut self, received: impl Fn() -> Result<Received>) -> Result<()> {
        self.bins.settle(PATIENT)?;
        let name = self.name;
        let accounts = self.gateway.drained(PATIENT).context(name)?;
        let alerts = accounts["alerts"];
        ensure!(alerts.dropped == 0, "{name}: {alerts:?}");
        ensure!(
            alerts.accepted == self.next,
            "{name}: {} changes, {alerts:?}",
            self.next
        );
        // `Received::read` fails on an id that stands there twice.
        let source = format!("/stations/{name}");
        let received = received()?;
        let ids: BTreeSet<&str> = received
            .alerts()
            .filter(|e| e.body["source"] == *source)
            .map(|e| &*e.id)
            .collect();
        ensure!(
            ids.len() as u64 == alerts.accepted,
            "{name}: {} alert messages arrived, {alerts:?}",
            ids.len()
        );
        Ok(())
    }
}

/// Lets all stations see changes for a while.
fn burst(stations: &mut [Station], time: Duration) -> Result<()> {
    let begun = std::time::Instant::now();
    while begun.elapsed() < time {
        stations.iter_mut().try_for_each(Station::change)?;
    }
    Ok(())
}

fn all_arrived(stations: &mut [Station], platform: &Platform) -> Result<()> {
    for station in stations {
        station.settled(|| platform.received())?;
        station.gateway.stop()?;
    }
    Ok(())
}

#[test]
fn a_node_dies_in_a_burst_and_the_receiver_restarts() {
    play("fleet_node", |dir| {
        let mut chaos = Chaos::new("fleet_node");
        let mut cluster = Cluster::start(&dir.join("cluster"), &["S1", "S2", "S3"])?;
        let mut platform = cluster.platform(&dir.join("platform"), 1)?;
        let mut stations = [
            Station::start("S1", &cluster, 0, dir)?,
            Station::start("S2", &cluster, 1, dir)?,
            Station::start("S3", &cluster, 2, dir)?,
        ];
        burst(&mut stations, Duration::from_secs(2))?;
        // Once the leader, once any: what a receiver reads from may be either.
        for round in 0..2 {
            let victim = match round {
                0 => cluster.leader()?,
                _ => *chaos.one_of(&[0, 1, 2]),
            };
            eprintln!("killing node {victim}");
            cluster.kill(victim)?;
            burst(&mut stations, chaos.pause(1_000..=3_000))?;
            platform.kill()?;
            burst(&mut stations, chaos.pause(500..=1_500))?;
            cluster.revive(victim)?;
            platform.restart()?;
            burst(&mut stations, chaos.pause(500..=1_500))?;
            cluster.whole()?;
        }
        all_arrived(&mut stations, &platform)?;
        until("the stream to be empty", PATIENT, || {
            Ok((cluster.held()? == 0).then_some(()))
        })
    });
}

#[test]
fn a_lost_majority_costs_time_and_nothing_else() {
    play("fleet_majority", |dir| {
        let mut cluster = Cluster::start(&dir.join("cluster"), &["S1", "S2"])?;
        let platform = cluster.platform(&dir.join("platform"), 0)?;
        let mut stations = [
            Station::start("S1", &cluster, 0, dir)?,
            Station::start("S2", &cluster, 1, dir)?,
        ];
        burst(&mut stations, Duration::from_secs(1))?;
        cluster.kill(1)?;
        cluster.kill(2)?;
        burst(&mut stations, Duration::from_secs(8))?;
        for station in &stations {
            let held = station.gateway.streams()?["alerts"].held;
            ensure!(held > 0, "{}: delivered to a minority", station.name);
        }
        cluster.revive(1)?;
        cluster.revive(2)?;
        burst(&mut stations, Duration::from_secs(1))?;
        all_arrived(&mut stations, &platform)
    });
}

#[test]
fn accounts_change_while_the_cluster_runs_and_a_backup_is_whole() {
    play("fleet_accounts", |dir| {
        let mut cluster = Cluster::start(&dir.join("cluster"), &["A", "B"])?;
        let gate = cluster.gate(0);
        let publish = |user: &str, payload: &[&str]| -> Result<bool> {
            let topic = format!("wangge/v1/{user}/alerts");
            let more = [&["-i", user, "-t", &topic], payload].concat();
            Ok(gate.publish(user, "mqttv311", &more)?.status.success())
        };
        let topic = ["-i", "b", "-t", "wangge/v1/B/receipts"];
        let b = gate.listen("B", "mqttv311", &dir.join("b.log"), &topic)?;
        ensure!(publish("A", &["-m", "x"])?, "A cannot publish");
        // A goes, C comes; its password file goes with A, so a copy is tried.
        let old = gate.passwords.join("A");
        std::fs::copy(&old, dir.join("A"))?;
        cluster.list(&["B", "C"])?;
        cluster.tool("build", &[])?;
        cluster.reload()?;
        until("C to be let in", PATIENT, || {
            Ok(publish("C", &["-m", "x"])?.then_some(()))
        })?;
        std::fs::copy(dir.join("A"), &old)?;
        until("A to be shut out", PATIENT, || {
            Ok((!publish("A", &["-m", "x"])?).then_some(()))
        })?;
        ensure!(
            b.log().matches("sending CONNECT").count() == 1,
            "B was disconnected by a change that is not its own"
        );

        // A picture of the largest size waits for a reader, is saved, and brought back.
        cluster.tool("reader", &[])?;
        let picture = dir.join("picture");
        std::fs::write(&picture, vec![7; 2 << 20])?;
        let picture = picture.display().to_string();
        let topic = ["-i", "c", "-t", "wangge/v1/C/evidence/00", "-f", &picture];
        let sent = gate.publish("C", "mqttv311", &topic)?;
        ensure!(sent.status.success(), "a picture of 2 MiB does not pass");
        ensure!(cluster.held()? == 1, "it is not kept for the reader");
        let saved = cluster.tool("backup", &["saved"])?;
        ensure!(saved.starts_with("1 messages"), "{saved}");
        let refused = cluster.tool("restore", &["saved"]);
        ensure!(refused.is_err(), "a stream that is there was overwritten");
        cluster.tool("reader", &["--remove"])?;
        until("the stream to be empty", PATIENT, || {
            Ok((cluster.held()? == 0).then_some(()))
        })
    });
}
