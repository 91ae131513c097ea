//! Handle of the blob cache: opens blobs, within limits of time and number. Opening a committed and linked blob sends
//! no message and does not block.

mod confirmation;
mod download;
mod head;
mod passing;
mod ranges;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use actix::prelude::*;
use quick_cache::sync::Cache;
use tokio::time::{Instant, timeout, timeout_at};

use super::BlobCacheOptions;
use super::context::{DownloadContext, GroupQuotas};
use super::coordinator::{BlobCache, ListDownloads};
use super::error::BlobError;
use super::reader::{BlobReader, BlobSource};
use super::request::{OpenBlob, RunningDownload};
use super::upstream::{BlobKey, BlobUpstream};
use super::verifier::{Verifier, VerifyOptions};
use crate::actors::admission::{AdmissionLimit, SharedLimit, SharedPermit, Shares};
use crate::actors::cache_limits::CacheLimits;
use crate::actors::cache_status::CacheStatus;
use crate::actors::evictor::Evictor;
use crate::actors::memory_removals::{Removals, RemovalsSeen};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::store::blobs::{BlobContent, BlobFiles, StoredBlob};
use crate::store::blocking::spawn_blocking;
use crate::store::content::ContentStore;
use crate::store::link::Link;
use crate::store::spool::Spool;
use crate::telemetry::LineLimit;

/// Maximum number of lookups per request. A lookup is repeated if the blob is committed, or its download
/// fails, meanwhile.
const MAX_LOOKUPS: usize = 3;

/// Handle that opens blobs. Cheap to clone. Opening a committed and linked blob sends no message.
#[derive(Clone)]
pub struct BlobCacheHandle {
    shared: Arc<DownloadContext>,
    cache: Addr<BlobCache>,
    /// Links in memory.
    known: Arc<Cache<OpenBlob, Link>>,
    /// Removals of links from memory.
    removals: Removals,
    waiters: SharedLimit,
    range_shares: Shares,
    unstored_shares: Shares,
    download_shares: Shares,
    range_streams: AdmissionLimit,
    /// Number of bytes per blob that were requested in ranges while the blob was not stored.
    ranged: Arc<Cache<BlobKey, u64>>,
    verifier: Arc<OnceLock<Verifier>>,
}

/// Outcome of a lookup in the store.
pub(super) enum Stored {
    /// The committed blob, or a download of it that has not ended yet.
    Opened(Box<BlobReader>),
    /// The blob is not stored. The group's link, if it has one.
    Absent(Option<Link>),
}

/// Maximum number of blobs whose requested ranges are counted.
const MAX_RANGED_BLOBS: usize = 1000;

impl BlobCacheHandle {
    /// Starts the blob cache on this arbiter, where its downloads run.
    pub fn start(
        arbiter: &ArbiterHandle,
        upstream: Arc<dyn BlobUpstream>,
        stores: (ContentStore, BlobFiles, Spool),
        evicting: (Evictor, GroupQuotas),
        (options, limits): (BlobCacheOptions, CacheLimits),
    ) -> Self {
        let known = Arc::new(Cache::new(limits.known_links.get()));
        let (all, each) = (limits.max_waiters.get(), limits.max_waiters_per_group.get());
        let waiters = SharedLimit::new("blob_waiters", all, each);
        let range_streams = AdmissionLimit::new("range_streams", options.max_range_streams.get());
        let range_shares = Shares::of("range_streams", options.max_range_streams.get());
        let unstored_shares = Shares::of("unstored_streams", options.max_unstored_streams.get());
        let download_shares = Shares::new("downloads", options.max_downloads_per_group.get());
        let ranged = Arc::new(Cache::new(MAX_RANGED_BLOBS));
        let shared = Arc::new(DownloadContext::new(upstream, stores, evicting, options));
        let actors = Arc::clone(&shared);
        let cache = BlobCache::start_in_arbiter(arbiter, move |_| BlobCache::new(actors, limits.max_waiters.get()));
        let (removals, verifier) = Default::default();
        Self {
            shared,
            cache,
            known,
            removals,
            waiters,
            range_streams,
            ranged,
            range_shares,
            unstored_shares,
            download_shares,
            verifier,
        }
    }

    /// Starts the verification of the index and of stored blobs in the background. Later calls have no effect.
    pub fn verify_stored(&self, options: VerifyOptions) {
        self.verifier.get_or_init(|| Verifier::start(self.shared.files.clone(), self.shared.content.clone(), options));
    }

    /// Records that all of an open blob is sent to a client. `client` is any number that identifies it, such as a
    /// hash of its credential or address. A client that requests the same stored blob again within minutes may have
    /// found it damaged, so the blob is verified then.
    pub fn given_whole(&self, opened: &BlobReader, digest: &Digest, client: u64) {
        if let Some(verifier) = self.verifier.get()
            && opened.is_stored_file()
        {
            verifier.given(client, digest);
        }
    }

    /// Waits, for a bounded time, until the blobs whose last byte was sent are stored and linked. Called at shutdown.
    pub async fn finish(&self) {
        if timeout(deadlines::COMMIT, self.shared.committing.write()).await.is_err() {
            tracing::warn!("the last blobs may not have been stored");
        }
    }

