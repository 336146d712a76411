//! The texts that ship: sample, schema, guide. They cannot go stale.

use std::{fs, path::PathBuf};

use super::{STATION, Site};
use crate::config::{sample, schema, shape};

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// Compares a generated file; `WANGGE_BLESS=1 cargo test` writes it.
fn same_as_file(path: &str, generated: &str) {
    let file = repository(path);
    if std::env::var_os("WANGGE_BLESS").is_some() {
        fs::write(&file, generated).expect("written");
        return;
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == generated,
        "{path} has drifted; run the test with WANGGE_BLESS=1"
    );
}

#[test]
fn the_schema_file_is_the_types() {
    same_as_file(
        "docs/installer/station.schema.json",
        &format!("{:#}\n", schema()),
    );
    let profile = format!("{:#}\n", *shape::DEVICE_PROFILE);
    same_as_file("docs/installer/device-profile.schema.json", &profile);
}

/// A directory in which everything that sample and guide name is there.
fn furnished() -> Site {
    let site = Site::new();
    let pair = rcgen::generate_simple_self_signed(["gateway".to_owned()]).expect("a certificate");
    site.file("secrets/ca.pem", pair.cert.pem());
    site.file("secrets/gateway.pem", pair.cert.pem());
    site.file("secrets/gateway.key", pair.signing_key.serialize_pem());
    for secret in ["broker", "camera", "token", "city"] {
        site.file(&format!("secrets/{secret}"), "secret\n");
    }
    site.file("secrets/devices", "bin-1:secret\n");
    site.file("courtyard.mp4", "a file");
    site.file("pictures/1.jpg", "a file");
    site.file("our-city.toml", crate::config::platform::DEFAULT);
    site.vision();
    site.file("data/models/candidate.toml", super::MANIFEST);
    site
}

/// Paths of an installed package become those of the test.
fn here(text: &str) -> String {
    text.replace("/usr/share/wangge/models/nanodet_g_416.toml", "model.toml")
        .replace("/usr/lib/wangge/", "")
        .replace("/var/lib/wangge", "data")
}

#[test]
fn the_sample_is_a_working_station() {
    let site = Site::new();
    let inspection = site.inspect(sample());
    assert_eq!(inspection.faults.iter().count(), 0, "{}", inspection.faults);
    assert!(inspection.config.is_some());
}

#[test]
fn every_line_of_the_sample_can_be_switched_on() {
    let on: String = sample()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_alphabetic()) => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let site = furnished();
    let inspection = site.inspect(&here(&on));
    let config = inspection
        .config
        .unwrap_or_else(|| panic!("{}", inspection.faults));
    assert_eq!(config.devices.len(), 202);
    assert_eq!(
        (
            config.cameras.len(),
            config.uplinks.len(),
            config.buses.len()
        ),
        (2, 4, 2)
    );
    let warnings: Vec<&str> = inspection
        .faults
        .warnings()
        .map(|w| w.message.as_str())
        .collect();
    assert_eq!(warnings, ["bus \"basement\": no device uses it"]);
    // Every table of the schema is explained.
    let tables = schema()["properties"]
        .as_object()
        .expect("properties")
        .clone();
    for table in tables.keys() {
        let heading = [
            format!("[{table}]"),
            format!("[[{table}]]"),
            format!("[{table}."),
        ];
        assert!(
            heading.iter().any(|h| on.contains(h)),
            "the sample has no [{table}]"
        );
    }
}

