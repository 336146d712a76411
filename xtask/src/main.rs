//! `cargo xtask`: set-up, demo, tests and benchmarks of Wangge.

mod build;
mod setup;
mod suites;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install and fetch what is needed, and nothing that is there already.
    Setup {
        /// How far to go.
        #[arg(long, value_enum, default_value = "test")]
        purpose: setup::Purpose,
    },
    /// Run the test suites (all, if none is named) and count what passed.
    Test {
        /// Suites to run.
        suites: Vec<suites::Suite>,
        /// Only tests whose name contains this.
        #[arg(long)]
        filter: Option<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Setup { purpose } => match purpose {
            setup::Purpose::Build => setup::build(),
            more => setup::kit(more).map(drop),
        },
        Command::Test { suites, filter } => suites::run(&suites, filter.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
