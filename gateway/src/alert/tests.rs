use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use wangge_protocol::{
    AlertData, AlertMeasurement, AlertSighting, AlertState, CloudEvent, EventKind, Severity,
    SourceKind,
};

use super::*;
use crate::{
    clock::Now,
    config::{Condition, Config, Crs, Rule},
    observation::{Health, Observation, Quantity, Value},
    rules::{Engine, Finding, Transition, fixtures::*},
    spool::MAX_BODY,
};

type State = BTreeMap<Vec<u8>, Vec<u8>>;
type Message = CloudEvent<AlertData>;

/// A gateway's rules and alerts, and what its spool and platform would have.
struct Station {
    config: Config,
    now: Now,
    engine: Engine,
    ledger: Ledger,
    /// What is durable.
    state: State,
    sent: Vec<Message>,
    restored: Vec<Unreadable>,
}

impl Station {
    fn new(config: Config) -> Self {
        Self::start(config, State::new(), at(Duration::ZERO))
    }

    fn bin(rules: Vec<Arc<Rule>>) -> Self {
        Self::new(config(vec![device("bin-3", rules)], vec![]))
    }

    fn start(config: Config, state: State, now: Now) -> Self {
        let stored: Vec<_> = state.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut ledger = Ledger::restore(&config, &stored, now).unwrap();
        let restored = ledger.take_restored();
        assert_eq!(ledger.take_restored(), Restored::default());
        let open: Vec<_> = ledger.open().collect();
        let engine = Engine::new(
            &config.devices,
            &config.cameras,
            config.station.time_zone.clone(),
            &open,
            now,
        );
        let mut station = Station {
            config,
            now,
            engine,
            ledger,
            state,
            sent: Vec::new(),
            restored: restored.unreadable,
        };
        for change in restored.state {
            station.store(change);
        }
        for outbound in restored.cleared {
            station.send(outbound);
        }
        station
    }

    /// Kill and start again `off` later, with what was durable.
    fn restart(self, off: Duration) -> Self {
        let now = Now {
            wall: self.now.wall + off,
            mono: Duration::ZERO,
        };
        let mut next = Station::start(self.config, self.state, now);
        next.sent.splice(0..0, self.sent);
        next
    }

    fn pass(&mut self, time: Duration) {
        self.now.wall += time;
        self.now.mono += time;
        self.tick();
    }

    fn tick(&mut self) {
        let (mut findings, mut due) = (Vec::new(), Vec::new());
        self.engine.tick(self.now, &mut findings);
        due.extend(
            findings
                .into_iter()
                .filter_map(|f| self.ledger.apply(f, self.now)),
        );
        self.ledger.tick(self.now, &mut due);
        due.into_iter().for_each(|o| self.send(o));
    }

    fn reads(&mut self, quantity: Quantity, value: f64) {
        self.see(&measured("bin-3", quantity, value, self.now));
    }

    fn see(&mut self, observation: &Observation) {
        for outbound in self.caused(observation) {
            self.send(outbound);
        }
    }

    fn caused(&mut self, observation: &Observation) -> Vec<Outbound> {
        let mut findings = Vec::new();
        self.engine.step(observation, self.now, &mut findings);
        findings
            .into_iter()
            .filter_map(|f| self.ledger.apply(f, self.now))
            .collect()
    }

    /// One durable batch: the message and the state that goes with it.
    fn send(&mut self, outbound: Outbound) {
        assert!(outbound.body.len() <= MAX_BODY);
        let message: Message = serde_json::from_slice(&outbound.body).unwrap();
        assert_eq!(message.id, outbound.event_id);
        assert_eq!(message.data.alert_id, outbound.alert_id);
        assert_eq!(message.data.evidence, outbound.evidence);
        assert_eq!(message.data.state, outbound.state);
        self.sent.push(message);
        self.store(outbound.state_change);
    }

