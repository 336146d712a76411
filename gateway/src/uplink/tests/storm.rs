//! Ten thousand stations come back at once: what the back-off makes of it, computed.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use rand::{SeedableRng, rngs::StdRng};

use super::super::{fault::FaultKind, mqtt::backoff, pace::Backoff};

/// As in `wire.rs`: an attempt that is not through by then is given up.
const PATIENCE: f64 = 15.0;
/// A storm that has not ended by then does not end.
const FOR_EVER: f64 = 1_500.0;

/// A broker that takes logins one after the other.
struct Broker {
    logins_per_second: f64,
    /// What of a login's work it spends on one that was given up before its turn came: between
    /// reading that it is closed (little) and all of the handshake (1).
    wasted: f64,
}

#[derive(Debug)]
struct Storm {
    /// Seconds until the last station is connected; none if that does not happen.
    over: Option<f64>,
    given_up: u64,
    /// Most attempts in a second.
    peak: u64,
}

/// The broker was away for `outage` seconds and refused connections meanwhile.
fn storm(stations: u64, outage: f64, broker: &Broker, silent: Backoff) -> Storm {
    let mut rng = StdRng::seed_from_u64(1);
    let refused = backoff(FaultKind::Refused, false);
    let mut attempts = BinaryHeap::new();
    // Microseconds: floats have no total order.
    let key = |at: f64, failures: u32| Reverse(((at * 1e6) as u64, failures));
    for _ in 0..stations {
        let (mut at, mut failures) = (-outage, 0);
        while at < 0.0 {
            at += refused.delay(failures, &mut rng).as_secs_f64();
            failures += 1;
        }
        attempts.push(key(at, failures));
    }
    let mut free = 0.0_f64;
    let mut told = Storm {
        over: Some(0.0),
        given_up: 0,
        peak: 0,
    };
    let (mut second, mut in_second) = (0, 0);
    while let Some(Reverse((micros, failures))) = attempts.pop() {
        let at = micros as f64 / 1e6;
        if at > FOR_EVER {
            told.over = None;
            break;
        }
        if at as u64 != second {
            (second, in_second) = (at as u64, 0);
        }
        in_second += 1;
        told.peak = told.peak.max(in_second);
        let work = 1.0 / broker.logins_per_second;
        let done = at.max(free) + work;
        if done - at <= PATIENCE {
            free = done;
            told.over = told.over.map(|over| over.max(done));
        } else {
            free = at.max(free) + work * broker.wasted;
            told.given_up += 1;
            let rest = silent.delay(failures, &mut rng).as_secs_f64();
            attempts.push(key(at + PATIENCE + rest, failures + 1));
        }
    }
    told
}

const STATIONS: u64 = 10_000;

#[test]
fn after_a_long_outage_stations_come_over_half_a_minute() {
    let broker = Broker {
        logins_per_second: 300.0,
        wasted: 1.0,
    };
    let storm = storm(
        STATIONS,
        3_600.0,
        &broker,
        backoff(FaultKind::Silent, false),
    );
    assert!(storm.peak < STATIONS / 15, "{storm:?}");
    // 33 s are the least that such a broker can need.
    assert!(storm.over.is_some_and(|over| over < 45.0), "{storm:?}");
    assert_eq!(storm.given_up, 0, "{storm:?}");
}

#[test]
fn a_broker_that_is_overrun_recovers() {
    let broker = Broker {
        logins_per_second: 100.0,
        wasted: 0.5,
    };
    for outage in [2.0, 3_600.0] {
        let ours = storm(STATIONS, outage, &broker, backoff(FaultKind::Silent, false));
        assert!(
            ours.over.is_some_and(|over| over < 600.0),
            "{outage}: {ours:?}"
        );
        // The control: with the wait of other faults it never does.
        let short = Backoff {
            base: Duration::from_millis(200),
            cap: Duration::from_secs(30),
        };
        let theirs = storm(STATIONS, outage, &broker, short);
        assert!(theirs.over.is_none(), "{outage}: {theirs:?}");
    }
}
