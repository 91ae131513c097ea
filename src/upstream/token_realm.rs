//! Requests a token from the realm that a challenge names (Distribution's token specification, "Requesting a
//! Token"). Sends the configured credentials only to permitted hosts, and logs nothing that it sends or receives.

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
use super::error::{ConnectionFailure, HttpFailure, RealmError, UpstreamError, is_transient};
use super::hosts::Place;
use super::known_account::Credentials;
use super::tokens::Token;
use super::transport::{FinalResponse, Request, Transport};
use super::{failure_body, rate_limit};
use crate::domain::challenge::{BearerChallenge, Challenge};
use crate::domain::json_object::Object;

const MAX_TOKEN_RESPONSE_BYTES: usize = 64 << 10;

/// Maximum time without a byte of a token response.
const TOKEN_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Lifetime of a token whose response states none (Distribution's token specification, `expires_in`).
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// Maximum lifetime of a token; longer ones are shortened to it.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
struct TokenResponse {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
    expires_in: Option<f64>,
    issued_at: Option<Timestamp>,
}

/// Parameters of a token request.
pub(super) struct TokenRequest {
    /// The challenge of the registry.
    pub(super) challenge: BearerChallenge,
    /// The scopes to request. Each is sent as a parameter of its own, as other clients do.
    pub(super) scopes: Vec<String>,
    /// The account; `None` requests an anonymous token.
    pub(super) credentials: Option<Arc<Credentials>>,
}

/// Fetches a token for the challenge. Some realms know the repository only by the name in the challenge's scope: if
/// the caller's scopes are refused, that scope is tried. If an account gets a 403 for a scope, a request without a
/// scope finds whether the account or the image is refused.
///
/// # Errors
///
/// Fails if the realm issues no token.
pub(super) async fn fetch_any(transport: &Transport, wanted: TokenRequest) -> Result<Token, UpstreamError> {
    let (challenge, credentials) = (wanted.challenge.clone(), wanted.credentials.clone());
    let other = challenge.scope.clone().filter(|scope| !scope.is_empty() && !wanted.scopes.contains(scope));
    let for_an_image = !wanted.scopes.is_empty();
    match (fetch(transport, wanted).await, other) {
        (Err(UpstreamError::TokenRealm(RealmError::Refused { status: 403, .. })), _) if for_an_image => {
            let login = TokenRequest { challenge, scopes: Vec::new(), credentials };
            Err(refused_account_or_image(fetch(transport, login).await))
        }
        (Err(UpstreamError::TokenRealm(RealmError::Denied { .. })), Some(scope)) => {
            fetch(transport, TokenRequest { challenge, scopes: vec![scope], credentials }).await
        }
        (token, _) => token,
    }
}

/// Returns the meaning of a 403 for a scope, from the outcome of a login without one.
fn refused_account_or_image(login: Result<Token, UpstreamError>) -> UpstreamError {
    match login {
        Ok(_accepted) => UpstreamError::Denied { message: None },
        // This realm issues no token without a scope, which proves nothing about the account: only the image counts
        // as refused.
        Err(UpstreamError::TokenRealm(RealmError::Failed(said))) if !is_transient(said.status) => {
            UpstreamError::Denied { message: None }
        }
        Err(error) => error,
    }
}

/// Returns the host of the realm that a challenge names; empty if it has none.
pub(super) fn host(challenge: &BearerChallenge) -> String {
    let url = Url::parse(&challenge.realm).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// Fetches a token for the challenge.
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
    let FinalResponse { response, authorization, .. } =
        transport.send(request).await.map_err(|error| realm_failure(host.clone(), error))?;
    match response.status().as_u16() {
        200..300 => {
            let token = read_token(response).await.map_err(|error| realm_failure(host, error));
            let (header, lifetime) = token?;
            Ok(Token::new(header, lifetime, Challenge::Bearer(challenge)))
        }
        429 => Err(UpstreamError::RateLimited(rate_limit::read(response.headers(), Timestamp::now()))),
        status @ (401 | 403) if credentials.is_none() => Err(RealmError::Denied { status }.into()),
        401 | 403 => {
            let HttpFailure { status, message, .. } = failure_body::read(response, authorization.as_ref(), &[]).await;
            Err(RealmError::Refused { status, message }.into())
        }
        _ => Err(RealmError::Failed(failure_body::read(response, authorization.as_ref(), &[]).await).into()),
    }
}

/// Returns the value of `Authorization` for a user name and password. Fails if they do not fit into a header.
pub(super) fn basic((username, password): &Credentials) -> Result<HeaderValue, UpstreamError> {
    let encoded = BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()));
    sensitive(&format!("Basic {encoded}")).ok_or(UpstreamError::NotConfigured)
}

