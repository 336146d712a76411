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

/// Where gateway and platform are, built as they are shipped, or wherever `$WANGGE_BIN_DIR` says
/// that they are already.
///
/// # Errors
/// They cannot be built.
pub fn shipped() -> Result<PathBuf> {
    match env::var_os("WANGGE_BIN_DIR") {
        Some(ready) => Ok(ready.into()),
        None => programs(&["--release"], "release"),
    }
}

/// As [`shipped`], but built as the tests are: most of it is there when the tests are, and it
/// checks its arithmetic.
///
/// # Errors
/// They cannot be built.
pub fn tested() -> Result<PathBuf> {
    match env::var_os("WANGGE_BIN_DIR") {
        Some(ready) => Ok(ready.into()),
        None => programs(&[], "debug"),
    }
}

fn programs(profile: &[&str], folder: &str) -> Result<PathBuf> {
    eprintln!("building wangge and wangge-platform ({folder})");
    let status = cargo()
        .args(["build", "--bins", "--package", "wangge"])
        .args(["--package", "wangge-platform"])
        .args(profile)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the build failed ({status})");
    Ok(target().join(folder))
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
