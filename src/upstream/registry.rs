//! The client of one registry (OCI distribution specification, "Pull" and "Content Discovery"): sends requests,
//! answers challenges and interprets responses. Verifies no digests.
//!
//! If a `HEAD` is inconclusive, a `GET` decides: for a blob in this module, by a request for its first byte; for a
//! manifest in the caller, which needs the manifest anyway. A request that fails with 502, 503 or 504 is repeated
//! once after a short delay, apart from downloads of blobs, which have their own retry schedule.

mod blobs;
mod lists;
mod login;
mod manifests;
mod wanted;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use reqwest::Response;
use reqwest::header::HeaderValue;
use secrecy::SecretString;
use url::Url;

use self::wanted::Wanted;
use super::accounts::{Accounts, Selected};
use super::authorization::{Login, Renewal};
use super::budgets::Budgets;
use super::clients::ClientPool;
use super::connection_error::innermost;
use super::content::{self, Content, ContentHead};
use super::error::{HttpFailure, UpstreamError};
use super::head_support::HeadSupport;
use super::hosts::{Hosts, Place};
use super::options::{AccountOptions, SetupError, UpstreamOptions};
use super::refused_accounts::RefusedAccounts;
use super::response::{self, Refusal};
use super::token_realm::{self, TokenRequest};
use super::tokens::{Token, TokenKey, Tokens};
use super::transport::{self, FinalResponse, Request, Transport};
use crate::domain::challenge::Challenge;
use crate::domain::origin::{Account, Origin};
use crate::domain::pull_budget::PullBudget;
use crate::domain::retries::jittered;
use crate::domain::takeover::Credential;

/// Delay before a request that failed with 502, 503 or 504 is repeated, without jitter.
const RETRY_DELAY: Duration = Duration::from_millis(300);

/// Time for which user name and password are sent to a registry without a challenge, after it requested them once.
const BASIC_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The registry at one address, with the tokens that it issued. Call all methods on the runtime that called the first
/// one, because connections belong to that runtime.
pub struct RegistryClient {
    base: Url,
    /// Mark of the registry, which does not show its address.
    mark: String,
    /// True if a request that a gateway failed is repeated here; false if the next registry follows.
    repeats: bool,
    accounts: Accounts,
    has_accounts: bool,
    /// The passwords of all accounts: an error message of upstream that repeats one is dropped.
    passwords: Vec<SecretString>,
    transport: Arc<Transport>,
    tokens: Arc<Tokens>,
    manifest_heads: HeadSupport,
    blob_heads: HeadSupport,
    /// Repositories that ignore ranges and send the whole blob.
    ignored_ranges: HeadSupport,
    accounts_refused: Arc<RefusedAccounts>,
    /// Limits that upstream reports; `None` for a mirror.
    budgets: Option<Budgets>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl RegistryClient {
    /// Creates the client of an upstream's own registry.
    ///
    /// # Errors
    ///
    /// Fails if one of the options cannot be used.
    pub(super) fn of_upstream(options: &UpstreamOptions, pool: &mut ClientPool) -> Result<Self, SetupError> {
        let hosts = Hosts::new(options.url.clone(), options.auth_hosts.clone(), options.redirect_hosts.clone());
        let accounts_refused = RefusedAccounts::of(options.name.clone());
        Self::new(options, hosts, accounts_refused, pool)
    }

    /// Creates the client of a mirror. It has the accounts only if they may be sent there. The header timeout is that
    /// of these options.
    ///
    /// # Errors
    ///
    /// Fails if one of the options cannot be used.
    pub(super) fn of_mirror(mirror: Url, options: &UpstreamOptions, pool: &mut ClientPool) -> Result<Self, SetupError> {
        let UpstreamOptions { url, auth_hosts, redirect_hosts, .. } = options.clone();
        let hosts = Hosts::of_mirror(mirror.clone(), url, auth_hosts, redirect_hosts);
        // A refusal by a mirror is none by upstream.
        let unreported = RefusedAccounts::unreported(options.name.clone());
        let mut client = Self::new(options, hosts, unreported, pool)?;
        if !client.transport.hosts.may_have_credentials(&mirror) {
            (client.accounts, client.has_accounts) = (Accounts::default(), false);
        }
        // What a mirror reports says nothing about the limit at upstream.
        Ok(Self { repeats: false, budgets: None, ..client })
    }

    fn new(
        options: &UpstreamOptions,
        hosts: Hosts,
        accounts_refused: RefusedAccounts,
        pool: &mut ClientPool,
    ) -> Result<Self, SetupError> {
        let clients = pool.clients(options)?;
        Ok(Self {
            base: hosts.base().clone(),
            mark: mark_of(hosts.base()),
            repeats: true,
            passwords: options.accounts.iter().flat_map(AccountOptions::passwords).cloned().collect(),
            accounts: Accounts::new(&options.accounts),
            has_accounts: true,
            accounts_refused: Arc::new(accounts_refused),
            budgets: Some(Budgets::of(options.name.clone())),
            transport: Arc::new(Transport { upstream: options.name.clone(), clients, hosts }),
            tokens: Arc::default(),
            manifest_heads: HeadSupport::default(),
            blob_heads: HeadSupport::default(),
            ignored_ranges: HeadSupport::default(),
            header_timeout: options.connection.header_timeout,
            idle_timeout: options.connection.idle_timeout,
        })
    }

    /// Iterates over the accounts that requests may use: none, and those that are configured.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.accounts.all()
    }