async fn read_token(response: Response) -> Result<(HeaderValue, Duration), UpstreamError> {
    let broken = |error: reqwest::Error| UpstreamError::Interrupted { reason: innermost(&error.without_url()) };
    let stream = with_idle_timeout(response.bytes_stream().map_err(broken), TOKEN_BODY_TIMEOUT);
    let body = collect(stream.boxed(), MAX_TOKEN_RESPONSE_BYTES).await?;
    let invalid = |what| UpstreamError::from(RealmError::InvalidResponse { what });
    let parsed = serde_json::from_slice(&body).map_err(|_| invalid("a response that is no token"));
    let Object(parsed): Object<TokenResponse> = parsed?;
    let lifetime = parsed.lifetime(Timestamp::now());
    let token =
        [parsed.token, parsed.access_token].into_iter().flatten().find(|token| !token.expose_secret().is_empty());
    let token = token.ok_or_else(|| invalid("a response without a token"))?;
    let header = sensitive(&format!("Bearer {}", token.expose_secret()));
    Ok((header.ok_or_else(|| invalid("a token that fits no header"))?, lifetime))
}

impl TokenResponse {
    /// Returns the remaining lifetime of the token. A time of issue by which it would have expired already is
    /// ignored, because the clocks differ then.
    fn lifetime(&self, now: Timestamp) -> Duration {
        let whole = self.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let whole = whole.filter(|whole| !whole.is_zero()).unwrap_or(DEFAULT_TOKEN_LIFETIME).min(MAX_TOKEN_LIFETIME);
        let age = self.issued_at.and_then(|issued| Duration::try_from(now.duration_since(issued)).ok());
        whole - age.filter(|age| *age < whole).unwrap_or(Duration::ZERO)
    }
}

/// Converts an error of the request to the realm into an error of the realm, apart from a forbidden address.
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
        | UpstreamError::InBackoff(_)
        | UpstreamError::Reserved(_)
        | UpstreamError::Offline
        | UpstreamError::NotConfigured
        | UpstreamError::UnreadableAccount
        | UpstreamError::Lost) => other,
    }
}

/// Returns the error that the realm at this host did not respond in time.
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
    use proptest::prelude::*;

    use super::*;

    fn lifetime(json: &str) -> u64 {
        let response: TokenResponse = serde_json::from_str(json).unwrap();
        response.lifetime("2026-11-01T12:00:00Z".parse().unwrap()).as_secs()
    }

    #[test]
    fn a_token_lives_from_its_issue_on_and_a_minute_by_default() {
        assert_eq!(lifetime("{}"), 60);
        assert_eq!(lifetime(r#"{"expires_in":300,"issued_at":"2026-11-01T11:59:00Z"}"#), 240);
        assert_eq!(lifetime(r#"{"expires_in":300.5,"issued_at":"2026-11-01T12:01:00Z"}"#), 300);
        assert_eq!(lifetime(r#"{"expires_in":300,"issued_at":"2026-11-01T10:00:00Z"}"#), 300);
        assert_eq!(lifetime(r#"{"expires_in":-5}"#), 60);
        assert_eq!(lifetime(r#"{"expires_in":1e18}"#), MAX_TOKEN_LIFETIME.as_secs());
    }

    #[test]
    fn headers_do_not_show_the_credentials() {
        let header = basic(&("u".into(), "secret".to_owned().into())).unwrap();
        assert_eq!(header.as_bytes(), b"Basic dTpzZWNyZXQ=");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    proptest! {
        #[test]
        fn no_response_makes_a_token_that_lives_longer_than_a_day_or_is_shown(
            bytes: Vec<u8>, token in "[!-~]{1,20}", expires_in in prop::num::f64::ANY, issued in any::<i64>(),
        ) {
            let now = "2026-11-01T12:00:00Z".parse().unwrap();
            let issued_at = Timestamp::from_second(issued).unwrap_or(now);
            let json = serde_json::json!({"token": token, "expires_in": expires_in, "issued_at": issued_at});
            let json = json.to_string();
            for body in [bytes.as_slice(), json.as_bytes()] {
                let Ok(Object(response)) = serde_json::from_slice::<Object<TokenResponse>>(body) else { continue };
                let lifetime = response.lifetime(now);
                prop_assert!(!lifetime.is_zero() && lifetime <= MAX_TOKEN_LIFETIME, "{lifetime:?}");
                let header = sensitive(&format!("Bearer {}", response.token.unwrap().expose_secret())).unwrap();
                prop_assert_eq!(header.to_str().unwrap(), format!("Bearer {token}"));
                prop_assert_eq!(format!("{:?}", header), "Sensitive");
            }
        }
    }
}
