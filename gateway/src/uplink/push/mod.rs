//! The uplink to a platform's own case interface, as a profile's `[push]` describes it. One alert
//! is one transaction: log in if need be, ask whether the case is there already, upload its
//! pictures, report it, and read the reply. Only a reply that says what the profile calls success
//! is a receipt; everything else is tried again, and then the question comes first.

mod desk;
mod wire;

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use wangge_protocol::{Receipt, Tier};

use self::desk::Desk;
use super::{
    client::{Client, Problem},
    lane::Token,
    link::{Parcel, Report},
};
use crate::{config::PushTarget, spool::evidence::EvidenceStore};

/// Transactions at once: case platforms are slower than receivers, and sessions are few.
pub const CONCURRENT: usize = 2;

type Reply = Pin<Box<dyn Future<Output = (Token, Result<Receipt, Problem>)> + Send>>;

/// See the module.
pub struct Push {
    desk: Arc<Desk>,
    client: Client,
    requests: FuturesUnordered<Reply>,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("client", &self.client)
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
            client: Client::new(
                (name, station),
                &target.url,
                target.tls.clone(),
                "user and password are",
                seed,
            ),
            desk: Arc::new(Desk::new(name, target, tiers, evidence)),
            requests: FuturesUnordered::new(),
        }
    }

    /// See [`super::link::Link::room`].
    pub fn room(&self) -> usize {
        match self.client.get() {
            Some(_) => CONCURRENT.saturating_sub(self.requests.len()),
            None => 0,
        }
    }

    /// See [`super::link::Link::send`].
    pub fn send(&mut self, parcel: Parcel) {
        let Some(client) = self.client.get().cloned() else {
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
            if self.client.get().is_none() {
                if self.client.open().await {
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

    fn report(&mut self, token: Token, result: Result<Receipt, Problem>) -> Report {
        match result {
            Ok(receipt) => {
                self.client.answered();
                Report::Answered(token, receipt)
            }
            Err(problem) => {
                let report = self.client.problem(token, problem);
                if let Report::Lost { .. } = report {
                    self.requests.clear();
                }
                report
            }
        }
    }

    /// What last went wrong.
    pub fn complaint(&self) -> Option<&str> {
        self.client.complaint()
    }
}
