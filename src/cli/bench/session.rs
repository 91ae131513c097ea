//! Authentication of the clients for one repository of a server: a challenge is met once for all clients, and
//! again when a token has expired. Credentials for a server with TLS are never sent unencrypted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::fault::{Fault, Part, PullError};
use super::wire::{Authorization, StreamedResponse, Wire};
use crate::cli::credentials::Login;
use crate::domain::challenge::{self, BearerChallenge, Challenge};

/// A repository of a server, with the authorization that its clients share.
pub(super) struct Session {
    base: Url,
    repository: String,
    login: Option<Login>,
    held: ArcSwapOption<Authorization>,
    /// Held while one client renews the authorization for all.
    renewing: Mutex<()>,
    tokens: AtomicU64,
}

#[derive(Deserialize)]
struct TokenResponse {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

impl Session {
    /// Creates a session without sending a request.
    pub(super) fn new(base: Url, repository: String, login: Option<Login>) -> Self {
        let (held, renewing, tokens) = (ArcSwapOption::empty(), Mutex::new(()), AtomicU64::new(0));
        Self { base, repository, login, held, renewing, tokens }
    }

    /// Returns the repository, as the server names it.
    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the number of token requests.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Requests `path` below the repository. After a 401, the request is repeated once with a new authorization. Fails
    /// unless the status is 200.
    pub(super) async fn get(
        &self,
        wire: &Wire,
        part: Part,
        path: &str,
        accept: &str,
    ) -> Result<StreamedResponse, PullError> {
        let url = self.at(path);
        let held = self.held.load_full();
        let response = wire.get(url.clone(), accept, held.as_deref()).await.map_err(part.error())?;
        let challenge = if response.status() == 401 { challenge::choose(response.challenges()) } else { None };
        let response = match challenge {
            None => response,
            Some(challenge) => {
                drop(response);
                let renewed = self.renew(wire, &challenge, held).await.map_err(Part::Token.error())?;
                wire.get(url, accept, Some(&renewed)).await.map_err(part.error())?
            }
        };
        if response.status() == 200 { Ok(response) } else { Err(part.error()(response.refusal().await)) }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{path}", self.repository));
        url
    }

    /// Returns an authorization for the challenge: the one that another client has obtained since
    /// `refused` was in use, or a new one.
    async fn renew(
        &self,
        wire: &Wire,
        challenge: &Challenge,
        refused: Option<Arc<Authorization>>,
    ) -> Result<Arc<Authorization>, Fault> {
        let _guard = self.renewing.lock().await;
        if let Some(held) = self.held.load_full()
            && !refused.is_some_and(|refused| Arc::ptr_eq(&held, &refused))
        {
            return Ok(held);
        }
        let fresh = match challenge {
            Challenge::Basic => self.login.as_ref().and_then(Authorization::basic),
            Challenge::Bearer(challenge) => Some(self.token(wire, challenge).await?),
        };
        let fresh =
            fresh.ok_or_else(|| Fault::Unusable("the server requires a user name: give --username".to_owned()))?;
        let fresh = Arc::new(fresh);
        self.held.store(Some(fresh.clone()));
        Ok(fresh)
    }

    async fn token(&self, wire: &Wire, challenge: &BearerChallenge) -> Result<Authorization, Fault> {
        let url = self.realm(challenge)?;
        self.tokens.fetch_add(1, Ordering::Relaxed);
        let basic = self.login.as_ref().and_then(Authorization::basic);
        let mut response = wire.get(url, "application/json", basic.as_ref()).await?;
        if response.status() != 200 {
            return Err(response.refusal().await);
        }
        let body = serde_json::from_slice::<TokenResponse>(&response.text().await?).ok();
        let token = body.and_then(|body| body.token.or(body.access_token));
        let token = token.as_ref().and_then(Authorization::bearer);
        token.ok_or_else(|| Fault::Unusable("the response contains no token".to_owned()))
    }

    fn realm(&self, challenge: &BearerChallenge) -> Result<Url, Fault> {
        let realm = challenge.token_url(&[format!("repository:{}:pull", self.repository)]);
        let realm = realm.ok_or_else(|| Fault::Unusable("the challenge has no valid realm".to_owned()))?;
        if self.login.is_some() && self.base.scheme() == "https" && realm.scheme() != "https" {
            let place = realm.origin().ascii_serialization();
            return Err(Fault::Unusable(format!("the secret would be sent to {place} unencrypted")));
        }
        Ok(realm)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn session(base: &str, login: Option<Login>) -> Session {
        Session::new(base.parse().unwrap(), "team/app".to_owned(), login)
    }

    fn challenge(realm: &str) -> BearerChallenge {
        BearerChallenge { realm: realm.to_owned(), service: None, scope: None }
    }

    #[test]
    fn a_secret_does_not_leave_tls() {
        let login = || Some(("alice".to_owned(), SecretString::from("secret")));
        let plain = challenge("http://auth.example.com/token");
        assert!(session("https://a.example.com", login()).realm(&plain).is_err());
        assert!(session("https://a.example.com", None).realm(&plain).is_ok(), "there is no secret");
        assert!(session("http://a.example.com", login()).realm(&plain).is_ok(), "there is no TLS to leave");
    }

    #[test]
    fn a_token_is_for_pulling_the_repository() {
        let realm = session("http://a.example.com", None).realm(&challenge("https://auth.example.com/token")).unwrap();
        assert_eq!(realm.as_str(), "https://auth.example.com/token?scope=repository%3Ateam%2Fapp%3Apull");
    }

    #[test]
    fn content_stands_below_the_repository() {
        let url = session("http://a.example.com", None).at("manifests/1");
        assert_eq!(url.as_str(), "http://a.example.com/v2/team/app/manifests/1");
    }
}
