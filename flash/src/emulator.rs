//! The node in QEMU, for `--simulate`: what the simulated chip's flash holds is what runs.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serialport::Parity;
use tempfile::TempDir;

use crate::port;

const QEMU: &str = "qemu-system-arm";
const STARTS: Duration = Duration::from_secs(20);
/// How often the distance sensor speaks (A02YYUW data sheet: 100 to 300 ms).
const SENSOR_EVERY: Duration = Duration::from_millis(100);

/// Why the node does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// QEMU is not there.
    #[error("{QEMU} is not installed: apt install qemu-system-arm")]
    NotInstalled,
    /// It did not start.
    #[error("the emulator does not start: {0}")]
    Failed(String),
    /// A file or terminal.
    #[error("the emulator: {0}")]
    Io(#[from] io::Error),
    /// A terminal.
    #[error("the emulator's line: {0}")]
    Port(#[from] serialport::Error),
}

/// A node that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Emulator {
    process: Child,
    bus: PathBuf,
    stop: Arc<AtomicBool>,
    sensor: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl Emulator {
    /// Starts STM32's discovery board with this flash; its distance sensor sees `mm`, and is not
    /// plugged in if that is 0.
    ///
    /// # Errors
    /// See [`EmulatorError`].
    pub fn start(flash: &[u8], mm: u16) -> Result<Emulator, EmulatorError> {
        let dir = tempfile::tempdir()?;
        let image = dir.path().join("flash.bin");
        fs::write(&image, flash)?;
        let log = dir.path().join("log");
        let out = File::create(&log)?;
        let mut command = Command::new(QEMU);
        command
            .args(["-M", "stm32vldiscovery", "-nographic", "-monitor", "none"])
            .args(["-serial", "pty", "-serial", "pty", "-kernel"])
            .arg(&image)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        let process = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => EmulatorError::NotInstalled,
            _ => EmulatorError::Io(error),
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut emulator = Emulator {
            process,
            bus: PathBuf::new(),
            stop: stop.clone(),
            sensor: None,
            _dir: dir,
        };
        let [bus, wire] = emulator.lines(&log)?;
        emulator.bus = bus;
        let mut wire = port::open(&wire.to_string_lossy(), 9_600, Parity::None)?;
        emulator.sensor = Some(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let [high, low] = mm.to_be_bytes();
                let sum = 0xFF_u8.wrapping_add(high).wrapping_add(low);
                if mm != 0 && wire.write_all(&[0xFF, high, low, sum]).is_err() {
                    return;
                }
                thread::sleep(SENSOR_EVERY);
            }
        }));
        Ok(emulator)
    }

    /// The node's bus.
    pub fn bus(&self) -> &Path {
        &self.bus
    }

    /// QEMU says which terminals it took.
    fn lines(&mut self, log: &Path) -> Result<[PathBuf; 2], EmulatorError> {
        let end = Instant::now() + STARTS;
        loop {
            let told = fs::read_to_string(log)?;
            // A line is whole when its label is there.
            let lines: Vec<PathBuf> = told
                .lines()
                .filter(|line| line.ends_with(')'))
                .filter_map(|line| line.split_whitespace().find(|w| w.starts_with("/dev/pts/")))
                .map(PathBuf::from)
                .collect();
            if let Ok(lines) = lines.try_into() {
                return Ok(lines);
            }
            if self.process.try_wait()?.is_some() || Instant::now() > end {
                return Err(EmulatorError::Failed(told.trim().to_owned()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(sensor) = self.sensor.take() {
            let _ = sensor.join();
        }
    }
}
