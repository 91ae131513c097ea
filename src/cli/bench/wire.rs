//! HTTP/1.1 client of the load generator; the only file of it that uses reqwest. It follows redirects as container
//! clients do, without credentials to other origins, and returns bodies chunk by chunk.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::fault::Fault;
use crate::cli::client::{builder, built, causes};
use crate::cli::credentials::Login;
use crate::cli::failure::Failure;
use crate::cli::refusal::Refusal;

/// Options of connections.
#[derive(Clone, Debug)]
pub(super) struct ConnectionOptions {
    /// True: opens a new connection for each request.
    pub(super) new_connections: bool,
    /// Maximum time to wait for a response, or for its next byte.
    pub(super) timeout: Duration,
    /// Certificate authorities to trust in addition to those of the operating system, as PEM.
    pub(super) authorities: Option<Vec<u8>>,
}

/// The connections to a server and to the targets of its redirects.
pub(super) struct Wire {
    client: Client,
    new_connections: bool,
}

/// Value of the `Authorization` header. Its `Debug` output does not show the secret.
#[derive(Debug)]
pub(super) struct Authorization(HeaderValue);

/// A response whose body has not been read.
pub(super) struct StreamedResponse {
    response: Response,
    requested_at: Instant,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;
/// Maximum size of a body that is no content: an error, a token, the body of a redirect.
const MAX_TEXT_BYTES: usize = 256 << 10;
const MAX_MESSAGE_CHARS: usize = 400;

impl Wire {
    /// Creates a client for this server. Fails where the certificate authorities are invalid.
    pub(super) fn new(base: &Url, connection: &ConnectionOptions) -> Result<Self, Failure> {
        let builder = builder(base, connection.authorities.as_deref())?
            .connect_timeout(connection.timeout.min(CONNECT_TIMEOUT))
            .read_timeout(connection.timeout)
            .referer(false)
            .pool_max_idle_per_host(if connection.new_connections { 0 } else { usize::MAX });
        Ok(Self { client: built(builder)?, new_connections: connection.new_connections })
    }

    /// Sends a `GET` request, follows redirects and returns the last response. Fails where there is none,
    /// or after too many redirects.
    pub(super) async fn get(
        &self,
        mut url: Url,
        accept: &str,
        authorization: Option<&Authorization>,
    ) -> Result<StreamedResponse, Fault> {
        let (origin, requested_at) = (url.origin(), Instant::now());
        for _ in 0..=MAX_REDIRECTS {
            let authorization = authorization.filter(|_| url.origin() == origin);
            let response = self.send(url.clone(), accept, authorization).await?;
            let mut response = StreamedResponse { response, requested_at };
            match response.leads_to(&url)? {
                Some(next) => url = next,
                None => return Ok(response),
            }
            // The body is read to its end, so that the connection can be reused.
            response.text().await?;
        }
        Err(Fault::Unusable(format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn send(&self, url: Url, accept: &str, authorization: Option<&Authorization>) -> Result<Response, Fault> {
        let request = self.client.get(url).header(ACCEPT, accept);
        let request = authorization
            .into_iter()
            .fold(request, |request, Authorization(value)| request.header(AUTHORIZATION, value));
        self.last(request).send().await.map_err(|error| fault(&error))
    }

    /// Adds `Connection: close` if connections are not reused, so that the server closes it, too.
    fn last(&self, request: RequestBuilder) -> RequestBuilder {
        if self.new_connections { request.header(CONNECTION, "close") } else { request }
    }
}

impl Authorization {
    /// Returns the value for a token; `None` where the token contains characters that a header cannot.
    pub(super) fn bearer(token: &SecretString) -> Option<Self> {
        Self::of(&format!("Bearer {}", token.expose_secret()))
    }

    /// Returns the value for a user name and its secret.
    pub(super) fn basic((username, secret): &Login) -> Option<Self> {
        Self::of(&format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{}", secret.expose_secret()))))
    }

    fn of(value: &str) -> Option<Self> {
        let mut header = HeaderValue::from_str(value).ok()?;
        header.set_sensitive(true);
        Some(Self(header))
    }
}

impl StreamedResponse {
    /// Returns the time of the request, before the first redirect.
    pub(super) fn requested_at(&self) -> Instant {
        self.requested_at
    }

    /// Returns the HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Returns the value of a header, if it is text.
    pub(super) fn header(&self, name: &'static str) -> Option<&str> {
        self.response.headers().get(HeaderName::from_static(name))?.to_str().ok()
    }

    /// Returns all challenges (`WWW-Authenticate`).
    pub(super) fn challenges(&self) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok())
    }

    /// Returns the next chunk of the body; `None` at its end. Fails where the connection ends or times out.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        self.response.chunk().await.map_err(|error| fault(&error))
    }

    /// Reads a short body, up to [`MAX_TEXT_BYTES`].
    pub(super) async fn text(&mut self) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        while let Some(chunk) = self.next().await? {
            text.extend_from_slice(&chunk[..chunk.len().min(MAX_TEXT_BYTES - text.len())]);
            if text.len() == MAX_TEXT_BYTES {
                break;
            }
        }
        Ok(text)
    }

    /// Reads the error message of a response whose status is no success.
    pub(super) async fn refusal(mut self) -> Fault {
        let status = self.status();
        // Where the body does not arrive, the status alone is reported.
        let body = self.text().await.unwrap_or_default();
        let code = Refusal::read(&body).map(|refusal| refusal.code).unwrap_or_default();
        let sentence = Refusal::sentence(status, &body).chars().take(MAX_MESSAGE_CHARS).collect();
        Fault::Status { status, code, sentence }
    }

    fn leads_to(&self, from: &Url) -> Result<Option<Url>, Fault> {
        let redirects = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        if !redirects.contains(&self.response.status()) {
            return Ok(None);
        }
        let target = self.header("location").and_then(|target| from.join(target).ok());
        let target = target.filter(|target| matches!(target.scheme(), "http" | "https"));
        target.map(Some).ok_or_else(|| Fault::Unusable("a redirect without a valid location".to_owned()))
    }
}

/// Classifies an error by its cause.
fn fault(error: &reqwest::Error) -> Fault {
    let text = causes(error);
    if concerns_tls(error) {
        Fault::Tls(text)
    } else if error.is_connect() {
        Fault::Connect(text)
    } else if error.is_timeout() {
        Fault::Timeout
    } else {
        Fault::CutOff(text)
    }
}

fn concerns_tls(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |cause| (*cause).source()).any(is_tls)
}

fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    // The source of an I/O error is that of the error it wraps, so that the wrapped one is not in the chain of sources.
    let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_tls(wrapped))
}
