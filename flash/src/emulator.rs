//! The node in QEMU, for `--simulate`: what the simulated chip's flash holds is what runs.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
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
use wangge_protocol::node::layout::{MPS2, Part};

use crate::port;

const QEMU: &str = "qemu-system-arm";
/// All of the board's RAM; the flash is its beginning.
const MPS2_RAM: u64 = 16 * 1024 * 1024;
/// Bytes of a Cortex-M3's own vectors.
const VECTORS: usize = 64;
/// Of util-linux.
const SETPRIV: &str = "/usr/bin/setpriv";
/// What it ends with when there is no such program.
const NOT_FOUND: i32 = 127;
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
    /// Starts a board with this flash: [`MPS2`], or STM32's discovery board. Its distance sensor
    /// sees `mm`, and is not plugged in if that is 0.
    ///
    /// # Errors
    /// See [`EmulatorError`].
    pub fn start(part: &Part, flash: &[u8], mm: u16) -> Result<Emulator, EmulatorError> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        let out = File::create(&log)?;
        let mut command = apart();
        command.args(["-nographic", "-monitor", "none"]);
        command.args(["-serial", "pty", "-serial", "pty"]);
        match part.hardware == MPS2.hardware {
            true => mps2(&mut command, flash, dir.path())?,
            false => {
                let image = dir.path().join("flash.bin");
                fs::write(&image, flash)?;
                command.args(["-M", "stm32vldiscovery", "-kernel"]);
                command.arg(image);
            }
        }
        command
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
            let ended = self.process.try_wait()?;
            if ended.is_some_and(|status| status.code() == Some(NOT_FOUND)) {
                return Err(EmulatorError::NotInstalled);
            }
            if ended.is_some() || Instant::now() > end {
                return Err(EmulatorError::Failed(told.trim().to_owned()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The board whose RAM plays the flash: what the node writes there stays, so it takes new images.
fn mps2(command: &mut Command, flash: &[u8], dir: &Path) -> io::Result<()> {
    let (ram, vectors) = (dir.join("flash"), dir.join("vectors"));
    fs::write(&ram, flash)?;
    OpenOptions::new()
        .write(true)
        .open(&ram)?
        .set_len(MPS2_RAM)?;
    // The core has its vectors at 0, where an STM32 shows its flash.
    fs::write(&vectors, flash.get(..VECTORS).unwrap_or_default())?;
    let (ram, vectors) = (ram.display(), vectors.display());
    command
        .args(["-M", "mps2-an385,memory-backend=ram", "-m", "16M"])
        .arg("-object")
        .arg(format!(
            "memory-backend-file,id=ram,size=16M,mem-path={ram},share=on"
        ))
        .arg("-device")
        .arg(format!("loader,addr=0,force-raw=on,file={vectors}"));
    Ok(())
}

/// The emulator in a group of its own: Ctrl-C is for us, and the board that is being tested gets to
/// its end. However we end, the kernel ends it with us; where it cannot be asked to, the emulator
/// stays in our group and takes Ctrl-C itself.
fn apart() -> Command {
    if !Path::new(SETPRIV).exists() {
        return Command::new(QEMU);
    }
    let mut command = Command::new(SETPRIV);
    command
        .args(["--pdeathsig", "KILL", "--", QEMU])
        .process_group(0);
    command
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
