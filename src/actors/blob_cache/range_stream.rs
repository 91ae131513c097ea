//! Parts of a blob on their way from upstream to one client, unverified and never stored: one bounded range request after the other,
//! for parts that lie close to each other a common one. Whatever goes wrong is an error and ends it; nothing is repeated, so that the
//! client, whose connection is cut, decides what to request again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::error::BlobError;
use super::flight::stalls_after;
use super::ports::Key;
use super::shared::Shared;
use crate::actors::places::{Place, Share};
use crate::domain::byte_range::upstream_requests;
use crate::upstream::{Content, UpstreamError};

/// The parts that are still to come.
pub(super) struct RangeStream {
    shared: Arc<Shared>,
    key: Key,
    /// The first is shorter by what was given out of it.
    parts: VecDeque<Range<u64>>,
    /// Those that were not sent yet.
    requests: VecDeque<Range<u64>>,
    /// The response being read.
    response: Response,
    /// The length of the whole, as upstream told it first.
    told: Option<u64>,
    _place: Option<(Share, Place)>,
}

struct Response {
    stream: BoxStream<'static, Result<Bytes, UpstreamError>>,
    /// Received and not given out.
    unread: Bytes,
    /// What it still has to bring, beginning with what is unread.
    range: Range<u64>,
}

impl RangeStream {
    /// Sends the first request. Gives the length of the whole as well, as far as upstream tells it. `None`: upstream ignores ranges.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        key: Key,
        parts: Vec<Range<u64>>,
    ) -> Result<Option<(Self, Option<u64>)>, BlobError> {
        let mut requests = VecDeque::from(upstream_requests(&parts));
        let first = requests.pop_front().unwrap_or_default();
        let Some((response, told)) = request(shared, &key, first).await? else { return Ok(None) };
        let (shared, parts) = (Arc::clone(shared), parts.into());
        Ok(Some((Self { shared, key, parts, requests, response, told, _place: None }, told)))
    }

    /// The same with a permit that is given back at its end.
    pub(super) fn holding(self, place: (Share, Place)) -> Self {
        Self { _place: Some(place), ..self }
    }

    /// The bytes of these parts, one after the other; no item has bytes of two of them. They must be those that it began with.
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
        // With it goes its permit of the upstream, which the next request may need.
        self.response.stream = stream::empty().boxed();
        let (response, told) = request(&self.shared, &self.key, range).await?.ok_or(UpstreamError::WrongRange)?;
        if let (Some(expected), Some(told)) = (self.told, told)
            && expected != told
        {
            return Err(BlobError::WrongLength { expected, told });
        }
        self.response = response;
        Ok(())
    }
}

impl Response {
    /// The first unread bytes of this part. What lies before it is dropped.
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

    /// Replaces what is unread, which has to be empty.
    async fn receive(&mut self) -> Result<(), BlobError> {
        match stalls_after(self.stream.next()).await? {
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

async fn request(shared: &Shared, key: &Key, range: Range<u64>) -> Result<Option<(Response, Option<u64>)>, BlobError> {
    let content = shared.upstream.blob_range(&key.origin, &key.digest, range.clone()).await?;
    Ok(content.map(|Content { head, stream }| (Response { stream, unread: Bytes::new(), range }, head.length)))
}
