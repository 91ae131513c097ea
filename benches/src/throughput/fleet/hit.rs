//! Hits of a replica: processor time beside that of the service without a fleet, and traffic with the engines beside
//! that of an idle time.

use std::io;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use fake_registry::Image;

use super::replicas::{Fleet, Replica, Traffic};
use super::{Samples, lab, report};
use crate::throughput::contender::{Kind, Running};
use crate::throughput::lab::Lab;
use crate::throughput::load::{Load, Request, Until};
use crate::throughput::options::Options;
use crate::throughput::results::{Figure, Sample};
use crate::throughput::row::fleet::Content;
use crate::throughput::rows::hit::warm;

/// Repository and tag of the image that is cached.
pub(super) const IMAGE: (&str, &str) = ("library/warm", "1");
/// Layers of the image: a blob of 1 KiB, and those that give the manifest its usual length.
const LAYERS: [u64; 9] = [1 << 10, 1, 2, 3, 4, 5, 6, 7, 8];
/// Number of connections.
const CONNECTIONS: usize = 32;
/// Number of pairs of measurements in a round: processor time differs by several per cent on a machine in use.
const PAIRS: usize = 5;
/// Time until a replica has shared what it has pulled.
pub(super) const SETTLING_TIME: Duration = Duration::from_secs(3);

/// Measures both kinds in turn.
pub(super) fn run(content: Content, options: &Options) -> io::Result<Samples> {
    let lab = lab()?;
    let image = publish(&lab);
    let fleet = Fleet::start(&lab)?;
    let Some(embedded) = Kind::Embedded.start(&lab, false)? else { return Ok(Samples::new()) };
    let replica = &fleet.replicas[0];
    for server in [&embedded, &replica.server] {
        fill(&lab, server, &image)?;
    }
    sleep(SETTLING_TIME);
    let (mut of_fleet, mut of_embedded) = (Vec::new(), Vec::new());
    for pair in 0..options.rounds() * if options.quick { 1 } else { PAIRS } {
        let idle = traffic_while_idle(replica, options.round());
        let of = |server| load(&lab, server, &request(content, server, &image), options.round());
        let without_fleet = || of(&embedded);
        let with_fleet = || beyond(idle, replica, || of(&replica.server));
        // The first of a pair finds other processor caches than the second.
        let (reference, sample) = if pair % 2 == 0 {
            let reference = without_fleet()?;
            (reference, with_fleet()?)
        } else {
            let sample = with_fleet()?;
            (without_fleet()?, sample)
        };
        let sample = sample.beside(&Arc::new(reference.clone()));
        report("fleet, embedded", [&sample, &reference], Figure::CpuPerThousand);
        of_fleet.push(sample);
        of_embedded.push(reference);
    }
    Ok(vec![(Kind::Ours, of_fleet), (Kind::Embedded, of_embedded)])
}

/// Publishes the image that is to be cached.
pub(super) fn publish(lab: &Lab) -> Image {
    let image = Image::generated(1, &LAYERS);
    lab.upstream.push_image(IMAGE.0, IMAGE.1, &image);
    image
}

/// Fills the cache of a server with what is requested.
pub(super) fn fill(lab: &Lab, server: &Running, image: &Image) -> io::Result<()> {
    warm(lab, server, &[Content::Manifest, Content::Blob].map(|content| request(content, server, image)))
}

/// Returns a request for a part of the image.
pub(super) fn request(content: Content, server: &Running, image: &Image) -> Request {
    let get = |path: &str, size| server.request("GET", path, None).expecting(size);
    match (content, image.layers().first()) {
        (Content::Blob, Some(blob)) => get(&server.blob(IMAGE.0, blob.digest()), blob.size()),
        _ => get(&server.manifest(IMAGE.0, IMAGE.1), image.size()),
    }
}

/// Returns what passes between a replica and the engines in this time without requests.
fn traffic_while_idle(replica: &Replica, time: Duration) -> Traffic {
    let before = replica.traffic();
    sleep(time);
    replica.traffic() - before
}

/// Adds to a measurement what passes between the replica and the engines meanwhile, beyond this.
fn beyond(idle: Traffic, replica: &Replica, measure: impl FnOnce() -> io::Result<Sample>) -> io::Result<Sample> {
    let before = replica.traffic();
    let sample = measure()?;
    let beyond = replica.traffic() - before - idle;
    let bytes = beyond.bytes as f64 / (sample.answers as f64 / 1e3);
    Ok(sample.with(Figure::EngineBytes, bytes).with(Figure::EngineConnections, beyond.connections as f64))
}

/// Measures a load of one server.
fn load(lab: &Lab, server: &Running, request: &Request, time: Duration) -> io::Result<Sample> {
    let load = Load { connections: CONNECTIONS, resumption: true, until: Until::Elapsed(time) };
    let ready = load.connect(server.target, request)?;
    server.reset_peak();
    let (used, asked) = (server.usage(), lab.upstream.counts());
    let outcome = ready.go()?;
    Ok(Sample::new(&outcome, server.usage() - used, lab.upstream.counts() - asked))
}
