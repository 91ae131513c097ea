//! The actor that issues login tokens: it verifies the credentials of a login, within limits for passwords, and signs a
//! token that names the credential. A secret that is an access token is never hashed as a password.

use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::password_verifier::{CheckPassword, Checked, PasswordError, PasswordVerifier};
use super::{IssueError, IssueToken, Issued};
use crate::actors::abort_on_panic::abort_on_panic;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::auth::jwt::Signer;
use crate::auth::login::{self, Login};
use crate::auth::login_limit::network_of;
use crate::domain::id::CredentialId;
use crate::domain::policy::{self, Identity, PublicGroups, Refusal};
use crate::domain::user::Username;
use crate::telemetry::LineLimit;

/// Actor that issues login tokens; see the module.
pub struct TokenIssuer {
    passwords: PasswordVerifier,
    policy: PolicyEvaluatorHandle,
    signer: Arc<Signer>,
    public_groups: PublicGroups,
}

/// Verifies the password of a user. The credential that it proves is the one at the time of the login: the caller
/// decides anew what it stands for.
#[derive(Message)]
#[rtype(result = "Result<CredentialId, PasswordError>")]
pub(super) struct PasswordLogin {
    pub(super) username: String,
    pub(super) password: SecretString,
    /// The client's address.
    pub(super) address: IpAddr,
}

impl TokenIssuer {
    /// Creates the issuer. The directory comes from `policy`.
    pub(super) fn new(
        passwords: PasswordVerifier,
        policy: PolicyEvaluatorHandle,
        signer: Arc<Signer>,
        public_groups: PublicGroups,
    ) -> Self {
        Self { passwords, policy, signer, public_groups }
    }

    /// Starts the verification of a password.
    fn verify(
        &mut self,
        PasswordLogin { username, password, address }: PasswordLogin,
        me: Addr<Self>,
    ) -> Result<impl Future<Output = Result<CredentialId, PasswordError>> + use<>, PasswordError> {
        // No user can have such a name: there is nothing to guess, and a text of any length must not be kept in memory.
        let name: Username = username.parse().map_err(|_| PasswordError::Wrong)?;
        let user = self.policy.directory().user_named(name.as_str()).cloned();
        let stored = user.and_then(|user| user.password.clone());
        let stored = stored.map(|password| (password.credential, password.hash));
        let proved = stored.as_ref().map(|(credential, _)| *credential);
        let check = CheckPassword { username: name.folded(), password, stored, address: network_of(address) };
        let verified = self.passwords.verify(check, me.recipient());
        Ok(async move {
            verified.await?;
            proved.ok_or(PasswordError::Wrong)
        })
    }
}

/// Signs a login token for this identity.
fn sign(signer: &Signer, identity: Identity) -> Result<Issued, IssueError> {
    let signed = signer.sign(identity.principal().to_string(), identity.credential(), Timestamp::now());
    let token = signed.map_err(|error| {
        static LINES: LineLimit<()> = LineLimit::new();
        if let Some(left_out) = LINES.admit(&()) {
            tracing::error!(%error, left_out, "a token could not be signed");
        }
        IssueError::Signing
    })?;
    Ok(Issued { token, identity })
}

impl Actor for TokenIssuer {
    type Context = Context<Self>;
}

impl Handler<IssueToken> for TokenIssuer {
    type Result = Response<Result<Issued, IssueError>>;

    fn handle(&mut self, IssueToken { credentials, address }: IssueToken, ctx: &mut Self::Context) -> Self::Result {
        let Some((username, password)) = credentials else {
            return Response::reply(match self.public_groups {
                PublicGroups::Anyone => sign(&self.signer, Identity::Nobody),
                PublicGroups::Members | PublicGroups::SignedIn => Err(IssueError::NoCredentials),
            });
        };
        let directory = self.policy.directory();
        match login::by_token(&directory, &username, password.expose_secret(), Timestamp::now()) {
            Err(refusal) => return Response::reply(Err(refusal.into())),
            Ok(Login::Token(identity)) => return Response::reply(sign(&self.signer, identity)),
            Ok(Login::PerhapsPassword) => {}
        }
        let verified = match self.verify(PasswordLogin { username, password, address }, ctx.address()) {
            Ok(verified) => verified,
            Err(refusal) => return Response::reply(Err(refusal.into())),
        };
        let (policy, signer) = (self.policy.clone(), self.signer.clone());
        Response::fut(async move {
            let proved = verified.await?;
            // During the verification, which takes a while, the user may have been blocked or got another password.
            let directory = policy.directory();
            let credential = directory.credential(proved).ok_or(Refusal::Unknown)?;
            sign(&signer, policy::identify(&directory, credential, Timestamp::now())?)
        })
    }
}

impl Handler<PasswordLogin> for TokenIssuer {
    type Result = Response<Result<CredentialId, PasswordError>>;

    fn handle(&mut self, login: PasswordLogin, ctx: &mut Self::Context) -> Self::Result {
        match self.verify(login, ctx.address()) {
            Ok(verified) => Response::fut(verified),
            Err(wrong) => Response::reply(Err(wrong)),
        }
    }
}

impl Handler<Checked> for TokenIssuer {
    type Result = ();

    fn handle(&mut self, checked: Checked, _: &mut Self::Context) {
        self.passwords.checked(checked);
    }
}

impl Drop for TokenIssuer {
    fn drop(&mut self) {
        abort_on_panic("TokenIssuer");
    }
}

/// Requests the number of passwords that are being checked or wait.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "usize")]
pub(super) struct Checking;

#[cfg(test)]
impl Handler<Checking> for TokenIssuer {
    type Result = usize;

    fn handle(&mut self, _: Checking, _: &mut Self::Context) -> usize {
        self.passwords.checking()
    }
}
