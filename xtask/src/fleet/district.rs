//! One Mosquitto as it is shipped for a district.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use wangge_tests::{account::Gate, mosquitto::Mosquitto, platform::Platform, until};

/// A running broker with accounts for the stations.
pub struct District {
    broker: Mosquitto,
    pub gate: Gate,
    dir: PathBuf,
}

impl District {
    /// Configures and starts it.
    ///
    /// # Errors
    /// Mosquitto, Python or openssl is missing.
    pub fn start(dir: &Path, stations: &[&str]) -> Result<District> {
        let (broker, gate) = Mosquitto::district(dir, stations)?;
        Ok(District {
            broker,
            gate,
            dir: dir.to_owned(),
        })
    }

    /// The reference receiver there.
    ///
    /// # Errors
    /// It does not start.
    pub fn platform(&self, dir: &Path) -> Result<Platform> {
        let password = self.gate.passwords.join("platform").display().to_string();
        let account = ["platform".to_owned(), password];
        Platform::mqtts(dir, self.gate.port, &self.gate.ca, account)
    }

    /// Its process.
    ///
    /// # Errors
    /// It is not running.
    pub fn pid(&self) -> Result<u32> {
        self.broker.pid()
    }

    /// Its folder of what it keeps.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Lets it write its store, which it does when it stops.
    ///
    /// # Errors
    /// It does not stop, or not start again.
    pub fn settle(&mut self) -> Result<()> {
        self.broker.stop()?;
        self.broker.restart()?;
        let port = self.gate.port;
        until("mosquitto to listen", Duration::from_secs(20), || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port))
                .ok()
                .map(drop))
        })
        .context("after it had written its store")
    }
}
