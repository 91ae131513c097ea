//! Pulls of small images that no replica has, from all replicas beside one, and beside the service without a fleet.
//!
//! Replicas add to the index of a fleet one after another: each transaction takes the turn first
//! (`src/store/fleet/content_events.rs`). A pull does not wait for it, so the rows also have the time from the last
//! pull until all is added, and the number of sessions that wait for a lock meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use engines::Database;
use fake_registry::{Counts, Image};

use super::replicas::Fleet;
use super::scale::Limited;
use super::{Samples, lab, report};
use crate::throughput::cold::crowd;
use crate::throughput::cold::pull::Pull;
use crate::throughput::contender::{Kind, Running};
use crate::throughput::lab::Lab;
use crate::throughput::load::Outcome;
use crate::throughput::options::Options;
use crate::throughput::results::{Figure, Sample};

const REPOSITORY: &str = "library/cold";
/// Sizes of the layers of an image in bytes.
const LAYERS: [u64; 3] = [16 << 10, 8 << 10, 4 << 10];
/// Number of images that are pulled at a time, each by one client, and of those of a check that everything works.
const IMAGES: u64 = 600;
const QUICK_IMAGES: u64 = 48;
const CLIENTS: usize = 24;
const SEED: u64 = 2_000_000;
/// Maximum time until everything is added to the index.
const SHARED_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Returns the mean number of sessions of replicas that wait for a lock, over a fifth of a second.
const WAITERS: &str = "CREATE OR REPLACE FUNCTION waiters() RETURNS float LANGUAGE plpgsql AS $$ \
    DECLARE sum float := 0; BEGIN FOR look IN 1..40 LOOP PERFORM pg_sleep(0.005); PERFORM pg_stat_clear_snapshot(); \
    sum := sum + (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND wait_event_type = 'Lock'); END LOOP; RETURN sum / 40; END $$";

/// Measures one replica, all of them, and the service without a fleet in turn.
pub(super) fn run(limited: bool, options: &Options) -> io::Result<Samples> {
    let lab = lab()?;
    let started = if limited { Limited::start(&lab)? } else { Limited::without(Fleet::start(&lab)?) };
    let fleet = &started.fleet;
    fleet.database.query(WAITERS);
    let embedded = Kind::Embedded.start(&lab, false)?.filter(|_| !limited);
    let mut next = Next { seed: SEED, images: if options.quick { QUICK_IMAGES } else { IMAGES } };
    let mut samples = [(Kind::Ours, Vec::new()), (Kind::OneReplica, Vec::new()), (Kind::Embedded, Vec::new())];
    let all: Vec<&Running> = fleet.replicas.iter().map(|replica| &replica.server).collect();
    for _ in 0..options.rounds() {
        if let Some(embedded) = &embedded {
            let pulls = next.pulls(&lab, &[embedded]);
            let used = embedded.usage();
            samples[2].1.push(Sample::new(&load(&pulls)?, embedded.usage() - used, Counts::default()));
        }
        let reference = Arc::new(once(fleet, &next.pulls(&lab, &all[..1]))?);
        let sample = once(fleet, &next.pulls(&lab, &all))?.beside(&reference);
        for figure in [Figure::Rate, Figure::P99, Figure::SharedAfter, Figure::LockWaiters] {
            report(&format!("3 replicas, 1: {}", figure.word()), [&sample, &reference], figure);
        }
        samples[0].1.push(sample);
        samples[1].1.push(reference.as_ref().clone());
    }
    Ok(samples.into_iter().filter(|(_, samples)| !samples.is_empty()).collect())
}

/// The next images that nobody has.
struct Next {
    seed: u64,
    images: u64,
}

impl Next {
    /// Publishes images, and returns their pulls, each from the next of these servers.
    fn pulls(&mut self, lab: &Lab, servers: &[&Running]) -> Vec<Pull> {
        let first = self.seed;
        self.seed += self.images;
        let pull = |(server, seed): (&&Running, u64)| {
            let (tag, image) = (seed.to_string(), Image::generated(seed, &LAYERS));
            lab.upstream.push_image(REPOSITORY, &tag, &image);
            Pull::new(server, REPOSITORY, &tag, &image)
        };
        servers.iter().cycle().zip(first..self.seed).map(pull).collect()
    }
}

/// Measures pulls of a fleet, until all of it knows of them.
fn once(fleet: &Fleet, pulls: &[Pull]) -> io::Result<Sample> {
    let database = &fleet.database;
    let (known, used) = (images(database), fleet.usage());
    let is_over = AtomicBool::new(false);
    let (outcome, waiters) = thread::scope(|scope| {
        let waiters = scope.spawn(|| mean_of_waiters(database, &is_over));
        let outcome = load(pulls);
        let used = fleet.usage() - used;
        is_over.store(true, Ordering::Relaxed);
        (outcome.map(|outcome| (outcome, used)), waiters.join())
    });
    let (outcome, used) = outcome?;
    let ended = Instant::now();
    while images(database) < known + pulls.len() as u64 && ended.elapsed() < SHARED_TIMEOUT {
        sleep(LOOK_INTERVAL);
    }
    let shared_after = ended.elapsed().as_secs_f64();
    Ok(Sample::new(&outcome, used, Counts::default())
        .with(Figure::SharedAfter, shared_after)
        .with(Figure::LockWaiters, waiters.unwrap_or(f64::NAN)))
}

/// Lets clients pull, each image once.
fn load(pulls: &[Pull]) -> io::Result<Outcome> {
    let next = AtomicUsize::new(0);
    crowd::run(CLIENTS, Duration::ZERO, async |_, state| {
        while let Some(pull) = pulls.get(next.fetch_add(1, Ordering::Relaxed)) {
            match pull.run(state, false).await {
                Ok(pulled) => state.tally.borrow_mut().received(pulled.received()),
                Err(error) => state.tally.borrow_mut().failed(&error),
            }
        }
        Ok(())
    })
}

/// Returns the number of images in the index of the fleet.
fn images(database: &Database) -> u64 {
    database.query("SELECT count(*) FROM image").parse().unwrap_or(0)
}

/// Returns the mean number of sessions that wait for a lock until the flag is set.
fn mean_of_waiters(database: &Database, is_over: &AtomicBool) -> f64 {
    let mut looks = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        looks.extend(database.query("SELECT waiters()").parse::<f64>());
    }
    looks.iter().sum::<f64>() / looks.len() as f64
}
