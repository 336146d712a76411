//! Files that a configuration names, and the configuration file itself.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{BIN, STATION, Site};
use crate::config::{inspect, load};

fn tls(site: &Site, lines: &str) -> Vec<(String, String)> {
    let text = format!("{STATION}{BIN}[[uplink]]\nname = \"u\"\nurl = \"mqtts://h\"\n{lines}\n");
    let faults = site.faults(&text);
    faults
        .errors()
        .map(|f| (f.key.clone(), f.message.clone()))
        .collect()
}

#[test]
fn certificates_and_keys_are_read() {
    let site = Site::new();
    let pair = rcgen::generate_simple_self_signed(["gateway".to_owned()]).expect("a certificate");
    site.file("ca.pem", pair.cert.pem());
    site.file("gw.pem", pair.cert.pem());
    site.file("gw.key", pair.signing_key.serialize_pem());
    let all = "ca_file = \"ca.pem\"\nclient_cert = \"gw.pem\"\nclient_key = \"gw.key\"";
    assert_eq!(tls(&site, all), []);

    let cut = pair.signing_key.serialize_pem();
    for (name, content, key, message) in [
        ("gw.key", "", "client_key", "is unreadable"),
        (
            "gw.key",
            "-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n",
            "client_key",
            "is unreadable",
        ),
        (
            "gw.key",
            &cut[..cut.len() / 2],
            "client_key",
            "is unreadable",
        ),
        (
            "gw.pem",
            "not a certificate",
            "client_cert",
            "no `-----BEGIN CERTIFICATE-----`",
        ),
        (
            "ca.pem",
            "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
            "ca_file",
            "no PEM certificate",
        ),
    ] {
        let good = fs::read(site.path().join(name)).expect("the good one");
        site.file(name, content);
        let faults = tls(&site, all);
        assert_eq!(faults.len(), 1, "{name}: {faults:?}");
        assert_eq!(faults[0].0, format!("uplink[2].{key}"));
        assert!(faults[0].1.contains(message), "{faults:?}");
        site.file(name, good);
    }

    let alone = tls(&site, "client_cert = \"gw.pem\"");
    assert!(alone[0].1.contains("without `client_key`"), "{alone:?}");
    let alone = tls(&site, "client_key = \"gw.key\"");
    assert!(alone[0].1.contains("without `client_cert`"), "{alone:?}");
}

#[test]
fn secrets_are_for_the_gateway_alone() {
    let site = Site::new();
    let lines = "username = \"u\"\npassword_file = \"pw\"";
    for (mode, good) in [
        (0o600, true),
        (0o400, true),
        (0o640, true),
        (0o644, false),
        (0o660, false),
        (0o604, false),
        (0o777, false),
    ] {
        site.file_with_mode("pw", "secret", mode);
        let faults = tls(&site, lines);
        assert_eq!(faults.is_empty(), good, "{mode:o}: {faults:?}");
        if !good {
            assert!(
                faults[0].1.contains(&format!("mode is {mode:o}")),
                "{faults:?}"
            );
        }
    }
}

#[test]
fn bad_secret_files() {
    let site = Site::new();
    let lines = "username = \"u\"\npassword_file = \"pw\"";
    let one = |message: &str| {
        let faults = tls(&site, lines);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].0, "uplink[2].password_file");
        assert!(
            faults[0].1.contains(message),
            "wanted {message}: {faults:?}"
        );
    };
    one("No such file");
    fs::create_dir(site.path().join("pw")).expect("a directory");
    one("no regular file");
    fs::remove_dir(site.path().join("pw")).expect("removed");
    let fifo = std::process::Command::new("mkfifo")
        .arg(site.path().join("pw"))
        .status();
    assert!(fifo.expect("mkfifo").success());
    one("no regular file");
    fs::remove_file(site.path().join("pw")).expect("removed");
    for (content, message) in [
        (&b""[..], "one line with the secret"),
        (b"\n", "one line with the secret"),
        (b"a\nb\n", "one line with the secret"),
        (b"\xff\xfe", "not UTF-8"),
        (&[b'x'; 4_097], "larger than"),
    ] {
        site.file("pw", content);
        one(message);
    }
    site.file("pw", [b'x'; 4_096]);
    assert_eq!(tls(&site, lines), []);
}

