//! `openapi.yaml`, `asyncapi.yaml` and the examples say what the types say.
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::Value;
use wangge_protocol::{
    AlertData, CloudEvent, DeviceReading, Digest, Gap, Receipt, Telemetry, Verdict, schemas,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// The relative files that a document refers to.
fn files(document: &str) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for piece in document.split("./").skip(1) {
        let end = piece.find(|c: char| !(c.is_alphanumeric() || "/._-".contains(c)));
        let name = &piece[..end.unwrap_or(piece.len())];
        if name.ends_with(".json") {
            files.insert(name.to_owned());
        }
    }
    files
}

#[test]
fn documents_refer_to_every_schema_and_to_nothing_that_is_not_there() {
    let mut all = BTreeSet::new();
    for name in ["openapi.yaml", "asyncapi.yaml"] {
        let referred = files(&text(name));
        for file in &referred {
            assert!(folder().join(file).exists(), "{name} refers to {file}");
        }
        all.extend(referred);
    }
    for (name, _) in schemas() {
        // What devices send does not reach the platform as it is.
        let wanted = name != "reading.json";
        let file = format!("schema/{name}");
        assert_eq!(all.contains(&file), wanted, "{file}");
    }
}

#[test]
fn documents_name_the_paths_and_topics_of_the_contract() {
    let (openapi, asyncapi) = (text("openapi.yaml"), text("asyncapi.yaml"));
    let contract = text("../docs/operator/receiver.md");
    for path in ["/events:", "/evidence/{sha256}:", "/inbox:"] {
        assert!(openapi.contains(&format!("\n  {path}\n")), "{path}");
    }
    for topic in [
        "alerts",
        "gaps",
        "digest",
        "answers",
        "receipts",
        "verdicts",
        "commands",
        "telemetry/{stream}",
        "evidence/{sha256}",
        "evidence/{sha256}/{offset}/{total}",
    ] {
        let address = format!("address: wangge/v1/{{station}}/{topic}\n");
        assert!(asyncapi.contains(&address), "{topic}");
        let written = format!("<prefix>/{}", topic.replace('{', "<").replace('}', ">"));
        assert!(contract.contains(&written), "{written} in receiver.md");
    }
    for document in [&openapi, &asyncapi] {
        for id in clauses(document) {
            assert!(contract.contains(&format!("**{id}** ")), "{id}");
        }
    }
}

/// Every `C-n` in a text.
fn clauses(text: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for piece in text.split("C-").skip(1) {
        let digits: String = piece.chars().take_while(char::is_ascii_digit).collect();
        if !digits.is_empty() {
            ids.insert(format!("C-{digits}"));
        }
    }
    ids
}

fn index() -> BTreeMap<String, Vec<String>> {
    serde_json::from_str(&text("examples/index.json")).unwrap()
}

/// Through the type and back, nothing is lost.
fn kept<T: serde::de::DeserializeOwned + serde::Serialize>(example: &Value) -> bool {
    let read: T = serde_json::from_value(example.clone()).unwrap();
    serde_json::to_value(read).unwrap() == *example
}

#[test]
fn examples_keep_to_their_schema_and_to_their_type() {
    let mut listed = BTreeSet::from(["index.json".to_owned()]);
    for (schema, examples) in index() {
        let found = schemas().into_iter().find(|(name, _)| *name == schema);
        let validator = jsonschema::validator_for(&found.unwrap().1).unwrap();
        for name in examples {
            let example: Value = serde_json::from_str(&text(&format!("examples/{name}"))).unwrap();
            validator
                .validate(&example)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let kept = match &*schema {
                "alert.json" => kept::<CloudEvent<AlertData>>(&example),
                "digest.json" => kept::<CloudEvent<Digest>>(&example),
                "gap.json" => kept::<CloudEvent<Gap>>(&example),
                "telemetry.json" => kept::<CloudEvent<Telemetry<Value>>>(&example),
                "receipt.json" => kept::<Receipt>(&example),
                "verdict.json" => kept::<Verdict>(&example),
                "reading.json" => kept::<DeviceReading>(&example),
                other => panic!("{other} has no type here"),
            };
            assert!(kept, "{name} says more than its type");
            listed.insert(name);
        }
    }
    let there: BTreeSet<String> = fs::read_dir(folder().join("examples"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, listed, "an example that the index does not name");
}
