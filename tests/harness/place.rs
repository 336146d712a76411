//! Where things are: the checkout, the built programs, what set-up laid into the cache.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::{Context, Result, bail, ensure};

/// The checkout.
pub fn root() -> &'static Path {
    const TESTS: &str = env!("CARGO_MANIFEST_DIR");
    Path::new(TESTS).parent().unwrap_or(Path::new(TESTS))
}

/// A program of this workspace: where `$WANGGE_BIN_DIR` says, else as the running profile or
/// the release profile built it.
///
/// # Errors
/// It has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let places = match env::var_os("WANGGE_BIN_DIR") {
        Some(dir) => vec![PathBuf::from(dir)],
        None => vec![target.join("release"), target.join(profile)],
    };
    places
        .iter()
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!("{name} is not in {places:?}: build it, or use `cargo xtask test`")
        })
}

/// A command of the tool that configures brokers, on `fleet.toml` in `dir`, output in `out` there.
pub fn fleet_tool(dir: &Path, command: &str) -> Command {
    let mut tool = Command::new("python3");
    tool.env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(root().join("deploy/fleet/wangge_fleet"))
        .args([command, "fleet.toml", "--out", "out"])
        .current_dir(dir)
        .stdin(Stdio::null());
    tool
}

/// A peer that lies beside this file.
pub fn peer(name: &str) -> PathBuf {
    root().join("tests/harness/peers").join(name)
}

fn set_up(variable: &str) -> Result<PathBuf> {
    let path = env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set: run this with `cargo xtask test`"))?;
    ensure!(
        path.exists(),
        "{variable}: {} does not exist: run `cargo xtask setup`",
        path.display()
    );
    Ok(path)
}

/// libonnxruntime.so, from `$WANGGE_ONNXRUNTIME`.
pub fn onnxruntime() -> Result<PathBuf> {
    set_up("WANGGE_ONNXRUNTIME")
}

/// The default model's manifest, from `$WANGGE_MODEL`.
pub fn model() -> Result<PathBuf> {
    set_up("WANGGE_MODEL")
}

/// Weights that may not be kept in the repository nor fetched by set-up, for tests of their
/// families: in the folder `$WANGGE_MODELS`, else in `shared/models` beside the checkout.
/// `None`: they are not there, and the test says that it is skipped.
pub fn weights(file: &str) -> Option<PathBuf> {
    let beside = || root().parent().map(|dir| dir.join("shared/models"));
    let folder = env::var_os("WANGGE_MODELS")
        .map(PathBuf::from)
        .or_else(beside)?;
    Some(folder.join(file)).filter(|path| path.is_file())
}

/// A clip of the footage, from the folder `$WANGGE_FOOTAGE`.
pub fn clip(name: &str) -> Result<PathBuf> {
    let path = set_up("WANGGE_FOOTAGE")?.join(name);
    ensure!(path.is_file(), "no footage {}", path.display());
    Ok(path)
}

/// The Python that has the peers' packages, from `$WANGGE_PYTHON`.
pub fn python() -> Result<PathBuf> {
    set_up("WANGGE_PYTHON")
}

/// A TCP port of 127.0.0.1 that nobody listens on now, and another each time.
///
/// For peers that cannot be told "any", that come back on the port they had, or that nobody is
/// to find. It is below those that Linux gives to whoever asks for any, and to every connection's
/// near end: one of these could be somebody else's a moment later. Another process may still take
/// it, so starting such a peer is tried again on another port.
pub fn free_port() -> Result<u16> {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        // Tests in other processes begin elsewhere.
        let place = process::id()
            .wrapping_mul(97)
            .wrapping_add(NEXT.fetch_add(1, Relaxed));
        let port = (FIRST + place % PORTS) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no TCP port from {FIRST} on is free")
}

/// Bytes of all files below.
pub fn folder_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(m) if m.is_dir() => folder_bytes(&entry.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}
