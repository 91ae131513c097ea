//! The byte hit ratio of the eviction policy beside plain LRU, on two traces from seeded generators: pulls by a power
//! law, and the shape of a CI fleet. Simulates; nothing is downloaded. `cargo bench -p benches --bench eviction`.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]

mod cache;
mod trace;

use cache::{Cache, Gdsf, Lru};
use trace::Trace;

fn main() {
    println!("byte hit ratio (share of the pulled bytes that upstream did not send)\n");
    println!("{:<38} {:>8} {:>8} {:>8} {:>10}", "trace", "cache", "GDSF", "LRU", "GDSF/LRU");
    for trace in [Trace::power_law(), Trace::ci_fleet()] {
        for gibibytes in trace.caches {
            let capacity = gibibytes << 30;
            let (gdsf, lru) = (ratio(&trace, Gdsf::of(capacity)), ratio(&trace, Lru::of(capacity)));
            println!("{:<38} {gibibytes:>4} GiB {gdsf:>8.3} {lru:>8.3} {:>10.2}", trace.name, gdsf / lru);
        }
    }
}

/// Returns the byte hit ratio of this cache over the second half of the trace; the first half fills it.
fn ratio(trace: &Trace, mut cache: impl Cache) -> f64 {
    let (mut hit, mut all) = (0, 0);
    for (position, (content, size)) in trace.reads.iter().enumerate() {
        let is_hit = cache.read(*content, *size);
        if position >= trace.reads.len() / 2 {
            all += size;
            hit += if is_hit { *size } else { 0 };
        }
    }
    hit as f64 / all as f64
}