    fn store(&mut self, (key, value): (Vec<u8>, Option<Vec<u8>>)) {
        match value {
            Some(value) => self.state.insert(key, value),
            None => self.state.remove(&key),
        };
    }

    fn states(&self) -> Vec<AlertState> {
        self.sent.iter().map(|m| m.data.state).collect()
    }

    fn ids(&self) -> std::collections::BTreeSet<&str> {
        self.sent.iter().map(|m| &*m.data.alert_id).collect()
    }
}

use AlertState::{Cleared, Raised, Updated};

fn alert_schema() -> jsonschema::Validator {
    let schemas = wangge_protocol::schemas();
    let (_, schema) = schemas.iter().find(|(n, _)| *n == "alert.json").unwrap();
    jsonschema::validator_for(schema).unwrap()
}

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
fn pictures_wait_for_the_next_message() {
    let mut s = Station::new(config(
        vec![],
        vec![camera("gate", vec![stall(10 * SECOND, MINUTE)])],
    ));
    let see = |s: &mut Station, value: Value| s.see(&observed("gate", value, s.now));
    see(&mut s, sighting("umbrella", 10 * SECOND, vec![picture(1)]));
    see(&mut s, sighting("umbrella", 11 * SECOND, vec![picture(2)]));
    see(&mut s, sighting("umbrella", 30 * SECOND, vec![]));
    s.pass(20 * MINUTE);
    see(&mut s, sighting("umbrella", 31 * SECOND, vec![picture(3)]));
    see(&mut s, empty(MINUTE));
    assert_eq!(s.states(), [Raised, Updated, Cleared]);
    let pictures: Vec<_> = s.sent.iter().map(|m| m.data.evidence.clone()).collect();
    assert_eq!(pictures, [[picture(1)], [picture(2)], [picture(3)]]);
    let data = &s.sent[0].data;
    assert_eq!(data.source, SourceKind::Camera);
    assert_eq!(data.platform.source_name, "视频智能识别");
    assert_eq!(data.platform.event_code.as_deref(), Some("5301020504"));
    assert_eq!(
        data.text.zh,
        "海棠社区城管工作室“gate”发现店外经营:遮阳伞停留10秒。"
    );
    assert_eq!(
        data.text.en,
        "Shop beyond its line at gate (海棠社区城管工作室): umbrella there for 10 s."
    );
    assert_eq!(data.occurred_at, "2026-11-22T05:59:50Z");
    assert_eq!(s.sent[2].data.sighting, None);
    let schema = alert_schema();
    for message in &s.sent {
        schema
            .validate(&serde_json::to_value(message).unwrap())
            .unwrap();
    }
}

#[test]
fn health_of_devices_and_of_the_gateway() {
    let mut s = Station::bin(vec![healthy(EventKind::DeviceQuarantined)]);
    let fault = |what, reason: &str| {
        Value::Health(Health::Fault {
            what,
            reason: reason.into(),
        })
    };
    let o = observed(
        "bin-3",
        fault(EventKind::DeviceQuarantined, "200 messages a second."),
        s.now,
    );
    s.see(&o);
    let o = observed(
        "spool",
        fault(EventKind::StorageFault, "the disk is full"),
        s.now,
    );
    s.see(&o);
    let [device, spool] = &s.sent[..] else {
        panic!("{:?}", s.sent)
    };
    assert_eq!(
        device.data.text.en,
        "Device quarantined at 3号垃圾箱 (海棠路12号): 200 messages a second."
    );
    assert_eq!(device.data.platform.event_code, None, "no made-up code");
    assert_eq!(spool.data.source, SourceKind::Gateway);
    assert_eq!(spool.data.severity, Severity::Critical);
    assert_eq!(spool.data.place.unit_grid, "530102001002000");
    s = s.restart(MINUTE);
    assert_eq!(
        s.ledger.open().count(),
        2,
        "parts of the gateway are not removed devices"
    );
    s.see(&observed("spool", Value::Health(Health::Ok), s.now));
    assert_eq!(s.states(), [Raised, Raised, Cleared]);
    assert!(s.sent[2].data.text.zh.contains("已恢复正常"));
    let alert_ids: Vec<_> = s.sent.iter().map(|m| &m.data.alert_id).collect();
    assert_eq!(alert_ids[1], alert_ids[2]);
    assert_eq!(s.ledger.open_on("bin-3"), Some("health"));
}

