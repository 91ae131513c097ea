//! The order in which stored content is evicted: GreedyDual-Size-Frequency (L. Cherkasova, "Improving WWW Proxies
//! Performance with Greedy-Dual-Size-Frequency Caching Policy", HP Laboratories, HPL-98-69R1, 1998). Pure: it reads no
//! clock and stores nothing.
//!
//! Each content has the priority `L + reads * cost / size` at the time of its last read. `L`, the *age* of the cache,
//! is the priority of what was evicted last, so that what was read often long ago goes in the end, too. The cost is the
//! time to fetch the content again: that of a request, which is worth [`REQUEST_BYTES`], and that of its bytes. Large
//! layers compete by their number of reads, and small content stays longer, because evicting it frees little and its
//! next pull waits for a whole request.
//!
//! Priorities and the age are stored (`store::embedded::index::files`). They must be comparable with those that an
//! earlier version stored: a priority of another meaning needs another length of the record and another key of the
//! age, or they would be misread. A rule that does not use them needs neither.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Cost of a request to upstream, in bytes that could be transferred instead: 100 ms at 10 MB/s.
const REQUEST_BYTES: f64 = 1_048_576.0;

/// Maximum number of reads that count. More would keep what was very popular for too long after it has moved, as base
/// images do; `benches/README.md` compares maxima.
const MAX_READS: u32 = 8;

/// The age of a cache: the priority of the content that was evicted last.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Age(pub f64);

/// The use of one content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use {
    /// Length in bytes.
    pub size: u64,
    /// Number of reads, the one that stored it included.
    pub reads: u32,
    /// Priority at the last read. The lowest is evicted first.
    pub priority: f64,
}

/// Selects the content to evict, from all of it in any order: that with the lowest priorities, and no more than is
/// needed. Keeps only the selected in memory.
pub struct Selection<T> {
    needed: u64,
    bytes: u64,
    /// The highest priority on top.
    chosen: BinaryHeap<Candidate<T>>,
}

struct Candidate<T> {
    usage: Use,
    what: T,
}

impl Age {
    /// Returns the use of content of this length that is stored now.
    pub fn stored(self, size: u64) -> Use {
        self.read(Use { size, reads: 0, priority: 0.0 }, 1)
    }

    /// Returns the use after this number of further reads.
    pub fn read(self, before: Use, reads: u32) -> Use {
        let reads = before.reads.saturating_add(reads).min(MAX_READS);
        // An empty blob takes a block of the disk all the same.
        let size = before.size.max(1) as f64;
        Use { reads, priority: self.0 + f64::from(reads) * (REQUEST_BYTES + size) / size, ..before }
    }

    /// Returns the age after content of this priority was evicted.
    pub fn after(self, evicted: f64) -> Self {
        Self(self.0.max(evicted))
    }
}

impl<T> Selection<T> {
    /// Selects at least this number of bytes, if there are as many.
    pub fn of(needed: u64) -> Self {
        Self { needed, bytes: 0, chosen: BinaryHeap::new() }
    }

    /// Considers one more content.
    pub fn consider(&mut self, usage: Use, what: T) {
        let is_worse = |top: &Candidate<T>| usage.priority >= top.usage.priority;
        if self.bytes >= self.needed && self.chosen.peek().is_none_or(is_worse) {
            return;
        }
        self.bytes += usage.size;
        self.chosen.push(Candidate { usage, what });
        // What is not needed any more is kept.
        while let Some(top) = self.chosen.peek()
            && self.bytes - top.usage.size >= self.needed
        {
            self.bytes -= top.usage.size;
            self.chosen.pop();
        }
    }

    /// Returns the selected content, the lowest priority first.
    pub fn chosen(self) -> Vec<(Use, T)> {
        self.chosen.into_sorted_vec().into_iter().map(|candidate| (candidate.usage, candidate.what)).collect()
    }
}

impl<T> Ord for Candidate<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.usage.priority.total_cmp(&other.usage.priority)
    }
}

impl<T> PartialOrd for Candidate<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Candidate<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Candidate<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Returns the names of what is evicted of this content for these bytes.
    fn evicted<'a>(needed: u64, uses: &[(&'a str, Use)]) -> Vec<&'a str> {
        let mut selection = Selection::of(needed);
        uses.iter().for_each(|(name, usage)| selection.consider(*usage, *name));
        selection.chosen().into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn what_is_read_seldom_goes_first_and_no_more_than_is_needed() {
        let age = Age::default();
        let read = |size, reads| age.read(age.stored(size), reads);
        let uses = [("often", read(50 * MIB, 9)), ("once", age.stored(50 * MIB)), ("twice", read(50 * MIB, 1))];
        assert_eq!(evicted(1, &uses), ["once"]);
        assert_eq!(evicted(60 * MIB, &uses), ["once", "twice"]);
        assert_eq!(evicted(1 << 40, &uses), ["once", "twice", "often"]);
        assert_eq!(evicted(0, &uses), [""; 0]);
    }

    #[test]
    fn small_content_stays_longer_than_a_large_layer() {
        let age = Age::default();
        assert_eq!(
            evicted(1, &[("manifest", age.stored(700)), ("layer", age.read(age.stored(200 * MIB), 50))]),
            ["layer"]
        );
    }

    #[test]
    fn what_was_read_often_long_ago_goes_in_the_end() {
        let mut age = Age::default();
        let old = age.read(age.stored(100 * MIB), 20);
        for _ in 0..100 {
            let passing = age.stored(100 * MIB);
            if passing.priority > old.priority {
                return;
            }
            age = age.after(passing.priority);
        }
        unreachable!("the age of the cache has not grown beyond the priority of old content: {age:?}");
    }
}
