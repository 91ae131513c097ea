//! What an upstream gives: heads and streams. Verifies nothing: a digest in a head is what upstream claims.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};

use super::error::UpstreamError;
use crate::domain::digest::Digest;

/// What upstream says about some content before sending it. None of it is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentHead {
    /// Its media type, without parameters. For a manifest always one of [`ACCEPTED`](crate::domain::manifest::ACCEPTED).
    pub media_type: Option<String>,
    /// The length in bytes of the whole content, also where only the rest was asked for.
    pub length: Option<u64>,
    /// Its digest, as upstream claims.
    pub digest: Option<Digest>,
}

/// What a `HEAD` says of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestHead {
    /// Upstream has it, and this is its head. The digest may be missing.
    Affirmed(ContentHead),
    /// Only a `GET` can tell: upstream refused the `HEAD`, or its response has not all that a manifest's has.
    Open,
    /// As [`Self::Open`], and no request was sent, because this repository did not support `HEAD` before.
    NotRequested,
    /// As [`Self::Open`], because a `HEAD` takes too long there.
    TooSlow,
}

impl ManifestHead {
    /// What upstream affirms, if it does.
    pub fn affirmed(&self) -> Option<&ContentHead> {
        if let Self::Affirmed(head) = self { Some(head) } else { None }
    }
}

/// Content on its way. The reader bounds its length and verifies its digest.
pub struct Content {
    /// What upstream says about it.
    pub head: ContentHead,
    /// The bytes from the offset that was asked for to the end; an error is the last item. May be polled on any thread that
    /// runs tokio. Dropping it closes the connection.
    pub stream: BoxStream<'static, Result<Bytes, UpstreamError>>,
}

impl Content {
    /// The same, with something that is dropped together with the stream.
    pub fn holding<T: Send + 'static>(self, held: T) -> Self {
        let stream = stream::unfold((self.stream, held), |(mut stream, held)| async move {
            let item = stream.next().await?;
            Some((item, (stream, held)))
        });
        Self { head: self.head, stream: stream.boxed() }
    }
}

/// Ends with an error where no item comes for this long, and after the first error.
pub(super) fn with_idle_timeout(
    stream: impl Stream<Item = Result<Bytes, UpstreamError>> + Send + 'static,
    idle: Duration,
) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
    let next = move |running: Option<BoxStream<'static, _>>| async move {
        let mut stream = running?;
        match tokio::time::timeout(idle, stream.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(stream))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_elapsed) => Some((Err(stalled(idle)), None)),
        }
    };
    stream::unfold(Some(stream.boxed()), next).boxed()
}

fn stalled(idle: Duration) -> UpstreamError {
    UpstreamError::Interrupted { reason: format!("no byte for {idle:?}") }
}

/// Leaves out the first `skip` bytes; content that ends before them is the wrong range.
pub(super) fn skipping(
    stream: BoxStream<'static, Result<Bytes, UpstreamError>>,
    skip: u64,
) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
    if skip == 0 {
        return stream;
    }
    let next = |(mut stream, mut skip): (BoxStream<'static, Result<Bytes, UpstreamError>>, u64)| async move {
        loop {
            match stream.next().await {
                Some(Ok(mut bytes)) => {
                    let dropped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
                    skip -= dropped as u64;
                    let kept = bytes.split_off(dropped);
                    if !kept.is_empty() {
                        return Some((Ok(kept), (stream, skip)));
                    }
                }
                Some(Err(error)) => return Some((Err(error), (stream, 0))),
                None if skip > 0 => return Some((Err(UpstreamError::WrongRange), (stream, 0))),
                None => return None,
            }
        }
    };
    stream::unfold((stream.fuse().boxed(), skip), next).boxed()
}

/// The whole stream in memory, if it is not longer than `limit` bytes.
pub(super) async fn collect(
    stream: BoxStream<'static, Result<Bytes, UpstreamError>>,
    limit: usize,
) -> Result<Bytes, UpstreamError> {
    let add = |mut all: Vec<u8>, bytes: Bytes| async move {
        if all.len() + bytes.len() > limit {
            return Err(UpstreamError::TooLong);
        }
        all.extend_from_slice(&bytes);
        Ok(all)
    };
    stream.try_fold(Vec::new(), add).await.map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Items = Vec<Result<Bytes, UpstreamError>>;

    fn of(chunks: &[&'static str]) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
        stream::iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect::<Items>()).boxed()
    }

    async fn all(stream: BoxStream<'static, Result<Bytes, UpstreamError>>) -> Items {
        stream.collect().await
    }

    #[tokio::test]
    async fn skipping_starts_exactly_there() {
        for skip in 0..=6 {
            let rest = collect(skipping(of(&["ab", "", "cde", "f"]), skip), 100).await;
            assert_eq!(rest, Ok(Bytes::from("abcdef".split_at(skip as usize).1)), "{skip}");
        }
        assert_eq!(all(skipping(of(&["ab"]), 3)).await, [Err(UpstreamError::WrongRange)]);
    }

    #[tokio::test]
    async fn a_pause_that_is_too_long_ends_the_stream() {
        let slow = of(&["a"]).chain(stream::pending());
        let items = all(with_idle_timeout(slow, Duration::from_millis(20))).await;
        assert_eq!(items, [Ok(Bytes::from("a")), Err(stalled(Duration::from_millis(20)))]);
    }

    #[tokio::test]
    async fn a_list_is_bounded() {
        assert_eq!(collect(of(&["abc", "def"]), 6).await, Ok(Bytes::from("abcdef")));
        assert_eq!(collect(of(&["abc", "def"]), 5).await, Err(UpstreamError::TooLong));
    }

    #[tokio::test]
    async fn what_is_held_is_dropped_with_the_stream() {
        let held = std::sync::Arc::new(());
        let content = Content { head: ContentHead::default(), stream: of(&["a"]) }.holding(held.clone());
        assert_eq!(std::sync::Arc::strong_count(&held), 2);
        drop(content);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }
}
