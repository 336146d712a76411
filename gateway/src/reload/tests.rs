use std::{fs, path::Path};

use tempfile::TempDir;
use wangge_tests::place;

use super::*;
use crate::config::Condition;

const STATION: &str = r#"
[station]
id = "s"
unit_grid = "530102001001001"
lon = 102.7
lat = 25.05
[storage]
path = "data"
[listen]
address = "127.0.0.1:1883"
[[uplink]]
name = "city"
url = "http://127.0.0.1:8080"
[[device]]
id = "bin-1"
profile = "wangge-bin"
height = "1.2m"
"#;

fn started(dir: &Path, text: &str) -> Reloader {
    let path = dir.join("station.toml");
    fs::write(&path, text).unwrap();
    let config = config::load(&path).unwrap();
    Reloader::new(path, &config).unwrap()
}

fn edited(reloader: &mut Reloader, text: &str) -> Result<Reloaded, String> {
    fs::write(&reloader.path, text).unwrap();
    reloader.read()
}

fn raise(config: &Config) -> f64 {
    let rule = config.devices[0].rules.iter().find(|r| r.id == "overflow");
    match rule.unwrap().when {
        Condition::Threshold { raise, .. } => raise,
        ref other => panic!("{other:?}"),
    }
}

const RULE: &str = "[[device.rule]]\nid = \"overflow\"\nraise = 70\nclear = 60\n";

#[test]
fn a_threshold_is_taken_up() {
    let dir = TempDir::new().unwrap();
    let mut reloader = started(dir.path(), STATION);
    let reloaded = edited(&mut reloader, &format!("{STATION}{RULE}")).unwrap();
    assert_eq!(raise(&reloaded.config), 70.0);
    assert_eq!(
        reloaded.said,
        "taken up: device \"bin-1\" rule \"overflow\""
    );
    assert_eq!(reloader.read().unwrap().said, "nothing changed");
    // And back.
    let reloaded = edited(&mut reloader, STATION).unwrap();
    assert_ne!(raise(&reloaded.config), 70.0);
}

#[test]
fn what_needs_a_restart_is_said_until_there_is_one() {
    let dir = TempDir::new().unwrap();
    let mut reloader = started(dir.path(), STATION);
    let other = STATION
        .replace("127.0.0.1:8080", "127.0.0.1:8081")
        .replace("1.2m", "1.3m")
        + RULE
        + "[[device]]\nid = \"bin-2\"\nprofile = \"wangge-bin\"\nheight = \"1.2m\"\n";
    let reloaded = edited(&mut reloader, &other).unwrap();
    assert_eq!(
        reloaded.said,
        "taken up: device \"bin-1\" rule \"overflow\"; waits for a restart: device \"bin-1\" height, device \"bin-2\", uplink \"city\" url"
    );
    // What runs did not change in these.
    assert_eq!(reloaded.config.devices.len(), 1);
    assert_eq!(reloaded.config.devices[0].height_mm, Some(1_200.0));
    assert_eq!(raise(&reloaded.config), 70.0);
    let again = reloader.read().unwrap();
    assert!(
        again.said.starts_with("waits for a restart: device"),
        "{}",
        again.said
    );
}

#[test]
fn a_broken_file_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let mut reloader = started(dir.path(), &format!("{STATION}{RULE}"));
    for broken in [
        "[[[".to_owned(),
        String::new(),
        STATION.replace("height", "hieght"),
        format!("{STATION}{}", RULE.replace("raise = 70", "raise = 900")),
    ] {
        let why = edited(&mut reloader, &broken).unwrap_err();
        assert!(why.contains("station.toml"), "{why}");
        assert!(!why.contains('\n'), "{why}");
        assert_eq!(raise(&reloader.running), 70.0);
    }
    fs::remove_file(&reloader.path).unwrap();
    assert!(reloader.read().is_err());
    let good = edited(&mut reloader, &format!("{STATION}{RULE}")).unwrap();
    assert_eq!(good.said, "nothing changed");
}

#[test]
fn long_lists_are_cut() {
    let many: Vec<String> = (0..20).map(|n| format!("device \"b{n}\"")).collect();
    let said = sentence(&many, &[]);
    assert!(said.ends_with("\"b5\" and 14 more"), "{said}");
}

const CAMERA: &str = r#"
[calendar]
holidays = ["2026-10-01..2026-10-07"]
valid_until = "2026-12-31"
[[camera]]
id = "gate"
url = "rtsp://127.0.0.1:8554/main"
[[camera.zone]]
id = "corner"
kind = "public_space_encroachment"
labels = ["person"]
dwell = "20s"
polygon = [[0.1, 0.4], [0.6, 0.4], [0.6, 0.9], [0.1, 0.9]]
"#;

/// With the model and the library that set-up laid out.
fn with_camera() -> String {
    let (model, library) = (place::model().unwrap(), place::onnxruntime().unwrap());
    format!("{STATION}[vision]\nmodel = {model:?}\nonnxruntime = {library:?}\n{CAMERA}")
}

#[test]
fn what_cameras_look_for_is_taken_up_and_where_their_pictures_come_from_waits() {
    let dir = TempDir::new().unwrap();
    let text = with_camera();
    let mut reloader = started(dir.path(), &text);
    let hash = reloader.running.hash.clone();
    let other = text
        .replace("[0.1, 0.4], ", "[0.2, 0.4], ")
        .replace("20s", "30s")
        .replace("10-07", "10-08")
        .replace(":8554", ":8555")
        + "[[camera.zone]]\nid = \"path\"\nkind = \"illegal_dumping\"\n\
           polygon = [[0.6, 0.4], [0.9, 0.4], [0.9, 0.9]]\n";
    let reloaded = edited(&mut reloader, &other).unwrap();
    assert_eq!(
        reloaded.said,
        "taken up: calendar holidays, camera \"gate\" zone \"corner\" dwell, camera \"gate\" zone \
         \"corner\" polygon, camera \"gate\" zone \"path\"; waits for a restart: camera \"gate\" url"
    );
    let camera = &reloaded.config.cameras[0];
    assert_eq!(camera.zones[0].polygon[0], [0.2, 0.4]);
    assert_eq!(camera.zones.len(), 2);
    assert!(camera.rules.iter().any(|rule| rule.id == "zone:path"));
    let config::CameraInput::Rtsp { url, .. } = &camera.input else {
        panic!("{:?}", camera.input);
    };
    assert_eq!(url.port(), Some(8554));
    assert_ne!(reloaded.config.hash, hash, "seals name the file that goes");
}

#[test]
fn while_a_shadow_is_compared_cameras_stay_as_they_are() {
    let dir = TempDir::new().unwrap();
    let tried = "[[camera.zone]]\nid = \"strict\"\nkind = \"public_space_encroachment\"\nlabels = [\"person\"]\n\
                 shadow = true\npolygon = [[0.6, 0.4], [0.9, 0.4], [0.9, 0.9]]\n";
    let text = with_camera() + tried;
    let mut reloader = started(dir.path(), &text);
    let reloaded = edited(&mut reloader, &text.replace("20s", "30s")).unwrap();
    assert_eq!(
        reloaded.said,
        "waits for a restart: camera \"gate\" zone \"corner\" dwell"
    );
    let zone = &reloaded.config.cameras[0].zones[0];
    assert_eq!(zone.dwell, std::time::Duration::from_secs(20));
}
