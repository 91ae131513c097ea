//! Number of connections per client address, so that no client can take all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

use crate::auth::login_limit::network_of;

/// The open connections, by address. An IPv6 client counts by its /64 network. Cheap to clone; all clones are the
/// same.
#[derive(Clone)]
pub(in crate::server) struct Addresses(Arc<Shared>);

struct Shared {
    each: usize,
    exempt: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that counts until it is dropped.
pub(super) struct Counted(Option<(Addresses, IpAddr)>);

impl Addresses {
    /// Creates the counts. Each address may have `each` connections; those in `exempt`, behind which there are many
    /// clients, any number.
    pub(super) fn new(each: usize, exempt: Vec<IpNet>) -> Self {
        Self(Arc::new(Shared { each, exempt, open: Mutex::default() }))
    }

    /// Counts a connection of this address; returns `None` if the address has reached its maximum.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Counted> {
        let address = address.to_canonical();
        if self.0.exempt.iter().any(|network| network.contains(&address)) {
            return Some(Counted(None));
        }
        let network = network_of(address);
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= self.0.each {
            return None;
        }
        *count += 1;
        Some(Counted(Some((self.clone(), network))))
    }

    /// Returns the number of addresses with open connections, without those in `exempt`.
    pub(super) fn number(&self) -> usize {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((addresses, network)) = self.0.take() else { return };
        let mut open = addresses.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&network);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_until_one_of_its_connections_ends() {
        let addresses = Addresses::new(2, vec!["10.0.0.0/8".parse().unwrap()]);
        let mut open: Vec<_> = (0..2).map(|_| addresses.enter(address("192.0.2.1")).unwrap()).collect();
        assert!(addresses.enter(address("::ffff:192.0.2.1")).is_none());
        let other = addresses.enter(address("192.0.2.2"));
        assert!(other.is_some() && addresses.number() == 2);
        drop(other);
        let _trusted: Vec<_> = (0..9).map(|_| addresses.enter(address("10.1.1.1")).unwrap()).collect();
        open.pop();
        assert!(addresses.enter(address("192.0.2.1")).is_some());
        drop(open);
        assert!(addresses.0.open.lock().unwrap().is_empty());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_one_share() {
        let addresses = Addresses::new(1, Vec::new());
        let _first = addresses.enter(address("2001:db8::1")).unwrap();
        assert!(addresses.enter(address("2001:db8::ffff:2")).is_none());
        assert!(addresses.enter(address("2001:db8:0:1::1")).is_some());
    }
}
