//! Comparison of the service with the servers that people use today, on the same machine and data, in one run.
//! `benches/README.md` describes the methods, and `--list` names the rows.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "it prints what it finds, and nothing outside this binary sees its items"
)]

mod cold;
mod contender;
mod interrupt;
mod lab;
mod load;
mod network;
mod options;
mod origin;
mod results;
mod rows;
mod usage;

use std::io;
use std::time::Instant;

use clap::Parser;

use options::Options;
use results::Machine;

fn main() -> io::Result<()> {
    let options = Options::parse();
    let rows = options.choose(rows::all());
    if options.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    }
    let network = network::enter(options.congestion_control.as_deref())?;
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
    let file = results::write(&machine, &options, &findings)?;
    println!("{} rows in {:.0} s; also in {}", findings.len(), started.elapsed().as_secs_f64(), file.display());
    Ok(())
}
