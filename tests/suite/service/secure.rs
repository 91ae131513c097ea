//! The service with TLS, with a certificate for localhost.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Config, Service};

const CERTIFICATE: &str = "DEPENDENCY_PROXY__SERVER__TLS_CERTIFICATE";

impl Config {
    /// Configures TLS.
    pub fn secure(self) -> Self {
        let file = |name| fixture(name).display().to_string();
        self.variable(CERTIFICATE, &file("localhost.pem"))
            .variable("DEPENDENCY_PROXY__SERVER__TLS_KEY", &file("localhost.key.pem"))
    }
}

impl Service {
    /// Returns true where the service uses TLS.
    pub fn is_secure(&self) -> bool {
        self.variables.iter().any(|(name, _)| name == CERTIFICATE)
    }
}

/// Starts TLS with the service on this connection.
pub async fn secure<T: AsyncRead + AsyncWrite + Unpin>(tcp: T) -> TlsStream<T> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("authority.pem")).unwrap()).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let tls = TlsConnector::from(Arc::new(tls.unwrap().with_root_certificates(roots).with_no_client_auth()));
    tls.connect("localhost".try_into().unwrap(), tcp).await.unwrap()
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/suite/upstream_client/tls_fixture", name].iter().collect()
}

/// Returns the address in a URL of the service.
pub(super) fn address(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
}
