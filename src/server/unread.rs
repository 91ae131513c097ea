//! Memory for what clients have sent of requests whose responses have not begun, over all connections: heads and bodies are as long as
//! their clients make them. A little is free for each connection; what is longer is taken from a budget that all have
//! in common, of which each network has a share, and given back as soon as it is not needed any more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::auth::login_limit::network_of;

/// What all connections may take beside what is free. Cheap to clone.
#[derive(Clone)]
pub(super) struct UnreadBudget(Arc<Shared>);

struct Shared {
    /// The share of each network, in bytes.
    each: usize,
    exempt: Vec<IpNet>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// In bytes, as all others here.
    free: usize,
    /// By network; those that take nothing, and those in `exempt`, are absent.
    networks: HashMap<IpAddr, usize>,
}

/// What one connection takes of it, until it is dropped.
pub(super) struct Unread {
    budget: UnreadBudget,
    /// `None`: any part of the budget.
    network: Option<IpAddr>,
    taken: usize,
}

/// Of each connection: with a token of this service a request has 1 or 2 KiB.
const FREE_BYTES: usize = 4 << 10;
/// A network's share is at least this, if there is as much: a request whose parts are all as long as they may be.
const MIN_SHARE_BYTES: usize = 256 << 10;

impl UnreadBudget {
    /// A budget of this number of bytes, a quarter of which is one network's share; those in `exempt`, behind which
    /// there are many clients, may take all of it.
    pub(super) fn new(bytes: u64, exempt: Vec<IpNet>) -> Self {
        let free = usize::try_from(bytes).unwrap_or(usize::MAX);
        let each = (free / 4).max(MIN_SHARE_BYTES);
        Self(Arc::new(Shared { each, exempt, taken: Mutex::new(Taken { free, networks: HashMap::new() }) }))
    }

    /// For one connection from this address.
    pub(super) fn enter(&self, address: IpAddr) -> Unread {
        let address = address.to_canonical();
        let is_exempt = self.0.exempt.iter().any(|network| network.contains(&address));
        Unread { budget: self.clone(), network: (!is_exempt).then(|| network_of(address)), taken: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unread {
    /// The connection has this number of bytes that are unread. Whether there is room for them; where there is none, it
    /// keeps what it had.
    pub(super) fn is(&mut self, bytes: usize) -> bool {
        let needed = bytes.saturating_sub(FREE_BYTES);
        needed == self.taken || self.becomes(needed)
    }

    fn becomes(&mut self, needed: usize) -> bool {
        let mut taken = self.budget.taken();
        if let Some(more) = needed.checked_sub(self.taken) {
            let of_network = self.network.and_then(|network| taken.networks.get(&network)).copied().unwrap_or_default();
            let has_share = self.network.is_none() || of_network.saturating_add(more) <= self.budget.0.each;
            if more > taken.free || !has_share {
                return false;
            }
        }
        taken.free = taken.free + self.taken - needed;
        if let Some(network) = self.network {
            let of_network = taken.networks.entry(network).or_default();
            *of_network = *of_network + needed - self.taken;
            if *of_network == 0 {
                taken.networks.remove(&network);
            }
        }
        self.taken = needed;
        true
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.becomes(0);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;

    fn enter(budget: &UnreadBudget, address: &str) -> Unread {
        budget.enter(address.parse().unwrap())
    }

    #[test]
    fn what_is_long_is_taken_from_what_all_have_until_it_is_shorter_or_the_connection_ends() {
        let budget = UnreadBudget::new(64 << 10, Vec::new());
        let (mut one, mut other) = (enter(&budget, "192.0.2.1"), enter(&budget, "192.0.2.2"));
        assert!(one.is(FREE_BYTES) && one.is(FREE_BYTES + 40 * KIB) && one.is(FREE_BYTES + 60 * KIB));
        assert!(other.is(FREE_BYTES + 4 * KIB) && !other.is(FREE_BYTES + 5 * KIB));
        assert!(one.is(FREE_BYTES + 50 * KIB) && other.is(FREE_BYTES + 14 * KIB));
        drop(one);
        assert!(other.is(FREE_BYTES + 64 * KIB));
        drop(other);
        let taken = budget.taken();
        assert!(taken.free == 64 * KIB && taken.networks.is_empty());
    }

    #[test]
    fn a_network_takes_its_share_and_leaves_the_rest_to_others() {
        let budget = UnreadBudget::new(16 << 20, vec!["10.0.0.0/8".parse().unwrap()]);
        let mut of_one: Vec<_> = (0..5).map(|host| enter(&budget, &format!("2001:db8::{host}"))).collect();
        let granted = of_one.iter_mut().filter_map(|unread| unread.is(FREE_BYTES + MIB).then_some(())).count();
        assert_eq!(granted, 4);
        assert!(enter(&budget, "192.0.2.1").is(FREE_BYTES + 4 * MIB));
        let mut proxy = enter(&budget, "10.1.1.1");
        assert!(proxy.is(FREE_BYTES + 12 * MIB) && !proxy.is(FREE_BYTES + 13 * MIB));
    }
}
