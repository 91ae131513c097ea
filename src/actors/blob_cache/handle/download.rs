//! The running download of a blob, as a client gets it: joined or begun, followed from its file, or passed on from
//! upstream if it is not stored.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{BlobCacheHandle, MAX_LOOKUPS};
use crate::actors::admission::Share;
use crate::actors::blob_cache::coordinator::{JoinDownload, Joined};
use crate::actors::blob_cache::error::BlobError;
use crate::actors::blob_cache::pass_through::PassThroughStream;
use crate::actors::blob_cache::progress::{Accepted, End, Progress};
use crate::actors::blob_cache::reader::{BlobReader, BlobSource, Follower};
use crate::actors::blob_cache::request::OpenBlob;
use crate::actors::blob_cache::upstream::BlobKey;
use crate::actors::cache_status::CacheStatus;
use crate::domain::digest::Digest;
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::blocking::spawn_blocking;
use crate::store::link::Link;
use crate::telemetry::TraceParent;

impl BlobCacheHandle {
    /// Follows the running download, or begins one if `begin` is set. Returns `None` if none runs, or if the blob
    /// has been committed meanwhile.
    pub(super) async fn download(
        &self,
        wanted: &OpenBlob,
        link: Option<Link>,
        late: Instant,
        begin: bool,
    ) -> Result<Option<BlobReader>, BlobError> {
        let _permit = self.wait(wanted.group)?;
        let (is_granted, expected) = (link.is_some_and(Link::is_granted), link.map(Link::expected).unwrap_or_default());
        let key = BlobKey { granted: is_granted && self.shared.content.has_copies(), ..wanted.key() };
        let unlinked = (!is_granted).then_some(wanted.group);
        let mut joined = self.join(&key, expected, unlinked, None).await?;
        if joined.is_none() && begin {
            let share = self.download_shares.acquire(wanted.group, late).await.ok_or(BlobError::Busy)?;
            joined = self.join(&key, expected, unlinked, Some(share)).await?;
        }
        let Some(Joined { mut progress, source }) = joined else { return Ok(None) };
        let decided = progress.wait_for(|progress| progress.accepted.is_some() || progress.end.is_some());
        let Ok(decided) = timeout_at(late, decided).await else { return Err(too_slow(&progress)) };
        let Progress { accepted, end, .. } = decided.map_err(|_| BlobError::Interrupted)?.clone();
        match (end, accepted) {
            (Some(End::Failed(error)), _) => Err(error),
            (Some(End::AlreadyStored), _) => Ok(None),
            (Some(End::Unstored), _) | (Some(End::Spilled { .. }), None) => {
                let stream = {
                    let share = self.unstored_shares.acquire(wanted.group, late).await.ok_or(BlobError::Busy)?;
                    PassThroughStream::begin(&self.shared, key, expected, unlinked, share).await?
                };
                Ok(Some(BlobReader::new(stream.length(), source, BlobSource::PassThrough(stream))))
            }
            (_, Some(Accepted { length, file })) => {
                if let Some(expected) = expected.verified.filter(|&verified| verified != length) {
                    return Err(BlobError::WrongLength { expected, reported: length });
                }
                let follower = Follower { shared: Arc::clone(&self.shared), key, file, length, progress };
                Ok(Some(BlobReader::new(length, source, BlobSource::Spool(follower))))
            }
            (Some(End::Done) | None, None) => Err(BlobError::Interrupted),
        }
    }

    /// Opens a blob for another replica, without a link: the running download, or else the stored blob. The caller
    /// knows that upstream has served it for this origin. Returns `None` if there is neither.
    ///
    /// # Errors
    ///
    /// Fails if the download fails, or does not begin in time.
    pub async fn open_for_replica(&self, origin: Origin, digest: Digest) -> Result<Option<BlobReader>, BlobError> {
        let key = |granted| BlobKey { origin: origin.clone(), digest, granted };
        for _ in 0..MAX_LOOKUPS {
            let mut joined =
                self.join(&key(false), Expected::default(), None, None).await?.map(|one| (one, key(false)));
            if joined.is_none() {
                // What it receives may not come from upstream.
                let granted = self.join(&key(true), Expected::default(), None, None).await?;
                joined = granted.map(|one| (Joined { source: CacheStatus::Hit, ..one }, key(true)));
            }
            let Some((Joined { mut progress, source }, key)) = joined else {
                let files = self.shared.files.clone();
                let stored = spawn_blocking(move || files.blob(&digest, None)).await;
                let stored = stored.map_err(|_| BlobError::Interrupted)?.ok().flatten();
                return Ok(stored.map(|stored| stored.opened(CacheStatus::Hit)));
            };
            let decided = progress.wait_for(|progress| progress.accepted.is_some() || progress.end.is_some());
            let Progress { accepted, end, .. } = decided.await.map_err(|_| BlobError::Interrupted)?.clone();
            match (end, accepted) {
                (Some(End::Failed(error)), _) => return Err(error),
                // It is stored, or nothing of it is: the next lookup finds out.
                (Some(End::AlreadyStored | End::Unstored | End::Spilled { .. }), _) | (Some(End::Done), None) => {}
                (_, Some(Accepted { length, file })) => {
                    let follower = Follower { shared: Arc::clone(&self.shared), key, file, length, progress };
                    return Ok(Some(BlobReader::new(length, source, BlobSource::Spool(follower))));
                }
                (None, None) => return Err(BlobError::Interrupted),
            }
        }
        Ok(None)
    }

    /// Follows the running download, or begins one if `begin` holds a permit of the group.
    async fn join(
        &self,
        key: &BlobKey,
        expected: Expected,
        unlinked: Option<GroupId>,
        begin: Option<Share>,
    ) -> Result<Option<Joined>, BlobError> {
        let join = JoinDownload { key: key.clone(), expected, unlinked, begin, trace: TraceParent::present() };
        self.cache.send(join).await.map_err(|_| BlobError::Interrupted)?
    }
}

/// Returns the error for a request whose time is over: upstream's last error, if there was one.
fn too_slow(progress: &watch::Receiver<Progress>) -> BlobError {
    progress.borrow().refusal.clone().map_or(BlobError::TooSlow, BlobError::from)
}
