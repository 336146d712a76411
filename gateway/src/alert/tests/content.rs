//! What messages say.

use super::*;
use AlertState::{Cleared, Raised, Updated};

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
    assert_eq!(
        device.data.text.zh,
        "海棠路12号“3号垃圾箱”设备异常隔离:发生故障。"
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
fn a_fault_is_told_in_chinese_to_some_and_in_english_to_others() {
    let mut s = Station::new(config(
        vec![device("bin-3", vec![healthy(EventKind::DeviceSilent)])],
        vec![camera("gate", vec![healthy(EventKind::CameraFault)])],
    ));
    let cases = [
        (
            "gate",
            EventKind::CameraFault,
            text(
                "用户名或密码错误,请检查 `username` 和 `password`",
                "camera refuses user name or password; check `username` and `password`",
            ),
            "海棠社区城管工作室“gate”摄像头故障:用户名或密码错误,请检查 `username` 和 `password`。",
            "Camera fault at gate (海棠社区城管工作室): camera refuses user name or password; check `username` and `password`.",
        ),
        (
            "bin-3",
            EventKind::DeviceSilent,
            text(
                "总线 rs485 单元 7:500ms 内无应答",
                "unit 7 on bus rs485: no answer within 500ms",
            ),
            "海棠路12号“3号垃圾箱”设备离线:总线 rs485 单元 7:500ms 内无应答。",
            "Device offline at 3号垃圾箱 (海棠路12号): unit 7 on bus rs485: no answer within 500ms.",
        ),
        (
            "bin-3",
            EventKind::DeviceQuarantined,
            text(
                "报文无法解析:报文为空",
                "not understood: the payload is empty",
            ),
            "海棠路12号“3号垃圾箱”设备异常隔离:报文无法解析:报文为空。",
            "Device quarantined at 3号垃圾箱 (海棠路12号): not understood: the payload is empty.",
        ),
    ];
    for (subject, what, reason, zh, en) in cases {
        let fault = Value::Health(Health::Fault { what, reason });
        s.see(&observed(subject, fault, s.now));
        let told = &s.sent.last().unwrap().data;
        assert_eq!((told.state, told.kind), (Raised, what));
        assert_eq!((&*told.text.zh, &*told.text.en), (zh, en));
    }
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
    // The number lives on while nothing happens, and where the older entry is read later.
    s = s.restart(HOUR).restart(HOUR);
    s.see(&measured("bin-4", Quantity::Fill, 95.0, s.now));
    let codes: Vec<_> = s
        .sent
        .iter()
        .map(|m| m.data.platform.event_code.clone().unwrap())
        .collect();
    let expected: Vec<_> = [1, 1, 2, 2, 3, 3, 4, 4, 5]
        .iter()
        .map(|n| format!("5301020102{n:04}"))
        .collect();
    assert_eq!(codes, expected);
}
