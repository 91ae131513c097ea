//! Reader of one blob: its length, and its bytes as chunks, copied or zero-copy. A slow client holds one chunk in
//! memory and delays no other client. Worker threads never wait for the disk.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::watch;

use super::chunk::{Chunk, FileRange, Transfer};
use super::context::DownloadContext;
use super::error::BlobError;
use super::pass_through::PassThroughStream;
use super::progress::{End, Progress};
use super::range_stream::RangeStream;
use super::upstream::BlobKey;
use crate::actors::cache_status::CacheStatus;
use crate::domain::byte_range::{RangeSet, Selected};
use crate::store::blobs::BlobFile;
use crate::store::blocking::spawn_blocking;
use crate::store::error::StoreError;

/// Maximum size in bytes of a copied chunk: what a client holds of a blob in memory.
const MAX_CHUNK_BYTES: u64 = 32 * 1024;

/// Size in bytes of a file range that is sent at once, so that the other connections of the thread get their turn.
/// The last range of a blob may have less than twice this size.
const RANGE_BYTES: u64 = 2 * 1024 * 1024;

/// Maximum number of bytes that are loaded from the disk before a file range is sent.
const MAX_LOADED_BYTES: u64 = 1024 * 1024;

/// The bytes of a blob as a stream of chunks.
pub type Chunks = BoxStream<'static, Result<Chunk, BlobError>>;

/// An open blob that the client may read.
pub struct BlobReader {
    length: u64,
    source: CacheStatus,
    held: BlobSource,
}

/// The place from which the bytes of an open blob come.
pub(super) enum BlobSource {
    /// The file of a stored blob.
    File(BlobFile),
    /// A stored blob in memory.
    Bytes(Bytes),
    /// The growing file of a download.
    Spool(Follower),
    /// An upstream stream of this client alone.
    PassThrough(PassThroughStream),
    /// Ranges of the blob, unverified.
    Ranges(Box<RangeStream>),
}

/// A reader of a download.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) shared: Arc<DownloadContext>,
    pub(super) key: BlobKey,
    pub(super) file: BlobFile,
    pub(super) length: u64,
    pub(super) progress: watch::Receiver<Progress>,
}

impl BlobReader {
    pub(super) fn new(length: u64, source: CacheStatus, held: BlobSource) -> Self {
        Self { length, source, held }
    }

    /// Creates a blob without bytes, for requested ranges that lie beyond its end.
    pub(super) fn without_parts(length: u64) -> Self {
        Self::new(length, CacheStatus::Miss, BlobSource::Bytes(Bytes::new()))
    }

    /// Creates a blob of which unverified ranges come from upstream.
    pub(super) fn ranges(length: u64, stream: RangeStream) -> Self {
        Self::new(length, CacheStatus::Miss, BlobSource::Ranges(stream.into()))
    }

    /// Returns what these ranges select of the blob. Ignores the ranges and selects the whole blob if there are
    /// several and the bytes come in one stream from the first byte on: each range would have to wait for the bytes
    /// before it (RFC 9110, section 14.2, allows a server to ignore `Range`).
    pub fn select(&self, ranges: &RangeSet) -> Selected {
        let selected = ranges.select(self.length);
        let is_there = match (&selected, &self.held) {
            (Selected::Parts(parts), BlobSource::Spool(follower)) => follower.has(parts),
            (Selected::Parts(_), BlobSource::PassThrough(_)) => false,
            (_, _) => true,
        };
        if is_there { selected } else { Selected::Whole }
    }

    /// Returns the length of the whole blob in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the source of the blob.
    pub fn source(&self) -> CacheStatus {
        self.source
    }

    /// Returns true if the bytes come from a stored file. Bytes in memory were verified when they were read, and
    /// those of downloads and streams when they arrived; those of a file may be damaged.
    pub(super) fn is_stored_file(&self) -> bool {
        matches!(self.held, BlobSource::File(_))
    }

    /// Returns these bytes if the whole blob is in memory. The range must lie within the blob.
    pub fn in_memory(&self, range: &Range<u64>) -> Option<Bytes> {
        let BlobSource::Bytes(bytes) = &self.held else { return None };
        let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
    }

    /// Returns these bytes as chunks, as soon as they arrive; the last byte of the blob only once the digest is
    /// verified. An error is the last item, and means that the rest will not come. Bytes that are not in a file are
    /// always copied. The stream must be polled in a tokio runtime.
    pub fn chunks(self, range: Range<u64>, transfer: Transfer) -> Chunks {
        match self.held {
            BlobSource::File(file) => stream::try_unfold((file, range), move |(file, range)| async move {
                Ok(next_chunk(&file, &range, transfer).await?.map(|chunk| {
                    let rest = range.start + chunk.length()..range.end;
                    (chunk, (file, rest))
                }))
            })
            .boxed(),
            BlobSource::Bytes(_) => stream::iter(
                self.in_memory(&range).filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Chunk::Bytes(bytes))),
            )
            .boxed(),
            BlobSource::Spool(follower) => follow(follower, range, transfer),
            BlobSource::PassThrough(stream) => stream.bytes(range).map_ok(Chunk::Bytes).boxed(),
            BlobSource::Ranges(stream) => stream.bytes(&[range]).map_ok(Chunk::Bytes).boxed(),
        }
    }

    /// Returns the bytes of several ranges, one after the other. They must be those that [`BlobReader::select`]
    /// returned. No item has bytes of two ranges.
    pub fn parts(self, parts: Vec<Range<u64>>) -> Chunks {
        let Self { length, source, held } = self;
        if let BlobSource::Ranges(stream) = held {
            return stream.bytes(&parts).map_ok(Chunk::Bytes).boxed();
        }
        let part = move |part| match held.again() {
            Some(held) => Self::new(length, source, held).chunks(part, Transfer::Copy),
            None => stream::iter([Err(BlobError::Interrupted)]).boxed(),
        };
        stream::iter(parts).flat_map(part).boxed()
    }
}

