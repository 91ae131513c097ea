//! Accounting of a memory budget: free memory, the share that each group holds, and the claims that wait. Pure; the
//! caller provides the lock.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::domain::id::GroupId;

/// A claim to memory of the budget and to a part of the group's share, both in KiB. One of the two may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) group: GroupId,
    pub(super) memory: u32,
    pub(super) share: u32,
}

/// Free memory, shares and waiting claims of one budget.
pub(super) struct Ledger {
    /// In KiB.
    free: u32,
    /// The share of each group, in KiB.
    each: u32,
    /// Used part of each group's share, in KiB. Groups that hold nothing have no entry.
    held: HashMap<GroupId, u32>,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    claim: Claim,
    since: Instant,
    granted: oneshot::Sender<()>,
}

/// Time for which later claims may overtake a claim that does not fit. After that, memory that becomes
/// free is kept for it.
const OVERTAKING_TIMEOUT: Duration = Duration::from_secs(5);

impl Ledger {
    /// Creates the accounting of a budget of `capacity` KiB, of which each group holds at most `each` KiB.
    pub(super) fn new(capacity: u32, each: u32) -> Self {
        Self { free: capacity, each, held: HashMap::new(), waiting: VecDeque::new() }
    }

    /// Queues this claim, and grants it at once if it fits. A message on the receiver means that it was granted;
    /// the caller must then give it back after use.
    pub(super) fn wait(&mut self, claim: Claim, now: Instant) -> oneshot::Receiver<()> {
        let (granted, receiver) = oneshot::channel();
        self.waiting.push_back(Waiter { claim, since: now, granted });
        self.grant(now);
        receiver
    }

    /// Grants this claim at once. Returns `false` if it does not fit, or would overtake a claim of its group that
    /// has waited for too long.
    pub(super) fn try_take(&mut self, claim: Claim, now: Instant) -> bool {
        let is_late = |waiter: &Waiter| waiter.claim.group == claim.group && waiter.is_late(now);
        let fits = claim.memory <= self.free && self.fits_share(claim) && !self.waiting.iter().any(is_late);
        if fits {
            self.take(claim);
        }
        fits
    }

    /// Releases a granted claim, or a part of it, and grants the waiting claims that fit now.
    pub(super) fn give_back(&mut self, claim: Claim, now: Instant) {
        self.put(claim);
        self.grant(now);
    }

    /// Grants the waiting claims that fit, the oldest first. Later claims may overtake one that does not fit, until
    /// it has waited for too long: then later claims get no memory, or, if its group's share is in use, later
    /// claims of that group get nothing.
    fn grant(&mut self, now: Instant) {
        let (mut kept_memory, mut kept_groups) = (false, Vec::new());
        let mut at = 0;
        while let Some(waiter) = self.waiting.get(at) {
            let claim = waiter.claim;
            let fits_share = self.fits_share(claim) && !kept_groups.contains(&claim.group);
            let fits_memory = claim.memory == 0 || (claim.memory <= self.free && !kept_memory);
            if waiter.granted.is_closed() {
                self.waiting.remove(at);
            } else if fits_share && fits_memory {
                self.take(claim);
                let sent = self.waiting.remove(at).map(|waiter| waiter.granted.send(()));
                // The receiver may have been dropped since the check above.
                if sent != Some(Ok(())) {
                    self.put(claim);
                }
            } else {
                if waiter.is_late(now) {
                    kept_memory |= fits_share;
                    if !fits_share {
                        kept_groups.push(claim.group);
                    }
                }
                at += 1;
            }
        }
    }

    /// Returns true if the claim fits the group's share. Content that is larger than the whole share needs all of it.
    fn fits_share(&self, claim: Claim) -> bool {
        let held = self.held.get(&claim.group).copied().unwrap_or_default();
        claim.share == 0 || held == 0 || held.saturating_add(claim.share) <= self.each
    }

