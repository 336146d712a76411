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
        &camera(&site, "url = \"http://h/\"", ZONE),
        "camera[1].url",
        "must start with rtsp://",
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
        "video files",
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
