//! `wangge flash`.

mod reprint;

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::{Args, Subcommand, ValueEnum};
use serialport::Parity;
use wangge_protocol::node::NodeKind;

use crate::{
    adapters::{self, Adapter},
    bench::{Bench, Job, Target},
    bus::{Bus, Line},
    journal::Journal,
    label,
    lang::Lang,
    probe,
    provision::Wishes,
    selftest,
    signed::Trust,
    ui::Ui,
    wiring::{Pin, Wiring},
};

/// In place of a folder or a probe: the one that is there.
const AUTO: &str = "auto";

const OK: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;

/// Shown below `wangge flash --help`.
pub const HELP: &str = "\
For example:
  wangge flash list
  wangge flash --port /dev/ttyUSB0 --image bluepill.wgn --trust release.key \\
      --serials serials.txt --unit 17 --height-mm 1300
  wangge flash … --batch                     one board after another, without a key
  wangge flash … --simulate                  the same without a board, in QEMU
  wangge flash … --identity-only             unit id, calibration anew; the image stays
  wangge flash label --serial 1001           the label once more

A board is ready for it when BOOT0 is at 1 and RESET was pressed; docs/technician/flashing.md has
drawings. Nothing here needs a network.

Exit codes:
  0  all boards passed
  1  a board failed: it could not be written, or its self-test did not pass
  2  the command line, the image or a file is wrong; no board was touched
  3  nothing to talk to: no adapter, no board in its bootloader, no drive";

/// What to flash, and how.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FlashArgs {
    #[command(subcommand)]
    command: Option<FlashCommand>,
    #[command(flatten)]
    board: BoardArgs,
}

#[derive(Debug, Subcommand)]
enum FlashCommand {
    /// List serial adapters and debug probes.
    List {
        /// Print one JSON object instead.
        #[arg(long)]
        json: bool,
    },
    /// Write the label of a node once more, from the batch log.
    Label {
        /// Its serial number; several for several labels.
        #[arg(long, value_name = "N", required = true, value_parser = clap::value_parser!(u64).range(1..))]
        serial: Vec<u64>,
        /// Folder for labels.
        #[arg(long, value_name = "DIR", default_value = "labels")]
        labels: PathBuf,
        /// The batch log.
        #[arg(long, value_name = "FILE", default_value = "wangge-batch.csv")]
        log: PathBuf,
    },
    /// Ask a node on a bus who it is and how it fares, line by line.
    Test {
        /// Serial adapter on the node's bus.
        #[arg(long, value_name = "DEVICE")]
        bus: String,
        /// Its unit id.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=247))]
        unit: u8,
        /// Speed of the bus, baud.
        #[arg(long, default_value_t = 9_600)]
        baud: u32,
        #[arg(long, value_enum, default_value = "none")]
        parity: ParityArg,
        /// Language; by default that of the environment.
        #[arg(long, value_enum)]
        lang: Option<Lang>,
    },
}

#[derive(Debug, Args)]
struct BoardArgs {
    /// Signed image, a file that ends in .wgn.
    #[arg(help_heading = "Image", long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Signed bootloader, for parts with 128 KiB. By default the file beside the image, e.g.
    /// bluepill128-boot.wgn beside bluepill128.wgn.
    #[arg(help_heading = "Image", long, value_name = "FILE")]
    boot: Option<PathBuf>,
    /// File with a public key (64 hex digits) whose images are trusted, now and in updates; twice
    /// for two.
    #[arg(help_heading = "Image", long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Trust images of everybody's development key, too: for the bench, never for the street.
    #[arg(help_heading = "Image", long)]
    development: bool,

