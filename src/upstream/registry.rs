//! The client of one registry (OCI distribution specification, "Pull" and "Content Discovery"): asks, meets the challenge
//! once, and understands the answer. Verifies no digest and repeats no failed question.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, LINK, RANGE, WWW_AUTHENTICATE};
use reqwest::{Method, Response};
use url::Url;

use super::answer::{self, Refusal};
use super::clients::{ClientPool, innermost};
use super::content::{self, Content, ContentHead, ListAnswer, ListQuery, MAX_LIST_BYTES};
use super::error::{RealmError, UpstreamError};
use super::hosts::{HostPort, Hosts, has_userinfo};
use super::link;
use super::options::{SetupError, UpstreamOptions};
use super::realm::{self, Credentials};
use super::tokens::{Token, Tokens};
use super::transport::{self, Answer, Question, Transport};
use crate::domain::challenge::{self, Challenge};
use crate::domain::digest::Digest;
use crate::domain::manifest::ACCEPTED;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::Reference;

/// For how long a registry that wants user name and password is given them unasked.
const BASIC_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// One upstream, with the tokens it gave.
pub(super) struct Registry {
    base: Url,
    accounts: HashMap<String, Arc<Credentials>>,
    transport: Arc<Transport>,
    tokens: Arc<Tokens>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

/// What is asked of a repository.
struct Wanted<'a> {
    kind: &'static str,
    method: Method,
    /// What stands behind the repository in the path.
    path: String,
    query: Vec<(&'static str, String)>,
    accept: &'a [&'static str],
    range: Option<String>,
}

impl Registry {
    pub(super) fn new(options: UpstreamOptions, pool: &mut ClientPool) -> Result<Self, SetupError> {
        let base = base_url(&options)?;
        let auth = host_list(&options, "auth_hosts", &options.auth_hosts)?;
        let redirect = host_list(&options, "redirect_hosts", &options.redirect_hosts)?;
        let clients = pool.clients(&options)?;
        let hosts = Hosts::new(base.clone(), auth, redirect);
        let account =
            |account: super::AccountOptions| (account.username.clone(), Arc::new((account.username, account.password)));
        Ok(Self {
            base,
            accounts: options.accounts.into_iter().map(account).collect(),
            transport: Arc::new(Transport { upstream: options.name, clients, hosts }),
            tokens: Arc::default(),
            header_timeout: options.header_timeout,
            idle_timeout: options.idle_timeout,
        })
    }

    pub(super) async fn head_manifest(
        &self,
        origin: &Origin,
        reference: &Reference,
    ) -> Result<ContentHead, UpstreamError> {
        let wanted = Wanted::new("manifest_head", Method::HEAD, format!("manifests/{reference}")).accepting(&ACCEPTED);
        let response = self.ask(origin, wanted, Refusal::OfRegistry).await?;
        answer::manifest_head(response.headers())
    }

    pub(super) async fn manifest(&self, origin: &Origin, reference: &Reference) -> Result<Content, UpstreamError> {
        let wanted = Wanted::new("manifest", Method::GET, format!("manifests/{reference}")).accepting(&ACCEPTED);
        let response = self.ask(origin, wanted, Refusal::OfRegistry).await?;
        let head = answer::manifest_head(response.headers())?;
        Ok(content_of(head, response, 0, self.header_timeout.min(self.idle_timeout)))
    }

