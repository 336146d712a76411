//! The HTTP client of an uplink, and what becomes of a request that brought no receipt: the same
//! for receivers of our messages and for case platforms.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use reqwest::redirect;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};
use url::Url;

use super::{
    fault::{Fault, FaultKind},
    https::CONCURRENT,
    lane::Token,
    link::Report,
    pace::Backoff,
};
use crate::{config::Tls, tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A refused token does not become right by asking often.
const REFUSED_LOGIN: Duration = Duration::from_secs(60);
/// Reading the certificates again after they could not be used.
const RETRY_TLS: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(30),
};

/// Why a request brought no receipt.
#[derive(Debug)]
pub(super) enum Problem {
    /// Never, as it is.
    Refused(String),
    /// Not this time.
    Failed(String),
    /// 401, 403.
    Login(String),
    /// 429, 503: wait so long, if it says how long.
    Busy(String, Option<Duration>),
    /// No reply, or none that can be read.
    Unanswered(Fault),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    name: String,
    url: Url,
    tls: Tls,
    agent: String,
    /// What is wrong after 401 and 403, with its verb.
    login: &'static str,
    client: Option<reqwest::Client>,
    retry_at: Instant,
    failures: u32,
    /// What was last complained about; a repeat is not news.
    complaint: Option<String>,
    rng: StdRng,
}

impl Client {
    /// Reads the certificates in [`Client::open`]. `login` completes "until … right".
    pub(super) fn new(
        (name, station): (&str, &str),
        url: &Url,
        tls: Tls,
        login: &'static str,
        seed: u64,
    ) -> Self {
        Client {
            name: name.to_owned(),
            url: url.clone(),
            tls,
            agent: format!("wangge/{} ({station})", env!("CARGO_PKG_VERSION")),
            login,
            client: None,
            retry_at: Instant::now(),
            failures: 0,
            complaint: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// The client, once it is open.
    pub(super) fn get(&self) -> Option<&reqwest::Client> {
        self.client.as_ref()
    }

    /// The client and chance, for whoever asks on its own.
    pub(super) fn parts(&mut self) -> Option<(&reqwest::Client, &mut StdRng)> {
        Some((self.client.as_ref()?, &mut self.rng))
    }

    /// Opens it when it is time; false if the certificates cannot be used. Cancel-safe.
    pub(super) async fn open(&mut self) -> bool {
        sleep_until(self.retry_at).await;
        match client(&self.tls, &self.agent) {
            Ok(client) => {
                self.client = Some(client);
                self.failures = 0;
                true
            }
            Err(text) => {
                self.later();
                self.complain(&text);
                false
            }
        }
    }

    /// There was an answer that counts.
    pub(super) fn answered(&mut self) {
        if self.complaint.take().is_some() {
            info!(uplink = self.name, url = %self.url, "the platform answers again");
        }
    }

    /// What a request that brought no receipt means. After [`Report::Lost`] those on their way
    /// are to be forgotten.
    pub(super) fn problem(&mut self, token: Token, problem: Problem) -> Report {
        match problem {
            Problem::Refused(text) => {
                self.complain(&text);
                Report::Refused(token, text)
            }
            Problem::Failed(text) => {
                self.complain(&text);
                Report::Failed(token)
            }
            Problem::Login(text) => {
                if self.complaint.as_deref() != Some(&text) {
                    error!(
                        uplink = self.name,
                        url = %self.url,
                        "{text}: nothing is delivered until {} right; asking again every {REFUSED_LOGIN:?}",
                        self.login
                    );
                    self.complaint = Some(text);
                }
                Report::Unanswered(token, Some(REFUSED_LOGIN))
            }
            Problem::Busy(text, after) => {
                self.complain(&text);
                Report::Unanswered(token, after)
            }
            Problem::Unanswered(fault) => {
                self.complain(&fault.text);
                if fault.kind == FaultKind::Tls {
                    // The files may have been mended meanwhile: read them again.
                    self.client = None;
                    self.later();
                    return Report::Lost { closed: false };
                }
                Report::Unanswered(token, None)
            }
        }
    }

    /// What last went wrong.
    pub(super) fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    fn later(&mut self) {
        self.retry_at = Instant::now() + RETRY_TLS.delay(self.failures, &mut self.rng);
        self.failures = self.failures.saturating_add(1);
    }

    fn complain(&mut self, text: &str) {
        if self.complaint.as_deref() != Some(text) {
            warn!(uplink = self.name, url = %self.url, "{text}; trying again, nothing is lost");
            self.complaint = Some(text.to_owned());
        }
    }
}

pub(super) fn client(tls: &Tls, agent: &str) -> Result<reqwest::Client, String> {
    let tls = tls::client_config(tls).map_err(|e| e.to_string())?;
    reqwest::Client::builder()
        .tls_backend_preconfigured((*tls).clone())
        .user_agent(agent)
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect would carry pictures to a place that nobody configured.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        // The receiver is the one that is configured, whatever the environment says.
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(CONCURRENT)
        .build()
        .map_err(|e| Fault::of(&e).text)
}
