//! Counts every answer, by route and status, in one place. A label is one of a fixed few words: never a path, a group, a
//! user or an image.

use std::cell::RefCell;
use std::time::Instant;

use metrics::{Counter, Histogram};

use crate::domain::image_path::{Word, split_at_word};

/// A request that is being answered.
pub(super) struct Measured {
    started: Instant,
    route: &'static str,
}

impl Measured {
    /// From now on.
    pub(super) fn begin(path: &str) -> Self {
        Self { started: Instant::now(), route: route(path) }
    }

    /// Counts the answer, and how long it took to begin.
    pub(super) fn answered(self, status: u16) {
        with_numbers(self.route, status, |(answered, first_byte)| {
            answered.increment(1);
            first_byte.record(self.started.elapsed());
        });
    }
}

/// What one kind of answer moves.
type Numbers = (Counter, Histogram);

/// Looked up once a thread: there are a few routes and statuses, and many answers.
fn with_numbers(route: &'static str, status: u16, moved: impl FnOnce(&Numbers)) {
    thread_local! {
        static KNOWN: RefCell<Vec<(&'static str, u16, Numbers)>> = const { RefCell::new(Vec::new()) };
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some((.., numbers)) = known.iter().find(|known| (known.0, known.1) == (route, status)) {
            return moved(numbers);
        }
        let answered =
            metrics::counter!("dependency_proxy_http_requests_total", "route" => route, "status" => status.to_string());
        let numbers = (answered, metrics::histogram!("dependency_proxy_http_first_byte_seconds", "route" => route));
        moved(&numbers);
        known.push((route, status, numbers));
    });
}

/// The word for what this path leads to, whether or not it is there.
fn route(path: &str) -> &'static str {
    match path {
        "/v2" | "/v2/" => "base",
        "/jwt/auth" => "token",
        "/healthz" | "/readyz" => "health",
        _ if path.starts_with("/api/v4/") => "api",
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
            ("/secret", "other"),
        ] {
            assert_eq!(route(path), word, "{path}");
        }
    }
}
