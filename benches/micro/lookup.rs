//! Look-ups of links and tags in the index on disk, as for those that are not in memory. The looked-up entries are
//! spread over the whole index.

use std::cell::LazyCell;
use std::hint::black_box;
use std::path::Path;

use criterion::Criterion;
use dependency_proxy::domain::id::GroupId;
use dependency_proxy::store::embedded::index::Index;

use benches::filled::{self, Kind};

/// A group without entries.
const STRANGER: GroupId = GroupId(filled::GROUPS + 1);

pub fn bench(criterion: &mut Criterion) {
    for entries in [10_000, 1_000_000] {
        let mut group = criterion.benchmark_group(format!("index of {entries} entries"));
        for kind in [Kind::Links, Kind::Tags] {
            // Opened at the first benchmark that runs, because a filter may exclude all of them.
            let index = LazyCell::new(|| open(kind, entries));
            for (name, found, look_up) in cases(kind) {
                let mut numbers = spread(entries);
                group.bench_function(name, |bencher| {
                    let index: &Index = &index;
                    bencher.iter(|| assert_eq!(look_up(index, black_box(numbers())), found));
                });
            }
        }
        group.finish();
    }
}

fn open(kind: Kind, entries: u64) -> Index {
    let folder = filled::folder(Path::new(env!("CARGO_TARGET_TMPDIR")), kind, entries);
    let index = Index::open(&folder, &folder).unwrap();
    index.check_against_files().unwrap();
    index
}

/// Look-up that returns true where entry `number` exists.
type LookUp = fn(&Index, number: u64) -> bool;

/// Returns the cases: name, whether the entry exists, and the look-up.
fn cases(kind: Kind) -> [(&'static str, bool, LookUp); 2] {
    match kind {
        Kind::Links => [
            ("link/there", true, |index, number| {
                let link = index.link(filled::group(number), &filled::origin(number), &filled::digest(number));
                link.unwrap().is_some_and(|link| link.is_granted())
            }),
            ("link/of another group", false, |index, number| {
                index.link(STRANGER, &filled::origin(number), &filled::digest(number)).unwrap().is_some()
            }),
        ],
        Kind::Tags => [
            ("tag/there", true, |index, number| {
                index.tag(&filled::origin(number), &filled::tag(number)).unwrap().is_some()
            }),
            ("tag/not there", false, |index, number| {
                index.tag(&filled::origin(number), &"latest".parse().unwrap()).unwrap().is_some()
            }),
        ],
    }
}

/// Returns numbers below `end` in a pseudo-random order, the same in every run.
fn spread(end: u64) -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    }
}
