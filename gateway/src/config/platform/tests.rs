use wangge_protocol::Severity;

use super::*;

#[test]
fn the_default_profile_has_the_classic_codes() {
    let profile = parse(DEFAULT, "default.toml").unwrap();
    let code = |kind| {
        let code: &EventCode = &profile.codes[&kind];
        format!("{}/{} {}", code.class, code.subclass, code.name)
    };
    assert_eq!(code(EventKind::IllegalDumping), "01/02 暴露垃圾");
    assert_eq!(code(EventKind::ShopOverflow), "05/04 店外经营");
    assert_eq!(code(EventKind::StreetVendor), "05/01 无照经营游商");
    assert_eq!(code(EventKind::VehicleParking), "05/05 机动车乱停放");
    assert_eq!(code(EventKind::NonmotorParking), "05/06 非机动车乱停放");
    assert_eq!(code(EventKind::IllegalStructure), "01/01 私搭乱建");
    assert_eq!(code(EventKind::MaterialPile), "05/07 乱堆物堆料");
    assert_eq!(code(EventKind::Flyposting), "02/01 非法小广告");
    assert_eq!(code(EventKind::WaterLeak), "04/02 自来水管破裂");
    for kind in [
        EventKind::GreenEncroachment,
        EventKind::PublicSpaceEncroachment,
        EventKind::MessyWiring,
        EventKind::DeviceSilent,
        EventKind::StorageFault,
    ] {
        assert!(
            !profile.codes.contains_key(&kind),
            "{kind} needs a local code"
        );
    }
    assert_eq!(profile.crs, Crs::Wgs84);
    assert_eq!(profile.sources[&SourceKind::Camera].name, "视频智能识别");
    assert_eq!(profile.sources[&SourceKind::Modbus].name, "物联感知设备");
}

#[test]
fn every_fault_has_its_line() {
    let text = r#"id = ""
crs = "bd09"
event_code = "{division}{klass}"
[sources]
mqtt = "物联感知设备"
modbus = "物联感知设备"
kamera = "视频智能识别"
gateway = "a	b"
[codes]
bin_overflw = { class = "01", subclass = "02", name = "暴露垃圾" }
aliens_on_the_green = { class = "01", subclass = "02", name = "暴露垃圾" }
bin_fire = { class = "0-1", subclass = "123456789", name = "火" }
"#;
    let error = parse(text, "city.toml").unwrap_err();
    let shown = error.to_string();
    for expected in [
        "city.toml:1: id has 0 bytes; 1 to 32 are possible",
        "city.toml:2: crs \"bd09\" is unknown; use wgs84, gcj02, epsg3857 or grid",
        "city.toml:3: event_code: {klass} is unknown",
        "city.toml:4: [sources] has no camera; add its name",
        "city.toml:7: source \"kamera\" is unknown; did you mean camera?",
        "city.toml:8: sources.gateway has a control character",
        "city.toml:10: event kind \"bin_overflw\" is unknown; did you mean bin_overflow?",
        "city.toml:11: event kind \"aliens_on_the_green\" is unknown; known are illegal_dumping",
        "city.toml:12: codes.bin_fire.class may have digits and ASCII letters only",
        "city.toml:12: codes.bin_fire.subclass has 9 bytes; 1 to 8 are possible",
    ] {
        assert!(shown.contains(expected), "{expected}\nis not in\n{shown}");
    }
    assert_eq!(error.faults.len(), 10, "{shown}");
}

#[test]
fn syntax_and_shape_faults_have_their_line() {
    for (text, line, part) in [
        ("id = \"a\"\ncrs = \n", 2, ""),
        ("id = \"a\"\ncrs = 7\n[sources]\n", 2, "expected a string"),
        ("id = \"a\"\nkrs = \"wgs84\"\n", 2, "unknown field `krs`"),
        ("id = \"a\"\nid = \"b\"\n", 2, "duplicate key"),
    ] {
        let error = parse(text, "p").unwrap_err();
        assert_eq!(error.faults[0].line, line, "{error}");
        assert!(error.faults[0].message.contains(part), "{error}");
    }
    assert!(
        parse("", "p")
            .unwrap_err()
            .to_string()
            .contains("missing field `id`")
    );
}