#[test]
fn sentences() {
    let rate = Condition::Rate {
        quantity: Quantity::Temperature,
        per_minute: 10.0,
        window: MINUTE,
    };
    let night = Condition::NightFlow {
        from: "02:00".parse().unwrap(),
        to: "05:00".parse().unwrap(),
        min_flow: 0.02,
        hold: 2 * HOUR,
    };
    let figure = |quantity: Quantity, value, limit| AlertMeasurement {
        quantity: quantity.slug().into(),
        value,
        unit: quantity.unit().into(),
        limit: Some(limit),
    };
    let cases: [(EventKind, Condition, Option<AlertMeasurement>, &str, &str); 4] = [
        (
            EventKind::BinFire,
            rate,
            Some(figure(Quantity::Temperature, 85.0, 10.0)),
            "海棠路12号“3号垃圾箱”垃圾箱起火:温度85°C,变化达到每分钟10°C。",
            "Fire in a bin at 3号垃圾箱 (海棠路12号): temperature 85 °C, changing by 10 °C a minute or more.",
        ),
        (
            EventKind::WaterLeak,
            night,
            Some(figure(Quantity::Flow, 0.05, 0.02)),
            "海棠路12号“3号垃圾箱”疑似漏水:夜间连续2小时用水不断,流量0.05m³/h。",
            "Suspected water leak at 3号垃圾箱 (海棠路12号): water ran for 2 h of the night without a pause, flow 0.05 m³/h.",
        ),
        (
            EventKind::DeviceSilent,
            Condition::Absence { after: 30 * MINUTE },
            None,
            "海棠路12号“3号垃圾箱”设备离线:超过30分钟没有数据。",
            "Device offline at 3号垃圾箱 (海棠路12号): nothing heard for 30 min.",
        ),
        (
            EventKind::BurstSuspected,
            Condition::Burst {
                flow: 20.0,
                hold: MINUTE,
            },
            Some(figure(Quantity::Flow, 25.25, 20.0)),
            "海棠路12号“3号垃圾箱”疑似爆管:流量25.2m³/h,限值20m³/h。",
            "Suspected burst pipe at 3号垃圾箱 (海棠路12号): flow 25.2 m³/h, limit 20 m³/h.",
        ),
    ];
    for (kind, when, measurement, zh, en) in cases {
        let mut s = Station::bin(vec![rule("r", kind, when)]);
        let finding = Finding {
            measurement,
            ..plain(kind, Transition::Began, s.now)
        };
        let outbound = s.ledger.apply(finding, s.now).unwrap();
        assert_eq!((&*outbound.text.zh, &*outbound.text.en), (zh, en));
        s.send(outbound);
    }
}

