//! The programs as they ship.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Builds gateway and platform with the release profile; returns where they are.
///
/// # Errors
/// They cannot be built.
pub fn release() -> Result<PathBuf> {
    let root = wangge_tests::place::root();
    eprintln!("building wangge and wangge-platform (release)");
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["build", "--release", "--bins", "--package", "wangge"])
        .args(["--package", "wangge-platform"])
        .stdin(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the build failed ({status})");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release"))
}
