//! The linker's view of the part.

use std::{env, fs, path::PathBuf};

use wangge_protocol::node::layout::PICO;

/// What the part's ROM loads first: how to read the flash chip.
const BOOT2: u32 = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (flash, ram) = (PICO.active, PICO.ram);
    fs::write(
        out.join("memory.x"),
        format!(
            "MEMORY\n{{\n  BOOT2 : ORIGIN = {:#x}, LENGTH = {BOOT2}\n  \
             FLASH : ORIGIN = {:#x}, LENGTH = {}\n  RAM : ORIGIN = {:#x}, LENGTH = {}\n}}\n\
             SECTIONS\n{{\n  .boot2 ORIGIN(BOOT2) : {{ KEEP(*(.boot2)); }} > BOOT2\n}}\n\
             INSERT BEFORE .text;\n",
            flash.from,
            flash.from + BOOT2,
            flash.size - BOOT2,
            ram.from,
            ram.size
        ),
    )?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
