//! The actor behind logins with a password: the queue before the slow hashing, the owner of who failed and of who was just
//! verified. Keeps no password: what it remembers are keyed MACs, under a key that ends with the process.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use super::super::abort_on_panic::abort_on_panic;
use super::super::places::refused;
use crate::auth::login_limit::{Allowance, Failures};
use crate::auth::{password, random};
use crate::domain::id::CredentialId;

/// Checks passwords; see the module.
pub struct TokenIssuer {
    options: PasswordOptions,
    mac_key: hmac::Key,
    remembered: HashMap<Proof, Instant>,
    checking: HashMap<Proof, Check>,
    by_user: Failures<(IpAddr, String)>,
    by_address: Failures<IpAddr>,
    threads: Arc<Semaphore>,
}

/// How passwords are checked.
#[derive(Clone, Debug)]
pub struct PasswordOptions {
    /// How many are hashed at a time; each takes a core and 19 MiB.
    pub threads: usize,
    /// How many different ones may wait for that.
    pub max_waiting: usize,
    /// How many different ones from one address may be hashed or wait for that, so that the others are not kept out.
    pub max_per_address: usize,
    /// For how long a verified one is remembered.
    pub remember: Duration,
    /// Failures of one user name from one address.
    pub failures_per_user: Allowance,
    /// Failures from one address.
    pub failures_per_address: Allowance,
}

/// Why a password was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// No such user, or another password.
    #[error("wrong password")]
    Wrong,
    /// There were too many failures.
    #[error("too many failed logins")]
    TooMany(Duration),
    /// Too many passwords wait to be checked.
    #[error("Too many logins with a password at once. Use a token, or try again")]
    Busy,
}

/// A password that is being checked, or waits for that.
struct Check {
    /// Whence it came first.
    address: IpAddr,
    waiters: Vec<oneshot::Sender<Result<(), PasswordError>>>,
}

/// Identifies a user, a password and the stored hash it was tried against, without containing them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Proof([u8; 32]);

/// Asks whether the password is the user's.
#[derive(Message)]
#[rtype(result = "Result<(), PasswordError>")]
pub(super) struct CheckPassword {
    /// In lower case.
    pub(super) username: String,
    /// What was given.
    pub(super) password: SecretString,
    /// What it is tried against; none where there is no such user, which takes the same path and the same time.
    pub(super) stored: Option<(CredentialId, String)>,
    /// Where the request came from.
    pub(super) address: IpAddr,
}

/// Reports how a check ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Checked {
    proof: Proof,
    counted: (IpAddr, String),
    outcome: Result<(), PasswordError>,
}

impl TokenIssuer {
    pub(super) fn new(options: PasswordOptions, threads: Arc<Semaphore>) -> Self {
        Self {
            mac_key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
            remembered: HashMap::new(),
            checking: HashMap::new(),
            by_user: Failures::new(options.failures_per_user),
            by_address: Failures::new(options.failures_per_address),
            threads,
            options,
        }
    }

    fn proof(&self, check: &CheckPassword) -> Proof {
        let credential = check.stored.as_ref().map(|(id, _)| id.to_string()).unwrap_or_default();
        let text = format!("{credential}\n{}\n{}", check.username, check.password.expose_secret());
        let mut proof = [0; 32];
        proof.copy_from_slice(hmac::sign(&self.mac_key, text.as_bytes()).as_ref());
        Proof(proof)
    }

    fn is_remembered(&self, proof: &Proof, now: Instant) -> bool {
        self.remembered.get(proof).is_some_and(|until| now < *until)
    }

    fn remember(&mut self, proof: Proof, now: Instant) {
        self.remembered.retain(|_, until| now < *until);
        self.remembered.insert(proof, now + self.options.remember);
    }

    fn gauge(&self) {
        metrics::gauge!("dependency_proxy_queue_length", "queue" => "passwords").set(self.checking.len() as f64);
    }

    fn refusal(&self, check: &CheckPassword, now: Instant) -> Option<PasswordError> {
        let user = self.by_user.wait(&(check.address, check.username.clone()), now);
        let address = self.by_address.wait(&check.address, now);
        user.max(address).map(PasswordError::TooMany).or(self.is_full(check.address).then_some(PasswordError::Busy))
    }

    /// Whether there is no place for one more password from this address.
    fn is_full(&self, address: IpAddr) -> bool {
        let from_there = self.checking.values().filter(|check| check.address == address).count();
        self.checking.len() >= self.options.threads + self.options.max_waiting
            || from_there >= self.options.max_per_address
    }

    /// Checks on a thread of its own, once one is free, and reports back. Counts as a failure until it is none: otherwise
    /// all that can wait at once would be tried before the first one counts.
    fn start_check(&mut self, proof: Proof, check: CheckPassword, me: Addr<Self>, now: Instant) {
        let counted = (check.address, check.username.clone());
        self.by_address.record(counted.0, now);
        self.by_user.record(counted.clone(), now);
        let threads = self.threads.clone();
        actix_rt::spawn(async move {
            let _turn = threads.acquire().await;
            let right = spawn_blocking(move || check.is_right()).await.unwrap_or(false);
            let outcome = if right { Ok(()) } else { Err(PasswordError::Wrong) };
            me.do_send(Checked { proof, counted, outcome });
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

impl Actor for TokenIssuer {
    type Context = Context<Self>;
}

impl Handler<CheckPassword> for TokenIssuer {
    type Result = Response<Result<(), PasswordError>>;

    fn handle(&mut self, check: CheckPassword, ctx: &mut Self::Context) -> Self::Result {
        let (proof, now) = (self.proof(&check), Instant::now());
        if self.is_remembered(&proof, now) {
            return Response::reply(Ok(()));
        }
        let (answer, answered) = oneshot::channel();
        if let Some(checking) = self.checking.get_mut(&proof) {
            checking.waiters.push(answer);
        } else if let Some(refusal) = self.refusal(&check, now) {
            if refusal == PasswordError::Busy {
                refused("passwords");
            }
            return Response::reply(Err(refusal));
        } else {
            self.checking.insert(proof, Check { address: check.address, waiters: vec![answer] });
            self.start_check(proof, check, ctx.address(), now);
            self.gauge();
        }
        Response::fut(async move { answered.await.unwrap_or(Err(PasswordError::Busy)) })
    }
}

impl Handler<Checked> for TokenIssuer {
    type Result = ();

    fn handle(&mut self, Checked { proof, counted, outcome }: Checked, _: &mut Self::Context) {
        if outcome.is_ok() {
            self.remember(proof, Instant::now());
            self.by_address.forgive(&counted.0);
            self.by_user.forgive(&counted);
        }
        for waiter in self.checking.remove(&proof).map(|check| check.waiters).unwrap_or_default() {
            let _ = waiter.send(outcome);
        }
        self.gauge();
    }
}

/// Tells how many passwords are being checked, or wait for that.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "usize")]
pub(super) struct Checking;

#[cfg(test)]
impl Handler<Checking> for TokenIssuer {
    type Result = usize;

    fn handle(&mut self, _: Checking, _: &mut Self::Context) -> usize {
        self.checking.len()
    }
}

impl Drop for TokenIssuer {
    fn drop(&mut self) {
        abort_on_panic("TokenIssuer");
    }
}
