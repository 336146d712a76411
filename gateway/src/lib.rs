//! Wangge: edge gateway for community stations.
//!
//! The modules stand in the order of the data's way; `pipeline` alone knows them all.
pub mod alert;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod counters;
pub mod derive;
pub mod geo;
pub mod observation;
pub mod rules;
pub mod source;
pub mod spool;
pub mod tls;
mod width;

// temporary: stand-ins until these parts are merged.
pub mod pipeline {
    pub async fn run(_: crate::config::Config) -> anyhow::Result<()> {
        anyhow::bail!("not merged yet")
    }
}
pub mod simulate {
    #[derive(Clone, Debug, clap::Args)]
    pub struct Args {}
    pub async fn run(_: Args) -> anyhow::Result<()> {
        anyhow::bail!("not merged yet")
    }
}
pub mod vision {
    pub fn child_main() -> std::process::ExitCode {
        std::process::ExitCode::FAILURE
    }
}
