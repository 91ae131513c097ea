//! The task of one download: drives the state machine of `domain::download` with a stream, a file and a
//! hash, and publishes its [`Progress`]. It belongs to no client: readers hold a receiver of the
//! progress, and it goes on when they leave.

mod input;

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::{OwnedRwLockReadGuard, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, timeout};

use super::context::DownloadContext;
use super::error::BlobError;
use super::progress::{Accepted, DownloadRequest, End, Progress};
use super::upstream::BlobKey;
use super::writer::{self, Writer};
use crate::auth::sha256::Hasher;
use crate::domain::download::{Action, Download, Event, Failure, Outcome, Unstored};
use crate::domain::origin::Origin;
use crate::store::blobs::BlobFile;
use crate::store::blocking::spawn_blocking;
use crate::telemetry::{LeftOut, LineLimit};
use crate::upstream::{UpstreamError, UsedMirrors};

/// Maximum time without bytes from upstream. After it the stream is dropped and requested again.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a download to its end, and publishes the outcome. If the task is lost, the dropped sender is an
/// error for its readers.
pub(super) async fn run(shared: Arc<DownloadContext>, order: DownloadRequest, progress: watch::Sender<Progress>) {
    let ended = match prepare(&shared, &order).await {
        Ok(Ok((machine, writer))) => DownloadTask::new(shared, order, &progress, machine, writer).drive().await,
        Ok(Err(end)) => Ok(end),
        Err(lost) => Err(lost),
    };
    if let Ok(end) = ended {
        progress.send_modify(|progress| progress.end = Some(end));
    }
}

/// A blocking task panicked or was cancelled; its result is unknown.
type Lost = JoinError;

/// Returns the state machine and the file of a new download, or its outcome if there is nothing to
/// download or to store.
async fn prepare(
    shared: &Arc<DownloadContext>,
    order: &DownloadRequest,
) -> Result<Result<(Download, Writer), End>, Lost> {
    let (shared, key) = (Arc::clone(shared), order.key.clone());
    let (expected, quota) = (order.expected, order.group_quota);
    spawn_blocking(move || match shared.files.blob(&key.digest, expected.verified) {
        Ok(Some(_)) => Err(End::AlreadyStored),
        // A file that cannot be opened counts as missing: the download replaces it, or is passed on
        // without being stored.
        Ok(None) | Err(_) => Writer::new(&shared, &key, expected, quota)
            .map(|(limits, writer)| (Download::new(expected, limits), writer)),
    })
    .await
}

struct DownloadTask<'a> {
    shared: Arc<DownloadContext>,
    order: DownloadRequest,
    progress: &'a watch::Sender<Progress>,
    machine: Download,
    file: BlobFile,
    /// `None` while it writes, and after the commit.
    writer: Option<Writer>,
    stream: Option<BoxStream<'static, Result<Bytes, UpstreamError>>>,
    /// The mirrors that have sent some of it.
    mirrors: UsedMirrors,
    /// Received bytes that are not written yet.
    batch: Vec<Bytes>,
    /// Time of the last write.
    written: Instant,
    /// The event that followed the batch in the stream.
    ahead: Option<Event>,
    /// Upstream's last error.
    refusal: Option<UpstreamError>,
    /// The reason why storing failed.
    unstored: Unstored,
    /// Held from the verification on: a shutdown waits until it is released.
    committing: Option<OwnedRwLockReadGuard<()>>,
}

impl<'a> DownloadTask<'a> {
    fn new(
        shared: Arc<DownloadContext>,
        order: DownloadRequest,
        progress: &'a watch::Sender<Progress>,
        machine: Download,
        writer: Writer,
    ) -> Self {
        let file = writer.spooled.file().clone();
        let (writer, stream, batch) = (Some(writer), None, Vec::new());
        let written = Instant::now();
        let (ahead, refusal, unstored, committing) = (None, None, Unstored::NoSpace, None);
        Self {
            shared,
            order,
            progress,
            machine,
            file,
            writer,
            stream,
            mirrors: UsedMirrors::default(),
            batch,
            written,
            ahead,
            refusal,
            unstored,
            committing,
        }
    }

    /// Performs the actions of the state machine until it ends.
    async fn drive(&mut self) -> Result<End, Lost> {
        loop {
            self.publish();
            let event = match self.machine.next() {
                Action::Request { from, pause } => self.request(from, pause).await,
                Action::RequestLength => self.request_length().await,
                Action::Receive => self.receive().await,
                Action::Write => self.write().await?,
                Action::Verify => {
                    // Taken before the last byte is published: a shutdown must not lose a blob that
                    // clients received whole.
                    self.committing = Some(Arc::clone(&self.shared.committing).read_owned().await);
                    Event::Verified(self.hash().await?.finish() == self.order.key.digest)
                }
                Action::Commit => self.commit().await?,
                Action::End(outcome) => return self.end(outcome).await,
            };
            self.machine.on(event);
        }
    }

    /// Publishes the progress. Wakes the readers only if more bytes are readable, or if the content was accepted.
    fn publish(&self) {
        let (announced, readable) = (self.machine.announced(), self.machine.readable());
        self.progress.send_if_modified(|progress| {
            let wakes = progress.readable != readable || (progress.accepted.is_none() && announced.is_some());
            progress.readable = readable;
            progress.refusal.clone_from(&self.refusal);
            if progress.accepted.is_none() {
                progress.accepted = announced.map(|length| Accepted { length, file: self.file.clone() });
            }
            wakes
        });
    }

