//! Counts of failed logins, of one user name at one address and of one address.
//!
//! Replicas count them together, so that a guesser gains nothing by going to several. Each refuses by its own counts,
//! which a failure raises to those of all ([`FailedLogins`]): a replica that has seen no failure yet lets one more
//! attempt pass than it should, and a login that succeeds waits for no database. The limits are not divided by the
//! number of replicas, because a user whose requests all go to one replica would get no more than its share. They are
//! while the database does not respond, and while a password is being checked: until then an attempt counts as many
//! times as there are replicas, because as many may be under way at each of them.

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

/// The outcome of an attempt to log in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attempt {
    /// The password is right.
    Right,
    /// It is wrong. The failures at all replicas, if there are several.
    Wrong(Option<FleetFailures<2>>),
}

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

    /// Counts an attempt as failures, until [`Self::settle`]. Returns as how many.
    pub(super) fn attempt(&mut self, counted: &Counted, now: Instant) -> f64 {
        let replicas = self.shared.as_ref().map_or(1.0, |shared| shared.replicas() as f64);
        self.by_address.change(counted.0, replicas, now);
        self.by_user.change(counted.clone(), replicas, now);
        replicas
    }

    /// Counts a failure at all replicas, and returns how many there are.
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

    /// Replaces the count of an attempt, which was `attempt` failures, by that of its outcome.
    pub(super) fn settle(&mut self, counted: &Counted, attempt: f64, was: Attempt, now: Instant) {
        let (change, [of_user, of_address]) = match was {
            Attempt::Right => (-attempt, [0.0; 2]),
            // Others may not know of it: as long as the database does not respond, it counts for each replica.
            Attempt::Wrong(None | Some(FleetFailures::Unknown)) => (0.0, [0.0; 2]),
            Attempt::Wrong(Some(FleetFailures::Counted(failures))) => (1.0 - attempt, failures),
        };
        self.by_user.change(counted.clone(), change, now);
        self.by_user.raise(counted.clone(), of_user, now);
        self.by_address.change(counted.0, change, now);
        self.by_address.raise(counted.0, of_address, now);
    }
}
