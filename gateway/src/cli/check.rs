//! `wangge check`.

use std::path::Path;

use serde_json::json;

use super::{OK, USAGE, print};
use crate::config::{self, Config};

pub(super) fn check(path: &Path, as_json: bool) -> u8 {
    let inspection = config::inspect(path, true);
    let code = inspection.config.as_ref().map_or(USAGE, |_| OK);
    if as_json {
        let report = json!({ "ok": code == OK, "faults": inspection.faults });
        print(&format!("{report:#}\n"));
        return code;
    }
    if inspection.faults.iter().next().is_some() {
        print(&format!("{}\n", inspection.faults));
    }
    if let Some(config) = &inspection.config {
        print(&format!("{}: {}\n", path.display(), summary(config)));
    }
    code
}

fn summary(config: &Config) -> String {
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    format!(
        "station {} is ready to run with {}, {}, {} and {}",
        config.station.id,
        count(config.devices.len(), "device"),
        count(config.cameras.len(), "camera"),
        count(config.streams.len(), "stream"),
        count(config.uplinks.len(), "uplink"),
    )
}
