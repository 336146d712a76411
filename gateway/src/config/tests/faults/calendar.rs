//! Windows of zones, holidays, permits and everyday words.

use super::{RTSP, ZONE, camera, one_at};
use crate::{
    calendar::{By, State, Windows},
    config::{Among, Condition, Config, limits, tests::Site},
};
use wangge_protocol::EventKind;

/// A camera `gate` with the zone `z`, and these lines in the zone, and these tables behind it.
fn station(site: &Site, zone: &str, tables: &str) -> String {
    camera(site, RTSP, &format!("{ZONE}\n{zone}")) + tables
}

const PERMIT: &str = "[[calendar.permit]]\nid = \"N1\"\nzones = [\"gate/z\"]\n\
                      from = \"2026-10-01\"\nto = \"2026-10-07 22:00\"\n";
const TABLE: &str = "[calendar]\nholidays = [\"2026-10-01..2026-10-07\"]\n\
                     workdays = [\"2026-10-10\"]\nvalid_until = \"2026-12-31\"\n";

#[test]
fn windows() {
    let site = Site::new();
    let one = |zone: &str, key: &str, message: &str, help: &str| {
        let key = format!("camera[1].zone[1].{key}");
        one_at(&site, &station(&site, zone, TABLE), &key, message, help);
    };
    for (window, message, help) in [
        ("17:00-17:00", "begins and ends at 17:00", "00:00-24:00"),
        ("17:00-25:00", "\"25:00\" is no time", "24 hours"),
        ("24:00-02:00", "begins at 24:00", "00:00"),
        (
            "mon-fir 17:00-22:00",
            "no day \"fir\"",
            "did you mean \"fri\"?",
        ),
        (
            "monday 17:00-22:00",
            "no day \"monday\"",
            "did you mean \"mon\"?",
        ),
        (
            "holidays",
            "no day \"holidays\"",
            "did you mean \"holiday\"?",
        ),
        ("someday", "no day \"someday\"", ""),
        ("2027-02-29", "no day 2027-02-29", "2026-10-01"),
        ("17：00-22：00", "Chinese keyboard", "English keyboard"),
        (
            "07:00-09:00 17:00-19:00",
            "more than one span",
            "another window",
        ),
        ("", "it is empty", "mon-fri 17:00-22:00"),
    ] {
        for key in ["allowed", "watched"] {
            let zone = format!("{key} = [\"08:00-09:00\", \"{window}\"]");
            one(&zone, &format!("{key}[2]"), message, help);
        }
    }
    one("allowed = []", "allowed", "at least 1", "17:00-22:00");
    one("allowed = \"17:00-22:00\"", "allowed", "must be a list", "");
    one(
        "allowed = [\"mon\"]\nwatched = [\"tue\"]",
        "watched",
        "both `allowed` and `watched`",
        "anybody looks",
    );
    one(
        "allowed = [\"mon\"]\ngrace_out = \"25h\"",
        "grace_out",
        "from 0s to 1d",
        "",
    );
    one(
        "watched = [\"mon\"]\ntake_down = true",
        "take_down",
        "without `allowed`",
        "17:00-22:00",
    );
    one("alowed = [\"mon\"]", "alowed", "unknown", "allowed");
}

#[test]
fn everyday_words() {
    let site = Site::new();
    let zone = |lines: &str| ZONE.replace("labels = [\"person\"]", lines);
    let key = "camera[1].zone[1].what[1]";
    for (word, help) in [
        ("vehicles", "did you mean \"vehicle\"?"),
        ("nomotor", "did you mean \"nonmotor\"?"),
        ("goods", "known: vehicle, nonmotor, stall, pile, people"),
    ] {
        let text = camera(&site, RTSP, &zone(&format!("what = [\"{word}\"]")));
        one_at(&site, &text, key, "no kind of thing", help);
    }
    let twice = camera(&site, RTSP, &zone("what = [\"pile\", \"pile\"]"));
    one_at(&site, &twice, "camera[1].zone[1].what[2]", "twice", "");
    for (word, labels, objects) in [
        ("vehicle", &["car", "bus", "truck"][..], false),
        ("nonmotor", &["bicycle", "motorcycle"][..], false),
        (
            "stall",
            &["chair", "dining table", "umbrella", "bench", "suitcase"][..],
            true,
        ),
        ("pile", &[][..], true),
        ("people", &["person"][..], false),
    ] {
        let config = site.good(&camera(&site, RTSP, &zone(&format!("what = [\"{word}\"]"))));
        let zone = &config.cameras[0].zones[0];
        assert_eq!(
            (&zone.labels[..], zone.objects),
            (
                &labels.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                objects
            ),
            "{word}"
        );
    }
    // Words add to labels, and nothing is there twice.
    let both = zone("what = [\"vehicle\"]\nlabels = [\"car\", \"dog\"]");
    let config = site.good(&camera(&site, RTSP, &both));
    assert_eq!(
        config.cameras[0].zones[0].labels,
        ["car", "dog", "bus", "truck"]
    );
    // A model of its own has none of these labels.
    let text = camera(&site, RTSP, &zone("what = [\"vehicle\"]"));
    let manifest = std::fs::read_to_string(site.path().join("model.toml")).expect("a manifest");
    let (before, rest) = manifest.split_once("labels = [").expect("labels");
    let (_, after) = rest.split_once(']').expect("an end");
    site.file("model.toml", format!("{before}labels = [\"bag\"]{after}"));
    one_at(
        &site,
        &text,
        key,
        "no label for \"vehicle\"",
        "car, bus, truck",
    );
}

