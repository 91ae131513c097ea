//! Simulated caches: the product's policy, and plain LRU.

use std::collections::{BTreeMap, HashMap};

use dependency_proxy::domain::eviction::{Age, Selection, Use};

/// A cache of a fixed capacity in bytes.
pub(crate) trait Cache {
    /// Reads content of this size, and stores it if it is not there. Returns true if it was.
    fn read(&mut self, content: u64, size: u64) -> bool;
}

/// The product's policy, with its headroom: some more is evicted at a time than is needed.
pub(crate) struct Gdsf {
    capacity: u64,
    bytes: u64,
    age: Age,
    stored: HashMap<u64, Use>,
}

/// The content that was not read for the longest time goes first.
pub(crate) struct Lru {
    capacity: u64,
    bytes: u64,
    clock: u64,
    stored: HashMap<u64, (u64, u64)>,
    by_time: BTreeMap<u64, u64>,
}

impl Gdsf {
    pub(crate) fn of(capacity: u64) -> Self {
        Self { capacity, bytes: 0, age: Age::default(), stored: HashMap::new() }
    }

    fn make_room(&mut self, size: u64) {
        if self.bytes + size <= self.capacity {
            return;
        }
        let headroom = (self.capacity / 50).min(1 << 30);
        let mut selection = Selection::of(self.bytes + size - self.capacity + headroom);
        self.stored.iter().for_each(|(content, usage)| selection.consider(*usage, *content));
        for (usage, content) in selection.chosen() {
            self.stored.remove(&content);
            self.bytes -= usage.size;
            self.age = self.age.after(usage.priority);
        }
    }
}

impl Cache for Gdsf {
    fn read(&mut self, content: u64, size: u64) -> bool {
        if let Some(usage) = self.stored.get_mut(&content) {
            *usage = self.age.read(*usage, 1);
            return true;
        }
        if size <= self.capacity {
            self.make_room(size);
            self.stored.insert(content, self.age.stored(size));
            self.bytes += size;
        }
        false
    }
}

impl Lru {
    pub(crate) fn of(capacity: u64) -> Self {
        Self { capacity, bytes: 0, clock: 0, stored: HashMap::new(), by_time: BTreeMap::new() }
    }
}

impl Cache for Lru {
    fn read(&mut self, content: u64, size: u64) -> bool {
        self.clock += 1;
        if let Some((time, _)) = self.stored.get_mut(&content) {
            self.by_time.remove(time);
            *time = self.clock;
            self.by_time.insert(self.clock, content);
            return true;
        }
        if size > self.capacity {
            return false;
        }
        while self.bytes + size > self.capacity {
            let Some((_, oldest)) = self.by_time.pop_first() else { break };
            if let Some((_, freed)) = self.stored.remove(&oldest) {
                self.bytes -= freed;
            }
        }
        self.stored.insert(content, (self.clock, size));
        self.by_time.insert(self.clock, content);
        self.bytes += size;
        false
    }
}
