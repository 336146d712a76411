//! `wangge shadow report`.

use std::path::Path;

use jiff::{Span, Timestamp};

use super::{FAILED, USAGE, complain, print, table::table};
use crate::{config, shadow};

pub(super) fn report(path: &Path, days: u16, as_json: bool) -> u8 {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(faults) => {
            complain(&format!("the configuration cannot be used\n\n{faults}"));
            return USAGE;
        }
    };
    let today = Timestamp::now().to_zoned(config.station.time_zone).date();
    let since = today.saturating_sub(Span::new().days(i64::from(days) - 1));
    let folder = shadow::folder(&config.storage.path);
    let report = match shadow::Report::read(&folder, since) {
        Ok(report) => report,
        Err(e) => return complain(&format!("{}: {e}", folder.display())),
    };
    if as_json {
        return match serde_json::to_string_pretty(&report) {
            Ok(text) => print(&format!("{text}\n")),
            Err(e) => complain(&e.to_string()),
        };
    }
    if report.rows.is_empty() && report.looks.is_empty() {
        complain(&format!(
            "nothing was compared since {since}: set `model` under [vision.shadow], or `shadow = true` in a zone, and let the station run ({})",
            folder.display()
        ));
        return FAILED;
    }
    print(&format!("{}\n{}", table(&report.cells()), report.verdict()))
}
