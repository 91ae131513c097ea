//! Authentication of the fake registry: challenges, tokens, and the rights of tokens.

use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde_json::json;

use crate::accounts::{Account, Token};
use crate::registry::State;
use crate::reply::Reply;
use crate::requests::{Authorization, Kind, Listener, Request};
use crate::settings::Auth;

const SERVICE: &str = "registry.fake";

impl State {
    /// Returns the 401 for a request without a valid token for its repository.
    pub(super) fn challenge(&self, request: &Request) -> Option<Reply> {
        let needs_token = match self.settings.auth {
            Auth::Required => true,
            Auth::Offered => request.kind == Kind::Ping,
            Auth::None => false,
        };
        (needs_token && self.valid_token(request).is_none()).then(|| self.unauthorized(request, ""))
    }

    pub(super) fn valid_token(&self, request: &Request) -> Option<&Token> {
        let Some(Authorization::Bearer(text)) = &request.authorization else {
            return None;
        };
        let token = self.tokens.get(text).filter(|token| token.until > Instant::now())?;
        let covers = |repository: &String| token.asked.contains(repository);
        request.repository.as_ref().is_none_or(covers).then_some(token)
    }

    pub(super) fn unauthorized(&self, request: &Request, error: &str) -> Reply {
        Reply::error(401, "UNAUTHORIZED", "authentication required")
            .with("WWW-Authenticate", self.challenge_text(request) + error)
    }

    pub(super) fn challenge_text(&self, request: &Request) -> String {
        let own = format!("{}/token", self.url(Listener::Realm, &self.settings.host));
        let realm = self.settings.realm.as_ref().unwrap_or(&own);
        let own_scope = || request.repository.as_ref().map(|repository| format!("repository:{repository}:pull"));
        let scope = self.settings.challenge_scope.clone().or_else(own_scope);
        let scope = scope.map(|scope| format!(r#",scope="{scope}""#)).unwrap_or_default();
        format!(r#"Bearer realm="{realm}",service="{SERVICE}"{scope}"#)
    }

    /// Returns a token for the requested scopes, restricted to what this account may pull.
    pub(super) fn token(&mut self, request: &Request) -> Reply {
        if request.kind != Kind::Token {
            return Reply::error(404, "NOT_FOUND", "only GET /token");
        }
        let account = match self.account(request) {
            Ok(account) => account,
            Err(details) => return Reply::json(401, &json!({"details": details})),
        };
        if request.parameter("service") != Some(SERVICE) {
            return Reply::json(400, &json!({"details": "unknown service"}));
        }
        let scopes = request.query.iter().filter(|(name, _)| name == "scope").count();
        if self.settings.refuse_scopes && scopes > 0 {
            return Reply::error(403, "DENIED", "access forbidden");
        }
        let asked = asked_repositories(request);
        let known = asked.iter().filter(|name| self.repositories.contains_key(*name)).count();
        if self.settings.strict_realm && known < scopes.max(1) {
            return Reply::error(403, "DENIED", "requested access to the resource is denied");
        }
        let granted = asked.iter().filter(|name| self.may_pull(account, name)).cloned().collect();
        let lifetime = self.settings.token_lifetime;
        let number = format!("{:?} {}", self.addresses, self.tokens.len());
        let text = format!("fake-registry-token-{}", fingerprint(&number));
        let token = Token { asked, granted, until: Instant::now() + lifetime };
        self.tokens.insert(text.clone(), token);
        let body = json!({"token": text, "access_token": text, "expires_in": lifetime.as_secs(),
            "issued_at": Timestamp::now().to_string()});
        Reply::json(200, &body)
    }

    /// Returns the account of the credentials; `None` where the request has none.
    fn account(&self, request: &Request) -> Result<Option<&Account>, &'static str> {
        let (username, password) = match &request.authorization {
            None => return Ok(None),
            Some(Authorization::Basic { username, password }) => (username, password),
            Some(_) => return Err("only Basic is understood"),
        };
        let is_theirs = |known: &&Account| known.username == *username && known.password == *password;
        let account = self.accounts.iter().find(is_theirs);
        account.map(Some).ok_or("incorrect username or password")
    }

    fn may_pull(&self, account: Option<&Account>, name: &String) -> bool {
        let is_private = self.accounts.iter().any(|other| other.repositories.contains(name));
        let is_mine = account.is_some_and(|account| account.repositories.contains(name));
        self.repositories.contains_key(name) && (is_mine || !is_private)
    }
}

fn asked_repositories(request: &Request) -> Vec<String> {
    request
        .query
        .iter()
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, scopes)| scopes.split(' '))
        .filter_map(|scope| {
            let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
            actions.split(',').any(|action| action == "pull").then(|| name.to_owned())
        })
        .collect()
}

/// Returns 32 hexadecimal digits that look random and are the same for the same text.
pub(super) fn fingerprint(text: &str) -> String {
    hex::encode(&digest(&SHA256, format!("fake registry {text}").as_bytes()).as_ref()[..16])
}
