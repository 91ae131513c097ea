//! Gets a token from the realm that a challenge names (distribution token specification). Sends the configured credentials
//! only where they may go, and logs nothing of what it sends or gets.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::connection_error::innermost;
use super::content::{collect, with_idle_timeout};
use super::error::{ConnectionFailure, RealmError, UpstreamError, is_transient};
use super::hosts::Place;
use super::tokens::Token;
use super::transport::{Answer, Request, Transport};
use super::{failure_body, rate_limit};
use crate::domain::challenge::{BearerChallenge, Challenge};

const MAX_TOKEN_RESPONSE_BYTES: usize = 64 << 10;
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// User name and password of an account.
pub(super) type Credentials = (String, SecretString);

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
    expires_in: Option<f64>,
    issued_at: Option<Timestamp>,
}

/// What a token is requested with.
pub(super) struct TokenRequest {
    /// What the registry wants to see.
    pub(super) challenge: BearerChallenge,
    /// What the token has to allow; each is a parameter of its own, as other clients send them.
    pub(super) scopes: Vec<String>,
    /// Whose token it is; nobody's without.
    pub(super) credentials: Option<Arc<Credentials>>,
}

/// A token that meets the challenge. Some realms know the repository by no other name than the challenge's scope: where
/// the caller's are refused, that one is tried. Where an account gets a 403 for a scope, a request without one tells
/// whether the account is refused or the image.
pub(super) async fn fetch_any(transport: &Transport, wanted: TokenRequest) -> Result<Token, UpstreamError> {
    let (challenge, credentials) = (wanted.challenge.clone(), wanted.credentials.clone());
    let other = challenge.scope.clone().filter(|scope| !scope.is_empty() && !wanted.scopes.contains(scope));
    let for_an_image = !wanted.scopes.is_empty();
    match (fetch(transport, wanted).await, other) {
        (Err(UpstreamError::TokenRealm(RealmError::Refused { status: 403 })), _) if for_an_image => {
            let login = TokenRequest { challenge, scopes: Vec::new(), credentials };
            Err(refused_account_or_image(fetch(transport, login).await))
        }
        (Err(UpstreamError::TokenRealm(RealmError::Denied { .. })), Some(scope)) => {
            fetch(transport, TokenRequest { challenge, scopes: vec![scope], credentials }).await
        }
        (token, _) => token,
    }
}

/// The meaning of a 403 for a scope, by the outcome of a login without one.
fn refused_account_or_image(login: Result<Token, UpstreamError>) -> UpstreamError {
    match login {
        Ok(_accepted) => UpstreamError::Denied { message: None },
        // It gives no token without a scope, so that nothing is proven: the narrower meaning holds.
        Err(UpstreamError::TokenRealm(RealmError::Failed(said))) if !is_transient(said.status) => {
            UpstreamError::Denied { message: None }
        }
        Err(error) => error,
    }
}

/// The host of the realm that a challenge names.
pub(super) fn host(challenge: &BearerChallenge) -> String {
    let url = Url::parse(&challenge.realm).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// A token that meets the challenge.
async fn fetch(transport: &Transport, wanted: TokenRequest) -> Result<Token, UpstreamError> {
    let TokenRequest { challenge, scopes, credentials } = wanted;
    let url = challenge.token_url(&scopes).ok_or(RealmError::InvalidResponse { what: "the realm is no address" })?;
    if credentials.is_some() && !transport.hosts.may_have_credentials(&url) {
        return Err(RealmError::Untrusted { host: url.host_str().unwrap_or_default().to_owned() }.into());
    }
    let authorization = credentials.as_deref().map(basic).transpose()?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let elsewhere = &|_: &Place| None;
    let request =
        Request { kind: "token", method: Method::GET, url, headers: HeaderMap::new(), authorization, elsewhere };
    let Answer { response, shown, .. } =
        transport.send(request).await.map_err(|error| realm_failure(host.clone(), error))?;
    match response.status().as_u16() {
        200..300 => {
            let token = read_token(response).await.map_err(|error| realm_failure(host, error));
            let (header, lifetime) = token?;
            Ok(Token::new(header, lifetime, Challenge::Bearer(challenge)))
        }
        429 => Err(UpstreamError::RateLimited(rate_limit::read(response.headers(), Timestamp::now()))),
        status @ (401 | 403) if credentials.is_none() => Err(RealmError::Denied { status }.into()),
        status @ (401 | 403) => Err(RealmError::Refused { status }.into()),
        _ => Err(RealmError::Failed(failure_body::read(response, shown.as_ref(), &[]).await).into()),
    }
}

/// The value of `Authorization` for a user name and password.
pub(super) fn basic((username, password): &Credentials) -> Result<HeaderValue, UpstreamError> {
    let encoded = BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()));
    sensitive(&format!("Basic {encoded}")).ok_or(UpstreamError::NotConfigured)
}

