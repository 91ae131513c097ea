//! One download for all replicas: clients of all of them arrive while one replica receives a blob that none has.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fake_registry::{Image, Kind as Asked};

use super::replicas::Fleet;
use super::{REPLICAS, Samples, lab, report};
use crate::throughput::cold::client::Client;
use crate::throughput::cold::crowd::{self, ThreadState};
use crate::throughput::contender::{Kind, Running};
use crate::throughput::lab::Lab;
use crate::throughput::options::Options;
use crate::throughput::results::{Figure, Sample};
use crate::throughput::row::cold::SLOWER;

const REPOSITORY: &str = "library/cold";
const SIZE: u64 = 32 << 20;
const CLIENTS: usize = 300;
/// Seed of the content of the first round.
const SEED: u64 = 500;

/// Measures a new blob in each round.
pub(super) fn run(options: &Options) -> io::Result<Samples> {
    let lab = lab()?;
    lab.upstream.set_pace(SLOWER);
    let fleet = Fleet::start(&lab)?;
    let Some(direct) = Kind::Direct.start(&lab, false)? else { return Ok(Samples::new()) };
    let (mut of_fleet, mut of_direct) = (Vec::new(), Vec::new());
    for round in 0..options.rounds() {
        let (tag, image) = (round.to_string(), Image::generated(SEED + round as u64, &[SIZE]));
        lab.upstream.push_image(REPOSITORY, &tag, &image);
        let reference = Arc::new(alone(&direct, &tag, &image)?);
        let sample = once(&lab, &fleet, (&tag, &image), reference.seconds)?.beside(&reference);
        report("fleet, direct", [&sample, &reference], Figure::Seconds);
        report_gets(&sample);
        of_fleet.push(sample);
        of_direct.push(reference.as_ref().clone());
    }
    Ok(vec![(Kind::Ours, of_fleet), (Kind::Direct, of_direct)])
}

/// Measures one client of upstream.
fn alone(direct: &Running, tag: &str, image: &Image) -> io::Result<Sample> {
    let outcome =
        crowd::run(1, Duration::ZERO, async |_, state| pull(state, direct, (tag, image), false).await.map(drop))?;
    Ok(Sample::new(&outcome, direct.usage(), fake_registry::Counts::default()))
}

/// Measures clients that arrive over this number of seconds, each at the next replica.
fn once(lab: &Lab, fleet: &Fleet, image: (&str, &Image), seconds: f64) -> io::Result<Sample> {
    let firsts = Mutex::new([None; REPLICAS]);
    let received = || fleet.replicas.iter().map(|replica| replica.upstream_bytes()).collect::<Vec<_>>();
    let (asked, before, used) = (lab.upstream.counts(), received(), fleet.usage());
    let outcome = crowd::run(CLIENTS, Duration::from_secs_f64(seconds), async |client, state| {
        let replica = client % REPLICAS;
        let is_first = client < REPLICAS;
        let first = pull(state, &fleet.replicas[replica].server, image, is_first).await?;
        if is_first {
            firsts.lock().unwrap_or_else(PoisonError::into_inner)[replica] = Some(first);
        }
        Ok(())
    })?;
    let asked = lab.upstream.counts() - asked;
    let bytes: Vec<u64> = received().iter().zip(before).map(|(after, before)| after - before).collect();
    let mut sample = Sample::new(&outcome, fleet.usage() - used, asked)
        .with(Figure::ManifestGets, asked.of(Asked::ManifestGet) as f64)
        .with(Figure::BlobGets, asked.of(Asked::BlobDownload) as f64)
        .with(Figure::UpstreamTimesSize, bytes.iter().sum::<u64>() as f64 / SIZE as f64);
    let firsts = firsts.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(later) = later_at_followers(&bytes, firsts) {
        sample = sample.with(Figure::FollowerFirstByte, later.as_secs_f64() * 1e3);
    }
    Ok(sample)
}

/// The request of a client for the blob, and the first byte of its response.
#[derive(Clone, Copy)]
struct First {
    requested: Instant,
    byte: Instant,
}

/// Returns the longest time from the first byte at the replica with most bytes from upstream to that at another one, or
/// from the request to the other, if that came later.
fn later_at_followers(bytes: &[u64], firsts: [Option<First>; REPLICAS]) -> Option<Duration> {
    let leader = firsts[(0..REPLICAS).max_by_key(|replica| bytes[*replica])?]?;
    let later = |first: &First| first.byte.saturating_duration_since(leader.byte.max(first.requested));
    firsts.iter().flatten().map(later).max()
}

/// Pulls the manifest and the blob. Returns the times of the blob.
async fn pull(state: &ThreadState, server: &Running, (tag, image): (&str, &Image), check: bool) -> io::Result<First> {
    let blob = &image.layers()[0];
    let get = |path: &str, size| server.request("GET", path, None).expecting(size);
    let mut client = Client::new(state, server.target)?;
    client.get(&get(&server.manifest(REPOSITORY, tag), image.size()), None).await?;
    let request = get(&server.blob(REPOSITORY, blob.digest()), blob.size());
    let requested = Instant::now();
    let received = client.get(&request, check.then_some(blob.digest())).await?;
    state.tally.borrow_mut().received(received);
    Ok(First { requested, byte: requested + received.first_byte })
}

fn report_gets(sample: &Sample) {
    let [manifests, blobs, later] = [Figure::ManifestGets, Figure::BlobGets, Figure::FollowerFirstByte]
        .map(|figure| sample.read(figure).map_or_else(|| "-".to_owned(), |value| figure.show(value)));
    eprintln!("  GETs upstream: {manifests} of the manifest, {blobs} of the blob; followers {later} later");
}