    /// Writes the batch, and gathers the next one at the same time.
    async fn write(&mut self) -> Result<Event, Lost> {
        let (bytes, batch) = (self.batched() as u64, mem::take(&mut self.batch));
        metrics::counter!("dependency_proxy_fetched_bytes_total").increment(bytes);
        let Some(writer) = self.writer.take() else { return Ok(Event::WriteFailed) };
        let mut storing = pin!(writer.store(batch, self.machine.announced()));
        let (writer, stored) = tokio::select! {
            biased;
            done = &mut storing => done?,
            () = self.gather(Instant::now() + STALL_TIMEOUT) => storing.await?,
        };
        (self.writer, self.written) = (Some(writer), Instant::now());
        Ok(match stored {
            Ok(()) => Event::Written(bytes),
            Err(error) => {
                if let Some(left_out) = self.admit_line() {
                    let BlobKey { origin, digest, .. } = &self.order.key;
                    tracing::warn!(
                        image = %origin, %digest, %error, left_out,
                        "a download cannot be stored any more; its clients read on from upstream"
                    );
                }
                self.unstored = writer::unstored(&error);
                Event::WriteFailed
            }
        })
    }

    /// Returns the hash of all written bytes.
    async fn hash(&mut self) -> Result<Hasher, Lost> {
        match &mut self.writer {
            Some(writer) => writer.hash().await,
            None => Ok(Hasher::default()),
        }
    }

    /// Stores the verified blob, and grants links to the groups that have read the download.
    async fn commit(&mut self) -> Result<Event, Lost> {
        let Some(writer) = self.writer.take() else { return Ok(Event::CommitFailed) };
        let (shared, key, unlinked) = (Arc::clone(&self.shared), self.order.key.clone(), self.order.unlinked.clone());
        let size = self.machine.readable();
        let (files, digest) = (shared.files.clone(), key.digest);
        let committed = spawn_blocking(move || {
            // Its bytes must not be counted both as a download's and as a stored blob's: other content would be evicted
            // for them.
            let spooled = writer.into_spooled();
            files.commit(spooled, &digest)
        });
        let committed = committed.await?;
        // Also if the commit failed: upstream has served the blob to the account of these groups.
        for group in unlinked.take() {
            shared.link(group, &key, size).await;
        }
        Ok(match committed {
            Ok(()) => {
                shared.content.share(key.digest);
                Event::Committed
            }
            Err(error) => {
                if let Some(left_out) = self.admit_line() {
                    let BlobKey { origin, digest, .. } = &self.order.key;
                    tracing::warn!(image = %origin, %digest, %error, left_out, "a verified blob could not be stored");
                }
                self.unstored = writer::unstored(&error);
                Event::CommitFailed
            }
        })
    }

    /// Logs why the download failed. Where no client got the head of a response, the line of each refusal has the
    /// reason already, and this line is for debugging only.
    fn log_failure(&self, error: &BlobError) {
        let BlobKey { origin, digest, .. } = &self.order.key;
        if self.progress.borrow().accepted.is_none() {
            tracing::debug!(image = %origin, %digest, %error, "a download failed");
        } else if let Some(left_out) = self.admit_line() {
            tracing::warn!(image = %origin, %digest, %error, left_out, "a download failed");
        }
    }

    /// Returns the number of lines left out before, if a line about a download of this image may be written now.
    fn admit_line(&self) -> Option<LeftOut> {
        static LINES: LineLimit<Origin> = LineLimit::new();
        LINES.admit(&self.order.key.origin)
    }

    /// Reports that the blob is not stored.
    fn report(&self, reason: Unstored) {
        let BlobKey { origin, digest, .. } = &self.order.key;
        self.shared.unstored.report(reason, Some((origin, digest)));
    }

    /// Reports the outcome, and converts it for the readers.
    async fn end(&mut self, outcome: Outcome) -> Result<End, Lost> {
        Ok(match outcome {
            Outcome::Stored => {
                self.shared.unstored.stored(&self.order.key.origin, &self.order.key.digest);
                End::Done
            }
            Outcome::NotCommitted => {
                self.report(self.unstored);
                End::Done
            }
            Outcome::Unstored(reason) => {
                self.report(reason);
                End::Unstored
            }
            Outcome::Spilled { at } => {
                self.report(self.unstored);
                End::Spilled { at, hasher: self.hash().await? }
            }
            Outcome::Failed(failure) => {
                if self.machine.relies_on_claim() {
                    self.shared.distrust(&self.order.key);
                }
                if matches!(failure, Failure::WrongDigest | Failure::WrongLength { .. }) {
                    self.mirrors.report_wrong();
                }
                let error = BlobError::of(failure, self.refusal.take());
                self.log_failure(&error);
                End::Failed(error)
            }
        })
    }
}

/// Waits for the next item of a stream.
///
/// # Errors
///
/// Fails with [`UpstreamError::TimedOut`] after [`STALL_TIMEOUT`].
pub(super) async fn within_stall_timeout<T>(next: impl Future<Output = T>) -> Result<T, UpstreamError> {
    timeout(STALL_TIMEOUT, next).await.map_err(|_| UpstreamError::TimedOut)
}
