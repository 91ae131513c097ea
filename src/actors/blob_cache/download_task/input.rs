//! The input of a download: requests to upstream, and the bytes that arrive, in batches.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};

use super::{DownloadTask, STALL_TIMEOUT};
use crate::actors::blob_cache::hashing::length;
use crate::auth::random;
use crate::domain::download::Event;
use crate::domain::retries::jittered;
use crate::upstream::{Content, UpstreamError};

/// Size of a batch at which received bytes are written. Received bytes are written when the batch reaches this
/// size, or [`BATCH_INTERVAL`] after the last write, because each write wakes all readers that wait for more bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// Time after the last write at which a smaller batch is written, too.
const BATCH_INTERVAL: Duration = Duration::from_millis(4);

/// Maximum pause before the next request, if upstream's `Retry-After` exceeds the usual pause.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(15);

impl DownloadTask<'_> {
    /// Requests the content from upstream, from this offset on, after a pause.
    pub(super) async fn request(&mut self, from: u64, pause: Duration) -> Event {
        // The old stream holds a permit of its upstream, which this request may need.
        self.stream = None;
        sleep(jittered(pause.max(self.requested_pause()), random::number())).await;
        match self.shared.upstream.request(self.order.key.content(from)).await {
            Ok(Content { head, stream, mirror }) => {
                self.stream = Some(stream);
                self.mirrors.add(mirror);
                self.refusal = None;
                Event::Responded(head.length)
            }
            Err(error) => self.interrupted(error),
        }
    }

    /// Returns the pause that upstream's `Retry-After` requests.
    fn requested_pause(&self) -> Duration {
        self.refusal.as_ref().and_then(UpstreamError::retry_after).unwrap_or_default().min(MAX_RETRY_PAUSE)
    }

    /// Requests the length alone from upstream.
    pub(super) async fn request_length(&self) -> Event {
        // A refused `HEAD` does not end the download: upstream is already sending the content.
        let head = self.shared.upstream.request(self.order.key.head(None)).await;
        Event::LengthReported(head.ok().and_then(|head| head.length))
    }

    /// Waits until a batch is to be written, or for the event that the stream ends with.
    pub(super) async fn receive(&mut self) -> Event {
        if self.batch.is_empty() {
            if let Some(event) = self.ahead.take() {
                return event;
            }
            if let Some(event) = self.take(Instant::now() + STALL_TIMEOUT).await {
                return event.unwrap_or_else(|| self.interrupted(UpstreamError::TimedOut));
            }
        }
        // The first bytes are written at once, so that clients get a first byte early.
        let late = if self.machine.readable() == 0 { self.written } else { self.written + BATCH_INTERVAL };
        self.gather(late).await;
        Event::Received(self.batched() as u64)
    }

    /// Adds received bytes to the batch until it is large enough, or until `late`.
    pub(super) async fn gather(&mut self, late: Instant) {
        while self.batched() < BATCH_BYTES && self.ahead.is_none() {
            match self.take(late).await {
                None => {}
                Some(Some(event)) => self.ahead = Some(event),
                Some(None) => break,
            }
        }
    }

    /// Adds the stream's next bytes to the batch and returns `None`. Returns `Some(Some(event))` if the stream ends
    /// or fails, and `Some(None)` at the time `late`.
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

    /// Returns the number of received bytes that are not written yet.
    pub(super) fn batched(&self) -> usize {
        length(&self.batch)
    }

    fn ended(&mut self) -> Event {
        self.refusal = Some(UpstreamError::Interrupted { reason: "the content ended early".to_owned() });
        Event::Ended
    }

    fn interrupted(&mut self, error: UpstreamError) -> Event {
        let retryable = error.is_retryable();
        tracing::debug!(image = %self.order.key.origin, digest = %self.order.key.digest, %error, "a download was interrupted");
        self.refusal = Some(error);
        Event::Interrupted { retryable }
    }
}
