//! `cargo bench -p benches --bench micro [-- FILTER]`: durations of the single steps of a pull, through the functions
//! that the service calls. Starts no server, uses no network and asserts no duration.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "what fails here ends the run, and nothing outside this binary sees its items"
)]

mod deciding;
mod images;
mod lookup;
mod mailbox;
mod parsing;
mod people;
mod spool;
mod tokens;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let criterion = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    let mut criterion = criterion.without_plots().configure_from_args();
    parsing::bench(&mut criterion);
    tokens::bench(&mut criterion);
    deciding::bench(&mut criterion);
    mailbox::bench(&mut criterion);
    spool::bench(&mut criterion);
    lookup::bench(&mut criterion);
    images::bench(&mut criterion);
    criterion.final_summary();
}
