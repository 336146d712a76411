//! `wangge spool`.

use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use super::{FAILED, OK, complain, print, status::chinese, storage_path};
use crate::spool::{self, Progress};

/// How often an export says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(2);

pub(super) fn check(path: Option<&Path>, config_file: &Path, as_json: bool) -> u8 {
    let path = match storage_path(path, config_file) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let report = match spool::check(&path) {
        Ok(report) => report,
        Err(error) => return complain(&error.to_string()),
    };
    let text = if as_json {
        json(&report, report.is_sound(), "sound")
    } else {
        format!("{report}\n")
    };
    verdict(&text, report.is_sound())
}

pub(super) fn export(path: Option<&Path>, config_file: &Path, out: &Path, as_json: bool) -> u8 {
    let path = match storage_path(path, config_file) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let mut said = Instant::now();
    let mut say = |progress: Progress| {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            let Progress { records, pictures } = progress;
            let text = match chinese() {
                true => format!("已导出 {records} 条记录，{pictures} 张图片\n"),
                false => format!("{records} records, {pictures} pictures so far\n"),
            };
            // Nobody may be reading it.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    };
    let report = match spool::export(&path, out, &mut say) {
        Ok(report) => report,
        Err(error) => return complain(&error.to_string()),
    };
    let text = if as_json {
        json(&report, report.is_whole(), "whole")
    } else {
        report.words(chinese())
    };
    verdict(&text, report.is_whole())
}

fn json(report: &impl serde::Serialize, is_good: bool, word: &str) -> String {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    value[word] = is_good.into();
    format!("{value}\n")
}

fn verdict(text: &str, is_good: bool) -> u8 {
    match print(text) {
        OK if is_good => OK,
        _ => FAILED,
    }
}
