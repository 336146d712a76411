//! `wangge verify` and `wangge identity`.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use clap::Args;

use super::{FAILED, OK, USAGE, complain, print};
use crate::{
    config,
    proof::{
        Identity, PublicKey, handover,
        key::KeyError,
        keys::Keys,
        read,
        verify::{Report, Verifier},
    },
    spool,
};

/// Faults that are printed; the rest are counted.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Verified {
    /// What was stored: the receiver's events.jsonl or its directory, files with one message
    /// each, or what `wangge spool export` wrote.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The station's public key: its base64, or a PEM file.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// File with a line `STATION KEY` for each station, as `wangge identity` prints it.
    #[arg(long, value_name = "FILE", required_unless_present = "key")]
    keys: Option<PathBuf>,
    /// Directory with the pictures; `evidence/` beside events.jsonl when left out.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Hash of a message that must be there, noted from an earlier run: finds what is missing at
    /// the end.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    head: Vec<String>,
    /// The files hold a part of what was sent: do not miss what came before.
    #[arg(long)]
    part: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

fn hash(text: &str) -> Result<String, String> {
    let fits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match fits {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a hash has 64 hex digits".to_owned()),
    }
}

pub(super) fn verify(args: &Verified) -> u8 {
    let keys = match keys(args) {
        Ok(keys) => keys,
        Err(reason) => return usage(&reason),
    };
    let beside = args
        .files
        .iter()
        .find_map(|file| read::pictures_beside(file));
    let dir = args.pictures.clone().or(beside);
    if let Some(dir) = &args.pictures
        && !dir.is_dir()
    {
        return usage(&format!("{}: is no directory", dir.display()));
    }
    let mut look;
    let mut pictures: Option<&mut dyn FnMut(&str) -> _> = None;
    if let Some(dir) = &dir {
        look = |sha: &str| read::picture(dir, sha);
        pictures = Some(&mut look);
    }
    let mut verifier = Verifier::new(&keys, pictures);
    args.head.iter().for_each(|head| verifier.head(head));
    if args.part {
        verifier.part();
    }
    for file in &args.files {
        if let Err(error) = read::read(file, &mut verifier) {
            return usage(&error.to_string());
        }
    }
    let report = verifier.finish();
    let text = match args.json {
        true => format!(
            "{:#}\n",
            serde_json::json!({ "whole": report.is_whole(), "report": report })
        ),
        false => show(&report, dir.as_deref()),
    };
    match print(&text) {
        OK if report.is_whole() => OK,
        _ => FAILED,
    }
}

fn usage(reason: &str) -> u8 {
    complain(reason);
    USAGE
}

fn keys(args: &Verified) -> Result<Keys, String> {
    let mut keys = Keys::default();
    if let Some(file) = &args.keys {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|e| format!("{}: {e}", file.display()))?;
        keys = Keys::parse(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    if let Some(key) = &args.key {
        let text = match Path::new(key).is_file() {
            true => std::fs::read_to_string(key).map_err(|e| format!("{key}: {e}"))?,
            false => key.clone(),
        };
        let public = PublicKey::from_str(&text);
        let public =
            public.map_err(|e| format!("--key is neither a key nor a file with one: {e}"))?;
        keys.add(None, public);
    }
    Ok(keys)
}

fn show(report: &Report, pictures: Option<&Path>) -> String {
    let mut text = String::new();
    for fault in report.faults.iter().take(SHOWN) {
        let of = match (&fault.station, fault.sequence) {
            (Some(station), Some(sequence)) => format!(" (station {station}, sequence {sequence})"),
            (Some(station), None) => format!(" (station {station})"),
            _ => String::new(),
        };
        text += &format!("BROKEN at {}{of}: {}\n", fault.place, fault.text);
    }
    if report.faults.len() > SHOWN {
        text += &format!("and {} more\n", report.faults.len() - SHOWN);
    }
    for chain in &report.chains {
        text += &format!(
            "station {}, key {}: sequence {} to {}, newest {}\n",
            chain.station, chain.keyid, chain.first, chain.last, chain.head
        );
    }
    for note in &report.notes {
        text += &format!("note: {note}\n");
    }
    text += &match pictures {
        Some(dir) => format!(
            "{} pictures looked at in {}\n",
            report.pictures,
            dir.display()
        ),
        None => "pictures were not looked at: give --pictures DIR\n".to_owned(),
    };
    if report.small_only > 0 {
        text += &format!(
            "{} pictures are here as their small ones alone: the line did not bring the full ones, or they were removed\n",
            report.small_only
        );
    }
    let verdict = match report.faults.first() {
        None => "whole".to_owned(),
        Some(first) => format!("NOT WHOLE, first at {}", first.place),
    };
    text + &format!(
        "{} messages, {} of them sealed, {} of kinds that are not: {verdict}\n",
        report.messages, report.sealed, report.others
    )
}

/// `json` and `pem` choose another form; `rotate` makes a new key first.
pub(super) fn identity(config_file: &Path, json: bool, pem: bool, rotate: bool) -> u8 {
    let config = match config::load(config_file) {
        Ok(config) => config,
        Err(faults) => return usage(&format!("the configuration cannot be used\n\n{faults}")),
    };
    let (storage, station) = (&config.storage.path, &config.station.id);
    let identity = match rotate {
        false => Identity::read(storage),
        true => match spool::lock(storage) {
            Ok(_held) => handover::rotate(storage, station),
            Err(error) => return complain(&format!("{error}\nstop the station first")),
        },
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            let hint = match &error {
                KeyError::Io { error, .. } if error.kind() == ErrorKind::NotFound => {
                    "\nthe key is made when the station first starts"
                }
                KeyError::Io { .. } => "\nrun this as the user that the station runs as",
                _ => "",
            };
            return complain(&format!("{error}{hint}"));
        }
    };
    let public = identity.public();
    if json {
        let known = serde_json::json!({
            "station": station,
            "keyid": identity.id(),
            "algorithm": "Ed25519",
            "public": public.to_string(),
            "pem": public.pem(),
            "lines": lines(station, &identity),
        });
        return print(&format!("{known:#}\n"));
    }
    match pem {
        true => print(&public.pem()),
        false => {
            let lines = lines(station, &identity).join("\n");
            print(&format!("# key {}\n{lines}\n", identity.id()))
        }
    }
}

/// The lines for the list of `wangge verify`.
fn lines(station: &str, identity: &Identity) -> Vec<String> {
    let list = &identity.lineage().list;
    match list.is_empty() {
        true => vec![format!("{station} {}", identity.public())],
        false => list.lines().map(str::to_owned).collect(),
    }
}
