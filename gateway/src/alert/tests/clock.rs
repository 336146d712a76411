//! Alerts that are raised before anybody knows what time it is.

use jiff::Timestamp;

use super::*;
use crate::clock::{Change, Reading, Trust, built};

const BOOT: &str = "00000000-0000-4000-8000-000000000001";

fn read(trust: &mut Trust, now: Now) -> Option<Change> {
    let reading = Reading {
        wall: now.wall,
        uptime: now.mono,
        synchronised: false,
    };
    trust.observe(reading, &mut Vec::new())
}

/// A station that started in 1970 and has raised an alert there.
fn in_1970() -> (Station, Trust) {
    let start = Now {
        wall: Timestamp::UNIX_EPOCH,
        mono: Duration::ZERO,
    };
    let config = config(vec![device("bin-3", vec![full(Duration::ZERO)])], vec![]);
    let mut station = Station::start(config, State::new(), start);
    station.pass(20 * SECOND);
    let mut trust = Trust::restore(BOOT, &[]);
    assert_eq!(read(&mut trust, station.now), None);
    station.ledger.set_clock(trust.doubt());
    trust.stamp(&mut Vec::new());
    station.reads(Quantity::Fill, 95.0);
    assert_eq!(station.sent[0].data.raised_at, "1970-01-01T00:00:20Z");
    (station, trust)
}

/// The clock is set: the station started at `at`.
fn set(station: &mut Station, trust: &mut Trust, at: Timestamp) {
    station.now.wall = at + station.now.mono;
    let change = read(trust, station.now).expect("it is told");
    assert_eq!(change.booted_at, at);
    station.ledger.set_clock(trust.doubt());
    for change in station.ledger.correct(&change, station.now.wall) {
        station.store(change);
    }
}

#[test]
fn the_next_message_has_the_right_times() {
    let (mut station, mut trust) = in_1970();
    station.pass(600 * SECOND);
    let true_start = built() + 1_000 * SECOND;
    set(&mut station, &mut trust, true_start);
    station.pass(SECOND);
    station.reads(Quantity::Fill, 10.0);
    let cleared = &station.sent.last().unwrap().data;
    assert_eq!(cleared.state, AlertState::Cleared);
    let raised = (true_start + 20 * SECOND).to_string();
    assert_eq!(
        (&cleared.raised_at, &cleared.occurred_at),
        (&raised, &raised)
    );
    assert_eq!(
        cleared.cleared_at,
        Some((true_start + 621 * SECOND).to_string())
    );
    // What was sent stays as it was sent.
    assert_eq!(station.sent[0].data.raised_at, "1970-01-01T00:00:20Z");
}

#[test]
fn it_is_put_right_once_and_over_a_restart_of_the_process() {
    let (station, mut trust) = in_1970();
    let mono = station.now.mono;
    let mut station = station.restart(Duration::ZERO);
    // The machine runs on; only the process is new.
    station.now.mono = mono;
    let true_start = built() + 1_000 * SECOND;
    set(&mut station, &mut trust, true_start);
    let mut station = station.restart(SECOND);
    station.now.mono = mono + SECOND;
    let later = read(
        &mut trust,
        Now {
            wall: true_start + 5 * SECOND + mono,
            mono,
        },
    );
    // A later setting of the clock does not move what is right already.
    let changes = station.ledger.correct(&later.unwrap(), station.now.wall);
    assert!(changes.is_empty());
    station.reads(Quantity::Fill, 10.0);
    let raised = (true_start + 20 * SECOND).to_string();
    assert_eq!(station.sent.last().unwrap().data.raised_at, raised);
}

#[test]
fn another_start_of_the_machine_mends_nothing() {
    let (mut station, _) = in_1970();
    let mut other = Trust::restore("00000000-0000-4000-8000-000000000002", &[]);
    let at = |wall| Now {
        wall,
        mono: 30 * SECOND,
    };
    read(&mut other, at(Timestamp::UNIX_EPOCH));
    other.stamp(&mut Vec::new());
    let change = read(&mut other, at(built() + 1_000 * SECOND)).unwrap();
    assert!(station.ledger.correct(&change, built()).is_empty());
}
