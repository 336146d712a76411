//! The linker's view of the part.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    // Flash and RAM in KiB. The last two pages of flash hold set-up and identity.
    let (flash, ram) = match (has("DISCOVERY"), has("BLUEPILL")) {
        (true, false) => (128, 8),
        (false, true) => (64, 20),
        _ => {
            return Err(
                "choose one board: --no-default-features --features discovery | bluepill".into(),
            );
        }
    };
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("memory.x"),
        format!(
            "MEMORY\n{{\n  FLASH : ORIGIN = 0x08000000, LENGTH = {}K\n  RAM : ORIGIN = 0x20000000, LENGTH = {ram}K\n}}\n",
            flash - 4
        ),
    )?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
