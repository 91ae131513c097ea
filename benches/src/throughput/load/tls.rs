//! The TLS of the load generator, which trusts only the lab's authority.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::throughput::certificates::AUTHORITY;

/// Returns a configuration without sessions; with `resumption` it uses the sessions that servers offer.
pub fn client(resumption: bool) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(AUTHORITY).map_err(io::Error::other)?;
    roots.add(authority).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = if resumption { Resumption::in_memory_sessions(256) } else { Resumption::disabled() };
    Ok(Arc::new(config))
}
