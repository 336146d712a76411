//! Asking an HTTPS receiver for verdicts and commands: `GET <url>/inbox?station=<id>&wait=<s>`.
//!
//! One request is always on its way; the receiver holds it until there is something, or `wait`
//! is over (204). On a line with a budget it is asked every ten minutes instead. A receiver
//! without an inbox answers 404, and is asked again rarely.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use rand::rngs::StdRng;
use reqwest::{StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};
use url::Url;

use super::{https::retry_after, pace::Backoff};
use crate::down::{
    MAX_BYTES,
    inbox::{self, Parsed},
};

/// How long the receiver may hold a request.
const WAIT: Duration = Duration::from_secs(50);
/// Beyond that, the connection hangs.
const PATIENCE: Duration = Duration::from_secs(70);
/// A receiver that does not hold requests is asked as often as this.
const SHORT: Duration = Duration::from_secs(30);
/// A line with a budget: 600 bytes every ten minutes are 3 MB a month.
const METERED: Duration = Duration::from_secs(600);
/// An empty answer that came sooner was not held.
const HELD: Duration = Duration::from_secs(10);
/// After something came: its answers are on their way meanwhile. Doubled while the same comes.
const AFTER: Backoff = Backoff {
    base: Duration::from_secs(2),
    cap: Duration::from_secs(60),
};
/// After a failure.
const RETRY: Backoff = Backoff {
    base: Duration::from_secs(5),
    cap: Duration::from_secs(300),
};
/// There is no inbox; perhaps after the receiver's next version.
const NO_INBOX: Duration = Duration::from_secs(3_600);
/// Longest wait that a receiver may ask for.
const LONGEST: Duration = Duration::from_secs(3_600);

type Request = Pin<Box<dyn Future<Output = Heard> + Send>>;

enum Heard {
    /// Something came.
    Entries(Vec<u8>),
    Nothing,
    NoInbox,
    /// Not now; wait so long, if it says how long.
    Failed(String, Option<Duration>),
}

