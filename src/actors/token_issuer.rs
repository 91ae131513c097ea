//! The TokenIssuer turns credentials into bearer tokens. Secrets of tokens are looked up in the present snapshot, without a
//! message; the actor is the queue before the slow hashing of passwords, and owns who failed and who was just verified.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use aws_lc_rs::hmac;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use super::abort_on_panic::abort_on_panic;
use super::policy_evaluator::Policy;
use crate::auth::jwt::Signer;
use crate::auth::login::{self, BearerError, Login};
use crate::auth::login_limit::{Allowance, Failures};
use crate::auth::{password, random};
use crate::domain::directory::{Credential, Directory};
use crate::domain::id::CredentialId;
use crate::domain::policy::{self, Identity, PublicGroups, Refusal};
use crate::domain::user::User;

/// Checks passwords; see the module.
pub struct TokenIssuer {
    options: PasswordOptions,
    mac_key: hmac::Key,
    remembered: HashMap<Proof, Instant>,
    checking: HashMap<Proof, Vec<oneshot::Sender<Result<(), PasswordError>>>>,
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
    /// For how long a verified one is remembered.
    pub remember: Duration,
    /// Failures of one user name from one address.
    pub failures_per_user: Allowance,
    /// Failures from one address.
    pub failures_per_address: Allowance,
}

/// What the rest of the service holds.
#[derive(Clone)]
pub struct Tokens {
    actor: Addr<TokenIssuer>,
    policy: Policy,
    signer: Arc<Signer>,
    public_groups: PublicGroups,
    hashing: Arc<Semaphore>,
}

/// Who wants a token, from where.
#[derive(Debug)]
pub struct IssueToken {
    /// The user name and secret of HTTP Basic or of a form; none where nothing was given.
    pub credentials: Option<(String, SecretString)>,
    /// Where the request came from.
    pub address: IpAddr,
}

/// A token that was issued.
#[derive(Debug)]
pub struct Issued {
    /// The bearer token.
    pub token: String,
    /// Whom it stands for.
    pub identity: Identity,
}

/// Why no token was issued.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IssueError {
    /// The credential does not count.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing was given, and nothing is open to everybody.
    #[error("Credentials are needed here. Log in first, with a deploy token of the group for example")]
    NoCredentials,
    /// The password was not even looked at.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The token could not be signed.
    #[error("the token could not be signed")]
    Signing,
}

/// Why a password was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// No such user, or another password.
    #[error("wrong password")]
    Wrong,
    /// There were too many failures.
    #[error("Too many failed logins. Wait {} seconds", .0.as_secs() + 1)]
    TooMany(Duration),
    /// Too many passwords wait to be checked.
    #[error("Too many logins with a password at once. Use a token, or try again")]
    Busy,
}

/// Identifies a user, a password and the stored hash it was tried against, without containing them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Proof([u8; 32]);

/// Asks whether the password is the user's.
#[derive(Message)]
#[rtype(result = "Result<(), PasswordError>")]
struct CheckPassword {
    username: String,
    password: SecretString,
    stored: Option<(CredentialId, String)>,
    address: IpAddr,
}

/// Reports how a check ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Checked {
    proof: Proof,
    failed: (IpAddr, String),
    outcome: Result<(), PasswordError>,
}

impl Tokens {
    /// Starts the actor on this arbiter.
    pub fn start(
        options: PasswordOptions,
        policy: Policy,
        signer: Signer,
        public_groups: PublicGroups,
        arbiter: &ArbiterHandle,
    ) -> Self {
        let hashing = Arc::new(Semaphore::new(options.threads));
        let threads = hashing.clone();
        let actor = TokenIssuer::start_in_arbiter(arbiter, move |_| TokenIssuer::new(options, threads));
        Self { actor, policy, signer: Arc::new(signer), public_groups, hashing }
    }

    /// An actor on this thread that hashes one password at a time and refuses nobody.
    #[cfg(test)]
    pub(crate) fn over(policy: Policy) -> Result<Self, crate::auth::jwt::KeyError> {
        let allowance = Allowance { burst: u32::MAX, forget_one_after: Duration::from_secs(1) };
        let options = PasswordOptions {
            threads: 1,
            max_waiting: 1000,
            remember: Duration::from_secs(300),
            failures_per_user: allowance,
            failures_per_address: allowance,
        };
        let signer = Signer::new(&crate::auth::jwt::KeySet::generate(), "dependency_proxy", 300)?;
        Ok(Self::start(options, policy, signer, PublicGroups::Members, &Arbiter::current()))
    }

    /// A token for whoever these credentials stand for.
    pub async fn issue(&self, request: IssueToken) -> Result<Issued, IssueError> {
        let identity = match request.credentials {
            None if self.public_groups == PublicGroups::Anyone => Identity::Nobody,
            None => return Err(IssueError::NoCredentials),
            Some((username, secret)) => self.identify(username, secret, request.address).await?,
        };
        let signed = self.signer.sign(identity.principal(), identity.credential(), Timestamp::now());
        let token = signed.map_err(|error| {
            tracing::error!(%error, "a token could not be signed");
            IssueError::Signing
        })?;
        Ok(Issued { token, identity })
    }

