//! Limits that the caches of manifests and of blobs have in common, and count separately.

use std::num::NonZeroUsize;

use serde::Deserialize;

/// Limits of each of the caches: keys of `[cache]`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct CacheLimits {
    /// Maximum number of requests that wait for a manifest that is not in memory, or for the first byte of a blob;
    /// further ones are refused.
    pub max_waiters: NonZeroUsize,
    /// Maximum number of them for one group.
    pub max_waiters_per_group: NonZeroUsize,
    /// Maximum number of links of groups to manifests, or to blobs, that are kept in memory.
    pub known_links: NonZeroUsize,
}
