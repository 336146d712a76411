//! Verdicts and commands.

use std::time::Duration;

use super::{BIN, STATION, Site};
use crate::config::limits;

const KEY: &str = "fUTxWjYxKr5-EX5sO5s3z4yN3lsR1B2Zs1IvjYqF6kU";

#[test]
fn keys_are_read_and_named() {
    let config = Site::new().good(&format!(
        "{STATION}{BIN}[commands]\nkeys = [\"{KEY}\"]\nmax_silence = \"12h\"\n[verdicts]\nreopen_after = \"2h\"\n"
    ));
    assert_eq!(config.commands.keys.len(), 1);
    assert_eq!(config.commands.keys[0].id.len(), 16);
    assert_eq!(config.commands.max_silence, Duration::from_secs(12 * 3_600));
    assert_eq!(config.verdicts.reopen_after, Duration::from_secs(7_200));
    // Nobody may, and verdicts come where alerts go.
    let config = Site::new().good(&format!("{STATION}{BIN}"));
    assert!(config.commands.keys.is_empty());
    assert!(config.uplinks[0].verdicts);
}

#[test]
fn what_is_no_key_is_refused() {
    for bad in [
        "",
        "abc",
        &KEY[1..],
        &format!("{KEY}A"),
        &KEY.replace('-', "%"),
    ] {
        let faults = Site::new().faults(&format!("{STATION}{BIN}[commands]\nkeys = [\"{bad}\"]\n"));
        let text = faults.to_string();
        assert!(text.contains("no Ed25519 public key"), "{bad}: {text}");
    }
    let padded = KEY.replace('-', "+") + "=";
    for again in [KEY, &padded] {
        let twice = format!("{STATION}{BIN}[commands]\nkeys = [\"{KEY}\", \"{again}\"]\n");
        assert!(Site::new().faults(&twice).to_string().contains("twice"));
    }
}

/// The contract's own example, and what OpenSSL and most libraries print.
#[test]
fn a_key_is_read_in_whatever_base64_it_comes() {
    let example = include_str!("../../../../protocol/examples/platform.key");
    let example = example.lines().last().unwrap();
    let padded = KEY.replace('-', "+") + "=";
    for (text, same) in [(example, example), (&padded, KEY)] {
        let config = Site::new().good(&format!("{STATION}{BIN}[commands]\nkeys = [\"{text}\"]\n"));
        let same = crate::config::CommandKey::parse(same).unwrap();
        assert_eq!(config.commands.keys, [same]);
    }
}

#[test]
fn limits_hold() {
    let text = |keys: &str, silence: &str, reopen: &str| {
        format!(
            "{STATION}{BIN}[commands]\nkeys = [{keys}]\nmax_silence = \"{silence}\"\n[verdicts]\nreopen_after = \"{reopen}\"\n"
        )
    };
    let good = [("7d", "7d"), ("1m", "1s")];
    for (silence, reopen) in good {
        Site::new().good(&text("", silence, reopen));
    }
    for (silence, reopen) in [
        ("59s", "1s"),
        ("8d", "1s"),
        ("70d", "1s"),
        ("1m", "0s"),
        ("1m", "8d"),
        ("1m", "70d"),
    ] {
        let faults = Site::new().faults(&text("", silence, reopen));
        assert_eq!(faults.errors().count(), 1, "{silence} {reopen}");
    }
    let keys = |n: u8| {
        let keys = (0..n).map(|n| {
            let mut key = KEY.to_owned();
            key.replace_range(..1, &char::from(b'A' + n).to_string());
            format!("\"{key}\"")
        });
        keys.collect::<Vec<_>>().join(", ")
    };
    let most = limits::MAX_COMMAND_KEYS as u8;
    Site::new().good(&text(&keys(most), "1h", "1h"));
    for beyond in [most + 1, 26] {
        let faults = Site::new().faults(&text(&keys(beyond), "1h", "1h"));
        assert!(faults.errors().count() > 0, "{beyond} keys");
    }
}
