//! What happens without a warm cache: every round has fresh servers with nothing in them (or, where that is the point, an
//! upstream that is gone), and the servers take turns in it. `benches/README.md` says how each row is measured.

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

use crate::options::Options;
use crate::origin::Pace;
use crate::results::Finding;
use crate::rows::Row;

/// What a cold row does.
#[derive(Clone, Copy, Debug)]
pub enum Cold {
    /// Clients download one blob that no server has.
    Blob(Herd),
    /// A client downloads blobs of so many bytes that no server has, one after another.
    FirstByte(u64),
    /// Jobs pull one image of ten layers that no server has, all at once.
    Jobs,
    /// Nodes pull images that every server has.
    Nodes,
    /// The same with upstream gone. Whether the tags' freshness has run out.
    Dead(bool),
}

/// Clients of one blob.
#[derive(Clone, Copy, Debug)]
pub struct Herd {
    /// How many.
    pub clients: usize,
    /// Whether they arrive evenly over the time of one direct download, or all at once.
    pub staggered: bool,
    /// Bytes of the blob.
    pub size: u64,
    /// How fast upstream is.
    pub pace: Pace,
    /// Whether upstream and the servers speak TLS.
    pub tls: bool,
}

/// As far away as a registry on the same continent, at a gigabit.
pub const SLOW: Pace = Pace { latency: Duration::from_millis(50), bytes_per_second: Some(100_000_000) };

/// The same at a tenth of that.
pub const SLOWER: Pace = Pace { latency: Duration::from_millis(50), bytes_per_second: Some(10_000_000) };

/// As far away, with no other limit.
pub const FAR: Pace = Pace { latency: Duration::from_millis(50), bytes_per_second: None };

/// As fast as loopback.
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
