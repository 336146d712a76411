//! Calling cargo from a program that cargo started.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Of what cargo tells a program that it runs, the parts that build scripts watch: handed on,
/// they would make a build differ from the same one at the prompt, and start it anew.
const OF_THIS_PACKAGE: [&str; 4] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
];

/// Cargo in the checkout, as if called at the prompt.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(wangge_tests::place::root())
        .stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THIS_PACKAGE.iter().any(|part| text.starts_with(part)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds gateway and platform with the release profile; returns where they are.
///
/// # Errors
/// They cannot be built.
pub fn release() -> Result<PathBuf> {
    eprintln!("building wangge and wangge-platform (release)");
    let status = cargo()
        .args(["build", "--release", "--bins", "--package", "wangge"])
        .args(["--package", "wangge-platform"])
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the build failed ({status})");
    Ok(target().join("release"))
}

/// Builds the crowd of simulated stations with the development profile, in which dependencies
/// are optimised; returns the program.
///
/// # Errors
/// It cannot be built.
pub fn crowd() -> Result<PathBuf> {
    eprintln!("building wangge-crowd");
    let status = cargo()
        .args(["build", "--package", "wangge-crowd"])
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the build failed ({status})");
    Ok(target().join("debug/wangge-crowd"))
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| wangge_tests::place::root().join("target"), PathBuf::from)
}
