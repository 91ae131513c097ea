//! The rows, declared as data, and how each kind of row runs.

pub(super) mod hit;
mod hits;
mod idle;
mod interleaved;

use std::io;

use crate::throughput::cold;
use crate::throughput::fair;
use crate::throughput::fleet;
use crate::throughput::options::Options;
use crate::throughput::results::Finding;
use crate::throughput::row::{Row, Work};

/// Returns all rows, in the order in which they run.
pub fn all() -> Vec<Row> {
    [hits::rows(), idle::rows(), cold::rows(), fair::rows(), fleet::rows()].concat()
}

/// Runs the rows in order, with progress on standard error.
pub fn run(rows: &[Row], options: &Options) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for together in rows.chunk_by(|one, next| one.work.shares_servers_with(&next.work)) {
        let Some(first) = together.first() else { continue };
        findings.extend(match &first.work {
            Work::Hit(_) => hit::run(together, options)?,
            Work::Idle => idle::run(first, options)?,
            Work::Cold(cold) => cold::run(first, cold, options)?,
            Work::Fair(beside) => vec![fair::run(first, *beside, options)?],
            Work::Fleet(shared) => vec![fleet::run(first, *shared, options)],
        });
    }
    Ok(findings)
}
