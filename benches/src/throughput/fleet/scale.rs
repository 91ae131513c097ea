//! Hits of several replicas beside those of one, where each may use the same share of a processor.

use std::io;
use std::sync::Arc;
use std::thread::{self, sleep};

use fake_registry::{Counts, Image};

use super::hit::{SETTLING_TIME, fill, publish, request};
use super::quota::Quota;
use super::replicas::{Fleet, Replica};
use super::{REPLICAS, Samples, lab, report};
use crate::throughput::contender::Kind;
use crate::throughput::lab::Lab;
use crate::throughput::load::{Load, Outcome, Tally, Until};
use crate::throughput::options::Options;
use crate::throughput::results::{Figure, Sample};
use crate::throughput::row::fleet::Content;
use crate::throughput::usage::Usage;

/// Share of a processor that a replica may use. With half of one, three would use one and a half, and the load
/// generator would be the limit on a machine with two.
const SHARE: f64 = 0.2;
/// Number of connections to each replica.
const CONNECTIONS: usize = 16;
/// Multiple of the usual round: a share is given for each tenth of a second.
const ROUNDS_EACH: u32 = 2;

/// Measures one replica and all of them in turn.
pub(super) fn run(options: &Options) -> io::Result<Samples> {
    let lab = lab()?;
    let image = publish(&lab);
    let limited = Limited::start(&lab)?;
    let replicas = &limited.fleet.replicas;
    replicas.iter().try_for_each(|replica| fill(&lab, &replica.server, &image))?;
    sleep(SETTLING_TIME);
    let (mut of_all, mut of_one) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        let reference = Arc::new(once(&replicas[..1], &image, options)?);
        let sample = once(replicas, &image, options)?.beside(&reference);
        report("3 replicas, 1", [&sample, &reference], Figure::Rate);
        let used = [&sample, &*reference].map(|sample| sample.usage.cpu_seconds / sample.seconds);
        eprintln!("  they used {:.2} and {:.2} of a processor", used[0], used[1]);
        of_all.push(sample);
        of_one.push(reference.as_ref().clone());
    }
    Ok(vec![(Kind::Ours, of_all), (Kind::OneReplica, of_one)])
}

/// A fleet each of whose replicas may use [`SHARE`] of a processor, or more. It ends before its control groups.
pub(super) struct Limited {
    pub(super) fleet: Fleet,
    _quotas: Vec<Quota>,
}

impl Limited {
    /// Starts it, and then sets the limits.
    pub(super) fn start(lab: &Lab) -> io::Result<Self> {
        let quotas = (0..REPLICAS).map(|number| Quota::new(number, SHARE)).collect::<io::Result<Vec<_>>>()?;
        let fleet = Fleet::start(lab)?;
        for (replica, quota) in fleet.replicas.iter().zip(&quotas) {
            quota.enter(replica.server.process()?)?;
        }
        Ok(Self { fleet, _quotas: quotas })
    }

    /// Returns a fleet without limits.
    pub(super) fn without(fleet: Fleet) -> Self {
        Self { fleet, _quotas: Vec::new() }
    }
}

/// Measures these replicas at the same time.
fn once(replicas: &[Replica], image: &Image, options: &Options) -> io::Result<Sample> {
    let until = Until::Elapsed(options.round() * ROUNDS_EACH);
    let load = Load { connections: CONNECTIONS, resumption: true, until };
    let connect =
        |replica: &Replica| load.connect(replica.server.target, &request(Content::Manifest, &replica.server, image));
    let ready = replicas.iter().map(connect).collect::<io::Result<Vec<_>>>()?;
    let used = || replicas.iter().map(|replica| replica.server.usage()).sum::<Usage>();
    let before = used();
    let outcomes = thread::scope(|scope| {
        let running: Vec<_> = ready.into_iter().map(|ready| scope.spawn(|| ready.go())).collect();
        let ended = running.into_iter().map(|load| load.join().map_err(|_| io::Error::other("a load panicked"))?);
        ended.collect::<io::Result<Vec<_>>>()
    })?;
    Ok(Sample::new(&together(&outcomes), used() - before, Counts::default()))
}

/// Returns loads that ran at the same time as one.
fn together(outcomes: &[Outcome]) -> Outcome {
    let mut all = Outcome { seconds: 0.0, tally: Tally::default() };
    for outcome in outcomes {
        all.seconds = all.seconds.max(outcome.seconds);
        all.tally.add(&outcome.tally);
    }
    all
}
