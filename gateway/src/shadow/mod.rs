//! What a shadow model or a shadow zone would have alerted, beside what was.
//!
//! Nothing here is delivered. Sightings of both sides go through rule engines of their own, and
//! the alerts that would come of them are paired: [`compare`] is pure, [`ledger`] keeps its
//! lines on disk, [`report`] reads them back for people.

mod compare;
mod ledger;
mod report;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{
    clock::Clock,
    config::Config,
    observation::{Witness, Witnessed},
};

use compare::Comparisons;
use ledger::{Ledger, Line};

pub use ledger::MAX_BYTES;
pub use report::{Report, Row};

/// Observations that wait for the comparison at most; beyond, they are left out.
const WAITING: usize = 1_024;
/// How often the comparison looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// The ledger's folder in the storage directory.
const FOLDER: &str = "shadow";

/// Where a station's ledger is.
pub fn folder(storage: &Path) -> PathBuf {
    storage.join(FOLDER)
}

/// Starts comparing, if the configuration asks for it. The comparison ends, with all lines
/// written, when the last copy of the witness is gone.
pub fn start(config: &Config, clock: Clock) -> Option<(Witness, JoinHandle<()>)> {
    let now = clock.now();
    let comparisons = Comparisons::new(config, now)?;
    let ledger = Ledger::new(folder(&config.storage.path));
    let (sender, inbox) = sync_channel(WAITING);
    let work = tokio::task::spawn_blocking(move || run(comparisons, &ledger, &inbox, clock));
    Some((witness(sender), work))
}

fn witness(sender: SyncSender<Witnessed>) -> Witness {
    Arc::new(move |seen| {
        // A comparison that lags behind must not hold up alerts.
        let _ = sender.try_send(seen);
    })
}

fn run(mut book: Comparisons, ledger: &Ledger, inbox: &Receiver<Witnessed>, clock: Clock) {
    let mut lines: Vec<Line> = Vec::new();
    let mut told = false;
    loop {
        let ended = match inbox.recv_timeout(TICK) {
            Ok(seen) => {
                book.take(seen, clock.now(), &mut lines);
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        if ended {
            book.finish(clock.now(), &mut lines);
        } else {
            book.tick(clock.now(), &mut lines);
        }
        if !lines.is_empty() {
            let written = ledger.append(&lines);
            if let Err(e) = &written
                && !told
            {
                tracing::warn!("shadow ledger: {e}; the comparison is not recorded");
            }
            told = written.is_err();
        }
        lines.clear();
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
