//! Issue and verification of bearer tokens. The handle looks up the secrets of access tokens in the current directory
//! and signs bearer tokens itself, without a message. The actor [`TokenIssuer`] (in `passwords`) checks passwords: it
//! is the queue before the slow hashing. A secret that is an access token is never hashed as a password.

mod password_verifier;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::password_verifier::CheckPassword;
pub use self::password_verifier::{PasswordError, PasswordOptions, TokenIssuer};
use super::policy_evaluator::PolicyEvaluatorHandle;
use crate::auth::jwt::Signer;
use crate::auth::login::{self, BearerError, Login};
use crate::auth::login_limit::network_of;
use crate::auth::password;
use crate::domain::directory::Directory;
use crate::domain::id::CredentialId;
use crate::domain::policy::{self, Identity, PublicGroups, Refusal};
use crate::domain::user::Username;

/// Handle that issues and verifies bearer tokens.
#[derive(Clone)]
pub struct TokenIssuerHandle {
    actor: Addr<TokenIssuer>,
    policy: PolicyEvaluatorHandle,
    signer: Arc<Signer>,
    public_groups: PublicGroups,
    /// Permits for hashing, shared with the actor.
    hashing: Arc<Semaphore>,
}

/// Request for a bearer token.
#[derive(Debug)]
pub struct IssueToken {
    /// User name and secret, from HTTP Basic authentication or a form; `None` if the client sent none.
    pub credentials: Option<(String, SecretString)>,
    /// The client's address.
    pub address: IpAddr,
}

/// An issued bearer token.
#[derive(Debug)]
pub struct Issued {
    /// The bearer token.
    pub token: String,
    /// The identity that the token stands for.
    pub identity: Identity,
}

/// Reason why no token was issued.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IssueError {
    /// The credential is unknown, or not valid any more.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client sent no credentials, and no group is open to everyone.
    #[error("Credentials are needed here. Log in first, with a deploy token of the group for example")]
    NoCredentials,
    /// There were too many failed logins. The password was not checked.
    #[error("Too many failed logins. Wait {} seconds", .0.as_secs() + 1)]
    TooManyFailures(Duration),
    /// Too many passwords are waiting to be checked.
    #[error("{}", PasswordError::Busy)]
    Busy,
    /// The token could not be signed.
    #[error("the token could not be signed")]
    Signing,
}

impl TokenIssuerHandle {
    /// Starts the actor on this arbiter.
    pub fn start(
        options: PasswordOptions,
        policy: PolicyEvaluatorHandle,
        signer: Signer,
        public_groups: PublicGroups,
        arbiter: &ArbiterHandle,
    ) -> Self {
        let hashing = Arc::new(Semaphore::new(options.threads));
        let threads = hashing.clone();
        let actor = TokenIssuer::start_in_arbiter(arbiter, move |_| TokenIssuer::new(options, threads));
        Self { actor, policy, signer: Arc::new(signer), public_groups, hashing }
    }

    /// Starts an actor on this thread that hashes one password at a time and has no effective limits.
    #[cfg(test)]
    pub(crate) fn over(policy: PolicyEvaluatorHandle) -> Result<Self, crate::auth::jwt::KeyError> {
        let allowance =
            crate::auth::login_limit::Allowance { burst: u32::MAX, forget_one_after: Duration::from_secs(1) };
        let options = PasswordOptions {
            threads: 1,
            max_waiting: 1000,
            max_per_address: 1000,
            remember: Duration::from_secs(300),
            failures_per_user: allowance,
            failures_per_address: allowance,
        };
        let signer = Signer::new(&crate::auth::jwt::KeySet::generate(), "dependency_proxy", 300)?;
        Ok(Self::start(options, policy, signer, PublicGroups::Members, &Arbiter::current()))
    }

    /// Issues a bearer token for the identity that these credentials stand for. Without credentials it is for
    /// anonymous access, where public groups are open to everyone.
    ///
    /// # Errors
    ///
    /// Fails if the credentials are missing or refused, after too many failed logins, or if too many
    /// passwords are waiting.
    pub async fn issue(&self, request: IssueToken) -> Result<Issued, IssueError> {
        let identity = match request.credentials {
            None if self.public_groups == PublicGroups::Anyone => Identity::Nobody,
            None => return Err(IssueError::NoCredentials),
            Some((username, secret)) => self.identify(&username, secret, request.address).await?,
        };
        let signed = self.signer.sign(identity.principal(), identity.credential(), Timestamp::now());
        let token = signed.map_err(|error| {
            tracing::error!(%error, "a token could not be signed");
            IssueError::Signing
        })?;
        Ok(Issued { token, identity })
    }

    /// Returns the identity that an access token's secret stands for. For clients that send it with each request
    /// instead of a bearer token. Passwords are not accepted.
    ///
    /// # Errors
    ///
    /// Fails if the secret is unknown, or if its token is not valid for this user name, not valid any more, or
    /// without the scopes for a pull.
    pub fn identify_token(
        &self,
        directory: &Directory,
        username: &str,
        secret: &SecretString,
    ) -> Result<Identity, Refusal> {
        match login::by_token(directory, username, secret.expose_secret(), Timestamp::now())? {
            Login::Token(identity) => Ok(identity),
            // Verifying a password takes longer than a pull may, and is limited: that is for logins.
            Login::PerhapsPassword => Err(Refusal::PasswordAtRegistry),
        }
    }