    /// Returns what `read` returns of the pull budget of an account; `None` if upstream reports none.
    pub fn budget<T>(&self, account: &Account, read: impl FnOnce(&PullBudget) -> T) -> Option<T> {
        self.budgets.as_ref()?.of_account(account, read)
    }

    /// Returns the address of the registry.
    pub fn url(&self) -> &Url {
        &self.base
    }

    /// Returns the mark of the registry in the queries of the next pages of its lists.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Returns the maximum time until the headers of a response arrive.
    pub fn header_timeout(&self) -> Duration {
        self.header_timeout
    }

    /// Returns true if the accounts of the upstream may be sent to this registry.
    pub fn has_accounts(&self) -> bool {
        self.has_accounts
    }

    /// Returns the maximum time for a `HEAD`. It leaves time for a `GET` that decides if the `HEAD` is
    /// inconclusive.
    fn head_timeout(&self) -> Duration {
        self.header_timeout / 2
    }

    /// Sends a request as [`Self::request`] does, and to upstream's own registry once more after a short delay if a
    /// gateway in front of it failed.
    async fn request_twice(
        &self,
        origin: &Origin,
        wanted: Wanted<'_>,
        refusal: Refusal,
    ) -> Result<Response, UpstreamError> {
        let both = async {
            match self.request(origin, wanted.clone(), refusal).await {
                Err(UpstreamError::ServerError(failure)) if self.repeats && may_be_repeated(&failure) => {
                    tokio::time::sleep(jittered(RETRY_DELAY, random_number())).await;
                    self.request(origin, wanted, refusal).await
                }
                response => response,
            }
        };
        with_timeout(self.header_timeout, both).await
    }

    /// Sends a request with the required authorization. The time until the response headers arrive is limited by
    /// the header timeout.
    async fn request(&self, origin: &Origin, wanted: Wanted<'_>, refusal: Refusal) -> Result<Response, UpstreamError> {
        let successful = async {
            let received = self.send_authorized(origin, &wanted).await?;
            response::successful(received, refusal, &self.passwords).await
        };
        with_timeout(self.header_timeout, successful).await
    }

    /// Sends a request with the credential of the account that works, and with the other one if that is refused.
    async fn send_authorized(&self, origin: &Origin, wanted: &Wanted<'_>) -> Result<FinalResponse, UpstreamError> {
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
        self.accounts_refused.refused(account.username());
        Err(refused)
    }

