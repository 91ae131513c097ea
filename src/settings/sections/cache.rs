//! The section `[cache]`.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;

use crate::actors::blob_cache::BlobCacheOptions;
use crate::actors::cache_limits::CacheLimits;
use crate::actors::manifest_cache::ManifestCacheOptions;
use crate::domain::freshness::{TagClass, TagClasses, TagPattern};
use crate::formats::quantity;
use crate::settings::ValidationError;

/// Times to live, sizes and concurrency of the cache.
#[derive(Clone, Debug, Deserialize)]
pub struct Cache {
    /// Times for which tags are served without a confirmation by upstream.
    #[serde(rename = "*tags")]
    pub tags: TagTimes,
    /// The cache of manifests.
    #[serde(rename = "*manifests")]
    pub manifests: ManifestCacheOptions,
    /// The cache of blobs.
    #[serde(rename = "*blobs")]
    pub blobs: BlobCacheOptions,
    /// Limits that each of the two has.
    #[serde(rename = "*each")]
    pub each: CacheLimits,
    /// Memory for large manifests and lists on their way to clients, in bytes; at least 16 MiB, the longest manifest.
    #[serde(deserialize_with = "quantity::transfer_memory")]
    pub transfer_memory: u64,
    /// Maximum number of blob files that are kept open.
    pub open_blobs: NonZeroUsize,
}

/// Times for which tags are served without a confirmation by upstream.
#[derive(Clone, Debug, Deserialize)]
pub struct TagTimes {
    /// Time to live of a tag that fits no class, where its upstream does not set one; zero: revalidated at every
    /// request.
    #[serde(deserialize_with = "quantity::duration")]
    pub tag_freshness: Duration,
    /// Time after the time to live for which a tag is served while it is revalidated in the background.
    #[serde(deserialize_with = "quantity::duration")]
    pub stale_while_revalidate: Duration,
    /// Tags that move often.
    pub moving_tags: Vec<TagPattern>,
    /// Time to live of moving tags.
    #[serde(deserialize_with = "quantity::duration")]
    pub moving_freshness: Duration,
    /// Tags that are never moved.
    pub immutable_tags: Vec<TagPattern>,
    /// Time to live of immutable tags.
    #[serde(deserialize_with = "quantity::duration")]
    pub immutable_freshness: Duration,
}

impl Cache {
    pub(in crate::settings) fn check(&self) -> Result<(), ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(["cache", key], problem));
        if self.manifests.times.revalidate_timeout.is_zero() {
            return refused("revalidate_timeout", "is zero: no tag could ever be revalidated");
        }
        if self.manifests.max_manifest_bytes == 0 {
            return refused("max_manifest_bytes", "is zero: no image could be cached");
        }
        Ok(())
    }
}

impl TagTimes {
    /// Returns the classes of tags.
    pub(in crate::settings) fn classes(&self) -> TagClasses {
        let class = |tags: &[TagPattern], time_to_live: &Duration| TagClass {
            tags: tags.to_vec(),
            time_to_live: *time_to_live,
        };
        TagClasses {
            moving: class(&self.moving_tags, &self.moving_freshness),
            immutable: class(&self.immutable_tags, &self.immutable_freshness),
        }
    }
}
