//! `cargo xtask test`: suites by name, one honest count at the end.

mod tally;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    num::NonZeroUsize,
    process::Stdio,
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{
    build, firmware,
    setup::{self, Kit, Purpose},
};
use tally::Tally;

/// One suite: a name, what it is for, and the cargo command that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// Tests beside the code of every crate.
    Unit,
    /// Examples in the documentation of the code.
    Docs,
    /// The whole product as built, against real peers, with faults at random.
    Stories,
    /// The campaign against the spool: power cuts, kills, failing system calls, by the hundred.
    /// A few of each are in `unit`, so this one runs only when it is named.
    PowerCut,
    /// The sensor node's real image in an emulator, asked by other people's masters and by ours.
    /// It needs a compiler for the part, so it runs only when it is named.
    Firmware,
}

impl Suite {
    const ALL: [Suite; 3] = [Suite::Unit, Suite::Docs, Suite::Stories];

    fn name(self) -> &'static str {
        match self {
            Suite::Unit => "unit",
            Suite::Docs => "docs",
            Suite::Stories => "stories",
            Suite::PowerCut => "power-cut",
            Suite::Firmware => "firmware",
        }
    }

    fn cargo_arguments(self) -> &'static [&'static str] {
        match self {
            Suite::Unit => &["--workspace", "--lib", "--bins", "--tests"],
            Suite::Docs => &["--workspace", "--doc"],
            // All packages are named, so that features, and so what is built, stay the same.
            Suite::Stories => &["--workspace", "--test", "stories"],
            Suite::PowerCut => &["--workspace", "--test", "power_cut"],
            Suite::Firmware => &["--workspace", "--test", "firmware"],
        }
    }
}

/// Seeds of a campaign when nothing is said.
const SEEDS: u64 = 200;

/// Runs the suites (all, if none is named) and prints the count. `seeds` is for the power cuts.
///
/// # Errors
/// Set-up or a build fails, or any test does.
pub fn run(suites: &[Suite], filter: Option<&str>, seeds: Option<u64>) -> Result<()> {
    let kit = setup::kit(Purpose::Test)?;
    let suites = if suites.is_empty() {
        &Suite::ALL[..]
    } else {
        suites
    };
    let (mut all, mut lines) = (Tally::default(), Vec::new());
    for suite in suites {
        eprintln!("\n== {} ==", suite.name());
        let begun = Instant::now();
        let tally = run_one(*suite, &kit, filter, seeds)?;
        lines.push(format!(
            "{:8} {} ({:.0} s)",
            suite.name(),
            tally,
            begun.elapsed().as_secs_f64()
        ));
        all.add(&tally);
    }
    println!();
    for line in lines {
        println!("{line}");
    }
    for reason in &all.skipped {
        println!("skipped: {reason}");
    }
    println!("{} passed, {} failed", all.passed, all.failed);
    if all.failed > 0 {
        bail!("{} tests failed", all.failed);
    }
    if all.passed == 0 {
        bail!("no test ran: is the name right?");
    }
    Ok(())
}

fn run_one(suite: Suite, kit: &Kit, filter: Option<&str>, seeds: Option<u64>) -> Result<Tally> {
    let mut command = build::cargo();
    command
        .args(["test", "--no-fail-fast"])
        .args(suite.cargo_arguments())
        .args(filter)
        // Output of tests that pass tells which of them had to be skipped.
        .args(["--", "--show-output"])
        .envs(kit.env())
        .stdout(Stdio::piped());
    match suite {
        Suite::Unit => {
            // They wait for peers and footage more than they compute.
            command.env("RUST_TEST_THREADS", (2 * cores()).to_string());
        }
        Suite::Docs => {}
        Suite::Stories => {
            command.env("WANGGE_BIN_DIR", build::tested()?);
        }
        Suite::PowerCut => {
            let seeds = seeds.unwrap_or(SEEDS).to_string();
            // Every call in its turn, until there is none.
            command
                .env("POWER_CUT_SEEDS", seeds)
                .env("NTH_CALLS", "1000");
        }
        Suite::Firmware => {
            command
                .env("WANGGE_BIN_DIR", build::shipped()?)
                .env("WANGGE_FIRMWARE", firmware::for_tests()?);
        }
    }
    let logs = wangge_tests::place::root().join("target/xtask-test");
    fs::create_dir_all(&logs)?;
    let mut log = File::create(logs.join(suite.name()).with_extension("log"))?;

    let mut child = command.spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo without an output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        writeln!(log, "{line}")?;
        if tally.read(&line) {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    tally.end(suite.name(), status.success());
    Ok(tally)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
