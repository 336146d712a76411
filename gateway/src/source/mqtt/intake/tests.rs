use jiff::SignedDuration;

use super::*;
use crate::{
    bilingual::{assert_bilingual, is_chinese},
    source::mqtt::{guard::QUIET, testing::bin},
};

const MAX: usize = 8192;

struct World {
    intake: Intake,
    counters: Arc<SourceCounters>,
    now: Now,
}

fn world() -> World {
    let now = Now {
        wall: "2026-03-01T00:00:00Z".parse().unwrap(),
        mono: Duration::ZERO,
    };
    let counters = Arc::new(SourceCounters::default());
    let devices = [
        bin("bin-1", "field"),
        bin("bin-2", "field"),
        bin("x", "other"),
    ];
    World {
        intake: Intake::new("field".into(), MAX, &devices, counters.clone(), now),
        counters,
        now,
    }
}

fn message<'a>(topic: &'a str, payload: &'a [u8]) -> Message<'a> {
    Message {
        topic,
        payload,
        dup: false,
        retain: false,
        waits: true,
        login: None,
    }
}

impl World {
    fn send(&mut self, topic: &str, payload: &str) -> Taken {
        self.intake
            .take(message(topic, payload.as_bytes()), self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall += SignedDuration::try_from(time).unwrap();
    }
}

fn reason(taken: &Taken) -> Option<&str> {
    match &taken.report.as_ref()?.observations[0].value {
        Value::Health(Health::Fault { what, reason }) => {
            assert_eq!(*what, EventKind::DeviceQuarantined);
            let Text { zh, en } = reason;
            assert!(is_chinese(zh) && !zh.contains(en), "{reason:?}");
            Some(en)
        }
        _ => None,
    }
}

#[test]
fn a_reading_becomes_observations_with_both_times() {
    let mut w = world();
    let text =
        r#"{"id":"bin-1","seq":1,"time":"2026-02-28T23:59:00Z","distance":370,"temperature":400}"#;
    let taken = w.send("bins/bin-1", text);
    let arrival = taken.arrival.unwrap();
    assert_eq!(&*arrival.subject, "bin-1");
    assert_eq!(arrival.received, w.now.wall);
    let device_time: Timestamp = "2026-02-28T23:59:00Z".parse().unwrap();
    assert_eq!(arrival.device_time, Some(device_time));
    assert_eq!(arrival.payload.unwrap().get(), text);
    let seen: Vec<_> = arrival
        .observations
        .iter()
        .map(|o| match o.value {
            Value::Measurement { quantity, value } => (quantity, value, o.quality),
            _ => panic!("{o:?}"),
        })
        .collect();
    // Height 1000, full at 100: (1000 - 370) / 900.
    assert_eq!(
        seen,
        [
            (Quantity::Distance, 370.0, Quality::Good),
            (Quantity::Temperature, 400.0, Quality::Implausible),
            (Quantity::Fill, 70.0, Quality::Good),
        ]
    );
    assert!(arrival.observations.iter().all(|o| o.at == device_time));
}

#[test]
fn a_distance_beyond_the_bin_gives_no_fill() {
    let mut w = world();
    let taken = w.send("bins/bin-1", r#"{"distance":1101}"#);
    let observations = taken.arrival.unwrap().observations;
    assert_eq!(observations.len(), 1);
    assert_eq!(observations[0].quality, Quality::Implausible);
    let taken = w.send("bins/bin-1", r#"{"distance":1050}"#);
    let observations = taken.arrival.unwrap().observations;
    assert_eq!(
        observations[1].value,
        Value::Measurement {
            quantity: Quantity::Fill,
            value: 0.0
        }
    );
}

#[test]
fn a_clock_a_year_off_is_not_believed_but_the_value_is() {
    let mut w = world();
    let taken = w.send(
        "bins/bin-1",
        r#"{"seq":1,"time":"2025-03-01T00:00:00Z","fill":5}"#,
    );
    let arrival = taken.arrival.unwrap();
    assert_eq!(arrival.observations[0].quality, Quality::ClockSuspect);
    assert_eq!(arrival.observations[0].at, w.now.wall);
    assert_eq!(
        arrival.device_time,
        Some("2025-03-01T00:00:00Z".parse().unwrap())
    );
}

#[test]
fn every_offence_is_refused_counted_and_reported_once() {
    type Case = (
        &'static str,
        fn(&mut World) -> Taken,
        fn(&SourceCounters) -> u64,
    );
    let cases: [Case; 4] = [
        (
            "not understood: /fill",
            |w| w.send("bins/bin-1", r#"{"fill":"x"}"#),
            |c| c.garbage.get(),
        ),
        (
            "it calls itself \"bin-2\"",
            |w| w.send("bins/bin-1", r#"{"id":"bin-2","fill":1}"#),
            |c| c.foreign.get(),
        ),
        (
            "it publishes to \"bins/bin-2\"",
            |w| {
                let m = Message {
                    login: Some("bin-1"),
                    ..message("bins/bin-2", b"{\"fill\":1}")
                };
                w.intake.take(m, w.now)
            },
            |c| c.foreign.get(),
        ),
        (
            "it publishes to \"nowhere\"",
            |w| {
                let m = Message {
                    login: Some("bin-1"),
                    ..message("nowhere", b"{\"fill\":1}")
                };
                w.intake.take(m, w.now)
            },
            |c| c.foreign.get(),
        ),
    ];
    for (want, send, counter) in cases {
        let mut w = world();
        let taken = send(&mut w);
        assert!(taken.arrival.is_none());
        assert!(reason(&taken).unwrap().contains(want), "{taken:?}");
        assert_eq!(taken.report.unwrap().subject.as_ref(), "bin-1");
        for _ in 0..3 {
            assert!(send(&mut w).report.is_none(), "{want} is reported again");
        }
        assert_eq!((counter(&w.counters), w.counters.refused.get()), (4, 4));

        // The others are not touched, and its own good messages still count.
        assert!(w.send("bins/bin-2", r#"{"fill":1}"#).arrival.is_some());
        assert!(w.send("bins/bin-1", r#"{"fill":1}"#).arrival.is_some());

        assert!(w.intake.tick(w.now).is_empty());
        w.pass(QUIET);
        let over = w.intake.tick(w.now);
        assert_eq!(over.len(), 1);
        assert_eq!(over[0].observations[0].value, Value::Health(Health::Ok));
        assert!(w.intake.tick(w.now).is_empty());
    }
}

#[test]
fn a_replay_is_refused_and_a_redelivery_is_not() {
    let mut w = world();
    let text = r#"{"seq":9,"fill":1}"#;
    let first = w.send("bins/bin-1", text);
    let mark = first.mark.unwrap();
    // Not on disk yet: taken again, because the first may still be lost.
    assert!(w.send("bins/bin-1", text).arrival.is_some());
    w.intake.settle(mark, Fate::Durable);
    // On disk, never acknowledged: acknowledge now, do nothing.
    let again = w.send("bins/bin-1", text);
    assert!(again.arrival.is_none() && again.report.is_none());
    assert_eq!(w.counters.repeated.get(), 1);
    w.intake.settle(mark, Fate::Acknowledged);
    let replay = w.send("bins/bin-1", text);
    assert!(reason(&replay).unwrap().contains("message 9"));
    assert_eq!(w.counters.replayed.get(), 1);
    let c = &w.counters;
    assert_eq!(
        c.received.get(),
        c.accepted.get() + c.refused.get() + c.repeated.get()
    );
}

#[test]
fn a_flood_is_cut_and_leaves_the_others_alone() {
    let mut w = world();
    let mut taken = 0;
    let mut reports = 0;
    for _ in 0..10_000 {
        let got = w.send("bins/bin-1", r#"{"fill":1}"#);
        taken += u32::from(got.arrival.is_some());
        reports += u32::from(reason(&got).is_some_and(|r| r.contains("10 messages a second")));
    }
    assert_eq!((taken, reports), (6_000, 1));
    assert_eq!(w.counters.flooded.get(), 4_000);
    assert!(w.send("bins/bin-2", r#"{"fill":1}"#).arrival.is_some());
    // What we made wait is let through after our own absence.
    w.intake.grant(None, Duration::from_secs(10));
    assert!(w.send("bins/bin-1", r#"{"fill":1}"#).arrival.is_some());
}

#[test]
fn retained_messages_count_only_with_a_fresh_clock() {
    let w = world();
    let retained = |payload| Message {
        retain: true,
        ..message("bins/bin-1", payload)
    };
    for old in [
        &br#"{"fill":99}"#[..],
        br#"{"fill":99,"time":"2026-02-01T00:00:00Z"}"#,
    ] {
        let taken = w.intake.take(retained(old), w.now);
        assert!(taken.arrival.is_none() && taken.report.is_none());
    }
    assert_eq!(w.counters.stale.get(), 2);
    let fresh = br#"{"fill":99,"seq":1,"time":"2026-03-01T00:00:00Z"}"#;
    let taken = w.intake.take(retained(fresh), w.now);
    w.intake.settle(taken.mark.unwrap(), Fate::Acknowledged);
    assert!(taken.arrival.is_some());
    // Again at the next subscription: no news, and no offence.
    let taken = w.intake.take(retained(fresh), w.now);
    assert!(taken.arrival.is_none() && taken.report.is_none());
    // Retained garbage is the device's fault.
    let taken = w.intake.take(retained(b"\x00"), w.now);
    assert!(taken.report.is_some());
}

#[test]
fn unknown_topics_are_counted_in_bounded_memory() {
    let mut w = world();
    for n in [MAX_UNKNOWN, 1, 9 * MAX_UNKNOWN] {
        for i in 0..n {
            let taken = w.send(&format!("unknown/{n}/{i}"), "{}");
            assert!(taken.arrival.is_none() && taken.report.is_none());
        }
        assert_eq!(w.intake.unknown.lock().unwrap().len(), MAX_UNKNOWN);
    }
    assert_eq!(w.counters.unknown.get(), 10 * MAX_UNKNOWN as u64 + 1);
    // A device of another broker is unknown here.
    assert!(w.send("bins/x", r#"{"fill":1}"#).arrival.is_none());
}

#[test]
fn a_message_too_large_to_read_is_refused_like_any_other() {
    let w = world();
    let taken = w.intake.oversize("bins/bin-1", 100_000, None, w.now);
    assert!(
        reason(&taken)
            .unwrap()
            .contains("100000 bytes, at most 8192")
    );
    let taken = w.intake.oversize("nowhere", 100_000, None, w.now);
    assert!(taken.report.is_none());
    assert_eq!((w.counters.garbage.get(), w.counters.unknown.get()), (1, 1));
}

#[test]
fn every_offence_is_told_in_both_languages() {
    assert_bilingual([
        Offence::Flood(2.0),
        Offence::Garbage(PayloadError::Empty),
        Offence::ForeignId("bin-2".into()),
        Offence::ForeignTopic("bins/bin-2".into()),
        Offence::Replay("9".into()),
    ]);
}
