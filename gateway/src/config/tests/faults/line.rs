//! What the line to a platform can bear.

use super::super::{BIN, STATION, Site};
use crate::config::{
    limits,
    line::{Budget, Period, Pictures},
};

fn uplink(lines: &str) -> String {
    format!("{STATION}{BIN}[[uplink]]\nname = \"u\"\nurl = \"mqtts://h\"\n{lines}\n")
}

#[test]
fn a_thin_line_is_read() {
    let text = uplink(
        "chunk = \"32KiB\"\npictures = \"thumbnail-first\"\nbudget = \"200MiB/month\"\nwindows = [\"22:00-06:00\"]",
    );
    let config = Site::new().good(&text);
    let line = &config.uplinks[1].line;
    assert_eq!(
        (line.chunk, line.pictures),
        (32 * 1024, Pictures::ThumbnailFirst)
    );
    let budget = Budget {
        bytes: 200 << 20,
        per: Period::Month,
    };
    assert_eq!(line.budget, Some(budget));
    let windows = line.windows.as_ref().unwrap();
    assert_eq!(windows.time_zone, config.station.time_zone);
    let plain = &config.uplinks[0].line;
    assert_eq!((plain.chunk, plain.pictures), (64 * 1024, Pictures::Full));
    assert!(plain.budget.is_none() && plain.windows.is_none());
}

#[test]
fn what_is_wrong_is_named() {
    for (lines, said) in [
        ("chunk = \"1KiB\"", "`chunk` is 1KiB, it must be from"),
        ("budget = \"200MiB\"", "does not say for how long"),
        ("budget = \"200MiB/week\"", "there is no time \"week\""),
        ("budget = \"200/month\"", "it has no unit"),
        ("budget = \"1KB/day\"", "it must be from 1MB"),
        ("windows = [\"25:00-06:00\"]", "is no window"),
        ("windows = []", "windows"),
        ("pictures = \"small\"", "small"),
    ] {
        let faults = Site::new().faults(&uplink(lines)).to_string();
        assert!(faults.contains(said), "{lines}:\n{faults}");
    }
    for (lines, said) in [
        (
            "budget = \"200MiB/month\"",
            "a whole picture goes with each alert",
        ),
        (
            "border = \"broker\"\nchunk = \"32KiB\"",
            "pictures go whole",
        ),
        (
            "border = \"broker\"\npictures = \"thumbnail-only\"",
            "nobody can ask",
        ),
    ] {
        let inspection = Site::new().inspect(&uplink(lines));
        assert!(inspection.config.is_some(), "{}", inspection.faults);
        let warnings = inspection.faults.to_string();
        assert!(warnings.contains(said), "{lines}:\n{warnings}");
    }
}

#[test]
fn limits_hold_at_one_more_and_ten_times() {
    let accepted = |lines: &str| Site::new().inspect(&uplink(lines)).config.is_some();
    let chunk = |bytes: u64| accepted(&format!("chunk = \"{bytes}B\""));
    let (low, high) = (*limits::CHUNK.start(), *limits::CHUNK.end());
    assert!(chunk(low) && chunk(high));
    assert!(!chunk(low - 1) && !chunk(low / 10) && !chunk(high + 1) && !chunk(high * 10));
    let budget = |bytes: u64| accepted(&format!("budget = \"{bytes}B/day\""));
    let (low, high) = (*limits::BUDGET.start(), *limits::BUDGET.end());
    assert!(budget(low) && budget(high));
    assert!(!budget(low - 1) && !budget(low / 10) && !budget(high + 1) && !budget(high * 10));
    let windows = |n: usize| accepted(&format!("windows = [{}]", vec!["\"sat\""; n].join(",")));
    assert!(windows(limits::MAX_WINDOWS));
    assert!(!windows(limits::MAX_WINDOWS + 1) && !windows(limits::MAX_WINDOWS * 10));
}
