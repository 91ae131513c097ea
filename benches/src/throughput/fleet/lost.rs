//! The replica that downloads is lost when it has half of a blob: the time for which clients of the others receive
//! nothing, and what upstream sends twice.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fake_registry::{Image, Kind as Asked, Pace};
use rustix::process::Signal;

use super::replicas::{Fleet, Replica};
use super::{REPLICAS, Samples, lab};
use crate::throughput::cold::client::Client;
use crate::throughput::cold::crowd::{self, ThreadState};
use crate::throughput::contender::{Kind, Running};
use crate::throughput::lab::Lab;
use crate::throughput::load::{Connection, Request};
use crate::throughput::options::Options;
use crate::throughput::results::{Figure, Sample};
use crate::throughput::row::fleet::Loss;

const REPOSITORY: &str = "library/lost";
/// So large that what the kernel receives for a replica that is stopped, some megabytes, is a small part of it.
const SIZE: u64 = 200 << 20;
/// Upstream sends the blob in seven seconds.
const PACE: Pace = Pace { latency: Duration::from_millis(50), bytes_per_second: Some(30_000_000) };
/// Number of clients of each of the other replicas.
const CLIENTS_EACH: usize = 10;
/// Bytes that the first replica has received before clients of the others arrive: it is the one that downloads.
const HEAD_START: u64 = 4 << 20;
/// Time between two looks at what others have received.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Seed of the content of the first round.
const SEED: u64 = 600;

/// Measures a new fleet in each round.
pub(super) fn run(loss: Loss, options: &Options) -> io::Result<Samples> {
    let mut samples = Vec::new();
    for round in 0..options.rounds() {
        let lab = lab()?;
        let image = Image::generated(SEED + round as u64, &[SIZE]);
        lab.upstream.push_image(REPOSITORY, "1", &image);
        let fleet = Fleet::start(&lab)?;
        let sample = once(&lab, &fleet, &image, loss)?;
        let shown = [Figure::Stall, Figure::BlobGets, Figure::UpstreamTimesSize, Figure::Errors];
        let shown = shown.map(|figure| sample.read(figure).map_or_else(|| "-".to_owned(), |value| figure.show(value)));
        eprintln!("  stall {}, {} GETs, {} of the size, {} errors", shown[0], shown[1], shown[2], shown[3]);
        samples.push(sample);
    }
    Ok(vec![(Kind::Ours, samples)])
}

/// The download of one round, as its clients share it.
struct Download<'a> {
    fleet: &'a Fleet,
    loss: Loss,
    /// Number of bytes that the client of the first replica has received.
    received: AtomicU64,
    /// Time at which the first replica was lost.
    lost_at: Mutex<Option<Instant>>,
    /// Number of other clients that have ended.
    ended: AtomicUsize,
    /// Longest time in microseconds for which one of them has received nothing since then.
    stall: AtomicU64,
}

fn once(lab: &Lab, fleet: &Fleet, image: &Image, loss: Loss) -> io::Result<Sample> {
    for replica in &fleet.replicas {
        manifest(&replica.server, image)?;
    }
    lab.upstream.set_pace(PACE);
    let received = || fleet.replicas.iter().map(Replica::upstream_bytes).sum::<u64>();
    let download = Download {
        fleet,
        loss,
        received: AtomicU64::new(0),
        lost_at: Mutex::default(),
        ended: AtomicUsize::new(0),
        stall: AtomicU64::new(0),
    };
    let (asked, bytes, used) = (lab.upstream.counts(), received(), fleet.usage());
    let clients = 1 + CLIENTS_EACH * (REPLICAS - 1);
    let outcome = crowd::run(clients, Duration::ZERO, async |client, state| match client {
        0 => download.lead(state, image).await,
        _ => download.follow(state, 1 + client % (REPLICAS - 1), image).await,
    })?;
    let asked = lab.upstream.counts() - asked;
    let bytes = received() - bytes;
    check(fleet, image)?;
    let stall = download.stall.load(Ordering::Relaxed) as f64 / 1e6;
    Ok(Sample::new(&outcome, fleet.usage() - used, asked)
        .with(Figure::Stall, stall)
        .with(Figure::BlobGets, asked.of(Asked::BlobDownload) as f64)
        .with(Figure::UpstreamTimesSize, bytes as f64 / SIZE as f64))
}

