//! A request for content of a repository, without the registry that it is sent to.

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, RANGE};

use crate::upstream::error::UpstreamError;

/// A request for content of a repository.
#[derive(Clone)]
pub(super) struct ContentRequest<'a> {
    pub(super) kind: &'static str,
    pub(super) method: Method,
    /// Path after the repository.
    pub(super) path: String,
    /// Query without `?`; empty if there is none.
    pub(super) query: &'a str,
    pub(super) accept: &'a [&'static str],
    pub(super) range: Option<String>,
}

impl<'a> ContentRequest<'a> {
    /// Creates a request for this path after the repository. `kind` names it in the metrics.
    pub(super) fn new(kind: &'static str, method: Method, path: String) -> Self {
        Self { kind, method, path, query: "", accept: &[], range: None }
    }

    /// Adds the media types that the response may have.
    pub(super) fn accepting(self, accept: &'a [&'static str]) -> Self {
        Self { accept, ..self }
    }

    /// Limits the request to this value of `Range`.
    pub(super) fn in_range(self, range: String) -> Self {
        Self { range: Some(range), ..self }
    }

    /// Returns the headers of the request.
    ///
    /// # Errors
    ///
    /// Fails if the range is no value of a header.
    pub(super) fn headers(&self) -> Result<HeaderMap, UpstreamError> {
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
