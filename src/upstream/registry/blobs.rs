//! Requests for blobs and ranges of them (OCI distribution specification, "Pulling blobs").

use std::ops::Range;

use reqwest::{Method, Response};

use super::super::content::{Content, ContentHead};
use super::super::error::UpstreamError;
use super::super::head_support::Outlook;
use super::super::response::{self, Refusal};
use super::RegistryClient;
use super::content_request::ContentRequest;
use super::requests::{content_of, with_timeout};
use crate::domain::digest::Digest;
use crate::domain::origin::Origin;

impl RegistryClient {
    /// Requests the head of a blob. A success proves that this account may read the blob in this repository.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not confirm that it has the blob.
    pub async fn head_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        with_timeout(self.header_timeout, self.head_or_first_byte(origin, digest)).await
    }

    async fn head_or_first_byte(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        if self.blob_heads.outlook(origin) != Outlook::Likely {
            return self.first_byte_of_blob(origin, digest).await;
        }
        let wanted = ContentRequest::new("blob_head", Method::HEAD, format!("blobs/{digest}"));
        let pending = self.blob_heads.begin(origin);
        let head = tokio::time::timeout(self.head_timeout(), self.request(origin, wanted, Refusal::OfStorage)).await;
        if let Ok(head) = head {
            pending.ended();
            match head.map(|response| response::affirmed_blob(response.headers(), digest)) {
                Ok(Some(head)) => return Ok(head),
                Err(error) if !error.may_succeed_by_get() => return Err(error),
                Err(error) if !error.refuses_method() => {}
                Ok(None) | Err(_) => self.blob_heads.inconclusive(origin, &digest.to_string()),
            }
        }
        let head = self.first_byte_of_blob(origin, digest).await;
        self.blob_heads.get_ended(origin, &digest.to_string(), head.is_ok());
        head
    }

    /// Requests the first byte of a blob. The headers state the length of the whole blob.
    async fn first_byte_of_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        let first =
            ContentRequest::new("blob_head", Method::GET, format!("blobs/{digest}")).in_range("bytes=0-0".to_owned());
        match self.request_twice(origin, first, Refusal::OfStorage).await {
            Ok(response) => response::first_byte_head(is_partial(&response), response.headers()),
            Err(UpstreamError::WrongRange) if response::is_empty(digest) => {
                Ok(ContentHead { length: Some(0), ..ContentHead::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// Requests a blob from the offset `from`. Each request begins at the registry itself, because the addresses to
    /// which it redirects expire.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send it.
    pub async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Result<Content, UpstreamError> {
        let whole = ContentRequest::new("blob", Method::GET, format!("blobs/{digest}"));
        let wanted = if from > 0 { whole.in_range(format!("bytes={from}-")) } else { whole };
        let response = self.request(origin, wanted, Refusal::OfStorage).await?;
        let (head, skip) = response::blob_head(is_partial(&response), response.headers(), from)?;
        Ok(content_of(head, response, skip, self.idle_timeout))
    }

    /// Requests this range of a blob, which must not be empty. The head states the length of the whole blob.
    /// `None`: upstream ignores ranges and would send all of the blob.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send exactly this range.
    pub async fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: &Range<u64>,
    ) -> Result<Option<Content>, UpstreamError> {
        if self.ignored_ranges.outlook(origin) != Outlook::Likely {
            return Ok(None);
        }
        let header = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let wanted = ContentRequest::new("blob_range", Method::GET, format!("blobs/{digest}")).in_range(header);
        let response = self.request_twice(origin, wanted, Refusal::OfStorage).await?;
        if !is_partial(&response) {
            self.ignored_ranges.refused(origin);
            return Ok(None);
        }
        let head = response::range_head(response.headers(), range)?;
        Ok(Some(content_of(head, response, 0, self.idle_timeout)))
    }
}

fn is_partial(response: &Response) -> bool {
    response.status().as_u16() == 206
}
