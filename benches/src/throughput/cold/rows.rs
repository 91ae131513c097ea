//! The cold rows, as data: their servers and their aims.

use fake_registry::Pace;

use crate::throughput::contender::Kind;
use crate::throughput::results::{Aim, Bound, Figure};
use crate::throughput::row::cold::{Cold, FAST, Herd, SLOW, SLOWER};
use crate::throughput::row::{Row, Work};

use Kind::{Direct, Distribution, Nginx, Ours, ProxyCache};

const MIB: u64 = 1 << 20;

/// The servers that can fetch from upstream. Direct is the first of each round: the others are compared with it.
const CACHES: &[Kind] = &[Direct, Ours, ProxyCache, Distribution];

/// The same with nginx, which has all files from the start: no cache can be faster.
const CACHES_AND_LIMIT: &[Kind] = &[Direct, Ours, Nginx, ProxyCache, Distribution];

/// Servers of rows that do not use upstream.
const WARM: &[Kind] = &[Ours, Nginx, ProxyCache, Distribution];

/// Without nginx, which has all files on its disk and uses no upstream.
const PROXIES: &[Kind] = &[Ours, ProxyCache, Distribution];

/// Returns all cold rows.
pub fn rows() -> Vec<Row> {
    [single(), herds(), first_bytes(), images(), vec![memory()], dead(), vec![revalidation()]].concat()
}

fn single() -> Vec<Row> {
    let servers = [("", "slow", SLOW), ("", "fast", FAST), ("tls ", "slow", SLOW), ("tls ", "fast", FAST)];
    let of_size = |mib: u64| {
        servers.map(|(tls, name, pace)| {
            let herd = Herd { clients: 1, staggered: false, size: mib * MIB, pace, tls: !tls.is_empty() };
            let name = format!("{tls}cold blob {mib} MiB, 1 client, {name} upstream");
            let aims = [ProxyCache, Distribution].map(|peer| Aim::at_most(Figure::Seconds, 1.0, peer));
            row(name, CACHES, Figure::Seconds, Cold::Blob(herd)).with(vec![
                once_upstream(),
                aims[0],
                aims[1],
                Aim::at_most(Figure::CpuPerGigabyte, 1.1, Distribution),
            ])
        })
    };
    [of_size(100), of_size(1024)].concat()
}

fn herds() -> Vec<Row> {
    let herd = |mib: u64, name: &str, pace: Pace| {
        let herd = Herd { clients: 200, staggered: true, size: mib * MIB, pace, tls: false };
        let name = format!("herd: cold blob {mib} MiB, 200 clients arriving during one download, {name} upstream");
        row(name, CACHES_AND_LIMIT, Figure::Seconds, Cold::Blob(herd))
            .with(vec![once_upstream(), Aim::at_most(Figure::Seconds, 1.1, Nginx)])
    };
    let in_time = || Aim::absolute(Figure::TimesReference, Bound::AtMost(1.1));
    vec![
        herd(32, "slow (10 MB/s)", SLOWER).with(vec![in_time()]),
        herd(100, "slow (100 MB/s)", SLOW).with(vec![in_time()]),
        herd(100, "fast", FAST),
    ]
}

fn first_bytes() -> Vec<Row> {
    [MIB, 1024 * MIB]
        .map(|size| {
            let name = format!("first byte of a cold blob of {} MiB, upstream 50 ms away", size / MIB);
            row(name, CACHES, Figure::FirstByteP50, Cold::FirstByte(size))
                .with(vec![Aim::absolute(Figure::FirstByteAdded, Bound::AtMost(5.0))])
        })
        .into()
}

fn images() -> Vec<Row> {
    let jobs = "jobs: 200 at once pull one cold image of 10 layers, slow upstream".to_owned();
    let nodes = "nodes: 8 pull 50 cached images again, images/s".to_owned();
    vec![
        // One request for the manifest, one for the configuration, and one for each layer.
        row(jobs, CACHES_AND_LIMIT, Figure::Seconds, Cold::Jobs)
            .with(vec![Aim::absolute(Figure::Upstream, Bound::AtMost(12.0))]),
        row(nodes, WARM, Figure::Rate, Cold::Nodes),
    ]
}

fn memory() -> Row {
    let herd = Herd { clients: 256, staggered: false, size: 100 * MIB, pace: FAST, tls: false };
    let name = "memory: cold blob 100 MiB, 256 clients at once, fast upstream".to_owned();
    let aims = [Aim::absolute(Figure::Peak, Bound::AtMost((64 * MIB) as f64)), once_upstream()];
    row(name, CACHES, Figure::Peak, Cold::Blob(herd)).with(aims.into())
}

fn dead() -> Vec<Row> {
    [("that are fresh", false), ("whose freshness has run out", true)]
        .map(|(tags, run_out)| {
            let name = format!("upstream-dead: 500 pulls by tags {tags}, manifests");
            row(name, PROXIES, Figure::P99, Cold::Dead(run_out))
        })
        .into()
}

fn revalidation() -> Row {
    let name = "revalidation: 500 pulls by stale tags, upstream 200 ms away, manifests".to_owned();
    row(name, PROXIES, Figure::P99, Cold::Revalidation)
}

fn once_upstream() -> Aim {
    Aim::absolute(Figure::Upstream, Bound::AtMost(1.0))
}

fn row(name: String, contenders: &'static [Kind], figure: Figure, cold: Cold) -> Row {
    Row { name, contenders: contenders.to_vec(), figure, aims: Vec::new(), work: Work::Cold(cold) }
}

impl Row {
    fn with(mut self, aims: Vec<Aim>) -> Self {
        self.aims.extend(aims);
        self
    }
}
