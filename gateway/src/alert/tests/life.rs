//! From raised to cleared: rate limits, flapping, restarts.

use super::*;
use AlertState::{Cleared, Raised, Updated};

#[test]
fn one_alert_from_raised_to_cleared() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    s.reads(Quantity::Fill, 93.0);
    s.pass(15 * MINUTE);
    s.reads(Quantity::Fill, 98.5);
    s.pass(HOUR);
    s.reads(Quantity::Fill, 12.0);
    assert_eq!(s.states(), [Raised, Updated, Cleared]);
    assert_eq!(s.ids().len(), 1);
    let schema = alert_schema();
    for (i, message) in s.sent.iter().enumerate() {
        schema
            .validate(&serde_json::to_value(message).unwrap())
            .unwrap_or_else(|e| panic!("{e}: {message:#?}"));
        assert_eq!(message.data.revision, 1 + i as u32);
        assert_eq!(message.subject, message.data.alert_id);
    }
    let Message { id, data, time, .. } = &s.sent[0];
    assert_ne!(id, &s.sent[1].id);
    assert_eq!(time, "2026-11-22T06:00:00Z");
    assert_eq!(data.kind, EventKind::BinOverflow);
    assert_eq!(data.source, SourceKind::Mqtt);
    assert_eq!((&*data.occurred_at, &*data.raised_at), (&**time, &**time));
    assert_eq!(
        data.text.zh,
        "海棠路12号“3号垃圾箱”垃圾箱满溢:满溢度93%,限值90%。"
    );
    assert_eq!(
        data.text.en,
        "Bin overflow at 3号垃圾箱 (海棠路12号): fill 93 %, limit 90 %."
    );
    assert_eq!(data.platform.event_code.as_deref(), Some("5301020102"));
    assert_eq!(data.platform.source_name, "物联感知设备");
    assert_eq!((data.platform.x, data.platform.y), (102.7, 25.04));
    assert_eq!(data.place.unit_grid, "530102001002001");
    let text = &s.sent[1].data.text;
    assert_eq!(
        text.zh,
        "海棠路12号“3号垃圾箱”垃圾箱满溢仍在持续:满溢度98.5%,限值90%。"
    );
    let last = &s.sent[2].data;
    assert_eq!(
        last.text.en,
        "Bin overflow is over at 3号垃圾箱 (海棠路12号): fill 12 %."
    );
    assert_eq!(last.cleared_at.as_deref(), Some("2026-11-22T07:15:00Z"));
    assert_eq!(last.raised_at, "2026-11-22T06:00:00Z");
}

#[test]
fn updates_wait_and_the_newest_figures_are_not_lost() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    s.reads(Quantity::Fill, 90.0);
    for value in [95.0, 100.0, 94.0] {
        s.pass(MINUTE);
        s.reads(Quantity::Fill, value);
    }
    assert_eq!(s.states(), [Raised]);
    s.pass(12 * MINUTE - SECOND);
    assert_eq!(s.states(), [Raised], "a second too soon");
    s.pass(SECOND);
    assert_eq!(s.states(), [Raised, Updated]);
    assert_eq!(s.sent[1].data.measurement.as_ref().unwrap().value, 94.0);
    s.pass(HOUR);
    assert_eq!(s.states(), [Raised, Updated], "nothing new, nothing said");
}

#[test]
fn a_flapping_condition_is_no_storm() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    for _ in 0..3_600 {
        s.reads(Quantity::Fill, 95.0);
        assert_eq!(s.ledger.open_on("bin-3"), Some("full"));
        s.pass(SECOND / 2);
        s.reads(Quantity::Fill, 10.0);
        assert_eq!(s.ledger.open_on("bin-3"), None);
        s.pass(SECOND / 2);
    }
    s.pass(REOPEN);
    // Raised, cleared, reopened; an update each quarter of an hour; then the end.
    assert_eq!(
        s.states(),
        [Raised, Cleared, Updated, Updated, Updated, Updated, Cleared]
    );
    assert_eq!(s.ids().len(), 1);
    assert_eq!(s.sent[2].data.cleared_at, None, "open again");
    assert_eq!(s.ledger.open().count(), 0);
    s.pass(REOPEN);
    s.reads(Quantity::Fill, 95.0);
    assert_eq!(s.ids().len(), 2, "long after, it is another alert");
}

