//! Rounds with fresh servers.

use std::io;
use std::sync::Arc;

use fake_registry::Counts;

use crate::throughput::contender::{Kind, Running};
use crate::throughput::load::Outcome;
use crate::throughput::options::Options;
use crate::throughput::results::{Finding, Sample};
use crate::throughput::row::Row;

/// Measures each server of the row once in each round. `once` starts it, and gets the direct sample of the round if
/// there is one. It returns `None` for a server that is not installed.
pub(in crate::throughput) fn rounds(
    row: &Row,
    options: &Options,
    mut once: impl FnMut(Kind, Option<&Sample>) -> io::Result<Option<Sample>>,
) -> io::Result<Finding> {
    eprintln!("{}", row.name);
    let mut samples: Vec<(Kind, Vec<Sample>)> = row.contenders.iter().map(|kind| (*kind, Vec::new())).collect();
    for _ in 0..options.rounds() {
        let mut direct = None;
        for (kind, samples) in &mut samples {
            let sample = once(*kind, direct.as_deref());
            let Some(mut sample) = sample.unwrap_or_else(|error| Some(Sample::failed(&error))) else { continue };
            match *kind {
                Kind::Direct => direct = Some(Arc::new(sample.clone())),
                _ => sample.reference.clone_from(&direct),
            }
            eprintln!("  {}: {}", kind.name(), row.figure.show(sample.read(row.figure).unwrap_or_default()));
            samples.push(sample);
        }
    }
    samples.retain(|(_, samples)| !samples.is_empty());
    samples.sort_by_key(|(kind, _)| *kind);
    Ok(finding(row, samples))
}

/// Measures the usage and the upstream requests of a server during this work.
pub(in crate::throughput) fn watched(
    server: &Running,
    asked: impl Fn() -> Counts,
    work: impl FnOnce() -> io::Result<Outcome>,
) -> io::Result<Sample> {
    server.reset_peak();
    let (used, before) = (server.usage(), asked());
    let outcome = work()?;
    Ok(Sample::new(&outcome, server.usage() - used, asked() - before))
}

/// Returns the row with its samples.
pub(in crate::throughput) fn finding(row: &Row, samples: Vec<(Kind, Vec<Sample>)>) -> Finding {
    Finding { name: row.name.clone(), figure: row.figure, aims: row.aims.clone(), samples }
}

/// Adds errors to a sample that occurred outside of it.
pub(in crate::throughput) fn with_errors(mut sample: Sample, outcome: Outcome) -> Sample {
    for (why, count) in outcome.tally.errors {
        *sample.errors.entry(why).or_default() += count;
    }
    sample
}
