//! Memory that is reserved, and content that is being sent: both are released when the last holder drops them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::ledger::Claim;
use super::{MemoryBudget, kib};

/// Reserved memory of the budget and of a group's share. Released when it is dropped.
pub(in crate::actors) struct Reservation {
    pub(super) memory: Held,
    pub(super) share: Held,
}

/// Large content that is being sent to clients of a group. It counts against the group's share until it is dropped.
pub struct Lease {
    pub(super) bytes: Bytes,
    pub(super) share: Held,
}

/// A granted claim, which is released when it is dropped.
pub(super) struct Held {
    pub(super) budget: MemoryBudget,
    pub(super) claim: Claim,
}

impl Reservation {
    /// Returns these bytes, which hold their memory and their share until the last copy is dropped. Releases the
    /// part of the reservation that exceeds their length.
    pub(in crate::actors) fn hold(reservation: Option<Self>, bytes: Bytes) -> Bytes {
        let (bytes, lease) = Self::lease(reservation, bytes);
        lease.map_or(bytes, Lease::bytes)
    }

    /// Returns these bytes, which hold their memory until the last copy is dropped, and the lease of the group that
    /// they were reserved for.
    pub(in crate::actors) fn lease(reservation: Option<Self>, bytes: Bytes) -> (Bytes, Option<Arc<Lease>>) {
        let Some(Self { mut memory, mut share }) = reservation else { return (bytes, None) };
        memory.shrink(bytes.len() as u64);
        share.shrink(bytes.len() as u64);
        let budget = memory.budget.clone();
        let bytes = Bytes::from_owner(InMemory { bytes, _memory: memory });
        let lease = budget.enter(&bytes, share);
        (bytes, Some(lease))
    }
}

impl Held {
    fn shrink(&mut self, bytes: u64) {
        let kept = kib(bytes);
        let surplus = Claim {
            memory: self.claim.memory.saturating_sub(kept),
            share: self.claim.share.saturating_sub(kept),
            ..self.claim
        };
        self.claim.memory -= surplus.memory;
        self.claim.share -= surplus.share;
        self.give_back(surplus);
    }

    fn give_back(&self, claim: Claim) {
        if claim.memory > 0 {
            let reserved = metrics::gauge!("dependency_proxy_reserved_memory_bytes");
            reserved.decrement(f64::from(claim.memory) * 1024.0);
        }
        self.budget.ledger().give_back(claim, Instant::now());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(self.claim);
    }
}

impl Lease {
    /// Returns the content, which keeps the lease until the last copy is dropped.
    pub(in crate::actors) fn bytes(self: Arc<Self>) -> Bytes {
        Bytes::from_owner(Leased(self))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leases = self.share.budget.leases();
        let key = (self.bytes.as_ptr().addr(), self.share.claim.group);
        // A new lease of the same bytes may have replaced this one between the last drop and the lock.
        if leases.get(&key).is_some_and(|lease| lease.strong_count() == 0) {
            leases.remove(&key);
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("claim", &self.share.claim).finish_non_exhaustive()
    }
}

struct InMemory {
    bytes: Bytes,
    _memory: Held,
}

impl AsRef<[u8]> for InMemory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

struct Leased(Arc<Lease>);

impl AsRef<[u8]> for Leased {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}
