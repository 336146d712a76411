//! Commands that run until they are told to stop.

use std::{env, future::Future, io::IsTerminal, path::Path};

use tracing_subscriber::{
    EnvFilter, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::{OK, USAGE, complain};
use crate::{config, pipeline, simulate};

/// The stations have two cores, and the spool has a thread of its own.
const WORKERS: usize = 2;
/// The crate that reads Modbus frames.
const NOISY: &str = "tokio_modbus";

pub(super) fn run(path: &Path, log_json: bool) -> u8 {
    start_log(LevelFilter::INFO, log_json);
    match config::load(path) {
        Ok(config) => block_on(pipeline::run(config, path)),
        Err(faults) => {
            complain(&format!("the configuration cannot be used\n\n{faults}"));
            USAGE
        }
    }
}

pub(super) fn simulate(args: simulate::Args) -> u8 {
    start_log(LevelFilter::INFO, false);
    block_on(simulate::run(args))
}

pub(super) fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> u8 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => return complain(&format!("cannot start: {error}")),
    };
    match result {
        Ok(()) => OK,
        Err(error) => complain(&format!("{error:#}")),
    }
}

/// Logs go to standard error, where systemd and containers pick them up.
/// `level` is what is logged where RUST_LOG does not say.
pub(super) fn start_log(level: LevelFilter, json: bool) {
    let mut filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy();
    // On a noisy line it tells every byte that it drops; that a unit is not understood is told
    // by the bus.
    let is_asked_for = env::var(EnvFilter::DEFAULT_ENV).is_ok_and(|asked| asked.contains(NOISY));
    if !is_asked_for && let Ok(quiet) = format!("{NOISY}=error").parse() {
        filter = filter.add_directive(quiet);
    }
    let log = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if json {
        log.with(layer.json()).try_init()
    } else {
        log.with(layer).try_init()
    };
    if let Err(error) = started {
        complain(&format!("no log: {error}"));
    }
}
