//! Content from an upstream: heads and streams. Nothing is verified here: a digest in a head is upstream's claim.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};

use super::error::UpstreamError;
use super::mirror_state::MirrorContent;
use crate::domain::digest::Digest;

/// Claims of upstream about content, from the headers of a response. Unverified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentHead {
    /// The media type without parameters. For a manifest always one of
    /// [`ACCEPTED`](crate::domain::manifest::ACCEPTED).
    pub media_type: Option<String>,
    /// Length of the whole content in bytes, also when only a part was requested.
    pub length: Option<u64>,
    /// The digest.
    pub digest: Option<Digest>,
}

impl ContentHead {
    /// Returns true if this confirms the content with this digest and length: it names at least one, and none differs.
    /// A digest alone is enough, and so is a length alone.
    pub fn affirms(&self, digest: &Digest, length: u64) -> bool {
        let same_length = self.length.map(|announced| announced == length);
        let same_digest = self.digest.map(|announced| announced == *digest);
        matches!((same_length, same_digest), (Some(true), Some(true) | None) | (None, Some(true)))
    }
}

/// Result of a `HEAD` request for a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestHead {
    /// Upstream has the manifest. The digest may be missing.
    Confirmed(ContentHead),
    /// Inconclusive, so that a `GET` must decide: upstream refused the `HEAD`, or its response was incomplete.
    Open,
    /// Inconclusive: no request was sent, because this repository did not support `HEAD` before.
    NotRequested,
    /// Inconclusive: the `HEAD` took too long.
    TooSlow,
    /// Inconclusive: no request was sent, because a `HEAD` in this repository took too long a short time ago.
    KnownSlow,
}

impl ManifestHead {
    /// Returns the head of the manifest, if upstream has confirmed that it has it.
    pub fn confirmed(&self) -> Option<&ContentHead> {
        if let Self::Confirmed(head) = self { Some(head) } else { None }
    }
}

/// Content that is being received. The reader must bound its length and verify its digest.
pub struct Content {
    /// Claims of upstream about the content.
    pub head: ContentHead,
    /// The bytes from the requested offset to the end; an error is the last item. May be polled on any tokio
    /// thread. Dropping it closes the connection.
    pub stream: BoxStream<'static, Result<Bytes, UpstreamError>>,
    /// The mirror that sends it, to which wrong content is reported; `None`: upstream's own registry.
    pub mirror: Option<MirrorContent>,
}

impl Content {
    /// Returns the same content. `held` is dropped together with the stream.
    pub fn holding<T: Send + 'static>(self, held: T) -> Self {
        let stream = stream::unfold((self.stream, held), |(mut stream, held)| async move {
            let item = stream.next().await?;
            Some((item, (stream, held)))
        });
        Self { stream: stream.boxed(), ..self }
    }
}

/// Returns a stream that ends with an error if no item arrives for the time `idle`, and after the first error.
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

/// Skips the first `skip` bytes. Yields the error `WrongRange` if the content ends before.
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

/// Reads the whole stream into memory. Fails if it is longer than `limit` bytes, or as the stream does.
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
        let content = Content { head: ContentHead::default(), stream: of(&["a"]), mirror: None }.holding(held.clone());
        assert_eq!(std::sync::Arc::strong_count(&held), 2);
        drop(content);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }
}
