//! A budget of memory for content that is held whole: a manifest or a list on its way between upstream, the disk and clients.
//! What is larger than a few pages of memory reserves its length before it is read, and gives that back with its last byte that
//! anybody holds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::places::refused;
use crate::store::large_buffer::{LargeBuffer, SMALL_BYTES};
use crate::upstream::{Content, UpstreamError};

/// Maximum time that content waits for memory; then its request is refused, before its client gives up.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A number of bytes that may be in memory at the same time. Cheap to clone.
#[derive(Clone)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    /// In KiB, which are the permits.
    capacity: u32,
    reserve_timeout: Duration,
}

/// A share of the budget, until it is dropped.
pub(super) struct Reservation {
    permit: OwnedSemaphorePermit,
    reserved: metrics::Gauge,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let capacity = kib(bytes).clamp(1, u32::MAX >> 3);
        Self { free: Arc::new(Semaphore::new(capacity as usize)), capacity, reserve_timeout: RESERVE_TIMEOUT }
    }

    /// Reserves so many bytes, or the whole budget if that is less. Nothing is reserved for what is small, so that small manifests
    /// never wait for large ones; the limits on requests bound it.
    ///
    /// # Errors
    ///
    /// Fails with [`UpstreamError::Busy`] where the budget is taken for too long.
    pub(super) async fn reserve(&self, bytes: u64) -> Result<Option<Reservation>, UpstreamError> {
        if bytes <= SMALL_BYTES as u64 {
            return Ok(None);
        }
        let wanted = kib(bytes).min(self.capacity);
        let acquired = timeout(self.reserve_timeout, self.free.clone().acquire_many_owned(wanted)).await;
        let Ok(Ok(permit)) = acquired else {
            refused("memory");
            return Err(UpstreamError::Busy);
        };
        let reserved = metrics::gauge!("dependency_proxy_reserved_memory_bytes");
        reserved.increment(f64::from(wanted) * 1024.0);
        Ok(Some(Reservation { permit, reserved }))
    }

    /// All of some content, at most `limit` bytes. Where no length is announced, the limit is reserved as soon as the content is not
    /// small.
    ///
    /// # Errors
    ///
    /// Fails as the content does, where it is too long, and as [`Self::reserve`] does.
    pub(super) async fn collect(&self, mut content: Content, limit: u64) -> Result<Bytes, UpstreamError> {
        let announced = content.head.length;
        if announced.is_some_and(|length| length > limit) {
            return Err(UpstreamError::TooLong);
        }
        let mut buffer = Buffer::default();
        while let Some(chunk) = content.stream.next().await {
            let chunk = chunk?;
            metrics::counter!("dependency_proxy_fetched_bytes_total").increment(chunk.len() as u64);
            let length = (buffer.length() + chunk.len()) as u64;
            if length > announced.unwrap_or(limit) {
                return Err(if announced.is_some() { LONGER_THAN_ANNOUNCED } else { UpstreamError::TooLong });
            }
            if !buffer.takes(length) {
                let capacity = announced.unwrap_or(limit);
                buffer = buffer.enlarged(capacity, self.reserve(capacity).await?)?;
            }
            buffer.extend(&chunk)?;
        }
        Ok(buffer.freeze())
    }
}

const LONGER_THAN_ANNOUNCED: UpstreamError = UpstreamError::InvalidResponse { what: "another length than announced" };

/// What has arrived of some content.
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

    /// Whether it may grow to this length.
    fn takes(&self, length: u64) -> bool {
        match self {
            Self::Small(_) => length <= SMALL_BYTES as u64,
            Self::Large(..) => true,
        }
    }

    fn enlarged(self, capacity: u64, reservation: Option<Reservation>) -> Result<Self, UpstreamError> {
        let mut large = LargeBuffer::with_capacity(capacity as usize).map_err(no_memory)?;
        if let Self::Small(bytes) = &self {
            large.extend(bytes).map_err(no_memory)?;
        }
        Ok(Self::Large(large, reservation))
    }

    fn extend(&mut self, chunk: &[u8]) -> Result<(), UpstreamError> {
        match self {
            Self::Small(bytes) => bytes.extend_from_slice(chunk),
            Self::Large(bytes, _) => bytes.extend(chunk).map_err(no_memory)?,
        }
        Ok(())
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Small(bytes) => bytes.freeze(),
            Self::Large(bytes, reservation) => Reservation::hold(reservation, bytes.freeze()),
        }
    }
}