    /// Serial adapter, e.g. /dev/ttyUSB0; the only one, if left out.
    #[arg(help_heading = "How the board is reached", long, value_name = "DEVICE")]
    port: Option<String>,
    /// Speed of the bootloader, baud.
    #[arg(help_heading = "How the board is reached", long, value_name = "BAUD", default_value_t = 115_200, value_parser = clap::value_parser!(u32).range(1_200..=115_200))]
    speed: u32,
    /// The adapter's line that is wired to RESET.
    #[arg(
        help_heading = "How the board is reached",
        long,
        value_enum,
        value_name = "LINE"
    )]
    reset_line: Option<Pin>,
    /// The adapter's line that is wired to BOOT0.
    #[arg(
        help_heading = "How the board is reached",
        long,
        value_enum,
        value_name = "LINE"
    )]
    boot0_line: Option<Pin>,
    /// A transistor on BOOT0 turns the line's level round.
    #[arg(
        help_heading = "How the board is reached",
        long,
        requires = "boot0_line"
    )]
    boot0_inverted: bool,
    /// Use a debug probe through `probe-rs` instead; with several, VID:PID or VID:PID:SERIAL.
    #[arg(help_heading = "How the board is reached", long, value_name = "PROBE", num_args = 0..=1, default_missing_value = AUTO, conflicts_with_all = ["port", "simulate", "drive"])]
    probe: Option<String>,
    /// The program `probe-rs`, if it is not on PATH.
    #[arg(help_heading = "How the board is reached", long, value_name = "FILE", default_value = probe::PROGRAM)]
    probe_rs: OsString,
    /// Copy to an RP2040's drive instead; it is looked for if no folder is named.
    #[arg(help_heading = "How the board is reached", long, value_name = "DIR", num_args = 0..=1, default_missing_value = AUTO, conflicts_with_all = ["port", "simulate"])]
    drive: Option<PathBuf>,
    /// Do it all without a board: a simulated chip, then QEMU. Log and label say so.
    #[arg(
        help_heading = "How the board is reached",
        long,
        conflicts_with = "port"
    )]
    simulate: bool,
    /// What the simulated distance sensor sees, mm; 0 is unplugged.
    #[arg(
        help_heading = "How the board is reached",
        long,
        value_name = "MM",
        default_value_t = 800,
        requires = "simulate"
    )]
    simulate_mm: u16,

    /// Let the simulated node run until Ctrl-C, on a terminal that is named, for masters to ask it.
    #[arg(
        help_heading = "How the board is reached",
        long,
        requires = "simulate",
        conflicts_with_all = ["batch", "boards"]
    )]
    keep: bool,
    /// What the node will be, where neither the image nor its calibration says so.
    #[arg(help_heading = "What the node will be", long, value_enum)]
    kind: Option<KindArg>,
    /// Serial number of the node.
    #[arg(help_heading = "What the node will be", long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    serial: Option<u64>,
    /// File with the next free serial number; it counts up.
    #[arg(
        help_heading = "What the node will be",
        long,
        value_name = "FILE",
        conflicts_with = "serial"
    )]
    serials: Option<PathBuf>,
    /// Unit id on the bus, 1 to 247.
    #[arg(help_heading = "What the node will be", long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=247))]
    unit: u8,
    /// Speed of the node's bus, baud.
    #[arg(help_heading = "What the node will be", long)]
    baud: Option<u32>,
    /// Parity of the node's bus.
    #[arg(help_heading = "What the node will be", long, value_enum)]
    parity: Option<ParityArg>,
    /// Seconds between two measurements.
    #[arg(help_heading = "What the node will be", long, value_name = "S")]
    period: Option<u16>,
    /// From the sensor to the empty bin's floor, mm.
    #[arg(help_heading = "What the node will be", long, value_name = "MM")]
    height_mm: Option<u16>,
    /// Distance at which the bin is full, mm.
    #[arg(help_heading = "What the node will be", long, value_name = "MM")]
    full_at_mm: Option<u16>,
    /// Pulses of the meter per m³.
    #[arg(help_heading = "What the node will be", long, value_name = "N", conflicts_with_all = ["height_mm", "full_at_mm"])]
    pulses_per_m3: Option<u16>,

    /// Serial adapter on the node's bus, for the self-test; the flashing adapter, if left out.
    #[arg(
        help_heading = "Self-test, label, log",
        long,
        value_name = "DEVICE",
        conflicts_with = "simulate"
    )]
    bus: Option<String>,
    /// Leave the self-test out.
    #[arg(help_heading = "Self-test, label, log", long)]
    no_test: bool,
    /// Folder for labels.
    #[arg(
        help_heading = "Self-test, label, log",
        long,
        value_name = "DIR",
        default_value = "labels"
    )]
    labels: PathBuf,
    /// The batch log, a CSV file that rows are appended to.
    #[arg(
        help_heading = "Self-test, label, log",
        long,
        value_name = "FILE",
        default_value = "wangge-batch.csv"
    )]
    log: PathBuf,
    /// Who does it, for the log; by default the user's name.
    #[arg(help_heading = "Self-test, label, log", long, value_name = "NAME")]
    technician: Option<String>,

    /// One board after another, until Ctrl-C.
    #[arg(
        help_heading = "More than one board, and boards that were here before",
        long
    )]
    batch: bool,
    /// So many boards, one after another.
    #[arg(help_heading = "More than one board, and boards that were here before", long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "batch")]
    boards: Option<u16>,
    /// Write the identity page only; the program must be the image's already.
    #[arg(
        help_heading = "More than one board, and boards that were here before",
        long,
        conflicts_with_all = ["simulate", "drive"]
    )]
    identity_only: bool,
    /// Erase what the node stored: totals, its own set-up.
    #[arg(
        help_heading = "More than one board, and boards that were here before",
        long
    )]
    fresh: bool,
    /// Remove readout protection; the chip then erases all of its flash.
    #[arg(
        help_heading = "More than one board, and boards that were here before",
        long
    )]
    unprotect: bool,
    /// Give a chip that is in the log another serial number.
    #[arg(
        help_heading = "More than one board, and boards that were here before",
        long
    )]
    renumber: bool,
    /// Flash an image that is older than the one that the board had.
    #[arg(
        help_heading = "More than one board, and boards that were here before",
        long
    )]
    allow_older: bool,

    /// Language; by default that of the environment.
    #[arg(help_heading = "Output", long, value_enum)]
    lang: Option<Lang>,
    /// Print one JSON object when done; text goes to standard error.
    #[arg(help_heading = "Output", long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    Bin,
    Meter,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ParityArg {
    None,
    Odd,
    Even,
}

