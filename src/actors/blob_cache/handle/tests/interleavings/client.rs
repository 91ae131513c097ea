//! A caller of an interleaving: sends its request, reads the response at its own pace, and shows the oracle what it
//! gets.

use std::io::Read;
use std::ops::Range;
use std::os::unix::net::UnixStream;

use futures::StreamExt;

use super::oracle::Oracle;
use super::scenario::{Caller, Scenario, Wants};
use super::scheduler::Scheduler;
use crate::actors::blob_cache::{BlobCacheHandle, BlobError, BlobReader, Chunk, Chunks, OpenBlob, Transfer};
use crate::actors::cache_status::CacheStatus;
use crate::domain::byte_range::{RangeSet, Selected, requested};

/// Scene and record of a caller.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) blobs: BlobCacheHandle,
    pub(super) oracle: Oracle,
    pub(super) scheduler: Scheduler,
}

impl Client {
    /// Sends the request of this caller and reads the response, unless the caller is dropped before.
    pub(super) async fn act(self, scenario: &Scenario, caller: Caller) -> Result<CacheStatus, BlobError> {
        let wanted = scenario.wanted(caller.group, caller.elsewhere);
        let done = self.request(scenario, wanted, &caller.wants).await;
        self.scheduler.note(|| format!("{caller:?} got {done:?}"));
        done
    }

    async fn request(&self, scenario: &Scenario, wanted: OpenBlob, wants: &Wants) -> Result<CacheStatus, BlobError> {
        match wants {
            Wants::Head => {
                let (length, source) = self.blobs.head(wanted).await?;
                let is_reported_wrong = self.oracle.known().is_length_wrong && source != CacheStatus::Hit;
                if length != scenario.length() && !is_reported_wrong {
                    self.oracle.violated(format!("the wrong length {length} from {source:?}"));
                }
                Ok(source)
            }
            Wants::Whole(transfer) => {
                let reader = self.blobs.open(wanted.clone()).await?;
                self.read_whole(scenario, wanted, reader, *transfer).await
            }
            Wants::Ranges(ranges) => {
                let set = set(ranges);
                let reader = self.blobs.open_ranges(wanted.clone(), &set).await?;
                self.read_ranges(scenario, wanted, reader, &set).await
            }
        }
    }

    async fn read_whole(
        &self,
        scenario: &Scenario,
        wanted: OpenBlob,
        reader: BlobReader,
        transfer: Transfer,
    ) -> Result<CacheStatus, BlobError> {
        let (source, length) = (reader.source(), reader.length());
        let read = self.read(&wanted, 0, reader.chunks(0..length, transfer)).await;
        // A read of the file is blocking work, too.
        if source == CacheStatus::Hit
            && scenario.losses == 0
            && let Err(error) = &read
        {
            self.oracle.violated(format!("a stored blob was not readable: {error}"));
        }
        self.oracle.finishes(None, &read?);
        Ok(source)
    }

    async fn read_ranges(
        &self,
        scenario: &Scenario,
        wanted: OpenBlob,
        reader: BlobReader,
        set: &RangeSet,
    ) -> Result<CacheStatus, BlobError> {
        let source = reader.source();
        let part = match reader.select(set) {
            Selected::Unsatisfiable => return Ok(source),
            Selected::Whole => return self.read_whole(scenario, wanted, reader, Transfer::Copy).await,
            Selected::Part(part) => part,
            Selected::Parts(parts) => return self.read_parts(&wanted, reader, parts).await,
        };
        let bytes = self.read(&wanted, part.start, reader.chunks(part.clone(), Transfer::Copy)).await?;
        self.oracle.finishes(Some(part), &bytes);
        Ok(source)
    }

    async fn read_parts(
        &self,
        wanted: &OpenBlob,
        reader: BlobReader,
        parts: Vec<Range<u64>>,
    ) -> Result<CacheStatus, BlobError> {
        let (source, mut chunks) = (reader.source(), reader.parts(parts.clone()));
        for part in parts {
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < part.end - part.start
                && let Some(chunk) = chunks.next().await
            {
                bytes.extend(taken_now(chunk?));
            }
            self.oracle.gets(&wanted.origin, part.start, &bytes);
            self.oracle.finishes(Some(part), &bytes);
        }
        Ok(source)
    }

    /// Reads chunks to their end, as those from this position on.
    async fn read(&self, wanted: &OpenBlob, position: u64, mut chunks: Chunks) -> Result<Vec<u8>, BlobError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = taken_now(chunk?);
            self.oracle.gets(&wanted.origin, position + bytes.len() as u64, &chunk);
            bytes.extend(chunk);
        }
        Ok(bytes)
    }
}

/// Returns the bytes of a chunk, which fit into the buffer of a socket.
fn taken_now(chunk: Chunk) -> Vec<u8> {
    let mut part = match chunk {
        Chunk::Bytes(bytes) => return bytes.to_vec(),
        Chunk::FileRange(part) => part,
    };
    let (socket, mut other) = UnixStream::pair().unwrap();
    let mut bytes = vec![0; part.length() as usize];
    while part.length() > 0 {
        part.send_to(&socket, usize::MAX).unwrap();
    }
    other.read_exact(&mut bytes).unwrap();
    bytes
}

fn set(ranges: &str) -> RangeSet {
    requested(Some(&format!("bytes={ranges}")), None, "").unwrap().unwrap()
}
