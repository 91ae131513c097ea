//! Sends one request over as many hops as upstream redirects, and checks each of them. Decides nothing about tokens, and never
//! sends an `Authorization` to another place than the one it is for. A request whose connection dies before the response begins
//! is repeated once on a new one (RFC 9112, section 9.3.1): all of them are `GET` and `HEAD`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::{Host, Url};

use super::address;
use super::clients::{ClientPair, Clients, ForbiddenName};
use super::connection_error::{self, chain, is_dead_connection};
use super::error::UpstreamError;
use super::hosts::{Hosts, Place, Step, has_userinfo};
use crate::domain::repository::UpstreamName;

const MAX_REDIRECTS: usize = 5;
const MAX_DISCARDED_BYTES: usize = 16 << 10;
const DISCARD_TIMEOUT: Duration = Duration::from_millis(250);

/// The way to one upstream and wherever it sends us.
pub(super) struct Transport {
    pub(super) upstream: UpstreamName,
    pub(super) clients: Arc<Clients>,
    pub(super) hosts: Hosts,
}

/// One request, repeated at each hop.
pub(super) struct Request<'a> {
    /// What it is counted as.
    pub(super) kind: &'static str,
    /// `GET` or `HEAD`.
    pub(super) method: Method,
    /// Where it is sent first.
    pub(super) url: Url,
    /// What it carries at every hop.
    pub(super) headers: HeaderMap,
    /// `Authorization` for the first place only.
    pub(super) authorization: Option<HeaderValue>,
    /// `Authorization` for a place that a redirect leads to, if there is one.
    pub(super) elsewhere: &'a (dyn Fn(&Place) -> Option<HeaderValue> + Sync),
}

/// The response of the last hop.
pub(super) struct Answer {
    /// Its status and headers, and the body to come.
    pub(super) response: Response,
    /// Where it came from.
    pub(super) url: Url,
    /// Whether that is another place than the request was sent to first.
    pub(super) redirected: bool,
    /// The `Authorization` that the last hop saw.
    pub(super) shown: Option<HeaderValue>,
}

impl Transport {
    /// Sends the request, and follows at most five redirects.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Answer, UpstreamError> {
        let (mut url, mut redirected) = (request.url.clone(), false);
        for _ in 0..=MAX_REDIRECTS {
            let shown = request.authorization_at(&url, redirected);
            let response = self.hop(&request, &url, shown.as_ref()).await?;
            let Some(next) = redirect_target(&response, &url)? else {
                return Ok(Answer { response, url, redirected, shown });
            };
            match self.hosts.step(&url, &next) {
                Step::Same => {}
                Step::Elsewhere => redirected = true,
                Step::Refused => {
                    return Err(UpstreamError::InvalidResponse { what: "a redirect from https to http" });
                }
            }
            discard(response).await;
            url = next;
        }
        Err(UpstreamError::InvalidResponse { what: "more than five redirects" })
    }

    /// One hop. The second try is made on a connection of its own: others that were kept may be dead, too.
    async fn hop(
        &self,
        request: &Request<'_>,
        url: &Url,
        shown: Option<&HeaderValue>,
    ) -> Result<Response, UpstreamError> {
        let clients = self.clients_for(url)?;
        let mut sent = self.send_once(&clients.pooled, request, url, shown).await;
        if sent.as_ref().is_err_and(is_dead_connection) {
            sent = self.send_once(&clients.fresh, request, url, shown).await;
        }
        sent.map_err(|error| self.not_sent(error, url))
    }

    async fn send_once(
        &self,
        client: &reqwest::Client,
        request: &Request<'_>,
        url: &Url,
        shown: Option<&HeaderValue>,
    ) -> Result<Response, reqwest::Error> {
        let mut building = client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        if let Some(value) = shown {
            building = building.header(AUTHORIZATION, value.clone());
        }
        let mut counted = Counted { upstream: &self.upstream, kind: request.kind, outcome: "given_up" };
        let sent = building.header(ACCEPT_ENCODING, "identity").send().await;
        counted.outcome = sent.as_ref().map_or_else(failure_word, |response| status_word(response.status()));
        sent
    }

    /// The clients that may connect there, if any may.
    fn clients_for(&self, url: &Url) -> Result<&ClientPair, UpstreamError> {
        if !matches!(url.scheme(), "http" | "https") || has_userinfo(url) {
            return Err(UpstreamError::InvalidResponse { what: "an address that is not plain http or https" });
        }
        let listed = self.hosts.lists(url);
        let allowed = |ip| !address::is_link_local(ip) && (listed || address::is_public(ip));
        let permitted = match url.host() {
            Some(Host::Ipv4(v4)) => allowed(v4.into()),
            Some(Host::Ipv6(v6)) => allowed(v6.into()),
            Some(Host::Domain(name)) => listed || !self.clients.proxy_hosts.iter().any(|proxy| proxy == name),
            None => false,
        };
        match (permitted, listed) {
            (true, true) => Ok(&self.clients.listed),
            (true, false) => Ok(&self.clients.strict),
            (false, _) => Err(forbidden(url)),
        }
    }
}

impl Transport {
    /// What an error of the HTTP client means; it names the host where that is not upstream's own.
    fn not_sent(&self, error: reqwest::Error, url: &Url) -> UpstreamError {
        let error = error.without_url();
        if chain(&error).any(|cause| cause.is::<ForbiddenName>()) {
            return forbidden(url);
        }
        let elsewhere = (!self.hosts.is_base(url)).then(|| url.host_str().unwrap_or_default().to_owned());
        connection_error::cause(&error, url.scheme() == "https", elsewhere)
    }
}

impl Request<'_> {
    /// A redirect that has led to another place once never gets the first place's `Authorization` again.
    fn authorization_at(&self, url: &Url, redirected: bool) -> Option<HeaderValue> {
        if !redirected {
            return self.authorization.clone();
        }
        (self.elsewhere)(&Place::of(url))
    }
}

/// Counts one request when it is over, however it ends.
struct Counted<'a> {
    upstream: &'a UpstreamName,
    kind: &'static str,
    outcome: &'static str,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let (upstream, kind, outcome) = (self.upstream.as_str().to_owned(), self.kind, self.outcome);
        tracing::debug!(upstream, kind, outcome, "request to upstream");
        let labels = [("upstream", upstream), ("kind", kind.to_owned()), ("outcome", outcome.to_owned())];
        metrics::counter!("dependency_proxy_upstream_requests_total", &labels).increment(1);
    }
}

/// Reads what is left of a response that only leads elsewhere, if that is little: its connection can then be used again.
pub(super) async fn discard(mut response: Response) {
    let read = async {
        let mut left = MAX_DISCARDED_BYTES;
        while let Ok(Some(bytes)) = response.chunk().await {
            let Some(less) = left.checked_sub(bytes.len()) else { return };
            left = less;
        }
    };
    // Giving up costs a new connection, no more.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, read).await;
}

fn redirect_target(response: &Response, from: &Url) -> Result<Option<Url>, UpstreamError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| from.join(location).ok());
    target.map(Some).ok_or(UpstreamError::InvalidResponse { what: "a redirect to nowhere" })
}

fn forbidden(url: &Url) -> UpstreamError {
    UpstreamError::ForbiddenAddress { host: url.host_str().unwrap_or_default().to_owned() }
}

fn failure_word(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() { "timed_out" } else { "unreachable" }
}

fn status_word(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "ok",
        300..=399 => "redirect",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        429 => "rate_limited",
        _ => "failed",
    }
}
