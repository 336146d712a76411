//! The gateway under test, started as the side-by-side measurements start it, and what it costs.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use wangge_tests::{
    Process, place,
    usage::{Usage, of_tree},
};

/// A scratch place with a gateway in it.
#[derive(Debug)]
pub struct Station {
    /// The gateway; it ends before its place is removed.
    pub process: Process,
    _work: tempfile::TempDir,
}

impl Station {
    /// Starts `tests/bench/wangge/start.sh` with the variables that it reads.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn contestant(scenario: &str, env: &[(&str, String)]) -> Result<Station> {
        let work = scratch()?;
        let mut command = Command::new("bash");
        command
            .arg(place::root().join("tests/bench/wangge/start.sh"))
            .env("SCENARIO", scenario)
            .env("WORK", work.path())
            .env("WANGGE_BIN", place::program("wangge")?)
            .env("POLL_MS", "1000")
            .envs(env.iter().map(|(k, v)| (k, v)));
        let process = Process::start("wangge", &command, &work.path().join("wangge.log"))?;
        Ok(Station {
            process,
            _work: work,
        })
    }

    /// Starts a gateway with a configuration of its own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn with_config(toml: &str) -> Result<Station> {
        let work = scratch()?;
        let file = work.path().join("station.toml");
        let storage = format!(
            "[storage]\npath = \"{}\"\n",
            work.path().join("spool").display()
        );
        fs::write(&file, format!("{STATION}{storage}{toml}"))?;
        let mut command = Command::new(place::program("wangge")?);
        command.args(["run", "--config"]).arg(file);
        let process = Process::start("wangge", &command, &work.path().join("wangge.log"))?;
        Ok(Station {
            process,
            _work: work,
        })
    }

    /// Starts counting what it costs.
    pub fn meter(&self) -> Meter {
        Meter::of(self.process.id())
    }
}

const STATION: &str = "[station]\nid = \"bench\"\nunit_grid = \"530102001001001\"\nlon = 102.7\nlat = 25.05\n\n[console]\nlisten = \"off\"\n\n";

/// A directory under `target/`, which is on the disk that the checkout is on; `/tmp` may be memory.
pub fn scratch() -> Result<tempfile::TempDir> {
    let base = place::root().join("target/xtask-bench");
    fs::create_dir_all(&base)?;
    Ok(tempfile::tempdir_in(base)?)
}

/// CPU time of a process tree since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    pid: u32,
    begun: Instant,
    at: Usage,
}

/// What a process tree cost over a time.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Cost {
    /// Of one core, %.
    pub cpu_percent: f64,
    /// Resident, MB, at the end.
    pub resident_mb: f64,
}

impl Meter {
    /// Of this process and what it started.
    pub fn of(pid: u32) -> Meter {
        Meter {
            pid,
            begun: Instant::now(),
            at: of_tree(pid),
        }
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Duration {
        of_tree(self.pid).cpu.saturating_sub(self.at.cpu)
    }

    /// The cost so far.
    pub fn read(&self) -> Cost {
        let now = of_tree(self.pid);
        let cpu = now.cpu.saturating_sub(self.at.cpu).as_secs_f64();
        Cost {
            cpu_percent: 100.0 * cpu / self.begun.elapsed().as_secs_f64(),
            resident_mb: now.resident as f64 / (1 << 20) as f64,
        }
    }
}