    pub(super) async fn head_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        let wanted = Wanted::new("blob_head", Method::HEAD, format!("blobs/{digest}"));
        let head = async {
            match self.ask(origin, wanted, Refusal::OfStorage).await {
                Ok(response) => Ok(answer::content_head(response.headers())),
                Err(UpstreamError::Storage { .. }) => self.first_byte_of_blob(origin, digest).await,
                Err(error) => Err(error),
            }
        };
        in_time(self.header_timeout, head).await
    }

    /// What a `GET` of the first byte says: storage whose signed addresses are good for `GET` alone refuses a `HEAD`.
    async fn first_byte_of_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        let first = Wanted::new("blob_head", Method::GET, format!("blobs/{digest}")).in_range("bytes=0-0".to_owned());
        let response = self.ask(origin, first, Refusal::OfStorage).await?;
        answer::first_byte_head(is_partial(&response), response.headers())
    }

    pub(super) async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Result<Content, UpstreamError> {
        let whole = Wanted::new("blob", Method::GET, format!("blobs/{digest}"));
        let wanted = if from > 0 { whole.in_range(format!("bytes={from}-")) } else { whole };
        let response = self.ask(origin, wanted, Refusal::OfStorage).await?;
        let (head, skip) = answer::blob_head(is_partial(&response), response.headers(), from)?;
        Ok(content_of(head, response, skip, self.idle_timeout))
    }

    pub(super) async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListAnswer, UpstreamError> {
        self.list(origin, Wanted::new("list", Method::GET, "tags/list".to_owned()), query).await
    }

    pub(super) async fn referrers(
        &self,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<ListAnswer, UpstreamError> {
        let wanted = Wanted::new("list", Method::GET, format!("referrers/{digest}")).accepting(&ACCEPTED[..1]);
        self.list(origin, wanted, query).await
    }

    async fn list(&self, origin: &Origin, wanted: Wanted<'_>, query: &ListQuery) -> Result<ListAnswer, UpstreamError> {
        let wanted = Wanted { query: query.pairs().collect(), ..wanted };
        let response = self.ask(origin, wanted, Refusal::OfRegistry).await?;
        let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let next = link::next_query(links);
        let media_type = answer::content_head(response.headers()).media_type;
        if !media_type.as_deref().is_some_and(|media_type| media_type.ends_with("json")) {
            return Err(UpstreamError::Nonsense { what: "a list that is not JSON" });
        }
        let body =
            content::collect(content_of(ContentHead::default(), response, 0, self.idle_timeout).stream, MAX_LIST_BYTES);
        let body = in_time(self.header_timeout, body).await?;
        Ok(ListAnswer { body, media_type, next })
    }

    /// Asks, at most twice: the second time with what the challenge wanted. Everything up to the headers is done in time.
    async fn ask(&self, origin: &Origin, wanted: Wanted<'_>, refusal: Refusal) -> Result<Response, UpstreamError> {
        let answer = in_time(self.header_timeout, self.ask_authorized(origin, &wanted)).await?;
        answer::successful(answer, refusal)
    }

    async fn ask_authorized(&self, origin: &Origin, wanted: &Wanted<'_>) -> Result<Answer, UpstreamError> {
        let credentials = self.credentials(&origin.account)?;
        let key = (origin.account.clone(), origin.repository.clone());
        let shown = self.tokens.ready(&key);
        let answer = self.transport.ask(self.question(origin, wanted, shown.as_deref())?).await?;
        if answer.response.status().as_u16() != 401 || answer.redirected {
            return Ok(answer);
        }
        let fetch = self.meet(challenge_of(&answer)?, origin, credentials);
        transport::discard(answer.response).await;
        let token = self.tokens.fresh(key.clone(), shown.as_ref(), fetch).await?;
        let answer = self.transport.ask(self.question(origin, wanted, Some(&token))?).await?;
        if answer.response.status().as_u16() == 401 {
            self.tokens.forget(&key, &token);
        }
        Ok(answer)
    }

    /// Gets what the challenge wants, independent of who waits for it.
    fn meet(
        &self,
        challenge: Challenge,
        origin: &Origin,
        credentials: Option<Arc<Credentials>>,
    ) -> impl Future<Output = Result<Token, UpstreamError>> + Send + 'static {
        let (transport, repository) = (self.transport.clone(), origin.repository.clone());
        let patience = self.header_timeout / 2;
        async move {
            match (challenge, credentials) {
                (Challenge::Basic, None) => Err(UpstreamError::Denied),
                (Challenge::Basic, Some(credentials)) => Ok(Token::new(realm::basic(&credentials)?, BASIC_LIFETIME)),
                (Challenge::Bearer(challenge), credentials) => {
                    let token = realm::fetch(&transport, &challenge, &repository, credentials.as_deref());
                    let late = || RealmError::Unreachable { reason: "no answer in time".to_owned() };
                    tokio::time::timeout(patience, token).await.map_err(|_elapsed| late())?
                }
            }
        }
    }

    fn credentials(&self, account: &Account) -> Result<Option<Arc<Credentials>>, UpstreamError> {
        match account {
            Account::Anonymous => Ok(None),
            Account::Username(name) => self.accounts.get(name).cloned().map(Some).ok_or(UpstreamError::NotConfigured),
        }
    }

    fn question(&self, origin: &Origin, wanted: &Wanted<'_>, token: Option<&Token>) -> Result<Question, UpstreamError> {
        let mut url = self.base.clone();
        let base_path = self.base.path().trim_matches('/');
        let slash = if base_path.is_empty() { "" } else { "/" };
        url.set_path(&format!("/v2/{base_path}{slash}{}/{}", origin.repository, wanted.path));
        if !wanted.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&wanted.query);
        }
        Ok(Question {
            kind: wanted.kind,
            method: wanted.method.clone(),
            url,
            headers: wanted.headers()?,
            authorization: token.map(Token::header),
        })
    }
}