#[test]
fn holidays() {
    let site = Site::new();
    let one = |tables: &str, key: &str, message: &str, help: &str| {
        let text = station(&site, "allowed = [\"workday\"]", tables);
        one_at(&site, &text, &format!("calendar.{key}"), message, help);
    };
    let table = |from: &str, to: &str| {
        assert!(TABLE.contains(from), "{from}");
        TABLE.replace(from, to)
    };
    one(
        &table("10-01..", "10-08.."),
        "holidays[1]",
        "2026-10-08 comes after 2026-10-07",
        "",
    );
    one(
        &table("2026-10-07", "2026-10-32"),
        "holidays[1]",
        "no day",
        "",
    );
    one(
        &table("2026-10-10", "2026-10-07"),
        "workdays[1]",
        "among the holidays (2026-10-01..2026-10-07)",
        "either",
    );
    one(
        &table("2026-12-31", "2026-10-09"),
        "valid_until",
        "go on until 2026-10-10",
        "",
    );
    one(
        &table("valid_until = \"2026-12-31\"\n", ""),
        "valid_until",
        "missing",
        "2026-12-31",
    );
    one(
        &table("\"2026-12-31\"", "\"2026-12-01..2026-12-31\""),
        "valid_until",
        "one day",
        "",
    );
    // In a file of its own, with its own lines.
    let shared = "[calendar]\nfile = \"days.toml\"\n";
    one(shared, "file", "cannot read", "relative paths");
    site.file("days.toml", TABLE.replace("[calendar]\n", ""));
    let config = site.good(&station(&site, "allowed = [\"workday\"]", shared));
    assert_eq!(config.calendars.days.workdays.len(), 1);
    let both = "[calendar]\nfile = \"days.toml\"\nworkdays = [\"2026-10-10\"]\n";
    one(both, "workdays", "does nothing here", "remove");
    site.file("days.toml", "holidays = [\"2026-10-01\"]\nworkday = []\n");
    let faults = site.faults(&station(&site, "allowed = [\"workday\"]", shared));
    let said: Vec<_> = faults
        .errors()
        .map(|f| (f.file.ends_with("days.toml"), f.line))
        .collect();
    assert!(said.iter().all(|(own, _)| *own), "{faults}");
    assert!(said.contains(&(true, 2)), "{faults}");
    // Nothing to go by: a warning.
    for (window, message) in [("holiday", "never comes"), ("workday", "week alone")] {
        let text = station(&site, &format!("watched = [\"{window}\"]"), "");
        let faults = site.faults(&text);
        assert_eq!(faults.errors().count(), 0, "{faults}");
        assert!(
            faults.warnings().any(|w| w.message.contains(message)),
            "{faults}"
        );
    }
}

