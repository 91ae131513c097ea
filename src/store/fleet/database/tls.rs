//! TLS to the database.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::{BuilderVerifierExt, Verifier};

use crate::store::error::StoreError;

/// Returns the configuration of TLS, which verifies the certificate of the server and its name.
pub(super) fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Io(error.to_string());
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed(&error))?;
    let Some(path) = ca_file else {
        return Ok(builder.with_platform_verifier().map_err(|error| failed(&error))?.with_no_client_auth());
    };
    let wrong =
        |error: &dyn std::fmt::Display| failed(&format_args!("fleet.database_ca_file, {}: {error}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    let authorities: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
    if authorities.is_empty() {
        return Err(wrong(&"it has no certificate"));
    }
    let verifier = Verifier::new_with_extra_roots(authorities, provider).map_err(|error| wrong(&error))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}