    /// Sends a request with this credential; `None`: without an account.
    async fn send_as(
        &self,
        selected: Option<&Selected>,
        origin: &Origin,
        wanted: &Wanted<'_>,
    ) -> Result<FinalResponse, UpstreamError> {
        let credential = selected.map_or(Credential::First, |selected| selected.credential);
        let mut own = Login::new(TokenKey::of(origin, credential), &self.tokens);
        // Logins at the registries to which redirects have led during this request.
        let mut others: HashMap<Place, Login> = HashMap::new();
        loop {
            let elsewhere = |place: &Place| {
                let met = others.get(place).map(|login| login.token.clone());
                let token = met.unwrap_or_else(|| self.tokens.ready(&TokenKey::elsewhere(origin, place.clone())));
                token.map(|token| token.header())
            };
            let request = self.request_for(origin, wanted, own.token.as_deref(), &elsewhere)?;
            let received = self.transport.send(request).await?;
            // The storage behind a redirect has limits of its own.
            if let Some(budgets) = self.budgets.as_ref().filter(|_| !received.redirected) {
                budgets.learn(&origin.account, received.response.headers());
            }
            let login = if received.redirected {
                let place = Place::of(&received.url);
                let key = TokenKey::elsewhere(origin, place.clone());
                others.entry(place).or_insert_with(|| Login::new(key, &self.tokens))
            } else {
                &mut own
            };
            let Some(renewal) = login.renewal(&received, origin) else {
                return self.final_response(login, received, selected).await;
            };
            // A registry to which upstream redirects never sees the account.
            let shown = selected.filter(|_| !received.redirected).cloned();
            transport::discard(received.response).await;
            let fetch = self.meet(renewal, shown);
            login.token = Some(self.tokens.fresh(login.key.clone(), login.token.as_ref(), fetch).await?);
        }
    }

    /// Returns the final response. A refused token is removed, so that the next request fetches a new one: upstream
    /// may decide differently then.
    async fn final_response(
        &self,
        login: &Login,
        received: FinalResponse,
        selected: Option<&Selected>,
    ) -> Result<FinalResponse, UpstreamError> {
        let status = received.response.status().as_u16();
        let Some(token) = login.token.as_ref().filter(|_| received.authorization.is_some()) else {
            return Ok(received);
        };
        let is_refused = matches!(status, 401 | 403);
        if is_refused {
            self.tokens.forget(&login.key, token);
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
    fn meet(
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

    fn request_for<'a>(
        &self,
        origin: &Origin,
        wanted: &Wanted<'_>,
        own: Option<&Token>,
        elsewhere: &'a (dyn Fn(&Place) -> Option<HeaderValue> + Sync),
    ) -> Result<Request<'a>, UpstreamError> {
        let mut url = self.base.clone();
        let base_path = self.base.path().trim_matches('/');
        let slash = if base_path.is_empty() { "" } else { "/" };
        url.set_path(&format!("/v2/{base_path}{slash}{}/{}", origin.repository, wanted.path));
        if !wanted.query.is_empty() {
            // Percent-encodes only `"`, `<`, `>`, `#` and `'` of all graphic ASCII characters (WHATWG URL
            // standard).
            url.set_query(Some(wanted.query));
        }
        Ok(Request {
            kind: wanted.kind,
            method: wanted.method.clone(),
            url,
            headers: wanted.headers()?,
            authorization: own.map(Token::header),
            elsewhere,
        })
    }
}

/// Returns the body of a response, without its first `skip` bytes.
fn content_of(head: ContentHead, response: Response, skip: u64, idle: Duration) -> Content {
    let broken = |error: reqwest::Error| UpstreamError::Interrupted { reason: innermost(&error.without_url()) };
    let stream = content::with_idle_timeout(response.bytes_stream().map_err(broken), idle);
    Content { head, stream: content::skipping(stream, skip), mirror: None }
}

/// Returns the first 16 hexadecimal digits of the SHA-256 of an address.
fn mark_of(url: &Url) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, url.as_str().as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

/// Returns a random number; 0 if the operating system provides none.
fn random_number() -> u32 {
    let mut bytes = [0; 4];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    filled.map_or(0, |()| u32::from_ne_bytes(bytes))
}

/// Returns true if a gateway in front of upstream has failed, and upstream does not want a longer pause.
fn may_be_repeated(failure: &HttpFailure) -> bool {
    matches!(failure.status, 502..=504) && failure.retry_after.is_none_or(|wait| wait <= RETRY_DELAY)
}

async fn with_timeout<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(UpstreamError::TimedOut))
}