#[test]
fn reopening_at_the_limit() {
    for (later, ids) in [
        (REOPEN - Duration::from_millis(1), 1),
        (REOPEN, 2),
        (10 * REOPEN, 2),
    ] {
        for restart in [false, true] {
            let mut s = Station::bin(vec![full(Duration::ZERO)]);
            s.reads(Quantity::Fill, 95.0);
            s.reads(Quantity::Fill, 10.0);
            if restart {
                s = s.restart(later);
                s.tick();
            } else {
                s.pass(later);
            }
            s.reads(Quantity::Fill, 95.0);
            assert_eq!(s.ids().len(), ids, "{later:?}, restart {restart}");
            let last = if ids == 1 { Updated } else { Raised };
            assert_eq!(s.states(), [Raised, Cleared, last]);
        }
    }
}

#[test]
fn another_fault_is_another_alert() {
    let mut s = Station::bin(vec![healthy(EventKind::DeviceQuarantined)]);
    for what in [EventKind::DeviceQuarantined, EventKind::MeterFault] {
        s.see(&observed("bin-3", fault(what, what.slug()), s.now));
    }
    assert_eq!(s.states(), [Raised, Cleared, Raised]);
    assert_eq!(s.ids().len(), 2);
    assert_eq!(s.sent[1].data.kind, EventKind::DeviceQuarantined);
    assert_eq!(s.sent[2].data.kind, EventKind::MeterFault);
    s = s.restart(MINUTE);
    s.see(&observed("bin-3", Value::Health(Health::Ok), s.now));
    assert_eq!(s.states().last(), Some(&Cleared));
    assert_eq!(s.sent[3].data.alert_id, s.sent[2].data.alert_id);
}

#[test]
fn a_station_has_so_many_updates_a_minute_and_the_rest_waits() {
    let n = UPDATES_PER_MINUTE as usize * 10;
    let devices = (0..n)
        .map(|i| device(&format!("bin-{i}"), vec![full(Duration::ZERO)]))
        .collect();
    let mut s = Station::new(config(devices, vec![]));
    let all = |s: &mut Station, value| {
        for i in 0..n {
            s.see(&measured(&format!("bin-{i}"), Quantity::Fill, value, s.now));
        }
    };
    all(&mut s, 90.0);
    assert_eq!(s.sent.len(), n, "raised always goes");
    s.pass(15 * MINUTE);
    all(&mut s, 95.0);
    assert_eq!(s.sent.len(), n + UPDATES_PER_MINUTE as usize);
    for minute in 2..=10 {
        s.pass(MINUTE);
        assert_eq!(s.sent.len(), n + minute * UPDATES_PER_MINUTE as usize);
    }
    s.pass(MINUTE);
    assert_eq!(s.sent.len(), 2 * n, "nobody's figures were lost");
    all(&mut s, 10.0);
    assert_eq!(s.sent.len(), 3 * n, "cleared always goes");
}

#[test]
fn a_restart_keeps_id_and_revision() {
    let mut s = Station::bin(vec![full(Duration::ZERO), silent(HOUR)]);
    s.reads(Quantity::Fill, 95.0);
    s = s.restart(MINUTE);
    assert_eq!(s.ledger.open_on("bin-3"), Some("full"));
    s.reads(Quantity::Fill, 96.0);
    s.pass(15 * MINUTE);
    s.reads(Quantity::Fill, 100.0);
    s.reads(Quantity::Fill, 90.0);
    s = s.restart(24 * HOUR);
    s.reads(Quantity::Fill, 1.0);
    assert_eq!(s.states()[0], Raised);
    assert_eq!(s.states().last(), Some(&Cleared));
    assert_eq!(s.ids().len(), 1);
    let revisions: Vec<_> = s.sent.iter().map(|m| m.data.revision).collect();
    assert_eq!(revisions, (1..=revisions.len() as u32).collect::<Vec<_>>());
    assert!(
        s.sent
            .iter()
            .all(|m| m.data.raised_at == "2026-11-22T06:00:00Z")
    );
}

