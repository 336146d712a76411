//! The gateway as built, on a configuration of a story's own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Process, http, place, until, usage};

const START: Duration = Duration::from_secs(30);
/// `stop.deadline` is 10 s unless a story says otherwise.
const STOP: Duration = Duration::from_secs(20);

const STATION: &str = r#"[station]
id = "story"
name = "测试站"
unit_grid = "530102001001001"
lon = 102.7
lat = 25.05
"#;

/// What became of a stream's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Made durable.
    #[serde(rename = "in")]
    pub accepted: u64,
    /// Delivered, with receipt.
    pub out: u64,
    /// On disk.
    pub held: u64,
    /// Given up, as a gap.
    pub dropped: u64,
}

/// A gateway whose configuration and storage stay over a restart.
#[derive(Debug)]
pub struct Gateway {
    dir: PathBuf,
    station: String,
    console: u16,
    process: Option<Process>,
}

impl Gateway {
    /// Writes `station.toml`: a station, storage and console, then `toml`.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn new(dir: &Path, toml: &str) -> Result<Gateway> {
        Gateway::of(STATION, dir, toml)
    }

    /// The same for a station of the caller's, a `[station]` table.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn of(station: &str, dir: &Path, toml: &str) -> Result<Gateway> {
        fs::create_dir_all(dir)?;
        let gateway = Gateway {
            dir: dir.to_owned(),
            station: station.to_owned(),
            console: place::free_port()?,
            process: None,
        };
        gateway.configure(toml)?;
        Ok(gateway)
    }

    /// Replaces the configuration; the next start reads it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn configure(&self, toml: &str) -> Result<()> {
        let head = format!(
            "{}\n[storage]\npath = \"{}\"\n\n[console]\nlisten = \"127.0.0.1:{}\"\n\n",
            self.station,
            self.storage().display(),
            self.console
        );
        fs::write(self.config(), head + toml)?;
        Ok(())
    }

    /// `station.toml`.
    pub fn config(&self) -> PathBuf {
        self.dir.join("station.toml")
    }

    /// Its storage directory.
    pub fn storage(&self) -> PathBuf {
        self.dir.join("storage")
    }

    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// It ends instead; its last words are in the error.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// The same with further environment variables.
    ///
    /// # Errors
    /// It ends instead; its last words are in the error.
    pub fn start_with(&mut self, env: &[(&str, String)]) -> Result<()> {
        let mut command = Command::new(place::program("wangge")?);
        command.args(["run", "--config"]).arg(self.config());
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start("wangge", &command, &self.dir.join("wangge.log"))?;
        process.ready("the gateway to serve", START, |_| {
            Ok(http::get(self.console, "/status").ok())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// The running process.
    ///
    /// # Errors
    /// It is not running.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the gateway is not running")
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not end in time, or not with success.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process()?.stop(STOP)?;
        ensure!(status.success(), "the gateway ended with {status}");
        self.process = None;
        Ok(())
    }

    /// SIGKILL to the parent process.
    ///
    /// # Errors
    /// It was not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&http::get(
            self.console,
            "/status",
        )?)?)
    }

    /// Everything it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("wangge.log")).unwrap_or_default()
    }

    /// The accounts of alerts and streams, each of which adds up at every moment.
    ///
    /// # Errors
    /// It does not answer, or an account does not add up.
    pub fn streams(&self) -> Result<BTreeMap<String, Account>> {
        let streams: BTreeMap<String, Account> =
            serde_json::from_value(self.status()?["streams"].take())?;
        for (name, s) in &streams {
            ensure!(
                s.accepted == s.out + s.held + s.dropped,
                "{name}: {s:?} does not add up"
            );
        }
        Ok(streams)
    }

    /// Waits until nothing is held.
    ///
    /// # Errors
    /// Something is still held after `within`, or an account does not add up.
    pub fn drained(&self, within: Duration) -> Result<BTreeMap<String, Account>> {
        until("nothing to be held", within, || {
            let streams = self.streams()?;
            Ok(streams.values().all(|s| s.held == 0).then_some(streams))
        })
    }

    /// The vision child's process id, if it is up.
    ///
    /// # Errors
    /// The gateway is not running.
    pub fn vision(&self) -> Result<Option<u32>> {
        let process = self
            .process
            .as_ref()
            .context("the gateway is not running")?;
        Ok(usage::children(process.id()).first().copied())
    }
}

/// Runs `wangge` with arguments to its end.
///
/// # Errors
/// It cannot be started.
pub fn wangge(arguments: &[&str]) -> Result<Output> {
    Command::new(place::program("wangge")?)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot start wangge")
}
