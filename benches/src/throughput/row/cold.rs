//! Loads without a warm cache, as data.

use std::time::Duration;

use fake_registry::Pace;

/// Load of a cold row.
#[derive(Clone, Copy, Debug)]
pub enum Cold {
    /// Clients download one blob that no server has.
    Blob(Herd),
    /// A client downloads blobs of this number of bytes that no server has, one after another.
    FirstByte(u64),
    /// Jobs pull one image of ten layers that no server has, all at once.
    Jobs,
    /// Nodes pull images that every server has.
    Nodes,
    /// The same with upstream unavailable. True: all tags are stale.
    Dead(bool),
    /// The same with upstream far away and stale tags.
    Revalidation,
}

/// Clients of one blob.
#[derive(Clone, Copy, Debug)]
pub struct Herd {
    /// Number of clients.
    pub clients: usize,
    /// True where they arrive evenly over the time of one direct download, false where they arrive at once.
    pub staggered: bool,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Latency and rate of upstream.
    pub pace: Pace,
    /// True where upstream and the servers use TLS.
    pub tls: bool,
}

/// A registry on the same continent, with 1 Gbit/s.
pub const SLOW: Pace = Pace { latency: Duration::from_millis(50), bytes_per_second: Some(100_000_000) };

/// The same with a tenth of that rate.
pub const SLOWER: Pace = Pace { latency: Duration::from_millis(50), bytes_per_second: Some(10_000_000) };

/// The same latency without a limit of the rate.
pub const FAR: Pace = Pace { latency: Duration::from_millis(50), bytes_per_second: None };

/// The speed of loopback.
pub const FAST: Pace = Pace { latency: Duration::ZERO, bytes_per_second: None };
