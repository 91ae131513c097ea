//! Transport of one request: follows and checks redirects. Makes no decisions about tokens, and never sends an
//! `Authorization` to another place than the one it is for. A request whose connection ends before the response
//! begins is repeated once on a new connection (RFC 9112, section 9.3.1): all requests are `GET` or `HEAD`.

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
/// Maximum number of bytes of a discarded body that are read to keep its connection.
const MAX_DISCARDED_BYTES: usize = 16 << 10;
/// Maximum time to read a discarded body.
const DISCARD_TIMEOUT: Duration = Duration::from_millis(250);

/// Transport to one upstream and to the hosts to which it redirects.
pub(super) struct Transport {
    pub(super) upstream: UpstreamName,
    pub(super) clients: Arc<Clients>,
    pub(super) hosts: Hosts,
}

/// A request, sent again at each hop.
pub(super) struct Request<'a> {
    /// Label `kind` of the metric.
    pub(super) kind: &'static str,
    /// `GET` or `HEAD`.
    pub(super) method: Method,
    /// Address of the first hop.
    pub(super) url: Url,
    /// Headers that are sent at every hop.
    pub(super) headers: HeaderMap,
    /// `Authorization`, sent only to the place of the first hop.
    pub(super) authorization: Option<HeaderValue>,
    /// Function that returns the `Authorization` for a place to which a redirect leads, if there is one.
    pub(super) elsewhere: &'a (dyn Fn(&Place) -> Option<HeaderValue> + Sync),
}

/// The response of the last hop.
pub(super) struct FinalResponse {
    /// Status and headers, with the body still to be read.
    pub(super) response: Response,
    /// Address of the last hop.
    pub(super) url: Url,
    /// True if the redirects have left the place of the first hop.
    pub(super) redirected: bool,
    /// The `Authorization` that was sent at the last hop.
    pub(super) authorization: Option<HeaderValue>,
}

impl Transport {
    /// Sends the request and follows at most [`MAX_REDIRECTS`] redirects.
    ///
    /// # Errors
    ///
    /// Fails if there is no response, or if a redirect is invalid, forbidden or one too many. Any final status is a
    /// success here.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<FinalResponse, UpstreamError> {
        let (mut url, mut redirected) = (request.url.clone(), false);
        for _ in 0..=MAX_REDIRECTS {
            let authorization = request.authorization_at(&url, redirected);
            let response = self.hop(&request, &url, authorization.as_ref()).await?;
            let Some(next) = redirect_target(&response, &url)? else {
                return Ok(FinalResponse { response, url, redirected, authorization });
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

    /// Sends the request to one address. The retry uses a new connection, because other kept connections may be
    /// dead, too.
    async fn hop(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, UpstreamError> {
        let clients = self.clients_for(url)?;
        let mut sent = self.send_once(&clients.pooled, request, url, authorization).await;
        if sent.as_ref().is_err_and(is_dead_connection) {
            sent = self.send_once(&clients.fresh, request, url, authorization).await;
        }
        sent.map_err(|error| self.not_sent(error, url))
    }

    async fn send_once(
        &self,
        client: &reqwest::Client,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, reqwest::Error> {
        let mut building = client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        if let Some(value) = authorization {
            building = building.header(AUTHORIZATION, value.clone());
        }
        let mut counted = Counted { upstream: &self.upstream, kind: request.kind, outcome: "given_up" };
        let sent = building.header(ACCEPT_ENCODING, "identity").send().await;
        counted.outcome = sent.as_ref().map_or_else(failure_word, |response| status_word(response.status()));
        sent
    }

    /// Returns the clients that may connect to this address. Fails if none may.
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
    /// Converts an error of the HTTP client. The result names the host if it is not the upstream's own.
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
    /// Returns the `Authorization` for this hop. Once a redirect has led to another place, the `Authorization` of
    /// the first hop is not sent any more, even if a later redirect returns.
    fn authorization_at(&self, url: &Url, redirected: bool) -> Option<HeaderValue> {
        if !redirected {
            return self.authorization.clone();
        }
        (self.elsewhere)(&Place::of(url))
    }
}

/// Counts one request on drop, so that every outcome is counted.
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

/// Reads the rest of a response that is not used, if it is short, so that its connection can be reused.
pub(super) async fn discard(mut response: Response) {
    let read = async {
        let mut left = MAX_DISCARDED_BYTES;
        while let Ok(Some(bytes)) = response.chunk().await {
            let Some(less) = left.checked_sub(bytes.len()) else { return };
            left = less;
        }
    };
    // After a timeout the next request only needs a new connection.
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
