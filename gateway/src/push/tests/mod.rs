//! Templates, and that nothing a device is called can change the shape of a request.

use std::collections::BTreeMap;

use minijinja::Value;
use proptest::prelude::*;
use serde_json::json;
use url::form_urlencoded;
use wangge_protocol::{AlertState, EventKind};

use super::{
    Facts, Occasion,
    facts::picture_values,
    reply::{Sign, Test, text_at},
    request::{Body, MAX_DEPTH, MAX_FIELDS, MadeBody, Method, Node, Request},
    sample,
    template::{FUEL, MAX_SOURCE, MAX_TEXT, Template, TemplateError},
};
use crate::config::{Profile, platform};

fn shipped(name: &str) -> Profile {
    let (_, text) = platform::SHIPPED.iter().find(|(n, _)| *n == name).unwrap();
    platform::parse(text, name).unwrap()
}

fn facts() -> Value {
    let profile = shipped("default");
    let data = sample::alert(EventKind::BinOverflow, AlertState::Raised, true, &profile);
    Facts::new(&data, &profile, &sample::home()).values()
}

fn text(source: &str) -> Result<Option<String>, TemplateError> {
    Template::parse(source)?.text(&facts())
}

fn says(source: &str) -> String {
    text(source).unwrap().unwrap()
}

