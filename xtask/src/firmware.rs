//! `cargo xtask firmware`: images of every board, and whether they fit.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection, SectionFlags, SectionKind, elf};

use crate::build;

const TARGET: &str = "thumbv7m-none-eabi";
/// Where Debian puts a compiler that is new enough, with the library's source.
const DEBIAN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// Bytes of RAM that must be left for the stack.
const STACK: u64 = 2 * 1024;

/// One board.
#[derive(Debug)]
struct Board {
    name: &'static str,
    part: &'static str,
    /// Flash that an image may use: the part's without the pages for set-up.
    flash: u64,
    ram: u64,
}

const BOARDS: [Board; 2] = [
    Board {
        name: "discovery",
        part: "STM32F100RB",
        flash: 124 * 1024,
        ram: 8 * 1024,
    },
    Board {
        name: "bluepill",
        part: "STM32F103C8",
        flash: 60 * 1024,
        ram: 20 * 1024,
    },
];

/// Builds all images into `target/firmware`, prints their sizes, and returns the folder.
///
/// # Errors
/// No compiler for the part, a build that fails, an image that does not fit.
pub fn images() -> Result<PathBuf> {
    let toolchain = toolchain()?;
    let root = wangge_tests::place::root();
    let out = root.join("target/firmware");
    fs::create_dir_all(&out)?;
    for board in &BOARDS {
        eprintln!("building the image for {} ({})", board.name, board.part);
        let target_dir = root.join("target/firmware-build").join(board.name);
        let mut command = toolchain.cargo();
        command
            .current_dir(root.join("firmware/boards"))
            .args([
                "build",
                "--release",
                "--locked",
                "--package",
                "wangge-stm32f1",
            ])
            .args(["--no-default-features", "--features", board.name])
            .arg("--target-dir")
            .arg(&target_dir);
        let status = command.status().context("cannot start cargo")?;
        ensure!(
            status.success(),
            "the image for {} cannot be built ({status})",
            board.name
        );
        let image = target_dir.join(TARGET).join("release/wangge-stm32f1");
        let size = Size::of(&image)?;
        println!("{}", size.line(board));
        size.fits(board)?;
        fs::copy(&image, out.join(board.name).with_extension("elf"))?;
    }
    Ok(out)
}

/// What compiles for the part.
enum Toolchain {
    /// The one that runs us; rustup added the target.
    Rustup,
    /// Debian's compiler builds the core library itself.
    Debian { linker: PathBuf },
}

impl Toolchain {
    fn cargo(&self) -> Command {
        let Toolchain::Debian { linker } = self else {
            return build::cargo();
        };
        let mut command = Command::new("/usr/bin/cargo");
        command
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("CARGO_TARGET_THUMBV7M_NONE_EABI_LINKER", linker)
            .arg("-Zbuild-std=core,alloc");
        command
    }
}

/// rustup's target, or, where that cannot be downloaded, Debian's compiler.
fn toolchain() -> Result<Toolchain> {
    let added = Command::new("timeout")
        .args(["120", "rustup", "target", "add", TARGET])
        .output();
    if added.is_ok_and(|output| output.status.success()) {
        return Ok(Toolchain::Rustup);
    }
    eprintln!("rustup cannot add {TARGET}; Debian's compiler builds the firmware");
    if !Path::new("/usr/bin/cargo").exists() || !Path::new("/usr/share/cargo-web").exists() {
        let installed = Command::new("apt-get")
            .args(["install", "-y", "-qq"])
            .args(DEBIAN)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status();
        if !installed.is_ok_and(|status| status.success()) {
            bail!(
                "neither `rustup target add {TARGET}` nor `apt-get install {}` works",
                DEBIAN.join(" ")
            );
        }
    }
    let sysroot = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--print", "sysroot"])
        .output()
        .context("cannot ask rustc for its folder")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let linker = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    ensure!(linker.exists(), "there is no {}", linker.display());
    Ok(Toolchain::Debian { linker })
}

/// What an image takes of the part, bytes.
#[derive(Debug)]
struct Size {
    flash: u64,
    ram: u64,
}

impl Size {
    fn of(image: &Path) -> Result<Size> {
        let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let file = object::File::parse(&*bytes)?;
        let (mut flash, mut ram) = (0, 0);
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else {
                continue;
            };
            if sh_flags & u64::from(elf::SHF_ALLOC) == 0 {
                continue;
            }
            let (size, empty) = (
                section.size(),
                section.kind() == SectionKind::UninitializedData,
            );
            if !empty {
                flash += size;
            }
            // Initialised data takes both: its image, and its place.
            if empty || sh_flags & u64::from(elf::SHF_WRITE) != 0 {
                ram += size;
            }
        }
        Ok(Size { flash, ram })
    }

    fn line(&self, board: &Board) -> String {
        let share = |used: u64, of: u64| used as f64 * 100.0 / of as f64;
        format!(
            "{:10} {:12} flash {:6} of {:6} bytes ({:4.1} %), RAM {:5} of {:5} bytes ({:4.1} %), {} left for the stack",
            board.name,
            board.part,
            self.flash,
            board.flash,
            share(self.flash, board.flash),
            self.ram,
            board.ram,
            share(self.ram, board.ram),
            board.ram.saturating_sub(self.ram),
        )
    }

    fn fits(&self, board: &Board) -> Result<()> {
        ensure!(
            self.flash <= board.flash,
            "the image for {} has {} bytes; {} fit the {}",
            board.name,
            self.flash,
            board.flash,
            board.part
        );
        ensure!(
            self.ram + STACK <= board.ram,
            "the image for {} takes {} bytes of RAM and leaves less than {STACK} of {} for the stack",
            board.name,
            self.ram,
            board.ram
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_fits_at_the_limit_and_not_beyond() {
        let board = &BOARDS[0];
        let fits = |flash, ram| Size { flash, ram }.fits(board).is_ok();
        assert!(fits(board.flash, board.ram - STACK));
        assert!(!fits(board.flash + 1, 0));
        assert!(!fits(board.flash * 10, 0));
        assert!(!fits(0, board.ram - STACK + 1));
        assert!(!fits(0, board.ram * 10));
    }
}