async fn read_token(response: Response) -> Result<(HeaderValue, Duration), UpstreamError> {
    let broken = |error: reqwest::Error| UpstreamError::Interrupted { reason: innermost(&error.without_url()) };
    let stream = with_idle_timeout(response.bytes_stream().map_err(broken), Duration::from_secs(5));
    let body = collect(stream.boxed(), MAX_TOKEN_RESPONSE_BYTES).await?;
    let invalid = |what| UpstreamError::from(RealmError::InvalidResponse { what });
    let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| invalid("a response that is no token"))?;
    let lifetime = answer.lifetime(Timestamp::now());
    let token =
        [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.expose_secret().is_empty());
    let token = token.ok_or_else(|| invalid("a response without a token"))?;
    let header = sensitive(&format!("Bearer {}", token.expose_secret()));
    Ok((header.ok_or_else(|| invalid("a token that fits no header"))?, lifetime))
}

impl TokenAnswer {
    /// How long the token is still good. A moment of issue that makes it expired already is another clock's.
    fn lifetime(&self, now: Timestamp) -> Duration {
        let whole = self.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let whole = whole.filter(|whole| !whole.is_zero()).unwrap_or(DEFAULT_LIFETIME).min(MAX_LIFETIME);
        let age = self.issued_at.and_then(|issued| Duration::try_from(now.duration_since(issued)).ok());
        whole - age.filter(|age| *age < whole).unwrap_or(Duration::ZERO)
    }
}

/// What keeps the realm from responding is the realm's failure, but for an address that it must not have.
fn realm_failure(host: String, error: UpstreamError) -> UpstreamError {
    match error {
        UpstreamError::Unreachable { failure, elsewhere, reason } => {
            RealmError::Unreachable { host: elsewhere.unwrap_or(host), failure, reason }.into()
        }
        UpstreamError::Interrupted { reason } => {
            RealmError::Unreachable { host, failure: ConnectionFailure::Closed, reason }.into()
        }
        UpstreamError::TimedOut => timed_out(host),
        UpstreamError::InvalidResponse { what } => RealmError::InvalidResponse { what }.into(),
        UpstreamError::TooLong => RealmError::InvalidResponse { what: "a token response that is too long" }.into(),
        other @ (UpstreamError::NotFound
        | UpstreamError::Denied { .. }
        | UpstreamError::Refused(_)
        | UpstreamError::RateLimited(_)
        | UpstreamError::ServerError(_)
        | UpstreamError::Storage { .. }
        | UpstreamError::Unsupported { .. }
        | UpstreamError::TokenRealm(_)
        | UpstreamError::ForbiddenAddress { .. }
        | UpstreamError::WrongRange
        | UpstreamError::Busy
        | UpstreamError::NotConfigured
        | UpstreamError::Lost) => other,
    }
}

/// The realm at this host gave nothing in time.
pub(super) fn timed_out(host: String) -> UpstreamError {
    RealmError::Unreachable { host, failure: ConnectionFailure::TimedOut, reason: String::new() }.into()
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(value).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn lifetime(json: &str) -> u64 {
        let answer: TokenAnswer = serde_json::from_str(json).unwrap();
        answer.lifetime("2026-11-01T12:00:00Z".parse().unwrap()).as_secs()
    }

    #[test]
    fn a_token_lives_from_its_issue_on_and_a_minute_by_default() {
        assert_eq!(lifetime("{}"), 60);
        assert_eq!(lifetime(r#"{"expires_in":300,"issued_at":"2026-11-01T11:59:00Z"}"#), 240);
        assert_eq!(lifetime(r#"{"expires_in":300.5,"issued_at":"2026-11-01T12:01:00Z"}"#), 300);
        assert_eq!(lifetime(r#"{"expires_in":300,"issued_at":"2026-11-01T10:00:00Z"}"#), 300);
        assert_eq!(lifetime(r#"{"expires_in":-5}"#), 60);
        assert_eq!(lifetime(r#"{"expires_in":1e18}"#), MAX_LIFETIME.as_secs());
    }

    #[test]
    fn headers_do_not_show_the_credentials() {
        let header = basic(&("u".into(), "secret".to_owned().into())).unwrap();
        assert_eq!(header.as_bytes(), b"Basic dTpzZWNyZXQ=");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
