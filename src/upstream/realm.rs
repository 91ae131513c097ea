//! Gets a token from the realm that a challenge names (distribution token specification). Sends the configured credentials
//! only where they may go, and logs nothing of what it sends or gets.

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

use super::clients::innermost;
use super::content::{collect, with_idle_timeout};
use super::error::{RealmError, UpstreamError};
use super::tokens::Token;
use super::transport::{Question, Transport};
use crate::domain::challenge::BearerChallenge;
use crate::domain::repository::Repository;

const MAX_TOKEN_ANSWER: usize = 256 << 10;
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// User name and password of an account.
pub(super) type Credentials = (String, SecretString);

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
    expires_in: Option<f64>,
    issued_at: Option<Timestamp>,
}

/// A token that meets the challenge for pulling `repository`.
pub(super) async fn fetch(
    transport: &Transport,
    challenge: &BearerChallenge,
    repository: &Repository,
    credentials: Option<&Credentials>,
) -> Result<Token, UpstreamError> {
    let url = token_url(challenge, repository)?;
    if credentials.is_some() && !transport.hosts.may_have_credentials(&url) {
        return Err(RealmError::Untrusted { host: url.host_str().unwrap_or_default().to_owned() }.into());
    }
    let authorization = credentials.map(basic).transpose()?;
    let question = Question { kind: "token", method: Method::GET, url, headers: HeaderMap::new(), authorization };
    let response = transport.ask(question).await.map_err(unanswered)?.response;
    match response.status().as_u16() {
        200..300 => read_token(response).await,
        401 | 403 if credentials.is_none() => Err(UpstreamError::Denied),
        status @ (401 | 403) => Err(RealmError::Refused { status }.into()),
        status => Err(RealmError::Failed { status }.into()),
    }
}

/// The value of `Authorization` for a user name and password.
pub(super) fn basic((username, password): &Credentials) -> Result<HeaderValue, UpstreamError> {
    let encoded = BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()));
    sensitive(&format!("Basic {encoded}")).ok_or(UpstreamError::NotConfigured)
}

fn token_url(challenge: &BearerChallenge, repository: &Repository) -> Result<Url, RealmError> {
    let url = challenge.token_url(Some(&format!("repository:{repository}:pull")));
    url.ok_or(RealmError::Nonsense { what: "the realm is no address" })
}

async fn read_token(response: Response) -> Result<Token, UpstreamError> {
    let stream =
        response.bytes_stream().map_err(|error| UpstreamError::Unreachable { reason: innermost(&error.without_url()) });
    let body = collect(with_idle_timeout(stream, Duration::from_secs(5)).boxed(), MAX_TOKEN_ANSWER)
        .await
        .map_err(unanswered)?;
    let nonsense = |what| UpstreamError::from(RealmError::Nonsense { what });
    let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| nonsense("an answer that is no token"))?;
    let lifetime = answer.lifetime(Timestamp::now());
    let token =
        [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.expose_secret().is_empty());
    let token = token.ok_or_else(|| nonsense("an answer without a token"))?;
    let header = sensitive(&format!("Bearer {}", token.expose_secret()));
    Ok(Token::new(header.ok_or_else(|| nonsense("a token that fits no header"))?, lifetime))
}

impl TokenAnswer {
    /// How long the token is still good. A moment of issue that makes it expired already is another clock's.
    fn lifetime(&self, now: Timestamp) -> Duration {
        let whole = self.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let whole = whole.filter(|whole| !whole.is_zero()).unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME);
        let age = self.issued_at.and_then(|issued| Duration::try_from(now.duration_since(issued)).ok());
        whole - age.filter(|age| *age < whole).unwrap_or(Duration::ZERO)
    }
}

/// Whatever keeps the realm from answering is the realm's failure, but for an address that it must not have.
fn unanswered(error: UpstreamError) -> UpstreamError {
    match error {
        UpstreamError::Unreachable { reason } | UpstreamError::Interrupted { reason } => {
            RealmError::Unreachable { reason }.into()
        }
        UpstreamError::TimedOut => RealmError::Unreachable { reason: "no answer in time".to_owned() }.into(),
        UpstreamError::Nonsense { what } => RealmError::Nonsense { what }.into(),
        UpstreamError::TooLong => RealmError::Nonsense { what: "a token answer that is too long" }.into(),
        other @ (UpstreamError::NotFound
        | UpstreamError::Denied
        | UpstreamError::RateLimited(_)
        | UpstreamError::Failed { .. }
        | UpstreamError::Storage { .. }
        | UpstreamError::TokenRealm(_)
        | UpstreamError::ForbiddenAddress { .. }
        | UpstreamError::WrongRange
        | UpstreamError::Busy
        | UpstreamError::NotConfigured
        | UpstreamError::Lost) => other,
    }
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
        assert_eq!(lifetime(r#"{"expires_in":1e18}"#), LONGEST_LIFETIME.as_secs());
    }

    #[test]
    fn the_realm_is_asked_for_what_the_challenge_says() {
        let challenge = |scope: Option<&str>| BearerChallenge {
            realm: "https://auth.example/token?x=1".into(),
            service: Some("a b".into()),
            scope: scope.map(str::to_owned),
        };
        let url = |scope| token_url(&challenge(scope), &"a/b".parse().unwrap()).unwrap().to_string();
        assert_eq!(url(None), "https://auth.example/token?x=1&service=a+b&scope=repository%3Aa%2Fb%3Apull");
        assert_eq!(url(Some("aws")), "https://auth.example/token?x=1&service=a+b&scope=aws");
    }

    #[test]
    fn headers_do_not_show_the_credentials() {
        let header = basic(&("u".into(), "secret".to_owned().into())).unwrap();
        assert_eq!(header.as_bytes(), b"Basic dTpzZWNyZXQ=");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
