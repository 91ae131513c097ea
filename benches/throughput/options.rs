//! The arguments behind `cargo bench --bench throughput --`.

use std::time::Duration;

use clap::Parser;

use crate::contender::{self, Kind};
use crate::rows::Row;

/// Measures the service beside nginx and docker-registry.
#[derive(Clone, Debug, Parser)]
#[command(name = "throughput")]
pub struct Options {
    /// Run only rows whose name contains all of these words; it begins with ^ and ends with $
    words: Vec<String>,
    /// Rounds: in each of them every server is measured once
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each server is measured in a round
    #[arg(long)]
    seconds: Option<f64>,
    /// Short rounds, to see whether it works; the figures are worth little
    #[arg(long)]
    pub quick: bool,
    /// Measure only these servers, such as ours,nginx; the row's others are left out
    #[arg(long, value_delimiter = ',', value_parser = server)]
    servers: Vec<Kind>,
    /// How TCP decides how fast to send, in a network of the bench's own [default: cubic]
    #[arg(long)]
    pub congestion_control: Option<String>,
    /// Name the rows and run none
    #[arg(long)]
    pub list: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// How often each server is measured: the median is taken.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(3).max(1)
    }

    /// How long each time, where a row does not end by itself.
    pub fn round(&self) -> Duration {
        let seconds = self.seconds.unwrap_or(if self.quick { 0.3 } else { 1.5 });
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1))
    }

    /// Those of the rows that are to run, with those of their servers that are to be measured.
    pub fn choose(&self, mut rows: Vec<Row>) -> Vec<Row> {
        rows.retain(|row| {
            let name = format!("^{}$", row.name);
            self.words.iter().all(|word| name.contains(word.as_str()))
        });
        rows.iter_mut().for_each(|row| row.contenders.retain(|kind| self.measures(*kind)));
        rows
    }

    /// Direct is no server: the others are measured against it.
    fn measures(&self, kind: Kind) -> bool {
        self.servers.is_empty() || kind == Kind::Direct || self.servers.contains(&kind)
    }
}

fn server(name: &str) -> Result<Kind, String> {
    let names = || contender::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    contender::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| format!("there are {}", names()))
}
