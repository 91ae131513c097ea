//! Rows without a warm cache: every round has fresh servers with empty caches (or an unavailable upstream), which
//! take turns within it. `benches/README.md` describes the method of each row.

mod blob;
mod client;
mod crowd;
mod dead;
mod first_byte;
mod image;
mod pull;
mod round;
mod rows;
mod small;

use std::io;
use std::time::Duration;

pub use rows::rows;

use fake_registry::Pace;

use crate::throughput::options::Options;
use crate::throughput::results::Finding;
use crate::throughput::rows::Row;

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

/// Measures one row.
pub fn run(row: &Row, cold: &Cold, options: &Options) -> io::Result<Vec<Finding>> {
    match *cold {
        Cold::Blob(herd) => Ok(vec![blob::run(row, herd, options)?]),
        Cold::FirstByte(size) => Ok(vec![first_byte::run(row, size, options)?]),
        Cold::Jobs => Ok(vec![image::jobs(row, options)?]),
        Cold::Nodes => Ok(vec![image::nodes(row, options)?]),
        Cold::Dead(run_out) => dead::run(row, run_out, options),
    }
}
