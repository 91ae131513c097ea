//! Verification of passwords: the queue before the slow hashing, failed logins, and recently verified passwords. It
//! stores no passwords, only keyed MACs (HMAC-SHA-256) under a key that exists only in this process.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use super::failure_counts::{Attempt, Counted, FailureCounts};
use crate::actors::admission::refused;
use crate::auth::login_limit::Allowance;
use crate::auth::{password, random};
use crate::domain::id::CredentialId;
use crate::formats::quantity;
use crate::store::fleet::FailedLogins;

/// Verifies passwords; see the module. Part of the actor's state.
pub(super) struct PasswordVerifier {
    options: PasswordOptions,
    mac_key: hmac::Key,
    /// Recently verified passwords.
    remembered: HashMap<Proof, Remembered>,
    /// Checks that run or wait for a thread.
    checking: HashMap<Proof, Check>,
    failures: FailureCounts,
    /// Permits for hashing; see the handle.
    threads: Arc<Semaphore>,
}

/// Options of the password checks: their keys of `[auth]`.
#[derive(Clone, Debug, Deserialize)]
pub struct PasswordOptions {
    /// Maximum number of passwords that are hashed at the same time; each uses one core and 19 MiB.
    pub password_threads: NonZeroUsize,
    /// Maximum number of different passwords that wait for a thread.
    pub password_queue: usize,
    /// Maximum number of different passwords from one address that are hashed or wait, so that one address does not
    /// keep the others out.
    pub password_queue_per_address: NonZeroUsize,
    /// Time for which a verified password is remembered; zero: not at all.
    #[serde(deserialize_with = "quantity::duration")]
    pub password_remembered: Duration,
    /// Maximum number of wrong passwords for one user name from one address in a `login_window`.
    pub max_failed_logins: NonZeroU32,
    /// Maximum number of wrong passwords from one address in a `login_window`.
    pub max_failed_logins_per_address: NonZeroU32,
    /// Time in which wrong passwords are counted; more than zero.
    #[serde(deserialize_with = "quantity::duration")]
    pub login_window: Duration,
}

/// Reason why a password was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// There is no such user, or the password is wrong.
    #[error("wrong password")]
    Wrong,
    /// There were too many failed logins; the time to wait before the next one.
    #[error("too many failed logins")]
    TooMany(Duration),
    /// Too many passwords are waiting to be checked.
    #[error("Too many logins with a password at once. Use a token, or try again")]
    Busy,
}

/// A password that was verified recently.
struct Remembered {
    until: Instant,
    /// The addresses from which it was accepted meanwhile, at most [`MAX_ADDRESSES`].
    addresses: HashSet<IpAddr>,
}

/// Maximum number of addresses that are kept of one remembered password.
const MAX_ADDRESSES: usize = 10_000;

/// A password that is being checked, or waits for that.
struct Check {
    /// The client address of the first request; it counts against the limit per address.
    address: IpAddr,
    waiters: Vec<oneshot::Sender<Result<(), PasswordError>>>,
}

/// Keyed MAC of a credential, user name and password: identifies a check without containing them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Proof([u8; 32]);

/// A password to be verified.
pub(super) struct CheckPassword {
    /// The user name in lower case.
    pub(super) username: String,
    /// The password that the client sent.
    pub(super) password: SecretString,
    /// The stored hash; `None` if there is no such user. The check then takes the same path and the same time, so
    /// that the timing does not reveal which user names exist.
    pub(super) stored: Option<(CredentialId, String)>,
    /// The client's address, or its network.
    pub(super) address: IpAddr,
}

/// Reports the outcome of a check. `counted` is the key under which it was counted as a failure.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Checked {
    proof: Proof,
    counted: Counted,
    /// The number of failures as which it was counted.
    attempt: f64,
    was: Attempt,
}

impl PasswordOptions {
    /// Returns the rate limit that allows this number of failures in a `login_window`.
    fn allowance(&self, failures: NonZeroU32) -> Allowance {
        Allowance { burst: failures.get(), forget_one_after: self.login_window / failures.get() }
    }
}

impl PasswordVerifier {
    pub(super) fn new(options: PasswordOptions, threads: Arc<Semaphore>, shared: Option<FailedLogins>) -> Self {
        let limits = [options.max_failed_logins, options.max_failed_logins_per_address];
        let failures = FailureCounts::new(limits.map(|failures| options.allowance(failures)), shared);
        Self {
            mac_key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
            remembered: HashMap::new(),
            checking: HashMap::new(),
            failures,
            threads,
            options,
        }
    }

    /// Verifies a password, on a blocking thread unless it was verified recently. The same password is verified once
    /// at a time. `me` gets the outcome by message.
    ///
    /// # Errors
    ///
    /// The returned future fails if the password is wrong, after too many failures, or if too many passwords wait.
    pub(super) fn verify(
        &mut self,
        check: CheckPassword,
        me: Recipient<Checked>,
    ) -> impl Future<Output = Result<(), PasswordError>> + use<> {
        let (proof, now) = (self.proof(&check), Instant::now());
        let (reply, outcome) = oneshot::channel();
        if let Some(outcome) = self.remembered_outcome(&proof, &check, now) {
            let _ = reply.send(outcome);
        } else if let Some(checking) = self.checking.get_mut(&proof) {
            checking.waiters.push(reply);
        } else if let Some(refusal) = self.refusal(&check, now) {
            if refusal == PasswordError::Busy {
                refused("passwords");
            }
            let _ = reply.send(Err(refusal));
        } else {
            self.checking.insert(proof, Check { address: check.address, waiters: vec![reply] });
            self.start_check(proof, check, me, now);
            self.gauge();
        }
        async move { outcome.await.unwrap_or(Err(PasswordError::Busy)) }
    }

