//! Plays a station against any receiver and says which clauses of the receiver contract
//! (`docs/operator/receiver.md`) hold.
//!
//! It shares nothing with the uplink but the certificates' set-up: what the two understand
//! differently shows when both are tried against the same receiver, which the tests do.
//!
//! [`clause`] lists the clauses, [`checks`] tries them, [`material`] makes what is sent,
//! [`peer`] carries it over [`https`] or [`mqtt`], [`report`] is what people and programs read.

mod checks;
mod clause;
mod exam;
mod https;
mod material;
mod mqtt;
mod notes;
mod peer;
mod report;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

use url::Url;

use self::{
    checks::check,
    exam::{Exam, Finding, Miss},
    notes::Notes,
    peer::Peer,
};
pub use self::{
    clause::{Clause, Duty},
    report::Report,
};
use crate::config::{BrokerAddr, Credentials, Tls};

/// Whom to try, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    /// The station that is played.
    pub station: String,
    /// How long to wait for each answer.
    pub patience: Duration,
    pub run: Run,
}

/// Where the receiver is.
#[derive(Clone, Debug)]
pub enum Target {
    Https {
        url: Url,
        tls: Tls,
        /// Bearer token.
        token: Option<String>,
    },
    Mqtt {
        addr: BrokerAddr,
        /// Of the topics.
        prefix: String,
    },
}

/// Which part to run.
#[derive(Clone, Debug)]
pub enum Run {
    /// Everything but the restart; what was acknowledged goes into this file, if there is one.
    All { notes: Option<PathBuf> },
    /// What this file says was acknowledged.
    AfterRestart { notes: PathBuf },
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Target(String),
    /// A certificate that cannot be used.
    #[error("{0}")]
    Setup(String),
    /// Nobody answers.
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(String),
    /// The file between the two runs.
    #[error("{}: {reason}", file.display())]
    Notes { file: PathBuf, reason: String },
}

impl Target {
    /// From what a person writes: `https://…`, `http://` on loopback, `mqtts://…`, `mqtt://…`.
    ///
    /// # Errors
    /// What is wrong with it, and how it should look.
    pub fn new(
        url: &str,
        station: &str,
        prefix: Option<String>,
        tls: Tls,
        token: Option<String>,
        login: Option<Credentials>,
    ) -> Result<Self, ConformanceError> {
        let wrong = |reason: &str| ConformanceError::Target(format!("--target {url}: {reason}"));
        let parsed: Url = url
            .parse()
            .map_err(|_| wrong("expected e.g. https://city.example/wangge or mqtts://broker"))?;
        let host = parsed.host_str().unwrap_or_default();
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong("has a `?` or `#` part, and paths are put behind it"));
        }
        let over_http = matches!(parsed.scheme(), "https" | "http");
        let unused = match over_http {
            true => [
                (prefix.is_some(), "--prefix"),
                (login.is_some(), "--username"),
            ],
            false => [(token.is_some(), "--token-file"), (false, "")],
        };
        if let Some((_, flag)) = unused.iter().find(|(given, _)| *given) {
            return Err(wrong(&format!("{flag} is for the other transport")));
        }
        match parsed.scheme() {
            "https" | "http" => Ok(Target::Https {
                url: parsed,
                tls,
                token,
            }),
            scheme @ ("mqtts" | "mqtt") => {
                let secure = scheme == "mqtts";
                let port = parsed.port().unwrap_or(if secure { 8883 } else { 1883 });
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Ok(Target::Mqtt {
                    addr: BrokerAddr {
                        host: host.to_owned(),
                        port,
                        tls: secure.then_some(tls),
                        credentials: login,
                        client_id: format!("wangge-conformance-{station}"),
                    },
                    prefix: prefix.unwrap_or_else(|| format!("wangge/v1/{station}")),
                })
            }
            _ => Err(wrong("expected https://, http://, mqtts:// or mqtt://")),
        }
    }

    /// For people.
    fn text(&self) -> String {
        match self {
            Target::Https { url, .. } => url.to_string(),
            Target::Mqtt { addr, prefix } => format!(
                "{}://{}:{} {prefix}",
                if addr.tls.is_some() { "mqtts" } else { "mqtt" },
                addr.host,
                addr.port
            ),
        }
    }
}

/// Tries every clause; `told` gets the lines of each for people as it is done.
///
/// # Errors
/// Nothing could be tried at all.
pub async fn run(
    options: &Options,
    mut told: impl FnMut(&str),
) -> Result<Report, ConformanceError> {
    let (station, clauses) = match &options.run {
        Run::All { .. } => (options.station.clone(), Clause::ALL),
        Run::AfterRestart { .. } => (options.station.clone(), &[Clause::Durable][..]),
    };
    let mut exam = Exam::new(connect(options).await?, &station);
    if let Run::AfterRestart { notes } = &options.run {
        exam.notes = Notes::read(notes)?;
    }
    let mut findings = Vec::new();
    for &clause in clauses {
        if matches!(&exam.peer, Peer::Mqtt(peer) if peer.is_broken()) {
            exam.peer = connect(options).await?;
        }
        let outcome = match (clause, &options.run) {
            (Clause::Durable, Run::All { notes }) => Err(Miss::Skipped(match notes {
                Some(file) => format!(
                    "kill the receiver, start it again, then run this with --after-restart {}",
                    file.display()
                ),
                None => "give --notes FILE, kill the receiver and start it again, then run this with --after-restart FILE".to_owned(),
            })),
            // Each would wait as long in vain.
            _ if !findings.is_empty() && !exam.heard => Err(Miss::Skipped(
                "the first message was not answered at all".to_owned(),
            )),
            _ => check(&mut exam, clause).await,
        };
        let finding = Finding {
            clause,
            outcome,
            trail: exam.take_trail(),
        };
        told(&report::lines(&finding));
        findings.push(finding);
    }
    if let Run::All { notes: Some(file) } = &options.run {
        exam.notes.write(file)?;
    }
    Ok(Report {
        target: options.target.text(),
        station,
        findings,
    })
}

async fn connect(options: &Options) -> Result<Peer, ConformanceError> {
    Ok(match &options.target {
        Target::Https { url, tls, token } => {
            let peer =
                https::Https::new(url, tls, token.clone(), &options.station, options.patience)?;
            peer.reach().await?;
            Peer::Https(peer)
        }
        Target::Mqtt { addr, prefix } => {
            Peer::Mqtt(mqtt::Mqtt::connect(addr, prefix, options.patience).await?)
        }
    })
}
