//! What is sent is what a station sends, and what comes back is given to the right one.

use wangge_protocol::AlertState;

use super::{
    Clause, ConformanceError, Target,
    material::{Maker, Picture, changed, new_id, padded, parcel, rewritten, stranger},
    peer::{Parcel, receipts, shown},
};
use crate::{config::Tls, uplink::MAX_PICTURE};

const CONTRACT: &str = include_str!("../../../docs/operator/receiver.md");

fn schema(name: &str) -> jsonschema::Validator {
    let (_, schema) = wangge_protocol::schemas()
        .into_iter()
        .find(|(n, _)| *n == name)
        .unwrap_or_else(|| panic!("no schema {name}"));
    jsonschema::validator_for(&schema).unwrap()
}

fn keeps(name: &str, parcel: &Parcel) {
    let value = serde_json::from_slice(&parcel.bytes).unwrap();
    schema(name).validate(&value).unwrap();
    assert_eq!(value["id"], *parcel.id);
}

#[test]
fn every_message_keeps_to_its_schema() {
    let maker = Maker::new("S1");
    let picture = Picture::new();
    keeps("alert.json", &parcel(&maker.alert(&[picture.evidence()])));
    for (revision, state) in [
        (1, AlertState::Raised),
        (2, AlertState::Updated),
        (3, AlertState::Cleared),
    ] {
        let message = maker.alert_message(&new_id(), revision, state, &[]);
        keeps("alert.json", &parcel(&message));
    }
    keeps("telemetry.json", &parcel(&maker.readings()));
    keeps("gap.json", &parcel(&maker.gap()));
    keeps("clock.json", &parcel(&maker.clock()));
    keeps("answer.json", &parcel(&maker.answer()));
    keeps("digest.json", &parcel(&maker.digest()));
    let alert = maker.alert(&[]);
    keeps("alert.json", &stranger(&alert));
    keeps("alert.json", &rewritten(&alert));
    let full = padded(&alert, 3_584);
    keeps("alert.json", &full);
    assert_eq!(full.bytes.len(), 3_584);
    let strange = changed(&alert, |a| {
        a.remove("data");
    });
    let value = serde_json::from_slice(&strange.bytes).unwrap();
    assert!(!schema("alert.json").is_valid(&value));
}

#[test]
fn the_same_message_in_other_words_has_another_hash_and_the_same_meaning() {
    let alert = Maker::new("S1").alert(&[]);
    let (plain, other) = (parcel(&alert), rewritten(&alert));
    assert_ne!(plain.sha256, other.sha256);
    assert!(other.bytes.is_ascii());
    let read = |p: &Parcel| serde_json::from_slice::<serde_json::Value>(&p.bytes).unwrap();
    assert_eq!(read(&plain), read(&other));
}

#[test]
fn pictures_are_jpegs_of_the_wanted_size() {
    let small = Picture::new().bytes.len();
    for size in [small + 4, small + 5, 100_000, MAX_PICTURE] {
        // Noise compresses a little differently each time, so small ones may not reach it.
        let picture = Picture::sized(size.max(10_000));
        assert_eq!(picture.bytes.len(), size.max(10_000));
        let mut decoder = zune_jpeg::JpegDecoder::new(std::io::Cursor::new(&picture.bytes[..]));
        decoder.decode().unwrap();
    }
    assert_ne!(Picture::new().sha256, Picture::new().sha256);
}

#[test]
fn every_clause_stands_in_the_contract_with_its_duty() {
    for clause in Clause::ALL {
        let head = format!("**{clause}** ");
        let line = CONTRACT
            .lines()
            .find(|l| l.contains(&head))
            .unwrap_or_else(|| panic!("{clause} is not in receiver.md"));
        let duty = clause.duty().word();
        assert!(line.contains(duty), "{clause} {duty}: {line}");
    }
    // No number stands for two things, in the contract or here.
    let tried: Vec<_> = Clause::ALL.iter().map(|c| c.id()).collect();
    let written: Vec<_> = CONTRACT
        .lines()
        .filter_map(|line| line.strip_prefix("- **C-")?.split_once("**"))
        .map(|(number, _)| number)
        .collect();
    assert!(written.len() > tried.len());
    for mut ids in [tried, written] {
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{ids:?}");
    }
}

