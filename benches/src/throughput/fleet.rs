//! Replicas of the service over PostgreSQL and an object store: what a fleet costs a hit, what it shares, and what its
//! clients notice of replicas and engines that are lost. `benches/README.md` describes the method of each row.

mod cold;
mod download;
mod hit;
mod lost;
mod outage;
mod quota;
mod replicas;
mod rows;
mod scale;

use std::io;

pub use rows::rows;

use super::cold::round;
use super::contender::Kind;
use super::lab::Lab;
use super::options::Options;
use super::results::{Finding, Sample};
use super::row::Row;
use super::row::fleet::Shared;

/// Number of replicas of each fleet.
const REPLICAS: usize = 3;

/// Time to live of tags in seconds: none becomes stale during a row of hits.
const TTL_SECONDS: u32 = 3600;

/// Samples of each server of a row.
type Samples = Vec<(Kind, Vec<Sample>)>;

/// Measures one row. One that cannot be measured here has its reason among its errors.
pub fn run(row: &Row, shared: Shared, options: &Options) -> Finding {
    eprintln!("{}", row.name);
    let samples = match shared {
        Shared::Hit(content) => hit::run(content, options),
        Shared::Hits => scale::run(options),
        Shared::Download => download::run(options),
        Shared::Lost(loss) => lost::run(loss, options),
        Shared::Outage(engine) => outage::run(engine, options),
        Shared::Cold(limited) => cold::run(limited, options),
    };
    let samples = samples.unwrap_or_else(|error| vec![(Kind::Ours, vec![Sample::failed(&error)])]);
    for (error, count) in samples.iter().flat_map(|(_, samples)| samples).flat_map(|sample| &sample.errors) {
        eprintln!("  {count} x {error}");
    }
    round::finding(row, samples)
}

/// Returns a lab whose tags stay fresh.
fn lab() -> io::Result<Lab> {
    let mut lab = Lab::new()?;
    lab.tag_freshness = Some(TTL_SECONDS);
    Ok(lab)
}

/// Prints the figure of both samples of a round.
fn report(row: &str, samples: [&Sample; 2], figure: super::results::Figure) {
    let shown = samples.map(|sample| sample.read(figure).map_or_else(|| "-".to_owned(), |value| figure.show(value)));
    eprintln!("  {row}: {} and {}", shown[0], shown[1]);
}
