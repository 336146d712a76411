//! Cameras and zones.

use super::{RTSP, ZONE, camera, one_at};
use crate::config::tests::Site;

#[test]
fn cameras() {
    let site = Site::new();
    let one =
        |text: &str, key: &str, message: &str, help: &str| one_at(&site, text, key, message, help);
    one(
        &camera(&site, "", ZONE),
        "camera[1]",
        "neither `url` nor `file`",
        "rtsp://",
    );
    one(
        &camera(&site, "url = \"rtsp://u:p@h/\"", ZONE),
        "camera[1].url",
        "in the URL",
        "password_file",
    );
    one(
        &camera(&site, "url = \"ftp://h/\"", ZONE),
        "camera[1].url",
        "must start with rtsp:// or rtsps:// or http:// or https://",
        "",
    );
    one(
        &camera(&site, "file = \"none.mp4\"", ZONE),
        "camera[1].file",
        "cannot read",
        "relative paths",
    );
    one(
        &camera(&site, &format!("{RTSP}\nfile = \"model.toml\""), ZONE),
        "camera[1].file",
        "both `url` and `file`",
        "",
    );
    one(
        &camera(&site, &format!("{RTSP}\nrepeat = true"), ZONE),
        "camera[1].repeat",
        "video files and folders",
        "",
    );
    one(
        &camera(&site, "file = \"model.toml\"\ntransport = \"tcp\"", ZONE),
        "camera[1].transport",
        "video file",
        "",
    );
    one(
        &camera(&site, &format!("{RTSP}\ntransport = \"upd\""), ZONE),
        "camera[1].transport",
        "cannot be \"upd\"",
        "did you mean \"udp\"?",
    );
    one(
        &camera(&site, RTSP, ZONE).replace("\"gate\"", "\"bin-1\""),
        "camera[1].id",
        "is a device already",
        "",
    );
    let twice = camera(&site, RTSP, ZONE) + "[[camera]]\nid = \"gate\"\nurl = \"rtsp://h/\"\n";
    one(&twice, "camera[2].id", "camera \"gate\" is there twice", "");
    one(
        &camera(&site, &format!("{RTSP}\nmasks = [[[0, 0], [1, 1]]]"), ZONE),
        "camera[1].masks[1]",
        "2 corners",
        "",
    );
}

#[test]
fn every_way_in_has_its_own_keys() {
    let site = Site::new();
    let one = |lines: &str, key: &str, message: &str, help: &str| {
        let key = format!("camera[1]{key}");
        one_at(&site, &camera(&site, lines, ZONE), &key, message, help);
    };
    site.file(
        "ca.pem",
        rcgen::generate_simple_self_signed(["c".to_owned()])
            .unwrap()
            .cert
            .pem(),
    );
    std::fs::create_dir(site.path().join("pictures")).unwrap();
    const MQTT: &str = "mqtt = { topic = \"cams/gate\" }";
    const FOLDER: &str = "folder = \"pictures\"";
    const RTSPS: &str = "url = \"rtsps://10.0.0.9/s\"";
    const HTTP: &str = "url = \"http://10.0.0.9/s\"";

    for (lines, key) in [
        (format!("{RTSP}\n{FOLDER}"), ".folder"),
        (format!("{FOLDER}\n{MQTT}"), ".mqtt"),
        (
            format!("file = \"model.toml\"\n{FOLDER}\n{MQTT}"),
            ".folder",
        ),
    ] {
        one(&lines, key, "the camera has both", "keep one");
    }
    // Keys of another way.
    for (lines, key, why) in [
        (format!("{RTSP}\nevery = \"2s\""), ".every", "its own clock"),
        (
            format!("{RTSP}\nca_file = \"ca.pem\""),
            ".ca_file",
            "neither `rtsps://`",
        ),
        (
            format!("{HTTP}\ntransport = \"tcp\""),
            ".transport",
            "for `rtsp://`",
        ),
        (
            format!("{HTTP}\nrepeat = true"),
            ".repeat",
            "video files and folders",
        ),
        (format!("{HTTP}\nwatch = true"), ".watch", "for folders"),
        (
            format!("{FOLDER}\nusername = \"u\""),
            ".username",
            "folder of pictures",
        ),
        (
            format!("{MQTT}\nusername = \"u\""),
            ".username",
            "the broker has the login",
        ),
        (
            format!("{MQTT}\nrepeat = true"),
            ".repeat",
            "video files and folders",
        ),
        (
            "file = \"model.toml\"\nevery = \"1s\"".into(),
            ".every",
            "its own clock",
        ),
    ] {
        one(&lines, key, why, "remove it");
    }
    one(
        &format!("{RTSPS}\ntransport = \"udp\""),
        ".transport",
        "in clear",
        "",
    );
    let pin = "0a".repeat(32);
    let both = format!("{RTSPS}\nca_file = \"ca.pem\"\ncertificate_sha256 = \"{pin}\"");
    one(&both, ".ca_file", "does nothing", "");
    for bad in [
        &pin[1..],
        &pin.replace('a', "g"),
        &format!("{pin}00"),
        &pin.replace("0a0a", "0a:0a"),
        "é",
    ] {
        let lines = format!("{RTSPS}\ncertificate_sha256 = \"{bad}\"");
        one(&lines, ".certificate_sha256", "64 hex digits", "openssl");
    }
    one(
        &format!("{RTSPS}\nca_file = \"model.toml\""),
        ".ca_file",
        "no PEM",
        "",
    );
    one(
        "folder = \"nowhere\"",
        ".folder",
        "cannot read",
        "must be there",
    );
    one(
        &format!("{FOLDER}\nwatch = true\nrepeat = true"),
        ".watch",
        "either watched or played",
        "",
    );
    one(
        "mqtt = { broker = \"lissen\", topic = \"t\" }",
        ".mqtt.broker",
        "no broker",
        "did you mean \"listen\"?",
    );
    one(
        "mqtt = { broker = \"listen\" }",
        ".mqtt.topic",
        "`topic` is missing",
        "",
    );
    one(
        "mqtt = { topic = \"cams/+/jpeg\" }",
        ".mqtt.topic",
        "wildcard",
        "",
    );
    one(
        "mqtt = { topic = \"bins/bin-1/up\" }",
        ".mqtt.topic",
        "topic of device \"bin-1\"",
        "",
    );
    let twice = camera(&site, MQTT, ZONE) + &format!("[[camera]]\nid = \"yard\"\n{MQTT}\n");
    one_at(&site, &twice, "camera[2].mqtt.topic", "is there twice", "");
    let two = "[[broker]]\nname = \"b\"\nurl = \"mqtt://127.0.0.1\"\n";
    let text = camera(&site, MQTT, ZONE) + two;
    let text = text.replace("[[device]]", "[[device]]\nvia = \"listen\"");
    one_at(
        &site,
        &text,
        "camera[1].mqtt",
        "which broker",
        "known: b, listen",
    );
    let none = camera(&site, MQTT, ZONE).replace("[listen]\naddress = \"127.0.0.1:1883\"\n", "");
    let none = none.replace(crate::config::tests::BIN, "");
    one_at(
        &site,
        &none,
        "camera[1].mqtt",
        "there is no broker",
        "[listen]",
    );
    let vaapi = camera(&site, RTSP, ZONE).replace("[vision]", "[vision]\ndecoder = \"vaapi\"");
    one_at(
        &site,
        &vaapi,
        "vision.decoder",
        "VA-API is not supported",
        "qsv",
    );
}

