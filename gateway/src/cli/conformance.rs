//! `wangge conformance`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{FAILED, OK, UNREACHABLE, USAGE, complain, print};
use crate::{
    config::{Credentials, Tls},
    conformance::{self, ConformanceError, Options, Run, Target},
};

pub(super) const HELP: &str = "\
For example:
  wangge conformance --target https://city.example/wangge --ca city-ca.pem --token-file token
  wangge conformance --target mqtts://broker.city.example --username test --password-file pass

Each clause of the receiver contract (docs/operator/receiver.md) is named by its number, with what
was sent, what came back and what the contract asks for where it does not hold. The messages are
alerts of severity info from the device conformance-test; throw them away afterwards.

Whether what was acknowledged outlives a restart (C-3) takes two runs:
  wangge conformance --target … --notes run.json
  … kill the receiver, start it again …
  wangge conformance --target … --after-restart run.json

Exit codes:
  0  every clause that must hold, and was tried, holds
  1  one that must hold does not
  2  the command line is wrong
  3  the receiver cannot be reached";

/// Whom to try.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The receiver: https://HOST[:PORT][/PATH] or mqtts://BROKER[:PORT]; also http:// and mqtt://.
    #[arg(long, value_name = "URL")]
    target: String,
    /// File with the bearer token that requests over HTTPS bring.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// CA of the receiver or broker, PEM; the system's trust store when left out.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Client certificate chain, PEM, where the receiver asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// User name at the broker.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// File with the password at the broker.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Topic prefix of the station; wangge/v1/STATION when left out.
    #[arg(long, value_name = "TOPIC")]
    prefix: Option<String>,
    /// The station that is played.
    #[arg(long, default_value = "conformance")]
    station: String,
    /// How long to wait for each answer, seconds; a station waits 20.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    patience: u64,
    /// Note what was acknowledged, for --after-restart.
    #[arg(long, value_name = "FILE", conflicts_with = "after_restart")]
    notes: Option<PathBuf>,
    /// Only try whether what this file notes outlived the receiver's restart.
    #[arg(long, value_name = "FILE")]
    after_restart: Option<PathBuf>,
    /// Print one JSON object at the end instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn conformance(args: Args) -> u8 {
    let json = args.json;
    let options = match options(args) {
        Ok(options) => options,
        Err(reason) => {
            complain(&reason);
            return USAGE;
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.to_string()),
    };
    let report = runtime.block_on(conformance::run(&options, |lines| {
        if !json {
            print(lines);
        }
    }));
    match report {
        Ok(report) => {
            let text = match json {
                true => format!("{:#}\n", report.json()),
                false => report.summary(),
            };
            match print(&text) {
                OK if report.holds() => OK,
                _ => FAILED,
            }
        }
        Err(error) => {
            complain(&error.to_string());
            match error {
                ConformanceError::Unreachable(_) => UNREACHABLE,
                _ => USAGE,
            }
        }
    }
}

fn options(args: Args) -> Result<Options, String> {
    let token = args.token_file.as_deref().map(secret).transpose()?;
    let login = match (args.username, args.password_file) {
        (Some(username), Some(file)) => Some(Credentials {
            username,
            password: secret(&file)?,
        }),
        _ => None,
    };
    let tls = Tls {
        ca_file: args.ca,
        client: args.cert.zip(args.key),
    };
    if args.station.is_empty() || args.station.contains(['/', '+', '#', '\0']) {
        return Err("--station: a name without /, + and # is expected".to_owned());
    }
    let target = Target::new(&args.target, &args.station, args.prefix, tls, token, login)
        .map_err(|e| e.to_string())?;
    Ok(Options {
        target,
        station: args.station,
        patience: Duration::from_secs(args.patience),
        run: match args.after_restart {
            Some(notes) => Run::AfterRestart { notes },
            None => Run::All { notes: args.notes },
        },
    })
}

fn secret(file: &Path) -> Result<String, String> {
    match fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => Err(format!("{}: is empty", file.display())),
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(e) => Err(format!("{}: {e}", file.display())),
    }
}
