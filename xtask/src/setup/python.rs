//! A virtual environment for the model's recipe and for peers written in Python.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use super::{cache::Cache, progress::Step};

/// numpy and onnx at the versions that make the model byte for byte; pymodbus and paho-mqtt are
/// peers in the stories, cryptography verifies as the operator's guide does.
const REQUIREMENTS: &[&str] = &[
    "numpy==2.4.6",
    "onnx==1.23.2",
    "pymodbus==3.16.1",
    "pyserial==3.5",
    "paho-mqtt==2.2.0",
    "cryptography==50.0.2",
];

/// What the evaluation's scenarios are made with.
const EVALUATION: &[&str] = &["numpy==2.4.6", "opencv-python-headless==5.0.0.93"];

/// What others wrote to check the receiver contract's documents with.
const CONTRACT: &[&str] = &[
    "openapi-spec-validator==0.9.0",
    "jsonschema==4.26.0",
    "schemathesis==4.32.5",
];

/// Makes the environment if it is not there; returns its interpreter.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    make(cache, "python", "Python environment", REQUIREMENTS)
}

/// The environment of the evaluation, which nothing else needs.
pub fn ensure_evaluation(cache: &Cache) -> Result<PathBuf> {
    let name = "Python environment of the evaluation";
    make(cache, "python-evaluation", name, EVALUATION)
}

/// The environment that the receiver contract is checked in.
pub fn ensure_contract(cache: &Cache) -> Result<PathBuf> {
    make(cache, "python-contract", "contract validators", CONTRACT)
}

fn make(cache: &Cache, folder: &str, name: &str, requirements: &[&str]) -> Result<PathBuf> {
    let step = Step::begin(name);
    let (home, wanted) = (cache.path(folder), requirements.join("\n"));
    let (python, stamp) = (home.join("bin/python"), home.join("wangge-requirements"));
    if fs::read_to_string(&stamp).is_ok_and(|s| s == wanted) && works(&python) {
        step.done("there");
        return Ok(python);
    }
    step.doing(&format!("installing {}", requirements.join(" ")));
    if home.exists() {
        fs::remove_dir_all(&home)
            .with_context(|| format!("cannot remove the outdated {}", home.display()))?;
    }
    step.run(Command::new(base()).args(["-m", "venv"]).arg(&home))?;
    step.run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--only-binary=:all:"])
            .args(requirements),
    )?;
    fs::write(&stamp, wanted)?;
    step.done("made");
    Ok(python)
}

fn works(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", ""])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Debian's interpreter where there is one: `python3` may be somebody's own.
fn base() -> &'static str {
    if Path::new("/usr/bin/python3").exists() {
        "/usr/bin/python3"
    } else {
        "python3"
    }
}
