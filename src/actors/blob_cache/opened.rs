//! An open blob: its length, and its bytes as they may be given out, read or lent. A client that reads slowly holds one piece,
//! nobody else. No thread that serves others waits for the disk.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::alone::Alone;
use super::error::BlobError;
use super::piece::{Giving, Part, Piece};
use super::ports::Key;
use super::progress::{End, Progress};
use super::range_stream::RangeStream;
use super::shared::Shared;
use crate::actors::manifests::Source;
use crate::domain::byte_range::{RangeSet, Selected};
use crate::store::blobs::BlobFile;
use crate::store::error::StoreError;

/// A client holds at most so many bytes of a blob in memory.
const CHUNK: u64 = 32 * 1024;

/// So much of a file is lent at once, or less than twice as much where that is all that is left: then the other connections of
/// the thread have their turn.
const LENT: u64 = 2 * 1024 * 1024;

/// Of what has to come from the disk no more than this is waited for before it leaves.
const LOADED: u64 = 1024 * 1024;

/// A blob, piece by piece.
pub type Pieces = BoxStream<'static, Result<Piece, BlobError>>;

/// A blob that this asker may read.
pub struct OpenedBlob {
    length: u64,
    source: Source,
    held: Held,
}

pub(super) enum Held {
    File(BlobFile),
    Bytes(Bytes),
    Spool(Follower),
    Alone(Alone),
    /// Some parts of it, unverified.
    Ranges(Box<RangeStream>),
}

/// Someone who follows a download.
#[derive(Clone)]
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

    /// A blob of which there is nothing to give, because the ranges requested lie beyond its end.
    pub(super) fn without_parts(length: u64) -> Self {
        Self::new(length, Source::Miss, Held::Bytes(Bytes::new()))
    }

    /// Parts of a blob that come from upstream unverified.
    pub(super) fn ranges(length: u64, stream: RangeStream) -> Self {
        Self::new(length, Source::Miss, Held::Ranges(stream.into()))
    }

    /// What these ranges select of it. Several parts of what comes in one stream from its first byte on would have to be waited
    /// for in turn: then `Range` is ignored and the whole is given.
    pub fn select(&self, ranges: &RangeSet) -> Selected {
        let selected = ranges.select(self.length);
        let is_there = match (&selected, &self.held) {
            (Selected::Parts(parts), Held::Spool(follower)) => follower.has(parts),
            (Selected::Parts(_), Held::Alone(_)) => false,
            (_, _) => true,
        };
        if is_there { selected } else { Selected::Whole }
    }

    /// How many bytes the whole has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where it came from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether its bytes come from a stored file: those in memory were verified when they were read, all others as they arrived.
    pub(super) fn is_stored_file(&self) -> bool {
        matches!(self.held, Held::File(_))
    }

    /// These bytes of it, where all are in memory. The range lies within the blob.
    pub fn in_memory(&self, range: &Range<u64>) -> Option<Bytes> {
        let Held::Bytes(bytes) = &self.held else { return None };
        let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
    }

    /// These bytes of it, in pieces, as soon as they are there; the last byte of the whole only once the digest holds. An error
    /// is the last item, and means that the rest never comes. What is not in a file is given as bytes however it is asked for.
    /// To be polled where tokio runs.
    pub fn pieces(self, range: Range<u64>, giving: Giving) -> Pieces {
        match self.held {
            Held::File(file) => stream::try_unfold((file, range), move |(file, range)| async move {
                Ok(next_piece(&file, &range, giving).await?.map(|piece| {
                    let rest = range.start + piece.length()..range.end;
                    (piece, (file, rest))
                }))
            })
            .boxed(),
            Held::Bytes(_) => stream::iter(
                self.in_memory(&range).filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Piece::Bytes(bytes))),
            )
            .boxed(),
            Held::Spool(follower) => follow(follower, range, giving),
            Held::Alone(alone) => alone.bytes(range).map_ok(Piece::Bytes).boxed(),
            Held::Ranges(stream) => stream.bytes(&[range]).map_ok(Piece::Bytes).boxed(),
        }
    }

    /// Several parts of it, those that [`OpenedBlob::select`] told, read one after the other; no item has bytes of two of them.
    pub fn parts(self, parts: Vec<Range<u64>>) -> Pieces {
        let Self { length, source, held } = self;
        if let Held::Ranges(stream) = held {
            return stream.bytes(&parts).map_ok(Piece::Bytes).boxed();
        }
        let part = move |part| match held.again() {
            Some(held) => Self::new(length, source, held).pieces(part, Giving::Read),
            None => stream::iter([Err(BlobError::Interrupted)]).boxed(),
        };
        stream::iter(parts).flat_map(part).boxed()
    }
}

