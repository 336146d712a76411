//! `wangge spool check`.

use std::path::Path;

use super::{FAILED, OK, USAGE, complain, print};
use crate::{config, spool};

pub(super) fn check(path: Option<&Path>, config_file: &Path) -> u8 {
    let path = match path {
        Some(path) => path.to_path_buf(),
        None => match config::load(config_file) {
            Ok(config) => config.storage.path,
            Err(faults) => {
                complain(&format!("the configuration cannot be used\n\n{faults}"));
                return USAGE;
            }
        },
    };
    match spool::check(&path) {
        Ok(report) => match print(&format!("{report}\n")) {
            OK if report.is_sound() => OK,
            _ => FAILED,
        },
        Err(error) => complain(&error.to_string()),
    }
}
