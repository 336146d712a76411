//! The validators that are written in JavaScript, at the versions of `protocol/validators`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{cache::Cache, progress::Step, repository};

/// Installs them if they are not there; returns their `node_modules`.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let step = Step::begin("AsyncAPI parser");
    let (home, source) = (
        cache.path("node-contract"),
        repository().join("protocol/validators"),
    );
    let (modules, stamp) = (home.join("node_modules"), home.join("wangge-lock"));
    let lock = read(&source.join("package-lock.json"))?;
    if modules.exists() && fs::read_to_string(&stamp).is_ok_and(|s| s == lock) {
        step.done("there");
        return Ok(modules);
    }
    step.doing("installing");
    fs::create_dir_all(&home)?;
    for name in ["package.json", "package-lock.json"] {
        fs::write(home.join(name), read(&source.join(name))?)?;
    }
    step.run(
        Command::new("npm")
            .current_dir(&home)
            // Nothing of what is installed runs anything while it is.
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]),
    )?;
    fs::write(&stamp, lock)?;
    step.done("installed");
    Ok(modules)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}
