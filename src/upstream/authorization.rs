//! Meets challenges while one request is made: which token is shown to which registry, and when another one is fetched.
//!
//! A refusal of a stored token may be the token's end, whatever its advertised lifetime, so that it leads to one new token and one
//! more try; the refusal of a new token is upstream's decision, unless its challenge names a scope that was not requested.
//! The registry that upstream redirects to (an own domain in front of another registry) gets an anonymous token of its own, which
//! is shown to that place only; the account never is.

use std::sync::Arc;

use reqwest::header::WWW_AUTHENTICATE;

use super::tokens::{Token, TokenKey, Tokens};
use super::transport::Answer;
use crate::domain::challenge::{self, Challenge};
use crate::domain::image_path::split_at_word;
use crate::domain::origin::Origin;

/// Tokens fetched while one request is made: one in place of a refused one, and one more for a scope that the challenge adds.
const MAX_RENEWALS: usize = 2;

/// What one request shows to one registry.
pub(super) struct Login {
    pub(super) key: TokenKey,
    pub(super) token: Option<Arc<Token>>,
    renewals: usize,
    scopes: Vec<String>,
}

/// What a new token has to meet.
pub(super) struct Renewal {
    pub(super) challenge: Challenge,
    pub(super) scopes: Vec<String>,
}

impl Login {
    /// With the stored token, if there is one.
    pub(super) fn new(key: TokenKey, tokens: &Tokens) -> Self {
        Self { token: tokens.ready(&key), key, renewals: 0, scopes: Vec::new() }
    }

    /// What has to be met before another try is worth its request; nothing where this response stands.
    pub(super) fn renewal(&mut self, answer: &Answer, origin: &Origin) -> Option<Renewal> {
        let status = answer.response.status().as_u16();
        let shown = answer.shown.is_some();
        // A 403 without a token is no challenge; one with a token may mean that the token has ended (ECR).
        if !(status == 401 || (status == 403 && shown)) || self.renewals >= MAX_RENEWALS {
            return None;
        }
        let offered = offered(answer);
        if self.renewals == 0 {
            self.scopes.push(scope_of(answer, origin));
        } else {
            self.scopes.push(self.scope_to_add(offered.as_ref())?);
        }
        let stored = || self.token.as_ref().filter(|_| shown).map(|token| token.challenge.clone());
        let challenge = offered.or_else(stored)?;
        if challenge == Challenge::Basic && (shown || answer.redirected) {
            return None;
        }
        self.renewals += 1;
        Some(Renewal { challenge, scopes: self.scopes.clone() })
    }

    /// A scope that a challenge to a new token names and that was not requested: some registries know the repository by another
    /// name than the path.
    fn scope_to_add(&self, offered: Option<&Challenge>) -> Option<String> {
        let Some(Challenge::Bearer(bearer)) = offered else { return None };
        bearer.scope.clone().filter(|scope| !scope.is_empty() && !self.scopes.contains(scope))
    }
}

/// The challenge of a response that can be met.
pub(super) fn offered(answer: &Answer) -> Option<Challenge> {
    let fields = answer.response.headers().get_all(WWW_AUTHENTICATE).iter();
    challenge::choose(fields.filter_map(|value| value.to_str().ok()))
}

/// The repository as the registry that challenges names it in its own path, to be pulled from (distribution token
/// specification, "Requested scopes").
fn scope_of(answer: &Answer, origin: &Origin) -> String {
    let path = answer.url.path().strip_prefix("/v2/").unwrap_or_default();
    let name = path.strip_suffix("/tags/list").or_else(|| split_at_word(path).map(|(name, ..)| name));
    format!("repository:{}:pull", name.unwrap_or(origin.repository.as_str()))
}