    /// Records the outcome of a check, and gives it to those who wait.
    pub(super) fn checked(&mut self, Checked { proof, counted, attempt, was }: Checked) {
        self.failures.settle(&counted, attempt, was, Instant::now());
        let outcome = match was {
            Attempt::Right => {
                self.remember(proof, counted.0, Instant::now());
                Ok(())
            }
            Attempt::Wrong(_) => Err(PasswordError::Wrong),
        };
        for waiter in self.checking.remove(&proof).map(|check| check.waiters).unwrap_or_default() {
            let _ = waiter.send(outcome);
        }
        self.gauge();
    }

    /// Returns the number of passwords that are being checked or wait.
    #[cfg(test)]
    pub(super) fn checking(&self) -> usize {
        self.checking.len()
    }

    fn proof(&self, check: &CheckPassword) -> Proof {
        let credential = check.stored.as_ref().map(|(id, _)| id.to_string()).unwrap_or_default();
        let text = format!("{credential}\n{}\n{}", check.username, check.password.expose_secret());
        let mut proof = [0; 32];
        proof.copy_from_slice(hmac::sign(&self.mac_key, text.as_bytes()).as_ref());
        Proof(proof)
    }

    /// Accepts a remembered password; `None` for any other. After too many failures it is accepted only at an address
    /// at which it was before: whoever guesses elsewhere must not learn, in spite of the limit, that a guess is right,
    /// and one machine with a wrong password must not lock out the others behind its address.
    fn remembered_outcome(
        &mut self,
        proof: &Proof,
        check: &CheckPassword,
        now: Instant,
    ) -> Option<Result<(), PasswordError>> {
        let limited = self.failures(check, now);
        let remembered = self.remembered.get_mut(proof).filter(|remembered| now < remembered.until)?;
        if let Some(wait) = limited.filter(|_| !remembered.addresses.contains(&check.address)) {
            return Some(Err(PasswordError::TooMany(wait)));
        }
        if remembered.addresses.len() < MAX_ADDRESSES {
            remembered.addresses.insert(check.address);
        }
        Some(Ok(()))
    }

    fn remember(&mut self, proof: Proof, address: IpAddr, now: Instant) {
        self.remembered.retain(|_, remembered| now < remembered.until);
        let until = now + self.options.password_remembered;
        self.remembered.insert(proof, Remembered { until, addresses: HashSet::from([address]) });
    }

    fn gauge(&self) {
        metrics::gauge!("dependency_proxy_queue_length", "queue" => "passwords").set(self.checking.len() as f64);
    }

    fn refusal(&self, check: &CheckPassword, now: Instant) -> Option<PasswordError> {
        let failures = self.failures(check, now).map(PasswordError::TooMany);
        failures.or(self.is_full(check.address).then_some(PasswordError::Busy))
    }

    /// Returns the time to wait after too many failures; `None` if there were not too many.
    fn failures(&self, check: &CheckPassword, now: Instant) -> Option<Duration> {
        self.failures.wait(&(check.address, check.username.clone()), now)
    }

    /// Returns true if no further password from this address can be accepted now.
    fn is_full(&self, address: IpAddr) -> bool {
        let from_there = self.checking.values().filter(|check| check.address == address).count();
        self.checking.len() >= self.options.password_threads.get() + self.options.password_queue
            || from_there >= self.options.password_queue_per_address.get()
    }

    /// Checks a password on a blocking thread, once a permit is free, and reports back by message.
    fn start_check(&mut self, proof: Proof, check: CheckPassword, me: Recipient<Checked>, now: Instant) {
        // Counted as a failure until it succeeds: otherwise all passwords that can wait at once could be tried before
        // the first failure counts.
        let counted = (check.address, check.username.clone());
        let attempt = self.failures.attempt(&counted, now);
        let (threads, recording) = (self.threads.clone(), self.failures.record_at_all(&counted));
        actix_rt::spawn(async move {
            let permit = threads.acquire().await;
            let right = spawn_blocking(move || check.is_right()).await.unwrap_or(false);
            drop(permit);
            // Before the caller learns that it is wrong: the next attempt, at any replica, comes after it.
            let was = if right { Attempt::Right } else { Attempt::Wrong(recording.await) };
            me.do_send(Checked { proof, counted, attempt, was });
        });
    }
}

impl CheckPassword {
    fn is_right(&self) -> bool {
        match &self.stored {
            Some((_, hash)) => password::verify(self.password.expose_secret(), hash),
            None => {
                password::verify_nobody(self.password.expose_secret());
                false
            }
        }
    }
}