/// See the module.
pub struct Inbox {
    url: Url,
    token: Option<String>,
    /// Its bytes are paid for: nothing is held open.
    is_metered: bool,
    at: Instant,
    asked: Instant,
    request: Option<Request>,
    /// SHA-256 of what came last, and how often it came again.
    last: Option<[u8; 32]>,
    repeats: u32,
    failures: u32,
    has_none: bool,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Inbox {
    /// The inbox of `station` beside `base`; `None` for an address that has no paths.
    pub fn new(base: &Url, station: &str, token: Option<String>, is_metered: bool) -> Option<Self> {
        let mut url = base.clone();
        let wait = if is_metered { Duration::ZERO } else { WAIT };
        url.path_segments_mut().ok()?.pop_if_empty().push("inbox");
        url.query_pairs_mut()
            .append_pair("station", station)
            .append_pair("wait", &wait.as_secs().to_string());
        let now = Instant::now();
        Some(Inbox {
            url,
            token,
            is_metered,
            at: now,
            asked: now,
            request: None,
            last: None,
            repeats: 0,
            failures: 0,
            has_none: false,
        })
    }

    /// The next entries. Cancel-safe.
    pub async fn next(&mut self, client: &reqwest::Client, rng: &mut StdRng) -> Parsed {
        loop {
            let request = match &mut self.request {
                Some(request) => request,
                None => {
                    sleep_until(self.at).await;
                    let request = client.get(self.url.clone()).timeout(PATIENCE);
                    let request = match &self.token {
                        Some(token) => request.bearer_auth(token),
                        None => request,
                    };
                    self.asked = Instant::now();
                    self.request.insert(Box::pin(exchange(request)))
                }
            };
            let heard = request.as_mut().await;
            self.request = None;
            if let Some(parsed) = self.heard(heard, Instant::now(), rng) {
                return parsed;
            }
        }
    }

    fn heard(&mut self, heard: Heard, now: Instant, rng: &mut StdRng) -> Option<Parsed> {
        let held = now.duration_since(self.asked) >= HELD;
        let failures = std::mem::take(&mut self.failures);
        let (wait, parsed) = match heard {
            Heard::Entries(bytes) => {
                let hash = Sha256::digest(&bytes).into();
                let again = self.last.replace(hash) == Some(hash);
                self.repeats = if again { self.repeats + 1 } else { 0 };
                (AFTER.delay(self.repeats, rng), Some(inbox::inbox(&bytes)))
            }
            Heard::Nothing if self.is_metered => (METERED, None),
            Heard::Nothing => (if held { Duration::ZERO } else { SHORT }, None),
            Heard::NoInbox => {
                if !std::mem::replace(&mut self.has_none, true) {
                    info!("the receiver has no inbox: no verdicts and commands will come from it");
                }
                (NO_INBOX, None)
            }
            Heard::Failed(why, after) => {
                self.failures = failures.saturating_add(1);
                debug!("inbox: {why}");
                let own = RETRY.delay(failures, rng);
                (after.map_or(own, |after| after.clamp(own, LONGEST)), None)
            }
        };
        self.at = now + wait;
        parsed
    }
}

async fn exchange(request: reqwest::RequestBuilder) -> Heard {
    let failed = |e: reqwest::Error| Heard::Failed(e.to_string(), None);
    let mut reply = match request.send().await {
        Ok(reply) => reply,
        Err(e) => return failed(e),
    };
    let status = reply.status();
    match status {
        StatusCode::OK => {}
        StatusCode::NO_CONTENT => return Heard::Nothing,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            return Heard::NoInbox;
        }
        _ => {
            let after = reply.headers().get(header::RETRY_AFTER);
            let after = after.and_then(|v| v.to_str().ok()).and_then(retry_after);
            return Heard::Failed(format!("the platform answers {status}"), after);
        }
    }
    let mut body = Vec::new();
    loop {
        match reply.chunk().await {
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) => return Heard::Entries(body),
            Err(e) => return failed(e),
        }
        if body.len() > MAX_BYTES {
            return Heard::Entries(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn inbox() -> (Inbox, StdRng) {
        let url = "https://platform.example/wangge/".parse().unwrap();
        let inbox = Inbox::new(&url, "站 1", None, false).unwrap();
        (inbox, StdRng::seed_from_u64(1))
    }

    /// Seconds until the next request.
    fn wait(inbox: &mut Inbox, rng: &mut StdRng, heard: Heard, held: u64) -> f64 {
        let now = inbox.asked + Duration::from_secs(held);
        inbox.heard(heard, now, rng);
        inbox.at.duration_since(now).as_secs_f64()
    }

    #[test]
    fn its_address_is_beside_the_events() {
        let (inbox, _) = inbox();
        assert_eq!(
            inbox.url.as_str(),
            "https://platform.example/wangge/inbox?station=%E7%AB%99+1&wait=50"
        );
    }

    #[test]
    fn it_asks_as_often_as_there_is_reason_to() {
        let (mut inbox, mut rng) = inbox();
        let rng = &mut rng;
        assert_eq!(wait(&mut inbox, rng, Heard::Nothing, 50), 0.0);
        assert_eq!(wait(&mut inbox, rng, Heard::Nothing, 0), 30.0);
        assert_eq!(wait(&mut inbox, rng, Heard::NoInbox, 0), 3_600.0);
        inbox.is_metered = true;
        assert_eq!(wait(&mut inbox, rng, Heard::Nothing, 0), 600.0);
        let first = wait(&mut inbox, rng, Heard::Entries(b"{}".into()), 0);
        assert!(first <= 2.0, "{first}");
        // The same again and again: its answers do not arrive.
        for _ in 0..20 {
            wait(&mut inbox, rng, Heard::Entries(b"{}".into()), 0);
        }
        assert!(wait(&mut inbox, rng, Heard::Entries(b"{}".into()), 0) > 20.0);
        assert!(wait(&mut inbox, rng, Heard::Entries(b"{ }".into()), 0) <= 2.0);
        let after = Some(Duration::from_secs(1_000_000));
        let busy = Heard::Failed("503".into(), after);
        assert_eq!(wait(&mut inbox, rng, busy, 0), 3_600.0);
        for _ in 0..20 {
            let failed = Heard::Failed("500".into(), None);
            assert!(wait(&mut inbox, rng, failed, 0) <= 300.0);
        }
    }

    #[test]
    fn too_much_is_refused_as_a_whole() {
        let (mut inbox, mut rng) = inbox();
        let big = Heard::Entries(vec![b' '; MAX_BYTES + 1]);
        let parsed = inbox.heard(big, Instant::now(), &mut rng).unwrap();
        assert_eq!((parsed.items.len(), parsed.refused), (0, 1));
    }
}
