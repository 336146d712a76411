//! An RS-485 line with two units: a sensor node whose real image runs in an emulator with flash
//! that outlasts it, and one that is only played.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use wangge_protocol::node::{
    Identity, NodeKind, holding,
    image::SecretKey,
    layout::{MPS2, Region},
};

use crate::{Process, place};

/// Unit id of the node.
pub const NODE: u8 = 5;
/// Unit id of the unit that is played.
pub const OTHER: u8 = 9;
const START: Duration = Duration::from_secs(30);
/// Bytes of a Cortex-M3's own vectors.
const VECTORS: usize = 64;
/// The emulator's RAM, of which the flash is the first part.
const RAM: usize = 16 * 1024 * 1024;

/// What passed over the line.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Stats {
    /// Requests to the other unit.
    pub polls: u64,
    /// Longest time between two of them, s.
    pub longest: f64,
    /// Blocks of an update that were sent to the node.
    pub blocks: u64,
}

/// The line.
#[derive(Debug)]
pub struct Street {
    dir: PathBuf,
    baud: u32,
    line: Option<Process>,
    node: Option<Process>,
}

/// A file of `cargo xtask firmware`.
///
/// # Errors
/// `$WANGGE_FIRMWARE` does not say where they are.
pub fn image(name: &str) -> Result<PathBuf> {
    let images = env::var_os("WANGGE_FIRMWARE")
        .context("WANGGE_FIRMWARE is not set: run this with `cargo xtask test firmware`")?;
    let file = PathBuf::from(images).join(name);
    ensure!(file.is_file(), "there is no {}", file.display());
    Ok(file)
}

impl Street {
    /// A line at `baud`, and flash with bootloader, image and identity; `change` may change it.
    /// The node does not run yet.
    ///
    /// # Errors
    /// An image is missing, or the line does not start.
    pub fn new(
        dir: &Path,
        baud: u32,
        change: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<Street> {
        let mut flash = vec![0xFF; RAM];
        let boot = fs::read(image("mps2-boot.bin")?)?;
        put(&mut flash, MPS2.flash, &boot);
        put(&mut flash, MPS2.active, &fs::read(image("mps2.bin")?)?);
        let identity = Identity {
            kind: NodeKind::Bin,
            hardware: MPS2.hardware,
            serial: 42,
            update_keys: [Some(SecretKey::development().public()), None],
            // At 1,200 baud a frame may have pauses of 32 ms, as an emulator makes them.
            initial: [(holding::UNIT_ID, u16::from(NODE)), (holding::BAUD, 12)]
                .into_iter()
                .collect(),
        };
        put(&mut flash, MPS2.identity, &identity.to_bytes());
        change(&mut flash)?;
        fs::write(dir.join("flash"), &flash)?;
        // The core has its vectors at 0, where an STM32 shows its flash.
        let vectors = boot.get(..VECTORS).context("no vectors")?;
        fs::write(dir.join("vectors"), vectors)?;
        let mut street = Street {
            dir: dir.to_owned(),
            baud,
            line: None,
            node: None,
        };
        street.join_line()?;
        Ok(street)
    }

    /// Joins the line, or a line that was cut.
    ///
    /// # Errors
    /// It does not start.
    pub fn join_line(&mut self) -> Result<()> {
        let (port, socket) = (self.port(), self.dir.join("socket"));
        for left in [&port, &socket] {
            match fs::remove_file(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let mut command = Command::new(place::python()?);
        command
            .arg(place::peer("rtu_street.py"))
            .args([port, socket])
            .args([self.baud.to_string(), OTHER.to_string()])
            .arg(self.dir.join("stats.json"));
        let mut line = Process::start("street", &command, &self.dir.join("street.log"))?;
        line.ready("the line", START, |log| {
            Ok(log.contains("ready").then_some(()))
        })?;
        self.line = Some(line);
        Ok(())
    }

    /// Cuts the line: the node hears nobody, and nobody hears it.
    ///
    /// # Errors
    /// It was cut before.
    pub fn cut_line(&mut self) -> Result<()> {
        self.line.take().context("the line is cut")?.kill()
    }

    /// Power for the node.
    ///
    /// # Errors
    /// The emulator does not start.
    pub fn power_on(&mut self) -> Result<()> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let mut command = Command::new("qemu-system-arm");
        command
            .args(["-M", "mps2-an385", "-m", "16M", "-nographic"])
            .args(["-monitor", "none", "-object"])
            .arg(format!(
                "memory-backend-file,id=ram,size=16M,mem-path={},share=on",
                path("flash")
            ))
            .args(["-machine", "memory-backend=ram", "-serial"])
            .arg(format!("unix:{},reconnect=1", path("socket")))
            .args(["-serial", "null", "-device"])
            .arg(format!(
                "loader,addr=0,force-raw=on,file={}",
                path("vectors")
            ));
        let log = self.dir.join("qemu.log");
        self.node = Some(Process::start("qemu", &command, &log)?);
        Ok(())
    }

    /// Takes the node's power away, whatever it does.
    ///
    /// # Errors
    /// It did not run.
    pub fn power_cut(&mut self) -> Result<()> {
        self.node.take().context("the node has no power")?.kill()
    }

    /// The master's serial port.
    pub fn port(&self) -> PathBuf {
        self.dir.join("port")
    }

    /// What passed so far.
    ///
    /// # Errors
    /// Nothing was counted yet.
    pub fn stats(&self) -> Result<Stats> {
        let text = fs::read_to_string(self.dir.join("stats.json"))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Writes into flash, as only a test can.
pub fn put(flash: &mut [u8], region: Region, bytes: &[u8]) {
    let from = region.within(MPS2.flash).start as usize;
    flash[from..from + bytes.len()].copy_from_slice(bytes);
}