impl BlobSource {
    /// Returns a copy, if the bytes can be read more than once.
    fn again(&self) -> Option<Self> {
        match self {
            Self::File(file) => Some(Self::File(file.clone())),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Spool(follower) => Some(Self::Spool(follower.clone())),
            Self::PassThrough(_) | Self::Ranges(_) => None,
        }
    }
}

/// State of a reader of a download: it reads the file, or its own upstream stream once the download has spilled.
enum Following {
    Spool(Follower, Range<u64>),
    PassThrough(Chunks),
}

/// Returns these bytes of a download as chunks.
fn follow(follower: Follower, range: Range<u64>, transfer: Transfer) -> Chunks {
    stream::try_unfold(Following::Spool(follower, range), move |following| async move {
        match following {
            Following::Spool(follower, range) => follower.next(range, transfer).await,
            Following::PassThrough(chunks) => next_passed_through(chunks).await,
        }
    })
    .boxed()
}

async fn next_passed_through(mut chunks: Chunks) -> Result<Option<(Chunk, Following)>, BlobError> {
    Ok(chunks.next().await.transpose()?.map(|chunk| (chunk, Following::PassThrough(chunks))))
}

impl Follower {
    /// Returns true if all bytes of these ranges have arrived.
    fn has(&self, parts: &[Range<u64>]) -> bool {
        let readable = self.progress.borrow().readable;
        parts.iter().all(|part| part.end <= readable)
    }

    /// Waits for the next chunk of the range. Returns it with the state for the rest of the range.
    async fn next(mut self, range: Range<u64>, transfer: Transfer) -> Result<Option<(Chunk, Following)>, BlobError> {
        if range.is_empty() {
            return Ok(None);
        }
        loop {
            let (readable, end) = {
                let progress = self.progress.borrow_and_update();
                (progress.readable.min(range.end), progress.end.clone())
            };
            if let Some(chunk) = next_chunk(&self.file, &(range.start..readable), transfer).await? {
                let rest = range.start + chunk.length()..range.end;
                return Ok(Some((chunk, Following::Spool(self, rest))));
            }
            match end {
                None => self.progress.changed().await.map_err(|_| BlobError::Interrupted)?,
                Some(End::Spilled { at, hasher }) => {
                    let stream = PassThroughStream::after(self.shared, self.key, self.length, at, hasher)?;
                    return next_passed_through(stream.bytes(range).map_ok(Chunk::Bytes).boxed()).await;
                }
                Some(End::Failed(error)) => return Err(error),
                Some(End::Done | End::AlreadyStored | End::Unstored) => return Err(BlobError::Interrupted),
            }
        }
    }
}

/// Returns the number of bytes of this range that are sent next. A short rest is not left over: it would
/// wake the client once more.
fn next_length(range: &Range<u64>) -> u64 {
    let length = range.end.saturating_sub(range.start);
    if length < 2 * RANGE_BYTES { length } else { RANGE_BYTES }
}

/// Returns the first chunk of a range of a file, or `None` if the range is empty.
async fn next_chunk(file: &BlobFile, range: &Range<u64>, transfer: Transfer) -> Result<Option<Chunk>, BlobError> {
    if range.is_empty() {
        return Ok(None);
    }
    Ok(Some(match transfer {
        Transfer::Copy => Chunk::Bytes(read(file, range.start..range.end.min(range.start + MAX_CHUNK_BYTES)).await?),
        Transfer::ZeroCopy => {
            let next = file_range(file, range.start..range.start + next_length(range)).await?;
            Chunk::FileRange(if next.length() < range.end - range.start { next.followed() } else { next })
        }
    }))
}

/// Reads bytes of a file: at once if they are in the page cache, and otherwise on a blocking thread. Fails if the
/// file ends before the range.
async fn read(file: &BlobFile, range: Range<u64>) -> Result<Bytes, BlobError> {
    let (start, max_bytes) = (range.start, (range.end - range.start) as usize);
    let bytes = match file.read_cached(start, max_bytes)? {
        Some(bytes) => bytes,
        None => {
            let file = file.clone();
            spawn_blocking(move || file.read(start, max_bytes)).await.map_err(|_| BlobError::Interrupted)??
        }
    };
    if bytes.is_empty() {
        return Err(StoreError::Damaged("a blob is shorter than it was".to_owned()).into());
    }
    Ok(bytes)
}

/// Returns a file range that can be sent without waiting for the disk. If the range is not in the page cache, its
/// beginning is loaded on a blocking thread first, and the result is shorter.
async fn file_range(file: &BlobFile, mut range: Range<u64>) -> Result<FileRange, BlobError> {
    if !file.is_cached(&range)? {
        range.end = range.end.min(range.start + MAX_LOADED_BYTES);
        let (file, range) = (file.clone(), range.clone());
        spawn_blocking(move || file.load(&range)).await.map_err(|_| BlobError::Interrupted)??;
    }
    Ok(FileRange::new(file.clone(), range))
}
