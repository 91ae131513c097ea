//! Memory budget for requests whose responses have not begun, over all connections: clients choose the length of
//! heads and bodies. A small amount is free for each connection. Longer requests take from a budget that all
//! connections share. Each network has a share of it, and memory returns to it as soon as it is not needed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::auth::login_limit::network_of;

/// The shared budget. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(super) struct UnreadBudget(Arc<Shared>);

struct Shared {
    /// Maximum share of each network, in bytes.
    each: usize,
    exempt: Vec<IpNet>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// Bytes of the budget that are not taken.
    free: usize,
    /// Bytes taken by each network. Networks that take none, and those in `exempt`, are absent.
    networks: HashMap<IpAddr, usize>,
}

/// The memory that one connection takes, until it is dropped.
pub(super) struct Unread {
    budget: UnreadBudget,
    /// The network whose share counts; `None` if the connection may take all of the budget.
    network: Option<IpAddr>,
    taken: usize,
}

/// Free memory of each connection, in bytes. A request with a token of this service has 1 or 2 KiB.
const FREE_BYTES: usize = 4 << 10;
/// Minimum share of a network in bytes, if the budget is that large: enough for one request with the longest head
/// and body.
const MIN_SHARE_BYTES: usize = 256 << 10;

impl UnreadBudget {
    /// Creates a budget of this number of bytes. A quarter of it is one network's share. Networks in `exempt`,
    /// behind which there are many clients, may take all of it.
    pub(super) fn new(bytes: u64, exempt: Vec<IpNet>) -> Self {
        let free = usize::try_from(bytes).unwrap_or(usize::MAX);
        let each = (free / 4).max(MIN_SHARE_BYTES);
        Self(Arc::new(Shared { each, exempt, taken: Mutex::new(Taken { free, networks: HashMap::new() }) }))
    }

    /// Registers a connection from this address.
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
    /// Sets the number of unread bytes of the connection. Returns false if the budget has no memory for them; the
    /// connection then keeps what it had.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let needed = bytes.saturating_sub(FREE_BYTES);
        needed == self.taken || self.reserve(needed)
    }

    fn reserve(&mut self, needed: usize) -> bool {
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
            self.reserve(0);
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
        assert!(one.resize(FREE_BYTES) && one.resize(FREE_BYTES + 40 * KIB) && one.resize(FREE_BYTES + 60 * KIB));
        assert!(other.resize(FREE_BYTES + 4 * KIB) && !other.resize(FREE_BYTES + 5 * KIB));
        assert!(one.resize(FREE_BYTES + 50 * KIB) && other.resize(FREE_BYTES + 14 * KIB));
        drop(one);
        assert!(other.resize(FREE_BYTES + 64 * KIB));
        drop(other);
        let taken = budget.taken();
        assert!(taken.free == 64 * KIB && taken.networks.is_empty());
    }

    #[test]
    fn a_network_takes_its_share_and_leaves_the_rest_to_others() {
        let budget = UnreadBudget::new(16 << 20, vec!["10.0.0.0/8".parse().unwrap()]);
        let mut of_one: Vec<_> = (0..5).map(|host| enter(&budget, &format!("2001:db8::{host}"))).collect();
        let granted = of_one.iter_mut().filter_map(|unread| unread.resize(FREE_BYTES + MIB).then_some(())).count();
        assert_eq!(granted, 4);
        assert!(enter(&budget, "192.0.2.1").resize(FREE_BYTES + 4 * MIB));
        let mut proxy = enter(&budget, "10.1.1.1");
        assert!(proxy.resize(FREE_BYTES + 12 * MIB) && !proxy.resize(FREE_BYTES + 13 * MIB));
    }
}
