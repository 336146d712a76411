//! A Modbus TCP device made with pymodbus.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use serde::Serialize;

use crate::{Process, place};

const START: Duration = Duration::from_secs(30);

/// One unit's 16-bit registers by 0-based address.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Registers {
    /// Read by function code 3.
    pub holding: BTreeMap<u16, u16>,
    /// Read by function code 4.
    pub input: BTreeMap<u16, u16>,
}

/// A running server; its registers can be changed under way.
#[derive(Debug)]
pub struct ModbusServer {
    process: Process,
    port: u16,
    file: PathBuf,
}

impl ModbusServer {
    /// Serves the units on any free port of 127.0.0.1, or on `port` if it is not zero.
    ///
    /// # Errors
    /// The Python environment is missing or the server does not start.
    pub fn start(units: &BTreeMap<u8, Registers>, port: u16, dir: &Path) -> Result<ModbusServer> {
        fs::create_dir_all(dir)?;
        let (file, log) = (dir.join("units.json"), dir.join("modbus.log"));
        write(&file, units)?;
        let mut command = Command::new(place::python()?);
        command.arg(place::peer("modbus_server.py"));
        command
            .args(["tcp", "--port", &port.to_string()])
            .arg(&file);
        let before = fs::read_to_string(&log).unwrap_or_default().len();
        let mut process = Process::start("modbus server", &command, &log)?;
        let port = process.ready("the modbus server to listen", START, |log| {
            let log = log.get(before..).unwrap_or_default();
            let port = log.lines().find_map(|line| line.strip_prefix("READY "));
            Ok(port.and_then(|port| port.trim().parse().ok()))
        })?;
        Ok(ModbusServer {
            process,
            port,
            file,
        })
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what the next request is answered.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, units: &BTreeMap<u8, Registers>) -> Result<()> {
        write(&self.file, units)
    }

    /// The process, to be stopped, frozen or killed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Replaces the file at once: the server may be reading it.
fn write(file: &Path, units: &BTreeMap<u8, Registers>) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec(units)?)?;
    fs::rename(new, file)?;
    Ok(())
}
