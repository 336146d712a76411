//! An open-loop load of numbered readings, and what of it arrives.
//!
//! The same work as the side-by-side measurements do: 200 topics, QoS 1, about 115 bytes of
//! JSON; latency counts from the moment a message was due to its arrival at a subscriber of the
//! uplink broker, so a stalled publisher is not forgiven.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use wangge_tests::mqtt::{Connection, Packet, publish};

const TOPICS: u64 = 200;
/// Unacknowledged messages that are kept open.
const WINDOW: u64 = 20_000;
/// Written at once at most, so that acknowledgements are looked at in between.
const CHUNK: usize = 64 << 10;
/// No message for this long after the last was sent: the rest is lost.
const QUIET: Duration = Duration::from_secs(5);
const READY: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Where devices publish.
    pub field: u16,
    /// Where the platform's end subscribes.
    pub uplink: u16,
    /// To what.
    pub filter: &'static str,
    /// Messages a second.
    pub rate: u64,
    /// For how long.
    pub seconds: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Outcome {
    /// Messages sent, and a second.
    pub sent: u64,
    pub send_rate: f64,
    /// Of them acknowledged to the publisher.
    pub acked: u64,
    /// Of them never seen at the uplink.
    pub lost: u64,
    /// Seen more than once.
    pub duplicates: u64,
    /// Milliseconds from due to seen.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Seconds from the last message sent to the last seen.
    pub drain_s: f64,
}

/// Due and seen times in nanoseconds since the start, zero while unknown.
struct Ledger {
    due: Vec<AtomicU64>,
    seen: Vec<AtomicU64>,
    got: AtomicU64,
    duplicates: AtomicU64,
    probes: AtomicU64,
    acked: AtomicU64,
    stop: AtomicBool,
}

