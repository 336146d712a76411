//! `wangge audit`.

use std::path::Path;

use super::{FAILED, OK, complain, print, storage_path};
use crate::audit;

pub(super) fn show(path: Option<&Path>, config_file: &Path) -> u8 {
    let path = match storage_path(path, config_file) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let mut text = String::new();
    let read = audit::read(&audit::audit_dir(&path), |file, number, line| {
        text += &match audit::entry(line) {
            Ok(entry) => format!("{entry}\n"),
            Err(fault) => format!("{} line {number}: {fault}\n", file.display()),
        };
    });
    match read {
        Ok(()) => print(&text),
        Err(error) => complain(&error.to_string()),
    }
}

pub(super) fn verify(path: Option<&Path>, config_file: &Path, head: Option<&str>) -> u8 {
    let path = match storage_path(path, config_file) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let report = match audit::verify(&audit::audit_dir(&path), head) {
        Ok(report) => report,
        Err(error) => return complain(&error.to_string()),
    };
    let mut text = String::new();
    for (file, line, fault) in &report.faults {
        text += &format!("{} line {line}: {fault}\n", file.display());
    }
    if report.is_cut {
        text += "entries are missing at the end: the newest that was noted is not there\n";
    }
    if !report.has_asked {
        text += "the entry with the given hash is not there: the log was replaced or cut\n";
    }
    let verdict = if report.is_sound() {
        "the log is whole"
    } else {
        "the log is NOT whole"
    };
    text += &format!(
        "{verdict}: {} entries, newest {}\n",
        report.entries, report.head
    );
    match print(&text) {
        OK if report.is_sound() => OK,
        _ => FAILED,
    }
}
