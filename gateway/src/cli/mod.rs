//! The command line: what can be asked for, and the exit code of each answer.

mod audit;
mod calendar;
mod check;
mod conformance;
mod digest;
mod draw;
mod ground;
mod node;
mod profile;
mod replay;
mod run;
mod seal;
mod shadow;
mod spool;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod verdicts;
mod verify;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    config::{self, Camera, Config},
    simulate,
};

/// It worked.
pub const OK: u8 = 0;
/// It did not; `status` found the gateway refusing work, `spool check` or `export` found damage.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong (clap uses the same code).
pub const USAGE: u8 = 2;
/// `status`: no gateway answers.
pub const UNREACHABLE: u8 = 3;

/// Where a package puts the station's file.
const CONFIG: &str = "/etc/wangge/station.toml";

const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  it failed; `status`: the gateway refuses work; `spool check`: damage was found;
     `spool export`: something could not be read
  2  the command line or the configuration is wrong
  3  `status`: no gateway answers";

const DRAW_HELP: &str = "\
For example:
  wangge draw --config station.toml --camera gate      writes gate.html
  wangge draw --config station.toml --camera gate --still main-stream.jpg --out gate-points.html

Exit codes:
  0  the page is written
  1  the camera shows nothing, or the page cannot be written
  2  the command line or the configuration is wrong";

const REPLAY_HELP: &str = "\
Trying zones on yesterday's recording:
  1. take an hour of it from the recorder, e.g. gate-1800.mp4
  2. write the camera and its zones into station.toml; `wangge check` says what is wrong
  3. wangge replay gate-1800.mp4 --camera gate --config station.toml \\
         --start 2026-03-01T18:00:00+08:00 --pictures tried/
  4. look at tried/: each picture shows the zone and the box; move the zone, lengthen `dwell`
     or add `fixtures`, and play it again

The scene is learnt in the first seconds: what lies there from the beginning is taken to belong
there, so begin a recording before the thing that should be found.

Exit codes:
  0  the recording was played to its end, whether or not there were alerts
  1  a clip cannot be read, or the picture analysis failed
  2  the command line or the configuration is wrong";

const VERIFY_HELP: &str = "\
For example:
  wangge identity --config station.toml > stations.keys
  wangge verify --keys stations.keys /var/lib/platform/events.jsonl

Exit codes:
  0  everything that is there is whole
  1  a link is broken: altered, removed, unsigned, a picture missing or swapped
  2  the command line is wrong, or a file or key cannot be read";

const FIRST_STEPS: &str = "\
First steps:
  wangge config sample > station.toml      a file to start from, explained
  wangge check --config station.toml       says everything that is wrong with it
  wangge draw --camera ID                  draws a camera's zones in a browser
  wangge replay CLIP --camera ID           tries a camera's zones on a recording
  wangge run --config station.toml         runs the station
  wangge status                            asks the running gateway

Exit codes:
  0 worked   1 failed   2 wrong command line or configuration   3 no gateway answers";

