//! Which certificate a camera may show, and what is wrong with the one it shows.
//!
//! TLS 1.2 at least; the name is checked, unless the very certificate is configured: then it is
//! right whatever name and dates it has, because cameras make theirs themselves.

use std::{io, sync::Arc};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use crate::{
    bilingual::Bilingual,
    config::Tls,
    tls::{self, TlsError},
};

use super::wire::Trust;

/// Before this (2026-01-01) a clock cannot be right: this program is younger.
const EARLIEST: i64 = 1_767_225_600;
/// Names of a certificate that are shown.
const MAX_NAMES: usize = 4;

/// Why there is no TLS connection to a camera; see [`super::of_camera`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    #[error(
        "shows a certificate that nobody vouches for; set `ca_file` to the CA that signed it, or, if it is the camera's own, `certificate_sha256 = \"{0}\"`"
    )]
    NotTrusted(String),
    #[error(
        "shows another certificate than the configured one; if it was made anew, set `certificate_sha256 = \"{0}\"`, else somebody stands between"
    )]
    OtherCertificate(String),
    #[error(
        "shows a certificate that expired on {0}; renew it, or check this machine's clock (now {1})"
    )]
    Expired(String, String),
    #[error(
        "shows a certificate that is not valid before {0}; check this machine's clock (now {1})"
    )]
    NotYetValid(String, String),
    #[error("cannot be checked: this machine's clock says {0}, which is wrong; set it (NTP)")]
    ClockWrong(String),
    #[error(
        "shows a certificate for another name ({0}); use that name in `url`, or set `certificate_sha256 = \"{1}\"`"
    )]
    WrongName(String, String),
    #[error("shows a certificate that names nobody; set `certificate_sha256 = \"{0}\"`")]
    NoName(String),
    #[error("speaks no TLS at this port; use `rtsp://` or `http://`, or its TLS port")]
    NotTls,
    #[error(
        "speaks only TLS older than 1.2, or only ciphers that are no longer safe; update its firmware"
    )]
    TooOld,
    #[error("broke off TLS: {0}")]
    Broken(String),
}

impl Bilingual for TlsFault {
    fn zh(&self) -> String {
        match self {
            TlsFault::NotTrusted(digest) => format!(
                "证书不受信任,请将 `ca_file` 设为签发它的 CA;若为摄像机自带证书,请设置 `certificate_sha256 = \"{digest}\"`"
            ),
            TlsFault::OtherCertificate(digest) => format!(
                "证书与配置的不同;若证书已更换,请设置 `certificate_sha256 = \"{digest}\"`,否则连接可能被他人截取"
            ),
            TlsFault::Expired(on, clock) => {
                format!("证书已于 {on} 过期,请更新证书,或检查网关时钟(现为 {clock})")
            }
            TlsFault::NotYetValid(from, clock) => {
                format!("证书自 {from} 起才有效,请检查网关时钟(现为 {clock})")
            }
            TlsFault::ClockWrong(clock) => {
                format!("证书无法校验:网关时钟为 {clock},明显有误,请校时(NTP)")
            }
            TlsFault::WrongName(names, digest) => format!(
                "证书属于其他名称({names}),请在 `url` 中使用该名称,或设置 `certificate_sha256 = \"{digest}\"`"
            ),
            TlsFault::NoName(digest) => {
                format!("证书中没有名称,请设置 `certificate_sha256 = \"{digest}\"`")
            }
            TlsFault::NotTls => "该端口没有 TLS,请改用 `rtsp://` 或 `http://`,或其 TLS 端口".into(),
            TlsFault::TooOld => {
                "只支持低于 1.2 的 TLS,或只支持已不安全的加密套件,请升级固件".into()
            }
            TlsFault::Broken(what) => format!("TLS 连接中断:{what}"),
        }
    }
}

