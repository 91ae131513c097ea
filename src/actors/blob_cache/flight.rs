//! One running download: drives the state machine of `domain::download` with a stream, a file and a hash, and publishes how far
//! it is. No client owns it; whoever follows holds a receiver of its [`Progress`].

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{OwnedRwLockReadGuard, watch};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::error::BlobError;
use super::ports::Key;
use super::progress::{Accepted, End, Order, Progress};
use super::shared::Shared;
use super::writer::{self, Writer};
use crate::auth::sha256::Hasher;
use crate::domain::download::{Action, Download, Event, Outcome, Unstored};
use crate::store::blobs::BlobFile;
use crate::upstream::{Content, UpstreamError};

/// A stream that brings nothing for so long is given up and asked for again.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(30);

/// What has arrived is written at once if it is this much, ...
const BATCH: usize = 256 * 1024;

/// ... or so long after the last time: each write wakes everyone who follows and has all there is.
const GATHER: Duration = Duration::from_millis(4);

/// Upstream may ask for a longer pause before the next request than ours, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Runs a download to its end. Should it stop without one, the dropped sender tells those who follow.
pub(super) async fn run(shared: Arc<Shared>, order: Order, progress: watch::Sender<Progress>) {
    let ended = match prepare(&shared, &order).await {
        Ok(Ok((machine, writer))) => Flight::new(shared, order, &progress, machine, writer).fly().await,
        Ok(Err(end)) => Ok(end),
        Err(lost) => Err(lost),
    };
    if let Ok(end) = ended {
        progress.send_modify(|progress| progress.end = Some(end));
    }
}

/// Nothing more can be said: a blocking task was lost.
type Lost = JoinError;

/// What a download begins with, or why it does not.
async fn prepare(shared: &Arc<Shared>, order: &Order) -> Result<Result<(Download, Writer), End>, Lost> {
    let (shared, key, expected) = (Arc::clone(shared), order.key.clone(), order.expected);
    spawn_blocking(move || match shared.files.blob(&key.digest, expected.verified) {
        Ok(Some(_)) => Err(End::AlreadyStored),
        // A file that cannot be opened is as good as none: the download replaces it, or is passed on unstored.
        Ok(None) | Err(_) => {
            Writer::new(&shared, &key.origin).map(|(limits, writer)| (Download::new(expected, limits), writer))
        }
    })
    .await
}

struct Flight<'a> {
    shared: Arc<Shared>,
    order: Order,
    progress: &'a watch::Sender<Progress>,
    machine: Download,
    file: BlobFile,
    /// Absent while it writes, and once its file is committed.
    writer: Option<Writer>,
    stream: Option<BoxStream<'static, Result<Bytes, UpstreamError>>>,
    /// What arrived and was not written.
    batch: Vec<Bytes>,
    /// When something last was.
    written: Instant,
    /// What the stream said right after the batch.
    ahead: Option<Event>,
    /// The last error of upstream.
    refusal: Option<UpstreamError>,
    /// Why the file takes no more.
    unstored: Unstored,
    /// From the verifying on: a service that is told to stop waits for it.
    committing: Option<OwnedRwLockReadGuard<()>>,
}

impl<'a> Flight<'a> {
    fn new(
        shared: Arc<Shared>,
        order: Order,
        progress: &'a watch::Sender<Progress>,
        machine: Download,
        writer: Writer,
    ) -> Self {
        let file = writer.spooled.file().clone();
        let (writer, stream, batch) = (Some(writer), None, Vec::new());
        let written = Instant::now();
        let (ahead, refusal, unstored, committing) = (None, None, Unstored::NoRoom, None);
        Self {
            shared,
            order,
            progress,
            machine,
            file,
            writer,
            stream,
            batch,
            written,
            ahead,
            refusal,
            unstored,
            committing,
        }
    }

    async fn fly(&mut self) -> Result<End, Lost> {
        loop {
            self.publish();
            let event = match self.machine.next() {
                Action::Ask { from, pause } => self.ask(from, pause).await,
                Action::AskLength => self.ask_length().await,
                Action::Receive => self.receive().await,
                Action::Write => self.write().await?,
                Action::Verify => {
                    self.committing = Some(Arc::clone(&self.shared.committing).read_owned().await);
                    Event::Verified(self.hash().finish() == self.order.key.digest)
                }
                Action::Commit => self.commit().await?,
                Action::End(outcome) => return Ok(self.end(outcome)),
            };
            self.machine.on(event);
        }
    }

    fn publish(&self) {
        let (announced, readable) = (self.machine.announced(), self.machine.readable());
        self.progress.send_if_modified(|progress| {
            let news = progress.readable != readable || (progress.accepted.is_none() && announced.is_some());
            progress.readable = readable;
            progress.refusal.clone_from(&self.refusal);
            if progress.accepted.is_none() {
                progress.accepted = announced.map(|length| Accepted { length, file: self.file.clone() });
            }
            news
        });
    }

    async fn ask(&mut self, from: u64, pause: Duration) -> Event {
        self.stream = None;
        sleep(pause.max(self.pause_asked_for())).await;
        let Key { origin, digest } = &self.order.key;
        match self.shared.upstream.blob(origin, digest, from).await {
            Ok(Content { head, stream }) => {
                self.stream = Some(stream);
                self.refusal = None;
                Event::Answered(head.length)
            }
            Err(error) => self.interrupted(error),
        }
    }

    fn pause_asked_for(&self) -> Duration {
        match self.refusal {
            Some(UpstreamError::RateLimited(limit)) => limit.retry_after.unwrap_or_default().min(LONGEST_PAUSE),
            _ => Duration::ZERO,
        }
    }

