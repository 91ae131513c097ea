//! The arguments after `cargo bench -p benches --bench throughput --`.

use std::time::Duration;

use clap::Parser;

use crate::throughput::contender::{self, Kind};
use crate::throughput::row::Row;

/// Measures the service beside nginx and docker-registry
#[derive(Clone, Debug, Parser)]
#[command(name = "throughput")]
pub struct Options {
    /// Run only rows whose names contain all of these words; a name begins with ^ and ends with $
    words: Vec<String>,
    /// Number of rounds; every server is measured once per round
    #[arg(long)]
    rounds: Option<usize>,
    /// Time for which each server is measured in a round, in seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Short rounds, to check that everything works; the figures are not meaningful
    #[arg(long)]
    pub quick: bool,
    /// Measure only these servers, such as ours,nginx
    #[arg(long, value_delimiter = ',', value_parser = server)]
    servers: Vec<Kind>,
    /// TCP congestion control, in a separate network namespace [default: cubic, or reno where cubic is
    /// not allowed]
    #[arg(long)]
    pub congestion_control: Option<String>,
    /// List the rows and run none
    #[arg(long)]
    pub list: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Returns the number of rounds; the median is taken.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(3).max(1)
    }

    /// Returns the length of a round, for rows that do not end by themselves.
    pub fn round(&self) -> Duration {
        let seconds = self.seconds.unwrap_or(if self.quick { 0.3 } else { 1.5 });
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1))
    }

    /// Selects the rows that are to run, and their servers that are to be measured.
    pub fn choose(&self, mut rows: Vec<Row>) -> Vec<Row> {
        rows.retain(|row| {
            let name = format!("^{}$", row.name);
            self.words.iter().all(|word| name.contains(word.as_str()))
        });
        rows.iter_mut().for_each(|row| row.contenders.retain(|kind| self.measures(*kind)));
        rows
    }

    /// Returns true if this server is to be measured. One that cannot be selected, such as upstream itself, always is,
    /// because the others are compared with it.
    fn measures(&self, kind: Kind) -> bool {
        self.servers.is_empty() || !kind.is_selectable() || self.servers.contains(&kind)
    }
}

fn server(name: &str) -> Result<Kind, String> {
    let names = || contender::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    contender::ALL
        .iter()
        .copied()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| format!("known servers are {}", names()))
}
