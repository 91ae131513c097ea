//! One running download: drives the state machine of `domain::download` with a stream, a file and a hash, and publishes how far
//! it is. No client owns it; whoever follows holds a receiver of its [`Progress`].

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::error::BlobError;
use super::ports::Key;
use super::progress::{Accepted, End, Order, Progress};
use super::shared::Shared;
use crate::auth::sha256::Hasher;
use crate::domain::download::{Action, Download, Event, Limits, Outcome, Unstored};
use crate::store::blobs::BlobFile;
use crate::store::error::StoreError;
use crate::store::spool::SpoolFile;
use crate::upstream::{Content, UpstreamError};

/// A stream that brings nothing for so long is given up and asked for again.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(30);

/// What has arrived is written at once if it is this much, ...
const BATCH: usize = 256 * 1024;

/// ... or after this time: each write wakes everyone who follows.
const GATHER: Duration = Duration::from_millis(4);

/// The room on the disk is looked at again after so many bytes.
const ROOM_CHECK: u64 = 64 * 1024 * 1024;

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
    let (shared, digest, size) = (Arc::clone(shared), order.key.digest, order.size);
    spawn_blocking(move || match shared.files.blob(&digest, size) {
        Ok(Some(_)) => Err(End::AlreadyStored),
        Ok(None) => Writer::new(&shared).map(|(limits, writer)| (Download::new(size, limits), writer)),
        Err(error) => Err(End::Failed(error.into())),
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
    batch: Vec<Bytes>,
    /// What the stream said right after the batch.
    ahead: Option<Event>,
    /// The last error of upstream.
    refusal: Option<UpstreamError>,
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
        Self { shared, order, progress, machine, file, writer, stream, batch, ahead: None, refusal: None }
    }

    async fn fly(&mut self) -> Result<End, Lost> {
        loop {
            self.publish();
            let event = match self.machine.next() {
                Action::Ask { from, pause } => self.ask(from, pause).await,
                Action::AskLength => self.ask_length().await,
                Action::Receive => self.receive().await,
                Action::Write => self.write().await?,
                Action::Verify => Event::Verified(self.hash().finish() == self.order.key.digest),
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
        if let Some(event) = self.ahead.take() {
            return event;
        }
        let stalled = Instant::now() + STALLED_AFTER;
        if let Some(event) = self.take(stalled).await {
            return event.unwrap_or_else(|| self.interrupted(UpstreamError::TimedOut));
        }
        // The first bytes go on their way at once.
        let gathered = if self.machine.readable() == 0 { Instant::now() } else { Instant::now() + GATHER };
        let mut received = self.batched();
        while received < BATCH && self.ahead.is_none() {
            match self.take(gathered).await {
                None => received = self.batched(),
                Some(Some(event)) => self.ahead = Some(event),
                Some(None) => break,
            }
        }
        Event::Received(received as u64)
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

    async fn write(&mut self) -> Result<Event, Lost> {
        let (bytes, batch) = (self.batched() as u64, mem::take(&mut self.batch));
        metrics::counter!("dependency_proxy_fetched_bytes_total").increment(bytes);
        let Some(mut writer) = self.writer.take() else { return Ok(Event::WriteFailed) };
        let (writer, written) = spawn_blocking(move || {
            let written = writer.write(&batch);
            (writer, written)
        })
        .await?;
        self.writer = Some(writer);
        Ok(match written {
            Ok(()) => Event::Written(bytes),
            Err(error) => {
                tracing::warn!(%error, "a download cannot be stored; its clients go on without");
                Event::WriteFailed
            }
        })
    }

    /// The hash of all bytes written.
    fn hash(&self) -> Hasher {
        self.writer.as_ref().map(|writer| writer.hasher.clone()).unwrap_or_default()
    }

    async fn commit(&mut self) -> Result<Event, Lost> {
        let Some(Writer { spooled, .. }) = self.writer.take() else { return Ok(Event::CommitFailed) };
        let (shared, key, unlinked) = (Arc::clone(&self.shared), self.order.key.clone(), self.order.unlinked.clone());
        let size = self.machine.readable();
        let commit = move || {
            let committed = shared.files.commit(spooled, &key.digest);
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
            Outcome::Stored | Outcome::NotCommitted => End::Done,
            Outcome::Unstored(reason) => {
                self.shared.tell_unstored(reason);
                End::Unstored
            }
            Outcome::Spilled { at } => {
                self.shared.tell_unstored(Unstored::NoRoom);
                End::Spilled { at, hasher: self.hash() }
            }
            Outcome::Failed(failure) => {
                let error = BlobError::of(failure, self.refusal.take());
                tracing::warn!(origin = %self.order.key.origin, digest = %self.order.key.digest, %error, "a download failed");
                End::Failed(error)
            }
        }
    }
}

/// The blocking half of a download.
struct Writer {
    shared: Arc<Shared>,
    spooled: SpoolFile,
    hasher: Hasher,
    written: u64,
    checked: u64,
}

impl Writer {
    fn new(shared: &Arc<Shared>) -> Result<(Limits, Self), End> {
        let begun = shared.files.room().and_then(|room| Ok((room, shared.spool.create()?)));
        let (room, spooled) = match begun {
            Ok(begun) => begun,
            Err(StoreError::Full) => {
                shared.tell_unstored(Unstored::NoRoom);
                return Err(End::Unstored);
            }
            Err(error) => return Err(End::Failed(error.into())),
        };
        let limits = Limits { max_length: shared.options.max_blob_bytes, room };
        Ok((limits, Self { shared: Arc::clone(shared), spooled, hasher: Hasher::default(), written: 0, checked: 0 }))
    }

    /// Writes and hashes all pieces; after an error the hash and the count are those from before.
    fn write(&mut self, batch: &[Bytes]) -> Result<(), StoreError> {
        self.check_room()?;
        let mut offset = self.written;
        for bytes in batch {
            self.spooled.write_at(offset, bytes)?;
            offset += bytes.len() as u64;
        }
        batch.iter().for_each(|bytes| self.hasher.update(bytes));
        self.written = offset;
        Ok(())
    }

    /// What was free at the start may have been used by others.
    fn check_room(&mut self) -> Result<(), StoreError> {
        if self.written - self.checked >= ROOM_CHECK {
            self.checked = self.written;
            if self.shared.files.room()? == 0 {
                return Err(StoreError::Full);
            }
        }
        Ok(())
    }
}

/// What comes next, or an error if that takes too long.
pub(super) async fn stalls_after<T>(next: impl Future<Output = T>) -> Result<T, UpstreamError> {
    timeout(STALLED_AFTER, next).await.map_err(|_| UpstreamError::TimedOut)
}
