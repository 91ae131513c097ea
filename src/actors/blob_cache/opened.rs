//! An open blob: its length, and its bytes as they may be given out. A client that reads slowly holds one chunk, nobody else.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::alone::Alone;
use super::error::BlobError;
use super::ports::Key;
use super::progress::{End, Progress};
use super::shared::Shared;
use crate::actors::manifests::Source;
use crate::store::blobs::BlobFile;
use crate::store::error::StoreError;

/// A client holds at most so many bytes of a blob in memory.
const CHUNK: usize = 32 * 1024;

/// A blob that this asker may read.
pub struct OpenedBlob {
    length: u64,
    source: Source,
    held: Held,
}

pub(super) enum Held {
    File(BlobFile),
    Spool(Follower),
    Alone(Alone),
}

/// Someone who follows a download.
pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    pub(super) file: BlobFile,
    pub(super) length: u64,
    pub(super) progress: watch::Receiver<Progress>,
}

impl OpenedBlob {
    pub(super) fn new(length: u64, source: Source, held: Held) -> Self {
        Self { length, source, held }
    }

    /// How many bytes the whole has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where it came from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The file that holds all of it, where it is committed: it may be sent without being read.
    pub fn file(&self) -> Option<&BlobFile> {
        match &self.held {
            Held::File(file) => Some(file),
            Held::Spool(_) | Held::Alone(_) => None,
        }
    }

    /// These bytes of it, in pieces, as soon as they are there; the last byte of the whole only once the digest holds. An error
    /// is the last item, and means that the rest never comes. To be polled where tokio runs.
    pub fn bytes(self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
        match self.held {
            Held::File(file) => stream::try_unfold((file, range), |(file, range)| async move {
                Ok(next_chunk(&file, &range).await?.map(|bytes| {
                    let rest = range.start + bytes.len() as u64..range.end;
                    (bytes, (file, rest))
                }))
            })
            .boxed(),
            Held::Spool(follower) => follow(follower, range),
            Held::Alone(alone) => alone.bytes(range),
        }
    }
}

enum Following {
    Spool(Follower, Range<u64>),
    Alone(BoxStream<'static, Result<Bytes, BlobError>>),
}

fn follow(follower: Follower, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
    stream::try_unfold(Following::Spool(follower, range), |following| async move {
        match following {
            Following::Spool(follower, range) => follower.next(range).await,
            Following::Alone(stream) => next_alone(stream).await,
        }
    })
    .boxed()
}

async fn next_alone(
    mut stream: BoxStream<'static, Result<Bytes, BlobError>>,
) -> Result<Option<(Bytes, Following)>, BlobError> {
    Ok(stream.next().await.transpose()?.map(|bytes| (bytes, Following::Alone(stream))))
}

impl Follower {
    async fn next(mut self, range: Range<u64>) -> Result<Option<(Bytes, Following)>, BlobError> {
        if range.is_empty() {
            return Ok(None);
        }
        loop {
            let (readable, end) = {
                let progress = self.progress.borrow_and_update();
                (progress.readable.min(range.end), progress.end.clone())
            };
            if let Some(bytes) = next_chunk(&self.file, &(range.start..readable)).await? {
                let rest = range.start + bytes.len() as u64..range.end;
                return Ok(Some((bytes, Following::Spool(self, rest))));
            }
            match end {
                None => self.progress.changed().await.map_err(|_| BlobError::Interrupted)?,
                Some(End::Spilled { at, hasher }) => {
                    let alone = Alone::after(self.shared, self.key, self.length, at, hasher)?;
                    return next_alone(alone.bytes(range)).await;
                }
                Some(End::Failed(error)) => return Err(error),
                Some(End::Done | End::AlreadyStored | End::Unstored) => return Err(BlobError::Interrupted),
            }
        }
    }
}

/// The first bytes of a range of a file, up to a chunk; `None` where the range is empty. An end of the file within the range is
/// an error. Reads at once what is in memory, and on a blocking thread what is not.
async fn next_chunk(file: &BlobFile, range: &Range<u64>) -> Result<Option<Bytes>, BlobError> {
    let most = range.end.saturating_sub(range.start).min(CHUNK as u64) as usize;
    if most == 0 {
        return Ok(None);
    }
    let bytes = match file.read_cached(range.start, most)? {
        Some(bytes) => bytes,
        None => {
            let (file, start) = (file.clone(), range.start);
            let bytes = spawn_blocking(move || file.read(start, most)).await;
            bytes.map_err(|_| BlobError::Interrupted)??
        }
    };
    if bytes.is_empty() {
        return Err(StoreError::Damaged("a blob is shorter than it was".to_owned()).into());
    }
    Ok(Some(bytes))
}
