//! A client's own upstream stream for a blob that is not stored, because it is too long or the disk is full. Only
//! the running hash is kept. The last bytes are released only once the digest is verified.
//!
//! For the verification the stream begins at the first byte that the hash has not seen, even if the client
//! requested a later range: bytes before the range are fetched and dropped. A download that spilled passes its hash
//! on, so that no byte is fetched twice.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::time::sleep;

use super::context::DownloadContext;
use super::download_task::within_stall_timeout;
use super::error::BlobError;
use super::upstream::BlobKey;
use crate::actors::admission::{Permit, Share};
use crate::auth::random;
use crate::auth::sha256::Hasher;
use crate::domain::download::Expected;
use crate::domain::id::GroupId;
use crate::domain::retries::{Retries, jittered};
use crate::upstream::{Content, UpstreamError, UsedMirrors};

/// An upstream stream for one client. The number of such streams is bounded; each holds a permit.
pub(super) struct PassThroughStream {
    shared: Arc<DownloadContext>,
    key: BlobKey,
    length: u64,
    /// Number of bytes that were received and hashed.
    position: u64,
    hasher: Hasher,
    stream: Option<BoxStream<'static, Result<Bytes, UpstreamError>>>,
    /// The mirrors that have sent some of it.
    mirrors: UsedMirrors,
    retries: Retries,
    /// The group that gets a link once the digest is verified.
    unlinked: Option<GroupId>,
    _permit: Permit,
    /// A permit of the group; `None` after a spilled download, which was counted for a group already.
    _share: Option<Share>,
}

impl PassThroughStream {
    /// Requests the whole blob from upstream.
    ///
    /// # Errors
    ///
    /// Fails if all permits are in use, if upstream does not deliver the blob, or if its length is wrong or unknown.
    pub(super) async fn begin(
        shared: &Arc<DownloadContext>,
        key: BlobKey,
        expected: Expected,
        unlinked: Option<GroupId>,
        share: Share,
    ) -> Result<Self, BlobError> {
        let permit = permit(shared)?;
        let Content { head, stream, mirror } = shared.upstream.request(key.content(0)).await?;
        let mut mirrors = UsedMirrors::default();
        mirrors.add(mirror);
        let length = match (expected.verified, head.length) {
            (Some(expected), Some(reported)) if expected != reported => {
                mirrors.report_wrong();
                return Err(BlobError::WrongLength { expected, reported });
            }
            (verified, reported) => verified.or(reported).or(expected.claimed).ok_or(BlobError::NoLength)?,
        };
        let (shared, hasher) = (Arc::clone(shared), Hasher::default());
        // An empty blob has no last byte to hold back until the digest is verified.
        if length == 0 && hasher.clone().finish() != key.digest {
            return Err(BlobError::WrongDigest);
        }
        Ok(Self {
            shared,
            key,
            length,
            position: 0,
            hasher,
            stream: Some(stream),
            mirrors,
            retries: Retries::default(),
            unlinked,
            _permit: permit,
            _share: Some(share),
        })
    }

    /// Continues where a spilled download stopped: `hasher` has seen the first `at` bytes. Sends no request yet.
    ///
    /// # Errors
    ///
    /// Fails if all permits are in use.
    pub(super) fn after(
        shared: Arc<DownloadContext>,
        key: BlobKey,
        length: u64,
        at: u64,
        hasher: Hasher,
    ) -> Result<Self, BlobError> {
        let permit = permit(&shared)?;
        Ok(Self {
            shared,
            key,
            length,
            position: at,
            hasher,
            stream: None,
            mirrors: UsedMirrors::default(),
            retries: Retries::default(),
            unlinked: None,
            _permit: permit,
            _share: None,
        })
    }

    /// Returns the length of the whole blob in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Returns these bytes of the blob as a stream. An error is its last item.
    pub(super) fn bytes(self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
        stream::try_unfold((self, range), |(mut this, range)| async move {
            Ok(this.next(&range).await?.map(|bytes| (bytes, (this, range))))
        })
        .boxed()
    }

    async fn next(&mut self, range: &Range<u64>) -> Result<Option<Bytes>, BlobError> {
        while self.position < range.end {
            let begin = self.position;
            let bytes = self.receive().await;
            if let Err(BlobError::WrongDigest | BlobError::WrongLength { .. }) = &bytes {
                self.mirrors.report_wrong();
            }
            let bytes = bytes?;
            let from = range.start.clamp(begin, self.position) - begin;
            let to = range.end.clamp(begin, self.position) - begin;
            if from < to {
                return Ok(Some(bytes.slice(from as usize..to as usize)));
            }
        }
        Ok(None)
    }

    /// Returns the next bytes, at least one. Returns the last byte of the blob only if the digest is right. Resumes
    /// the stream after a failure.
    async fn receive(&mut self) -> Result<Bytes, BlobError> {
        loop {
            match self.next_chunk().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.retries.progressed();
                    self.accept(&bytes)?;
                    return Ok(bytes);
                }
                Err(error) => self.pause_after(error).await?,
            }
        }
    }

    async fn next_chunk(&mut self) -> Result<Bytes, BlobError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let Content { head, stream, mirror } =
                    self.shared.upstream.request(self.key.content(self.position)).await?;
                self.mirrors.add(mirror);
                if let Some(reported) = head.length.filter(|reported| *reported != self.length) {
                    return Err(BlobError::WrongLength { expected: self.length, reported });
                }
                none.insert(stream)
            }
        };
        match within_stall_timeout(stream.next()).await? {
            Some(chunk) => Ok(chunk?),
            None => Err(UpstreamError::Interrupted { reason: "the stream ended early".to_owned() }.into()),
        }
    }

    /// Hashes received bytes, and verifies the digest after the last one.
    fn accept(&mut self, bytes: &Bytes) -> Result<(), BlobError> {
        metrics::counter!("dependency_proxy_fetched_bytes_total").increment(bytes.len() as u64);
        self.position += bytes.len() as u64;
        self.hasher.update(bytes);
        if self.position > self.length {
            return Err(BlobError::WrongLength { expected: self.length, reported: self.position });
        }
        if self.position < self.length {
            return Ok(());
        }
        if self.hasher.clone().finish() != self.key.digest {
            return Err(BlobError::WrongDigest);
        }
        if let Some(group) = self.unlinked.take() {
            let (shared, key, size) = (Arc::clone(&self.shared), self.key.clone(), self.length);
            // The client does not wait for it.
            actix_rt::spawn(async move { shared.link(group, &key, size).await });
        }
        Ok(())
    }

    /// Waits before the next request, or returns the error if it is final or there were too many requests.
    async fn pause_after(&mut self, error: BlobError) -> Result<(), BlobError> {
        self.stream = None;
        match self.retries.interrupted(self.position).filter(|_| error.is_retryable()) {
            Some(pause) => {
                sleep(jittered(pause, random::number())).await;
                Ok(())
            }
            None => Err(error),
        }
    }
}

fn permit(shared: &DownloadContext) -> Result<Permit, BlobError> {
    shared.unstored_streams.try_acquire().ok_or(BlobError::Busy)
}
