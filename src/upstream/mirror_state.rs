//! The state of one mirror: whether it works, which content of it was wrong, and what metrics and log lines say of it.

mod health;
mod item;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::health::Health;
pub(super) use self::health::{Finding, finding};
pub(super) use self::item::Item;
pub use self::item::{MirrorContent, UsedMirrors};
use super::error::UpstreamError;
use crate::domain::repository::UpstreamName;

/// The state of a mirror, which its requests and the content that it sends share.
pub(super) struct MirrorState {
    labels: [(&'static str, String); 2],
    health: Mutex<Health>,
}

impl MirrorState {
    /// Creates the state of a mirror of this upstream that works. `place` is its host, with the port if that is not the
    /// default.
    pub(super) fn new(upstream: &UpstreamName, place: String) -> Arc<Self> {
        Arc::new(Self { labels: [("upstream", upstream.to_string()), ("mirror", place)], health: Mutex::default() })
    }

    /// Notes that the mirror works.
    pub(super) fn note_success(&self) {
        if self.health().note_success() {
            tracing::info!("the mirror {} of {} works again", self.name(), self.upstream());
        }
        self.skipped_gauge().set(0.0);
    }

    /// Notes that the mirror fails.
    pub(super) fn note_failure(&self, error: &UpstreamError) {
        if self.health().note_failure(Instant::now()) {
            tracing::warn!("the mirror {} of {} is skipped for a while: {error}", self.name(), self.upstream());
        }
        self.skipped_gauge().set(1.0);
    }

    /// Notes that the mirror sent wrong content.
    pub(super) fn report_wrong(&self, item: &Item) {
        self.count("wrong");
        if self.health().report_wrong(item, Instant::now()) {
            tracing::warn!(
                content = ?item,
                "the mirror {} of {} sent wrong content, which is not requested from it for an hour",
                self.name(),
                self.upstream()
            );
        }
    }

    /// Counts a request with this outcome.
    pub(super) fn count(&self, outcome: &'static str) {
        let [upstream, mirror] = self.labels.clone();
        let labels = [upstream, mirror, ("outcome", outcome.to_owned())];
        metrics::counter!("dependency_proxy_mirror_requests_total", &labels).increment(1);
    }

    fn skipped_gauge(&self) -> metrics::Gauge {
        metrics::gauge!("dependency_proxy_mirror_skipped", &self.labels)
    }

    fn upstream(&self) -> &str {
        &self.labels[0].1
    }

    fn name(&self) -> &str {
        &self.labels[1].1
    }

    /// Returns the health, for a change.
    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MirrorState {
    /// Resets the gauge: a mirror that is not configured any more is not skipped.
    fn drop(&mut self) {
        self.skipped_gauge().set(0.0);
    }
}
