//! The last use of a credential: when, and from which addresses.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The last use of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// The time.
    pub at: Timestamp,
    /// The last addresses from which it was used, at most [`MAX_ADDRESSES`], the latest at the end.
    pub addresses: Vec<AddressUse>,
}

/// The last use of a credential from one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressUse {
    /// The address.
    pub address: IpAddr,
    /// The time.
    pub at: Timestamp,
}

/// Number of days for which addresses of a credential are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct AddressDays(pub u32);

/// Maximum number of addresses of a credential. The same as GitLab's.
pub const MAX_ADDRESSES: usize = 5;

impl LastUse {
    /// Records a use now, and forgets addresses that are too old.
    pub fn note(&mut self, address: IpAddr, now: Timestamp, days: AddressDays) {
        self.at = now;
        self.forget_before(days.earliest(now));
        self.addresses.retain(|known| known.address != address);
        if days.0 > 0 {
            self.addresses.push(AddressUse { address, at: now });
        }
        let excess = self.addresses.len().saturating_sub(MAX_ADDRESSES);
        self.addresses.drain(..excess);
    }

    /// Adds what another replica has recorded of the same credential.
    pub fn merge(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        for theirs in &other.addresses {
            match self.addresses.iter_mut().find(|own| own.address == theirs.address) {
                Some(own) => own.at = own.at.max(theirs.at),
                None => self.addresses.push(*theirs),
            }
        }
        self.addresses.sort_by_key(|one| one.at);
        let excess = self.addresses.len().saturating_sub(MAX_ADDRESSES);
        self.addresses.drain(..excess);
    }

    /// Forgets addresses that were last used before this time. Returns true if there were some.
    pub fn forget_before(&mut self, earliest: Timestamp) -> bool {
        let before = self.addresses.len();
        self.addresses.retain(|known| known.at >= earliest);
        self.addresses.len() < before
    }
}

impl AddressDays {
    /// Returns the time before which an address is forgotten.
    pub fn earliest(self, now: Timestamp) -> Timestamp {
        now.checked_sub(SignedDuration::from_hours(24 * i64::from(self.0))).unwrap_or(Timestamp::MIN)
    }
}

impl From<Timestamp> for LastUse {
    fn from(at: Timestamp) -> Self {
        Self { at, addresses: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    #[test]
    fn the_uses_of_two_replicas_are_one_list_the_latest_at_the_end() {
        let last_use = |uses: &[(u8, i32)]| {
            let mut last_use = LastUse::from(Timestamp::UNIX_EPOCH);
            for (address, day) in uses {
                last_use.note([10, 0, 0, *address].into(), Timestamp::UNIX_EPOCH + DAY * *day, AddressDays(30));
            }
            last_use
        };
        let mut merged = last_use(&[(1, 1), (2, 4)]);
        merged.merge(&last_use(&[(1, 3), (3, 5)]));
        assert_eq!(merged, last_use(&[(1, 3), (2, 4), (3, 5)]));
        merged.merge(&last_use(&[(4, 6), (5, 7), (6, 8)]));
        assert_eq!(merged, last_use(&[(2, 4), (3, 5), (4, 6), (5, 7), (6, 8)]));
    }

    fn used(days: u32, uses: &[(u8, i32)]) -> Vec<u8> {
        let mut last_use = LastUse::from(Timestamp::UNIX_EPOCH);
        for (address, day) in uses {
            last_use.note([10, 0, 0, *address].into(), Timestamp::UNIX_EPOCH + DAY * *day, AddressDays(days));
        }
        let last = |one: &AddressUse| one.address.to_string().rsplit_once('.').and_then(|(_, last)| last.parse().ok());
        last_use.addresses.iter().filter_map(last).collect()
    }

    #[test]
    fn the_last_five_addresses_of_the_last_days_are_kept_the_latest_at_the_end() {
        assert_eq!(used(30, &[(1, 0), (2, 0), (1, 1)]), [2, 1]);
        assert_eq!(used(30, &[(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5)]), [2, 3, 4, 5, 6]);
        assert_eq!(used(30, &[(1, 0), (2, 1), (3, 31)]), [2, 3]);
        assert!(used(0, &[(1, 0), (2, 0)]).is_empty());
    }
}
