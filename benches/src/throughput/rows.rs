//! The rows, declared as data, and how each kind of row runs.

mod hit;
mod hits;
mod idle;

use std::io;

pub use hit::{Hit, Object, Reuse};

use crate::throughput::cold::{self, Cold};
use crate::throughput::contender::{Kind, Running};
use crate::throughput::options::Options;
use crate::throughput::results::{Aim, Figure, Finding, Sample};

/// One row of the comparison.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name of the row, which the words on the command line select.
    pub name: String,
    /// Servers that are measured.
    pub contenders: Vec<Kind>,
    /// Main figure of the row.
    pub figure: Figure,
    /// Aims for this service.
    pub aims: Vec<Aim>,
    /// Load of the row.
    pub work: Work,
}

/// Load of a row.
#[derive(Clone, Debug)]
pub enum Work {
    /// Repeated requests for content that is cached.
    Hit(Hit),
    /// No requests; measures memory.
    Idle,
    /// Requests for content that is not cached, or while upstream is unavailable.
    Cold(Cold),
}

/// Returns all rows, in the order in which they run.
pub fn all() -> Vec<Row> {
    [hits::rows(), idle::rows(), cold::rows()].concat()
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
        });
    }
    Ok(findings)
}

impl Work {
    /// Returns true where both rows can be measured on the same running servers.
    fn shares_servers_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hit(one), Self::Hit(other)) => one.tls == other.tls && !one.alone && !other.alone,
            _ => false,
        }
    }
}

impl Row {
    /// Measures a row with these servers, interleaved: in each round one after another.
    fn measure(
        &self,
        servers: &[Running],
        rounds: usize,
        mut once: impl FnMut(&Running) -> io::Result<Sample>,
    ) -> Finding {
        eprintln!("{}", self.name);
        let servers: Vec<&Running> = servers.iter().filter(|server| self.contenders.contains(&server.kind)).collect();
        let mut samples: Vec<(Kind, Vec<Sample>)> = servers.iter().map(|server| (server.kind, Vec::new())).collect();
        for _ in 0..rounds {
            for (server, (_, samples)) in servers.iter().zip(&mut samples) {
                samples.push(once(server).unwrap_or_else(|error| Sample::failed(&error)));
            }
        }
        Finding { name: self.name.clone(), figure: self.figure, aims: self.aims.clone(), samples }
    }
}