    /// Who a token's secret stands for, as sent with each request by clients that know no bearer tokens. No passwords.
    pub fn identify_token(&self, username: &str, secret: &SecretString) -> Result<Identity, Refusal> {
        match login::by_token(&self.policy.directory(), username, secret.expose_secret(), Timestamp::now())? {
            Login::Token(identity) => Ok(identity),
            Login::PerhapsPassword => Err(Refusal::Unknown),
        }
    }

    /// Who a bearer token stands for, in this snapshot.
    pub fn identify_bearer(&self, directory: &Directory, token: &str) -> Result<Identity, BearerError> {
        login::by_bearer(directory, &self.signer, token, Timestamp::now())
    }

    /// The hash under which a new password is stored; waits for its turn on the hashing threads.
    pub async fn hash_password(&self, password: SecretString) -> Result<String, PasswordError> {
        let _turn = self.hashing.acquire().await.map_err(|_| PasswordError::Busy)?;
        let hashed = spawn_blocking(move || password::hash(password.expose_secret())).await;
        hashed.ok().and_then(Result::ok).ok_or(PasswordError::Busy)
    }

    async fn identify(&self, username: String, secret: SecretString, address: IpAddr) -> Result<Identity, IssueError> {
        let directory = self.policy.directory();
        match login::by_token(&directory, &username, secret.expose_secret(), Timestamp::now())? {
            Login::Token(identity) => Ok(identity),
            Login::PerhapsPassword => {
                let user = self.identify_by_password_in(&directory, username, secret, address).await?;
                Ok(policy::identify(&directory, Credential::Password(user), Timestamp::now())?)
            }
        }
    }

    /// The user of this name, if this is the password and the user is not blocked.
    pub async fn identify_by_password(
        &self,
        username: String,
        password: SecretString,
        address: IpAddr,
    ) -> Result<Arc<User>, IssueError> {
        let directory = self.policy.directory();
        let user = self.identify_by_password_in(&directory, username, password, address).await?;
        policy::identify(&directory, Credential::Password(user.clone()), Timestamp::now())?;
        Ok(user)
    }

    async fn identify_by_password_in(
        &self,
        directory: &Directory,
        username: String,
        password: SecretString,
        address: IpAddr,
    ) -> Result<Arc<User>, IssueError> {
        let user = directory.user_named(&username).cloned();
        let stored = user.as_ref().and_then(|user| user.password.clone());
        let stored = stored.map(|password| (password.credential, password.hash));
        let username = username.to_ascii_lowercase();
        let check = CheckPassword { username, password, stored, address };
        match self.actor.send(check).await.unwrap_or(Err(PasswordError::Busy)) {
            Ok(()) => {}
            Err(PasswordError::Wrong) => return Err(Refusal::Unknown.into()),
            Err(error) => return Err(error.into()),
        }
        Ok(user.ok_or(Refusal::Unknown)?)
    }
}

impl TokenIssuer {
    fn new(options: PasswordOptions, threads: Arc<Semaphore>) -> Self {
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

    fn is_remembered(&mut self, proof: &Proof, now: Instant) -> bool {
        self.remembered.retain(|_, until| now < *until);
        self.remembered.contains_key(proof)
    }

    fn refusal(&self, check: &CheckPassword, now: Instant) -> Option<PasswordError> {
        let user = self.by_user.wait(&(check.address, check.username.clone()), now);
        let address = self.by_address.wait(&check.address, now);
        user.max(address).map(PasswordError::TooMany)
    }

    /// Checks on a thread of its own, once one is free, and reports back.
    fn start_check(&self, proof: Proof, check: CheckPassword, me: Addr<Self>) {
        let threads = self.threads.clone();
        actix_rt::spawn(async move {
            let _turn = threads.acquire().await;
            let failed = (check.address, check.username.clone());
            let right = spawn_blocking(move || check.is_right()).await.unwrap_or(false);
            let outcome = if right { Ok(()) } else { Err(PasswordError::Wrong) };
            me.do_send(Checked { proof, failed, outcome });
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
        if let Some(refusal) = self.refusal(&check, now) {
            return Response::reply(Err(refusal));
        }
        let running = self.checking.len();
        let (answer, answered) = oneshot::channel();
        match self.checking.get_mut(&proof) {
            Some(waiters) => waiters.push(answer),
            None if running >= self.options.threads + self.options.max_waiting => {
                return Response::reply(Err(PasswordError::Busy));
            }
            None => {
                self.checking.insert(proof, vec![answer]);
                self.start_check(proof, check, ctx.address());
            }
        }
        Response::fut(async move { answered.await.unwrap_or(Err(PasswordError::Busy)) })
    }
}

impl Handler<Checked> for TokenIssuer {
    type Result = ();

    fn handle(&mut self, Checked { proof, failed, outcome }: Checked, _: &mut Self::Context) {
        let now = Instant::now();
        match outcome {
            Ok(()) => drop(self.remembered.insert(proof, now + self.options.remember)),
            Err(_) => {
                self.by_address.record(failed.0, now);
                self.by_user.record(failed, now);
            }
        }
        for waiter in self.checking.remove(&proof).unwrap_or_default() {
            let _ = waiter.send(outcome);
        }
    }
}

impl Drop for TokenIssuer {
    fn drop(&mut self) {
        abort_on_panic("TokenIssuer");
    }
}
