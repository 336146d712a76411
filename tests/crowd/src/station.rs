//! One station: connects, delivers, repeats, comes back.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use rand::Rng;
use tokio::{
    sync::{mpsc, watch},
    time::{interval, sleep},
};
use wangge_tests::mqtt::{self, Packet};

use crate::{
    link::{Link, Login},
    message::{self, Alert},
    stats::Stats,
};

/// The real uplink's figures (`gateway/src/uplink`): pictures and alerts on their way at once,
/// the wait for a receipt of a platform that answers others, pings, back-off.
const PICTURES: usize = 2;
const ALERTS: usize = 64;
const RECEIPT: Duration = Duration::from_secs(20);
const PING: Duration = Duration::from_secs(10);
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// Something was seen.
#[derive(Clone, Copy, Debug)]
pub struct Raised {
    pub at: Instant,
    /// It happened while the network was away.
    pub backlog: bool,
}

/// What all stations share.
pub struct Common {
    pub stats: Stats,
    /// Whether the network is there.
    pub network: watch::Sender<bool>,
    pub noise: Vec<u8>,
    /// Do not wait for receipts.
    pub park: bool,
    pub prefix: String,
}

/// Wait before attempt `failures + 1`.
fn backoff(failures: u32) -> Duration {
    let whole = BACKOFF
        .saturating_mul(1 << failures.min(20))
        .min(BACKOFF_CAP);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// Lives until its channel closes.
pub async fn live(
    login: Login,
    common: Arc<Common>,
    mut raised: mpsc::UnboundedReceiver<Raised>,
    first: Duration,
) {
    let mut network = common.network.subscribe();
    let mut queue = Queue::default();
    let mut failures = 0;
    sleep(first).await;
    loop {
        if !*network.borrow_and_update() {
            if network.wait_for(|up| *up).await.is_err() {
                return;
            }
            // It has tried in vain for long: the network comes back somewhere in its last wait.
            let rest = backoff(20).mul_f64(rand::random());
            sleep(rest).await;
        }
        let begun = Instant::now();
        let mut link = match Link::open(&login).await {
            Ok(link) => link,
            Err(e) => {
                lost(&common, &e);
                sleep(backoff(failures)).await;
                failures += 1;
                continue;
            }
        };
        common.stats.with(|s| {
            s.connects.push(begun.elapsed());
            s.connected_at = Some(Instant::now());
        });
        failures = 0;
        queue.again();
        let ended = tokio::select! {
            ended = queue.serve(&mut link, &common, &login.station, &mut raised) => Some(ended),
            () = gone(&mut network) => None,
        };
        match ended {
            Some(Ok(())) => return,
            Some(Err(e)) => {
                lost(&common, &e);
                sleep(backoff(0)).await;
                failures = 1;
            }
            None => {}
        }
    }
}

async fn gone(network: &mut watch::Receiver<bool>) {
    let _ = network.wait_for(|up| !*up).await;
}

fn lost(common: &Common, error: &anyhow::Error) {
    common.stats.with(|s| {
        s.lost += 1;
        s.reason = Some(format!("{error:#}"));
    });
}

/// What a station has to deliver.
#[derive(Default)]
struct Queue {
    /// Not begun.
    todo: VecDeque<Raised>,
    /// Begun, by what the next receipt is for: the picture's hash, then the alert's id.
    open: HashMap<String, Open>,
    /// Begun before the connection was lost.
    again: Vec<Open>,
    packet: u16,
}

struct Open {
    raised: Raised,
    alert: Alert,
    picture: bool,
    sent: Instant,
}

impl Queue {
    fn again(&mut self) {
        self.again.extend(self.open.drain().map(|(_, open)| open));
    }

    async fn serve(
        &mut self,
        link: &mut Link,
        common: &Common,
        station: &str,
        raised: &mut mpsc::UnboundedReceiver<Raised>,
    ) -> Result<()> {
        let mut ping = interval(PING);
        let mut look = interval(Duration::from_secs(1));
        loop {
            let mut out = Vec::new();
            self.fill(&mut out, common, station);
            if !out.is_empty() {
                link.send(&out).await?;
            }
            let mut heard = Heard::default();
            tokio::select! {
                received = link.receive(|p| heard.take(p)) => received?,
                next = raised.recv() => match next {
                    Some(next) => self.todo.push_back(next),
                    None => return Ok(()),
                },
                _ = ping.tick() => link.send(&[0xC0, 0]).await?,
                _ = look.tick() => self.overdue(),
            }
            if !heard.acks.is_empty() {
                link.send(&heard.acks).await?;
            }
            common.stats.with(|s| s.acked += heard.acked);
            for [id, sha256, status] in heard.receipts {
                self.answered(&id, &sha256, &status, common);
            }
        }
    }

    /// Sends what may go.
    fn fill(&mut self, out: &mut Vec<u8>, common: &Common, station: &str) {
        loop {
            let pictures = self.open.values().filter(|o| o.picture).count();
            if pictures >= PICTURES || self.open.len() >= ALERTS {
                return;
            }
            let mut next = match (self.again.pop(), self.todo.pop_front()) {
                (Some(open), todo) => {
                    if let Some(todo) = todo {
                        self.todo.push_front(todo);
                    }
                    common.stats.with(|s| s.repeats += 1);
                    open
                }
                (None, Some(raised)) => {
                    let alert = message::alert(station, &common.noise);
                    Open {
                        raised,
                        picture: alert.picture.is_some(),
                        alert,
                        sent: Instant::now(),
                    }
                }
                (None, None) => return,
            };
            next.sent = Instant::now();
            if common.park {
                self.publish(out, common, station, &next);
                next.picture = false;
                self.publish(out, common, station, &next);
                continue;
            }
            self.publish(out, common, station, &next);
            self.open.insert(next.key(), next);
        }
    }

    fn publish(&mut self, out: &mut Vec<u8>, common: &Common, station: &str, open: &Open) {
        self.packet = self.packet.checked_add(1).unwrap_or(1);
        let prefix = &common.prefix;
        match &open.alert.picture {
            Some(picture) if open.picture => {
                let topic = format!("{prefix}/{station}/evidence/{}", picture.sha256);
                mqtt::publish(out, &topic, &picture.bytes, Some(self.packet));
            }
            _ => {
                let topic = format!("{prefix}/{station}/alerts");
                mqtt::publish(out, &topic, &open.alert.body, Some(self.packet));
            }
        }
    }

    fn overdue(&mut self) {
        let late = |open: &Open| open.sent.elapsed() > RECEIPT;
        let keys: Vec<String> = self
            .open
            .iter()
            .filter(|(_, open)| late(open))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.again.extend(self.open.remove(&key));
        }
    }

    fn answered(&mut self, id: &str, sha256: &str, status: &str, common: &Common) {
        // A receipt with another hash is none.
        let Some(mut open) = (match self.open.get(id) {
            Some(open) if open.sha256() == sha256 => self.open.remove(id),
            _ => None,
        }) else {
            return;
        };
        match status {
            "stored" => {}
            "evidence_missing" => {
                open.picture = open.alert.picture.is_some();
                self.again.push(open);
                return;
            }
            _ => {
                common.stats.with(|s| s.refused += 1);
                return;
            }
        }
        if open.picture {
            // Its picture is there, so it is its turn.
            open.picture = false;
            self.again.push(open);
            common
                .stats
                .with(|s| s.repeats = s.repeats.saturating_sub(1));
            return;
        }
        common.stats.with(|s| match open.raised.backlog {
            true => {
                s.backlog += 1;
                s.backlog_at = Some(Instant::now());
            }
            false => s.live.push(open.raised.at.elapsed()),
        });
    }
}