fn no_memory(error: io::Error) -> UpstreamError {
    tracing::error!(%error, "no memory for content on its way");
    UpstreamError::Busy
}

impl Reservation {
    /// These bytes, which hold their share of the budget for as long as anybody has them. What was reserved beyond them is given
    /// back.
    pub(super) fn hold(reservation: Option<Self>, bytes: Bytes) -> Bytes {
        match reservation {
            None => bytes,
            Some(mut reservation) => {
                reservation.shrink(bytes.len() as u64);
                Bytes::from_owner(Held { bytes, _reservation: reservation })
            }
        }
    }

    fn shrink(&mut self, bytes: u64) {
        let surplus = self.permit.num_permits().saturating_sub(kib(bytes) as usize);
        if let Some(surplus) = self.permit.split(surplus) {
            self.reserved.decrement(surplus.num_permits() as f64 * 1024.0);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reserved.decrement(self.permit.num_permits() as f64 * 1024.0);
    }
}

struct Held {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use futures::stream;

    use super::*;
    use crate::upstream::ContentHead;

    const MIB: u64 = 1 << 20;

    fn content(length: u64, announced: Option<u64>) -> Content {
        let chunks = (0..length / 1024).map(|_| Ok(Bytes::from_static(&[b'x'; 1024])));
        Content {
            head: ContentHead { length: announced, ..ContentHead::default() },
            stream: stream::iter(chunks).boxed(),
        }
    }

    fn free(budget: &MemoryBudget) -> u64 {
        budget.free.available_permits() as u64 * 1024
    }

    #[tokio::test]
    async fn what_is_held_is_reserved_until_its_last_copy_is_dropped() {
        let budget = MemoryBudget::new(4 * MIB);
        for announced in [Some(MIB), None] {
            let bytes = budget.collect(content(MIB, announced), 2 * MIB).await.unwrap();
            assert_eq!((bytes.len() as u64, free(&budget)), (MIB, 3 * MIB), "{announced:?}");
            let copy = bytes.slice(5..10);
            drop(bytes);
            assert_eq!(free(&budget), 3 * MIB);
            drop(copy);
            assert_eq!(free(&budget), 4 * MIB);
        }
    }

    #[tokio::test]
    async fn small_content_never_waits() {
        let budget = MemoryBudget::new(MIB);
        let _all = budget.reserve(MIB).await.unwrap();
        for announced in [Some(1024), None] {
            assert_eq!(budget.collect(content(1024, announced), 16 * MIB).await.unwrap().len(), 1024);
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused() {
        let budget = MemoryBudget { reserve_timeout: Duration::from_millis(10), ..MemoryBudget::new(MIB) };
        let taken = budget.reserve(MIB).await.unwrap();
        assert_eq!(budget.collect(content(MIB, Some(MIB)), MIB).await, Err(UpstreamError::Busy));
        drop(taken);
        assert!(budget.collect(content(MIB, Some(MIB)), MIB).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_too_long_or_longer_than_announced_ends_early_and_gives_everything_back() {
        let budget = MemoryBudget::new(4 * MIB);
        for (announced, limit) in [(Some(3 * MIB), 2 * MIB), (None, 2 * MIB), (Some(MIB), 16 * MIB)] {
            assert!(budget.collect(content(3 * MIB, announced), limit).await.is_err());
        }
        assert_eq!(free(&budget), 4 * MIB);
    }
}
