//! Revalidations of tags in the background: one at a time for each tag, and a pause after one that failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::keys::TagKey;
use crate::domain::deadlines;

/// Tags that are being revalidated, or whose revalidation failed a short time ago. Cheap to clone; clones share their
/// state.
#[derive(Clone, Default)]
pub(super) struct Revalidations(Arc<Mutex<HashMap<TagKey, Instant>>>);

/// Permission to revalidate a tag. When it is dropped, another revalidation may begin after a pause.
pub(super) struct Revalidation {
    all: Revalidations,
    tag: TagKey,
}

/// Maximum number of tags that are revalidated at the same time, with those of the last failures.
const MAX_TAGS: usize = 10_000;

/// Time after a revalidation that failed before the next one begins: each looks the tag up in the store.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl Revalidations {
    /// Returns the permission to revalidate this tag now; `None` if another has it, and if too many tags are being
    /// revalidated.
    pub(super) fn begin(&self, tag: TagKey, now: Instant) -> Option<Revalidation> {
        let mut tags = self.tags();
        if tags.get(&tag).is_some_and(|until| now < *until) {
            return None;
        }
        if tags.len() >= MAX_TAGS {
            tags.retain(|_, until| now < *until);
        }
        if tags.len() >= MAX_TAGS {
            return None;
        }
        tags.insert(tag.clone(), now + deadlines::PROBE);
        drop(tags);
        Some(Revalidation { all: self.clone(), tag })
    }

    fn tags(&self) -> MutexGuard<'_, HashMap<TagKey, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Revalidation {
    /// Ends a revalidation that was successful: the next one may begin as soon as the tag is stale again.
    pub(super) fn succeeded(self) {
        self.all.tags().remove(&self.tag);
    }
}

impl Drop for Revalidation {
    fn drop(&mut self) {
        if let Some(until) = self.all.tags().get_mut(&self.tag) {
            *until = Instant::now() + RETRY_INTERVAL;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::origin::{Account, Origin};

    #[test]
    fn a_tag_is_revalidated_once_at_a_time_and_again_after_a_pause() {
        let (all, now) = (Revalidations::default(), Instant::now());
        let tag = |name: &str| {
            let (upstream, repository) = ("docker.io".parse().unwrap(), "library/alpine".parse().unwrap());
            TagKey::new(Origin { upstream, account: Account::Anonymous, repository }, name.parse().unwrap())
        };
        let first = all.begin(tag("a"), now).unwrap();
        assert!(all.begin(tag("a"), now).is_none());
        let other = all.begin(tag("b"), now).unwrap();
        drop(first);
        assert!(all.begin(tag("a"), now).is_none() && all.begin(tag("a"), now + 2 * RETRY_INTERVAL).is_some());
        other.succeeded();
        assert!(all.begin(tag("b"), now).is_some());
    }
}
