//! A sensor node: its real image in QEMU, with pseudo terminals for its bus and its sensor.

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::Process;

const START: Duration = Duration::from_secs(30);
/// How often the distance sensor speaks; the data sheet says 100 to 300 ms.
const SENSOR_EVERY: Duration = Duration::from_millis(100);
/// The sensor is unplugged.
const UNPLUGGED: u16 = 0;

/// A bin node that runs, and its distance sensor.
#[derive(Debug)]
pub struct BinNode {
    process: Process,
    bus: PathBuf,
    distance: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
    sensor: Option<JoinHandle<()>>,
}

impl BinNode {
    /// Starts the discovery board's image; the sensor sees `mm`.
    ///
    /// # Errors
    /// `$WANGGE_FIRMWARE` does not say where the images are, or the emulator does not start.
    pub fn start(mm: u16, log: &Path) -> Result<BinNode> {
        let images = env::var_os("WANGGE_FIRMWARE")
            .context("WANGGE_FIRMWARE is not set: run this with `cargo xtask test firmware`")?;
        let image = PathBuf::from(images).join("discovery.elf");
        ensure!(image.is_file(), "there is no {}", image.display());
        let mut command = Command::new("qemu-system-arm");
        command
            .args(["-M", "stm32vldiscovery", "-nographic", "-monitor", "none"])
            .args(["-serial", "pty", "-serial", "pty", "-kernel"])
            .arg(&image);
        let mut process = Process::start("qemu", &command, log)?;
        let lines = process.ready("the emulator's lines", START, |log| {
            let lines: Vec<PathBuf> = log
                .split_whitespace()
                .filter(|word| word.starts_with("/dev/pts/"))
                .map(PathBuf::from)
                .collect();
            Ok((lines.len() == 2).then_some(lines))
        })?;
        // What the terminal layer would add to a line of bytes is not wanted.
        for line in &lines {
            let raw = Command::new("stty")
                .arg("-F")
                .arg(line)
                .args(["raw", "-echo"])
                .status()?;
            ensure!(raw.success(), "stty cannot set {}", line.display());
        }
        let [bus, wire] = <[PathBuf; 2]>::try_from(lines)
            .map_err(|lines| anyhow::anyhow!("two lines were expected, not {lines:?}"))?;
        let distance = Arc::new(AtomicU16::new(mm));
        let stop = Arc::new(AtomicBool::new(false));
        let sensor = thread::spawn({
            let (distance, stop) = (distance.clone(), stop.clone());
            move || speak(&wire, &distance, &stop)
        });
        Ok(BinNode {
            process,
            bus,
            distance,
            stop,
            sensor: Some(sensor),
        })
    }

    /// The bus, as a serial device.
    pub fn bus(&self) -> &Path {
        &self.bus
    }

    /// What the sensor sees from now on, mm.
    pub fn sees(&self, mm: u16) {
        self.distance.store(mm, Ordering::Relaxed);
    }

    /// The sensor's wire is pulled.
    pub fn unplug_sensor(&self) {
        self.sees(UNPLUGGED);
    }

    /// The emulator.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Drop for BinNode {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sensor) = self.sensor.take() {
            let _ = sensor.join();
        }
    }
}

/// What a sensor of the A02YYUW family sends: a head, two bytes of millimetres, their sum.
fn speak(wire: &Path, distance: &AtomicU16, stop: &AtomicBool) {
    let Ok(mut wire) = OpenOptions::new().write(true).open(wire) else {
        return;
    };
    while !stop.load(Ordering::Relaxed) {
        let mm = distance.load(Ordering::Relaxed);
        let [high, low] = mm.to_be_bytes();
        let sum = 0xFF_u8.wrapping_add(high).wrapping_add(low);
        if mm != UNPLUGGED && wire.write_all(&[0xFF, high, low, sum]).is_err() {
            return;
        }
        thread::sleep(SENSOR_EVERY);
    }
}
