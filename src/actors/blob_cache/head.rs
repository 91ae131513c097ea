//! What a client's `HEAD` of a blob is answered with. Downloads nothing, and grants no link but to a stored blob, as every request
//! for one does.

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::downloads::{JoinDownload, Joined};
use super::ports::Key;
use super::progress::Progress;
use super::{BlobError, Blobs, OpenBlob, Stored};
use crate::actors::manifests::Source;
use crate::domain::download::Expected;
use crate::upstream::{ContentHead, UpstreamError};

impl Blobs {
    /// The length of a blob in bytes, and where that was found out: the stored file, the download that is under way, or upstream's
    /// `HEAD`, which decides whether the blob exists for this group's account. Requests that wait for the same `HEAD` share it.
    /// Bounded by the same time as [`Blobs::open`].
    pub async fn head(&self, wanted: OpenBlob) -> Result<(u64, Source), BlobError> {
        if let Some((link, stored)) = self.at_hand(&wanted)
            && link.proven
        {
            return Ok((stored.length, Source::Hit));
        }
        let late = Instant::now() + self.shared.options.answer_within;
        timeout_at(late, self.look_for_length(&wanted, late)).await.unwrap_or(Err(BlobError::TooSlow))
    }

    async fn look_for_length(&self, wanted: &OpenBlob, late: Instant) -> Result<(u64, Source), BlobError> {
        if let Stored::Opened(opened) = self.stored(wanted, late).await? {
            return Ok((opened.length(), opened.source()));
        }
        let key = wanted.key();
        let running = self.running(&key).await?;
        match running.and_then(|progress| progress.borrow().accepted.as_ref().map(|accepted| accepted.length)) {
            Some(length) => Ok((length, Source::Joined)),
            None => Ok((self.length_upstream(key).await?, Source::Miss)),
        }
    }

    /// The progress of the download of this blob, if one runs. To look at it is not to join it.
    pub(super) async fn running(&self, key: &Key) -> Result<Option<watch::Receiver<Progress>>, BlobError> {
        let look = JoinDownload { key: key.clone(), expected: Expected::default(), unlinked: None, begin: None };
        let joined = self.cache.send(look).await.map_err(|_| BlobError::Interrupted)??;
        Ok(joined.map(|Joined { progress, .. }| progress))
    }

    /// How long the blob is by upstream's `HEAD`.
    pub(super) async fn length_upstream(&self, key: Key) -> Result<u64, BlobError> {
        let ContentHead { length, digest, .. } = self.head_upstream(key.clone()).await?;
        if digest.is_some_and(|digest| digest != key.digest) {
            return Err(UpstreamError::InvalidResponse { what: "another digest than the blob's" }.into());
        }
        length.ok_or(BlobError::NoLength)
    }
}
