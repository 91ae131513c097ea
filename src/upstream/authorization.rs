//! Handling of challenges during one request: selects the token for each registry, and decides when to fetch
//! another one.
//!
//! A refused stored token may have ended before its advertised lifetime; therefore a refusal leads to one new token
//! and one more attempt. The refusal of a new token is upstream's decision, unless its challenge names a scope that
//! was not requested. A registry to which upstream redirects (such as one behind a vanity domain) gets its own
//! anonymous token, which is sent only there. It never sees the account.

use std::sync::Arc;

use reqwest::header::WWW_AUTHENTICATE;

use super::tokens::{Token, TokenKey, Tokens};
use super::transport::FinalResponse;
use crate::domain::challenge::{self, Challenge};
use crate::domain::image_path::split_at_word;
use crate::domain::origin::Origin;

/// Maximum number of tokens fetched during one request: one in place of a refused token, and one for a scope that
/// the challenge adds.
const MAX_RENEWALS: usize = 2;

/// Authorization of one request at one registry.
pub(super) struct Authorization {
    pub(super) key: TokenKey,
    pub(super) token: Option<Arc<Token>>,
    renewals: usize,
    scopes: Vec<String>,
}

/// Requirements of a new token.
pub(super) struct Renewal {
    pub(super) challenge: Challenge,
    pub(super) scopes: Vec<String>,
}

impl Authorization {
    /// Creates an authorization with the stored token, if there is one.
    pub(super) fn new(key: TokenKey, tokens: &Tokens) -> Self {
        Self { token: tokens.ready(&key), key, renewals: 0, scopes: Vec::new() }
    }

    /// Returns the requirements of a new token, if another attempt with one is worthwhile; `None` if the response
    /// is final.
    pub(super) fn renewal(&mut self, received: &FinalResponse, origin: &Origin) -> Option<Renewal> {
        let status = received.response.status().as_u16();
        let was_authorized = received.authorization.is_some();
        // A 403 to a request without a token is not a challenge. A 403 to one with a token may mean that the token
        // has expired (ECR).
        if !(status == 401 || (status == 403 && was_authorized)) || self.renewals >= MAX_RENEWALS {
            return None;
        }
        let offered = offered(received);
        if self.renewals == 0 {
            self.scopes.push(scope_of(received, origin));
        } else {
            self.scopes.push(self.scope_to_add(offered.as_ref())?);
        }
        let stored = || self.token.as_ref().filter(|_| was_authorized).map(|token| token.challenge.clone());
        let challenge = offered.or_else(stored)?;
        if challenge == Challenge::Basic && (was_authorized || received.redirected) {
            return None;
        }
        self.renewals += 1;
        Some(Renewal { challenge, scopes: self.scopes.clone() })
    }

    /// Returns a scope that the challenge names and that was not requested: some registries name the repository
    /// differently than the path does.
    fn scope_to_add(&self, offered: Option<&Challenge>) -> Option<String> {
        let Some(Challenge::Bearer(bearer)) = offered else { return None };
        bearer.scope.clone().filter(|scope| !scope.is_empty() && !self.scopes.contains(scope))
    }
}

/// Returns the challenge of a response that this client supports.
pub(super) fn offered(received: &FinalResponse) -> Option<Challenge> {
    let fields = received.response.headers().get_all(WWW_AUTHENTICATE).iter();
    challenge::choose(fields.filter_map(|value| value.to_str().ok()))
}

/// Returns the scope to pull from the repository, named as in the path at the challenging registry (Distribution's
/// token specification, "Requested scopes").
fn scope_of(received: &FinalResponse, origin: &Origin) -> String {
    let path = received.url.path().strip_prefix("/v2/").unwrap_or_default();
    let name = path.strip_suffix("/tags/list").or_else(|| split_at_word(path).map(|(name, ..)| name));
    format!("repository:{}:pull", name.unwrap_or(origin.repository.as_str()))
}
