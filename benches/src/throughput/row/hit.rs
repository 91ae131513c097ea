//! Requests that are served from the cache, as data.

use std::fmt;

/// A request that is served from the cache, with the load that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Requested object.
    pub object: Object,
    /// `GET` or `HEAD`.
    pub method: &'static str,
    /// Number of concurrent connections.
    pub connections: usize,
    /// Reuse of connections.
    pub reuse: Reuse,
    /// True where the servers use TLS.
    pub tls: bool,
    /// Number of responses in a round. `None`: as many as fit into the time of a round.
    pub answers: Option<u64>,
    /// True where the servers are started for this row only, because it measures memory.
    pub alone: bool,
}

/// Requested object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A manifest by its tag.
    Tag,
    /// A manifest by its digest.
    Digest,
    /// A blob of this size in bytes.
    Blob(u64),
    /// A token for the secret of a deploy token.
    TokenForSecret,
    /// A token for a password that was verified shortly before.
    TokenForPassword,
}

/// Reuse of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One connection for all requests.
    KeptAlive,
    /// A connection per request; TLS sessions are resumed.
    Each,
    /// A connection per request; with full TLS handshakes.
    EachWithoutResumption,
}

impl Object {
    /// Returns the size of a blob in bytes.
    pub fn blob(self) -> Option<u64> {
        if let Self::Blob(size) = self { Some(size) } else { None }
    }
}

impl fmt::Display for Hit {
    /// Formats the name of the row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { "tls " } else { "" };
        let reuse = match self.reuse {
            Reuse::KeptAlive => "kept alive",
            Reuse::Each if self.tls => "a connection per request, resumed",
            Reuse::EachWithoutResumption => "a connection per request, full handshakes",
            Reuse::Each => "a connection per request",
        };
        let clients = if self.connections == 1 { "1 client" } else { &format!("{} clients", self.connections) };
        write!(f, "{tls}{} {}, {clients}, {reuse}", self.object, self.method)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag => f.write_str("manifest by tag"),
            Self::Digest => f.write_str("manifest by digest"),
            Self::Blob(size) if *size >= 1 << 20 => write!(f, "blob {} MiB", size >> 20),
            Self::Blob(size) => write!(f, "blob {} KiB", size >> 10),
            Self::TokenForSecret => f.write_str("token for a secret"),
            Self::TokenForPassword => f.write_str("token for a remembered password"),
        }
    }
}
