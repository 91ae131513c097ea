//! Valid tokens of an upstream, per account, credential and repository. Sends nothing itself: the caller provides the
//! request for a token. Callers that need the same token at the same time share one request.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use reqwest::header::HeaderValue;

use super::error::UpstreamError;
use super::hosts::Place;
use crate::domain::challenge::Challenge;
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::Repository;
use crate::domain::takeover::AccountCredential;

/// Maximum number of stored tokens of one upstream.
const MAX_TOKENS: usize = 4096;

/// A value of `Authorization`, with the time until which it may be used.
pub(super) struct Token {
    header: HeaderValue,
    usable_until: Instant,
    /// The challenge for which the token was issued. It is used again if a refusal names no challenge.
    pub(super) challenge: Challenge,
}

/// The account and credential, repository and registry that a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    account: Account,
    credential: AccountCredential,
    repository: Repository,
    /// The registry to which upstream redirects, if the token is for that registry. Such a token is anonymous.
    place: Option<Place>,
}

type Outcome = Result<Arc<Token>, UpstreamError>;

/// The tokens of one upstream, at most [`MAX_TOKENS`].
#[derive(Default)]
pub(super) struct Tokens(Mutex<State>);

#[derive(Default)]
struct State {
    ready: HashMap<TokenKey, Arc<Token>>,
    in_flight: HashMap<TokenKey, Shared<BoxFuture<'static, Outcome>>>,
}

impl Token {
    /// Creates a token that is valid for `lifetime` from now on. It counts as expired a tenth of that time earlier,
    /// at most 10 s.
    pub(super) fn new(mut header: HeaderValue, lifetime: Duration, challenge: Challenge) -> Self {
        header.set_sensitive(true);
        let margin = (lifetime / 10).min(Duration::from_secs(10));
        Self { header, usable_until: Instant::now() + (lifetime - margin), challenge }
    }

    /// Returns the value of `Authorization`, marked as sensitive.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    fn is_usable(&self) -> bool {
        Instant::now() < self.usable_until
    }
}

impl TokenKey {
    /// Returns the key of a token that upstream itself issues for this credential of the account.
    pub(super) fn of(origin: &Origin, credential: AccountCredential) -> Self {
        Self { account: origin.account.clone(), credential, repository: origin.repository.clone(), place: None }
    }

    /// Returns the key of a token for a registry to which upstream redirects this account.
    pub(super) fn elsewhere(origin: &Origin, place: Place) -> Self {
        Self { place: Some(place), ..Self::of(origin, AccountCredential::First) }
    }
}

impl Tokens {
    /// Returns the stored token, if it is still valid.
    pub(super) fn ready(&self, key: &TokenKey) -> Option<Arc<Token>> {
        self.state().ready.get(key).filter(|token| token.is_usable()).cloned()
    }

    /// Returns another token than the refused one: one that was fetched meanwhile, or the outcome of `fetch`, which
    /// runs to its end even if all callers that wait for it leave.
    ///
    /// # Errors
    ///
    /// Fails as `fetch` does, with a copy of its error for every waiting caller; a panic of `fetch` becomes
    /// [`UpstreamError::Lost`].
    pub(super) async fn fresh<F>(self: &Arc<Self>, key: TokenKey, refused: Option<&Arc<Token>>, fetch: F) -> Outcome
    where
        F: Future<Output = Result<Token, UpstreamError>> + Send + 'static,
    {
        let in_flight = {
            let mut state = self.state();
            let is_other = |token: &&Arc<Token>| !refused.is_some_and(|refused| Arc::ptr_eq(refused, token));
            if let Some(token) = state.ready.get(&key).filter(is_other).filter(|token| token.is_usable()) {
                return Ok(token.clone());
            }
            let known = state.in_flight.get(&key).cloned();
            known.unwrap_or_else(|| {
                let started = self.start(key.clone(), fetch);
                state.in_flight.insert(key, started.clone());
                started
            })
        };
        in_flight.await
    }

    /// Removes a token that was refused.
    pub(super) fn forget(&self, key: &TokenKey, refused: &Arc<Token>) {
        let mut state = self.state();
        if state.ready.get(key).is_some_and(|token| Arc::ptr_eq(token, refused)) {
            state.ready.remove(key);
        }
    }