/// Runs a load; `started` is called when the measured part begins.
///
/// # Errors
/// Nothing comes through at all, or a connection breaks.
pub fn run(load: Load, started: impl FnOnce()) -> Result<Outcome> {
    let total = load.rate * load.seconds;
    let zeros = || (0..=total).map(|_| AtomicU64::new(0)).collect();
    let ledger = Arc::new(Ledger {
        due: zeros(),
        seen: zeros(),
        got: AtomicU64::new(0),
        duplicates: AtomicU64::new(0),
        probes: AtomicU64::new(0),
        acked: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let epoch = Instant::now();
    let mut uplink = Connection::open(load.uplink, "bench-sub", true, None)?;
    uplink.subscribe(load.filter)?;
    let mut field = Connection::open(load.field, "bench-pub", true, None)?;
    let mut sender = field.sender()?;

    let watcher = {
        let ledger = ledger.clone();
        thread::spawn(move || watch(&mut uplink, &ledger, epoch))
    };
    let acks = {
        let ledger = ledger.clone();
        thread::spawn(move || {
            while !ledger.stop.load(Ordering::Relaxed) {
                field.receive(Duration::from_millis(50), |p| {
                    if let Packet::Acked(_) = p {
                        ledger.acked.fetch_add(1, Ordering::Relaxed);
                    }
                })?;
            }
            anyhow::Ok(())
        })
    };
    let outcome = drive(load, total, &ledger, &mut sender, epoch, started);
    ledger.stop.store(true, Ordering::Relaxed);
    for thread in [watcher, acks] {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a bench thread panicked"))??;
    }
    outcome
}

fn drive(
    load: Load,
    total: u64,
    ledger: &Ledger,
    sender: &mut impl std::io::Write,
    epoch: Instant,
    started: impl FnOnce(),
) -> Result<Outcome> {
    // Until one comes through.
    let mut packet = Vec::new();
    wangge_tests::until("a first message at the uplink", READY, || {
        packet.clear();
        reading(&mut packet, 0, None);
        sender.write_all(&packet)?;
        thread::sleep(Duration::from_millis(100));
        Ok((ledger.probes.load(Ordering::Relaxed) > 0).then_some(()))
    })?;

    started();
    let gap = Duration::from_secs(1).div_f64(load.rate as f64);
    let begun = Instant::now();
    let (mut next, mut out) = (1, Vec::with_capacity(2 * CHUNK));
    while next <= total {
        let due = begun + gap.mul_f64((next - 1) as f64);
        let now = Instant::now();
        let blocked = next - 1 - ledger.acked.load(Ordering::Relaxed) >= WINDOW;
        if due <= now && !blocked && out.len() < CHUNK {
            ledger.due[next as usize].store(nanos(due - epoch), Ordering::Relaxed);
            reading(&mut out, next, Some(((next - 1) % 65_535 + 1) as u16));
            next += 1;
            continue;
        }
        if out.is_empty() {
            let pause = if blocked {
                Duration::from_millis(1)
            } else {
                due - now
            };
            // Above 2,000 a second what is due within half a millisecond goes together.
            thread::sleep(
                pause
                    .max(Duration::from_micros(500))
                    .min(Duration::from_millis(50)),
            );
        } else {
            sender
                .write_all(&out)
                .context("the field connection is lost")?;
            out.clear();
        }
    }
    sender.write_all(&out)?;
    let stopped = Instant::now();

    let (mut got, mut changed) = (0, Instant::now());
    while (got < total || ledger.acked.load(Ordering::Relaxed) < total) && changed.elapsed() < QUIET
    {
        thread::sleep(Duration::from_millis(5));
        let now = ledger.got.load(Ordering::Relaxed);
        if now != got {
            (got, changed) = (now, Instant::now());
        }
    }
    thread::sleep(Duration::from_millis(500)); // late duplicates
    let at = |v: &AtomicU64| v.load(Ordering::Relaxed);
    let mut latencies = Vec::with_capacity(total as usize);
    let (mut lost, mut last) = (0, 0);
    for (due, seen) in ledger.due.iter().zip(&ledger.seen).skip(1) {
        match at(seen) {
            0 => lost += 1,
            seen => {
                last = last.max(seen);
                latencies.push(seen.saturating_sub(at(due)));
            }
        }
    }
    ensure!(!latencies.is_empty(), "nothing arrived at the uplink");
    latencies.sort_unstable();
    let ms = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize] as f64 / 1e6;
    Ok(Outcome {
        sent: total,
        send_rate: total as f64 / (stopped - begun).as_secs_f64(),
        acked: at(&ledger.acked),
        lost,
        duplicates: at(&ledger.duplicates),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        max_ms: ms(1.0),
        drain_s: last.saturating_sub(nanos(stopped - epoch)) as f64 / 1e9,
    })
}

/// Finds each `"seq":N` in what reaches the uplink, however it is wrapped or batched.
fn watch(uplink: &mut Connection, ledger: &Ledger, epoch: Instant) -> Result<()> {
    while !ledger.stop.load(Ordering::Relaxed) {
        uplink.receive(Duration::from_millis(50), |packet| {
            let Packet::Message { payload, .. } = packet else {
                return;
            };
            let now = nanos(epoch.elapsed());
            for seq in numbers(payload) {
                match ledger.seen.get(seq as usize) {
                    _ if seq == 0 => _ = ledger.probes.fetch_add(1, Ordering::Relaxed),
                    Some(seen) if seen.swap(now, Ordering::Relaxed) == 0 => {
                        ledger.got.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => _ = ledger.duplicates.fetch_add(1, Ordering::Relaxed),
                }
            }
        })?;
    }
    Ok(())
}

/// The numbers behind every `"seq":`.
fn numbers(payload: &[u8]) -> impl Iterator<Item = u64> + '_ {
    const KEY: &[u8] = b"\"seq\":";
    payload
        .windows(KEY.len())
        .enumerate()
        .filter(|(_, w)| *w == KEY)
        .filter_map(|(at, _)| {
            let digits: Vec<u8> = payload[at + KEY.len()..]
                .iter()
                .copied()
                .skip_while(|b| *b == b' ')
                .take_while(u8::is_ascii_digit)
                .collect();
            String::from_utf8(digits).ok()?.parse().ok()
        })
}

fn reading(out: &mut Vec<u8>, seq: u64, id: Option<u16>) {
    let k = seq % TOPICS;
    let level = (seq * 37) % 1000;
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let body = format!(
        "{{\"id\":\"bin-{k:03}\",\"seq\":{seq},\"ts\":{wall},\"level\":{}.{},\"temp\":{}.{},\"batt\":3.6{},\"lat\":25.{:05},\"lon\":102.{:05}}}",
        level / 10,
        level % 10,
        15 + seq % 20,
        seq % 10,
        seq % 10,
        10_000 + k,
        20_000 + k
    );
    publish(
        out,
        &format!("station/{}/bin/{k:03}", k % 4),
        body.as_bytes(),
        id,
    );
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wangge_tests::mosquitto::Mosquitto;

    #[test]
    fn finds_readings_however_wrapped() {
        let found: Vec<u64> =
            numbers(br#"{"data":[{"seq":12,"x":1},{"seq": 7},{"sequence":3},{"seq":"q"}]}"#)
                .collect();
        assert_eq!(found, [12, 7]);
    }

    #[test]
    fn a_broker_alone_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(dir.path(), "").unwrap();
        let load = Load {
            field: broker.port(),
            uplink: broker.port(),
            filter: "station/#",
            rate: 500,
            seconds: 1,
        };
        let outcome = run(load, || ()).unwrap();
        assert_eq!(
            (
                outcome.sent,
                outcome.acked,
                outcome.lost,
                outcome.duplicates
            ),
            (500, 500, 0, 0)
        );
        assert!(
            outcome.p50_ms > 0.0 && outcome.p99_ms >= outcome.p50_ms,
            "{outcome:?}"
        );
    }
}
