//! Rows without a warm cache: every round has fresh servers with empty caches (or an unavailable upstream), which
//! take turns within it. `benches/README.md` describes the method of each row.

mod blob;
pub(super) mod client;
pub(super) mod crowd;
mod dead;
mod first_byte;
mod image;
pub(super) mod pull;
mod revalidation;
pub(super) mod round;
mod rows;
pub(super) mod small;

use std::io;

pub use rows::rows;

use crate::throughput::options::Options;
use crate::throughput::results::Finding;
use crate::throughput::row::Row;
use crate::throughput::row::cold::Cold;

/// Measures one row.
pub fn run(row: &Row, cold: &Cold, options: &Options) -> io::Result<Vec<Finding>> {
    match *cold {
        Cold::Blob(herd) => Ok(vec![blob::run(row, herd, options)?]),
        Cold::FirstByte(size) => Ok(vec![first_byte::run(row, size, options)?]),
        Cold::Jobs => Ok(vec![image::jobs(row, options)?]),
        Cold::Nodes => Ok(vec![image::nodes(row, options)?]),
        Cold::Dead(run_out) => dead::run(row, run_out, options),
        Cold::Revalidation => revalidation::run(row, options),
    }
}
