//! Handle of the token issuer. At each request it verifies, without a message, what a bearer token or an access token
//! stands for in the current directory.

use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::issuer::{PasswordLogin, TokenIssuer};
use super::password_verifier::{PasswordError, PasswordOptions, PasswordVerifier};
use super::{IssueError, IssueToken, Issued};
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::auth::jwt::Signer;
use crate::auth::login::{self, BearerError, Login};
use crate::auth::password;
use crate::domain::directory::Directory;
use crate::domain::id::CredentialId;
use crate::domain::policy::{Identity, PublicGroups, Refusal};
use crate::store::fleet::FailedLogins;

/// Handle that issues and verifies bearer tokens.
#[derive(Clone)]
pub struct TokenIssuerHandle {
    pub(super) actor: Addr<TokenIssuer>,
    signer: Arc<Signer>,
    /// Permits for hashing, shared with the actor. No admission limit: the verifier has the queue before it, whose
    /// gauge and refusals count different passwords rather than requests. A new password waits as long as it takes.
    pub(super) hashing: Arc<Semaphore>,
}

impl TokenIssuerHandle {
    /// Starts the actor on this arbiter. Replicas share their failed logins.
    pub fn start(
        (options, shared): (PasswordOptions, Option<FailedLogins>),
        policy: PolicyEvaluatorHandle,
        signer: Signer,
        public_groups: PublicGroups,
        arbiter: &ArbiterHandle,
    ) -> Self {
        let hashing = Arc::new(Semaphore::new(options.password_threads.get()));
        let threads = hashing.clone();
        let signer = Arc::new(signer);
        let issuer =
            TokenIssuer::new(PasswordVerifier::new(options, threads, shared), policy, signer.clone(), public_groups);
        Self { actor: TokenIssuer::start_in_arbiter(arbiter, |_| issuer), signer, hashing }
    }

    /// Starts an actor on this thread that hashes one password at a time and has no effective limits.
    #[cfg(test)]
    pub(crate) fn over(policy: PolicyEvaluatorHandle) -> Result<Self, crate::auth::jwt::KeyError> {
        use std::num::{NonZeroU32, NonZeroUsize};
        use std::time::Duration;

        let options = PasswordOptions {
            password_threads: NonZeroUsize::MIN,
            password_queue: 1000,
            password_queue_per_address: NonZeroUsize::MAX,
            password_remembered: Duration::from_secs(300),
            max_failed_logins: NonZeroU32::MAX,
            max_failed_logins_per_address: NonZeroU32::MAX,
            login_window: Duration::from_secs(300),
        };
        let signer = Signer::new(&crate::auth::jwt::KeySet::generate(), "dependency_proxy", 300)?;
        Ok(Self::start((options, None), policy, signer, PublicGroups::Members, &Arbiter::current()))
    }

    /// Issues a login token for these credentials.
    ///
    /// # Errors
    ///
    /// Fails if the credentials are refused, if there were too many failures, or if too many passwords wait.
    pub async fn issue(&self, request: IssueToken) -> Result<Issued, IssueError> {
        self.actor.send(request).await.unwrap_or(Err(IssueError::Busy))
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
            // Verifying a password takes longer than a pull may, and is limited: passwords are for logins only.
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
    ) -> Result<CredentialId, PasswordError> {
        let login = PasswordLogin { username: username.to_owned(), password, address };
        self.actor.send(login).await.unwrap_or(Err(PasswordError::Busy))
    }
}
