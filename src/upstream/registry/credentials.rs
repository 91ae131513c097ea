//! Requests with the credentials of an account: a challenge is met with a token, and a credential that is refused is
//! followed by the other one of the account.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use super::RegistryClient;
use super::content_request::ContentRequest;
use crate::domain::challenge::Challenge;
use crate::domain::origin::Origin;
use crate::domain::takeover::AccountCredential;
use crate::upstream::authorization::{Authorization, Renewal};
use crate::upstream::error::UpstreamError;
use crate::upstream::hosts::Place;
use crate::upstream::known_account::Selected;
use crate::upstream::token_realm::{self, TokenRequest};
use crate::upstream::tokens::{Token, TokenKey};
use crate::upstream::transport::{self, FinalResponse};

/// Time for which user name and password are sent to a registry without a challenge, after it requested them once.
const BASIC_LIFETIME: Duration = Duration::from_secs(60 * 60);

impl RegistryClient {
    /// Sends a request with the credential of the account that works, and with the other one if that is refused.
    pub(super) async fn send_authorized(
        &self,
        origin: &Origin,
        wanted: &ContentRequest<'_>,
    ) -> Result<FinalResponse, UpstreamError> {
        let Some(account) = self.accounts.of(&origin.account)? else {
            return self.send_as(None, origin, wanted).await;
        };
        let mut refused = UpstreamError::NotConfigured;
        for selected in account.order(Instant::now()) {
            match self.send_as(Some(&selected), origin, wanted).await {
                Err(error) if error.refuses_account() => refused = error,
                outcome => return outcome,
            }
        }
        // An account of a group may have been removed while it was refused.
        if self.accounts.of(&origin.account).is_ok() {
            self.accounts_refused.refused(&account);
        }
        Err(refused)
    }

    /// Sends a request with this credential; `None`: without an account.
    async fn send_as(
        &self,
        selected: Option<&Selected>,
        origin: &Origin,
        wanted: &ContentRequest<'_>,
    ) -> Result<FinalResponse, UpstreamError> {
        let credential = selected.map_or(AccountCredential::First, |selected| selected.credential);
        let mut own = Authorization::new(TokenKey::of(origin, credential), &self.tokens);
        // Authorizations at the registries to which redirects have led during this request.
        let mut others: HashMap<Place, Authorization> = HashMap::new();
        loop {
            let elsewhere = |place: &Place| {
                let met = others.get(place).map(|authorization| authorization.token.clone());
                let token = met.unwrap_or_else(|| self.tokens.ready(&TokenKey::elsewhere(origin, place.clone())));
                token.map(|token| token.header())
            };
            let request = self.request_for(origin, wanted, own.token.as_deref(), &elsewhere)?;
            let received = self.transport.send(request).await?;
            // The storage behind a redirect has limits of its own.
            if let Some(budgets) = self.budgets.as_ref().filter(|_| !received.redirected) {
                budgets.learn(&origin.account, received.response.headers());
            }
            let authorization = if received.redirected {
                let place = Place::of(&received.url);
                let key = TokenKey::elsewhere(origin, place.clone());
                others.entry(place).or_insert_with(|| Authorization::new(key, &self.tokens))
            } else {
                &mut own
            };
            let Some(renewal) = authorization.renewal(&received, origin) else {
                return self.final_response(authorization, received, selected).await;
            };
            // A registry to which upstream redirects never sees the account.
            let shown = selected.filter(|_| !received.redirected).cloned();
            transport::discard(received.response).await;
            let fetch = self.meet(renewal, shown);
            authorization.token =
                Some(self.tokens.fresh(authorization.key.clone(), authorization.token.as_ref(), fetch).await?);
        }
    }

    /// Returns the final response. A refused token is removed, so that the next request fetches a new one: upstream
    /// may decide differently then.
    async fn final_response(
        &self,
        authorization: &Authorization,
        received: FinalResponse,
        selected: Option<&Selected>,
    ) -> Result<FinalResponse, UpstreamError> {
        let status = received.response.status().as_u16();
        let Some(token) = authorization.token.as_ref().filter(|_| received.authorization.is_some()) else {
            return Ok(received);
        };
        let is_refused = matches!(status, 401 | 403);
        if is_refused {
            self.tokens.forget(&authorization.key, token);
        }
        let Some(selected) = selected.filter(|_| token.challenge == Challenge::Basic && !received.redirected) else {
            return Ok(received);
        };
        let refusal = if is_refused { self.refused_basic(&selected.credentials, status).await } else { None };
        if status < 500 {
            self.accounts_refused.learn(selected, refusal.as_ref());
        }
        refusal.map_or(Ok(received), Err)
    }

    /// Returns a future that obtains a token for the challenge. It does not borrow from the request, so that it can
    /// outlive it.
    pub(super) fn meet(
        &self,
        renewal: Renewal,
        selected: Option<Selected>,
    ) -> impl Future<Output = Result<Token, UpstreamError>> + Send + 'static {
        let (transport, accounts_refused) = (self.transport.clone(), self.accounts_refused.clone());
        let limit = self.header_timeout / 2;
        async move {
            let Renewal { challenge, scopes } = renewal;
            match (challenge, selected) {
                (Challenge::Basic, None) => Err(UpstreamError::Denied { message: None }),
                (Challenge::Basic, Some(selected)) => {
                    Ok(Token::new(token_realm::basic(&selected.credentials)?, BASIC_LIFETIME, Challenge::Basic))
                }
                (Challenge::Bearer(challenge), selected) => {
                    let host = token_realm::host(&challenge);
                    let credentials = selected.as_ref().map(|selected| selected.credentials.clone());
                    let token = token_realm::fetch_any(&transport, TokenRequest { challenge, scopes, credentials });
                    let token = tokio::time::timeout(limit, token).await;
                    let token = token.unwrap_or_else(|_elapsed| Err(token_realm::timed_out(host)));
                    if let Some(selected) = selected {
                        accounts_refused.learn(&selected, token.as_ref().err());
                    }
                    token
                }
            }
        }
    }
}
