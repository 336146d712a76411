//! Messages, texts and ids at their limits.

use super::*;
use crate::config::platform as profile;

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
    for source in profile.sources.values_mut() {
        source.name = long('"', profile::MAX_NAME);
        source.id = Some(long('i', profile::MAX_CODE));
    }
    profile.conditions = vec![crate::config::FilingCondition {
        kind: EventKind::PublicSpaceEncroachment,
        severity: None,
        id: None,
        name: long('"', profile::MAX_NAME),
    }];
    profile.codes.insert(
        EventKind::PublicSpaceEncroachment,
        crate::config::EventCode {
            class: long('c', profile::MAX_CODE),
            class_name: None,
            middle: None,
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
        story: None,
        full_bin: None,
        overrun: Some(wangge_protocol::Overrun {
            metres: 99.123,
            error_m: 99.123,
            along_m: 999.123,
            along_error_m: 999.123,
            limit_m: 19.123,
        }),
        forbidden_since: Some("2026-11-22T06:00:00.123456789Z".into()),
        permit: Some(long('"', 1_000)),
    };
    let pictures = (0..evidence).map(|n| EvidenceRef {
        bytes: 20_000_000,
        thumbnail: Some(long('f', 16)),
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
        reason: Some(Text {
            zh: long('\n', 10_000) + &long('长', 10_000),
            en: long('\n', 10_000) + &long('长', 10_000),
        }),
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
        let mut configs = [
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

/// The published schema of device readings and what the gateway believes are one.
#[test]
fn device_readings_have_every_quantity_with_its_bounds() {
    let schemas = wangge_protocol::schemas();
    let (_, schema) = schemas.iter().find(|(n, _)| *n == "reading.json").unwrap();
    for quantity in Quantity::ALL {
        let property = &schema["properties"][quantity.slug()];
        assert!(property.is_object(), "{quantity:?}");
        let (least, most) = quantity.plausible();
        let bound = |key, none| property[key].as_f64().unwrap_or(none);
        assert_eq!(
            (bound("minimum", f64::MIN), bound("maximum", f64::MAX)),
            (least, most),
            "{quantity:?}"
        );
    }
}