impl Download<'_> {
    /// Downloads from the first replica, which is lost at half, until the other clients have ended.
    async fn lead(&self, state: &ThreadState, image: &Image) -> io::Result<()> {
        let server = &self.fleet.replicas[0].server;
        let request = blob(server, image);
        let mut connection = Connection::open(server.target.address, None).await?;
        let see = |bytes: &[u8]| {
            let received = self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
            if received >= SIZE / 2 {
                self.lose();
            }
        };
        let download = async {
            // That it fails is the purpose.
            let _ = connection.request(&request, Instant::now(), &state.buffer, see).await;
            std::future::pending::<()>().await;
        };
        let others = async {
            while self.ended.load(Ordering::Relaxed) < CLIENTS_EACH * (REPLICAS - 1) {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::select! { () = download => (), () = others => () }
        Ok(())
    }

    /// Downloads from another replica.
    async fn follow(&self, state: &ThreadState, replica: usize, image: &Image) -> io::Result<()> {
        while self.received.load(Ordering::Relaxed) < HEAD_START {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let downloaded = self.measure(state, &self.fleet.replicas[replica].server, image).await;
        self.ended.fetch_add(1, Ordering::Relaxed);
        downloaded
    }

    async fn measure(&self, state: &ThreadState, server: &Running, image: &Image) -> io::Result<()> {
        let request = blob(server, image);
        let mut connection = Connection::open(server.target.address, None).await?;
        connection.discard(true);
        let mut last = Instant::now();
        let see = |bytes: &[u8]| {
            state.tally.borrow_mut().bytes += bytes.len() as u64;
            let now = Instant::now();
            if self.lost_at.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                self.stall.fetch_max((now - last).as_micros() as u64, Ordering::Relaxed);
            }
            last = now;
        };
        let received = connection.request(&request, Instant::now(), &state.buffer, see).await?;
        state.tally.borrow_mut().received(received);
        Ok(())
    }

    /// Loses the first replica, once.
    fn lose(&self) {
        let mut lost_at = self.lost_at.lock().unwrap_or_else(PoisonError::into_inner);
        if lost_at.is_some() {
            return;
        }
        *lost_at = Some(Instant::now());
        let replica = &self.fleet.replicas[0];
        let lost = match self.loss {
            Loss::Killed => replica.server.signal(Signal::KILL),
            Loss::Stopped => replica.server.signal(Signal::STOP),
            Loss::CutOff => {
                replica.cut_off();
                Ok(())
            }
        };
        if let Err(error) = lost {
            eprintln!("  the replica cannot be lost: {error}");
        }
    }
}

/// Pulls the manifest, which gives a link to the blob.
fn manifest(server: &Running, image: &Image) -> io::Result<()> {
    let request = server.request("GET", &server.manifest(REPOSITORY, "1"), None).expecting(image.size());
    crate::throughput::load::get(server.target, &request).map(drop)
}

fn blob(server: &Running, image: &Image) -> Request {
    let blob = &image.layers()[0];
    server.request("GET", &server.blob(REPOSITORY, blob.digest()), None).expecting(blob.size())
}

/// Downloads from the other replicas again, and checks the digest.
fn check(fleet: &Fleet, image: &Image) -> io::Result<()> {
    let checked = crowd::run(REPLICAS - 1, Duration::ZERO, async |client, state| {
        let server = &fleet.replicas[client + 1].server;
        let digest = image.layers()[0].digest();
        Client::new(state, server.target)?.get(&blob(server, image), Some(digest)).await.map(drop)
    })?;
    checked.tally.errors.into_keys().next().map_or(Ok(()), |error| Err(io::Error::other(error)))
}
