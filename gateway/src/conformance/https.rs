//! A receiver over HTTPS.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, header, redirect};
use url::Url;

use super::{
    ConformanceError,
    peer::{Content, Login, Parcel, Piece, PieceReply, Receipt, Reply, receipts, shown},
};
use crate::{config::Tls, tls, uplink::chain};

/// An answer beyond this is no receipt, bytes.
const MAX_REPLY: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug)]
pub struct Https {
    client: reqwest::Client,
    base: String,
    token: Option<String>,
    patience: Duration,
}

impl Https {
    /// # Errors
    /// A certificate that cannot be used.
    pub fn new(
        url: &Url,
        tls: &Tls,
        token: Option<String>,
        station: &str,
        patience: Duration,
    ) -> Result<Self, ConformanceError> {
        let config = tls::client_config(tls).map_err(|e| ConformanceError::Setup(e.to_string()))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .user_agent(format!(
                "wangge/{} ({station}; conformance)",
                env!("CARGO_PKG_VERSION")
            ))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            // As the uplink: the receiver is the one that is named, whatever the environment says.
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|e| ConformanceError::Setup(chain(&e)))?;
        Ok(Https {
            client,
            base: url.as_str().trim_end_matches('/').to_owned(),
            token,
            patience,
        })
    }

    /// Whether there is a token that others could lack.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Any answer at all will do.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn reach(&self) -> Result<(), ConformanceError> {
        let request = self.request(Method::HEAD, "/events", Login::Right);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(e) => Err(ConformanceError::Unreachable(chain(&e))),
        }
    }

    /// Sends it and waits for the answer.
    pub async fn deliver(&self, parcel: &Parcel, login: Login) -> Reply {
        let request = match parcel.content {
            Content::Picture => self
                .request(Method::PUT, &format!("/evidence/{}", parcel.id), login)
                .header(header::CONTENT_TYPE, "image/jpeg"),
            _ => self
                .request(Method::POST, "/events", login)
                .header(header::CONTENT_TYPE, "application/cloudevents+json"),
        };
        match answer(request.body(parcel.bytes.clone())).await {
            Err(e) if e.is_timeout() => Reply::Silence(self.patience),
            Err(e) => Reply::Broken(chain(&e)),
            Ok(answer) => match answer.receipt() {
                Some(receipt) => Reply::Receipt(receipt, answer.text()),
                None => Reply::Http(answer.status, answer.text()),
            },
        }
    }

    /// How much of a picture is there.
    pub async fn held(&self, sha256: &str) -> PieceReply {
        let request = self.request(Method::HEAD, &format!("/evidence/{sha256}"), Login::Right);
        self.piece_reply(request).await
    }

    /// Sends a piece of a picture.
    pub async fn piece(&self, piece: &Piece) -> PieceReply {
        let path = format!("/evidence/{}", piece.sha256);
        let request = self
            .request(Method::PATCH, &path, Login::Right)
            .header(header::CONTENT_TYPE, "application/offset+octet-stream")
            .header("upload-offset", piece.offset)
            .header("upload-length", piece.total)
            .body(piece.bytes.clone());
        self.piece_reply(request).await
    }

    async fn piece_reply(&self, request: RequestBuilder) -> PieceReply {
        match answer(request).await {
            Err(e) => PieceReply {
                status: 0,
                offset: None,
                receipt: None,
                text: format!("no answer: {}", chain(&e)),
            },
            Ok(answer) => PieceReply {
                status: answer.status,
                offset: answer.offset,
                receipt: answer.receipt(),
                text: answer.text(),
            },
        }
    }

    /// What the inbox holds: status and body, or why there is no answer.
    pub async fn inbox(&self, station: &str, login: Login) -> Result<(u16, Bytes), String> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("station", station)
            .append_pair("wait", "0")
            .finish();
        let request = self.request(Method::GET, &format!("/inbox?{query}"), login);
        let answer = answer(request).await.map_err(|e| chain(&e))?;
        Ok((answer.status, answer.body))
    }

    fn request(&self, method: Method, path: &str, login: Login) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .timeout(self.patience);
        match (login, &self.token) {
            (Login::Right, Some(token)) => request.bearer_auth(token),
            (Login::Wrong, _) => request.bearer_auth("not-the-token"),
            _ => request,
        }
    }
}

struct Answer {
    status: u16,
    offset: Option<u64>,
    body: Bytes,
}

impl Answer {
    /// Where a station would find one: in a success, alone or first in an array.
    fn receipt(&self) -> Option<Receipt> {
        if !(200..300).contains(&self.status) {
            return None;
        }
        receipts(&self.body)?.into_iter().next()
    }

    fn text(&self) -> String {
        let mut text = self.status.to_string();
        if let Some(offset) = self.offset {
            text.push_str(&format!(" Upload-Offset: {offset}"));
        }
        if self.body.is_empty() {
            text.push_str(" without a body");
        } else {
            text.push(' ');
            text.push_str(&shown(&self.body));
        }
        text
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let mut reply = request.send().await?;
    let status = reply.status().as_u16();
    let offset = reply
        .headers()
        .get("upload-offset")
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.trim().parse().ok());
    let mut body = Vec::new();
    while body.len() <= MAX_REPLY
        && let Some(part) = reply.chunk().await?
    {
        body.extend_from_slice(&part);
    }
    Ok(Answer {
        status,
        offset,
        body: body.into(),
    })
}