    /// Starts `fetch` in a task of its own. A second, inner task turns a panic into an error.
    fn start<F>(self: &Arc<Self>, key: TokenKey, fetch: F) -> Shared<BoxFuture<'static, Outcome>>
    where
        F: Future<Output = Result<Token, UpstreamError>> + Send + 'static,
    {
        let tokens = self.clone();
        let task = tokio::spawn(async move {
            let outcome = tokio::spawn(fetch).await.unwrap_or(Err(UpstreamError::Lost)).map(Arc::new);
            tokens.state().settle(key, outcome.clone());
            outcome
        });
        async move { task.await.unwrap_or(Err(UpstreamError::Lost)) }.boxed().shared()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self, key: TokenKey, outcome: Outcome) {
        self.in_flight.remove(&key);
        let Ok(token) = outcome else { return };
        if self.ready.len() >= MAX_TOKENS {
            self.evict();
        }
        self.ready.insert(key, token);
    }

    fn evict(&mut self) {
        self.ready.retain(|_, token| token.is_usable());
        let oldest = self.ready.iter().min_by_key(|(_, token)| token.usable_until).map(|(key, _)| key.clone());
        if let Some(key) = oldest.filter(|_| self.ready.len() >= MAX_TOKENS) {
            self.ready.remove(&key);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn key(repository: &str) -> TokenKey {
        let (account, repository) = (Account::Anonymous, repository.parse().unwrap());
        TokenKey { account, credential: AccountCredential::First, repository, place: None }
    }

    fn token(text: &'static str) -> Token {
        lasting(text, Duration::from_secs(60))
    }

    fn lasting(text: &'static str, lifetime: Duration) -> Token {
        Token::new(HeaderValue::from_static(text), lifetime, Challenge::Basic)
    }

    #[tokio::test]
    async fn a_hundred_needs_are_one_request_and_then_none() {
        let (tokens, fetches) = (Arc::new(Tokens::default()), Arc::new(AtomicUsize::new(0)));
        let need = || {
            let fetches = fetches.clone();
            tokens.fresh(key("a"), None, async move {
                fetches.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok(token("t"))
            })
        };
        let all = futures::future::join_all((0..100).map(|_| need())).await;
        assert!(all.iter().all(Result::is_ok));
        assert!(need().await.is_ok());
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        assert_eq!(tokens.ready(&key("a")).unwrap().header(), "t");
        assert!(tokens.ready(&key("b")).is_none());
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_once_for_all_who_had_it() {
        let tokens = Arc::new(Tokens::default());
        let old = tokens.fresh(key("a"), None, async { Ok(token("old")) }).await.unwrap();
        let new = tokens.fresh(key("a"), Some(&old), async { Ok(token("new")) }).await.unwrap();
        let late = tokens.fresh(key("a"), Some(&old), async { Err(UpstreamError::Lost) }).await.unwrap();
        assert!(Arc::ptr_eq(&new, &late));
        tokens.forget(&key("a"), &old);
        assert!(tokens.ready(&key("a")).is_some());
        tokens.forget(&key("a"), &new);
        assert!(tokens.ready(&key("a")).is_none());
    }

    #[tokio::test]
    async fn a_panic_and_a_failure_reach_everybody_and_stick_to_nobody() {
        let tokens = Arc::new(Tokens::default());
        let boom = || tokens.fresh(key("a"), None, async { panic!("in a test") });
        let (one, other) = tokio::join!(boom(), boom());
        assert!(matches!((one, other), (Err(UpstreamError::Lost), Err(UpstreamError::Lost))));
        assert!(tokens.fresh(key("a"), None, async { Ok(token("t")) }).await.is_ok());
    }

    #[tokio::test]
    async fn expired_tokens_are_not_used_and_the_number_is_bounded() {
        let mut state = State::default();
        for number in 0..MAX_TOKENS + 10 {
            let lifetime = Duration::from_secs(100 + number as u64);
            let token = Arc::new(lasting("t", lifetime));
            state.settle(key(&format!("r{number}")), Ok(token));
        }
        assert_eq!(state.ready.len(), MAX_TOKENS);
        assert!(!state.ready.contains_key(&key("r0")) && state.ready.contains_key(&key("r4100")));
        assert!(!lasting("t", Duration::ZERO).is_usable());
    }
}