#[test]
fn the_model_must_be_there() {
    let site = Site::new();
    let camera = "[[camera]]\nid = \"c\"\nurl = \"rtsp://h/\"\n[[camera.zone]]\nid = \"z\"\nkind = \"garbage_exposed\"\npolygon = [[0, 0], [1, 0], [1, 1]]\nlabels = [\"person\"]\n";
    let text =
        format!("{STATION}{BIN}{camera}[vision]\nmodel = \"m.toml\"\nonnxruntime = \"o.so\"\n");
    let faults = site.faults(&text);
    let keys: Vec<&str> = faults.errors().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["vision.model", "vision.onnxruntime"], "{faults}");
    site.file("o.so", "x");
    site.file("m.toml", "labels = 3");
    let faults = site.faults(&text);
    assert!(
        faults.to_string().contains("manifest is unusable"),
        "{faults}"
    );
}

#[test]
fn on_site_the_storage_is_tried_and_the_weights_are_read() {
    let site = Site::new();
    let file = site.file("station.toml", format!("{STATION}{BIN}"));
    assert!(
        inspect(&file, true).config.is_some(),
        "{}",
        inspect(&file, true).faults
    );
    assert!(
        !site.path().join("data").exists(),
        "a check leaves nothing behind"
    );

    // Root may write anywhere but in such a file system.
    let text = format!("{STATION}{BIN}").replace("\"data\"", "\"/proc/wangge\"");
    let file = site.file("station.toml", text);
    assert!(inspect(&file, false).config.is_some());
    let faults = inspect(&file, true).faults;
    assert!(
        faults.to_string().contains("cannot write in /proc"),
        "{faults}"
    );

    let vision = site.vision();
    let camera = "[[camera]]\nid = \"c\"\nfile = \"model.toml\"\n";
    let file = site.file("station.toml", format!("{STATION}{BIN}{vision}{camera}"));
    assert!(
        inspect(&file, false).config.is_some(),
        "{}",
        inspect(&file, false).faults
    );
    let faults = inspect(&file, true).faults;
    assert!(
        faults.to_string().contains("the model cannot be used"),
        "{faults}"
    );

    let file = site.file("data", "a file");
    let station = site.file("station.toml", format!("{STATION}{BIN}"));
    let faults = inspect(&station, false).faults;
    assert!(
        faults
            .to_string()
            .contains(&format!("{} is no directory", file.display())),
        "{faults}"
    );
}

#[test]
fn the_file_itself() {
    let site = Site::new();
    let missing = site.path().join("none.toml");
    let faults = load(&missing).expect_err("no file");
    let shown = faults.to_string();
    assert!(
        shown.contains("none.toml") && shown.contains("wangge config sample"),
        "{shown}"
    );
    let file = site.file("latin.toml", b"[station]\nname = \"\xe9\"\n");
    assert!(
        load(&file)
            .expect_err("latin-1")
            .to_string()
            .contains("line 2 is not UTF-8")
    );
    let file = site.file("large.toml", vec![b'#'; 8_000_001]);
    assert!(
        load(&file)
            .expect_err("large")
            .to_string()
            .contains("larger than 8MB")
    );
    let file = site.file("empty.toml", "");
    let faults = load(&file).expect_err("empty");
    assert_eq!(faults.errors().count(), 2, "station and storage: {faults}");
    assert!(
        load(site.path())
            .expect_err("a directory")
            .to_string()
            .contains("directory")
    );
}

#[test]
fn windows_line_ends_and_a_mark_at_the_start_do_no_harm() {
    let site = Site::new();
    let text = format!("\u{feff}{STATION}{BIN}").replace('\n', "\r\n");
    site.good(&text);
    let faults = site.faults(&text.replace("25.05", "125.05"));
    let error = faults.errors().next().expect("a fault");
    assert_eq!((error.line, error.column), (6, 7), "{faults}");
}

#[test]
fn relative_paths_start_at_the_file() {
    let site = Site::new();
    fs::create_dir(site.path().join("sub")).expect("a directory");
    let config = site.file("sub/station.toml", format!("{STATION}{BIN}"));
    let loaded = load(&config).expect("a station");
    assert_eq!(loaded.storage.path, site.path().join("sub/data"));
    let mode = fs::metadata(&config)
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
