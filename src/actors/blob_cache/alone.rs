//! A client's own stream from upstream, where a blob is not stored: it is too long, or the disk is full. Nothing is kept but
//! the running hash; the last bytes are given out only once the digest holds.
//!
//! To verify, the stream begins at the first byte that the hash has not seen, even where the client wants a later range: what
//! it does not want is fetched and dropped. A download that spilled hands its hash over, so nothing is read twice.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::super::places::{Place, Share};
use super::error::BlobError;
use super::flight::stalls_after;
use super::ports::Key;
use super::shared::Shared;
use crate::auth::sha256::Hasher;
use crate::domain::download::{Expected, MAX_FRUITLESS_TRIES, pause_before};
use crate::domain::id::GroupId;
use crate::upstream::{Content, UpstreamError};

/// A stream of its own. Their number is bounded; each holds a permit.
pub(super) struct Alone {
    shared: Arc<Shared>,
    key: Key,
    length: u64,
    /// So many bytes were received and hashed.
    position: u64,
    hasher: Hasher,
    stream: Option<BoxStream<'static, Result<Bytes, UpstreamError>>>,
    fruitless: u32,
    /// Gets a link once the digest holds.
    unlinked: Option<GroupId>,
    _place: Place,
    /// Of the group's share; a download that spilled was the group's already.
    _share: Option<Share>,
}

impl Alone {
    /// Requests the whole of upstream.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        key: Key,
        expected: Expected,
        unlinked: Option<GroupId>,
        share: Share,
    ) -> Result<Self, BlobError> {
        let place = place(shared)?;
        let Content { head, stream } = shared.upstream.blob(&key.origin, &key.digest, 0).await?;
        let length = match (expected.verified, head.length) {
            (Some(expected), Some(told)) if expected != told => return Err(BlobError::WrongLength { expected, told }),
            (verified, told) => verified.or(told).or(expected.claimed).ok_or(BlobError::NoLength)?,
        };
        let (shared, hasher) = (Arc::clone(shared), Hasher::default());
        // Of nothing there is no last byte to hold back.
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
            fruitless: 0,
            unlinked,
            _place: place,
            _share: Some(share),
        })
    }

    /// Goes on where a spilled download stopped: `hasher` has seen the first `at` bytes.
    pub(super) fn after(
        shared: Arc<Shared>,
        key: Key,
        length: u64,
        at: u64,
        hasher: Hasher,
    ) -> Result<Self, BlobError> {
        let place = place(&shared)?;
        Ok(Self {
            shared,
            key,
            length,
            position: at,
            hasher,
            stream: None,
            fruitless: 0,
            unlinked: None,
            _place: place,
            _share: None,
        })
    }

    /// How long the whole is.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// These bytes of it; an error is the last item.
    pub(super) fn bytes(self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
        stream::try_unfold((self, range), |(mut alone, range)| async move {
            Ok(alone.next(&range).await?.map(|bytes| (bytes, (alone, range))))
        })
        .boxed()
    }

    async fn next(&mut self, range: &Range<u64>) -> Result<Option<Bytes>, BlobError> {
        while self.position < range.end {
            let begin = self.position;
            let bytes = self.receive().await?;
            let from = range.start.clamp(begin, self.position) - begin;
            let to = range.end.clamp(begin, self.position) - begin;
            if from < to {
                return Ok(Some(bytes.slice(from as usize..to as usize)));
            }
        }
        Ok(None)
    }

    /// The next bytes, not empty; the last only if the digest holds.
    async fn receive(&mut self) -> Result<Bytes, BlobError> {
        loop {
            match self.next_piece().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.fruitless = 0;
                    self.accept(&bytes)?;
                    return Ok(bytes);
                }
                Err(error) => self.pause_after(error).await?,
            }
        }
    }

    async fn next_piece(&mut self) -> Result<Bytes, BlobError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(resume(&self.shared, &self.key, self.position, self.length).await?),
        };
        match stalls_after(stream.next()).await? {
            Some(piece) => Ok(piece?),
            None => Err(UpstreamError::Interrupted { reason: "the stream ended early".to_owned() }.into()),
        }
    }

    fn accept(&mut self, bytes: &Bytes) -> Result<(), BlobError> {
        metrics::counter!("dependency_proxy_fetched_bytes_total").increment(bytes.len() as u64);
        self.position += bytes.len() as u64;
        self.hasher.update(bytes);
        if self.position > self.length {
            return Err(BlobError::WrongLength { expected: self.length, told: self.position });
        }
        if self.position < self.length {
            return Ok(());
        }
        if self.hasher.clone().finish() != self.key.digest {
            return Err(BlobError::WrongDigest);
        }
        if let Some(group) = self.unlinked.take() {
            let (shared, key, size) = (Arc::clone(&self.shared), self.key.clone(), self.length);
            spawn_blocking(move || shared.link(group, &key, size));
        }
        Ok(())
    }

    async fn pause_after(&mut self, error: BlobError) -> Result<(), BlobError> {
        self.stream = None;
        self.fruitless += 1;
        if !error.is_retryable() || self.fruitless >= MAX_FRUITLESS_TRIES {
            return Err(error);
        }
        sleep(pause_before(self.fruitless)).await;
        Ok(())
    }
}

async fn resume(
    shared: &Shared,
    key: &Key,
    from: u64,
    expected: u64,
) -> Result<BoxStream<'static, Result<Bytes, UpstreamError>>, BlobError> {
    let Content { head, stream } = shared.upstream.blob(&key.origin, &key.digest, from).await?;
    match head.length {
        Some(told) if told != expected => Err(BlobError::WrongLength { expected, told }),
        _ => Ok(stream),
    }
}

fn place(shared: &Shared) -> Result<Place, BlobError> {
    shared.alone.take().ok_or(BlobError::Busy)
}
