//! `cargo xtask`: set-up, demo, tests and benchmarks of Wangge.

mod bench;
mod build;
mod demo;
mod eval;
mod firmware;
mod fleet;
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
    /// Run a whole station on real protocols and footage and show its alerts live.
    Demo {
        #[command(flatten)]
        options: demo::Options,
    },
    /// Measure, against what the machine can do or against other gateways.
    Bench {
        /// What to measure; everything, if nothing is named.
        what: Vec<bench::Bench>,
        /// Folder of the side-by-side measurements: its gateways do the same work in this run.
        #[arg(long, value_name = "DIR", conflicts_with = "what")]
        peers: Option<std::path::PathBuf>,
        /// Length of each measurement.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Cameras: climb until the quality of service is no longer given; takes half an hour.
        #[arg(long)]
        full: bool,
        /// Cameras: whether anything grows while nine of them are watched for so many minutes.
        #[arg(long, value_name = "MINUTES", conflicts_with_all = ["peers", "full"])]
        soak: Option<u64>,
    },
    /// Play scenarios with a written ground truth and count what was found, missed and false.
    Eval {
        #[command(flatten)]
        options: eval::Options,
    },
    /// Build and sign the images of all sensor boards and say whether they fit.
    Firmware {
        #[command(flatten)]
        options: firmware::Options,
    },
    /// Many simulated stations on the brokers of a city.
    Fleet {
        #[command(subcommand)]
        task: fleet::Task,
    },
    /// Run the test suites (all, if none is named) and count what passed.
    Test {
        /// Suites to run.
        suites: Vec<suites::Suite>,
        /// Only tests whose name contains this.
        #[arg(long)]
        filter: Option<String>,
        /// Seeds of the suite `power-cut`; 200 when left out.
        #[arg(long, value_name = "N")]
        seeds: Option<u64>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Setup { purpose } => match purpose {
            setup::Purpose::Build => setup::build(),
            more => setup::kit(more).map(drop),
        },
        Command::Demo { options } => demo::run(&options),
        Command::Bench {
            what,
            peers,
            seconds,
            full,
            soak,
        } => bench::run(&what, peers.as_deref(), seconds, full, soak),
        Command::Eval { options } => eval::run(&options),
        Command::Firmware { options } => firmware::images(&options).map(drop),
        Command::Fleet { task } => fleet::run(&task),
        Command::Test {
            suites,
            filter,
            seeds,
        } => suites::run(&suites, filter.as_deref(), seeds),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