impl Held {
    /// The same once more, where it can be read more than once.
    fn again(&self) -> Option<Self> {
        match self {
            Self::File(file) => Some(Self::File(file.clone())),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Spool(follower) => Some(Self::Spool(follower.clone())),
            Self::Alone(_) | Self::Ranges(_) => None,
        }
    }
}

enum Following {
    Spool(Follower, Range<u64>),
    Alone(Pieces),
}

fn follow(follower: Follower, range: Range<u64>, giving: Giving) -> Pieces {
    stream::try_unfold(Following::Spool(follower, range), move |following| async move {
        match following {
            Following::Spool(follower, range) => follower.next(range, giving).await,
            Following::Alone(pieces) => next_alone(pieces).await,
        }
    })
    .boxed()
}

async fn next_alone(mut pieces: Pieces) -> Result<Option<(Piece, Following)>, BlobError> {
    Ok(pieces.next().await.transpose()?.map(|piece| (piece, Following::Alone(pieces))))
}

impl Follower {
    /// Whether all of these parts have arrived.
    fn has(&self, parts: &[Range<u64>]) -> bool {
        let readable = self.progress.borrow().readable;
        parts.iter().all(|part| part.end <= readable)
    }

    async fn next(mut self, range: Range<u64>, giving: Giving) -> Result<Option<(Piece, Following)>, BlobError> {
        if range.is_empty() {
            return Ok(None);
        }
        loop {
            let (readable, end) = {
                let progress = self.progress.borrow_and_update();
                (progress.readable.min(range.end), progress.end.clone())
            };
            if let Some(piece) = next_piece(&self.file, &(range.start..readable), giving).await? {
                let rest = range.start + piece.length()..range.end;
                return Ok(Some((piece, Following::Spool(self, rest))));
            }
            match end {
                None => self.progress.changed().await.map_err(|_| BlobError::Interrupted)?,
                Some(End::Spilled { at, hasher }) => {
                    let alone = Alone::after(self.shared, self.key, self.length, at, hasher)?;
                    return next_alone(alone.bytes(range).map_ok(Piece::Bytes).boxed()).await;
                }
                Some(End::Failed(error)) => return Err(error),
                Some(End::Done | End::AlreadyStored | End::Unstored) => return Err(BlobError::Interrupted),
            }
        }
    }
}

/// How much of this range is lent next. A little rest would wake the client once more.
fn lent(range: &Range<u64>) -> u64 {
    let length = range.end.saturating_sub(range.start);
    if length < 2 * LENT { length } else { LENT }
}

/// The first bytes of a range of a file; `None` where the range is empty.
async fn next_piece(file: &BlobFile, range: &Range<u64>, giving: Giving) -> Result<Option<Piece>, BlobError> {
    if range.is_empty() {
        return Ok(None);
    }
    Ok(Some(match giving {
        Giving::Read => Piece::Bytes(read(file, range.start..range.end.min(range.start + CHUNK)).await?),
        Giving::Lend => {
            let part = lend(file, range.start..range.start + lent(range)).await?;
            Piece::Part(if part.length() < range.end - range.start { part.followed() } else { part })
        }
    }))
}

/// Reads at once what is in memory, and on a blocking thread what is not. An end of the file within the range is an error.
async fn read(file: &BlobFile, range: Range<u64>) -> Result<Bytes, BlobError> {
    let (start, most) = (range.start, (range.end - range.start) as usize);
    let bytes = match file.read_cached(start, most)? {
        Some(bytes) => bytes,
        None => {
            let file = file.clone();
            spawn_blocking(move || file.read(start, most)).await.map_err(|_| BlobError::Interrupted)??
        }
    };
    if bytes.is_empty() {
        return Err(StoreError::Damaged("a blob is shorter than it was".to_owned()).into());
    }
    Ok(bytes)
}

/// Lends at once what is in memory; of what is not, the beginning is brought in on a blocking thread before.
async fn lend(file: &BlobFile, mut range: Range<u64>) -> Result<Part, BlobError> {
    if !file.is_cached(&range)? {
        range.end = range.end.min(range.start + LOADED);
        let (file, range) = (file.clone(), range.clone());
        spawn_blocking(move || file.load(&range)).await.map_err(|_| BlobError::Interrupted)??;
    }
    Ok(Part::new(file.clone(), range))
}
