//! What is told where manifests, links and tags are passed on to clients without being stored: a counter, and a warning that is not
//! repeated with each pull.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::download::Unstored;

/// The warning is repeated after this time at the earliest.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

static WARNED: Mutex<Option<Instant>> = Mutex::new(None);

/// Counts a manifest that is not stored, or not noted as a group's, and warns now and then.
pub(super) fn tell(reason: Unstored) {
    let word = reason.word();
    metrics::counter!("dependency_proxy_unstored_manifests_total", "reason" => word).increment(1);
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.is_none_or(|last| last.elapsed() >= WARN_INTERVAL) {
        *warned = Some(Instant::now());
        tracing::warn!(reason = word, "manifests are passed on to clients unstored");
    }
}
