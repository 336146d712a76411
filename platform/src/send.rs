//! `wangge-platform key` and `wangge-platform send`: what a person decides, put into the outbox
//! of a store; the receiver that runs on this store passes it on.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand, ValueEnum};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use wangge_protocol::{Command, CommandVerb, Verdict, VerdictStatus};

use crate::{outbox::Outbox, sha256};

/// What to do instead of receiving.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a key that signs commands; prints the line for a station's `[commands] keys`.
    Key {
        /// Where the secret half goes (PKCS #8), a new file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Send a verdict or a command to a station, by the receiver that runs on the same store.
    Send(Send),
}

/// See [`Action::Send`].
#[derive(Debug, Args)]
pub struct Send {
    /// The running receiver's store.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// The station's id.
    #[arg(long, value_name = "ID")]
    station: String,
    /// Id of the verdict or command; a new one when left out. The same id has the same effect
    /// once.
    #[arg(long)]
    id: Option<String>,
    /// Who decided: a role or a unit.
    #[arg(long)]
    by: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What was decided about an alert.
    Verdict {
        /// The alert's id.
        #[arg(long)]
        alert: String,
        #[arg(long)]
        status: Status,
        /// Why; a rejection must have one.
        #[arg(long, required_if_eq("status", "rejected"))]
        reason: Option<String>,
        /// Number of the case.
        #[arg(long)]
        case_no: Option<String>,
        /// SHA-256 of a picture of the place after it was dealt with.
        #[arg(long, value_name = "SHA256")]
        picture: Option<String>,
        /// When it was decided, RFC 3339 in UTC; now when left out. The latest decision stands.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Have the station read its own file again.
    Reload(Signed),
    /// Have a picture of a zone taken now.
    Picture {
        #[arg(long)]
        camera: String,
        #[arg(long)]
        zone: String,
        #[command(flatten)]
        signed: Signed,
    },
    /// Hold one rule of a device or camera back.
    Silence {
        /// Device or camera.
        #[arg(long)]
        device: String,
        #[arg(long)]
        rule: String,
        /// RFC 3339 in UTC; a time that has passed ends a silence.
        #[arg(long, value_name = "TIME")]
        until: String,
        #[command(flatten)]
        signed: Signed,
    },
}

#[derive(Debug, Args)]
struct Signed {
    /// Secret half of a key that the station knows, from `wangge-platform key`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How long the command may be carried out, seconds.
    #[arg(long, value_name = "S", default_value_t = 600)]
    valid: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    Accepted,
    Rejected,
    Filed,
    Resolved,
    Closed,
}

/// Does it, and says what was done.
///
/// # Errors
/// A file that cannot be read or written, a key that is none.
pub fn act(action: Action) -> anyhow::Result<String> {
    match action {
        Action::Key { out } => key(&out),
        Action::Send(send) => send.put(),
    }
}

fn key(out: &Path) -> anyhow::Result<String> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| anyhow::anyhow!("no randomness"))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .with_context(|| format!("{}: cannot be created", out.display()))?;
    file.write_all(pkcs8.as_ref())?;
    file.sync_all()?;
    Ok(URL_SAFE_NO_PAD.encode(pair(out)?.public_key()))
}

fn pair(file: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let bytes = fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes)
        .map_err(|e| anyhow::anyhow!("{}: {e}", file.display()))
}

/// Signs a command, whose `keyid` and `signature` may be anything before.
pub fn sign(mut command: Command, pair: &Ed25519KeyPair) -> Command {
    let hash = sha256(pair.public_key().as_ref());
    command.keyid = hash.chars().take(16).collect();
    command.signature = URL_SAFE_NO_PAD.encode(pair.sign(command.signed_text().as_bytes()));
    command
}

impl Send {
    fn put(self) -> anyhow::Result<String> {
        if !self.store.is_dir() {
            bail!("{}: no receiver has a store here", self.store.display());
        }
        let outbox = Outbox::of(&self.store);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let id = match self.id {
            Some(id) => id,
            None => URL_SAFE_NO_PAD.encode(
                ring::rand::generate::<[u8; 16]>(&SystemRandom::new())
                    .map_err(|_| anyhow::anyhow!("no randomness"))?
                    .expose(),
            ),
        };
        let command = |verb, signed: Signed| -> anyhow::Result<_> {
            let command = Command {
                id: id.clone(),
                station: self.station.clone(),
                command: verb,
                device: None,
                zone: None,
                rule: None,
                until: None,
                by: self.by.clone(),
                not_after: rfc3339(now + Duration::from_secs(signed.valid)),
                keyid: String::new(),
                signature: String::new(),
            };
            Ok((command, pair(&signed.key)?))
        };
        let (command, pair) = match self.what {
            What::Verdict {
                alert,
                status,
                reason,
                case_no,
                picture,
                at,
            } => {
                let verdict = Verdict {
                    id: id.clone(),
                    alert_id: alert,
                    status: match status {
                        Status::Accepted => VerdictStatus::Accepted,
                        Status::Rejected => VerdictStatus::Rejected,
                        Status::Filed => VerdictStatus::Filed,
                        Status::Resolved => VerdictStatus::Resolved,
                        Status::Closed => VerdictStatus::Closed,
                    },
                    reason,
                    case_no,
                    picture,
                    by: self.by,
                    at: at.unwrap_or_else(|| rfc3339(now)),
                };
                outbox.verdict(&self.station, &verdict)?;
                return Ok(id);
            }
            What::Reload(signed) => command(CommandVerb::Reload, signed)?,
            What::Picture {
                camera,
                zone,
                signed,
            } => {
                let (mut command, pair) = command(CommandVerb::Picture, signed)?;
                (command.device, command.zone) = (Some(camera), Some(zone));
                (command, pair)
            }
            What::Silence {
                device,
                rule,
                until,
                signed,
            } => {
                let (mut command, pair) = command(CommandVerb::Silence, signed)?;
                command.device = Some(device);
                (command.rule, command.until) = (Some(rule), Some(until));
                (command, pair)
            }
        };
        outbox.command(&self.station, &sign(command, &pair))?;
        Ok(id)
    }
}

/// A moment since 1970 as messages write it (days from Howard Hinnant's `civil_from_days`).
fn rfc3339(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    let milli = since_1970.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_795_658_399, "2026-11-26T01:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
    }
}