#[test]
fn limits_hold_at_one_more_and_ten_times() {
    let with = |name: &str| {
        parse(
            &DEFAULT.replace("name = \"店外经营\"", &format!("name = \"{name}\"")),
            "p",
        )
    };
    assert!(with(&"店".repeat(MAX_NAME / 3)).is_ok());
    assert!(with(&"n".repeat(MAX_NAME + 1)).is_err());
    assert!(with(&"店".repeat(MAX_NAME)).is_err());
    assert!(with(&"n".repeat(MAX_NAME * 10)).is_err());
}

#[test]
fn profiles_that_ship_are_good() {
    for (name, text) in SHIPPED {
        let profile = parse(text, name).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(profile.id, *name);
        assert_eq!(profile.push.is_some(), *name != "default");
    }
}

#[test]
fn tiers_and_deadlines_of_the_default() {
    use crate::routing::{Every, Start, Term};
    use wangge_protocol::Tier;
    let profile = parse(DEFAULT, "default.toml").unwrap();
    let route = |kind, severity| {
        let route = profile.routing.route(kind, severity);
        (route.start, route.deadline)
    };
    let kind = EventKind::Flyposting;
    assert_eq!(
        route(kind, Severity::Info),
        (Start::At(Tier::Community), None)
    );
    assert_eq!(
        route(kind, Severity::Minor),
        (Start::At(Tier::Community), Some(Term::WorkingDays(1)))
    );
    assert_eq!(
        route(kind, Severity::Major),
        (Start::At(Tier::Street), Some(Term::WorkingHours(4)))
    );
    assert_eq!(
        route(kind, Severity::Critical),
        (Start::All, Some(Term::UrgentHours(2)))
    );
    assert_eq!(
        route(EventKind::GarbageExposed, Severity::Minor).1,
        Some(Term::WorkingHours(4))
    );
    let digest = profile.routing.digest.unwrap();
    assert_eq!((digest.every, digest.tier), (Every::Day, Tier::Street));
    // A profile of old says nothing about it and has the same.
    let old = DEFAULT.split("\n# Who deals with what").next().unwrap();
    let old = parse(old, "old.toml").unwrap();
    assert_eq!(old.routing.severities, profile.routing.severities);
    assert_eq!(old.working, profile.working);
    assert_eq!(old.routing.digest, None);
    // 立案条件 have times of their own.
    let city = parse(SHIPPED[1].1, "city.toml").unwrap();
    let route = |severity| {
        city.routing
            .route(EventKind::GarbageExposed, severity)
            .deadline
    };
    assert_eq!(route(Severity::Major), Some(Term::WorkingHours(4)));
    assert_eq!(route(Severity::Minor), Some(Term::WorkingDays(1)));
    let named = |severity| city.condition(EventKind::GarbageExposed, severity).unwrap();
    assert_eq!(named(Severity::Major).id.as_deref(), Some("1"));
    assert_eq!(named(Severity::Info).name, "零星垃圾");
    assert_eq!(city.condition(EventKind::BinFire, Severity::Info), None);
}

/// The faults of a text, as `line: message`.
fn faults(text: &str) -> Vec<String> {
    let error = parse(text, "p").unwrap_err();
    let faults = error.faults.iter();
    faults
        .map(|f| format!("{}: {}", f.line, f.message))
        .collect()
}

/// A profile without codes, and more below it.
fn small(more: &str) -> String {
    format!(
        "id = \"p\"\ncrs = \"wgs84\"\n[sources]\nmqtt = \"a\"\nmodbus = \"a\"\ncamera = \"a\"\ngateway = \"a\"\n{more}"
    )
}

