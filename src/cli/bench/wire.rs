//! HTTP/1.1 for the load generator; of its files the one that knows reqwest. Follows redirects as clients do, without
//! credentials where they lead elsewhere. Hands bodies on piece by piece and holds none.

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

/// How to connect.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    /// A new connection for each request.
    pub(super) new_connections: bool,
    /// How long an answer, or its next byte, may take.
    pub(super) timeout: Duration,
    /// Authorities to trust besides the system's, as PEM.
    pub(super) authorities: Option<Vec<u8>>,
}

/// The connections to a server and to where it leads.
pub(super) struct Wire {
    client: Client,
    new_connections: bool,
}

/// What proves who asks. Printed, it shows nothing.
#[derive(Debug)]
pub(super) struct Authorization(HeaderValue);

/// An answer whose body is still to come.
pub(super) struct Answer {
    response: Response,
    asked: Instant,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;
/// What is read of an answer that is no content: an error, a token, the body of a redirect.
const MAX_TEXT: usize = 256 << 10;
const MAX_SENTENCE: usize = 400;

impl Wire {
    /// Connections to this server.
    pub(super) fn new(base: &Url, manner: &Manner) -> Result<Self, Failure> {
        let builder = builder(base, manner.authorities.as_deref())?
            .connect_timeout(manner.timeout.min(CONNECT_TIMEOUT))
            .read_timeout(manner.timeout)
            .referer(false)
            .pool_max_idle_per_host(if manner.new_connections { 0 } else { usize::MAX });
        Ok(Self { client: built(builder)?, new_connections: manner.new_connections })
    }

    /// The answer at the end of all redirects.
    pub(super) async fn get(
        &self,
        mut url: Url,
        accept: &str,
        authorization: Option<&Authorization>,
    ) -> Result<Answer, Fault> {
        let (origin, asked) = (url.origin(), Instant::now());
        for _ in 0..=MAX_REDIRECTS {
            let authorization = authorization.filter(|_| url.origin() == origin);
            let response = self.ask(url.clone(), accept, authorization).await?;
            let mut answer = Answer { response, asked };
            match answer.leads_to(&url)? {
                Some(next) => url = next,
                None => return Ok(answer),
            }
            // Read to its end, so that the connection can be used again.
            answer.text().await?;
        }
        Err(Fault::Unusable(format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn ask(&self, url: Url, accept: &str, authorization: Option<&Authorization>) -> Result<Response, Fault> {
        let request = self.client.get(url).header(ACCEPT, accept);
        let request = authorization
            .into_iter()
            .fold(request, |request, Authorization(value)| request.header(AUTHORIZATION, value));
        self.last(request).send().await.map_err(|error| fault(&error))
    }

    /// With a new connection for each request the server is told not to keep it either.
    fn last(&self, request: RequestBuilder) -> RequestBuilder {
        if self.new_connections { request.header(CONNECTION, "close") } else { request }
    }
}

impl Authorization {
    /// A token; none where it fits no header.
    pub(super) fn bearer(token: &SecretString) -> Option<Self> {
        Self::of(&format!("Bearer {}", token.expose_secret()))
    }

    /// User name and secret.
    pub(super) fn basic((username, secret): &Login) -> Option<Self> {
        Self::of(&format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{}", secret.expose_secret()))))
    }

    fn of(value: &str) -> Option<Self> {
        let mut header = HeaderValue::from_str(value).ok()?;
        header.set_sensitive(true);
        Some(Self(header))
    }
}

impl Answer {
    /// When it was asked for: before the first of its redirects.
    pub(super) fn asked(&self) -> Instant {
        self.asked
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The value of a header that is text.
    pub(super) fn header(&self, name: &'static str) -> Option<&str> {
        self.response.headers().get(HeaderName::from_static(name))?.to_str().ok()
    }

    /// All challenges.
    pub(super) fn challenges(&self) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok())
    }

    /// The next piece of the body; none at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        self.response.chunk().await.map_err(|error| fault(&error))
    }

    /// A short body, cut at 256 KiB.
    pub(super) async fn text(&mut self) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        while let Some(piece) = self.next().await? {
            text.extend_from_slice(&piece[..piece.len().min(MAX_TEXT - text.len())]);
            if text.len() == MAX_TEXT {
                break;
            }
        }
        Ok(text)
    }

    /// What the server says with a status that is no success.
    pub(super) async fn refusal(mut self) -> Fault {
        let status = self.status();
        // Where the explanation does not arrive, the status is what there is to tell.
        let body = self.text().await.unwrap_or_default();
        let code = Refusal::read(&body).map(|refusal| refusal.code).unwrap_or_default();
        let sentence = Refusal::sentence(status, &body).chars().take(MAX_SENTENCE).collect();
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
        target.map(Some).ok_or_else(|| Fault::Unusable("a redirect that leads nowhere".to_owned()))
    }
}

/// What is wrong, by what caused it.
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

/// What an I/O error wraps is not among its sources.
fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_tls(wrapped))
}
