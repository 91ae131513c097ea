//! The rows of hits, as data: the measured combinations, their servers, and their aims.

use crate::throughput::contender::Kind;
use crate::throughput::results::{Aim, Bound, Figure};
use crate::throughput::row::hit::{Hit, Object, Reuse};
use crate::throughput::row::{Row, Work};

use Kind::{Distribution, Nginx, Ours, ProxyCache};
use Object::{Blob, Digest, Tag, TokenForPassword, TokenForSecret};
use Reuse::{Each, EachWithoutResumption, KeptAlive};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Maximum resident memory of this service with hundreds of downloads, in bytes.
const MAX_RESIDENT_BYTES: f64 = (64 * MIB) as f64;

/// Servers of most rows.
const LIMIT: &[Kind] = &[Ours, Nginx];
const CACHES: &[Kind] = &[Ours, Nginx, Distribution];
const EVERYONE: &[Kind] = &[Ours, Nginx, ProxyCache, Distribution];

/// Returns all rows: without TLS, with TLS, then those that need separate servers.
pub(super) fn rows() -> Vec<Row> {
    [plain(), tokens(), tls(), vec![memory()]].concat()
}

fn plain() -> Vec<Row> {
    let mut rows = Vec::new();
    for object in [Tag, Digest] {
        for method in ["GET", "HEAD"] {
            for connections in [1, 32, 256] {
                let contenders = if connections == 32 && method == "GET" { EVERYONE } else { LIMIT };
                rows.push(row(Hit { method, ..get(object, connections, KeptAlive) }, contenders));
            }
        }
    }
    for (object, method, connections) in [
        (Tag, "GET", 1),
        (Tag, "GET", 32),
        (Tag, "GET", 256),
        (Tag, "HEAD", 32),
        (Digest, "GET", 32),
        (Digest, "HEAD", 32),
    ] {
        rows.push(row(Hit { method, ..get(object, connections, Each) }, LIMIT));
    }
    for size in [KIB, 64 * KIB, MIB, 100 * MIB] {
        for connections in [1, 32, 256] {
            // The largest blob with the most connections is a separate row: see `memory`.
            if (size, connections) != (100 * MIB, 256) {
                rows.push(row(
                    get(Blob(size), connections, KeptAlive),
                    if connections == 1 { LIMIT } else { EVERYONE },
                ));
            }
        }
    }
    for (size, connections) in
        [(KIB, 1), (KIB, 32), (KIB, 256), (64 * KIB, 32), (MIB, 1), (MIB, 32), (MIB, 256), (100 * MIB, 32)]
    {
        rows.push(row(get(Blob(size), connections, Each), LIMIT));
    }
    rows
}

fn tls() -> Vec<Row> {
    let mut hits = Vec::new();
    for (object, method, connections) in [
        (Tag, "GET", 1),
        (Tag, "GET", 32),
        (Tag, "GET", 256),
        (Tag, "HEAD", 32),
        (Digest, "GET", 32),
        (Digest, "HEAD", 256),
    ] {
        hits.push(Hit { method, ..get(object, connections, KeptAlive) });
    }
    for size in [KIB, 64 * KIB, MIB, 100 * MIB] {
        hits.extend([1, 32, 256].map(|connections| get(Blob(size), connections, KeptAlive)));
    }
    for reuse in [Each, EachWithoutResumption] {
        hits.extend([1, 32, 256].map(|connections| get(Tag, connections, reuse)));
    }
    hits.push(get(Blob(64 * KIB), 32, Each));
    hits.push(get(Blob(MIB), 32, Each));
    hits.into_iter().map(|hit| row(Hit { tls: true, answers: None, ..hit }, LIMIT)).collect()
}

fn tokens() -> Vec<Row> {
    let hits = [
        get(TokenForSecret, 1, KeptAlive),
        get(TokenForSecret, 32, KeptAlive),
        get(TokenForSecret, 256, KeptAlive),
        get(TokenForSecret, 32, Each),
        get(TokenForPassword, 32, KeptAlive),
    ];
    hits.map(|hit| row(hit, &[Ours])).into()
}

/// Returns the row that measures memory: each of 256 clients downloads 100 MiB once.
fn memory() -> Row {
    let hit = Hit { answers: Some(256), alone: true, ..get(Blob(100 * MIB), 256, KeptAlive) };
    let mut row = row(hit, CACHES);
    row.aims.push(Aim::absolute(Figure::Peak, Bound::AtMost(MAX_RESIDENT_BYTES)));
    row.aims.push(Aim::at_most(Figure::Peak, 0.05, Distribution));
    row
}

fn get(object: Object, connections: usize, reuse: Reuse) -> Hit {
    // With a fixed number, each connection gets at least one complete response: an aborted one would have no latency.
    // The total is large enough for the CPU time, which is counted in hundredths of a second, to be meaningful.
    let answers = (object == Blob(100 * MIB)).then(|| (2 * connections as u64).max(64));
    Hit { object, method: "GET", connections, reuse, tls: false, answers, alone: false }
}

fn row(hit: Hit, contenders: &'static [Kind]) -> Row {
    let figure = if matches!(hit.object, Blob(size) if size >= MIB) { Figure::Throughput } else { Figure::Rate };
    Row {
        name: hit.to_string(),
        contenders: contenders.to_vec(),
        figure,
        aims: aims(&hit, figure, contenders),
        work: Work::Hit(hit),
    }
}

fn aims(hit: &Hit, figure: Figure, contenders: &[Kind]) -> Vec<Aim> {
    let many = hit.connections > 1;
    let of_nginx = match hit.object {
        Tag | Digest if many => Some(1.0),
        Blob(KIB | MIB) => Some(0.9),
        Blob(size) if size == 100 * MIB => Some(0.95),
        TokenForSecret if many => return vec![Aim::absolute(figure, Bound::AtLeast(15_000.0))],
        _ => None,
    };
    let of_nginx = of_nginx.map(|times| if hit.tls { 0.8 } else { times });
    let mut aims: Vec<Aim> = of_nginx.map(|times| Aim::at_least(figure, times, Nginx)).into_iter().collect();
    let of_distribution = match hit.object {
        Blob(MIB) => 3.0,
        Blob(size) if size == 100 * MIB => 1.25,
        _ => return aims,
    };
    if !hit.tls {
        aims.push(Aim::at_most(Figure::CpuPerGigabyte, 1.25, Nginx));
    }
    if contenders.contains(&Distribution) {
        aims.push(Aim::at_least(figure, of_distribution, Distribution));
        aims.push(Aim::at_most(Figure::CpuPerGigabyte, 0.2, Distribution));
    }
    aims
}
