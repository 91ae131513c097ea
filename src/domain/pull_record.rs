//! Records of who pulled an image: a number of pulls for each credential and day, with the last addresses.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{TokenId, UserId};
use super::policy::Identity;
use super::principal::Principal;

/// Pulls of an image by one credential on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRecord {
    /// The principal, with the names of that time.
    pub puller: Puller,
    /// Number of pulls. Those from one address within a minute count as one.
    pub count: u64,
    /// Time of the last pull.
    pub last: Timestamp,
    /// The last addresses from which it was pulled, at most [`MAX_ADDRESSES`], the latest at the end.
    pub addresses: Vec<IpAddr>,
    /// True if there were other addresses before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_addresses: bool,
}

/// The principal of a pull, with the names of that time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Puller {
    /// The number of the user; `None` for a deploy token and for an anonymous caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The user name; `None` for an anonymous caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of the token; `None` for a password and for an anonymous caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The name of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_name: Option<String>,
}

/// A day, as its number since the epoch, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

/// Maximum number of addresses in a record.
pub const MAX_ADDRESSES: usize = 5;

const SECONDS_PER_DAY: i64 = 24 * 3600;

impl PullRecord {
    /// Creates the record of one pull.
    pub fn of(identity: &Identity, address: IpAddr, now: Timestamp) -> Self {
        let puller = Puller::of(identity);
        Self { puller, count: 1, last: now, addresses: vec![address], more_addresses: false }
    }

    /// Adds pulls of the same credential on the same day, which were later.
    pub fn add(&mut self, later: &Self) {
        self.count = self.count.saturating_add(later.count);
        self.last = self.last.max(later.last);
        self.puller = later.puller.clone();
        self.more_addresses |= later.more_addresses;
        later.addresses.iter().for_each(|address| self.add_address(*address));
    }

    fn add_address(&mut self, address: IpAddr) {
        self.addresses.retain(|known| *known != address);
        self.addresses.push(address);
        if self.addresses.len() > MAX_ADDRESSES {
            self.addresses.remove(0);
            self.more_addresses = true;
        }
    }
}

impl Puller {
    /// Returns true for a deploy token. Its user name may be that of a user, too.
    pub fn is_deploy_token(&self) -> bool {
        self.user.is_none() && self.token.is_some()
    }

    fn of(identity: &Identity) -> Self {
        let token = identity.token();
        let user = match identity.principal() {
            Principal::User(user) | Principal::GroupToken { bot: user, .. } => Some(user),
            // A token without a user: see `is_deploy_token`.
            Principal::DeployToken(_) | Principal::Nobody => None,
        };
        Self {
            user,
            name: identity.principal_name().map(str::to_owned),
            token,
            token_name: token.and(identity.credential_name()).map(str::to_owned),
        }
    }
}

impl Day {
    /// Returns the day of a time; the first for times before the epoch.
    pub fn of(time: Timestamp) -> Self {
        Self(u32::try_from(time.as_second().div_euclid(SECONDS_PER_DAY)).unwrap_or(0))
    }

    /// Returns the time at which it begins.
    pub fn start(self) -> Timestamp {
        Timestamp::from_second(i64::from(self.0) * SECONDS_PER_DAY).unwrap_or(Timestamp::MAX)
    }

    /// Returns the first day of the period of this number of days that ends with this day.
    pub fn first_of(self, days: u32) -> Self {
        Self((self.0 + 1).saturating_sub(days))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_before_all_of_its_times_and_is_the_last_of_thirty() {
        let day = Day::of("2026-11-28T23:59:59Z".parse().unwrap());
        assert_eq!(day.start().to_string(), "2026-11-28T00:00:00Z");
        assert_eq!(day.first_of(30).start().to_string(), "2026-10-30T00:00:00Z");
        assert_eq!((Day(3).first_of(1), Day(3).first_of(9)), (Day(3), Day(0)));
    }

    #[test]
    fn a_record_has_the_last_addresses_and_tells_that_there_were_more() {
        let (address, at) = (|last: u8| IpAddr::from([10, 0, 0, last]), Timestamp::UNIX_EPOCH);
        let mut record = PullRecord::of(&Identity::Nobody, address(1), at);
        for last in [2, 3, 4, 5, 1] {
            record.add(&PullRecord::of(&Identity::Nobody, address(last), at));
        }
        assert_eq!((record.addresses.clone(), record.more_addresses), ([2, 3, 4, 5, 1].map(address).to_vec(), false));
        record.add(&PullRecord::of(&Identity::Nobody, address(6), Timestamp::MAX));
        assert_eq!((record.addresses, record.more_addresses), ([3, 4, 5, 1, 6].map(address).to_vec(), true));
        assert_eq!((record.count, record.last), (7, Timestamp::MAX));
    }
}
