//! `cargo xtask eval vision`: whole clips with a written ground truth through the real pipeline.
//!
//! A scenario is a TOML file under `tests/evaluation/scenarios`, or `blind` beside it: what is to
//! be seen, the zones, and what must be told. `clips` makes its video, `wangge replay` plays it,
//! `judge` compares.

mod clips;
mod judge;
mod play;
mod report;
mod scenario;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::{
    build,
    setup::{self, Purpose},
};
use scenario::Scenario;

/// What can be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Stories, encroachment and camera health, from recordings.
    Vision,
}

/// How.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What is evaluated.
    what: What,
    /// Only the scenarios marked `quick`.
    #[arg(long)]
    quick: bool,
    /// Only scenarios whose name contains this; may be given again.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The long recordings in which nothing happens, instead of the scenarios.
    #[arg(long, conflicts_with = "quick")]
    quiet_hours: bool,
    /// The blind set instead: scenarios unlike those that the programs were made with.
    #[arg(long, conflicts_with_all = ["quick", "quiet_hours"])]
    blind: bool,
    /// Write the results into this Markdown file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Folder with `footage/` (Intel's sample clips) and `trashbags/` (labelled pictures).
    #[arg(long, value_name = "FOLDER", default_value = "../shared/data")]
    data: PathBuf,
    /// Keep every alert's pictures here, a folder a scenario.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Folder with `wangge` and `wangge-vision`, instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Replays at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Share of events that must be found.
const FLOOR: f64 = 0.9;
/// False alarms that the short scenarios may have together, per ten of them.
const FALSE_PER_TEN: f64 = 1.0;
/// False alarms per camera-day that the quiet hours may have.
const FALSE_PER_DAY: f64 = 1.0;

/// Runs the scenarios and prints what became of them.
///
/// # Errors
/// Set-up, the build or a replay fails, or too few events were found, or too much was false.
pub fn run(options: &Options) -> Result<()> {
    let scenarios = chosen(options)?;
    let data = if options.data.is_absolute() {
        options.data.clone()
    } else {
        wangge_tests::place::root().join(&options.data)
    };
    ensure!(
        data.join("footage").is_dir() && data.join("trashbags").is_dir(),
        "{} holds no footage/ and trashbags/: name their folder with --data",
        data.display()
    );
    let kit = setup::kit(Purpose::Test)?;
    let python = setup::evaluation_python()?;
    let programs = match &options.programs {
        Some(folder) => std::path::absolute(folder)?,
        None => build::shipped()?,
    };
    let (ready, mut skipped) = scenario::usable(scenarios, &programs)?;
    let examples = match ready.iter().any(|s| s.blind) {
        true => Some(setup::examples()?),
        false => None,
    };
    let sources = clips::Sources {
        python,
        carpark: kit.footage.join("vtest-h264.mp4"),
        data,
        examples,
    };
    let clips = clips::ensure(&ready, &sources)?;
    let begun = std::time::Instant::now();
    let player = play::Player {
        programs,
        kit,
        pictures: options.pictures.clone(),
    };
    let mut results = play::all(&player, ready.iter().zip(&clips), options.jobs.max(1))?;
    results.sort_by(|a, b| a.name.cmp(&b.name));
    skipped.sort();
    let report = report::Report::new(&results, &skipped, begun.elapsed());
    print!("{}", report.text());
    if let Some(file) = &options.report {
        std::fs::write(file, report.markdown(&origin(options)))
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("written: {}", file.display());
    }
    report.judge(options.quiet_hours)
}

/// When, of what and where the results are: a number without these is none.
fn origin(options: &Options) -> String {
    // Folders of this machine are nobody's business.
    let mut command = "cargo xtask eval vision".to_owned();
    for (given, flag) in [
        (options.quick, " --quick"),
        (options.quiet_hours, " --quiet-hours"),
        (options.blind, " --blind"),
    ] {
        command.push_str(if given { flag } else { "" });
    }
    for only in &options.only {
        command.push_str(&format!(" --only {only}"));
    }
    let builds = match options.programs {
        Some(_) => ", with programs built elsewhere",
        None => "",
    };
    let said = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program)
            .args(arguments)
            .current_dir(wangge_tests::place::root())
            .output();
        output.map_or(String::new(), |o| {
            String::from_utf8_lossy(&o.stdout).trim().to_owned()
        })
    };
    let changed = match said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() {
        true => "",
        false => " with changes",
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Made on {} from commit {}{changed} on {cores} cores ({model}) by `{command}`{builds}.",
        jiff::Zoned::now().date(),
        said("git", &["rev-parse", "--short", "HEAD"]),
    )
}

fn chosen(options: &Options) -> Result<Vec<Scenario>> {
    let mut all = scenario::all()?;
    all.retain(|s| {
        let named = options
            .only
            .iter()
            .any(|only| s.name.contains(only.as_str()));
        if options.only.is_empty() {
            s.blind == options.blind
                && s.quiet == options.quiet_hours
                && (s.quick || !options.quick)
        } else {
            named
        }
    });
    if all.is_empty() {
        bail!(
            "no such scenario; they lie in {}",
            scenario::folder().display()
        );
    }
    Ok(all)
}
