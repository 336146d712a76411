//! Debug probes, through the program `probe-rs` (ADR 0024 says why not through its library).

use std::{
    ffi::OsStr,
    io::{self, Write as _},
    path::PathBuf,
    process::Command,
};

use crate::{
    chip::Found,
    rom::{DEVICE_ID, FLASH_SIZE},
};

/// The program.
pub const PROGRAM: &str = "probe-rs";
/// How to get it.
pub const INSTALL: &str = "install it from https://probe.rs/docs/getting-started/installation/ \
     (or `cargo install probe-rs-tools --locked`), then try again; boards can also be flashed without \
     a probe, through a USB serial adapter";
/// Which part it is, in an STM32's debug unit (RM0008 §31.6.1, RM0041 §25.6.1).
const IDCODE: u32 = 0xE004_2000;

/// Why the probe did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The program is not there.
    #[error("{0} is not installed: {INSTALL}")]
    NotInstalled(String),
    /// It cannot be started, or a file for it cannot be written.
    #[error("{PROGRAM}: {0}")]
    Io(#[from] io::Error),
    /// It failed.
    #[error(
        "`{PROGRAM} {command}` failed: {told}. Is the probe plugged in (`wangge flash list`), are SWDIO, SWCLK, \
         GND and 3.3 V connected, and is the board powered?"
    )]
    Failed {
        /// What it was asked.
        command: String,
        /// What it said.
        told: String,
    },
    /// Its answer is something else than was asked for.
    #[error("`{PROGRAM} {command}` gave something else than hex words: {told:?}")]
    Answer {
        /// What it was asked.
        command: String,
        /// What it said.
        told: String,
    },
}

/// A probe that is used through the program.
#[derive(Clone, Debug)]
pub struct Probe {
    program: PathBuf,
    chip: &'static str,
    /// Which probe, if there are several: `VID:PID` or `VID:PID:SERIAL`.
    selector: Option<String>,
}

impl Probe {
    /// For a part, by its name in the data sheet.
    pub fn new(program: PathBuf, chip: &'static str, selector: Option<String>) -> Probe {
        Probe {
            program,
            chip,
            selector,
        }
    }

    /// What the chip says about itself.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn found(&self) -> Result<Found, ProbeError> {
        let product = self.words(IDCODE, 1)?[0] & 0xFFF;
        let size = self.words(FLASH_SIZE, 1)?[0] & 0xFFFF;
        let mut number = [0; 12];
        for (place, word) in number.chunks_exact_mut(4).zip(self.words(DEVICE_ID, 3)?) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Ok(Found {
            // Both are cut to 16 bits above.
            product: product as u16,
            flash_kib: size as u16,
            number,
        })
    }

    /// Reads memory.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn read(&self, address: u32, length: usize) -> Result<Vec<u8>, ProbeError> {
        let words = self.words(address, length.div_ceil(4))?;
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Erases the pages that these bytes take, writes them and reads them back.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn download(&self, address: u32, bytes: &[u8]) -> Result<(), ProbeError> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        let base = format!("0x{address:08X}");
        let mut command = self.command("download");
        command
            .args(["--binary-format", "bin", "--base-address", &base])
            .args(["--verify", "--disable-progressbars"])
            .arg(file.path());
        self.run("download", command).map(drop)
    }

    /// Starts the program on the chip.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn reset(&self) -> Result<(), ProbeError> {
        self.run("reset", self.command("reset")).map(drop)
    }

    fn words(&self, address: u32, count: usize) -> Result<Vec<u32>, ProbeError> {
        let mut command = self.command("read");
        command.args(["b32", &format!("0x{address:08X}"), &count.to_string()]);
        let told = self.run("read", command)?;
        let words: Result<Vec<u32>, _> = told
            .split_whitespace()
            .map(|word| u32::from_str_radix(word, 16))
            .collect();
        match words {
            Ok(words) if words.len() == count => Ok(words),
            _ => Err(ProbeError::Answer {
                command: format!("read b32 0x{address:08X} {count}"),
                told,
            }),
        }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .args(["--non-interactive", "--chip", self.chip]);
        if let Some(selector) = &self.selector {
            command.args(["--probe", selector]);
        }
        command
    }

    fn run(&self, verb: &str, command: Command) -> Result<String, ProbeError> {
        run(command, self.program.as_os_str(), verb)
    }
}

/// The probes that the program sees, in its own words.
///
/// # Errors
/// See [`ProbeError`].
pub fn list(program: &OsStr) -> Result<String, ProbeError> {
    let mut command = Command::new(program);
    command.arg("list");
    run(command, program, "list")
}

fn run(mut command: Command, program: &OsStr, verb: &str) -> Result<String, ProbeError> {
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ProbeError::NotInstalled(
                program.to_string_lossy().into_owned(),
            ));
        }
        result => result?,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(ProbeError::Failed {
        command: verb.to_owned(),
        told: told.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    /// A program that writes down what it is asked, and answers as `probe-rs` 0.32 does.
    fn fake(dir: &Path, answer: &str) -> PathBuf {
        let path = dir.join("probe-rs");
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {}/asked\n{answer}\n",
            dir.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn asked(dir: &Path) -> String {
        fs::read_to_string(dir.join("asked")).unwrap()
    }

    #[test]
    fn a_chip_is_read_written_and_started() {
        let dir = tempfile::tempdir().unwrap();
        let program = fake(
            dir.path(),
            "case \"$*\" in
             *0xE0042000*) echo 20036410;;
             *0x1FFFF7E0*) echo ffff0080;;
             *0x1FFFF7E8*) echo 04030201 08070605 0c0b0a09;;
             esac",
        );
        let probe = Probe::new(program, "STM32F103CB", Some("0483:3748".to_owned()));
        let found = probe.found().unwrap();
        assert_eq!((found.product, found.flash_kib), (0x410, 128));
        assert_eq!(found.number, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        probe.download(0x0800_4800, &[1, 2, 3, 4]).unwrap();
        probe.reset().unwrap();
        let asked = asked(dir.path());
        let last: Vec<&str> = asked.lines().rev().take(2).collect();
        assert_eq!(
            last[0],
            "reset --non-interactive --chip STM32F103CB --probe 0483:3748"
        );
        assert!(
            last[1].contains("--base-address 0x08004800 --verify"),
            "{asked}"
        );
    }

    #[test]
    fn its_absence_and_its_complaints_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = list(OsStr::new("/no/such/probe-rs"))
            .unwrap_err()
            .to_string();
        assert!(told.contains("install"), "{told}");
        let program = fake(dir.path(), "echo 'No probe was found.' >&2; exit 1");
        let probe = Probe::new(program.clone(), "STM32F103C8", None);
        let told = probe.reset().unwrap_err().to_string();
        assert!(
            told.contains("No probe was found.") && told.contains("SWDIO"),
            "{told}"
        );
        fake(dir.path(), "echo 'a warning'");
        assert!(matches!(probe.found(), Err(ProbeError::Answer { .. })));
        fake(dir.path(), "true");
        assert!(matches!(probe.found(), Err(ProbeError::Answer { .. })));
    }
}
