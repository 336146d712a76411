//! `cargo xtask firmware`: images of every board, signed, and whether they fit.

mod sign;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection, SectionFlags, SectionKind, elf};
use wangge_protocol::node::{
    image::MANIFEST,
    layout::{self, Part},
};

use crate::build;
use sign::{Signer, Version};

/// Where Debian puts a compiler that is new enough, with the library's source.
const DEBIAN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// Bytes of RAM that must be left for the stack.
const STACK: u64 = 2 * 1024;

/// One image.
#[derive(Debug)]
struct Board {
    part: &'static Part,
    package: &'static str,
    target: &'static str,
}

const BOARDS: [Board; 5] = [
    stm32f1(&layout::DISCOVERY),
    stm32f1(&layout::BLUEPILL),
    stm32f1(&layout::BLUEPILL_128K),
    PICO,
    MPS2,
];

const PICO: Board = Board {
    part: &layout::PICO,
    package: "wangge-rp2040",
    target: "thumbv6m-none-eabi",
};

/// The emulator's board, for tests of updates.
const MPS2: Board = Board {
    part: &layout::MPS2,
    package: "wangge-mps2",
    target: "thumbv7m-none-eabi",
};

const fn stm32f1(part: &'static Part) -> Board {
    Board {
        part,
        package: "wangge-stm32f1",
        target: "thumbv7m-none-eabi",
    }
}

/// The bootloader of a part with two images.
const fn bootloader(part: &'static Part) -> Board {
    Board {
        part,
        package: "wangge-bootloader",
        target: "thumbv7m-none-eabi",
    }
}

/// What the images are to be.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// File with the secret key of a release (`wangge node keygen`). Without it the images are
    /// signed for development, and marked so.
    #[arg(long, value_name = "FILE", requires = "counter")]
    sign: Option<PathBuf>,
    /// Counter of the images: nodes take only a higher one than they have.
    #[arg(long, default_value_t = 1)]
    counter: u32,
    /// Version of the firmware, MAJOR.MINOR.
    #[arg(long, default_value = "0.1")]
    version: Version,
}

impl Options {
    /// The variables by which an image learns what it is.
    fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("WANGGE_IMAGE_COUNTER", self.counter.to_string()),
            ("WANGGE_FIRMWARE_VERSION", self.version.0.to_string()),
        ];
        if self.sign.is_none() {
            env.push(("WANGGE_DEVELOPMENT", "1".to_owned()));
        }
        env
    }
}

/// Builds all images and bootloaders into `target/firmware`, signs them, prints their sizes, and
/// returns the folder.
///
/// # Errors
/// No compiler for the part, a build that fails, an image that does not fit, no key.
pub fn images(options: &Options) -> Result<PathBuf> {
    let signer = Signer::new(options.sign.as_deref(), options.counter, options.version)?;
    let out = wangge_tests::place::root().join("target/firmware");
    fs::create_dir_all(&out)?;
    for board in &BOARDS {
        let name = board.part.board;
        let elf = board.build(&options.env())?;
        let size = Size::of(&elf)?;
        println!("{}", size.line(board.part));
        size.fits(board.part)?;
        fs::copy(&elf, out.join(name).with_extension("elf"))?;
        let file = signer.image(board.part, &fs::read(&elf)?)?;
        fs::write(out.join(name).with_extension("bin"), &file[MANIFEST..])?;
        fs::write(out.join(name).with_extension("wgn"), file)?;
        let Some(swap) = board.part.swap else {
            continue;
        };
        let elf = bootloader(board.part).build(&[])?;
        let (size, room) = (Size::of(&elf)?.flash, u64::from(swap.boot.size));
        println!("{name:11} bootloader   flash {size:6} of {room:6} bytes");
        ensure!(
            size <= room,
            "the bootloader for {name} has {size} bytes; {room} fit"
        );
        let boot = out.join(format!("{name}-boot.elf"));
        fs::copy(&elf, &boot)?;
        let file = signer.bootloader(board.part, swap.boot, &fs::read(&elf)?)?;
        fs::write(boot.with_extension("bin"), &file[MANIFEST..])?;
        fs::write(boot.with_extension("wgn"), file)?;
    }
    println!("signed by key {}", signer.id());
    Ok(out)
}