impl<'a> Wanted<'a> {
    fn new(kind: &'static str, method: Method, path: String) -> Self {
        Self { kind, method, path, query: Vec::new(), accept: &[], range: None }
    }

    fn accepting(self, accept: &'a [&'static str]) -> Self {
        Self { accept, ..self }
    }

    fn in_range(self, range: String) -> Self {
        Self { range: Some(range), ..self }
    }

    fn headers(&self) -> Result<HeaderMap, UpstreamError> {
        let mut headers = HeaderMap::new();
        for media_type in self.accept {
            headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        if let Some(range) = &self.range {
            headers.insert(RANGE, HeaderValue::from_str(range).map_err(|_| UpstreamError::WrongRange)?);
        }
        Ok(headers)
    }
}

/// The body of a response, without its first `skip` bytes.
fn content_of(head: ContentHead, response: Response, skip: u64, idle: Duration) -> Content {
    let broken = |error: reqwest::Error| UpstreamError::Interrupted { reason: innermost(&error.without_url()) };
    let stream = content::with_idle_timeout(response.bytes_stream().map_err(broken), idle);
    Content { head, stream: content::skipping(stream, skip) }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, UpstreamError>>) -> Result<T, UpstreamError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(UpstreamError::TimedOut))
}

fn is_partial(response: &Response) -> bool {
    response.status().as_u16() == 206
}

/// A 401 without a challenge that we can meet is a refusal.
fn challenge_of(answer: &Answer) -> Result<Challenge, UpstreamError> {
    let fields = answer.response.headers().get_all(WWW_AUTHENTICATE).iter();
    challenge::choose(fields.filter_map(|value| value.to_str().ok())).ok_or(UpstreamError::Denied)
}

fn base_url(options: &UpstreamOptions) -> Result<Url, SetupError> {
    let wrong = |reason: &str| SetupError { upstream: options.name.clone(), key: "url", reason: reason.to_owned() };
    let url = Url::parse(&options.url).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("it has to start with https:// or http://"));
    }
    if has_userinfo(&url) {
        return Err(wrong("user name and password belong into keys of their own"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it ends with its path, without ? or #"));
    }
    Ok(url)
}

fn host_list(options: &UpstreamOptions, key: &'static str, texts: &[String]) -> Result<Vec<HostPort>, SetupError> {
    let wrong = |text: &String| SetupError {
        upstream: options.name.clone(),
        key,
        reason: format!("'{text}' is not a host or host:port"),
    };
    texts.iter().map(|text| HostPort::parse(text).ok_or_else(|| wrong(text))).collect()
}
