//! What this machine's people and monitoring can ask: `GET /status` (JSON) and `GET /metrics`
//! (Prometheus text). On loopback only, because there is no log-in.

mod metrics;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod verdicts;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use status::{
    AlertTotal, BudgetStatus, CameraStatus, DigestPage, OpenAlert, ProofStatus, SourceStatus,
    StationStatus, Status, StorageStatus, UplinkStatus, VisionStatus,
};
pub use verdicts::{Precision, RecentVerdict, SilenceStatus, VerdictsStatus};

/// Connections at once; more are closed at the door.
pub const MAX_CONNECTIONS: usize = 64;
/// A client that takes longer to send its request is cut off.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the gateway's own answer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Asks the running gateway how it is.
pub type StatusSource = Arc<dyn Fn() -> BoxFuture<'static, Status> + Send + Sync>;

/// Serves until `stop`, then finishes the requests that have begun. There is no log-in, so
/// a listener that is not on loopback is refused: the log says so and nothing is served.
pub async fn serve(listener: TcpListener, status: StatusSource, stop: CancellationToken) {
    match listener.local_addr() {
        Ok(address) if address.ip().is_loopback() => {}
        Ok(address) => {
            tracing::error!(%address, "the console has no log-in and serves loopback only");
            return;
        }
        Err(error) => {
            tracing::error!(%error, "the console's socket is unusable");
            return;
        }
    }
    let router = router(status);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "console: cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            continue; // Dropped, and so closed.
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, router, stop).await;
            drop(slot);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "console: connection ended");
    }
}

fn router(status: StatusSource) -> Router {
    Router::new()
        .route("/status", get(status_page))
        .route("/digest", get(digest_page))
        .route("/metrics", get(metrics_page))
        .layer(middleware::from_fn(own_name_only))
        .with_state(status)
}

/// A web page elsewhere may have its name resolve to this machine and read the answers (DNS
/// rebinding); its requests carry that name.
async fn own_name_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|h| h.to_str().ok()?.parse::<Uri>().ok());
    let own = host.is_some_and(|uri| {
        let name = uri.host().unwrap_or_default();
        let ip = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || ip.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    });
    if own {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "ask for localhost\n").into_response()
    }
}

async fn ask(source: &StatusSource) -> Result<Status, (StatusCode, &'static str)> {
    tokio::time::timeout(STATUS_TIMEOUT, source())
        .await
        .map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "the gateway is busy\n"))
}

async fn status_page(State(source): State<StatusSource>) -> Response {
    match ask(&source).await {
        Ok(status) => Json(status).into_response(),
        Err(busy) => busy.into_response(),
    }
}

async fn digest_page(State(source): State<StatusSource>) -> Response {
    match ask(&source).await {
        Ok(status) => Json(status.digest).into_response(),
        Err(busy) => busy.into_response(),
    }
}

async fn metrics_page(State(source): State<StatusSource>) -> Response {
    let status = match ask(&source).await {
        Ok(status) => status,
        Err(busy) => return busy.into_response(),
    };
    match metrics::text(status) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "console: cannot write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
