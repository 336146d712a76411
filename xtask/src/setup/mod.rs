//! Everything that has to be on the machine before the product builds and runs.
//!
//! Each part looks first and acts only on what is missing or damaged, so a second run does
//! nothing and needs no network.

mod cache;
mod footage;
mod model;
mod node;
mod onnxruntime;
mod packages;
mod progress;
mod python;

use std::path::{Path, PathBuf};

use anyhow::Result;

/// How much of it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Purpose {
    /// To compile.
    Build,
    /// To run the demo.
    Demo,
    /// To run the tests.
    Test,
}

/// What set-up left behind, for whoever runs the product.
#[derive(Clone, Debug)]
pub struct Kit {
    /// libonnxruntime.so
    pub onnxruntime: PathBuf,
    /// The default model's manifest, beside its weights.
    pub model: PathBuf,
    /// Folder with `vtest-h264.mp4` and `vtest-h265.mp4`.
    pub footage: PathBuf,
    /// Interpreter with the packages that recipes and peers need.
    pub python: PathBuf,
    /// What the receiver contract's documents are checked with: an interpreter, `node_modules`.
    pub contract: Option<(PathBuf, PathBuf)>,
}

impl Kit {
    /// The environment variables by which tests find it.
    pub fn env(&self) -> Vec<(&'static str, &Path)> {
        let mut env: Vec<(&'static str, &Path)> = vec![
            ("WANGGE_ONNXRUNTIME", &self.onnxruntime),
            ("WANGGE_MODEL", &self.model),
            ("WANGGE_FOOTAGE", &self.footage),
            ("WANGGE_PYTHON", &self.python),
        ];
        if let Some((python, node)) = &self.contract {
            env.push(("WANGGE_CONTRACT_PYTHON", python));
            env.push(("WANGGE_CONTRACT_NODE", node));
        }
        env
    }
}

/// Installs what is needed to compile the product.
pub fn build() -> Result<()> {
    packages::ensure(Purpose::Build)
}

/// Does all the set-up that `purpose` needs beyond compiling.
pub fn kit(purpose: Purpose) -> Result<Kit> {
    packages::ensure(purpose)?;
    let cache = cache::Cache::open()?;
    let python = python::ensure(&cache)?;
    let contract = match purpose >= Purpose::Test {
        true => Some((python::ensure_contract(&cache)?, node::ensure(&cache)?)),
        false => None,
    };
    Ok(Kit {
        contract,
        onnxruntime: onnxruntime::ensure(&cache, &python)?,
        model: model::ensure(&cache, &python)?,
        footage: footage::ensure(&cache)?,
        python,
    })
}

/// The interpreter with which scenarios are made for the evaluation; returns its path.
pub fn evaluation_python() -> Result<PathBuf> {
    python::ensure_evaluation(&cache::Cache::open()?)
}

/// Pictures and a film of OpenCV's examples that the blind set's places are made of.
pub fn examples() -> Result<PathBuf> {
    footage::ensure_examples(&cache::Cache::open()?)
}

/// The checkout that this xtask was built from.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
