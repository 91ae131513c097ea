//! Counters that every pull increments. They are looked up by name and label once, not at each pull. The values of a
//! label are fixed in the code.

use std::sync::LazyLock;

use metrics::Counter;

/// Counters of one name, one for each value of a label.
pub struct CountersBy(Vec<(&'static str, Counter)>);

impl CountersBy {
    /// Creates a counter for each of these label values, looked up by `counter`. To be called when the counters are
    /// first needed: only then is it certain whether a metrics recorder is installed.
    pub fn new(values: &[&'static str], counter: fn(&'static str) -> Counter) -> Self {
        Self(values.iter().map(|value| (*value, counter(value))).collect())
    }

    /// Increments the counter of this label value; does nothing for an unknown value.
    pub fn count(&self, value: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == value) {
            counter.increment(1);
        }
    }
}

/// Returns the counter of the bytes of manifests and blobs that were sent to clients.
pub fn served_bytes() -> &'static Counter {
    static SERVED: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("dependency_proxy_served_bytes_total"));
    &SERVED
}