    /// Returns the identity that a bearer token stands for, in this directory and at this time.
    ///
    /// # Errors
    ///
    /// Fails if the token's signature or time is not valid, or if its credential is not valid any more.
    pub fn identify_bearer(&self, directory: &Directory, token: &str, now: Timestamp) -> Result<Identity, BearerError> {
        login::by_bearer(directory, &self.signer, token, now)
    }

    /// Returns the credential that a bearer token of this service was issued for, even if the token has expired.
    /// For logs and messages only: it grants no access.
    pub fn credential_of_bearer(&self, token: &str) -> Option<CredentialId> {
        self.signer.credential_of(token)
    }

    /// Returns the hash under which a new password is stored. Waits for a hashing thread.
    ///
    /// # Errors
    ///
    /// Fails with [`PasswordError::Busy`] if the hash could not be computed.
    pub async fn hash_password(&self, password: SecretString) -> Result<String, PasswordError> {
        let _permit = self.hashing.acquire().await.map_err(|_| PasswordError::Busy)?;
        let hashed = spawn_blocking(move || password::hash(password.expose_secret())).await;
        hashed.ok().and_then(Result::ok).ok_or(PasswordError::Busy)
    }

    async fn identify(&self, username: &str, secret: SecretString, address: IpAddr) -> Result<Identity, IssueError> {
        let by_token = login::by_token(&self.policy.directory(), username, secret.expose_secret(), Timestamp::now());
        match by_token? {
            Login::Token(identity) => Ok(identity),
            Login::PerhapsPassword => {
                let proved = self.identify_by_password(username, secret, address).await?;
                // The check took time: the user may have been blocked, or the password changed, since it began.
                let credential = self.policy.directory().credential(proved).ok_or(Refusal::Unknown)?;
                Ok(policy::identify(&self.policy.directory(), credential, Timestamp::now())?)
            }
        }
    }

    /// Checks a user name and password, and returns the credential that they belong to. The result holds for the
    /// time at which the check began: the caller must look the credential up again in the current directory.
    ///
    /// # Errors
    ///
    /// Fails if the name or password is wrong, after too many failed logins, or if too many passwords are waiting.
    pub async fn identify_by_password(
        &self,
        username: &str,
        password: SecretString,
        address: IpAddr,
    ) -> Result<CredentialId, IssueError> {
        // No user can have an invalid name: no check is needed, and a long name is not kept as a key of the failures.
        let name: Username = username.parse().map_err(|_| Refusal::Unknown)?;
        let user = self.policy.directory().user_named(name.as_str()).cloned();
        let stored = user.and_then(|user| user.password.clone());
        let stored = stored.map(|password| (password.credential, password.hash));
        let proved = stored.as_ref().map(|(credential, _)| *credential);
        let check = CheckPassword { username: name.folded(), password, stored, address: network_of(address) };
        self.actor.send(check).await.unwrap_or(Err(PasswordError::Busy))?;
        Ok(proved.ok_or(Refusal::Unknown)?)
    }
}

impl From<PasswordError> for IssueError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Wrong => Self::Refused(Refusal::Unknown),
            PasswordError::TooMany(wait) => Self::TooManyFailures(wait),
            PasswordError::Busy => Self::Busy,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::convert::Infallible;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::domain::directory::{Record, Write};
    use crate::domain::id::UserId;
    use crate::domain::user::{Password, User};

    #[actix_rt::test]
    async fn a_user_who_is_blocked_or_gets_another_password_during_the_check_of_one_is_not_let_in() {
        let password = |byte| Password {
            credential: CredentialId::from_random([byte; 16]),
            hash: password::hash("the password").unwrap(),
        };
        let user = User {
            id: UserId(1),
            username: "alice".parse().unwrap(),
            name: "Alice".to_owned(),
            email: String::new(),
            admin: false,
            blocked: false,
            bot_of: None,
            password: Some(password(1)),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let changed = User { password: Some(password(2)), ..user.clone() };
        for changed in [User { blocked: true, ..user.clone() }, changed] {
            let data = tempfile::tempdir().unwrap();
            let policy =
                PolicyEvaluatorHandle::over(&Directory::from_records([Record::User(user.clone())]), data.path())
                    .unwrap();
            let tokens = TokenIssuerHandle::over(policy.clone()).unwrap();
            let hashing = tokens.hashing.clone().acquire_owned().await.unwrap();
            let credentials = Some(("alice".to_owned(), "the password".into()));
            let issuing = actix_rt::spawn({
                let tokens = tokens.clone();
                async move { tokens.issue(IssueToken { credentials, address: Ipv4Addr::LOCALHOST.into() }).await }
            });
            while tokens.actor.send(password_verifier::Checking).await.unwrap() == 0 {
                actix_rt::task::yield_now().await;
            }
            let change = vec![Write::Put(Record::User(changed))];
            policy.change(|_| Ok::<_, Infallible>((change, ()))).await.unwrap();
            drop(hashing);
            assert!(matches!(issuing.await.unwrap(), Err(IssueError::Refused(_))));
        }
    }
}
