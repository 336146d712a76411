//! The linker's view of the part: the bootloader's own region of flash.

use std::{env, fs, path::PathBuf};

use wangge_protocol::node::layout;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chosen = layout::PARTS.iter().filter(|part| {
        let feature = part.board.to_uppercase();
        env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
    });
    let [part] = chosen.collect::<Vec<_>>()[..] else {
        return Err(
            "choose one board: --no-default-features --features discovery | bluepill128 | mps2"
                .into(),
        );
    };
    let Some(swap) = part.swap else {
        return Err("this part has no room for a bootloader".into());
    };
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let region = |name, region: layout::Region| {
        let layout::Region { from, size } = region;
        format!("  {name} : ORIGIN = {from:#x}, LENGTH = {size}\n")
    };
    let memory = region("FLASH", swap.boot) + &region("RAM", part.ram);
    fs::write(out.join("memory.x"), format!("MEMORY\n{{\n{memory}}}\n"))?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
