//! Delivery to the platform: reads the spool, sends, and settles what has its receipt.
//!
//! [`queue`] decides (pure), [`mqtt`] and [`https`] carry; [`courier`] is the loop between
//! them, one task per uplink. It sleeps until the spool has something new, an answer comes, or the
//! queue's next time-out: nothing is polled.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wangge_protocol::Receipt;

use self::{
    courier::Courier,
    gate::Gate,
    link::Link,
    queue::{Pieces, Queue},
    tariff::{Kind, Tariff},
};
use crate::{
    clock::Clock,
    config::{self, UplinkLink},
    counters::UplinkCounters,
    down::{self, Inbound},
    spool::{Record, Spool, SpoolError, StateEntries, evidence::EvidenceStore},
};

mod budget;
mod client;
mod courier;
mod fault;
mod gate;
mod https;
mod inbox;
mod lane;
mod link;
mod mqtt;
mod pace;
mod pictures;
mod push;
mod queue;
mod tariff;
mod wire;

pub(crate) use fault::chain;

/// Largest picture that is delivered, bytes; the reference receiver takes the same.
pub const MAX_PICTURE: usize = 2 * 1024 * 1024;
/// Receipts are passed to the spool together, this many or this late: a receipt that the spool
/// forgot only costs a repeat, which the receiver knows.
const SETTLE_AT: usize = 64;
/// See [`SETTLE_AT`].
const SETTLE_AFTER: Duration = Duration::from_millis(50);
/// After the stop signal, how long to go on delivering what is already there.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Between tries to read from or write to a spool that fails.
const SPOOL_RETRY: Duration = Duration::from_secs(1);

/// Alerts from memory that wait for the courier while the spool refuses.
pub const LIVE: usize = 256;

/// Between an uplink and the engine, besides the spool.
#[derive(Debug)]
pub struct Channels {
    /// Verdicts and commands, to the engine.
    pub down: mpsc::Sender<Inbound>,
    /// Alerts that the spool refuses to take, from the engine.
    pub live: mpsc::Receiver<Record>,
}

/// Delivers `uplink`'s lanes (number `index`) until `stop`; then tries for [`LAST_WORDS`] to
/// deliver what is ready, and returns. Returns early only when the spool is closed.
pub async fn run(
    uplink: config::Uplink,
    index: u8,
    station: Arc<str>,
    spool: Spool,
    evidence: Arc<EvidenceStore>,
    counters: Arc<UplinkCounters>,
    channels: Channels,
    stop: CancellationToken,
) {
    let seed = rand::random();
    let clock = Clock::start();
    let tariff = tariff(&uplink.link);
    let (link, border, pings) = match uplink.link {
        UplinkLink::Mqtt { addr, prefix } => {
            let keep_alive = match uplink.line.budget {
                Some(_) => wire::KEEP_ALIVE_METERED,
                None => wire::KEEP_ALIVE,
            };
            let (border, listens) = (uplink.border, uplink.verdicts);
            let link = mqtt::Mqtt::new(
                &uplink.name,
                addr,
                prefix,
                border,
                listens,
                keep_alive,
                seed,
            );
            (Link::Mqtt(Box::new(link)), border, Some(keep_alive))
        }
        UplinkLink::Https { url, tls, token } => {
            let mut link = https::Https::new(&uplink.name, &station, url, tls, token, seed);
            if uplink.verdicts {
                link.listen(&station, uplink.line.budget.is_some());
            }
            // There is no broker in between: the answer to the request is the receipt.
            (Link::Https(Box::new(link)), config::Border::Receipt, None)
        }
        UplinkLink::Push(target) => {
            let link = push::Push::new(
                &uplink.name,
                &station,
                *target,
                uplink.tiers,
                evidence.clone(),
                seed,
            );
            (Link::Push(Box::new(link)), config::Border::Receipt, None)
        }
    };
    let Some(state) = stored_state(&spool, &uplink.name, &stop).await else {
        return;
    };
    let gate = Gate::new(
        uplink.name.clone(),
        &uplink.line,
        (tariff, pings),
        &state,
        counters.clone(),
        clock.now().wall,
    );
    let pieces = match (border, &link) {
        // A case platform gets each picture with its case.
        (config::Border::Broker, _) | (_, Link::Push(_)) => Pieces::never(),
        (config::Border::Receipt, _) => Pieces::of(uplink.line.chunk),
    };
    let carries_telemetry = !uplink.streams.is_empty() || uplink.line.pictures.come_later();
    let queue = Queue::new(border, carries_telemetry, pieces, counters.clone(), seed);
    let appended = spool.appended();
    let courier = Courier {
        name: uplink.name,
        index,
        queue,
        link,
        spool,
        evidence,
        counters,
        down: channels.down,
        live: channels.live,
        door: down::Gate::default(),
        clock,
        gate,
        last_sent: None,
        jobs: FuturesUnordered::new(),
        fetching: false,
        settling: false,
        noting: false,
        settled: Vec::new(),
        poison: Vec::new(),
        settle_at: None,
        retry_at: None,
        complaint: None,
        open: VecDeque::new(),
    };
    courier.run(appended, stop).await;
}

fn tariff(link: &UplinkLink) -> Tariff {
    match link {
        UplinkLink::Mqtt { addr, prefix } => Tariff {
            tls: addr.tls.is_some(),
            kind: Kind::Mqtt {
                // `/telemetry/STREAM` and the like.
                topic: prefix.len() as u64 + 16,
            },
        },
        UplinkLink::Https { url, .. } => Tariff {
            tls: url.scheme() == "https",
            kind: Kind::Https,
        },
        UplinkLink::Push(target) => Tariff {
            tls: target.url.scheme() == "https",
            kind: Kind::Https,
        },
    }
}

/// What earlier runs stored; `None` when it is time to stop.
async fn stored_state(
    spool: &Spool,
    uplink: &str,
    stop: &CancellationToken,
) -> Option<StateEntries> {
    loop {
        match spool.state().await {
            Ok(state) => return Some(state),
            Err(SpoolError::Closed) => return None,
            Err(e) => warn!(
                uplink,
                "the spool fails: {e}; trying again every {SPOOL_RETRY:?}"
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(SPOOL_RETRY) => {}
            () = stop.cancelled() => return None,
        }
    }
}

/// One receipt or an array of them.
fn receipts(payload: &[u8]) -> Option<Vec<Receipt>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Payload {
        Many(Vec<Receipt>),
        One(Receipt),
    }
    Some(match serde_json::from_slice(payload).ok()? {
        Payload::Many(receipts) => receipts,
        Payload::One(receipt) => vec![receipt],
    })
}

#[cfg(test)]
mod tests;
