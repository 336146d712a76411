//! The uplink to a platform's own case interface, as a profile's `[push]` describes it. One alert
//! is one transaction: log in if need be, ask whether the case is there already, upload its
//! pictures, report it, and read the reply. Only a reply that says what the profile calls success
//! is a receipt; everything else is tried again, and then the question comes first.

mod desk;
mod wire;

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};
use wangge_protocol::{Receipt, Tier};

use self::desk::Desk;
use super::{
    fault::FaultKind,
    https::{Problem, REFUSED_LOGIN, RETRY_TLS, client},
    lane::Token,
    link::{Parcel, Report},
};
use crate::{
    config::{PushTarget, Tls},
    spool::evidence::EvidenceStore,
};

/// Transactions at once: case platforms are slower than receivers, and sessions are few.
pub const CONCURRENT: usize = 2;

type Reply = Pin<Box<dyn Future<Output = (Token, Result<Receipt, Problem>)> + Send>>;

/// See the module.
pub struct Push {
    name: String,
    desk: Arc<Desk>,
    tls: Tls,
    agent: String,
    client: Option<reqwest::Client>,
    retry_at: Instant,
    failures: u32,
    requests: FuturesUnordered<Reply>,
    /// What was last complained about; a repeat is not news.
    complaint: Option<String>,
    rng: StdRng,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Push {
    /// Reads the certificates in [`Push::next`].
    pub fn new(
        name: &str,
        station: &str,
        target: PushTarget,
        tiers: Vec<Tier>,
        evidence: Arc<EvidenceStore>,
        seed: u64,
    ) -> Self {
        Push {
            name: name.to_owned(),
            tls: target.tls.clone(),
            desk: Arc::new(Desk::new(name, target, tiers, evidence)),
            agent: format!("wangge/{} ({station})", env!("CARGO_PKG_VERSION")),
            client: None,
            retry_at: Instant::now(),
            failures: 0,
            requests: FuturesUnordered::new(),
            complaint: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// See [`super::link::Link::room`].
    pub fn room(&self) -> usize {
        match self.client {
            Some(_) => CONCURRENT.saturating_sub(self.requests.len()),
            None => 0,
        }
    }

    /// See [`super::link::Link::send`].
    pub fn send(&mut self, parcel: Parcel) {
        let Some(client) = self.client.clone() else {
            return;
        };
        let desk = self.desk.clone();
        self.requests.push(Box::pin(async move {
            let token = parcel.token.clone();
            (token, desk.deliver(&client, parcel).await)
        }));
    }

    /// See [`super::link::Link::next`].
    pub async fn next(&mut self) -> Report {
        loop {
            if self.client.is_none() {
                sleep_until(self.retry_at).await;
                if self.open() {
                    return Report::Connected;
                }
                continue;
            }
            match self.requests.next().await {
                Some((token, result)) => return self.report(token, result),
                // Nothing to wait for until something is sent.
                None => std::future::pending().await,
            }
        }
    }

    fn open(&mut self) -> bool {
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

    fn later(&mut self) {
        self.retry_at = Instant::now() + RETRY_TLS.delay(self.failures, &mut self.rng);
        self.failures = self.failures.saturating_add(1);
    }

    fn report(&mut self, token: Token, result: Result<Receipt, Problem>) -> Report {
        match result {
            Ok(receipt) => {
                if self.complaint.take().is_some() {
                    info!(uplink = self.name, "the platform takes cases again");
                }
                Report::Answered(token, receipt)
            }
            Err(Problem::Refused(text)) => {
                self.complain(&text);
                Report::Refused(token, text)
            }
            Err(Problem::Failed(text)) => {
                self.complain(&text);
                Report::Failed(token)
            }
            Err(Problem::Login(text)) => {
                if self.complaint.as_deref() != Some(&text) {
                    error!(
                        uplink = self.name,
                        "{text}: nothing is delivered until user and password are right; asking again every {REFUSED_LOGIN:?}"
                    );
                    self.complaint = Some(text);
                }
                Report::Unanswered(token, Some(REFUSED_LOGIN))
            }
            Err(Problem::Busy(text, after)) => {
                self.complain(&text);
                Report::Unanswered(token, after)
            }
            Err(Problem::Unanswered(fault)) => {
                self.complain(&fault.text);
                if fault.kind == FaultKind::Tls {
                    // The files may have been mended meanwhile: read them again.
                    self.client = None;
                    self.later();
                    self.requests.clear();
                    return Report::Lost { closed: false };
                }
                Report::Unanswered(token, None)
            }
        }
    }

    /// What last went wrong.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    fn complain(&mut self, text: &str) {
        if self.complaint.as_deref() != Some(text) {
            warn!(uplink = self.name, "{text}; trying again, nothing is lost");
            self.complaint = Some(text.to_owned());
        }
    }
}
