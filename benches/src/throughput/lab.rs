//! Environment that the servers of one comparison share: an upstream registry, and a folder for their data.

use std::io;
use std::path::Path;

use fake_registry::{Certificate, FakeRegistry};
use tempfile::TempDir;

use crate::throughput::certificates::{CERTIFICATE, KEY};
use crate::throughput::interrupt;

/// An upstream registry, and a folder for the servers in front of it.
pub struct Lab {
    /// The upstream registry of all servers.
    pub upstream: FakeRegistry,
    /// True where upstream uses TLS.
    pub tls: bool,
    /// Time to live of a tag in seconds, for servers that have such a setting. `None`: their default.
    pub tag_freshness: Option<u32>,
    folder: TempDir,
}

impl Lab {
    /// Creates one with an upstream without TLS and without images. Its folder is removed with it.
    pub fn new() -> io::Result<Self> {
        Self::with(false)
    }

    /// Creates one whose upstream uses TLS if `tls` is true.
    pub fn with(tls: bool) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("throughput-").tempdir()?;
        interrupt::remember(folder.path());
        let certificate = Certificate { chain: Path::new(CERTIFICATE), key: Path::new(KEY) };
        Ok(Self { upstream: FakeRegistry::fast(tls.then_some(certificate))?, tls, tag_freshness: None, folder })
    }

    /// Creates an empty folder for one server.
    pub fn folder(&self, name: &str) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix(name).tempdir_in(self.folder.path())
    }
}