#[test]
fn a_dwell_shorter_than_the_time_between_two_pictures_is_warned_of() {
    let site = Site::new();
    for (dwell, warned) in [("10s", false), ("9999ms", true), ("1s", true)] {
        let zone = format!("{ZONE}\ndwell = \"{dwell}\"");
        let text = camera(&site, "url = \"http://10.0.0.9/s\"\nevery = \"10s\"", &zone);
        let faults = site.faults(&text);
        let said = faults
            .iter()
            .any(|f| f.message.contains("time between two pictures"));
        assert_eq!(said, warned, "{dwell}: {faults}");
        assert_eq!(faults.errors().count(), 0, "{faults}");
    }
}

#[test]
fn zones() {
    let site = Site::new();
    let zone = |from: &str, to: &str| {
        assert!(ZONE.contains(from), "{from}");
        camera(&site, RTSP, &ZONE.replace(from, to))
    };
    let one = |text: &str, key: &str, message: &str, help: &str| {
        one_at(&site, text, &format!("camera[1].zone{key}"), message, help);
    };
    let polygon = "[[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]";
    one(
        &zone(polygon, "[[0.1, 0.1], [0.9, 0.1]]"),
        "[1].polygon",
        "has 2 entries, at least 3",
        "",
    );
    one(
        &zone(polygon, "[[0, 0], [1, 1], [1, 0], [0, 1]]"),
        "[1].polygon",
        "crosses itself: side 1 meets side 3",
        "walk around",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5, 1.9]"),
        "[1].polygon[3]",
        "corner 3 at [0.5, 1.9] is outside",
        "divide pixels",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5, -0.1]"),
        "[1].polygon[3]",
        "outside",
        "",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5, 0.9, 1]"),
        "[1].polygon[3]",
        "has 3 entries, at most 2",
        "",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5]"),
        "[1].polygon[3]",
        "has 1 entries, at least 2",
        "",
    );
    one(
        &zone("[0.5, 0.9]", "\"x\""),
        "[1].polygon[3]",
        "must be a list",
        "",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5, 0.1001]"),
        "[1].polygon",
        "no area",
        "",
    );
    one(
        &zone("garbage_exposed", "garbage"),
        "[1].kind",
        "cannot be \"garbage\"",
        "one of illegal_dumping",
    );
    one(
        &zone("\"person\"", "\"persn\""),
        "[1].labels[1]",
        "no label in the model named \"persn\"",
        "did you mean \"person\"?",
    );
    one(
        &zone("\"person\"", "\"person\", \"person\""),
        "[1].labels[2]",
        "twice",
        "",
    );
    one(
        &zone("[\"person\"]", "[]"),
        "[1].labels",
        "at least 1",
        "person",
    );
    one(
        &zone("id = \"z\"", "id = \"z\"\ndwell = \"0s\""),
        "[1].dwell",
        "from 100ms to 1d",
        "",
    );
    let twice = zone("", "") + &format!("[[camera.zone]]\n{ZONE}\n");
    one(&twice, "[2].id", "zone \"z\" is there twice", "");
}
