//! `wangge spool check`.

use std::path::Path;

use super::{FAILED, OK, complain, print, storage_path};
use crate::spool;

pub(super) fn check(path: Option<&Path>, config_file: &Path) -> u8 {
    let path = match storage_path(path, config_file) {
        Ok(path) => path,
        Err(code) => return code,
    };
    match spool::check(&path) {
        Ok(report) => match print(&format!("{report}\n")) {
            OK if report.is_sound() => OK,
            _ => FAILED,
        },
        Err(error) => complain(&error.to_string()),
    }
}
