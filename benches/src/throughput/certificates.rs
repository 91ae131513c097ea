//! Files of the TLS certificate that all servers use.

/// A certificate for `localhost` (ECDSA P-256), for every server with TLS.
pub const CERTIFICATE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suite/upstream_client/tls_fixture/localhost.pem");
/// Private key of the certificate.
pub const KEY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suite/upstream_client/tls_fixture/localhost.key.pem");
/// Certificate authority that signed it, which clients trust.
pub const AUTHORITY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suite/upstream_client/tls_fixture/authority.pem");
