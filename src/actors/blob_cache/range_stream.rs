//! Stream of ranges of a blob from upstream to one client, unverified and never stored. It sends one
//! bounded range request after the other, and a common request for ranges that lie close to each other.
//! Any failure ends the stream with an error, and no request is repeated: the client's connection is
//! closed, and the client decides what to request again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::context::DownloadContext;
use super::download_task::within_stall_timeout;
use super::error::BlobError;
use super::upstream::BlobKey;
use crate::actors::admission::{Permit, Share};
use crate::actors::upstream_fetcher::Urgency;
use crate::domain::byte_range::upstream_requests;
use crate::upstream::{Content, UpstreamError};

/// A stream of the ranges that are still to be sent.
pub(super) struct RangeStream {
    shared: Arc<DownloadContext>,
    key: BlobKey,
    /// The remaining ranges. The first begins after the bytes that were returned already.
    parts: VecDeque<Range<u64>>,
    /// The upstream requests that were not sent yet.
    requests: VecDeque<Range<u64>>,
    /// The response that is being read.
    response: Response,
    /// The length of the whole blob by upstream's first response.
    total_length: Option<u64>,
    _permits: Option<(Share, Permit)>,
}

struct Response {
    stream: BoxStream<'static, Result<Bytes, UpstreamError>>,
    /// Bytes that were received and not returned yet.
    unread: Bytes,
    /// The rest of the requested range, beginning with the unread bytes.
    range: Range<u64>,
}

impl RangeStream {
    /// Sends the first request. Returns the stream and the length of the whole blob, if upstream reports it.
    /// Returns `None` if upstream ignores ranges.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send the range.
    pub(super) async fn begin(
        shared: &Arc<DownloadContext>,
        key: BlobKey,
        parts: Vec<Range<u64>>,
    ) -> Result<Option<(Self, Option<u64>)>, BlobError> {
        let mut requests = VecDeque::from(upstream_requests(&parts));
        let first = requests.pop_front().unwrap_or_default();
        let Some((response, total_length)) = request(shared, &key, (first, Urgency::Awaited)).await? else {
            return Ok(None);
        };
        let (shared, parts) = (Arc::clone(shared), parts.into());
        Ok(Some((Self { shared, key, parts, requests, response, total_length, _permits: None }, total_length)))
    }

    /// Adds permits, which are released when the stream ends.
    pub(super) fn holding(self, permits: (Share, Permit)) -> Self {
        Self { _permits: Some(permits), ..self }
    }

    /// Returns the bytes of these ranges, one after the other; no item has bytes of two ranges. They must be those
    /// that the stream began with.
    pub(super) fn bytes(self, parts: &[Range<u64>]) -> BoxStream<'static, Result<Bytes, BlobError>> {
        if !self.parts.iter().eq(parts) {
            return stream::iter([Err(BlobError::Interrupted)]).boxed();
        }
        stream::try_unfold(self, |mut ranges| async move { Ok(ranges.next().await?.map(|bytes| (bytes, ranges))) })
            .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        while let Some(part) = self.parts.front().cloned() {
            if part.is_empty() {
                self.parts.pop_front();
            } else if let Some(bytes) = self.response.take(&part) {
                self.parts[0].start += bytes.len() as u64;
                return Ok(Some(bytes));
            } else if self.response.range.is_empty() {
                self.request_next().await?;
            } else {
                self.response.receive().await?;
            }
        }
        Ok(None)
    }

    async fn request_next(&mut self) -> Result<(), BlobError> {
        let range = self.requests.pop_front().ok_or(BlobError::Interrupted)?;
        // The old stream holds a permit of its upstream, which the next request may need.
        self.response.stream = stream::empty().boxed();
        let (response, reported) =
            request(&self.shared, &self.key, (range, Urgency::Continuing)).await?.ok_or(UpstreamError::WrongRange)?;
        if let (Some(expected), Some(reported)) = (self.total_length, reported)
            && expected != reported
        {
            return Err(BlobError::WrongLength { expected, reported });
        }
        self.response = response;
        Ok(())
    }
}

impl Response {
    /// Returns the unread bytes of this range, if there are any at its beginning. Drops the bytes before it.
    fn take(&mut self, part: &Range<u64>) -> Option<Bytes> {
        let dropped = part.start.saturating_sub(self.range.start).min(self.unread.len() as u64);
        self.advance(dropped);
        let length = part.end.saturating_sub(self.range.start).min(self.unread.len() as u64);
        if length == 0 || self.range.start != part.start {
            return None;
        }
        let bytes = self.unread.slice(..length as usize);
        self.advance(length);
        Some(bytes)
    }

    fn advance(&mut self, length: u64) {
        self.unread.advance(length as usize);
        self.range.start += length;
    }

    /// Waits for more bytes. There must be no unread bytes.
    async fn receive(&mut self) -> Result<(), BlobError> {
        match within_stall_timeout(self.stream.next()).await? {
            Some(Ok(bytes)) if bytes.len() as u64 > self.range.end - self.range.start => {
                Err(UpstreamError::WrongRange.into())
            }
            Some(Ok(bytes)) => {
                metrics::counter!("dependency_proxy_fetched_bytes_total").increment(bytes.len() as u64);
                self.unread = bytes;
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(UpstreamError::Interrupted { reason: "the range ended early".to_owned() }.into()),
        }
    }
}

async fn request(
    shared: &DownloadContext,
    key: &BlobKey,
    (range, urgency): (Range<u64>, Urgency),
) -> Result<Option<(Response, Option<u64>)>, BlobError> {
    let content = shared.upstream.request(key.range(range.clone(), urgency)).await?;
    Ok(content.map(|Content { head, stream, .. }| (Response { stream, unread: Bytes::new(), range }, head.length)))
}