    fn take(&mut self, claim: Claim) {
        self.free -= claim.memory;
        if claim.share > 0 {
            *self.held.entry(claim.group).or_default() += claim.share;
        }
    }

    fn put(&mut self, claim: Claim) {
        self.free += claim.memory;
        if let Some(held) = self.held.get_mut(&claim.group) {
            *held = held.saturating_sub(claim.share);
            if *held == 0 {
                self.held.remove(&claim.group);
            }
        }
    }

    /// Returns the free memory in KiB.
    #[cfg(test)]
    pub(super) fn free(&self) -> u32 {
        self.free
    }
}

impl Waiter {
    fn is_late(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= OVERTAKING_TIMEOUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: GroupId = GroupId(1);
    const OTHER: GroupId = GroupId(2);

    fn claim(group: GroupId, kib: u32) -> Claim {
        Claim { group, memory: kib, share: kib }
    }

    fn is_granted(receiver: &mut oneshot::Receiver<()>) -> bool {
        receiver.try_recv().is_ok()
    }

    #[test]
    fn a_group_holds_at_most_its_share_and_another_has_the_rest() {
        let (mut ledger, now) = (Ledger::new(32, 16), Instant::now());
        assert!(ledger.try_take(claim(ONE, 10), now) && ledger.try_take(claim(ONE, 6), now));
        let mut third = ledger.wait(claim(ONE, 1), now);
        assert!(!is_granted(&mut third));
        assert!(is_granted(&mut ledger.wait(claim(OTHER, 16), now)));
        ledger.give_back(claim(ONE, 6), now);
        assert!(is_granted(&mut third));
    }

    #[test]
    fn what_is_larger_than_a_share_is_granted_alone() {
        let (mut ledger, now) = (Ledger::new(16, 8), Instant::now());
        assert!(ledger.try_take(claim(ONE, 15), now) && !ledger.try_take(claim(ONE, 1), now));
        ledger.give_back(claim(ONE, 15), now);
        assert!(ledger.try_take(claim(ONE, 1), now) && !ledger.try_take(claim(ONE, 15), now));
    }

    #[test]
    fn small_claims_pass_a_large_one_but_not_for_ever() {
        let (mut ledger, now) = (Ledger::new(30, 20), Instant::now());
        assert!(ledger.try_take(claim(ONE, 15), now));
        let mut large = ledger.wait(claim(OTHER, 20), now);
        assert!(is_granted(&mut ledger.wait(claim(GroupId(3), 5), now)));
        let late = now + OVERTAKING_TIMEOUT;
        let mut small = ledger.wait(claim(GroupId(3), 5), late);
        assert!(!is_granted(&mut large) && !is_granted(&mut small));
        ledger.give_back(claim(GroupId(3), 5), late);
        assert!(!is_granted(&mut small), "it is kept for the large one");
        ledger.give_back(claim(ONE, 15), late);
        assert!(is_granted(&mut large) && is_granted(&mut small));
    }

    #[test]
    fn a_group_whose_share_is_taken_keeps_no_other_waiting_however_long_it_waits() {
        let (mut ledger, now) = (Ledger::new(32, 16), Instant::now());
        assert!(ledger.try_take(claim(ONE, 16), now));
        let mut waiting = ledger.wait(claim(ONE, 16), now);
        let late = now + OVERTAKING_TIMEOUT;
        assert!(is_granted(&mut ledger.wait(claim(OTHER, 10), late)));
        assert!(!is_granted(&mut waiting));
    }

    #[test]
    fn a_claim_that_nobody_waits_for_any_more_takes_nothing() {
        let (mut ledger, now) = (Ledger::new(8, 8), Instant::now());
        assert!(ledger.try_take(claim(ONE, 8), now));
        drop(ledger.wait(claim(OTHER, 8), now));
        ledger.give_back(claim(ONE, 8), now);
        assert_eq!(ledger.free(), 8);
    }
}
