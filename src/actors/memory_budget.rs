//! Memory budget for content that is held whole: a manifest or a list on its way between upstream, the disk and
//! clients. Content larger than a few memory pages reserves its length before it is read. The reservation ends when
//! the last holder drops the bytes. Each group has a share of the budget, so that slow clients of one group leave
//! memory to the others: content that is being sent to clients of a group counts against its share, even if another
//! group's request read it.

mod collecting;
mod ledger;
mod reservation;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(super) use self::collecting::{CollectError, Collected};
use self::ledger::{Claim, Ledger};
use self::reservation::Held;
pub use self::reservation::Lease;
pub(super) use self::reservation::Reservation;
use super::admission::refused;
use crate::domain::deadlines;
use crate::domain::id::GroupId;
use crate::store::large_buffer::SMALL_BYTES;

/// A maximum number of bytes in memory at the same time. Cheap to clone; clones share the budget.
#[derive(Clone)]
pub struct MemoryBudget(Arc<Shared>);

struct Shared {
    /// In KiB.
    capacity: u32,
    reserve_timeout: Duration,
    ledger: Mutex<Ledger>,
    /// The leases that are held, by the address of their bytes and by group.
    leases: Mutex<BTreeMap<(usize, GroupId), Weak<Lease>>>,
    /// Releases memory that a cache holds and that is not being sent to any client.
    relief: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// Not enough memory became free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory for large manifests and lists on their way is taken")]
pub(super) struct NoMemory;

/// A claim that waits. It is cancelled when this is dropped.
struct Waiting {
    budget: MemoryBudget,
    claim: Claim,
    granted: oneshot::Receiver<()>,
}

impl MemoryBudget {
    /// Creates a budget of this number of bytes. Each group holds at most half of it, or a single larger content.
    pub fn new(bytes: u64) -> Self {
        Self::with_timeout(bytes, deadlines::MEMORY)
    }

    fn with_timeout(bytes: u64, reserve_timeout: Duration) -> Self {
        // Well below `u32::MAX`, so that sums of claims do not overflow.
        let capacity = kib(bytes).clamp(1, u32::MAX >> 3);
        let ledger = Mutex::new(Ledger::new(capacity, capacity.div_ceil(2)));
        Self(Arc::new(Shared { capacity, reserve_timeout, ledger, leases: Mutex::default(), relief: OnceLock::new() }))
    }

    /// Sets the function that is called whenever a request has to wait for memory, so that a cache releases content
    /// that is not being sent to any client. Only the first call has an effect.
    pub(super) fn relieve_with(&self, relief: impl Fn() + Send + Sync + 'static) {
        let _is_first = self.0.relief.set(Box::new(relief));
    }

    /// Reserves this number of bytes for a group, at most the whole budget. Returns `None` for small content, for which
    /// nothing is reserved, so that small manifests never wait for large ones; the limits on requests bound its memory.
    ///
    /// # Errors
    ///
    /// Fails if the budget, or the group's share of it, is in use for too long.
    pub(super) async fn reserve(&self, group: GroupId, bytes: u64) -> Result<Option<Reservation>, NoMemory> {
        if bytes <= SMALL_BYTES as u64 {
            return Ok(None);
        }
        let wanted = kib(bytes).min(self.0.capacity);
        let claim = Claim { group, memory: wanted, share: wanted };
        self.wait(claim).await?;
        metrics::gauge!("dependency_proxy_reserved_memory_bytes").increment(f64::from(wanted) * 1024.0);
        let held = |claim| Held { budget: self.clone(), claim };
        Ok(Some(Reservation { memory: held(Claim { share: 0, ..claim }), share: held(Claim { memory: 0, ..claim }) }))
    }

    /// Counts content that is to be sent to a client of this group against the group's share, once for all its
    /// clients. Returns `None` for small content.
    ///
    /// # Errors
    ///
    /// Fails if the group's share is in use for too long.
    pub(super) async fn lease(&self, group: GroupId, bytes: &Bytes) -> Result<Option<Arc<Lease>>, NoMemory> {
        let claim = match self.leased(group, bytes) {
            Ok(lease) => return Ok(lease),
            Err(claim) => claim,
        };
        self.wait(claim).await?;
        Ok(Some(self.enter(bytes, Held { budget: self.clone(), claim })))
    }

    /// As [`Self::lease`], without waiting.
    ///
    /// # Errors
    ///
    /// Fails if the group's share is in use.
    pub(super) fn try_lease(&self, group: GroupId, bytes: &Bytes) -> Result<Option<Arc<Lease>>, NoMemory> {
        let claim = match self.leased(group, bytes) {
            Ok(lease) => return Ok(lease),
            Err(claim) => claim,
        };
        if !self.ledger().try_take(claim, Instant::now()) {
            return Err(NoMemory);
        }
        Ok(Some(self.enter(bytes, Held { budget: self.clone(), claim })))
    }

    /// Returns true if this content is being sent to any client.
    pub(super) fn is_leased(&self, bytes: &Bytes) -> bool {
        let at = bytes.as_ptr().addr();
        let leases = self.leases();
        let mut of_bytes = leases.range((at, GroupId(0))..=(at, GroupId(u64::MAX)));
        of_bytes.any(|(_, lease)| lease.strong_count() > 0)
    }

    /// Returns the group's lease of this content, or `None` for small content.
    ///
    /// # Errors
    ///
    /// Fails if the group has no lease of it yet, with the claim that a new lease needs.
    fn leased(&self, group: GroupId, bytes: &Bytes) -> Result<Option<Arc<Lease>>, Claim> {
        if bytes.len() <= SMALL_BYTES {
            return Ok(None);
        }
        let lease = self.leases().get(&(bytes.as_ptr().addr(), group)).and_then(Weak::upgrade);
        lease.map(Some).ok_or_else(|| Claim { group, memory: 0, share: kib(bytes.len() as u64) })
    }

    /// Returns the group's existing lease of these bytes, or a new one with this share. Two requests may have taken
    /// a share for the same bytes concurrently; the second share is released here.
    fn enter(&self, bytes: &Bytes, share: Held) -> Arc<Lease> {
        let mut leases = self.leases();
        let entry = leases.entry((bytes.as_ptr().addr(), share.claim.group)).or_default();
        if let Some(lease) = entry.upgrade() {
            return lease;
        }
        let lease = Arc::new(Lease { bytes: bytes.clone(), share });
        *entry = Arc::downgrade(&lease);
        lease
    }

    async fn wait(&self, claim: Claim) -> Result<(), NoMemory> {
        let granted = self.ledger().wait(claim, Instant::now());
        let mut waiting = Waiting { budget: self.clone(), claim, granted };
        if claim.memory > 0
            && waiting.granted.is_empty()
            && let Some(relief) = self.0.relief.get()
        {
            relief();
        }
        if let Ok(Ok(())) = timeout(self.0.reserve_timeout, &mut waiting.granted).await {
            return Ok(());
        }
        refused("memory");
        Err(NoMemory)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leases(&self) -> MutexGuard<'_, BTreeMap<(usize, GroupId), Weak<Lease>>> {
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // The claim may have been granted between the timeout and this drop.
        self.granted.close();
        if self.granted.try_recv().is_ok() {
            self.budget.ledger().give_back(self.claim, Instant::now());
        }
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
