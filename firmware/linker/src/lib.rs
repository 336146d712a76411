//! The linker's view of a part, for build scripts: `memory.x` from the one table of parts.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "that is how a build script speaks to cargo"
)]

use std::{env, error::Error, fs, path::PathBuf};

use wangge_protocol::node::layout::{PARTS, Part, Region};

/// The part of the one board that is chosen by a feature.
///
/// # Errors
/// None is, or more than one.
pub fn chosen() -> Result<&'static Part, Box<dyn Error>> {
    let feature = |part: &&Part| {
        let name = part.board.to_uppercase();
        env::var_os(format!("CARGO_FEATURE_{name}")).is_some()
    };
    match PARTS.iter().filter(feature).collect::<Vec<_>>()[..] {
        [part] => Ok(part),
        _ => Err("choose one board: --no-default-features --features BOARD, see Cargo.toml".into()),
    }
}

/// Writes `memory.x` where the linker looks for it: these regions, then what else is said.
///
/// # Errors
/// It cannot be written, or this is no build script.
pub fn memory(regions: &[(&str, Region)], more: &str) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let lines: String = regions
        .iter()
        .map(|(name, Region { from, size })| {
            format!("  {name} : ORIGIN = {from:#x}, LENGTH = {size}\n")
        })
        .collect();
    fs::write(
        out.join("memory.x"),
        format!("MEMORY\n{{\n{lines}}}\n{more}"),
    )?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
