//! Outcomes of a cache lookup (compare RFC 9211, `Cache-Status`), as the header `X-Cache` and metrics name them.

/// Outcome of the cache lookup of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// The cache, without an upstream request.
    Hit,
    /// The cache, after upstream confirmed the content.
    Revalidated,
    /// The cache, while upstream is requested to confirm the content in the background.
    Revalidating,
    /// The cache, because upstream sent no usable response.
    Stale,
    /// Upstream, by a request that this client caused.
    Miss,
    /// Upstream, by a request that another client had caused already.
    Coalesced,
}

impl CacheStatus {
    /// Values of the metric label `cache`: the words of [`CacheStatus`], and `failed` for a pull without a
    /// response from any source.
    pub const LABELS: [&str; 7] = ["hit", "revalidated", "revalidating", "stale", "miss", "coalesced", "failed"];

    /// Returns true if the content comes from the cache.
    pub fn is_from_cache(self) -> bool {
        matches!(self, Self::Hit | Self::Revalidated | Self::Revalidating | Self::Stale)
    }

    /// Returns the value of the response header `X-Cache`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Revalidated => "revalidated",
            Self::Revalidating => "revalidating",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
        }
    }
}