    async fn ask_length(&self) -> Event {
        let Key { origin, digest } = &self.order.key;
        // A refusal is no reason to stop: the content itself is on its way.
        Event::LengthTold(self.shared.upstream.head_blob(origin, digest).await.ok().and_then(|head| head.length))
    }

    async fn receive(&mut self) -> Event {
        if self.batch.is_empty() {
            if let Some(event) = self.ahead.take() {
                return event;
            }
            if let Some(event) = self.take(Instant::now() + STALLED_AFTER).await {
                return event.unwrap_or_else(|| self.interrupted(UpstreamError::TimedOut));
            }
        }
        // The first bytes go on their way at once.
        let late = if self.machine.readable() == 0 { self.written } else { self.written + GATHER };
        self.gather(late).await;
        Event::Received(self.batched() as u64)
    }

    /// Takes what the stream brings until the batch is large enough or it is late.
    async fn gather(&mut self, late: Instant) {
        while self.batched() < BATCH && self.ahead.is_none() {
            match self.take(late).await {
                None => {}
                Some(Some(event)) => self.ahead = Some(event),
                Some(None) => break,
            }
        }
    }

    /// Puts the stream's next piece into the batch. Gives the event where there is none, or `Some(None)` when it is `late`.
    async fn take(&mut self, late: Instant) -> Option<Option<Event>> {
        let Some(stream) = &mut self.stream else { return Some(Some(self.ended())) };
        loop {
            match timeout_at(late, stream.next()).await {
                Ok(Some(Ok(bytes))) if bytes.is_empty() => {}
                Ok(Some(Ok(bytes))) => {
                    self.batch.push(bytes);
                    return None;
                }
                Ok(Some(Err(error))) => return Some(Some(self.interrupted(error))),
                Ok(None) => return Some(Some(self.ended())),
                Err(_) => return Some(None),
            }
        }
    }

    fn batched(&self) -> usize {
        self.batch.iter().map(Bytes::len).sum()
    }

    fn ended(&mut self) -> Event {
        self.refusal = Some(UpstreamError::Interrupted { reason: "the content ended early".to_owned() });
        Event::Ended
    }

    fn interrupted(&mut self, error: UpstreamError) -> Event {
        let retryable = error.is_retryable();
        tracing::debug!(origin = %self.order.key.origin, digest = %self.order.key.digest, %error, "a download was interrupted");
        self.refusal = Some(error);
        Event::Interrupted { retryable }
    }

    /// Stores the batch, and gathers the next meanwhile.
    async fn write(&mut self) -> Result<Event, Lost> {
        let (bytes, batch) = (self.batched() as u64, mem::take(&mut self.batch));
        metrics::counter!("dependency_proxy_fetched_bytes_total").increment(bytes);
        let Some(writer) = self.writer.take() else { return Ok(Event::WriteFailed) };
        let mut storing = pin!(writer.store(batch));
        let (writer, stored) = tokio::select! {
            biased;
            done = &mut storing => done?,
            () = self.gather(Instant::now() + STALLED_AFTER) => storing.await?,
        };
        (self.writer, self.written) = (Some(writer), Instant::now());
        Ok(match stored {
            Ok(()) => Event::Written(bytes),
            Err(error) => {
                tracing::warn!(%error, "a download cannot be stored; its clients go on without");
                self.unstored = writer::unstored(&error);
                Event::WriteFailed
            }
        })
    }

    /// The hash of all bytes written.
    fn hash(&self) -> Hasher {
        self.writer.as_ref().map(|writer| writer.hasher.clone()).unwrap_or_default()
    }

    async fn commit(&mut self) -> Result<Event, Lost> {
        let Some(writer) = self.writer.take() else { return Ok(Event::CommitFailed) };
        let (shared, key, unlinked) = (Arc::clone(&self.shared), self.order.key.clone(), self.order.unlinked.clone());
        let size = self.machine.readable();
        let commit = move || {
            let committed = shared.files.commit(writer.spooled, &key.digest);
            // Whether or not the bytes could be kept: upstream lets these groups have them.
            for group in unlinked.take() {
                shared.link(group, &key, size);
            }
            committed
        };
        Ok(match spawn_blocking(commit).await? {
            Ok(()) => Event::Committed,
            Err(error) => {
                tracing::warn!(%error, "a verified blob could not be stored");
                Event::CommitFailed
            }
        })
    }

    fn end(&mut self, outcome: Outcome) -> End {
        match outcome {
            Outcome::Stored => {
                self.shared.unstored.stored(&self.order.key.origin);
                End::Done
            }
            Outcome::NotCommitted => End::Done,
            Outcome::Unstored(reason) => {
                self.shared.unstored.report(reason, Some(&self.order.key.origin));
                End::Unstored
            }
            Outcome::Spilled { at } => {
                self.shared.unstored.report(self.unstored, Some(&self.order.key.origin));
                End::Spilled { at, hasher: self.hash() }
            }
            Outcome::Failed(failure) => {
                if self.machine.relies_on_claim() {
                    self.shared.distrust(&self.order.key);
                }
                let error = BlobError::of(failure, self.refusal.take());
                tracing::warn!(origin = %self.order.key.origin, digest = %self.order.key.digest, %error, "a download failed");
                End::Failed(error)
            }
        }
    }
}

/// What comes next, or an error if that takes too long.
pub(super) async fn stalls_after<T>(next: impl Future<Output = T>) -> Result<T, UpstreamError> {
    timeout(STALLED_AFTER, next).await.map_err(|_| UpstreamError::TimedOut)
}