fn plain(kind: EventKind, what: Transition, now: Now) -> Finding {
    Finding {
        subject: "bin-3".into(),
        rule: "r".into(),
        kind,
        severity: kind.default_severity(),
        what,
        at: now.wall,
        measurement: None,
        sighting: None,
        evidence: Vec::new(),
        reason: None,
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

#[test]
fn coordinates_as_the_profile_wants_them() {
    for (crs, name, x, y) in [
        (Crs::Wgs84, "wgs84", 102.7, 25.04),
        (Crs::Gcj02, "gcj02", 102.701_3, 25.037),
        (Crs::Epsg3857, "epsg3857", 11_432_511.5, 2_880_900.0),
    ] {
        let mut config = config(vec![device("bin-3", vec![full(Duration::ZERO)])], vec![]);
        let mut profile = (*config.profile).clone();
        profile.crs = crs;
        config.profile = Arc::new(profile);
        let mut s = Station::new(config);
        s.reads(Quantity::Fill, 95.0);
        let data = &s.sent[0].data;
        assert_eq!(data.platform.crs, name);
        let tolerance = if crs == Crs::Epsg3857 { 500.0 } else { 1e-3 };
        assert!(
            (data.platform.x - x).abs() < tolerance,
            "{}",
            data.platform.x
        );
        assert!(
            (data.platform.y - y).abs() < tolerance,
            "{}",
            data.platform.y
        );
        assert_eq!((data.place.lon, data.place.lat), (102.7, 25.04));
    }
}

#[test]
fn sequence_numbers_rise_over_restarts_and_stay_with_their_alert() {
    let mut config = config(
        vec![
            device("bin-3", vec![full(Duration::ZERO)]),
            device("bin-4", vec![full(Duration::ZERO)]),
        ],
        vec![],
    );
    let mut profile = (*config.profile).clone();
    profile.event_code = "{division}{class}{subclass}{sequence:4}".into();
    config.profile = Arc::new(profile);
    let mut s = Station::new(config);
    for device in ["bin-3", "bin-4", "bin-4", "bin-3"] {
        for value in [95.0, 10.0] {
            s.see(&measured(device, Quantity::Fill, value, s.now));
        }
        s.pass(2 * REOPEN);
        s = s.restart(HOUR);
    }
    let codes: Vec<_> = s
        .sent
        .iter()
        .map(|m| m.data.platform.event_code.clone().unwrap())
        .collect();
    let expected: Vec<_> = [1, 1, 2, 2, 3, 3, 4, 4]
        .iter()
        .map(|n| format!("5301020102{n:04}"))
        .collect();
    assert_eq!(codes, expected);
}

/// The worst of everything that a configuration, a model or a source can bring.
fn huge(evidence: u8) -> (Config, Finding) {
    let long = |c: char, n: usize| c.to_string().repeat(n);
    let id = long('i', MAX_ID);
    let mut device = (*device(&id, vec![])).clone();
    device.name = Some(long('"', 10_000));
    device.address = Some(long('海', 10_000));
    device.lon = -179.123_456_789_012_34;
    device.lat = -0.000_012_345_678_901_234;
    let rule_id = long('r', MAX_ID);
    device.rules = vec![rule(
        &rule_id,
        EventKind::PublicSpaceEncroachment,
        Condition::Health,
    )];
    let mut config = config(vec![Arc::new(device)], vec![]);
    config.station.id = long('s', MAX_ID).into();
    let mut profile = (*config.profile).clone();
    profile.id = long('p', profile::MAX_ID);
    profile.event_code = format!("{}{{sequence:9}}", long('e', profile::MAX_TEMPLATE - 12));
    profile.crs = Crs::Epsg3857;
    for name in profile.sources.values_mut() {
        *name = long('"', profile::MAX_NAME);
    }
    profile.codes.insert(
        EventKind::PublicSpaceEncroachment,
        crate::config::EventCode {
            class: long('c', profile::MAX_CODE),
            subclass: long('d', profile::MAX_CODE),
            name: long('\\', profile::MAX_NAME),
        },
    );
    config.profile = Arc::new(profile);
    let seen = AlertSighting {
        zone: long('"', 1_000),
        label: long('\u{1}', 1_000),
        score: 0.123_456_79,
        bbox: [0.123_456_79; 4],
        dwell_s: 123_456.789_012_345,
        track: u64::MAX,
        model: long('模', 1_000),
        model_hash: long('f', 16),
        human_confirmed: false,
    };
    let pictures = (0..evidence).map(|n| EvidenceRef {
        bytes: 20_000_000,
        taken_at: "2026-11-22T06:00:00.123456789Z".into(),
        ..picture(n)
    });
    let finding = Finding {
        subject: id.as_str().into(),
        rule: rule_id,
        kind: EventKind::PublicSpaceEncroachment,
        severity: Severity::Critical,
        what: Transition::Began,
        at: timestamp("2026-11-22T06:00:00.123456789Z"),
        measurement: Some(AlertMeasurement {
            quantity: "temperature".into(),
            value: -0.000_012_345_678_901_234,
            unit: "m3/h".into(),
            limit: Some(-0.000_012_345_678_901_234),
        }),
        sighting: Some(seen),
        evidence: pictures.collect(),
        reason: Some(long('\n', 10_000) + &long('长', 10_000)),
    };
    (config, finding)
}

#[test]
fn the_worst_message_fits() {
    let schema = alert_schema();
    for (given, kept) in [(0, 0), (4, 4), (5, 4), (40, 4)] {
        let (config, mut finding) = huge(given);
        finding
            .evidence
            .iter_mut()
            .for_each(|e| e.media_type = "image/jpeg".into());
        let now = Now {
            wall: timestamp("2026-11-22T06:00:00.123456789Z"),
            mono: Duration::ZERO,
        };
        let mut ledger = Ledger::restore(&config, &[], now).unwrap();
        let raised = ledger.apply(finding.clone(), now).unwrap();
        finding.what = Transition::Ended;
        let cleared = ledger.apply(finding, now).unwrap();
        for outbound in [raised, cleared] {
            let size = outbound.body.len();
            println!("{given} pictures: {size} bytes");
            assert!(size <= MAX_BODY, "{size} bytes");
            let message: serde_json::Value = serde_json::from_slice(&outbound.body).unwrap();
            schema.validate(&message).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(outbound.evidence.len(), kept);
            let (_, value) = &outbound.state_change;
            assert!(value.as_ref().unwrap().len() <= 4_096, "R3");
            assert!(outbound.text.zh.ends_with('…'));
            assert!(!outbound.text.en.is_empty());
        }
    }
}

#[test]
fn texts_are_cut_at_the_limit() {
    use super::message::cut;
    let cut = |text: &str, max| {
        let mut text = text.to_owned();
        cut(&mut text, max);
        text
    };
    assert_eq!(cut("abcdef", 6), "abcdef");
    assert_eq!(cut("abcdefg", 6), "abc…");
    assert_eq!(cut("海棠", 6), "海棠");
    assert_eq!(cut("海棠路", 8), "海…");
    assert_eq!(cut("海棠路", 9), "海棠路");
    assert_eq!(cut("\"\"\"\"", 8), "\"\"\"\"");
    assert_eq!(cut("\"\"\"\"\"", 8), "\"\"…");
    assert_eq!(cut("a\u{0}b\nc\u{7f}", 6), "a b c ");
    assert_eq!(cut("", 0), "");
    assert_eq!(cut("海", 0), "…");
    for max in 3..200 {
        let text = cut(&"a\"海😀\\".repeat(40), max);
        let json = serde_json::to_string(&text).unwrap();
        assert!(json.len() - 2 <= max, "{max}: {json}");
    }
}

#[test]
fn long_ids_and_bad_templates_are_refused_by_name() {
    let fails = |config: &Config| Ledger::restore(config, &[], at(Duration::ZERO)).unwrap_err();
    for (len, ok) in [(MAX_ID, true), (MAX_ID + 1, false), (MAX_ID * 10, false)] {
        let id = "x".repeat(len);
        let mut configs = vec![
            config(vec![device(&id, vec![])], vec![]),
            config(vec![], vec![camera(&id, vec![])]),
            config(
                vec![device(
                    "d",
                    vec![rule(&id, EventKind::BinFire, Condition::Health)],
                )],
                vec![],
            ),
            config(vec![], vec![]),
        ];
        configs[3].station.id = id.as_str().into();
        for (config, what) in configs.iter().zip(["device", "camera", "rule", "station"]) {
            if ok {
                Ledger::restore(config, &[], at(Duration::ZERO)).unwrap();
            } else {
                let id = id.clone();
                assert_eq!(fails(config), AlertError::IdTooLong { what, id });
            }
        }
    }
    let mut config = config(vec![], vec![]);
    let mut profile = (*config.profile).clone();
    profile.event_code = "{klass}".into();
    config.profile = Arc::new(profile);
    assert_eq!(
        fails(&config),
        AlertError::Template(TemplateError::Unknown("klass".into()))
    );
}

/// What a platform would keep of one alert.
#[derive(Default)]
struct Kept {
    revision: u32,
    open: bool,
    cleared: u32,
    reopened: u32,
}

#[derive(Clone, Debug)]
enum Act {
    Read(f64),
    Health(bool),
    Wait(u64),
    Restart,
    /// Killed after the message was made and before it was durable.
    Lost(f64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0.0..100.0_f64).prop_map(Act::Read),
        2 => any::<bool>().prop_map(Act::Health),
        3 => (1u64..600).prop_map(Act::Wait),
        1 => Just(Act::Restart),
        1 => (0.0..100.0_f64).prop_map(Act::Lost),
    ]
}

proptest! {
    /// Killed at any point: each alert is raised once, its id and its revisions go on without
    /// a gap, it is cleared once for each time it was open, no (device, rule) has two alerts
    /// open, and when all is well in the end all are cleared.
    #[test]
    fn alerts_stay_whole_over_restarts(acts in prop::collection::vec(act(), 1..120)) {
        let mut s = Station::bin(vec![
            full(Duration::ZERO),
            silent(5 * MINUTE),
            healthy(EventKind::DeviceQuarantined),
        ]);
        let health = |s: &Station, ok| {
            let value = Value::Health(if ok {
                Health::Ok
            } else {
                Health::Fault { what: EventKind::DeviceQuarantined, reason: "garbage".into() }
            });
            observed("bin-3", value, s.now)
        };
        for act in acts {
            match act {
                Act::Read(value) => s.reads(Quantity::Fill, value),
                Act::Health(ok) => {
                    let o = health(&s, ok);
                    s.see(&o);
                }
                Act::Wait(seconds) => s.pass(Duration::from_secs(seconds)),
                Act::Restart => s = s.restart(SECOND),
                Act::Lost(value) => {
                    let o = measured("bin-3", Quantity::Fill, value, s.now);
                    s.caused(&o);
                    s = s.restart(SECOND);
                    // Nobody acknowledged the reading, so it comes again.
                    s.reads(Quantity::Fill, value);
                }
            }
        }
        s.reads(Quantity::Fill, 0.0);
        let o = health(&s, true);
        s.see(&o);
        s.pass(REOPEN);

        let mut alerts: BTreeMap<&str, Kept> = BTreeMap::new();
        let mut open: BTreeMap<&str, &str> = BTreeMap::new();
        for Message { data, .. } in &s.sent {
            let kept = alerts.entry(&data.alert_id).or_default();
            prop_assert_eq!(data.revision, kept.revision + 1);
            kept.revision += 1;
            match data.state {
                Raised => {
                    prop_assert_eq!(data.revision, 1);
                    prop_assert_eq!(open.insert(&data.rule, &data.alert_id), None);
                }
                Updated => {
                    if !kept.open {
                        kept.reopened += 1;
                        prop_assert_eq!(open.insert(&data.rule, &data.alert_id), None);
                    }
                }
                Cleared => {
                    prop_assert!(kept.open, "cleared twice");
                    kept.cleared += 1;
                    prop_assert_eq!(open.remove(&*data.rule), Some(&*data.alert_id));
                }
            }
            kept.open = data.state != Cleared;
        }
        // Only silence can still be open or not: someone was heard just now.
        prop_assert!(open.keys().all(|rule| *rule == "silent"), "{:?}", open);
        for kept in alerts.values() {
            prop_assert_eq!(kept.cleared + u32::from(kept.open), 1 + kept.reopened);
        }
    }
}