    /// Opens a blob for this group: the committed file, the running download, or a new download. Returns once
    /// upstream's acceptance and the length are certain.
    ///
    /// # Errors
    ///
    /// Fails if upstream refuses or cannot deliver the blob, if a limit is reached, or after
    /// [`response_timeout`](BlobCacheOptions::response_timeout).
    pub async fn open(&self, wanted: OpenBlob) -> Result<BlobReader, BlobError> {
        if let Some((link, stored)) = self.in_memory(&wanted)
            && link.is_granted()
        {
            return Ok(self.opened(&wanted, stored, CacheStatus::Hit));
        }
        let late = Instant::now() + self.shared.options.response_timeout;
        timeout_at(late, self.look(&wanted, late)).await.unwrap_or(Err(BlobError::TooSlow))
    }

    /// Drops the links of this group from memory, after they were removed from the store.
    pub fn forget_group(&self, group: GroupId) {
        self.removals.remove(|| self.known.retain(|wanted, _| wanted.group != group));
    }

    /// Returns the downloads that are under way; none if the actor does not reply.
    pub async fn downloads(&self) -> Vec<RunningDownload> {
        self.cache.send(ListDownloads).await.unwrap_or_default()
    }

    /// Looks the blob up, and begins a download if it is not stored.
    async fn look(&self, wanted: &OpenBlob, late: Instant) -> Result<BlobReader, BlobError> {
        for _ in 0..MAX_LOOKUPS {
            match self.stored(wanted, late).await? {
                Stored::Opened(opened) => return Ok(*opened),
                Stored::Absent(link) => {
                    if let Some(opened) = self.download(wanted, link, late, true).await? {
                        return Ok(opened);
                    }
                }
            }
        }
        Err(BlobError::Interrupted)
    }

    /// Opens the committed blob if the group has a granted link, or if upstream confirms the blob now.
    async fn stored(&self, wanted: &OpenBlob, late: Instant) -> Result<Stored, BlobError> {
        for first in [true, false] {
            let (seen, since) = (self.removals.seen(), Instant::now());
            match self.look_up(wanted).await? {
                (Some(link), Some(stored)) if link.is_granted() => {
                    self.remember(wanted, link, seen);
                    return Ok(Stored::Opened(self.opened(wanted, stored, CacheStatus::Hit).into()));
                }
                (link, Some(stored)) => {
                    // A download puts its file in place shortly before it grants the links, so the group may be one
                    // of its readers. If no download runs any more, the link is looked up once again.
                    if let Some(opened) = self.download(wanted, link, late, false).await? {
                        return Ok(Stored::Opened(opened.into()));
                    }
                    if first {
                        continue;
                    }
                    self.confirm(wanted, stored.length, since.into_std()).await?;
                    return Ok(Stored::Opened(self.opened(wanted, stored, CacheStatus::Revalidated).into()));
                }
                (link, None) => return Ok(Stored::Absent(link)),
            }
        }
        Err(BlobError::Interrupted)
    }

    /// Opens a stored blob for a client.
    fn opened(&self, wanted: &OpenBlob, stored: StoredBlob, source: CacheStatus) -> BlobReader {
        self.shared.unstored.stored(&wanted.origin, &wanted.digest);
        stored.opened(source)
    }

    /// Returns the group's link and the committed blob, each if it exists.
    async fn look_up(&self, wanted: &OpenBlob) -> Result<(Option<Link>, Option<StoredBlob>), BlobError> {
        if let Some((link, stored)) = self.in_memory(wanted) {
            return Ok((Some(link), Some(stored)));
        }
        let OpenBlob { group, origin, digest } = wanted;
        let link = match self.known.get(wanted) {
            Some(link) => Some(link),
            None => self.shared.content.link(*group, origin, *digest).await?,
        };
        let (files, digest) = (self.shared.files.clone(), *digest);
        let expected = link.and_then(|link| link.expected().verified);
        let opened = spawn_blocking(move || files.blob(&digest, expected));
        let stored = opened.await.map_err(|_| BlobError::Interrupted)?.unwrap_or_else(|error| {
            // The blob is downloaded from upstream instead.
            static LINES: LineLimit<Digest> = LineLimit::new();
            if let Some(left_out) = LINES.admit(&digest) {
                tracing::warn!(%digest, %error, left_out, "a stored blob cannot be opened");
            }
            None
        });
        Ok((link, stored))
    }

    /// Returns the link and the blob if both are in memory or open. This is the hit path: no blocking calls.
    fn in_memory(&self, wanted: &OpenBlob) -> Option<(Link, StoredBlob)> {
        let link = self.known.get(wanted)?;
        Some((link, self.shared.files.already_open(&wanted.digest, link.expected().verified)?))
    }

    /// Puts a link into memory, unless links were removed since it was looked up.
    fn remember(&self, wanted: &OpenBlob, link: Link, seen: RemovalsSeen) {
        if !self.known.contains_key(wanted) {
            self.removals.insert(&self.known, wanted.clone(), link, seen);
        }
    }

    /// Returns a permit of the group to wait for upstream.
    fn wait(&self, group: GroupId) -> Result<SharedPermit, BlobError> {
        self.waiters.try_acquire(group).ok_or(BlobError::Busy)
    }
}

impl StoredBlob {
    fn opened(self, source: CacheStatus) -> BlobReader {
        let held = match self.content {
            BlobContent::File(file) => BlobSource::File(file),
            BlobContent::Bytes(bytes) => BlobSource::Bytes(bytes),
        };
        BlobReader::new(self.length, source, held)
    }
}
