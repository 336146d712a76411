//! Every kind of mistake: the place, the sentence, the advice.

mod calendar;
mod camera;
mod device;
mod ground;
mod line;
mod link;
mod privacy;
mod rule;
mod shape;
mod station;
mod tier;

use super::{BIN, METER, STATION, Site};

/// A text that should have exactly one error; `(key, message, help)`, the last two in part.
fn one(text: &str, key: &str, message: &str, help: &str) {
    one_at(&Site::new(), text, key, message, help);
}

fn one_at(site: &Site, text: &str, key: &str, message: &str, help: &str) {
    let faults = site.faults(text);
    let errors: Vec<_> = faults.errors().collect();
    let [error] = errors.as_slice() else {
        panic!(
            "{} errors, wanted one about {key}:\n{faults}\nin\n{text}",
            errors.len()
        );
    };
    assert_eq!(error.key, key, "{faults}");
    assert!(
        error.message.contains(message),
        "wanted {message:?}:\n{faults}"
    );
    let found = error.help.as_deref().unwrap_or_default();
    assert!(found.contains(help), "wanted {help:?}:\n{faults}");
    assert!(error.line > 0 && error.column > 0, "{faults}");
}

/// The station with one line replaced.
fn station(from: &str, to: &str) -> String {
    assert!(STATION.contains(from), "{from}");
    format!("{}{BIN}", STATION.replace(from, to))
}

fn bin(more: &str) -> String {
    format!("{STATION}{BIN}{more}\n")
}

fn meter(more: &str) -> String {
    format!("{STATION}{METER}{more}\n{BIN}")
}

fn camera(site: &Site, lines: &str, zone: &str) -> String {
    let vision = site.vision();
    format!("{STATION}{BIN}{vision}[[camera]]\nid = \"gate\"\n{lines}\n[[camera.zone]]\n{zone}\n")
}

const RTSP: &str = "url = \"rtsp://10.0.0.9/s\"";
const ZONE: &str = "id = \"z\"\nkind = \"garbage_exposed\"\npolygon = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]\nlabels = [\"person\"]";

#[test]
fn a_good_station_has_neither_error_nor_warning() {
    let site = Site::new();
    let text = camera(&site, RTSP, ZONE);
    let faults = site.faults(&format!("{text}{METER}"));
    assert_eq!(faults.iter().count(), 0, "{faults}");
}

#[test]
fn a_memory_limit_that_so_many_cameras_do_not_fit_is_told() {
    let site = Site::new();
    for (cameras, enough) in [(1, 156), (2, 162), (12, 222), (60, 510), (64, 512)] {
        let text = |megabytes: u64| {
            let all: String = (0..cameras)
                .map(|i| format!("[[camera]]\nid = \"c{i}\"\n{RTSP}\n[[camera.zone]]\n{ZONE}\n"))
                .collect();
            let vision = site.vision();
            format!("{STATION}{BIN}{vision}memory_limit = \"{megabytes}MB\"\n{all}")
        };
        let faults = site.faults(&text(enough));
        assert_eq!(faults.iter().count(), 0, "{faults}");
        for little in [enough - 1, 128] {
            let inspection = site.inspect(&text(little));
            assert!(inspection.config.is_some(), "{}", inspection.faults);
            assert_eq!(
                inspection.faults.warnings().count(),
                1,
                "{}",
                inspection.faults
            );
            let shown = inspection.faults.to_string();
            for told in [
                format!("too little for {cameras} camera"),
                format!("give it at least {enough}MB"),
                "memory_limit".to_owned(),
            ] {
                assert!(shown.contains(&told), "wanted {told:?}: {shown}");
            }
        }
    }
}

#[test]
fn warnings_do_not_stop_a_station() {
    let site = Site::new();
    for (text, message) in [
        (meter("every = \"200ms\""), "holds the bus up for 500ms"),
        (bin("[[stream]]\nname = \"s\""), "no uplink carries stream"),
        (
            bin("[[bus]]\nname = \"m\"\ntcp = \"h\""),
            "bus \"m\": no device uses it",
        ),
        (STATION.to_owned(), "listener: no device uses it"),
        (
            station("http://127.0.0.1:8080", "http://10.0.0.1"),
            "in clear",
        ),
        (
            station(
                "[[uplink]]\nname = \"city\"\nurl = \"http://127.0.0.1:8080\"\n",
                "",
            ),
            "alerts go nowhere",
        ),
    ] {
        let inspection = site.inspect(&text);
        assert!(inspection.config.is_some(), "{}", inspection.faults);
        let shown = inspection.faults.to_string();
        assert!(shown.contains(message), "wanted {message:?}: {shown}");
        assert_eq!(inspection.faults.warnings().count(), 1, "{shown}");
    }
}