impl Open {
    /// Of what was sent last.
    fn sha256(&self) -> &str {
        match &self.alert.picture {
            Some(picture) if self.picture => &picture.sha256,
            _ => &self.alert.sha256,
        }
    }

    fn key(&self) -> String {
        match &self.alert.picture {
            Some(picture) if self.picture => picture.sha256.clone(),
            _ => self.alert.id.clone(),
        }
    }
}

/// What came in one read.
#[derive(Default)]
struct Heard {
    /// PUBACKs to send.
    acks: Vec<u8>,
    acked: u64,
    /// Id, hash, status.
    receipts: Vec<[String; 3]>,
}

impl Heard {
    fn take(&mut self, packet: Packet<'_>) {
        match packet {
            Packet::Acked(_) => self.acked += 1,
            Packet::Message { payload, id, .. } => {
                if let Some(id) = id {
                    self.acks.extend([0x40, 2]);
                    self.acks.extend(id.to_be_bytes());
                }
                let Ok(value) = serde_json::from_slice::<serde_json::Value>(payload) else {
                    return;
                };
                let one = std::slice::from_ref(&value);
                for receipt in value.as_array().map_or(one, Vec::as_slice) {
                    let parts = ["id", "sha256", "status"].map(|key| receipt[key].as_str());
                    if let [Some(id), Some(sha256), Some(status)] = parts {
                        self.receipts.push([id, sha256, status].map(str::to_owned));
                    }
                }
            }
            _ => {}
        }
    }
}
