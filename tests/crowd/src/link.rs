//! One connection: TLS, CONNECT, SUBSCRIBE, then packets both ways.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use wangge_tests::mqtt::{self, Packet};

/// As the uplink has it: all of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Who connects, and how.
#[derive(Clone)]
pub struct Login {
    pub broker: SocketAddr,
    pub tls: TlsConnector,
    pub station: String,
    pub password: String,
    pub receipts: String,
    pub receipt_qos: u8,
}

/// Trust in one CA.
///
/// # Errors
/// The file cannot be read.
pub fn trust(ca: &std::path::Path) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(ca).with_context(|| ca.display().to_string())? {
        roots.add(cert?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Thousands of stations are thousands of machines: none profits from another's session.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// An open connection.
pub struct Link {
    stream: TlsStream<TcpStream>,
    inbox: Vec<u8>,
}

impl Link {
    /// Connects and subscribes to receipts.
    ///
    /// # Errors
    /// The network, TLS or the broker says no, or nothing comes in time.
    pub async fn open(login: &Login) -> Result<Link> {
        let end = Instant::now() + HANDSHAKE;
        timeout_at(end, Link::shake(login))
            .await
            .context("no answer in time")?
    }

    async fn shake(login: &Login) -> Result<Link> {
        let tcp = TcpStream::connect(login.broker).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(login.broker.ip());
        let stream = login.tls.connect(name, tcp).await?;
        let mut link = Link {
            stream,
            inbox: Vec::new(),
        };
        let id = format!("wangge-{}-city", login.station);
        let mut out = Vec::new();
        mqtt::connect(
            &mut out,
            &id,
            true,
            30,
            Some((&login.station, &login.password)),
        );
        link.send(&out).await?;
        let code = link
            .wait(|p| match p {
                Packet::Connected { code, .. } => Some(code),
                _ => None,
            })
            .await?;
        ensure!(code == 0, "refused: return code {code}");
        out.clear();
        mqtt::subscribe(&mut out, &login.receipts, login.receipt_qos);
        link.send(&out).await?;
        let code = link
            .wait(|p| match p {
                Packet::Subscribed(code) => Some(code),
                _ => None,
            })
            .await?;
        ensure!(code <= 1, "no subscription to {}", login.receipts);
        Ok(link)
    }

    /// Whole packets.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send(&mut self, packets: &[u8]) -> Result<()> {
        self.stream.write_all(packets).await?;
        self.stream.flush().await?;
        Ok(())
    }

    async fn wait<T>(&mut self, mut wanted: impl FnMut(Packet<'_>) -> Option<T>) -> Result<T> {
        let mut found = None;
        while found.is_none() {
            self.receive(|p| {
                if found.is_none() {
                    found = wanted(p);
                }
            })
            .await?;
        }
        found.context("no answer")
    }

    /// Waits for bytes and gives every whole packet to `take`. May be dropped while it waits.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn receive(&mut self, mut take: impl FnMut(Packet<'_>)) -> Result<()> {
        if self.stream.read_buf(&mut self.inbox).await? == 0 {
            bail!("the broker closed the connection");
        }
        let mut at = 0;
        while let Some((packet, end)) = mqtt::parse(&self.inbox[at..])? {
            take(packet);
            at += end;
        }
        self.inbox.drain(..at);
        Ok(())
    }
}