#[test]
fn permits() {
    let site = Site::new();
    let one = |from: &str, to: &str, key: &str, message: &str, help: &str| {
        assert!(PERMIT.contains(from), "{from}");
        let text = station(&site, "", &PERMIT.replace(from, to));
        one_at(
            &site,
            &text,
            &format!("calendar.permit[1].{key}"),
            message,
            help,
        );
    };
    one(
        "gate/z",
        "gate/y",
        "zones[1]",
        "no zone \"gate/y\"",
        "did you mean \"gate/z\"?",
    );
    one("[\"gate/z\"]", "[]", "zones", "at least 1", "gate/stall");
    one(
        "2026-10-07 22:00",
        "2026-09-30",
        "to",
        "not after `from`",
        "",
    );
    one(
        "2026-10-07 22:00",
        "2026-10-07 25:00",
        "to",
        "no time",
        "local time",
    );
    one(
        "2026-10-01",
        "2027-02-29",
        "from",
        "no day 2027-02-29",
        "local time",
    );
    one(
        "from = \"2026-10-01\"\n",
        "",
        "from",
        "missing",
        "2026-10-01 08:00",
    );
    one(
        "\"2026-10-01\"",
        "2026-10-01T08:00:00",
        "from",
        "text in quotes, not a date",
        "",
    );
    one("id = \"N1\"", "id = \"\"", "id", "1 to 64", "");
    one(
        "id = \"N1\"",
        "id = \"N1\"\nwindows = [\"24:00-1:00\"]",
        "windows[1]",
        "begins at 24:00",
        "",
    );
    let twice = station(&site, "", &(PERMIT.to_owned() + PERMIT));
    one_at(&site, &twice, "calendar.permit[2].id", "twice", "");
    // An instant before its end there is no time left.
    let instant = PERMIT.replace("2026-10-07 22:00", "2026-10-01 00:00");
    let text = station(&site, "", &instant);
    one_at(&site, &text, "calendar.permit[1].to", "not after", "");
}