impl TlsFault {
    /// What went wrong in a handshake.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                match inner.downcast_ref::<TlsFault>() {
                    Some(fault) => fault.clone(),
                    None => TlsFault::Broken(error.to_string()),
                }
            }
            Error::InvalidMessage(_) => TlsFault::NotTls,
            Error::PeerIncompatible(_) => TlsFault::TooOld,
            Error::AlertReceived(
                rustls::AlertDescription::ProtocolVersion
                | rustls::AlertDescription::HandshakeFailure
                | rustls::AlertDescription::InsufficientSecurity,
            ) => TlsFault::TooOld,
            _ => TlsFault::Broken(error.to_string()),
        }
    }

    /// The same of the error that a connection gives; `None` if it is not about TLS.
    pub fn of_io(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref()?;
        // Libraries wrap it once more.
        let wrapped = || inner.downcast_ref::<io::Error>().and_then(Self::of_io);
        inner.downcast_ref::<Error>().map(Self::of).or_else(wrapped)
    }
}

/// TLS towards one camera. Files are read here and never again.
///
/// # Errors
/// A file that cannot be used; the error names it.
pub fn client(trust: &Trust) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = match trust.pin {
        Some(pin) => Verifier {
            trusted: Trusted::Pin(pin),
            provider: Arc::clone(&provider),
        },
        None => {
            let roots = tls::roots(&Tls {
                ca_file: trust.ca_file.clone(),
                client: None,
            });
            let roots = Arc::new(roots?);
            let built =
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            let built = built.map_err(|e| TlsError::Setup(Error::General(e.to_string())))?;
            Verifier {
                trusted: Trusted::Roots(built),
                provider: Arc::clone(&provider),
            }
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Checks as `rustls` does, or against one fingerprint, and says what is wrong in our words.
#[derive(Debug)]
struct Verifier {
    trusted: Trusted,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Trusted {
    Roots(Arc<WebPkiServerVerifier>),
    Pin([u8; 32]),
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest: [u8; 32] = Sha256::digest(end_entity).into();
        let fault = match &self.trusted {
            Trusted::Pin(pin) if *pin == digest => return Ok(ServerCertVerified::assertion()),
            Trusted::Pin(_) => TlsFault::OtherCertificate(hex::encode(digest)),
            Trusted::Roots(roots) => {
                let verified =
                    roots.verify_server_cert(end_entity, intermediates, server_name, ocsp, now);
                match verified {
                    Ok(verified) => return Ok(verified),
                    Err(Error::InvalidCertificate(e)) => explain(&e, &hex::encode(digest), now),
                    Err(e) => return Err(e),
                }
            }
        };
        let inner = OtherError(Arc::new(fault));
        Err(Error::InvalidCertificate(CertificateError::Other(inner)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn explain(error: &CertificateError, fingerprint: &str, now: UnixTime) -> TlsFault {
    let clock = date(now);
    let fingerprint = fingerprint.to_owned();
    match error {
        CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::Expired
        | CertificateError::NotValidYet
            if (now.as_secs() as i64) < EARLIEST =>
        {
            TlsFault::ClockWrong(clock)
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            TlsFault::Expired(date(*not_after), clock)
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            TlsFault::NotYetValid(date(*not_before), clock)
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().take(MAX_NAMES);
            let names: Vec<String> = names.map(|name| shown(name)).collect();
            match names.is_empty() {
                true => TlsFault::NoName(fingerprint),
                false => TlsFault::WrongName(names.join(", "), fingerprint),
            }
        }
        // Unknown issuers, and what cameras make themselves: a CA that signed itself, without
        // the extensions that a server's certificate has.
        _ => TlsFault::NotTrusted(fingerprint),
    }
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => "?".into(),
    }
}

fn shown(name: &str) -> String {
    let printable = |c: char| if c.is_control() { '?' } else { c };
    name.chars().take(80).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::assert_bilingual;

    #[test]
    fn every_fault_is_told_in_both_languages() {
        let digest = || "00ff".to_owned();
        let date = || "2026-01-01T00:00:00Z".to_owned();
        assert_bilingual([
            TlsFault::NotTrusted(digest()),
            TlsFault::OtherCertificate(digest()),
            TlsFault::Expired(date(), date()),
            TlsFault::NotYetValid(date(), date()),
            TlsFault::ClockWrong(date()),
            TlsFault::WrongName("camera.local".into(), digest()),
            TlsFault::NoName(digest()),
            TlsFault::NotTls,
            TlsFault::TooOld,
            TlsFault::Broken("connection reset".into()),
        ]);
    }
}
