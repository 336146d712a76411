//! `wangge flash label`.

use std::path::Path;

use super::{OK, USAGE, complain, print};
use crate::{journal::Journal, label::Label};

/// Writes the labels of these nodes, and says where they are.
pub(super) fn labels(serials: &[u64], folder: &Path, log: &Path) -> u8 {
    let journal = match Journal::open(log) {
        Ok(journal) => journal,
        Err(error) => return complain(USAGE, &error.to_string()),
    };
    let mut code = OK;
    for serial in serials {
        let written = journal
            .labelled(*serial)
            .map_err(|error| error.to_string())
            .and_then(|row| {
                Label::of(row)
                    .and_then(|label| label.write(folder))
                    .map_err(|error| error.to_string())
            });
        let done = match written {
            Ok(path) => print(&path.display().to_string()),
            Err(reason) => complain(USAGE, &reason),
        };
        code = code.max(done);
    }
    code
}
