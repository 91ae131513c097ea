//! Requests for content of a repository, without what authorizes them: their addresses, timeouts and repetition, and
//! the bodies of their responses.

use std::future::Future;
use std::time::Duration;

use futures::TryStreamExt;
use reqwest::Response;
use reqwest::header::HeaderValue;

use super::RegistryClient;
use super::content_request::ContentRequest;
use crate::domain::origin::Origin;
use crate::domain::retries::jittered;
use crate::upstream::connection_error::innermost;
use crate::upstream::content::{self, Content, ContentHead};
use crate::upstream::error::{HttpFailure, UpstreamError};
use crate::upstream::hosts::Place;
use crate::upstream::response::{self, Refusal};
use crate::upstream::tokens::Token;
use crate::upstream::transport::Request;

/// Delay before a request that failed with 502, 503 or 504 is repeated, without jitter.
const RETRY_DELAY: Duration = Duration::from_millis(300);

impl RegistryClient {
    /// Sends a request as [`Self::request`] does, and to upstream's own registry once more after a short delay if a
    /// gateway in front of it failed.
    pub(super) async fn request_twice(
        &self,
        origin: &Origin,
        wanted: ContentRequest<'_>,
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
    pub(super) async fn request(
        &self,
        origin: &Origin,
        wanted: ContentRequest<'_>,
        refusal: Refusal,
    ) -> Result<Response, UpstreamError> {
        let successful = async {
            let received = self.send_authorized(origin, &wanted).await?;
            response::successful(received, refusal, || self.passwords(&origin.account)).await
        };
        with_timeout(self.header_timeout, successful).await
    }

    pub(super) fn request_for<'a>(
        &self,
        origin: &Origin,
        wanted: &ContentRequest<'_>,
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
pub(super) fn content_of(head: ContentHead, response: Response, skip: u64, idle: Duration) -> Content {
    let broken = |error: reqwest::Error| UpstreamError::Interrupted { reason: innermost(&error.without_url()) };
    let stream = content::with_idle_timeout(response.bytes_stream().map_err(broken), idle);
    Content { head, stream: content::skipping(stream, skip), mirror: None }
}

pub(super) async fn with_timeout<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(UpstreamError::TimedOut))
}

/// Returns true if a gateway in front of upstream has failed, and upstream does not want a longer pause.
fn may_be_repeated(failure: &HttpFailure) -> bool {
    matches!(failure.status, 502..=504) && failure.retry_after.is_none_or(|wait| wait <= RETRY_DELAY)
}

/// Returns a random number; 0 if the operating system provides none.
fn random_number() -> u32 {
    let mut bytes = [0; 4];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    filled.map_or(0, |()| u32::from_ne_bytes(bytes))
}
