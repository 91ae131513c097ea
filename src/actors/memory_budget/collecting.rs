//! Collection of whole content from upstream: in a small buffer first, and with reserved memory once it is large.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::{Lease, MemoryBudget, NoMemory, Reservation};
use crate::domain::id::GroupId;
use crate::store::large_buffer::{LargeBuffer, SMALL_BYTES};
use crate::telemetry::LineLimit;
use crate::upstream::{Content, UpstreamError};

/// Reason why content could not be collected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::actors) enum CollectError {
    /// Upstream did not deliver the content, or not correctly.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// There was no memory for the content.
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
}

/// Collected content and, if it is large, the lease of the group for which it was collected.
pub(in crate::actors) type Collected = (Bytes, Option<Arc<Lease>>);

const LONGER_THAN_ANNOUNCED: UpstreamError = UpstreamError::InvalidResponse { what: "another length than announced" };

impl MemoryBudget {
    /// Collects all of some content, at most `limit` bytes, within the share of this group. If no length is
    /// announced, `limit` bytes are reserved as soon as the content is no longer small.
    ///
    /// # Errors
    ///
    /// Fails if the stream fails, if the content is longer than `limit` or than announced, and as
    /// [`Self::reserve`] does.
    pub(in crate::actors) async fn collect(
        &self,
        group: GroupId,
        mut content: Content,
        limit: u64,
    ) -> Result<Collected, CollectError> {
        let announced = content.head.length;
        if announced.is_some_and(|length| length > limit) {
            return Err(UpstreamError::TooLong.into());
        }
        let mut buffer = Buffer::default();
        while let Some(chunk) = content.stream.next().await {
            let chunk = chunk?;
            metrics::counter!("dependency_proxy_fetched_bytes_total").increment(chunk.len() as u64);
            let length = (buffer.length() + chunk.len()) as u64;
            if length > announced.unwrap_or(limit) {
                return Err(if announced.is_some() { LONGER_THAN_ANNOUNCED } else { UpstreamError::TooLong }.into());
            }
            if !buffer.takes(length) {
                let capacity = announced.unwrap_or(limit);
                buffer = buffer.enlarged(capacity, self.reserve(group, capacity).await?)?;
            }
            buffer.extend(&chunk)?;
        }
        Ok(buffer.freeze())
    }
}

/// The part of the content that has arrived.
enum Buffer {
    Small(BytesMut),
    Large(LargeBuffer, Option<Reservation>),
}

impl Default for Buffer {
    fn default() -> Self {
        Self::Small(BytesMut::new())
    }
}

impl Buffer {
    fn length(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(bytes, _) => bytes.length(),
        }
    }

    /// Returns true if the buffer may grow to this length.
    fn takes(&self, length: u64) -> bool {
        match self {
            Self::Small(_) => length <= SMALL_BYTES as u64,
            Self::Large(..) => true,
        }
    }

    fn enlarged(self, capacity: u64, reservation: Option<Reservation>) -> Result<Self, NoMemory> {
        let mut large = LargeBuffer::with_capacity(capacity as usize).map_err(no_memory)?;
        if let Self::Small(bytes) = &self {
            large.extend(bytes).map_err(no_memory)?;
        }
        Ok(Self::Large(large, reservation))
    }

    fn extend(&mut self, chunk: &[u8]) -> Result<(), NoMemory> {
        match self {
            Self::Small(bytes) => bytes.extend_from_slice(chunk),
            Self::Large(bytes, _) => bytes.extend(chunk).map_err(no_memory)?,
        }
        Ok(())
    }

    fn freeze(self) -> Collected {
        match self {
            Self::Small(bytes) => (bytes.freeze(), None),
            Self::Large(bytes, reservation) => Reservation::lease(reservation, bytes.freeze()),
        }
    }
}

fn no_memory(error: io::Error) -> NoMemory {
    static LINES: LineLimit<()> = LineLimit::new();
    if let Some(left_out) = LINES.admit(&()) {
        tracing::error!(%error, left_out, "no memory for content on its way");
    }
    NoMemory
}
