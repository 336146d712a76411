//! ONNX Runtime's library, out of its pinned wheel.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use super::{
    cache::{Cache, expect_sha256, intact},
    progress::Step,
};

const VERSION: &str = "1.32.0";

/// One architecture's wheel.
struct Wheel {
    platform: &'static str,
    bytes: u64,
    sha256: &'static str,
    library_sha256: &'static str,
}

const X86_64: Wheel = Wheel {
    platform: "manylinux_2_28_x86_64",
    bytes: 27_773_237,
    sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    library_sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
};

const AARCH64: Wheel = Wheel {
    platform: "manylinux_2_28_aarch64",
    bytes: 23_195_070,
    sha256: "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    library_sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
};

/// Fetches the library if it is not there; returns its path.
pub fn ensure(cache: &Cache, python: &Path) -> Result<PathBuf> {
    let step = Step::begin(format!("ONNX Runtime {VERSION}"));
    let wheel = match ARCH {
        "x86_64" => X86_64,
        "aarch64" => AARCH64,
        other => bail!("ONNX Runtime {VERSION} has no wheel for {other} that this set-up knows"),
    };
    let name = format!("libonnxruntime.so.{VERSION}");
    let home = cache.path(&format!("onnxruntime-{VERSION}-{ARCH}"));
    let library = home.join(&name);
    if intact(&library, wheel.library_sha256) {
        step.done("there");
        return Ok(library);
    }
    step.doing("fetching");
    let scratch = cache.scratch()?;
    // The library is the same for every Python; one tag is named so that one hash is right.
    step.run_growing(
        Command::new(python)
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--no-cache-dir", "--only-binary=:all:"])
            .args(["--python-version", "3.11", "--implementation", "cp"])
            .args(["--abi", "cp311", "--platform", wheel.platform])
            .arg("--dest")
            .arg(scratch.path())
            .arg(format!("onnxruntime=={VERSION}"))
            .env("TMPDIR", scratch.path()),
        scratch.path(),
        wheel.bytes,
    )?;
    let file = scratch.path().join(format!(
        "onnxruntime-{VERSION}-cp311-cp311-{}.whl",
        wheel.platform
    ));
    expect_sha256(&file, wheel.sha256)?;
    step.run(
        Command::new(python)
            .args(["-m", "zipfile", "-e"])
            .arg(&file)
            .arg(scratch.path().join("wheel")),
    )?;
    let inner = scratch.path().join("wheel/onnxruntime");
    expect_sha256(&inner.join("capi").join(&name), wheel.library_sha256)?;
    fs::create_dir_all(&home)?;
    for notice in ["LICENSE", "ThirdPartyNotices.txt"] {
        fs::rename(inner.join(notice), home.join(notice))?;
    }
    fs::rename(inner.join("capi").join(&name), &library)?;
    step.done("fetched and checked");
    Ok(library)
}