/// Does it; returns the exit code.
pub fn run(args: FlashArgs) -> u8 {
    match args.command {
        None => board(args.board),
        Some(FlashCommand::List { json }) => list(json),
        Some(FlashCommand::Label {
            serial,
            labels,
            log,
        }) => reprint::labels(&serial, &labels, &log),
        Some(FlashCommand::Test {
            bus,
            unit,
            baud,
            parity,
            lang,
        }) => {
            let parity = match parity {
                ParityArg::None => Parity::None,
                ParityArg::Odd => Parity::Odd,
                ParityArg::Even => Parity::Even,
            };
            let lang = lang.unwrap_or_else(Lang::of_environment);
            let ui = Ui::new(lang, io::stdout());
            test(&bus, unit, Line { baud, parity }, &ui)
        }
    }
}

fn complain(code: u8, reason: &str) -> u8 {
    // Where even this cannot be said, the exit code still says it.
    let _ = writeln!(io::stderr().lock(), "wangge flash: {reason}");
    code
}

fn print(text: &str) -> u8 {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(FAILED, &error.to_string())
        }
        _ => OK,
    }
}

fn board(args: BoardArgs) -> u8 {
    let (lang, json) = (args.lang.unwrap_or_else(Lang::of_environment), args.json);
    let ui = match json {
        true => Ui::new(lang, io::stderr()),
        false => Ui::new(lang, io::stdout()),
    };
    let journal = match Journal::open(&args.log) {
        Ok(journal) => journal,
        Err(error) => return complain(USAGE, &error.to_string()),
    };
    let job = match job(args) {
        Ok(job) => job,
        Err((code, reason)) => return complain(code, &reason),
    };
    // A board that was done and could not be noted would be done for nothing.
    if let Err(error) = journal.is_writable() {
        return complain(USAGE, &error.to_string());
    }
    if let Err(error) = label::make(&job.labels) {
        return complain(USAGE, &error.to_string());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let pressed = stop.clone();
    // A second Ctrl-C means it; the first lets a block end and the log be written.
    let handler = ctrlc::set_handler(move || {
        if pressed.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = handler {
        return complain(FAILED, &error.to_string());
    }
    let report = Bench::new(job, journal, ui, stop).run();
    if json {
        let _ = print(&format!("{:#}", report.json()));
    }
    report.code()
}

/// Everything that can be wrong before a board is touched.
fn job(args: BoardArgs) -> Result<Job, (u8, String)> {
    let usage = |reason: &dyn ToString| (USAGE, reason.to_string());
    let image_path = args.image.clone().ok_or_else(|| {
        usage(&"which image? Give --image FILE.wgn; `wangge flash --help` shows examples")
    })?;
    let trust = Trust::read(&args.trust, args.development).map_err(|e| usage(&e))?;
    let image = trust.open(&image_path).map_err(|e| usage(&e))?;
    // Only a bin has a height, only a meter has pulses.
    let meant = match (args.height_mm.or(args.full_at_mm), args.pulses_per_m3) {
        (Some(_), None) => Some(NodeKind::Bin),
        (None, Some(_)) => Some(NodeKind::Meter),
        _ => None,
    };
    let named = args.kind.map(NodeKind::from);
    let kind = image.kind(named.or(meant)).map_err(|e| usage(&e))?;
    let wishes = Wishes {
        unit: args.unit,
        baud: args.baud,
        parity: args.parity.map(|parity| parity as u16),
        period: args.period,
        height: args.height_mm,
        full_at: args.full_at_mm,
        pulses: args.pulses_per_m3,
    };
    wishes.values(kind).map_err(|e| usage(&e))?;
    let boot = match args.boot.clone().or_else(|| beside(&image_path)) {
        Some(path) => Some((path.clone(), trust.open(&path).map_err(|e| usage(&e))?)),
        None => None,
    };
    let boards = match (args.batch, args.boards) {
        (true, _) => None,
        (false, boards) => Some(boards.map_or(1, usize::from)),
    };
    if args.serial.is_some() && boards != Some(1) {
        return Err(usage(
            &"several boards need several numbers: give --serials FILE instead of --serial",
        ));
    }
    let target = target(&args)?;
    let user = || env::var("USER").unwrap_or_default();
    Ok(Job {
        target,
        image,
        image_path,
        boot,
        trust,
        kind,
        wishes,
        serial: args.serial,
        serials: args.serials,
        bus: args.bus,
        test: !args.no_test,
        labels: args.labels,
        technician: args.technician.unwrap_or_else(user),
        identity_only: args.identity_only,
        fresh: args.fresh,
        unprotect: args.unprotect,
        renumber: args.renumber,
        allow_older: args.allow_older,
        keep: args.keep,
        boards,
    })
}

/// The bootloader's file beside an image: `x-boot.wgn` beside `x.wgn`.
fn beside(image: &std::path::Path) -> Option<PathBuf> {
    let stem = image.file_stem()?.to_str()?;
    let path = image.with_file_name(format!("{stem}-boot.wgn"));
    path.is_file().then_some(path)
}

fn target(args: &BoardArgs) -> Result<Target, (u8, String)> {
    if args.simulate {
        return Ok(Target::Simulated {
            sees: args.simulate_mm,
        });
    }
    if let Some(probe) = &args.probe {
        return Ok(Target::Probe {
            program: args.probe_rs.clone(),
            selector: Some(probe.clone()).filter(|probe| probe != AUTO),
        });
    }
    if let Some(folder) = &args.drive {
        let named = Some(folder.clone()).filter(|folder| folder.as_os_str() != AUTO);
        return Ok(Target::Drive(named));
    }
    let port = match &args.port {
        Some(port) => port.clone(),
        None => {
            let all = adapters::list().map_err(|e| (FAILED, e.to_string()))?;
            let only = adapters::only(&all).ok_or_else(|| {
                let reason = match all.iter().any(|adapter| !adapter.usb.is_empty()) {
                    false => "no USB serial adapter is plugged in; `wangge flash list` shows what is",
                    true => "several adapters are plugged in; name one with --port (`wangge flash list`)",
                };
                (UNREACHABLE, reason.to_owned())
            })?;
            only.path.clone()
        }
    };
    Ok(Target::Serial {
        port,
        baud: args.speed,
        wiring: Wiring {
            reset: args.reset_line,
            boot0: args.boot0_line,
            is_inverted: args.boot0_inverted,
        },
    })
}

fn list(json: bool) -> u8 {
    let adapters = match adapters::list() {
        Ok(adapters) => adapters,
        Err(error) => return complain(FAILED, &error.to_string()),
    };
    let probes = probe::list(probe::PROGRAM.as_ref());
    if json {
        let probes = match &probes {
            Ok(told) => serde_json::json!({ "told": told.trim() }),
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        };
        let all = serde_json::json!({ "adapters": adapters, "probes": probes });
        return print(&format!("{all:#}"));
    }
    let mut text = "Serial adapters:\n".to_owned();
    if adapters.is_empty() {
        text += "  none; plug one in, then look at `dmesg` if it does not show up\n";
    }
    for adapter in adapters {
        let Adapter {
            path,
            usb,
            product,
            serial,
        } = adapter;
        text += format!("  {path:14} {usb:9}  {product}  {serial}").trim_end();
        text += "\n";
    }
    text += "Debug probes:\n";
    match probes {
        Ok(told) => told
            .trim()
            .lines()
            .for_each(|line| text += &format!("  {line}\n")),
        Err(error) => text += &format!("  {error}\n"),
    }
    print(text.trim_end())
}

/// A node that says who it is can be held against itself only; what its sensors say is judged.
fn test(path: &str, unit: u8, line: Line, ui: &Ui) -> u8 {
    let asked = Bus::open(path, line).and_then(|mut bus| {
        let who = selftest::Who::ask(&mut bus, unit)?;
        selftest::run(&mut bus, unit, &who.expected())
    });
    match asked {
        Ok(findings) => {
            findings.iter().for_each(|finding| ui.finding(finding));
            let failed = findings
                .iter()
                .any(|f| f.verdict == selftest::Verdict::Fail);
            u8::from(failed)
        }
        Err(error) => complain(UNREACHABLE, &error.to_string()),
    }
}

impl From<KindArg> for NodeKind {
    fn from(kind: KindArg) -> NodeKind {
        match kind {
            KindArg::Bin => NodeKind::Bin,
            KindArg::Meter => NodeKind::Meter,
        }
    }
}

#[cfg(test)]
mod tests;
