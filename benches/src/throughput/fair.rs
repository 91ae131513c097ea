//! Pulls of one group beside other clients: what a herd of another group, idle connections and stalled readers do to
//! them. Each is compared with the same pulls without those clients, on the same server just before.
//!
//! All clients and upstream would run on other machines. Here they share the processors with the server, so that the
//! other clients and upstream run at the lowest priority, where they get the time that the server and the measured
//! clients leave, and the measured clients at the highest, where none of their time is a wait for a processor.

mod herd;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_registry::Image;

use self::herd::Herd;
use super::cold::{crowd, pull::Pull, round, small::Small};
use super::contender::{Kind, Running};
use super::lab::Lab;
use super::options::Options;
use super::results::{Aim, Bound, Figure, Finding, Sample};
use super::row::fair::Beside;
use super::row::{Row, Work};

/// Repository and tag of the image whose manifest and blob the herds request.
const LARGE: (&str, &str) = ("library/large", "1");
const LARGE_BYTES: u64 = 100 << 20;
/// Images that the measured clients pull.
const IMAGES: usize = 50;
const CLIENTS: usize = 4;
/// Pause of a measured client after each pull: they alone must not use all of the processors.
const PULL_INTERVAL: Duration = Duration::from_millis(5);
/// Multiple of the usual round, so that the slowest hundredth has several pulls.
const ROUNDS_EACH: u32 = 2;

/// Returns all rows.
pub fn rows() -> Vec<Row> {
    let herds =
        [Beside::Manifests(256), Beside::Blobs(256), Beside::Cold(200)].map(|beside| (beside, Figure::P99, 1.5));
    let silent = (Beside::Silent, Figure::P50, 1.1);
    let pages = (Beside::Pages(4), Figure::P99, 1.1);
    herds.into_iter().chain([pages, silent]).map(|(beside, figure, most)| row(beside, figure, most)).collect()
}

fn row(beside: Beside, figure: Figure, most: f64) -> Row {
    let of_reference = if figure == Figure::P99 { Figure::P99TimesReference } else { Figure::P50TimesReference };
    let aims =
        vec![Aim::absolute(of_reference, Bound::AtMost(most)), Aim::absolute(Figure::Errors, Bound::AtMost(0.0))];
    let contenders = match beside {
        // The static server has neither upstream nor pages.
        Beside::Cold(_) | Beside::Pages(_) => vec![Kind::Ours],
        _ => vec![Kind::Ours, Kind::Nginx],
    };
    Row { name: beside.to_string(), contenders, figure, aims, work: Work::Fair(beside) }
}

/// Measures one row.
pub fn run(row: &Row, beside: Beside, options: &Options) -> io::Result<Finding> {
    eprintln!("{}", row.name);
    let lab = herd::at_lowest_priority(Lab::new)??;
    let small = Small::publish(&lab, IMAGES, 1);
    let large = Image::generated(1, &[LARGE_BYTES]);
    lab.upstream.push_image(LARGE.0, LARGE.1, &large);
    let started = row.contenders.iter().filter_map(|kind| kind.start(&lab, false).transpose());
    let servers = started.collect::<io::Result<Vec<Running>>>()?;
    for server in &servers {
        small.warm(&lab, &server.other_group())?;
        pull_twice(server, &large)?;
    }
    let mut samples: Vec<_> = servers.iter().map(|server| (server.kind, Vec::new())).collect();
    for number in 0..options.rounds() {
        for (server, (_, samples)) in servers.iter().zip(&mut samples) {
            let pulls = small.pulls(&server.other_group());
            let time = options.round() * ROUNDS_EACH;
            let measured = || herd::at_highest_priority(|| watched(&lab, server, &pulls, time))?;
            let alone = measured()?;
            let herd = Herd::start(beside, server, &lab, &large, number)?;
            let mut sample = measured()?;
            let done = herd.end()?;
            let shown = [&alone, &sample].map(|sample| sample.read(row.figure));
            eprintln!("  {}: {shown:?} ms, {} pulls; {done}", server.kind.name(), sample.answers);
            sample.reference = Some(Arc::new(alone));
            samples.push(sample);
        }
    }
    Ok(round::finding(row, samples))
}

/// Pulls the image, twice, because the first pull of it fills the cache.
fn pull_twice(server: &Running, image: &Image) -> io::Result<()> {
    let pull = Pull::new(server, LARGE.0, LARGE.1, image);
    for _ in 0..2 {
        let pulled = crowd::run(1, Duration::ZERO, async |_, state| pull.run(state, true).await.map(|_| ()))?;
        if let Some(why) = pulled.tally.errors.keys().next() {
            return Err(io::Error::other(why.clone()));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Measures the pulls for this time.
fn watched(lab: &Lab, server: &Running, pulls: &[Pull], time: Duration) -> io::Result<Sample> {
    round::watched(
        server,
        || lab.upstream.counts(),
        || {
            let end = Instant::now() + time;
            crowd::run(CLIENTS, PULL_INTERVAL, async |client, state| {
                for pull in pulls.iter().cycle().skip(client * pulls.len() / CLIENTS) {
                    if Instant::now() >= end {
                        break;
                    }
                    match pull.run(state, false).await {
                        Ok(pulled) => state.tally.borrow_mut().received(pulled.received()),
                        Err(error) => state.tally.borrow_mut().failed(&error),
                    }
                    tokio::time::sleep(PULL_INTERVAL).await;
                }
                Ok(())
            })
        },
    )
}
