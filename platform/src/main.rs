//! `wangge-platform`: receives what stations deliver, see `docs/operator/receiver.md`.

use std::{fs, io::IsTerminal, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::Parser;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use wangge_platform::{
    http, mqtt, page,
    send::{self, Action},
    show::Show,
    store::Store,
    tls,
};

/// How long whoever reads our output is waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Reference receiver for Wangge stations.
///
/// Checks every message against its JSON Schema, recomputes hashes, stores durably and only
/// then answers with a receipt. Prints a line for each alert, with the path of its picture.
///
/// Receive, over a broker, over HTTPS with a certificate made for trying, or both:
///   wangge-platform --store received --mqtt localhost:1883
///   wangge-platform --store received --https 0.0.0.0:8443 --write-ca ca.pem --token-file token
///
/// The station's side of it, in station.toml:
///   [[uplink]]
///   name = "city"
///   url = "https://THIS.HOST:8443"     or  url = "mqtt://BROKER"
///   ca_file = "ca.pem"
///   token_file = "token"
///
/// Look at what came; DIR/events.jsonl keeps every message byte for byte:
///   wangge-platform --store received --html      then open received/index.html
///
/// Try whether it, or your own receiver, keeps the contract (docs/operator/receiver.md):
///   wangge conformance --target https://localhost:8443 --ca ca.pem --token-file token
///
/// What was decided about an alert goes back the same way:
///   wangge-platform send --store /tmp/received --station S1 verdict --alert ID --status closed
#[derive(Parser)]
#[command(
    version,
    verbatim_doc_comment,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    /// Folder for events.jsonl and evidence/; created if it is not there
    #[arg(long, value_name = "DIR", required = true)]
    store: Option<PathBuf>,

    /// Listen for HTTPS here; needs --cert and --key, or --write-ca
    #[arg(long, value_name = "ADDR:PORT")]
    https: Option<SocketAddr>,

    /// Server certificate chain, PEM
    #[arg(long, value_name = "FILE", requires_all = ["key", "https"])]
    cert: Option<PathBuf>,

    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Make a certificate and write its CA here, for the station's ca_file; a new one each start
    #[arg(long, value_name = "FILE", conflicts_with = "cert", requires = "https")]
    write_ca: Option<PathBuf>,

    /// Further host name or address for the made certificate, besides localhost
    #[arg(long, value_name = "NAME", requires = "write_ca")]
    name: Vec<String>,

    /// Listen for HTTP without TLS here; loopback only
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,

    /// File with the bearer token that HTTP requests must bring
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Receive from this MQTT broker
    #[arg(long, value_name = "HOST:PORT")]
    mqtt: Option<String>,

    /// Topic prefix of the stations
    #[arg(long, value_name = "FILTER", default_value = "wangge/v1/+")]
    prefix: String,

    /// Client id at the broker; names the persistent session
    #[arg(long, value_name = "ID", default_value = "wangge-platform")]
    client_id: String,

    /// User name at the broker
    #[arg(long, value_name = "NAME", requires = "mqtt_password_file")]
    mqtt_user: Option<String>,

    /// File with the password at the broker
    #[arg(long, value_name = "FILE", requires = "mqtt_user")]
    mqtt_password_file: Option<PathBuf>,

    /// CA of the broker, PEM; without it the connection is not encrypted
    #[arg(long, value_name = "FILE", requires = "mqtt")]
    mqtt_ca: Option<PathBuf>,

    /// Write DIR/index.html, all alerts with their pictures, and end
    #[arg(long, conflicts_with_all = ["https", "http", "mqtt", "json"])]
    html: bool,

    /// Print everything that is received as one JSON object a line
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "warn,wangge_platform=info".into()),
        )
        .init();
    let mut args = Args::parse();
    if let Some(action) = args.action.take() {
        let said = tokio::task::spawn_blocking(|| send::act(action)).await??;
        Show::stdout(args.json).said(&said);
        return Ok(());
    }
    let store = args.store.clone().context("--store is needed")?;
    if args.html {
        let page = page::write(&store)?;
        Show::stdout(false).wrote(&page);
        return Ok(());
    }
    if args.https.is_none() && args.http.is_none() && args.mqtt.is_none() {
        bail!(
            "nothing to receive from: give --https, --http or --mqtt; --html to look at what came"
        );
    }
    let (show, drained) = Show::piped(args.json)?;
    let store = Store::open(&store, show)?;
    let token = args.token_file.as_ref().map(secret).transpose()?;
    let stop = CancellationToken::new();
    let mut servers: JoinSet<anyhow::Result<()>> = JoinSet::new();

    if let Some(addr) = args.http {
        if !addr.ip().is_loopback() {
            bail!("--http {addr}: without TLS only loopback is served; use --https");
        }
        let listener = listen(addr, "http", args.json).await?;
        let serving = http::serve(listener, None, token.clone(), store.clone(), stop.clone());
        servers.spawn(async {
            serving.await;
            Ok(())
        });
    }
    if let Some(addr) = args.https {
        let config = match (&args.cert, &args.key, &args.write_ca) {
            (Some(cert), Some(key), _) => tls::from_files(cert, key)?,
            (_, _, Some(ca)) => {
                let mut names = args.name.clone();
                names.extend(["localhost", "127.0.0.1", "::1"].map(String::from));
                tls::self_signed(names, ca)?
            }
            _ => bail!("--https needs --cert and --key, or --write-ca"),
        };
        let listener = listen(addr, "https", args.json).await?;
        let serving = http::serve(listener, Some(config), token, store.clone(), stop.clone());
        servers.spawn(async {
            serving.await;
            Ok(())
        });
    }
    if let Some(addr) = &args.mqtt {
        let broker = broker(&args, addr)?;
        let show = Some(Show::stdout(args.json));
        let serving = mqtt::serve(broker, store.clone(), show, stop.clone());
        servers.spawn(async { Ok(serving.await?) });
    }

    tokio::select! {
        () = store.failed() => bail!(wangge_platform::store::Failed),
        signal = signal() => signal?,
    }
    stop.cancel();
    while let Some(server) = servers.join_next().await {
        server??;
    }
    drop(store);
    if !drained.wait(LAST_WORDS) {
        tracing::warn!("standard output was not read to its end; events.jsonl has everything");
    }
    Ok(())
}

