//! Comparison of the service with the servers that people use today, on the same machine and data, in one run.
//! `benches/README.md` describes the methods.

mod certificates;
mod cold;
mod contender;
mod fair;
mod fleet;
mod group;
mod interrupt;
mod lab;
mod load;
mod network;
mod options;
mod results;
mod row;
mod rows;
mod usage;

use std::io;
use std::path::Path;
use std::time::Instant;

use clap::Parser;

use self::contender::Kind;
use self::options::Options;
use self::results::Machine;
use crate::binary;

/// Runs the rows that the arguments of this process select. The report is written beside `temporary`, cargo's folder
/// `target/tmp`.
///
/// # Errors
///
/// Fails where the service cannot be built, a server cannot be started, or the report cannot be written.
pub fn run(temporary: &Path) -> io::Result<()> {
    let options = Options::parse();
    let rows = options.choose(rows::all());
    if options.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    }
    let is_ours_measured = rows.iter().any(|row| row.contenders.contains(&Kind::Ours));
    let binary = is_ours_measured.then(binary::path).transpose()?;
    let network = network::enter(options.congestion_control.as_deref(), binary)?;
    interrupt::watch()?;
    let machine = Machine::look(network);
    println!("{}", machine.preamble());
    println!(
        "{} rounds of {:.1} s, the servers one after another in each.",
        options.rounds(),
        options.round().as_secs_f64()
    );
    let started = Instant::now();
    let findings = rows::run(&rows, &options)?;
    println!("\n{}\n", results::table(&findings));
    let file = results::write(temporary, &machine, options.rounds(), options.round(), &findings)?;
    println!("{} rows in {:.0} s; also in {}", findings.len(), started.elapsed().as_secs_f64(), file.display());
    Ok(())
}
