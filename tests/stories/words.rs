//! Phrases that several stories use.

use std::{collections::HashSet, path::Path, time::Duration};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wangge_tests::{
    mqtt::Publisher,
    place,
    platform::{Event, Platform, Received},
    until,
};

/// Long enough for anything that should happen at once, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(30);
/// Long enough for back-off to have come round.
pub const PATIENT: Duration = Duration::from_secs(90);

/// `[listen]` and bins `bin-1` to `bin-9` that may publish as fast as they like.
pub fn bins(port: u16) -> String {
    format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n\n\
         [[device]]\nids = \"bin-{{1..9}}\"\nprofile = \"wangge-bin\"\nheight = \"1.2m\"\nmax_rate = 1000.0\n\n\
         [[stream]]\nname = \"bins\"\ndevices = [\"bin-*\"]\n\n"
    )
}

/// `[vision]` and a camera `gate` that is about people who stay anywhere for two seconds.
///
/// # Errors
/// Set-up was not done.
pub fn camera(url: &str, more: &str) -> Result<String> {
    Ok(format!(
        "[vision]\nmodel = \"{}\"\nonnxruntime = \"{}\"\n\n\
         [[camera]]\nid = \"gate\"\nurl = \"{url}\"\n{more}\n\
         [[camera.zone]]\nid = \"everywhere\"\nkind = \"public_space_encroachment\"\nlabels = [\"person\"]\n\
         polygon = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]\ndwell = \"2s\"\n\n",
        place::model()?.display(),
        place::onnxruntime()?.display()
    ))
}

/// Bins that publish numbered readings and know which of them were acknowledged.
pub struct Bins {
    publisher: Publisher,
    next: u64,
}

impl Bins {
    pub fn new(port: u16) -> Bins {
        Bins {
            publisher: Publisher::new(port, "bins"),
            next: 1,
        }
    }

    /// Publishes the next reading, of a bin that is never full.
    pub fn publish(&mut self) -> Result<()> {
        let (seq, bin) = (self.next, self.next % 9 + 1);
        self.next += 1;
        let reading = json!({ "id": format!("bin-{bin}"), "seq": seq, "fill": seq % 50 });
        self.publisher.publish(
            seq,
            &format!("bins/bin-{bin}/up"),
            reading.to_string().into_bytes(),
            PATIENT,
        )?;
        self.publisher.pump(Duration::from_millis(2));
        Ok(())
    }

    /// Publishes for this long.
    pub fn publish_for(&mut self, time: Duration) -> Result<()> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            self.publish()?;
        }
        Ok(())
    }

    /// Publishes so many, few enough that none has to be acknowledged before the last is sent.
    pub fn publish_some(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.publish())
    }

    /// Waits until everything is acknowledged; says how much that is.
    pub fn settle(&mut self) -> Result<usize> {
        self.publisher.settle(PATIENT)?;
        Ok(self.publisher.acked().len())
    }

    /// Fails unless every acknowledged reading is in what the platform stored.
    pub fn all_arrived(&self, received: &Received) -> Result<()> {
        let arrived: HashSet<u64> = received
            .readings("bins")
            .filter_map(|r| r["payload"]["seq"].as_u64())
            .collect();
        self.none_missing(&arrived)
    }

    /// Fails unless the number of every acknowledged reading is among these.
    pub fn none_missing(&self, arrived: &HashSet<u64>) -> Result<()> {
        let acked = self.publisher.acked();
        let lost: Vec<&u64> = acked.iter().filter(|seq| !arrived.contains(seq)).collect();
        ensure!(
            lost.is_empty(),
            "{} of {} acknowledged readings are lost, e.g. {:?}",
            lost.len(),
            acked.len(),
            &lost[..lost.len().min(10)]
        );
        Ok(())
    }
}

/// Waits until the platform stored an alert message of which this is true.
pub fn alert(
    platform: &Platform,
    what: &str,
    within: Duration,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Event> {
    until(&format!("the alert: {what}"), within, || {
        let received = platform.received()?;
        Ok(received.alerts().find(|e| is_it(&e.body["data"])).cloned())
    })
}

/// Waits for an alert of this kind about this device, in this state.
pub fn alert_of(platform: &Platform, device: &str, kind: &str, state: &str) -> Result<Event> {
    alert(
        platform,
        &format!("{device} {kind} {state}"),
        PATIENT,
        |data| data["device"] == device && data["kind"] == kind && data["state"] == state,
    )
}

/// A file that only its owner may read, with a secret in it.
pub fn secret(dir: &Path, name: &str, text: &str) -> Result<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path)
}
