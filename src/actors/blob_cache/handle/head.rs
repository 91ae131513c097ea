//! `HEAD` requests for blobs. They download nothing. Like other requests they grant a link to a blob that is stored
//! and that upstream confirms, but to no other.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::Stored;
use crate::actors::blob_cache::coordinator::{JoinDownload, Joined};
use crate::actors::blob_cache::progress::Progress;
use crate::actors::blob_cache::upstream::BlobKey;
use crate::actors::blob_cache::{BlobCacheHandle, BlobError, OpenBlob};
use crate::actors::cache_status::CacheStatus;
use crate::domain::digest::Digest;
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::store::link::Link;
use crate::upstream::{ContentHead, UpstreamError};

impl BlobCacheHandle {
    /// Returns the length of a blob in bytes and its source: the stored file, the running download, or
    /// upstream's `HEAD`, which decides whether the blob exists for this group's account. Concurrent
    /// upstream requests are coalesced.
    ///
    /// # Errors
    ///
    /// Fails as [`BlobCacheHandle::open`] does, within the same time, or if upstream does not report the length.
    pub async fn head(&self, wanted: OpenBlob) -> Result<(u64, CacheStatus), BlobError> {
        if let Some((link, stored)) = self.in_memory(&wanted)
            && link.is_granted()
        {
            return Ok((stored.length, CacheStatus::Hit));
        }
        let since = Instant::now();
        let late = since + self.shared.options.response_timeout;
        timeout_at(late, self.look_for_length(&wanted, since, late)).await.unwrap_or(Err(BlobError::TooSlow))
    }

    /// Looks for the length until `late`; `since` is the time of the request.
    async fn look_for_length(
        &self,
        wanted: &OpenBlob,
        since: Instant,
        late: Instant,
    ) -> Result<(u64, CacheStatus), BlobError> {
        match self.stored(wanted, late).await? {
            Stored::Opened(opened) => return Ok((opened.length(), opened.source())),
            Stored::Absent(link) => {
                if let Some(length) = self.length_in_bucket(wanted, link).await {
                    return Ok((length, CacheStatus::Hit));
                }
            }
        }
        let key = wanted.key();
        let running = self.running(&key).await?;
        match running.and_then(|progress| progress.borrow().accepted.as_ref().map(|accepted| accepted.length)) {
            Some(length) => Ok((length, CacheStatus::Coalesced)),
            None => Ok((self.length_upstream(wanted.group, key, since).await?, CacheStatus::Miss)),
        }
    }

    /// Returns a URL by which a client gets a blob of at least this length from the object store for a minute; `None`
    /// if it is not there, if the group has no granted link to it, and with `only_cold` if this machine has it.
    /// `client` is that of [`given_whole`](Self::given_whole), for the whole blob: one that comes back for it gets no
    /// URL, unless the object was verified a short time ago.
    pub async fn url(&self, wanted: &OpenBlob, only_cold: bool, min_bytes: u64, client: Option<u64>) -> Option<Url> {
        let copy = self.shared.content.readable_copy(&wanted.digest).await?;
        let (link, stored) = self.look_up(wanted).await.ok()?;
        if copy.length() < min_bytes || !link.is_some_and(Link::is_granted) || only_cold && stored.is_some() {
            return None;
        }
        if self.is_sent_again(client, &wanted.digest) && copy.suspect().await {
            return None;
        }
        copy.url().await
    }

    /// Records that a client is sent to the object store for a whole blob. Returns true if it comes back for it: it may
    /// have found the object wrong.
    fn is_sent_again(&self, client: Option<u64>, digest: &Digest) -> bool {
        client.zip(self.verifier.get()).is_some_and(|(client, verifier)| verifier.is_sent_again(client, digest))
    }

    /// Returns the length of a blob that the replicas of a fleet share, if the group has a granted link to it.
    pub(super) async fn length_in_bucket(&self, wanted: &OpenBlob, link: Option<Link>) -> Option<u64> {
        link.filter(|link| link.is_granted())?;
        Some(self.shared.content.copy(&wanted.digest).await?.length())
    }

    /// Returns the progress of the running download of this blob, if there is one. The group is not added to its
    /// readers, so it gets no link from it.
    ///
    /// # Errors
    ///
    /// Fails if the actor does not reply.
    pub(super) async fn running(&self, key: &BlobKey) -> Result<Option<watch::Receiver<Progress>>, BlobError> {
        let expected = Expected::default();
        let look = JoinDownload { key: key.clone(), expected, unlinked: None, begin: None, trace: None };
        let joined = self.cache.send(look).await.map_err(|_| BlobError::Interrupted)??;
        Ok(joined.map(|Joined { progress, .. }| progress))
    }

    /// Returns the length of the blob in bytes by upstream's `HEAD`, which may be one that was completed after `since`.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not have the blob, does not report its length, or names another digest.
    pub(super) async fn length_upstream(&self, group: GroupId, key: BlobKey, since: Instant) -> Result<u64, BlobError> {
        let ContentHead { length, digest, .. } =
            self.head_upstream(group, key.clone(), since.into_std(), Duration::ZERO).await?;
        if digest.is_some_and(|digest| digest != key.digest) {
            return Err(UpstreamError::InvalidResponse { what: "another digest than the blob's" }.into());
        }
        length.ok_or(BlobError::NoLength)
    }
}
