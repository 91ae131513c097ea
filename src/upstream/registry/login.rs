//! Whether a registry accepts an account, whatever the image: what `docker login` sends.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};

use super::super::answer::{self, Refusal};
use super::super::authorization::{Renewal, offered};
use super::super::error::{RealmError, UpstreamError};
use super::super::hosts::Place;
use super::super::realm::{self, Credentials};
use super::super::transport::{self, Answer, Request};
use super::{Registry, in_time};
use crate::domain::challenge::Challenge;
use crate::domain::origin::Account;

impl Registry {
    /// The challenge that `GET /v2/` brings; `None` where the registry requires no login.
    ///
    /// # Errors
    ///
    /// Fails where there is no response, or one that is neither a success nor a challenge.
    pub(in crate::upstream) async fn challenge(&self) -> Result<Option<Challenge>, UpstreamError> {
        let greeting = async {
            let answer = self.ping(None).await?;
            match (answer.response.status().as_u16(), offered(&answer)) {
                (401, Some(challenge)) => Ok(Some(challenge)),
                (401, None) => {
                    Err(UpstreamError::InvalidResponse { what: "a 401 without a challenge that can be met" })
                }
                _ => answer::successful(answer, Refusal::OfRegistry, &self.passwords).await.map(|_| None),
            }
        };
        in_time(self.header_timeout, greeting).await
    }

    /// Shows this account to whoever the challenge names, for no repository.
    ///
    /// # Errors
    ///
    /// Fails where the account is refused, or nobody responds.
    pub(in crate::upstream) async fn log_in(
        &self,
        account: &Account,
        challenge: Challenge,
    ) -> Result<(), UpstreamError> {
        let credentials = self.credentials(account)?;
        if let (Challenge::Basic, Some(credentials)) = (&challenge, &credentials) {
            let status = in_time(self.header_timeout, self.ping_status(Some(credentials))).await?;
            return match status {
                401 | 403 => Err(RealmError::Refused { status }.into()),
                _ => Ok(()),
            };
        }
        self.meet(Renewal { challenge, scopes: Vec::new() }, credentials).await.map(|_token| ())
    }

    async fn ping_status(&self, credentials: Option<&Arc<Credentials>>) -> Result<u16, UpstreamError> {
        let authorization = credentials.map(|credentials| realm::basic(credentials)).transpose()?;
        let response = self.ping(authorization).await?.response;
        let status = response.status().as_u16();
        transport::discard(response).await;
        Ok(status)
    }

    /// `GET /v2/`, at the root of the host wherever repositories are.
    async fn ping(&self, authorization: Option<HeaderValue>) -> Result<Answer, UpstreamError> {
        let mut url = self.base.clone();
        url.set_path("/v2/");
        let elsewhere = &|_: &Place| None;
        let headers = HeaderMap::new();
        self.transport.send(Request { kind: "ping", method: Method::GET, url, headers, authorization, elsewhere }).await
    }
}