/// Editors see the same as we do.
#[test]
fn the_schema_accepts_what_we_accept() {
    let validator = jsonschema::draft202012::new(&schema()).expect("a schema");
    let json = |text: &str| -> serde_json::Value { toml::from_str(text).expect("TOML") };
    for text in [sample(), STATION] {
        let errors: Vec<String> = validator
            .iter_errors(&json(text))
            .map(|e| e.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    for (from, to) in [
        ("lon = 102.7", "lon = 181"),
        ("lon = 102.7", "lonn = 102.7"),
        ("lat = 25.05", "lat = \"x\""),
        ("path = \"data\"", "path = \"data\"\nquota = \"2 GB\""),
    ] {
        let text = STATION.replace(from, to);
        assert!(!validator.is_valid(&json(&text)), "{to}");
        assert!(Site::new().inspect(&text).config.is_none(), "{to}");
    }
}

#[test]
fn every_key_of_the_schema_is_explained() {
    fn walk(schema: &serde_json::Value, path: &str, missing: &mut Vec<String>) {
        let properties = schema.get("properties").and_then(|p| p.as_object());
        for (key, field) in properties.into_iter().flatten() {
            if field.get("description").is_none() {
                missing.push(format!("{path}.{key}"));
            }
        }
        for (name, def) in schema
            .get("$defs")
            .and_then(|d| d.as_object())
            .into_iter()
            .flatten()
        {
            walk(def, name, missing);
        }
    }
    let mut missing = Vec::new();
    walk(&schema(), "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

/// Blocks marked `toml` are whole files or additions to the first one; each must be good.
#[test]
fn examples_of_the_guide_work() {
    let guide =
        fs::read_to_string(repository("docs/installer/configuration.md")).expect("the guide");
    let blocks: Vec<&str> = guide
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(blocks.len() >= 12, "{}", blocks.len());
    let (first, others) = blocks.split_first().expect("a first example");
    let site = furnished();
    site.good(&here(first));
    for block in others {
        let text = here(&format!("{first}\n{block}"));
        let inspection = site.inspect(&text);
        assert!(
            inspection.config.is_some(),
            "{}\nin\n{text}",
            inspection.faults
        );
    }
    let tables = schema()["properties"]
        .as_object()
        .expect("properties")
        .clone();
    for table in tables.keys() {
        let there = blocks
            .iter()
            .any(|b| b.contains(&format!("[{table}")) || b.contains(&format!("[[{table}")));
        assert!(there, "the guide has no example of {table}");
    }
}

#[test]
fn limits_of_the_guide_are_those_of_the_program() {
    use crate::{config::limits::*, vision::ground};
    let guide = fs::read_to_string(repository("docs/installer/configuration.md"));
    let guide = guide.expect("the guide");
    for row in [
        "| devices | 10,000 |".to_owned(),
        format!("| brokers, buses | {MAX_BROKERS}, {MAX_BUSES} |"),
        format!("| cameras; zones, masks of one | {MAX_CAMERAS}; {MAX_ZONES}, {MAX_MASKS} |"),
        format!(
            "| corners of a zone or mask | {} to {} |",
            CORNERS.start(),
            CORNERS.end()
        ),
        format!(
            "| labels, fixtures, windows of a zone | {MAX_LABELS}, {MAX_FIXTURES}, {MAX_WINDOWS} |"
        ),
        format!("| characters of a zone's id | {ZONE_ID_CHARS} |"),
        format!("| ranges of holidays, of workdays | {MAX_DATES} each, 366 days a range |"),
        format!(
            "| permits of the station's file, of the permits' file; zones, windows of one | {MAX_PERMITS}, {MAX_PERMITS}; {MAX_PERMIT_ZONES}, {MAX_WINDOWS} |"
        ),
        format!(
            "| points of `ground`; of a `line` | {} to {}; {} to {} |",
            ground::limits::POINTS.start(),
            ground::limits::POINTS.end(),
            ground::front_limits::POINTS.start(),
            ground::front_limits::POINTS.end(),
        ),
        "| time between two single pictures | 100 ms to 60 s |".to_owned(),
        format!(
            "| largest single picture | {} MiB |",
            crate::feed::MAX_STILL >> 20
        ),
        format!("| rules of a device | {MAX_RULES} |"),
        format!("| streams, uplinks | {MAX_STREAMS}, {MAX_UPLINKS} |"),
        format!("| keys of `[commands]`; `max_silence` | {MAX_COMMAND_KEYS}; 1 minute to 7 days |"),
        format!("| profiles in the file; points of one | {MAX_PROFILES}; {MAX_POINTS} |"),
        format!("| unit ids | {} to {} |", UNIT_ID.start(), UNIT_ID.end()),
        format!("| the file itself | {} MB |", FILE_BYTES / 1_000_000),
    ] {
        assert!(guide.contains(&row), "the guide does not say {row}");
    }
    assert_eq!(MAX_DEVICES, 10_000);
    assert_eq!(STILL_EVERY.start().as_millis(), 100);
    assert_eq!(STILL_EVERY.end().as_secs(), 60);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    /// Whatever is done to a good file, the answer is a configuration or faults with a place.
    #[test]
    fn no_damage_panics(at in 0.0f64..1.0, cut in 0usize..40, put in "\\PC{0,12}") {
        let text = sample();
        let from = text.floor_char_boundary((text.len() as f64 * at) as usize);
        let to = text.ceil_char_boundary((from + cut).min(text.len()));
        let damaged = format!("{}{put}{}", &text[..from], &text[to..]);
        let inspection = Site::new().inspect(&damaged);
        proptest::prop_assert_eq!(inspection.config.is_none(), inspection.faults.errors().count() > 0);
        for fault in inspection.faults.iter() {
            proptest::prop_assert!(fault.line > 0 && !fault.message.is_empty());
            let _ = fault.to_string();
        }
    }
}
