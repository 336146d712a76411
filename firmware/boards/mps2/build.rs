//! The linker's view of the part.

use std::{env, fs, path::PathBuf};

use wangge_protocol::node::layout::{MPS2, Region};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let region = |name, region: Region| {
        let Region { from, size } = region;
        format!("  {name} : ORIGIN = {from:#x}, LENGTH = {size}\n")
    };
    let memory = region("FLASH", MPS2.active) + &region("RAM", MPS2.ram);
    fs::write(out.join("memory.x"), format!("MEMORY\n{{\n{memory}}}\n"))?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