#[test]
fn what_the_configuration_lost_is_cleared_with_a_reason() {
    let open = |s: &mut Station| {
        s.reads(Quantity::Fill, 95.0);
        assert_eq!(s.states(), [Raised]);
    };
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    open(&mut s);
    let place = s.sent[0].data.place.clone();
    s.config = config(vec![], vec![]);
    s = s.restart(MINUTE);
    assert_eq!(s.states(), [Raised, Cleared]);
    let data = &s.sent[1].data;
    assert_eq!(data.alert_id, s.sent[0].data.alert_id);
    assert_eq!((data.revision, &data.place), (2, &place), "where it was");
    assert_eq!(
        data.text.zh,
        "海棠社区城管工作室“bin-3”垃圾箱满溢已解除:设备已从配置中移除。"
    );
    assert_eq!(s.ledger.open().count(), 0);
    s = s.restart(MINUTE);
    assert_eq!(s.states(), [Raised, Cleared], "once");
    s = s.restart(HOUR);
    assert_eq!(s.state, State::new(), "nothing is left of it");

    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    open(&mut s);
    s.config = config(vec![device("bin-3", vec![silent(HOUR)])], vec![]);
    s = s.restart(MINUTE);
    assert_eq!(s.states(), [Raised, Cleared]);
    let text = &s.sent[1].data.text.en;
    assert!(
        text.ends_with("the rule was removed from the configuration."),
        "{text}"
    );
}

#[test]
fn unreadable_state_is_reported_and_forgotten() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    s.reads(Quantity::Fill, 95.0);
    let (key, good) = s.state.pop_first().unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let cases: [(Vec<u8>, Vec<u8>, &str); 7] = [
        (key.clone(), vec![], "EOF"),
        (key.clone(), vec![0xff; 5_000], "expected value"),
        (key.clone(), b"{}".to_vec(), "missing field `version`"),
        (key.clone(), good[..good.len() / 2].to_vec(), "EOF"),
        (
            key.clone(),
            text.replace("\"version\":1", "\"version\":2").into_bytes(),
            "version 2",
        ),
        (
            key.clone(),
            text.replace("bin_overflow", "bin_explosion").into_bytes(),
            "unknown variant",
        ),
        (b"alert/\xff\0full".to_vec(), good.clone(), "another device"),
    ];
    for (key, value, reason) in cases {
        s.sent.clear();
        s.state = State::from([(key, value), (b"high-water".to_vec(), b"not ours".to_vec())]);
        s = s.restart(SECOND);
        assert_eq!(s.restored.len(), 1);
        let report = s.restored[0].to_string();
        assert!(report.contains(reason), "{report}");
        assert!(report.contains("/ full"), "{report}");
        assert_eq!(s.state.len(), 1, "others' keys stay");
        s.reads(Quantity::Fill, 95.0);
        assert_eq!(s.states(), [Raised], "the condition is not lost");
    }
}

#[test]
fn findings_out_of_order_do_no_harm() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    let mut apply = |what| {
        let outbound = s
            .ledger
            .apply(plain(EventKind::BinFire, what, s.now), s.now);
        outbound.map(|o| o.state)
    };
    assert_eq!(apply(Transition::Ended), None);
    assert_eq!(apply(Transition::Continues), Some(Raised));
    assert_eq!(apply(Transition::Began), None);
    assert_eq!(apply(Transition::Ended), Some(Cleared));
    assert_eq!(apply(Transition::Ended), None);
}
