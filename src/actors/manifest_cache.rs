//! The manifest cache: which manifests a group may read, from memory, from the store, or through upstream.
//!
//! | file | content |
//! |---|---|
//! | [`handle`] | [`ManifestCacheHandle`]: a pull, within its limits of time and number. A hit ends here |
//! | [`cache`] | cached manifests, links and tags: in memory, in the index and in the store |
//! | [`pull`] | one pull that is not a hit: fresh, to be revalidated, stale, or missing |
//! | [`revalidations`] | tags that are revalidated in the background, once at a time |
//! | [`coordinator`] | the actor: single flight of upstream requests, negative entries |
//! | [`fetch`] | one upstream request: fetch, verify, store |
//! | [`request`], [`response`] | data types |
//! | [`keys`], [`references`] | keys of links and tags in memory; links to what a manifest names |

mod cache;
mod coordinator;
mod fetch;
mod handle;
mod keys;
mod pull;
mod references;
mod request;
mod response;
mod revalidations;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Deserialize;

pub use self::handle::{ManifestCacheHandle, Pulled};
pub use self::request::PullManifest;
pub use self::response::{Leased, PulledManifest};
use crate::formats::quantity;

/// Options of the manifest cache: its keys of `[cache]`.
#[derive(Clone, Debug, Deserialize)]
pub struct ManifestCacheOptions {
    /// The times that can change while the service runs.
    #[serde(rename = "*times")] // The same table: see `settings::deserializer`.
    pub times: CacheTimes,
    /// Maximum length of a stored manifest in bytes, more than zero; longer ones are passed on without being stored.
    #[serde(deserialize_with = "quantity::bytes")]
    pub max_manifest_bytes: u64,
    /// Maximum number of different manifests that are requested from upstream at the same time.
    pub max_fetches: NonZeroUsize,
    /// Maximum size of the manifests in memory, in bytes.
    #[serde(deserialize_with = "quantity::size")]
    pub manifest_memory: u64,
    /// Maximum number of tags whose digests are kept in memory.
    pub known_tags: NonZeroUsize,
}

/// Timeouts and times to live that can change while the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct CacheTimes {
    /// Maximum time of a revalidation; more than zero.
    #[serde(deserialize_with = "quantity::timeout")]
    pub revalidate_timeout: Duration,
    /// Time to live of negative (404) entries.
    #[serde(deserialize_with = "quantity::duration")]
    pub negative_ttl: Duration,
    /// Time after its last confirmation for which a tag is served while upstream refuses the account; zero: not at all.
    #[serde(deserialize_with = "quantity::long_duration")]
    pub account_grace: Duration,
}

/// The current [`CacheTimes`].
type CurrentTimes = Arc<ArcSwap<CacheTimes>>;