#[test]
fn templates_say_what_is_known() {
    for (source, expected) in [
        ("事件", "事件"),
        ("{{ kind_zh }}", "垃圾箱满溢"),
        (" {{ division }} ", "530102"),
        ("{{ division }}-{{ street }}", "530102-530102001"),
        ("{{ community }}", "530102001001"),
        ("{{ number }}", "01936b2a7c4e7a108b1c0123456789ac"),
        ("{{ x | fixed(2) }}", "102.71"),
        ("{{ severity }}/{{ severity_level }}", "minor/2"),
        (
            "{{ occurred_at | local('%Y-%m-%d %H:%M:%S') }}",
            "2026-11-26 09:15:00",
        ),
        (
            "{{ occurred_at | local('%Y%m%d%H%M%S') }}",
            "20261126091500",
        ),
        ("{{ text_zh | cut(4) }}", "海棠路1"),
        ("{{ address or station_name }}", "海棠路12号"),
        (
            "{% if human_confirmed %}人工{% else %}智能{% endif %}",
            "智能",
        ),
        ("{{ pictures | length }}", "1"),
        ("{{ pictures[0].file_name }}", "9f86d081884c7d65.jpg"),
        ("{{ tier }}", "city"),
    ] {
        assert_eq!(says(source), expected, "{source}");
    }
    // Nothing to say, so the field is left out.
    for source in [
        "{{ cleared_at }}",
        "{{ cleared_at | local('%Y') }}",
        "{{ case_no }}",
        "{{ none | fixed(2) }}",
        "{{ case_no | cut(3) }}",
    ] {
        assert_eq!(text(source).unwrap(), None, "{source}");
    }
    // In a JSON document an expression keeps its type.
    let typed = |source| Template::parse(source).unwrap().json(&facts()).unwrap();
    assert_eq!(typed("{{ y }}"), Some(json!(25.04)));
    assert_eq!(typed("{{ y }} "), Some(json!(25.04)));
    assert_eq!(typed("y={{ y }}"), Some(json!("y=25.04")));
    assert_eq!(typed("{{ human_confirmed }}"), Some(json!(false)));
    assert_eq!(
        typed("{{ pictures | map(attribute='role') | list }}"),
        Some(json!(["scene"]))
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (source, part) in [
        ("{{ adress }}", "adress is not known"),
        ("{{ pictures[0].sha }}", "is not known"),
        ("x {{ adress }}", "undefined"),
        ("{{ kind", "syntax error"),
        ("{% if kind %}", "syntax error"),
        ("{{ kind | shout }}", "unknown filter"),
        ("{{ kind | local('%Y') }}", "is no time"),
        ("{{ occurred_at | local('%') }}", "%"),
        ("{{ pictures }}", "a text, number or truth value is needed"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "steps",
        ),
        ("{% include 'other' %}", ""),
    ] {
        let error = text(source).unwrap_err().to_string();
        assert!(error.contains(part), "{source}: {error}");
    }
    assert!(text(&"x".repeat(MAX_SOURCE)).is_ok());
    for n in [MAX_SOURCE + 1, MAX_SOURCE * 10] {
        assert_eq!(text(&"x".repeat(n)), Err(TemplateError::Long(n)));
    }
    for (n, fits) in [
        (MAX_TEXT, true),
        (MAX_TEXT + 1, false),
        (MAX_TEXT * 10, false),
    ] {
        assert_eq!(text(&format!("{{{{ 'x' * {n} }}}}")).is_ok(), fits, "{n}");
        assert_eq!(
            text(&format!("{{{{ 'x' * {n} }}}}{{{{ '' }}}}")).is_ok(),
            fits,
            "{n}"
        );
    }
    const { assert!(FUEL < 1_000_000, "a template ends in milliseconds") };
}

#[test]
fn documents_have_limits() {
    let list = |n: usize| json!(vec!["x"; n]);
    assert!(Node::parse(&list(MAX_FIELDS - 1)).is_ok());
    assert!(Node::parse(&list(MAX_FIELDS)).is_err());
    assert!(Node::parse(&list(MAX_FIELDS * 10)).is_err());
    let deep = |n: usize| (1..n).fold(json!("x"), |inner, _| json!([inner]));
    assert!(Node::parse(&deep(MAX_DEPTH)).is_ok());
    assert!(Node::parse(&deep(MAX_DEPTH + 1)).is_err());
    assert!(Node::parse(&deep(MAX_DEPTH * 10)).is_err());
    let error = Node::parse(&json!({"a": [{"b": "{{"}]})).unwrap_err();
    assert_eq!(error.part, "json.a[0].b");
}

#[test]
fn signs_of_replies() {
    let reply = json!({
        "hasError": false, "code": "200", "message": "请先登录", "data": {"id": 7, "none": null}
    });
    let sign = |pointer: &str, test| Sign {
        pointer: pointer.into(),
        test,
    };
    for (pointer, test, expected) in [
        ("/hasError", Test::Equals(json!(false)), true),
        ("/hasError", Test::Equals(json!("false")), false),
        ("/code", Test::Equals(json!(200)), true),
        ("/data/id", Test::Equals(json!("7")), true),
        ("/data/id", Test::Equals(json!(7.0)), true),
        ("/data/id", Test::Differs(json!(0)), true),
        ("/data/id", Test::Differs(json!(7)), false),
        ("/nowhere", Test::Differs(json!(0)), true),
        ("/nowhere", Test::Equals(json!(0)), false),
        ("/message", Test::Contains("登录".into()), true),
        ("/data", Test::There, true),
        ("/data/none", Test::There, false),
    ] {
        assert_eq!(
            sign(pointer, test.clone()).is_in(&reply),
            expected,
            "{pointer} {test:?}"
        );
    }
    assert_eq!(text_at(&reply, "/data/id").as_deref(), Some("7"));
    assert_eq!(text_at(&reply, "/data/none"), None);
    assert_eq!(text_at(&json!({"a": ""}), "/a"), None);
}

#[test]
fn a_case_begins_where_the_alert_comes_up() {
    use wangge_protocol::{Routing, Tier};
    let profile = shipped("default");
    let mut data = sample::alert(EventKind::BinFire, AlertState::Updated, false, &profile);
    let both = [Tier::Street, Tier::City];
    assert_eq!(Occasion::of(&data, &both), Occasion::Update);
    data.routing = Some(Routing {
        tier: Tier::City,
        escalated_from: Some(Tier::Street),
        deadline: None,
    });
    assert_eq!(Occasion::of(&data, &[Tier::City]), Occasion::Report);
    assert_eq!(Occasion::of(&data, &[Tier::Street]), Occasion::Update);
    assert_eq!(
        Occasion::of(&data, &both),
        Occasion::Update,
        "it has the case"
    );
    assert_eq!(Occasion::of(&data, &[]), Occasion::Update);
    data.state = AlertState::Raised;
    assert_eq!(Occasion::of(&data, &[]), Occasion::Report);
    data.state = AlertState::Cleared;
    assert_eq!(Occasion::of(&data, &[Tier::City]), Occasion::Clear);
}

/// What a hostile or careless installer may call things.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\"\\\\&=+%{}<>'\r\n\0; ]{0,40}",
        Just("\",\"mainTypeID\":\"999".to_owned()),
        Just("x&mainTypeID=999".to_owned()),
        Just("{{ password }}".to_owned()),
        Just("../../admin?x=1#y".to_owned()),
        Just("\r\nX-Evil: 1".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A device, an address or a sentence fills its own field, and no other.
    #[test]
    fn names_cannot_make_fields(device in names(), address in names(), sentence in names()) {
        for name in ["eurbanmis", "yudao"] {
            let profile = shipped(name);
            let push = profile.push.clone().unwrap();
            let plain = sample::alert(EventKind::IllegalDumping, AlertState::Raised, true, &profile);
            let mut data = plain.clone();
            data.device.clone_from(&device);
            data.place.address = Some(address.clone());
            data.text.zh.clone_from(&sentence);
            let make = |data| {
                let facts = Facts::new(data, &profile, &sample::home());
                push.report.request.make(&facts.values()).unwrap()
            };
            let (plain, made) = (make(&plain), make(&data));
            prop_assert_eq!(&made.path, &plain.path);
            prop_assert_eq!(&made.headers, &plain.headers);
            match (made.body, plain.body) {
                (MadeBody::Form(fields), MadeBody::Form(plain)) => {
                    // As the platform decodes it.
                    let sent = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
                    let got: Vec<(String, String)> = form_urlencoded::parse(sent.as_bytes()).into_owned().collect();
                    prop_assert_eq!(&got, &fields);
                    let keys = |f: &[(String, String)]| f.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>();
                    prop_assert_eq!(keys(&got), keys(&plain));
                    let got: BTreeMap<_, _> = got.into_iter().collect();
                    prop_assert_eq!(&got["mainTypeID"], "01");
                    let said: String = sentence.chars().take(500).collect();
                    prop_assert_eq!(&got["eventDesc"], &said);
                }
                (MadeBody::Json(json), MadeBody::Json(plain)) => {
                    let got: serde_json::Value = serde_json::from_str(&json.to_string()).unwrap();
                    prop_assert_eq!(&got, &json);
                    let keys = |v: &serde_json::Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                    prop_assert_eq!(keys(&got), keys(&plain));
                    prop_assert_eq!(got["relCompId"].as_str(), Some(device.as_str()));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    /// A segment stays a segment, and a header a header or nothing.
    #[test]
    fn names_cannot_leave_their_segment(name in names()) {
        let template = |text: &str| Template::parse(text).unwrap();
        let request = Request {
            method: Method::Get,
            path: vec![template("cases"), template("{{ device }}")],
            query: vec![("q".into(), template("{{ device }}"))],
            headers: vec![("x-device".into(), template("{{ device }}"))],
            body: Body::Empty,
            files: None,
        };
        let profile = shipped("default");
        let mut data = sample::alert(EventKind::BinFire, AlertState::Raised, false, &profile);
        data.device.clone_from(&name);
        let facts = Facts::new(&data, &profile, &sample::home());
        let made = match request.make(&facts.values()) {
            Ok(made) => made,
            Err(faults) => {
                prop_assert!(faults.iter().all(|f| f.part == "headers.x-device"));
                return Ok(());
            }
        };
        let mut url: url::Url = "https://h/base".parse().unwrap();
        url.path_segments_mut().unwrap().pop_if_empty().extend(&made.path);
        url.query_pairs_mut().extend_pairs(&made.query);
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        prop_assert_eq!(&segments[..2], &["base", "cases"][..]);
        prop_assert!(segments.len() <= 3);
        prop_assert_eq!(url.fragment(), None);
        let query: Vec<_> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(query, vec![("q".to_owned(), name)]);
    }
}

#[test]
fn a_picture_has_facts_of_its_own() {
    let values = picture_values(&sample::home(), &sample::picture());
    let name = Template::parse("{{ station }}/{{ picture.role }}").unwrap();
    assert_eq!(
        name.text(&values).unwrap().as_deref(),
        Some("kunming-wuhua-01/scene")
    );
}

#[test]
fn the_guide_lists_every_name_and_limit() {
    let guide = include_str!("../../../../docs/operator/profiles.md");
    let profile = shipped("default");
    let data = sample::alert(EventKind::BinFire, AlertState::Raised, true, &profile);
    let facts = Facts::new(&data, &profile, &sample::home());
    let facts = serde_json::to_value(&facts).unwrap();
    let pictures = facts["pictures"][0].as_object().unwrap().keys();
    let names = facts.as_object().unwrap().keys().chain(pictures);
    for name in names.filter(|name| *name != "time_zone") {
        assert!(guide.contains(&format!("`{name}`")), "{name}");
    }
    for limit in [
        "4,096 bytes, makes at most 16,384 bytes, 20,000 steps",
        "| 200; 8 levels |",
        "| 32 KiB; 256 KiB |",
    ] {
        assert!(guide.contains(limit), "{limit}");
    }
    assert_eq!((MAX_SOURCE, MAX_TEXT, FUEL), (4_096, 16_384, 20_000));
    assert_eq!((MAX_FIELDS, MAX_DEPTH), (200, 8));
}
