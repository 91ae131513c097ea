//! Counts of failed logins, of one user name at one address and of one address.
//!
//! Replicas count them together, so that a guesser gains nothing by going to several. Each refuses by its own counts,
//! which a failure raises to those of all ([`FailedLogins`]): a replica that has seen no failure yet lets one more
//! attempt pass than it should, and a login that succeeds waits for no database. The limits are not divided by the
//! number of replicas, because a user whose requests all go to one replica would get no more than its share. They are
//! while the database does not respond: a failure counts as many times as there are replicas.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::auth::login_limit::{Allowance, Failures};
use crate::auth::sha256;
use crate::store::fleet::{FailedLogins, FailureCount, FleetFailures};

/// The counts; see the module.
pub(super) struct FailureCounts {
    by_user: Failures<Counted>,
    by_address: Failures<IpAddr>,
    /// The times after which both forget a failure.
    forget_one_after: [Duration; 2],
    /// The failures at all replicas; `None`: this process is the only one.
    shared: Option<FailedLogins>,
}

/// The owner of counts: an address, and a user name in lower case.
pub(super) type Counted = (IpAddr, String);

impl FailureCounts {
    /// Returns counts with these limits, and without a failure.
    pub(super) fn new([of_user, of_address]: [Allowance; 2], shared: Option<FailedLogins>) -> Self {
        let forget_one_after = [of_user.forget_one_after, of_address.forget_one_after];
        let (by_user, by_address) = (Failures::new(of_user), Failures::new(of_address));
        Self { by_user, by_address, forget_one_after, shared }
    }

    /// Returns the time to wait after too many failures; `None` if there were not too many.
    pub(super) fn wait(&self, counted: &Counted, now: Instant) -> Option<Duration> {
        self.by_user.wait(counted, now).max(self.by_address.wait(&counted.0, now))
    }

    /// Counts a failure at this replica.
    pub(super) fn record(&mut self, counted: Counted, now: Instant) {
        self.by_address.record(counted.0, now);
        self.by_user.record(counted, now);
    }

    /// Takes a failure at this replica back.
    pub(super) fn forgive(&mut self, counted: &Counted) {
        self.by_address.forgive(&counted.0);
        self.by_user.forgive(counted);
    }

    /// Counts a failure at all replicas, apart from this one, which has counted it. Returns what [`Self::learn`] needs.
    pub(super) fn record_at_all(
        &self,
        (address, username): &Counted,
    ) -> impl Future<Output = Option<FleetFailures<2>>> + use<> {
        let keys = [format!("{address}\n{username}"), address.to_string()].map(|key| sha256::digest(key.as_bytes()));
        let [of_user, of_address] = self.forget_one_after;
        let counts = [
            FailureCount { key: keys[0], forget_one_after: of_user },
            FailureCount { key: keys[1], forget_one_after: of_address },
        ];
        let shared = self.shared.clone();
        async move { Some(shared?.record(counts).await) }
    }

    /// Raises the counts of this replica to those of all.
    pub(super) fn learn(&mut self, failures: FleetFailures<2>, counted: &Counted, now: Instant) {
        match failures {
            FleetFailures::Counted([by_user, by_address]) => {
                self.by_user.raise(counted.clone(), by_user, now);
                self.by_address.raise(counted.0, by_address, now);
            }
            FleetFailures::Unknown { replicas } => {
                // This replica has counted it once.
                let others = u32::try_from(replicas.saturating_sub(1)).unwrap_or(u32::MAX);
                self.by_user.record_many(counted.clone(), others, now);
                self.by_address.record_many(counted.0, others, now);
            }
        }
    }
}
