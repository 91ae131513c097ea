//! TLS of the fake registry.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate for `localhost`.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// File with the certificate, PEM.
    pub chain: &'a Path,
    /// File with its private key, PEM.
    pub key: &'a Path,
}

impl Certificate<'_> {
    /// Returns the acceptor of connections.
    pub(super) fn acceptor(self) -> io::Result<TlsAcceptor> {
        let chain = CertificateDer::pem_file_iter(self.chain).map_err(io::Error::other)?;
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(self.key).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let config = config.with_no_client_auth().with_single_cert(chain, key).map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
