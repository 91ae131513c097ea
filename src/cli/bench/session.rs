//! Who asks a server for one repository: meets its challenge once for all clients, and again when it is refused, as tokens
//! are that expire. Shows the credentials to nobody in the clear where the server itself has TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::fault::{Fault, Part, Wrong};
use super::wire::{Answer, Authorization, Wire};
use crate::cli::credentials::Login;
use crate::domain::challenge::{self, BearerChallenge, Challenge};

/// A repository of a server, and what opens it.
pub(super) struct Session {
    base: Url,
    repository: String,
    login: Option<Login>,
    held: ArcSwapOption<Authorization>,
    renewing: Mutex<()>,
    tokens: AtomicU64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

impl Session {
    /// Nothing is asked yet.
    pub(super) fn new(base: Url, repository: String, login: Option<Login>) -> Self {
        let (held, renewing, tokens) = (ArcSwapOption::empty(), Mutex::new(()), AtomicU64::new(0));
        Self { base, repository, login, held, renewing, tokens }
    }

    /// The repository, as the server calls it.
    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// How many tokens were asked for.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// The answer to what stands at `path` below the repository; a 401 is met once.
    pub(super) async fn get(&self, wire: &Wire, part: Part, path: &str, accept: &str) -> Result<Answer, Wrong> {
        let url = self.at(path);
        let held = self.held.load_full();
        let answer = wire.get(url.clone(), accept, held.as_deref()).await.map_err(part.wrong())?;
        let challenge = if answer.status() == 401 { challenge::choose(answer.challenges()) } else { None };
        let answer = match challenge {
            None => answer,
            Some(challenge) => {
                drop(answer);
                let renewed = self.renew(wire, &challenge, held).await.map_err(Part::Token.wrong())?;
                wire.get(url, accept, Some(&renewed)).await.map_err(part.wrong())?
            }
        };
        if answer.status() == 200 { Ok(answer) } else { Err(part.wrong()(answer.refusal().await)) }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{path}", self.repository));
        url
    }

    /// What meets the challenge, unless another client has it already since `refused` was.
    async fn renew(
        &self,
        wire: &Wire,
        challenge: &Challenge,
        refused: Option<Arc<Authorization>>,
    ) -> Result<Arc<Authorization>, Fault> {
        let _alone = self.renewing.lock().await;
        if let Some(held) = self.held.load_full()
            && !refused.is_some_and(|refused| Arc::ptr_eq(&held, &refused))
        {
            return Ok(held);
        }
        let fresh = match challenge {
            Challenge::Basic => self.login.as_ref().and_then(Authorization::basic),
            Challenge::Bearer(challenge) => Some(self.token(wire, challenge).await?),
        };
        let fresh = fresh.ok_or_else(|| Fault::Unusable("it asks for a user name: give --username".to_owned()))?;
        let fresh = Arc::new(fresh);
        self.held.store(Some(fresh.clone()));
        Ok(fresh)
    }

    async fn token(&self, wire: &Wire, challenge: &BearerChallenge) -> Result<Authorization, Fault> {
        let url = self.realm(challenge)?;
        self.tokens.fetch_add(1, Ordering::Relaxed);
        let basic = self.login.as_ref().and_then(Authorization::basic);
        let mut answer = wire.get(url, "application/json", basic.as_ref()).await?;
        if answer.status() != 200 {
            return Err(answer.refusal().await);
        }
        let body = serde_json::from_slice::<TokenAnswer>(&answer.text().await?).ok();
        let token = body.and_then(|body| body.token.or(body.access_token));
        let token = token.as_ref().and_then(Authorization::bearer);
        token.ok_or_else(|| Fault::Unusable("the answer holds no token".to_owned()))
    }

    fn realm(&self, challenge: &BearerChallenge) -> Result<Url, Fault> {
        let realm = challenge.token_url(&[format!("repository:{}:pull", self.repository)]);
        let realm = realm.ok_or_else(|| Fault::Unusable("the challenge names no place for tokens".to_owned()))?;
        if self.login.is_some() && self.base.scheme() == "https" && realm.scheme() != "https" {
            let place = realm.origin().ascii_serialization();
            return Err(Fault::Unusable(format!("{place} would get the secret in the clear")));
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
