//! The uplink to an HTTPS receiver: `POST <url>/events`, `PUT <url>/evidence/<sha256>`, each
//! answered by 200 and a receipt. Anything else is no receipt, whatever its status says.
//!
//! A large picture goes in pieces: `HEAD <url>/evidence/<sha256>` asks for `Upload-Offset`, how
//! much of it is there; `PATCH` adds a piece and is answered by 204 and the new `Upload-Offset`,
//! the last one by 200 and the receipt, one at a wrong place by 409 and the right place.

use std::{future::Future, pin::Pin, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use reqwest::{StatusCode, header};
use url::Url;
use wangge_protocol::{Receipt, ReceiptStatus};

use super::{
    client::{Client, Problem},
    fault::{Fault, FaultKind},
    inbox::Inbox,
    lane::Token,
    link::{Content, Parcel, Piece, Report},
};
use crate::config::Tls;

/// Requests at once; with a 50 ms round trip, 160 messages a second on one connection each.
pub const CONCURRENT: usize = 8;
/// For a reply, beyond the time that the body takes at [`SLOWEST_LINK`].
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes a second that a link must carry.
pub(super) const SLOWEST_LINK: u64 = 4_096;
/// Larger than any receipt.
pub(super) const MAX_REPLY: usize = 64 * 1024;
/// Bytes of a picture that are there.
const UPLOAD_OFFSET: &str = "upload-offset";
/// Bytes of the whole picture.
const UPLOAD_LENGTH: &str = "upload-length";

type Reply = Pin<Box<dyn Future<Output = (Token, Result<Word, Problem>)> + Send>>;

/// What a receiver answers when nothing is wrong.
#[derive(Debug)]
enum Word {
    /// About the message, and about others.
    Receipts(Receipt, Vec<Receipt>),
    /// So much of the picture is there.
    Held(u64),
    NoPieces,
}

/// See the module.
#[derive(Debug)]
pub struct Https {
    url: Url,
    token: Option<String>,
    client: Client,
    requests: FuturesUnordered<Reply>,
    /// Requests for pictures that came in the answer to a message.
    others: Vec<Receipt>,
    /// Asks for verdicts and commands, if they are taken.
    inbox: Option<Inbox>,
}

impl Https {
    /// Reads the certificates in [`Https::next`].
    pub fn new(
        name: &str,
        station: &str,
        url: Url,
        tls: Tls,
        token: Option<String>,
        seed: u64,
    ) -> Self {
        Https {
            client: Client::new((name, station), &url, tls, "the token is", seed),
            url,
            token,
            requests: FuturesUnordered::new(),
            others: Vec::new(),
            inbox: None,
        }
    }

    /// Asks for verdicts and commands from now on.
    pub fn listen(&mut self, station: &str, is_metered: bool) {
        self.inbox = Inbox::new(&self.url, station, self.token.clone(), is_metered);
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
        let Some(client) = self.client.get() else {
            return;
        };
        let base = self.url.as_str().trim_end_matches('/');
        let patience =
            REPLY_TIMEOUT + Duration::from_secs(parcel.bytes.len() as u64 / SLOWEST_LINK);
        let mut piece = Piece::Whole;
        let request = match &parcel.content {
            Content::Picture {
                sha256,
                media_type,
                piece: what,
                total,
            } => {
                piece = *what;
                let url = format!("{base}/evidence/{sha256}");
                match piece {
                    Piece::Whole => client.put(url).header(header::CONTENT_TYPE, media_type),
                    Piece::Ask => client.head(url),
                    Piece::Part { offset, .. } => client
                        .patch(url)
                        .header(header::CONTENT_TYPE, "application/offset+octet-stream")
                        .header(UPLOAD_OFFSET, offset)
                        .header(UPLOAD_LENGTH, *total),
                }
            }
            Content::Event { .. } => client
                .post(format!("{base}/events"))
                .header(header::CONTENT_TYPE, "application/cloudevents+json"),
        };
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = request.body(parcel.bytes).timeout(patience);
        let token = parcel.token;
        self.requests.push(Box::pin(
            async move { (token, exchange(request, piece).await) },
        ));
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
            if !self.others.is_empty() {
                return Report::Receipts(std::mem::take(&mut self.others));
            }
            let (inbox, client) = (&mut self.inbox, &mut self.client);
            let inbox = async {
                match (inbox, client.parts()) {
                    (Some(inbox), Some((client, rng))) => inbox.next(client, rng).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((token, result)) = self.requests.next() => {
                    return self.report(token, result);
                }
                parsed = inbox => return Report::Came(parsed),
                // Nothing to wait for until something is sent: `inbox` waits.
            }
        }
    }

    fn report(&mut self, token: Token, result: Result<Word, Problem>) -> Report {
        if result.is_ok() {
            self.client.answered();
        }
        match result {
            Ok(Word::Receipts(receipt, others)) => {
                // Requests for pictures; whatever settles something is the answer to it.
                let asks = |r: &Receipt| r.status == ReceiptStatus::EvidenceMissing;
                self.others = others.into_iter().filter(asks).collect();
                // The token travels with its request, so a receipt for another message is none.
                Report::Answered(token, receipt)
            }
            Ok(Word::Held(bytes)) => Report::Held(token, bytes),
            Ok(Word::NoPieces) => Report::NoPieces(token),
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

async fn exchange(request: reqwest::RequestBuilder, piece: Piece) -> Result<Word, Problem> {
    let mut reply = request
        .send()
        .await
        .map_err(|e| Problem::Unanswered(unanswered(&e)))?;
    let status = reply.status();
    if let Some(word) = about_pieces(piece, status, reply.headers()) {
        return Ok(word);
    }
    if !status.is_success() {
        return Err(refusal(status, &reply));
    }
    let mut body = Vec::new();
    while let Some(part) = reply
        .chunk()
        .await
        .map_err(|e| Problem::Unanswered(unanswered(&e)))?
    {
        body.extend_from_slice(&part);
        if body.len() > MAX_REPLY {
            return Err(Problem::Failed(format!(
                "the platform answers {status} with more than {MAX_REPLY} bytes, which is no receipt"
            )));
        }
    }
    receipts(&body).ok_or_else(|| {
        let start: String = String::from_utf8_lossy(&body).chars().take(80).collect();
        Problem::Failed(format!(
            "the platform answers {status} with {start:?}, which is no receipt"
        ))
    })
}

/// One receipt, or an array of which the first is about the message.
fn receipts(body: &[u8]) -> Option<Word> {
    let mut receipts = super::receipts(body)?;
    if receipts.is_empty() {
        return None;
    }
    let others = receipts.split_off(1);
    Some(Word::Receipts(receipts.pop()?, others))
}

/// What an answer says of a picture in pieces, if that is what it is about.
fn about_pieces(piece: Piece, status: StatusCode, headers: &header::HeaderMap) -> Option<Word> {
    let offset = headers
        .get(UPLOAD_OFFSET)
        .and_then(|v| v.to_str().ok()?.trim().parse().ok());
    match (piece, status) {
        (Piece::Whole, _) => None,
        (
            Piece::Ask | Piece::Part { .. },
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED,
        )
        | (Piece::Part { .. }, StatusCode::NOT_FOUND) => Some(Word::NoPieces),
        // Nothing is there, which is also what a receiver without pieces may say; it then says
        // 404 or 405 to the first of them.
        (Piece::Ask, StatusCode::NOT_FOUND) => Some(Word::Held(0)),
        (Piece::Ask, StatusCode::OK | StatusCode::NO_CONTENT) => {
            Some(offset.map_or(Word::NoPieces, Word::Held))
        }
        (Piece::Part { .. }, StatusCode::NO_CONTENT | StatusCode::CONFLICT) => {
            offset.map(Word::Held)
        }
        _ => None,
    }
}

pub(super) fn unanswered(error: &reqwest::Error) -> Fault {
    let fault = Fault::of(error);
    match error.is_timeout() {
        true => Fault::new(FaultKind::Silent, "the platform does not answer in time"),
        false => fault,
    }
}

pub(super) fn refusal(status: StatusCode, reply: &reqwest::Response) -> Problem {
    let after = reply
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok())
        .and_then(retry_after);
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::Refused("the platform answers 413: too large for it".to_owned())
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Problem::Login(format!("the platform answers {status}"))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Problem::Busy(format!("the platform answers {status}"), after)
        }
        s if s.is_redirection() => Problem::Failed(format!(
            "the platform answers {status}, and redirects are not followed; configure the final address"
        )),
        _ => Problem::Failed(format!("the platform answers {status}")),
    }
}

/// RFC 9110 §10.2.3: seconds, or a date.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Duration::try_from(date.duration_since(jiff::Timestamp::now())).ok()
}

/// What would be logged about a request that fails.
#[cfg(test)]
pub(super) async fn complaint(url: &str, ca: &std::path::Path, body: &'static [u8]) -> String {
    let tls = Tls {
        ca_file: Some(ca.to_owned()),
        client: None,
    };
    let request = super::client::client(&tls, "test")
        .unwrap()
        .post(url)
        .body(body);
    match exchange(request, Piece::Whole).await {
        Err(Problem::Unanswered(fault)) => fault.text,
        other => format!("{other:?}"),
    }
}
