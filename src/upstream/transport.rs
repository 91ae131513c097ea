//! Sends one question over as many hops as upstream redirects, and checks each of them. Decides nothing about tokens, and
//! never sends `Authorization` to another place than the first.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use url::{Host, Url};

use super::address;
use super::clients::{Clients, ForbiddenName, innermost};
use super::error::UpstreamError;
use super::hosts::{Hosts, Step, has_userinfo};
use crate::domain::repository::UpstreamName;

const MAX_REDIRECTS: usize = 5;
const MAX_DISCARDED: usize = 16 << 10;
const DISCARD_PATIENCE: Duration = Duration::from_millis(250);

/// The way to one upstream and wherever it sends us.
pub(super) struct Transport {
    pub(super) upstream: UpstreamName,
    pub(super) clients: Arc<Clients>,
    pub(super) hosts: Hosts,
}

/// One question, repeated at each hop.
pub(super) struct Question {
    /// What the requests are counted as.
    pub(super) kind: &'static str,
    /// `GET` or `HEAD`.
    pub(super) method: Method,
    /// Where it is asked first.
    pub(super) url: Url,
    /// What it is asked with at every hop.
    pub(super) headers: HeaderMap,
    /// What is shown at the first place only.
    pub(super) authorization: Option<HeaderValue>,
}

/// The answer of the last hop.
pub(super) struct Answer {
    /// Its status and headers, and the body to come.
    pub(super) response: Response,
    /// Whether it came from another place than was asked first.
    pub(super) redirected: bool,
}

impl Transport {
    /// Asks, and follows at most five redirects.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, UpstreamError> {
        let Question { kind, method, mut url, headers, mut authorization } = question;
        let mut redirected = false;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.client_for(&url)?.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(value) = &authorization {
                request = request.header(AUTHORIZATION, value.clone());
            }
            let mut counted = Counted { upstream: &self.upstream, kind, outcome: "given_up" };
            let sent = request.header(ACCEPT_ENCODING, "identity").send().await;
            counted.outcome = sent.as_ref().map_or_else(failure_word, |response| status_word(response.status()));
            drop(counted);
            let response = sent.map_err(|error| not_sent(error, &url))?;
            let Some(next) = redirect_target(&response, &url)? else {
                return if is_encoded(&response) { Err(ENCODED) } else { Ok(Answer { response, redirected }) };
            };
            match self.hosts.step(&url, &next) {
                Step::Same => {}
                Step::Elsewhere => (authorization, redirected) = (None, true),
                Step::Refused => return Err(UpstreamError::Nonsense { what: "a redirect from https to http" }),
            }
            discard(response).await;
            url = next;
        }
        Err(UpstreamError::Nonsense { what: "more than five redirects" })
    }

    /// The client that may connect there, if any may.
    fn client_for(&self, url: &Url) -> Result<&Client, UpstreamError> {
        if !matches!(url.scheme(), "http" | "https") || has_userinfo(url) {
            return Err(UpstreamError::Nonsense { what: "an address that is not plain http or https" });
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

/// Counts one request when it is over, however it ends.
struct Counted<'a> {
    upstream: &'a UpstreamName,
    kind: &'static str,
    outcome: &'static str,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let (upstream, kind, outcome) = (self.upstream.as_str().to_owned(), self.kind, self.outcome);
        tracing::debug!(upstream, kind, outcome, "asked upstream");
        let labels = [("upstream", upstream), ("kind", kind.to_owned()), ("outcome", outcome.to_owned())];
        metrics::counter!("dependency_proxy_upstream_requests_total", &labels).increment(1);
    }
}

const ENCODED: UpstreamError = UpstreamError::Nonsense { what: "an encoded body" };

/// Reads what is left of an answer that only leads elsewhere, if that is little: its connection can then be used again.
pub(super) async fn discard(mut response: Response) {
    let read = async {
        let mut left = MAX_DISCARDED;
        while let Ok(Some(bytes)) = response.chunk().await {
            let Some(less) = left.checked_sub(bytes.len()) else { return };
            left = less;
        }
    };
    // Giving up costs a new connection, no more.
    let _ = tokio::time::timeout(DISCARD_PATIENCE, read).await;
}

fn is_encoded(response: &Response) -> bool {
    let mut encodings = response.headers().get_all(CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn redirect_target(response: &Response, from: &Url) -> Result<Option<Url>, UpstreamError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| from.join(location).ok());
    target.map(Some).ok_or(UpstreamError::Nonsense { what: "a redirect to nowhere" })
}

fn not_sent(error: reqwest::Error, url: &Url) -> UpstreamError {
    let error = error.without_url();
    if chain(&error).any(|cause| cause.is::<ForbiddenName>()) {
        return forbidden(url);
    }
    if error.is_timeout() {
        return UpstreamError::TimedOut;
    }
    UpstreamError::Unreachable { reason: innermost(&error) }
}

fn forbidden(url: &Url) -> UpstreamError {
    UpstreamError::ForbiddenAddress { host: url.host_str().unwrap_or_default().to_owned() }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| (*cause).source())
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
