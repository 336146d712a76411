//! A sensor node: its real image in QEMU, with pseudo terminals for its bus and its sensor.

use std::{
    env,
    fs::{self, OpenOptions},
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
use object::{Object, ObjectSection};
use wangge_protocol::node::layout::DISCOVERY;

use crate::Process;

const START: Duration = Duration::from_secs(30);
/// How often the distance sensor speaks; the data sheet says 100 to 300 ms.
const SENSOR_EVERY: Duration = Duration::from_millis(100);
/// The sensor is unplugged.
const UNPLUGGED: u16 = 0;

/// What a node's flash holds beside its image; the rest of each is erased.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// Its identity.
    pub identity: Vec<u8>,
    /// What it stored.
    pub storage: Vec<u8>,
}

/// A node that runs, and the distance sensor on its wire.
#[derive(Debug)]
pub struct EmulatedNode {
    process: Process,
    bus: PathBuf,
    distance: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
    sensor: Option<JoinHandle<()>>,
}

impl EmulatedNode {
    /// Starts the discovery board's image as a bare board would; the sensor sees `mm`.
    ///
    /// # Errors
    /// `$WANGGE_FIRMWARE` does not say where the images are, or the emulator does not start.
    pub fn start(mm: u16, log: &Path) -> Result<EmulatedNode> {
        EmulatedNode::with(&Pages::default(), mm, log)
    }

    /// The same with an identity and with something in storage. The emulator's flash is a ROM:
    /// nothing of it changes.
    ///
    /// # Errors
    /// As with [`EmulatedNode::start`].
    pub fn with(pages: &Pages, mm: u16, log: &Path) -> Result<EmulatedNode> {
        let images = env::var_os("WANGGE_FIRMWARE")
            .context("WANGGE_FIRMWARE is not set: run this with `cargo xtask test firmware`")?;
        let image = PathBuf::from(images).join("discovery.elf");
        ensure!(image.is_file(), "there is no {}", image.display());
        let mut command = Command::new("qemu-system-arm");
        command
            .args(["-M", "stm32vldiscovery", "-nographic", "-monitor", "none"])
            .args(["-serial", "pty", "-serial", "pty", "-kernel"])
            .arg(&image);
        let (storage, identity) = (DISCOVERY.storage, DISCOVERY.identity);
        for (name, at, erased, bytes) in [
            // The core starts at 0, and no bootloader is there to send it on.
            ("vectors", DISCOVERY.flash.from, 0, &vectors(&image)?),
            ("storage", storage.from, storage.size, &pages.storage),
            ("identity", identity.from, identity.size, &pages.identity),
        ] {
            let mut bytes = bytes.clone();
            bytes.resize(bytes.len().max(erased as usize), 0xFF);
            let file = log.with_file_name(name);
            fs::write(&file, bytes)?;
            let load = format!("loader,addr={at:#x},force-raw=on,file={}", file.display());
            command.args(["-device", &load]);
        }
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
        Ok(EmulatedNode {
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

/// Where the image's stack and its code begin: what the core reads first.
fn vectors(image: &Path) -> Result<Vec<u8>> {
    let elf = fs::read(image)?;
    let elf = object::File::parse(&*elf)?;
    let table = elf.section_by_name(".vector_table");
    let table = table.context("an image without vectors")?.data()?;
    Ok(table
        .get(..8)
        .context("vectors that are too short")?
        .to_vec())
}

impl Drop for EmulatedNode {
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
