//! `POST /events`, `PUT /evidence/<sha256>` and `GET /inbox`, over TLS or, on loopback, without;
//! for pictures in pieces `HEAD` and `PATCH`.
//!
//! The accept loop is our own, because `axum::serve` sets no time limit for a request's head,
//! so that a few idle sockets would hold it for ever.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use wangge_protocol::{Receipt, ReceiptStatus};

use crate::{
    MAX_EVENT, MAX_PICTURE, sha256,
    store::{Delivery, Store},
};

/// Connections at once; more wait to be accepted.
pub const MAX_CONNECTIONS: usize = 256;
/// Most bytes of a message that is too large that are read before it is answered.
const DRAINED: usize = 8 * 1024 * 1024;
/// For the TLS handshake, and for each request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A station's question is held so long at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often the outbox is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// Between tries when accepting fails, for instance because no file descriptor is left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `stop`, and ends what is being answered then. With `token`, requests without it get
/// 401.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    token: Option<String>,
    store: Store,
    stop: CancellationToken,
) {
    let mut routes = Router::new()
        .route(
            "/events",
            post(event)
                .layer(DefaultBodyLimit::max(MAX_EVENT))
                .layer(middleware::from_fn(|request, next| {
                    drained(MAX_EVENT, request, next)
                })),
        )
        .route(
            "/evidence/{sha256}",
            put(picture)
                .head(held)
                .patch(piece)
                .layer(DefaultBodyLimit::max(MAX_PICTURE))
                .layer(middleware::from_fn(|request, next| {
                    drained(MAX_PICTURE, request, next)
                })),
        )
        .route("/inbox", get(inbox))
        .with_state((store, stop.clone()))
        .layer(middleware::from_fn(named));
    if let Some(token) = token {
        let expected = sha256(format!("Bearer {token}").as_bytes());
        routes = routes.layer(middleware::from_fn(move |request, next| {
            authorise(expected.clone(), request, next)
        }));
    }
    let acceptor = tls.map(TlsAcceptor::from);
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accept = async {
            let permit = free.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accept => accepted,
            () = stop.cancelled() => break,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(e) => {
                warn!("cannot accept a connection: {e}");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let (routes, acceptor, stop) = (routes.clone(), acceptor.clone(), stop.clone());
        tokio::spawn(async move {
            // Held until the connection ends.
            let _permit = permit;
            // A reply is small and its sender waits for it.
            let _ = socket.set_nodelay(true);
            match acceptor {
                None => connection(socket, routes, stop).await,
                Some(acceptor) => match timeout(HEAD_TIMEOUT, acceptor.accept(socket)).await {
                    Ok(Ok(socket)) => connection(socket, routes, stop).await,
                    Ok(Err(e)) => debug!("TLS handshake failed: {e}"),
                    Err(_) => debug!("TLS handshake timed out"),
                },
            }
        });
    }
    // What is being stored is stored, before anybody else opens the same place.
    let all = free.acquire_many(MAX_CONNECTIONS as u32);
    if timeout(HEAD_TIMEOUT, all).await.is_err() {
        warn!("connections are still open");
    }
}

async fn connection<S>(socket: S, routes: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(routes));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(e) = ended {
        debug!("connection ended: {e}");
    }
}

/// Pictures have names of 64 hex digits; there is nothing else under `/evidence/`.
async fn named(request: Request, next: Next) -> Response {
    let name = request.uri().path().strip_prefix("/evidence/");
    if name.is_some_and(|name| !is_sha256(name)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    next.run(request).await
}

/// Who sends too much still sends while it is told so, and would find the connection closed
/// instead of the answer: up to [`DRAINED`] bytes are read and thrown away first.
async fn drained(limit: usize, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if length.is_none_or(|bytes| bytes <= limit || bytes > DRAINED) {
        return next.run(request).await;
    }
    let _ = timeout(HEAD_TIMEOUT, to_bytes(request.into_body(), DRAINED)).await;
    StatusCode::PAYLOAD_TOO_LARGE.into_response()
}

fn is_sha256(name: &str) -> bool {
    let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 64 && name.as_bytes().iter().all(hex)
}

/// Hashes are compared, so that the time taken tells nothing about the token.
async fn authorise(expected: String, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(|v| sha256(v.as_bytes()));
    if given.as_deref() == Some(&expected) {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

type Shared = (Store, CancellationToken);

#[derive(Deserialize)]
struct Asked {
    station: String,
    /// Seconds that the request may be held.
    #[serde(default)]
    wait: u64,
}

/// What waits for a station; held until there is something or the station has waited enough.
///
/// A platform with a token for each station asks here whether the token is that station's.
async fn inbox(State((store, stop)): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let wait = Duration::from_secs(asked.wait).min(LONGEST_WAIT);
    let until = Instant::now() + wait;
    loop {
        let (outbox, station) = (store.outbox().clone(), asked.station.clone());
        let inbox = spawn_blocking(move || outbox.inbox(&station)).await;
        let inbox = inbox.unwrap_or_default();
        if !inbox.verdicts.is_empty() || !inbox.commands.is_empty() {
            return Json(inbox).into_response();
        }
        let look = (Instant::now() + LOOK).min(until);
        tokio::select! {
            () = sleep_until(look) => {}
            () = stop.cancelled() => return StatusCode::NO_CONTENT.into_response(),
        }
        if Instant::now() >= until {
            return StatusCode::NO_CONTENT.into_response();
        }
    }
}

async fn event(State((store, _)): State<Shared>, body: Bytes) -> Response {
    answer(&store, Delivery::Event(body)).await
}

async fn picture(
    State((store, _)): State<Shared>,
    Path(sha256): Path<String>,
    body: Bytes,
) -> Response {
    answer(&store, Delivery::Picture(sha256, body)).await
}

/// Bytes of a picture that are here.
const UPLOAD_OFFSET: &str = "upload-offset";
/// Bytes of the whole picture.
const UPLOAD_LENGTH: &str = "upload-length";

/// How much of a picture is here.
async fn held(State((store, _)): State<Shared>, Path(sha256): Path<String>) -> Response {
    match store.receive(Delivery::Ask(sha256)).await {
        Ok(Receipt {
            offset: Some(offset @ 1..),
            ..
        }) => (StatusCode::OK, [(UPLOAD_OFFSET, offset.to_string())]).into_response(),
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, e.to_string()).into_response(),
    }
}

/// A piece of a picture.
async fn piece(
    State((store, _)): State<Shared>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let (Some(offset), Some(total)) = (number(UPLOAD_OFFSET), number(UPLOAD_LENGTH)) else {
        let reason = "Upload-Offset and Upload-Length are needed, both in bytes";
        return (StatusCode::BAD_REQUEST, reason).into_response();
    };
    let end = offset.saturating_add(bytes.len() as u64);
    let delivery = Delivery::Piece {
        sha256,
        offset,
        total,
        bytes,
    };
    match store.receive(delivery).await {
        Ok(receipt) => match (receipt.status, receipt.offset) {
            (ReceiptStatus::Partial, Some(held)) => {
                let status = match held == end {
                    true => StatusCode::NO_CONTENT,
                    false => StatusCode::CONFLICT,
                };
                (status, [(UPLOAD_OFFSET, held.to_string())]).into_response()
            }
            _ => Json(Receipt {
                offset: None,
                ..receipt
            })
            .into_response(),
        },
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, e.to_string()).into_response(),
    }
}

async fn answer(store: &Store, delivery: Delivery) -> Response {
    match store.receive(delivery).await {
        Ok(receipt) => Json(receipt).into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, e.to_string()).into_response(),
    }
}
