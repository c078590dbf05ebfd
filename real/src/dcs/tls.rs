//! Whom do we trust on https, and which certificate do we show? Reads the files once, at start.
//! Knows nothing of etcd.

use super::settings::EtcdSettings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where distributions keep their collection of certificate authorities.
const HOST_AUTHORITIES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(
        "cannot read certificates from {}: {why}; name a readable PEM file in etcd3.{setting}",
        path.display()
    )]
    Unreadable {
        path: PathBuf,
        setting: &'static str,
        why: String,
    },
    #[error("no certificate authority to trust; set etcd3.cacert")]
    NoAuthorities,
    #[error(
        "etcd3.cert and etcd3.key cannot be used: {0}; give a certificate and its unencrypted key"
    )]
    Identity(String),
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

pub fn client_config(settings: &EtcdSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Setup(e.to_string()))?
        .with_root_certificates(authorities(settings.cacert.as_deref())?);
    let config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert, "cert")?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| TlsError::Unreadable {
                path: key.clone(),
                setting: "key",
                why: e.to_string(),
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| TlsError::Identity(e.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

fn authorities(cacert: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let path = match cacert {
        Some(path) => path,
        None => HOST_AUTHORITIES
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .ok_or(TlsError::NoAuthorities)?,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path, "cacert")?);
    if added == 0 {
        return Err(TlsError::NoAuthorities);
    }
    Ok(roots)
}

fn certificates(
    path: &Path,
    setting: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |e: rustls::pki_types::pem::Error| TlsError::Unreadable {
        path: path.to_path_buf(),
        setting,
        why: e.to_string(),
    };
    CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)
}
