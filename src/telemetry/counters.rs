//! Counters that every pull moves: looked up by name and label once, not at each pull. What a label may say is fixed in the code.

use std::sync::LazyLock;

use metrics::Counter;

/// Counters of one name, told apart by a label with a few fixed words.
pub struct CountersBy(Vec<(&'static str, Counter)>);

impl CountersBy {
    /// A counter for each of these words, looked up by `counter`. To be made once it is first needed: by then it is settled whether
    /// anything is counted.
    pub fn new(words: &[&'static str], counter: fn(&'static str) -> Counter) -> Self {
        Self(words.iter().map(|word| (*word, counter(word))).collect())
    }

    /// Counts one of this word; nothing if it is not one of them.
    pub fn count(&self, word: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == word) {
            counter.increment(1);
        }
    }
}

/// Counts bytes of manifests and blobs that were sent to clients.
pub fn served_bytes() -> &'static Counter {
    static SERVED: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("dependency_proxy_served_bytes_total"));
    &SERVED
}