/// Images as for development, and `mps2-next.wgn`: a newer one for tests of updates.
///
/// # Errors
/// As [`images`].
pub fn for_tests() -> Result<PathBuf> {
    let mut options = Options {
        sign: None,
        counter: 1,
        version: Version(0x0001),
    };
    let out = images(&options)?;
    options.counter = 2;
    let elf = MPS2.build(&options.env())?;
    let signer = Signer::new(None, options.counter, options.version)?;
    let file = signer.image(&layout::MPS2, &fs::read(elf)?)?;
    fs::write(out.join("mps2-next.wgn"), file)?;
    Ok(out)
}

impl Board {
    /// Builds it with these variables; where its ELF file is.
    fn build(&self, env: &[(&'static str, String)]) -> Result<PathBuf> {
        let (name, part) = (self.part.board, self.part.name);
        eprintln!("building {} for {name} ({part})", self.package);
        let root = wangge_tests::place::root();
        let target_dir = root.join("target/firmware-build").join(name);
        let mut command = toolchain(self.target)?.cargo(self.target);
        command
            .current_dir(root.join("firmware/boards"))
            .args(["build", "--release", "--locked"])
            .args(["--target", self.target, "--package", self.package])
            .args(["--no-default-features", "--features", name])
            .arg("--target-dir")
            .arg(&target_dir)
            .envs(env.iter().map(|(name, value)| (name, value)));
        let status = command.status().context("cannot start cargo")?;
        ensure!(
            status.success(),
            "{} for {name} cannot be built ({status})",
            self.package
        );
        Ok(target_dir
            .join(self.target)
            .join("release")
            .join(self.package))
    }
}

/// What compiles for the part.
enum Toolchain {
    /// The one that runs us; rustup added the target.
    Rustup,
    /// Debian's compiler builds the core library itself.
    Debian { linker: PathBuf },
}

impl Toolchain {
    fn cargo(&self, target: &str) -> Command {
        let Toolchain::Debian { linker } = self else {
            return build::cargo();
        };
        let mut command = Command::new("/usr/bin/cargo");
        command
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env(
                format!(
                    "CARGO_TARGET_{}_LINKER",
                    target.to_uppercase().replace('-', "_")
                ),
                linker,
            )
            .arg("-Zbuild-std=core,alloc");
        command
    }
}

/// rustup's target, or, where that cannot be downloaded, Debian's compiler.
fn toolchain(target: &str) -> Result<Toolchain> {
    let added = Command::new("timeout")
        .args(["120", "rustup", "target", "add", target])
        .output();
    if added.is_ok_and(|output| output.status.success()) {
        return Ok(Toolchain::Rustup);
    }
    eprintln!("rustup cannot add {target}; Debian's compiler builds the firmware");
    if !Path::new("/usr/bin/cargo").exists() || !Path::new("/usr/share/cargo-web").exists() {
        let installed = Command::new("apt-get")
            .args(["install", "-y", "-qq"])
            .args(DEBIAN)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status();
        if !installed.is_ok_and(|status| status.success()) {
            bail!(
                "neither `rustup target add {target}` nor `apt-get install {}` works",
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

    fn line(&self, part: &Part) -> String {
        let share = |used: u64, of: u32| used as f64 * 100.0 / f64::from(of);
        format!(
            "{:11} {:12} flash {:6} of {:6} bytes ({:4.1} %), RAM {:5} of {:5} bytes ({:4.1} %), {} left for the stack",
            part.board,
            part.name,
            self.flash,
            part.active.size,
            share(self.flash, part.active.size),
            self.ram,
            part.ram.size,
            share(self.ram, part.ram.size),
            u64::from(part.ram.size).saturating_sub(self.ram),
        )
    }

    fn fits(&self, part: &Part) -> Result<()> {
        let (flash, ram) = (u64::from(part.active.size), u64::from(part.ram.size));
        ensure!(
            self.flash <= flash,
            "the image for {} has {} bytes; {flash} fit the {}",
            part.board,
            self.flash,
            part.name
        );
        ensure!(
            self.ram + STACK <= ram,
            "the image for {} takes {} bytes of RAM and leaves less than {STACK} of {ram} for the stack",
            part.board,
            self.ram
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_fits_at_the_limit_and_not_beyond() {
        let part = &layout::DISCOVERY;
        let (most, ram) = (u64::from(part.active.size), u64::from(part.ram.size));
        let fits = |flash, ram| Size { flash, ram }.fits(part).is_ok();
        assert!(fits(most, ram - STACK));
        assert!(!fits(most + 1, 0));
        assert!(!fits(most * 10, 0));
        assert!(!fits(0, ram - STACK + 1));
        assert!(!fits(0, ram * 10));
    }
}
