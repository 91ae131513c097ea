//! Hits while an engine is down: whether they succeed, and their latency beside that of the time before.

use std::io;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use engines::{Bucket, Postgres};

use super::hit::{SETTLING_TIME, fill, publish, request};
use super::replicas::{Fleet, available};
use super::{REPLICAS, Samples, lab, report};
use crate::throughput::cold::client::Client;
use crate::throughput::cold::crowd;
use crate::throughput::contender::Kind;
use crate::throughput::lab::Lab;
use crate::throughput::load::{Outcome, Request, Target};
use crate::throughput::options::Options;
use crate::throughput::results::{Figure, Sample};
use crate::throughput::row::fleet::{Content, Engine};

/// Time for which the engine is down.
const OUTAGE: Duration = Duration::from_secs(60);
/// The same for a check that everything works.
const QUICK_OUTAGE: Duration = Duration::from_secs(3);
/// Part of that time for which the hits before are measured.
const PART_BEFORE: f64 = 0.5;
/// Number of clients of all replicas together.
const CLIENTS: usize = 12;
/// Pause of a client after each hit: the processors are not busy all the time.
const HIT_INTERVAL: Duration = Duration::from_millis(2);

/// Measures as many parts of one outage as there are rounds, each beside a part of the time before.
pub(super) fn run(engine: Engine, options: &Options) -> io::Result<Samples> {
    let (mut postgres, mut bucket) = available(|| (Postgres::start(), Bucket::start()))?;
    let lab = lab()?;
    let image = publish(&lab);
    let fleet = Fleet::over(&lab, &postgres, &bucket)?;
    fleet.replicas.iter().try_for_each(|replica| fill(&lab, &replica.server, &image))?;
    sleep(SETTLING_TIME);
    let hits: Vec<_> = fleet
        .replicas
        .iter()
        .map(|replica| {
            let requests = [Content::Manifest, Content::Blob].map(|content| request(content, &replica.server, &image));
            (replica.server.target, requests)
        })
        .collect();
    let part = if options.quick { QUICK_OUTAGE } else { OUTAGE } / options.rounds() as u32;
    let measure = |time| (0..options.rounds()).map(|_| once(&lab, &fleet, &hits, time)).collect::<io::Result<Vec<_>>>();
    let before = measure(part.mul_f64(PART_BEFORE))?;
    match engine {
        Engine::Database => postgres.stop_immediately(),
        Engine::Bucket => bucket.kill(),
    }
    let during = measure(part)?;
    let beside = |(sample, before): (Sample, Sample)| {
        report("during, before", [&sample, &before], Figure::P99);
        sample.beside(&Arc::new(before))
    };
    Ok(vec![(Kind::Ours, during.into_iter().zip(before).map(beside).collect())])
}

/// Measures hits of all replicas for this time.
fn once(lab: &Lab, fleet: &Fleet, hits: &[(Target, [Request; 2])], time: Duration) -> io::Result<Sample> {
    let (used, asked) = (fleet.usage(), lab.upstream.counts());
    let outcome = load(hits, time)?;
    Ok(Sample::new(&outcome, fleet.usage() - used, lab.upstream.counts() - asked))
}

/// Lets clients, each of one replica, request manifest and blob in turn.
fn load(hits: &[(Target, [Request; 2])], time: Duration) -> io::Result<Outcome> {
    let end = Instant::now() + time;
    crowd::run(CLIENTS, HIT_INTERVAL, async |client, state| {
        let (target, requests) = &hits[client % REPLICAS];
        let mut connection = Client::new(state, *target)?;
        for request in requests.iter().cycle() {
            if Instant::now() >= end {
                break;
            }
            match connection.get(request, None).await {
                Ok(received) => state.tally.borrow_mut().received(received),
                Err(error) => state.tally.borrow_mut().failed(&error),
            }
            tokio::time::sleep(HIT_INTERVAL).await;
        }
        Ok(())
    })
}