async fn listen(addr: SocketAddr, what: &str, json: bool) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("--{what} {addr}: cannot listen"))?;
    let address = format!("{what}://{}", listener.local_addr()?);
    Show::stdout(json).listening(what, &address);
    Ok(listener)
}

fn broker(args: &Args, addr: &str) -> anyhow::Result<mqtt::Broker> {
    let (host, port) = addr
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .with_context(|| format!("--mqtt {addr}: HOST:PORT is expected"))?;
    let tls = match &args.mqtt_ca {
        None => None,
        Some(ca) => {
            let mut roots = rustls::RootCertStore::empty();
            for cert in CertificateDer::pem_file_iter(ca)
                .with_context(|| format!("{}: cannot be read", ca.display()))?
            {
                roots.add(cert.with_context(|| ca.display().to_string())?)?;
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Some(Arc::new(config))
        }
    };
    let login = match (&args.mqtt_user, &args.mqtt_password_file) {
        (Some(user), Some(file)) => Some((user.clone(), secret(file)?)),
        _ => None,
    };
    Ok(mqtt::Broker {
        host: host.to_owned(),
        port,
        tls,
        login,
        client_id: args.client_id.clone(),
        prefix: args.prefix.clone(),
    })
}

fn secret(file: &PathBuf) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    Ok(text.trim_end().to_owned())
}

async fn signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupt = tokio::signal::ctrl_c() => Ok(interrupt?),
    }
}