/// What the contract shows as sealed is: whoever tries their verifier on it can rely on it.
#[test]
fn the_sealed_example_verifies_with_the_key_beside_it() {
    const EXAMPLE: &[u8] = include_bytes!("../../../protocol/examples/alert-sealed.json");
    const KEYS: &str = include_str!("../../../protocol/examples/stations.keys");
    let line = KEYS.lines().find(|l| !l.starts_with('#')).unwrap();
    let key = line.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(crate::proof::message::is_signed_by(EXAMPLE, &key));
    let mut altered = EXAMPLE.to_vec();
    altered[20] ^= 1;
    assert!(!crate::proof::message::is_signed_by(&altered, &key));
}

#[test]
fn the_example_of_a_command_is_signed_as_the_contract_says() {
    const COMMAND: &str = include_str!("../../../protocol/examples/command.json");
    const KEY: &str = include_str!("../../../protocol/examples/platform.key");
    let command: wangge_protocol::Command = serde_json::from_str(COMMAND).unwrap();
    let line = KEY.lines().find(|l| !l.starts_with('#')).unwrap();
    let key: crate::proof::PublicKey = line.parse().unwrap();
    assert_eq!(key.id(), command.keyid);
    assert!(key.verifies(command.signed_text().as_bytes(), &command.signature));
    let other = wangge_protocol::Command {
        station: "other".to_owned(),
        ..command.clone()
    };
    assert!(!key.verifies(other.signed_text().as_bytes(), &command.signature));
}

#[test]
fn receipts_come_alone_or_together() {
    let one = r#"{"id":"a","sha256":"b","status":"stored"}"#;
    assert_eq!(receipts(one.as_bytes()).unwrap().len(), 1);
    let many = format!("[{one},{one}]");
    assert_eq!(receipts(many.as_bytes()).unwrap().len(), 2);
    for none in ["", "ok", r#"{"code":0}"#, r#"[{"code":0}]"#] {
        assert!(receipts(none.as_bytes()).is_none(), "{none}");
    }
    assert_eq!(shown(b"a\x1b[2J\nb"), "a [2J b");
    assert!(shown(&[b'x'; 1_000]).ends_with('…'));
}

fn target(url: &str, prefix: Option<&str>, token: Option<&str>) -> Result<Target, String> {
    let tls = Tls {
        ca_file: None,
        client: None,
    };
    Target::new(
        url,
        "S1",
        prefix.map(str::to_owned),
        tls,
        token.map(str::to_owned),
        None,
    )
    .map_err(|e: ConformanceError| e.to_string())
}

#[test]
fn a_target_is_understood_or_it_is_said_why_not() {
    assert!(target("https://city.example/wangge", None, Some("t")).is_ok());
    let Target::Mqtt { addr, prefix } = target("mqtts://[::1]", None, None).unwrap() else {
        panic!()
    };
    assert_eq!(
        (&*addr.host, addr.port, &*prefix),
        ("::1", 8883, "wangge/v1/S1")
    );
    let Target::Mqtt { addr, prefix } = target("mqtt://b:1884", Some("x/y"), None).unwrap() else {
        panic!()
    };
    assert_eq!(
        (addr.port, &*prefix, addr.tls.is_none()),
        (1884, "x/y", true)
    );
    for (url, prefix, token, said) in [
        ("city", None, None, "https://city.example"),
        ("ftp://city", None, None, "https://, http://"),
        ("https://city/?a=1", None, None, "`?`"),
        ("https://city", Some("a"), None, "--prefix"),
        ("mqtt://city", None, Some("t"), "--token-file"),
    ] {
        let error = target(url, prefix, token).unwrap_err();
        assert!(error.contains(said), "{url}: {error}");
    }
}
