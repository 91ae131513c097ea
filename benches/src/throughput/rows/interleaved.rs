//! Measurement of servers in turn, so that a disturbance of the machine affects all of them.

use std::io;

use crate::throughput::contender::{Kind, Running};
use crate::throughput::results::{Finding, Sample};
use crate::throughput::row::Row;

/// Measures a row with these servers, interleaved: in each round one after another.
pub(super) fn measure(
    row: &Row,
    servers: &[Running],
    rounds: usize,
    mut once: impl FnMut(&Running) -> io::Result<Sample>,
) -> Finding {
    eprintln!("{}", row.name);
    let servers: Vec<&Running> = servers.iter().filter(|server| row.contenders.contains(&server.kind)).collect();
    let mut samples: Vec<(Kind, Vec<Sample>)> = servers.iter().map(|server| (server.kind, Vec::new())).collect();
    for _ in 0..rounds {
        for (server, (_, samples)) in servers.iter().zip(&mut samples) {
            samples.push(once(server).unwrap_or_else(|error| Sample::failed(&error)));
        }
    }
    Finding { name: row.name.clone(), figure: row.figure, aims: row.aims.clone(), samples }
}
