//! Metrics of the responses, by route and status. A label has one of a few fixed values: never a path, a group, a
//! user or an image.

use std::cell::RefCell;
use std::time::Instant;

use metrics::{Counter, Histogram};

use crate::domain::image_path::{Word, split_at_word};

/// A request whose response has not begun.
pub(super) struct Measured {
    started: Instant,
    route: &'static str,
}

impl Measured {
    /// Starts the measurement.
    pub(super) fn begin(path: &str) -> Self {
        Self { started: Instant::now(), route: route(path) }
    }

    /// Counts the response and records the time until it began.
    pub(super) fn record(self, status: u16) {
        with_metrics(self.route, status, |(responses, first_byte)| {
            responses.increment(1);
            first_byte.record(self.started.elapsed());
        });
    }
}

/// Counts a response to a request that no route got.
pub(super) fn count(path: &str, status: u16) {
    with_metrics(route(path), status, |(responses, _)| responses.increment(1));
}

/// The metrics of one combination of route and status.
type ResponseMetrics = (Counter, Histogram);

/// Runs `record` with the metrics of this route and status. Each thread keeps those that it has looked up: there
/// are few of them, and many responses.
fn with_metrics(route: &'static str, status: u16, record: impl FnOnce(&ResponseMetrics)) {
    thread_local! {
        static KNOWN: RefCell<Vec<(&'static str, u16, ResponseMetrics)>> = const { RefCell::new(Vec::new()) };
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some((.., metrics)) = known.iter().find(|known| (known.0, known.1) == (route, status)) {
            return record(metrics);
        }
        let responses =
            metrics::counter!("dependency_proxy_http_requests_total", "route" => route, "status" => status.to_string());
        let metrics = (responses, metrics::histogram!("dependency_proxy_http_first_byte_seconds", "route" => route));
        record(&metrics);
        known.push((route, status, metrics));
    });
}

/// Returns the label for the route of this path. The content need not exist.
fn route(path: &str) -> &'static str {
    match path {
        "/v2" | "/v2/" => "base",
        "/jwt/auth" => "token",
        "/healthz" | "/readyz" => "health",
        _ if path.starts_with("/api/v4/") => "api",
        "/" | "/-" | "/groups" => "console",
        _ if path.starts_with("/-/") || path.starts_with("/groups/") => "console",
        _ if path.starts_with("/v2/") => content(path),
        _ => "other",
    }
}

fn content(path: &str) -> &'static str {
    if path.ends_with("/tags/list") {
        return "tags";
    }
    match split_at_word(path) {
        Some((_, Word::Manifests, _)) => "manifest",
        Some((_, Word::Blobs, _)) => "blob",
        Some((_, Word::Referrers, _)) => "referrers",
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_of_a_few_words() {
        for (path, word) in [
            ("/v2/", "base"),
            ("/v2/team/dependency_proxy/containers/alpine/manifests/latest", "manifest"),
            ("/v2/team/dependency_proxy/containers/manifests/x/blobs/sha256:00", "blob"),
            ("/v2/team/dependency_proxy/containers/alpine/tags/list", "tags"),
            ("/v2/team/secret-project", "other"),
            ("/jwt/auth", "token"),
            ("/api/v4/groups/team", "api"),
            ("/", "console"),
            ("/groups/team/-/dependency_proxy", "console"),
            ("/secret", "other"),
        ] {
            assert_eq!(route(path), word, "{path}");
        }
    }
}
