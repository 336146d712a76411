use std::process::ExitCode;

use clap::Parser;
use wangge::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().execute()
}
