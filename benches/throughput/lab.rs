//! What the contenders of one comparison share: an origin, a folder for their data, and the certificate that they show.

use std::io;

use tempfile::TempDir;

use crate::origin::Origin;

/// A certificate for `localhost` (ECDSA P-256), for every server with TLS.
pub const CERTIFICATE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/upstream_client/tls_fixture/localhost.pem");
/// Its key.
pub const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/upstream_client/tls_fixture/localhost.key.pem");
/// Who signed it: what clients trust.
pub const AUTHORITY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/upstream_client/tls_fixture/authority.pem");

/// An origin and room for servers before it.
pub struct Lab {
    /// The upstream of all.
    pub origin: Origin,
    /// Whether that speaks TLS.
    pub tls: bool,
    /// For how many seconds servers that can be told so believe a tag. None: as they do by themselves.
    pub tag_freshness: Option<u32>,
    folder: TempDir,
}

impl Lab {
    /// One with an origin in the clear that has no image yet. Its folder goes with it.
    pub fn new() -> io::Result<Self> {
        Self::with(false)
    }

    /// The same, whose origin speaks TLS where asked.
    pub fn with(tls: bool) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("throughput-").tempdir()?;
        crate::interrupt::remember(folder.path());
        Ok(Self { origin: Origin::start(tls)?, tls, tag_freshness: None, folder })
    }

    /// An empty folder for one server.
    pub fn folder(&self, name: &str) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix(name).tempdir_in(self.folder.path())
    }
}