fn has(text: &str, expected: &[&str]) {
    let found = faults(text);
    for part in expected {
        assert!(
            found.iter().any(|fault| fault.contains(part)),
            "{part}\nis not in\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn faults_of_tiers_have_their_line() {
    has(
        &small(
            r#"[routing]
minor = { tier = "comunity", deadline = "4h" }
majr = { tier = "street" }
critical = { tier = "all", deadline = "0工作日" }
info = { tier = "all" }
[working_time]
hours = []
urgent = ["25:00-26:00"]
[digest]
every = "month"
at = "8:30"
tier = "community"
"#,
        ),
        &[
            "8: [routing] does not say where major alerts go",
            "9: tier \"comunity\" is unknown; did you mean community?",
            "9: \"4h\" is no deadline; write 4工作时",
            "10: severity or event kind \"majr\" is unknown; did you mean major?",
            "11: \"0工作日\": the number may be 1 to 500",
            "14: working_time.hours has 0 windows",
            "15: working_time.urgent: \"25:00\" is no time of day",
            "17: digest.every is \"month\"; use day or week",
            "18: digest.at is \"8:30\"",
            "19: digest.tier: the community has `wangge digest`",
        ],
    );
    has(
        &small("[working_time]\nhours = [\"2020-01-01 09:00-10:00\"]\n"),
        &["a deadline of 1工作日 never comes"],
    );
}

#[test]
fn faults_of_codes_have_their_line() {
    has(
        &small("").replace(
            "crs = \"wgs84\"",
            "crs = \"grid\"\nevent_code = \"{division}{class}{middle}{subclass}\"\nevent_code_length = 18",
        ),
        &["2: crs is grid, and there is no [grid]"],
    );
    let text = small(
        r#"[codes]
bin_fire = { class = "01", subclass = "02", name = "火" }
bin_tilt = { class = "01", middle = "03", subclass = "002", name = "倾倒" }
[[condition]]
kind = "bin_fires"
severity = "bad"
name = ""
[grid]
central_meridian = 400
"#,
    );
    let text = text.replace(
        "crs = \"wgs84\"",
        "crs = \"grid\"\nevent_code = \"{division}{class}{middle}{subclass}\"\nevent_code_length = 12",
    );
    has(
        &text,
        &[
            "17: grid.central_meridian is 400",
            "3: event_code has a {middle}, and codes.bin_fire has none",
            "4: the code of bin_fire has 10 characters, and event_code_length is 12",
            "4: the code of bin_tilt has 13 characters",
            "14: event kind \"bin_fires\" is unknown; did you mean bin_fire?",
            "15: severity \"bad\" is unknown",
            "16: condition.name has 0 bytes",
        ],
    );
    let many = "[[condition]]\nkind = \"bin_fire\"\nname = \"n\"\n";
    assert!(parse(&small(&many.repeat(MAX_CONDITIONS)), "p").is_ok());
    for n in [MAX_CONDITIONS + 1, MAX_CONDITIONS * 10] {
        has(
            &small(&many.repeat(n)),
            &[&format!("{n} conditions; at most 200")],
        );
    }
}

#[test]
fn faults_of_requests_have_their_line() {
    has(
        &small(
            r#"[push]
uncoded = "maybe"
success = [{ pointer = "code", equals = 0 }, { pointer = "/a" }]
[push.login]
path = "login"
token = "/data/token"
[push.lookup]
method = "GET"
path = "/find"
form = { a = "b" }
[push.picture]
path = "/upload"
[push.report]
method = "DELETE"
path = "/report?x=1"
id = "/x"
headers = { "bad name" = "x" }
form = { a = "{{ kind" }
json = '{ }'
"#,
        ),
        &[
            "9: push.uncoded is \"maybe\"",
            "10: push.success is \"code\"; a JSON pointer begins",
            "10: push.success: a sign has one of",
            "12: push.login.path is \"login\"",
            "13: push.login: token",
            "16: push.lookup needs found",
            "16: push.lookup: a GET request has no body",
            "19: push.picture needs files",
            "19: push.picture needs id",
            "22: push.report.method is \"DELETE\"",
            "22: push.report.path is \"/report?x=1\"",
            "23: push.report.id does nothing there",
            "24: push.report.headers: \"bad name\" is no name of a header",
            "26: push.report has both form and json",
        ],
    );
    // What can be read is tried on alerts of every kind.
    has(
        &small(
            r#"[push]
success = []
[push.report]
path = "/{{ devise }}"
headers = { x-kind = "{{ kind_zh }}" }
form = { a = "{{ adress }}", b = "{{ pictures }}", c = "ok" }
[push.clear]
path = "/x"
json = '''
{ "when": "{{ cleared_at | local('%Y') }}",
  "what": ["{{ kindd }}"] }
'''
"#,
        ),
        &[
            "11: push.report.path, segment 1: devise is not known; see the list of names in docs/operator/profiles.md (tried on an alert of kind illegal_dumping)",
            "12: push.report.headers.x-kind: a header may have ASCII text only",
            "13: push.report.form.a: adress is not known",
            "13: push.report.form.b: it makes a sequence",
            "16: push.clear.json.what[0]: kindd is not known",
        ],
    );
    has(
        &small("[push]\n[push.report]\npath = \"/x\"\n"),
        &["10: push.success is missing"],
    );
    has(
        &small(
            "[push]\nsuccess = []\n[push.report]\npath = \"/x\"\njson = '''{ \"a\": {{ x }} }'''\n",
        ),
        &["12: push.report.json is no JSON"],
    );
}
