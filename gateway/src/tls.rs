//! TLS for outgoing connections: one way to build it, so that no connection is weaker than
//! another (TLS 1.2 and later, `ring`, the server's name always checked).

use std::{path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring, time_provider::TimeProvider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

use crate::{bilingual::Bilingual, clock, config::Tls};

/// Why a TLS configuration cannot be used; each names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Missing, unreadable, or not PEM.
    #[error("{}: cannot be read as PEM: {reason}", file.display())]
    Unreadable { file: PathBuf, reason: String },
    /// PEM, but of something else.
    #[error("{}: holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("{}: holds no private key", .0.display())]
    NoKey(PathBuf),
    /// A CA certificate that no chain can be checked against.
    #[error("{}: certificate {number} is no usable CA: {reason}", file.display())]
    Authority {
        file: PathBuf,
        number: usize,
        reason: rustls::Error,
    },
    /// Certificate and key do not belong together, or the key is of an unknown kind.
    #[error("{} and {}: do not make a client certificate: {reason}", cert.display(), key.display())]
    Client {
        cert: PathBuf,
        key: PathBuf,
        reason: rustls::Error,
    },
    /// No private CA is configured and the system has none either.
    #[error(
        "the system's trust store holds no certificate ({reason}): install ca-certificates or set ca_file"
    )]
    NoSystemRoots { reason: String },
    /// The TLS library refuses its own defaults.
    #[error("TLS set-up failed: {0}")]
    Setup(rustls::Error),
}

impl Bilingual for TlsError {
    fn zh(&self) -> String {
        match self {
            TlsError::Unreadable { file, reason } => {
                format!("{}:无法作为 PEM 读取:{reason}", file.display())
            }
            TlsError::NoCertificate(file) => format!("{}:其中没有证书", file.display()),
            TlsError::NoKey(file) => format!("{}:其中没有私钥", file.display()),
            TlsError::Authority {
                file,
                number,
                reason,
            } => format!(
                "{}:第 {number} 个证书不是可用的 CA:{reason}",
                file.display()
            ),
            TlsError::Client { cert, key, reason } => format!(
                "{} 与 {} 不能组成客户端证书:{reason}",
                cert.display(),
                key.display()
            ),
            TlsError::NoSystemRoots { reason } => {
                format!("系统信任库中没有证书({reason}),请安装 ca-certificates 或设置 `ca_file`")
            }
            TlsError::Setup(reason) => format!("TLS 初始化失败:{reason}"),
        }
    }
}

/// Client side of TLS as configured.
///
/// # Errors
/// Any file that is missing, unreadable or unusable; the error names it.
pub fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(NotBeforeTheBuild))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots(tls)?);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let der = PrivateKeyDer::from_pem_file(key).map_err(|e| match e {
                rustls_pki_types::pem::Error::NoItemsFound => TlsError::NoKey(key.clone()),
                e => TlsError::Unreadable {
                    file: key.clone(),
                    reason: e.to_string(),
                },
            })?;
            builder
                .with_client_auth_cert(chain, der)
                .map_err(|reason| TlsError::Client {
                    cert: cert.clone(),
                    key: key.clone(),
                    reason,
                })?
        }
    };
    Ok(Arc::new(config))
}

/// The time by which certificates are judged: the clock's, but never before the program was built.
/// A station that starts in 1970 then reaches its platform, and a clock that was set back does not
/// bring an old certificate to life.
#[derive(Debug)]
struct NotBeforeTheBuild;

impl TimeProvider for NotBeforeTheBuild {
    fn current_time(&self) -> Option<UnixTime> {
        let built = u64::try_from(clock::built().as_second()).ok()?;
        let built = UnixTime::since_unix_epoch(std::time::Duration::from_secs(built));
        Some(UnixTime::now().max(built))
    }
}

/// The certificates that others are checked against.
///
/// # Errors
/// As [`client_config`].
pub(crate) fn roots(tls: &Tls) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &tls.ca_file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reason = found.errors.first().map_or_else(
                || "no certificate file found".to_owned(),
                ToString::to_string,
            );
            return Err(TlsError::NoSystemRoots { reason });
        }
        return Ok(roots);
    };
    for (i, cert) in certificates(file)?.into_iter().enumerate() {
        roots.add(cert).map_err(|reason| TlsError::Authority {
            file: file.clone(),
            number: i + 1,
            reason,
        })?;
    }
    Ok(roots)
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |e: rustls_pki_types::pem::Error| TlsError::Unreadable {
        file: file.clone(),
        reason: e.to_string(),
    };
    let found = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate(file.clone()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn every_fault_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca = write(dir.path(), "ca.pem", &own.cert.pem());
        let key = write(dir.path(), "key.pem", &own.signing_key.serialize_pem());
        let other_key = write(dir.path(), "other.pem", &other.signing_key.serialize_pem());
        let junk = write(dir.path(), "junk.pem", "hello");
        let torn = write(
            dir.path(),
            "torn.pem",
            "-----BEGIN CERTIFICATE-----\nMIIB!!\n-----END CERTIFICATE-----\n",
        );
        let fake = write(
            dir.path(),
            "fake.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );

        let with = |ca: &PathBuf, client: Option<(&PathBuf, &PathBuf)>| {
            client_config(&Tls {
                ca_file: Some(ca.clone()),
                client: client.map(|(c, k)| (c.clone(), k.clone())),
            })
        };
        assert!(with(&ca, None).is_ok());
        assert!(with(&ca, Some((&ca, &key))).is_ok());

        let missing = dir.path().join("missing.pem");
        let faults = [
            (with(&missing, None), "missing.pem: cannot be read"),
            (with(&junk, None), "junk.pem: holds no certificate"),
            (with(&torn, None), "torn.pem: cannot be read"),
            (with(&fake, None), "fake.pem: certificate 1 is no usable CA"),
            (with(&ca, Some((&ca, &ca))), "ca.pem: holds no private key"),
            (
                with(&ca, Some((&junk, &key))),
                "junk.pem: holds no certificate",
            ),
            (with(&ca, Some((&ca, &other_key))), "other.pem: do not make"),
        ];
        for (got, want) in faults {
            let text = got.unwrap_err().to_string();
            assert!(text.contains(want), "{text:?} does not say {want:?}");
        }
    }

    #[test]
    fn every_fault_is_told_in_both_languages() {
        let file = || PathBuf::from("ca.pem");
        let reason = || "no section found".to_owned();
        let of_tls = || rustls::Error::General(reason());
        crate::bilingual::assert_bilingual([
            TlsError::Unreadable {
                file: file(),
                reason: reason(),
            },
            TlsError::NoCertificate(file()),
            TlsError::NoKey(file()),
            TlsError::Authority {
                file: file(),
                number: 1,
                reason: of_tls(),
            },
            TlsError::Client {
                cert: file(),
                key: file(),
                reason: of_tls(),
            },
            TlsError::NoSystemRoots { reason: reason() },
            TlsError::Setup(of_tls()),
        ]);
    }
}