/// Edge gateway of a community station: bins, water meters and cameras in, alerts with their
/// pictures out.
#[derive(Debug, Parser)]
#[command(name = "wangge", version, after_help = FIRST_STEPS)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the station until SIGTERM or Ctrl-C.
    ///
    /// Stops in order: sources, rules, delivery, disk. A second signal exits at once; what is
    /// not delivered stays on disk.
    #[command(after_help = EXIT_CODES)]
    Run {
        #[command(flatten)]
        file: File,
        /// Log one JSON object a line, for a log collector.
        ///
        /// RUST_LOG chooses what is logged, e.g. RUST_LOG=debug or RUST_LOG=wangge::source=trace.
        #[arg(long)]
        log_json: bool,
    },
    /// Say everything that is wrong with a configuration, with line and advice.
    ///
    /// Reads certificates, keys and the model too, and tries whether the storage can be
    /// written: run it as the user that the gateway runs as.
    #[command(after_help = EXIT_CODES)]
    Check {
        #[command(flatten)]
        file: File,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Draw zones, masks and taped points over a camera's view, in a browser.
    ///
    /// Opens the camera as the station would and writes a page with its picture, on which people
    /// and number plates are made unrecognisable. Works offline, in any browser, in Chinese and
    /// English; the page says what to write into the station's file.
    #[command(after_help = DRAW_HELP)]
    Draw(draw::DrawArgs),
    /// Say how exactly a camera's taped points measure metres on the ground.
    ///
    /// For the shop-front line: what is left of each point's error, the error along the line,
    /// and a picture to look at.
    #[command(after_help = EXIT_CODES)]
    Ground(ground::GroundArgs),
    /// Print what helps to write a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at when zones may be used.
    #[command(subcommand)]
    Calendar(CalendarCommand),
    /// Look after the undelivered alerts on disk.
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Read the log of deleted and sealed pictures.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make a key that originals of pictures can be sealed for; not on the gateway.
    ///
    /// Writes the secret half to a new file and prints the public half, which goes into the
    /// station's file as `[privacy] sealed_original = { recipient = "…", keep = "72h" }`.
    SealKey {
        /// Where the secret half goes; lose it, and nobody opens what was sealed.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Open a sealed original with the secret half of its key; not on the gateway.
    Unseal {
        /// File with the secret half.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The sealed file, from `sealed/` in the station's storage.
        picture: PathBuf,
        /// Where the JPEG goes, a new file; standard output when left out.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the station's id and public key, for the platform to register.
    ///
    /// As a line for `wangge verify --keys`. The key is made when the station first starts.
    #[command(after_help = EXIT_CODES)]
    Identity {
        #[command(flatten)]
        file: File,
        /// Print one JSON object instead.
        #[arg(long, conflicts_with = "pem")]
        json: bool,
        /// Print the public key in PEM instead.
        #[arg(long)]
        pem: bool,
        /// Make a new key first, for which the present one signs. The station must be stopped.
        #[arg(long)]
        rotate: bool,
    },
    /// Prove stored alerts and pictures: nothing altered, removed, put in or swapped.
    ///
    /// Needs no network and no gateway, only what a platform stored and the stations' public
    /// keys. Names the first broken link.
    #[command(after_help = VERIFY_HELP)]
    Verify(verify::Verified),
    /// What became of the alerts of the last days, by kind and tier.
    ///
    /// Asks the running gateway, which keeps the figures of two months.
    #[command(after_help = EXIT_CODES)]
    Digest {
        #[command(flatten)]
        file: File,
        /// First day, e.g. 2026-11-20; a week back when left out.
        #[arg(long, value_name = "DATE")]
        since: Option<String>,
        #[arg(long, value_enum, default_value = "text")]
        format: digest::Format,
    },
    /// Look at a platform profile: the receiving platform's words and requests.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Compare what is only tried with what alerts.
    #[command(subcommand)]
    Shadow(ShadowCommand),
    /// Ask the running gateway how it is.
    #[command(after_help = EXIT_CODES)]
    Status {
        /// Station's file, to find the console's address in.
        #[arg(long, value_name = "FILE", conflicts_with = "url")]
        config: Option<PathBuf>,
        /// The console's address; http://127.0.0.1:9464 when neither is given.
        #[arg(long)]
        url: Option<String>,
        /// Print the JSON as the gateway sends it.
        #[arg(long)]
        json: bool,
    },
    /// What the platform decided about alerts, and how right the rules were by it.
    ///
    /// Asks the running gateway. The share of alerts that were right stands with its interval: 95
    /// of 100 such intervals hold the truth, and few verdicts make it wide.
    #[command(after_help = EXIT_CODES)]
    Verdicts {
        /// Station's file, to find the console's address in.
        #[arg(long, value_name = "FILE", conflicts_with = "url")]
        config: Option<PathBuf>,
        /// The console's address; http://127.0.0.1:9464 when neither is given.
        #[arg(long)]
        url: Option<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Play a recording through a camera's zones and rules and show the alerts it would raise.
    ///
    /// Looks at the recording as fast as the machine can, with the station's own model, zones,
    /// dwell times and masks, and prints what the station would have sent and when. Nothing is
    /// stored or delivered, and a running gateway is not disturbed.
    #[command(after_help = REPLAY_HELP)]
    Replay(replay::Replayed),
    /// Play a station against any receiver and say which clauses of the contract it keeps.
    #[command(after_help = conformance::HELP)]
    Conformance(conformance::Args),
    /// Flash, provision, test and label sensor nodes: the technician's bench.
    ///
    /// From a bare board to a node with a signed image, its identity, a self-test, a label and a
    /// row in the batch log. Works offline.
    #[command(after_help = wangge_flash::cli::HELP)]
    Flash(Box<wangge_flash::cli::FlashArgs>),
    /// Sensor nodes of our own: who they are, and new images for them.
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Play devices that speak real MQTT or Modbus, to try a station without any.
    Simulate(simulate::Args),
    /// Print completions for a shell.
    ///
    /// For example: wangge completion bash > /etc/bash_completion.d/wangge
    Completion { shell: Shell },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// A file to start from, with an explanation of every table.
    Sample,
    /// The JSON Schema of the file, for editors.
    ///
    /// With taplo or Even Better TOML, make this the file's first line:
    /// #:schema ./station.schema.json
    Schema,
}

#[derive(Debug, Subcommand)]
enum CalendarCommand {
    /// Each zone's times, day by day: windows, permits, set-up and take-down.
    ///
    /// Reads the file of permits too. For example: wangge calendar show --zone gate/stall --from
    /// 2026-10-01 --days 7
    #[command(after_help = EXIT_CODES)]
    Show {
        #[command(flatten)]
        file: File,
        /// One zone as CAMERA/ZONE; all of them when left out.
        #[arg(long)]
        zone: Option<String>,
        /// First day, e.g. 2026-10-01; today when left out.
        #[arg(long, value_name = "DATE")]
        from: Option<String>,
        /// How many days.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=calendar::MAX_DAYS))]
        days: u16,
    },
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    /// Verify every record and picture; the gateway must not run.
    #[command(after_help = EXIT_CODES)]
    Check {
        #[command(flatten)]
        storage: Storage,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Write what is not delivered to files, also from a damaged disk; the gateway must not run.
    ///
    /// Each message and picture becomes a file, and index.jsonl says what each is. Only reads the
    /// spool: mount a failing disk read-only first. Needs room for a copy of the database besides.
    #[command(after_help = EXIT_CODES)]
    Export {
        #[command(flatten)]
        storage: Storage,
        /// A directory that is empty or does not exist yet, on another disk if this one fails.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Print every entry, the oldest first.
    Show {
        #[command(flatten)]
        storage: Storage,
    },
    /// Say whether any entry was changed, taken out or put in.
    ///
    /// Prints the hash of the newest entry: note it elsewhere, and give it with --head later, to
    /// notice a log that was replaced as a whole.
    #[command(after_help = EXIT_CODES)]
    Verify {
        #[command(flatten)]
        storage: Storage,
        /// Hash of an entry that must be there.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ProfileCommand {
    /// Say everything that is wrong with a profile, with lines.
    ///
    /// Its requests are tried on sample alerts of every kind.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The profile's file, or the name of one that ships with the gateway.
        profile: PathBuf,
    },
    /// Show what a profile's `[push]` would send for a sample alert.
    ///
    /// For example: wangge profile render our-city.toml --kind illegal_dumping
    #[command(after_help = EXIT_CODES)]
    Render {
        /// The profile's file, or the name of one that ships with the gateway.
        profile: PathBuf,
        /// Kind of the sample alert, e.g. illegal_dumping.
        #[arg(long)]
        kind: String,
        /// What the sample says.
        #[arg(long, value_enum, default_value = "raised")]
        state: profile::State,
        /// The platform's address, to see whole URLs.
        #[arg(long, default_value = "https://platform.example")]
        url: String,
    },
}

#[derive(Debug, Args)]
struct Storage {
    /// The storage directory, instead of a station's file.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    path: Option<PathBuf>,
    #[command(flatten)]
    file: File,
}

#[derive(Debug, Subcommand)]
enum ShadowCommand {
    /// What a shadow model or shadow zones would have alerted, per zone and day.
    ///
    /// Reads the ledger in the storage directory; the gateway may run. An alert is counted when
    /// it is over.
    #[command(after_help = EXIT_CODES)]
    Report {
        #[command(flatten)]
        file: File,
        /// Calendar days, today included.
        #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=365))]
        days: u16,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct File {
    /// The station's file.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
}

impl Cli {
    /// Does what was asked for.
    pub fn execute(self) -> ExitCode {
        let code = match self.command {
            Command::Run { file, log_json } => run::run(&file.config, log_json),
            Command::Check { file, json } => check::check(&file.config, json),
            Command::Draw(args) => draw::draw(&args),
            Command::Ground(args) => ground::ground(&args),
            Command::Config(ConfigCommand::Sample) => print(config::sample()),
            Command::Config(ConfigCommand::Schema) => print(&format!("{:#}\n", config::schema())),
            Command::Calendar(CalendarCommand::Show {
                file,
                zone,
                from,
                days,
            }) => calendar::show(&file.config, zone.as_deref(), from.as_deref(), days),
            Command::Spool(SpoolCommand::Check { storage, json }) => {
                spool::check(storage.path.as_deref(), &storage.file.config, json)
            }
            Command::Spool(SpoolCommand::Export { storage, out, json }) => {
                spool::export(storage.path.as_deref(), &storage.file.config, &out, json)
            }
            Command::Audit(AuditCommand::Show { storage }) => {
                audit::show(storage.path.as_deref(), &storage.file.config)
            }
            Command::Audit(AuditCommand::Verify { storage, head }) => audit::verify(
                storage.path.as_deref(),
                &storage.file.config,
                head.as_deref(),
            ),
            Command::SealKey { out } => seal::key(&out),
            Command::Unseal { key, picture, out } => seal::unseal(&key, &picture, out.as_deref()),
            Command::Identity {
                file,
                json,
                pem,
                rotate,
            } => verify::identity(&file.config, json, pem, rotate),
            Command::Verify(args) => verify::verify(&args),
            Command::Digest {
                file,
                since,
                format,
            } => digest::digest(&file.config, since.as_deref(), format),
            Command::Profile(ProfileCommand::Check { profile }) => profile::check(&profile),
            Command::Profile(ProfileCommand::Render {
                profile,
                kind,
                state,
                url,
            }) => profile::render(&profile, &kind, state, &url),
            Command::Shadow(ShadowCommand::Report { file, days, json }) => {
                shadow::report(&file.config, days, json)
            }
            Command::Status { config, url, json } => {
                status::status(config.as_deref(), url.as_deref(), json)
            }
            Command::Verdicts { config, url, json } => {
                verdicts::verdicts(config.as_deref(), url.as_deref(), json)
            }
            Command::Replay(args) => replay::replay(args),
            Command::Conformance(args) => conformance::conformance(args),
            Command::Flash(args) => wangge_flash::cli::run(*args),
            Command::Node(command) => node::node(command),
            Command::Simulate(args) => run::simulate(args),
            Command::Completion { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "wangge", &mut script);
                print(&String::from_utf8_lossy(&script))
            }
        };
        ExitCode::from(code)
    }
}

/// The storage directory that was given, or the one of the station's file.
fn storage_path(path: Option<&Path>, config_file: &Path) -> Result<PathBuf, u8> {
    match path {
        Some(path) => Ok(path.to_path_buf()),
        None => match config::load(config_file) {
            Ok(config) => Ok(config.storage.path),
            Err(faults) => {
                complain(&format!("the configuration cannot be used\n\n{faults}"));
                Err(USAGE)
            }
        },
    }
}

/// Prints to standard output; a reader that has gone, as in `| head`, is no failure.
fn print(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(&error.to_string()),
        _ => OK,
    }
}

/// The camera of this id in the station's file.
fn camera<'c>(config: &'c Config, file: &Path, id: &str) -> Result<&'c Arc<Camera>, String> {
    let found = config.cameras.iter().find(|c| *c.id == *id);
    found.ok_or_else(|| {
        let known: Vec<&str> = config.cameras.iter().map(|c| &*c.id).collect();
        let known = match known.as_slice() {
            [] => "none".to_owned(),
            ids => ids.join(", "),
        };
        format!("no camera \"{id}\" in {}; it has {known}", file.display())
    })
}

/// Says on standard error why it failed.
fn complain(reason: &str) -> u8 {
    // Where even this cannot be said, the exit code still says it.
    let _ = writeln!(io::stderr().lock(), "wangge: {}", reason.trim_end());
    FAILED
}