fn presences(config: &Config) -> Vec<(&str, EventKind, Among, bool)> {
    let rules = config.cameras[0].rules.iter();
    rules
        .filter_map(|rule| match &rule.when {
            Condition::Presence {
                among, calendar, ..
            } => {
                let is_allowed = matches!(calendar.hours.windows, Windows::Allowed(_));
                Some((&*rule.id, rule.kind, *among, is_allowed))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_stall_has_a_rule_for_what_it_leaves() {
    let site = Site::new();
    let zone = |kind: &str, more: &str| {
        let zone = ZONE
            .replace("garbage_exposed", kind)
            .replace("labels = [\"person\"]", more);
        site.good(&camera(&site, RTSP, &zone))
    };
    let hours = "allowed = [\"17:00-22:00\"]\nlabels = [\"chair\"]\n";
    let config = zone("street_vendor", hours);
    assert_eq!(
        presences(&config),
        [
            ("zone:z", EventKind::StreetVendor, Among::Arrived, true),
            (
                "zone:z:take_down",
                EventKind::StallLeftover,
                Among::LeftBehind,
                true
            ),
        ]
    );
    assert!(config.cameras[0].zones[0].objects, "of no class too");
    let Condition::Presence { labels, .. } = &config.cameras[0].rules[0].when else {
        panic!();
    };
    assert_eq!(labels, &["chair"], "a bag dropped later is not a vendor");
    for more in ["take_down = false", "objects = false"] {
        let config = zone("shop_overflow", &format!("{hours}{more}"));
        assert_eq!(
            presences(&config).len(),
            if more.starts_with("take") { 1 } else { 2 }
        );
        assert!(!config.cameras[0].zones[0].objects);
    }
    assert_eq!(presences(&zone("vehicle_parking", hours)).len(), 1);
    let asked = zone("vehicle_parking", &format!("{hours}take_down = true"));
    assert_eq!(presences(&asked).len(), 2);
}

#[test]
fn a_whole_calendar() {
    let site = Site::new();
    let zone = "allowed = [\"workday 17:00-22:00\"]\ngrace_in = \"30m\"\ngrace_out = \"1h\"";
    let tables = format!("{TABLE}permits_file = \"permits.toml\"\n{PERMIT}");
    site.file(
        "permits.toml",
        PERMIT.replace("calendar.", "").replace("N1", "N2"),
    );
    let config = site.good(&station(&site, zone, &tables));
    let permits = config.calendars.read_permits().expect("permits");
    let ids: Vec<_> = permits.iter().map(|p| &*p.id).collect();
    assert_eq!(ids, ["N1", "N2"]);
    let calendar = config.cameras[0].zones[0].calendar.with_permits(&*permits);
    let state = |local: &str| {
        let local: jiff::civil::DateTime = local.parse().expect("a time");
        let at = calendar.time_zone.to_timestamp(local).expect("a moment");
        calendar.at(at).state
    };
    assert_eq!(state("2026-10-10T17:00"), State::Open(By::Window(0)));
    assert_eq!(state("2026-10-10T16:30"), State::SetUp(By::Window(0)));
    assert_eq!(state("2026-10-10T22:59:59"), State::TakeDown(By::Window(0)));
    assert_eq!(state("2026-10-10T23:00"), State::Forbidden);
    assert_eq!(state("2026-10-07T21:59"), State::Open(By::Permit(0)));
    // The rules have the station's own permits before the file was read.
    let Condition::Presence { calendar, .. } = &config.cameras[0].rules[0].when else {
        panic!();
    };
    assert_eq!(calendar.permits.len(), 1);
    // The same id in both.
    site.file("permits.toml", PERMIT.replace("calendar.", ""));
    let faults = config.calendars.read_permits().expect_err("the same id");
    assert!(
        faults
            .errors()
            .any(|f| f.line == 2 && f.message.contains("station's file too")),
        "{faults}"
    );
    // Saved in GBK, and not there at all.
    let gbk = [b"# \n# ".as_slice(), &[0xcd, 0xf5, 0xbc, 0xc7], b"\n"].concat();
    site.file("permits.toml", gbk);
    let faults = config.calendars.read_permits().expect_err("GBK");
    let said = "line 2 is not UTF-8; save the file as UTF-8";
    assert!(faults.to_string().contains(said), "{faults}");
    std::fs::remove_file(site.path().join("permits.toml")).expect("it is there");
    let faults = config.calendars.read_permits().expect_err("no file");
    assert!(
        faults
            .to_string()
            .contains("an empty file where there is none"),
        "{faults}"
    );
    // Too large to be one.
    let most = limits::CALENDAR_BYTES as usize;
    for (bytes, good) in [(most, true), (most + 1, false), (most * 10, false)] {
        site.file("permits.toml", "#".repeat(bytes));
        assert_eq!(config.calendars.read_permits().is_ok(), good, "{bytes}");
    }
}

#[test]
fn counts() {
    let site = Site::new();
    let windows = |key: &'static str| {
        move |n: usize| {
            let all: Vec<_> = (0..n)
                .map(|i| format!("\"{:02}:{:02}-24:00\"", i / 60 % 24, i % 60))
                .collect();
            format!("{key} = [{}]\n", all.join(","))
        }
    };
    let permits = |n: usize| -> String {
        (0..n)
            .map(|i| PERMIT.replace("N1", &format!("N{i}")))
            .collect()
    };
    let dates = |n: usize| {
        let day: jiff::civil::Date = "2026-01-01".parse().expect("a day");
        let all: Vec<_> = (0..n)
            .map(|i| {
                format!(
                    "\"{}\"",
                    day.checked_add(jiff::Span::new().days(i as i64))
                        .expect("a day")
                )
            })
            .collect();
        format!(
            "[calendar]\nvalid_until = \"2199-12-31\"\nholidays = [{}]\n",
            all.join(",")
        )
    };
    let check = |name: &str, limit: usize, text: &dyn Fn(usize) -> String| {
        for (n, good) in [(limit, true), (limit + 1, false), (limit * 10, false)] {
            let inspection = site.inspect(&text(n));
            assert_eq!(
                inspection.config.is_some(),
                good,
                "{name} {n}: {}",
                inspection.faults
            );
        }
    };
    check("windows", limits::MAX_WINDOWS, &|n| {
        station(&site, &windows("allowed")(n), "")
    });
    check("watched", limits::MAX_WINDOWS, &|n| {
        station(&site, &windows("watched")(n), "")
    });
    check("permits", limits::MAX_PERMITS, &|n| {
        station(&site, "", &permits(n))
    });
    check("dates", limits::MAX_DATES, &|n| {
        station(&site, "", &dates(n))
    });
    check("windows of a permit", limits::MAX_WINDOWS, &|n| {
        station(&site, "", &(PERMIT.to_owned() + &windows("windows")(n)))
    });
    check("zones of a permit", limits::MAX_PERMIT_ZONES, &|n| {
        let zones = vec!["\"gate/z\""; n].join(",");
        station(&site, "", &PERMIT.replace("\"gate/z\"", &zones))
    });
    check("characters of a zone's id", limits::ZONE_ID_CHARS, &|n| {
        camera(
            &site,
            RTSP,
            &ZONE.replace("\"z\"", &format!("\"{}\"", "z".repeat(n))),
        )
    });
}
