//! The server's certificate: given, or made for trying things out.

use std::{fs, path::Path, sync::Arc};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

/// From PEM files.
///
/// # Errors
/// A file that cannot be read or used; the error names it.
pub fn from_files(cert: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .with_context(|| format!("{}: no PEM certificates", cert.display()))?;
    let der = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("{}: no PEM private key", key.display()))?;
    server(chain, der)
}

/// A new CA and a certificate of it for `names`; the CA's certificate goes to `ca_file`, which
/// is what a station is given as `ca_file`.
///
/// # Errors
/// A name that no certificate can hold, or a file that cannot be written.
pub fn self_signed(names: Vec<String>, ca_file: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "Wangge trial CA");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(names)?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    // Another name than the CA's: OpenSSL takes a certificate whose issuer is its own name for
    // self-signed.
    leaf.distinguished_name
        .push(DnType::CommonName, "wangge-platform");
    let cert = leaf.signed_by(&key, &authority)?;
    fs::write(ca_file, authority.pem())
        .with_context(|| format!("{}: cannot be written", ca_file.display()))?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    server(vec![cert.der().clone()], der)
}

/// # Errors
/// Certificate and key do not belong together.
pub fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(Arc::new(
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("certificate and key do not belong together")?,
    ))
}
