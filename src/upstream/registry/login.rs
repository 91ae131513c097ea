//! Login of an account at a registry, for no image, as `docker login` sends it. The outcome distinguishes refusals
//! of the account from refusals of an image, for which registries use the same status:
//!
//! | refused by | next request | refused is |
//! |---|---|---|
//! | the realm, 401 | none: the status is about the credentials (RFC 9110, section 15.5.2) | the account |
//! | the realm, 403 (GHCR, GitLab) | the same without a scope | the account if refused, too; else the image |
//! | the registry, 401 or 403 to a new token | none: the realm accepted the account | the image |
//! | the registry, 401 to a password | `GET /v2/` with and without it | the image if it is needed; else the account |
//! | the registry, 403 to a password (ECR) | `GET /v2/` with it | the account if refused there; else the image |
//! | the storage behind a redirect, any | none: it never sees the account | neither |
//!
//! A realm that issues an anonymous token instead of a refusal cannot be distinguished from one that refuses the
//! image.

use std::borrow::Cow;
use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};

use super::super::authorization::{Renewal, offered};
use super::super::error::{RealmError, UpstreamError};
use super::super::hosts::Place;
use super::super::transport::{self, FinalResponse, Request};
use super::RegistryClient;
use super::requests::with_timeout;
use crate::domain::challenge::Challenge;
use crate::domain::origin::Account;
use crate::domain::takeover::AccountCredential;
use crate::upstream::known_account::Credentials;
use crate::upstream::response::{self, Refusal};
use crate::upstream::token_realm;

/// Result of a login that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOutcome {
    /// Upstream accepts the account.
    Accepted,
    /// Upstream requires no login, so the account was not sent.
    NotRequired,
}

impl RegistryClient {
    /// Returns the challenge in the response to `GET /v2/`; `None` if the registry requires no login.
    ///
    /// # Errors
    ///
    /// Fails if there is no response, or one that is neither a success nor a challenge.
    pub async fn challenge(&self) -> Result<Option<Challenge>, UpstreamError> {
        let greeting = async {
            let received = self.ping(None).await?;
            match (received.response.status().as_u16(), offered(&received)) {
                (401, Some(challenge)) => Ok(Some(challenge)),
                (401, None) => {
                    Err(UpstreamError::InvalidResponse { what: "a 401 without a challenge that can be met" })
                }
                _ => response::successful(received, Refusal::OfRegistry, || Cow::Borrowed(&*self.passwords))
                    .await
                    .map(|_| None),
            }
        };
        with_timeout(self.header_timeout, greeting).await
    }

    /// Logs in with the first credential of this account.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::challenge`] and [`Self::log_in`] do.
    pub(in crate::upstream) async fn try_account(&self, account: &Account) -> Result<LoginOutcome, UpstreamError> {
        self.accounts.of(account)?;
        match self.challenge().await? {
            Some(challenge) => {
                self.log_in(account, AccountCredential::First, challenge).await.map(|()| LoginOutcome::Accepted)
            }
            None => Ok(LoginOutcome::NotRequired),
        }
    }

    /// Sends a credential of this account to the realm or registry that the challenge names, for no repository.
    ///
    /// # Errors
    ///
    /// Fails if the credential is refused or not configured, or there is no response.
    pub async fn log_in(
        &self,
        account: &Account,
        credential: AccountCredential,
        challenge: Challenge,
    ) -> Result<(), UpstreamError> {
        let selected = match self.accounts.of(account)? {
            Some(known) => Some(known.select(credential).ok_or(UpstreamError::NotConfigured)?),
            None => None,
        };
        if let (Challenge::Basic, Some(selected)) = (&challenge, &selected) {
            let status = with_timeout(self.header_timeout, self.ping_status(Some(&selected.credentials))).await?;
            return match status {
                401 | 403 => Err(RealmError::Refused { status, message: None }.into()),
                _ => Ok(()),
            };
        }
        self.meet(Renewal { challenge, scopes: Vec::new() }, selected).await.map(|_token| ())
    }

    /// Returns the meaning of a refusal with this status to a request with user name and password: an error if the
    /// account is refused, `None` if only the image is.
    pub(super) async fn refused_basic(&self, credentials: &Arc<Credentials>, status: u16) -> Option<UpstreamError> {
        let refused = Some(RealmError::Refused { status, message: None }.into());
        let is_refusal = |status: &u16| matches!(status, 401 | 403);
        match self.ping_status(Some(credentials)).await {
            Ok(with) if is_refusal(&with) => refused,
            Ok(_) if status == 401 => {
                let makes_a_difference = self.ping_status(None).await.is_ok_and(|without| is_refusal(&without));
                if makes_a_difference { None } else { refused }
            }
            Err(_) if status == 401 => refused,
            Ok(_) | Err(_) => None,
        }
    }

    async fn ping_status(&self, credentials: Option<&Arc<Credentials>>) -> Result<u16, UpstreamError> {
        let authorization = credentials.map(|credentials| token_realm::basic(credentials)).transpose()?;
        let response = self.ping(authorization).await?.response;
        let status = response.status().as_u16();
        transport::discard(response).await;
        Ok(status)
    }

    /// Sends `GET /v2/`, at the root of the host, even if the base address has a path.
    async fn ping(&self, authorization: Option<HeaderValue>) -> Result<FinalResponse, UpstreamError> {
        let mut url = self.base.clone();
        url.set_path("/v2/");
        let elsewhere = &|_: &Place| None;
        let headers = HeaderMap::new();
        self.transport.send(Request { kind: "ping", method: Method::GET, url, headers, authorization, elsewhere }).await
    }
}
