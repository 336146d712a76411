//! Strangers at a broker in TLS: Mosquitto's own clients with an account that they were given.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::Process;

const START: Duration = Duration::from_secs(20);

/// A broker in TLS, seen from outside.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Its CA.
    pub ca: PathBuf,
    /// Folder with a password in a file per account.
    pub passwords: PathBuf,
}

impl Gate {
    fn client(&self, program: &str, user: &str, version: &str, more: &[&str]) -> Result<Command> {
        let path = self.passwords.join(user);
        let password =
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // Into a file they would write only when their buffer is full.
        let mut command = Command::new("stdbuf");
        command
            .args(["-oL", program])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1"])
            .args(["-u", user, "-P", password.trim(), "-V", version])
            .arg("--cafile")
            .arg(&self.ca)
            .args(more);
        Ok(command)
    }

    /// `mosquitto_pub` with an account, to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn publish(&self, user: &str, version: &str, more: &[&str]) -> Result<Output> {
        self.client("mosquitto_pub", user, version, more)?
            .output()
            .context("cannot start mosquitto_pub")
    }

    /// `mosquitto_sub` with an account, once its subscription was answered; the log has a line
    /// `TOPIC PAYLOAD` for each message, among others.
    ///
    /// # Errors
    /// It ends, or nothing answers.
    pub fn listen(&self, user: &str, version: &str, log: &Path, more: &[&str]) -> Result<Process> {
        let mut command = self.client("mosquitto_sub", user, version, more)?;
        command.args(["-v", "-d"]);
        let mut process = Process::start("mosquitto_sub", &command, log)?;
        process.ready("an answer to the subscription", START, |log| {
            Ok(log.contains("Subscribed (mid").then_some(()))
        })?;
        Ok(process)
    }
}
