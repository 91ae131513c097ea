//! Requests for manifests (OCI distribution specification, "Pulling manifests").

use reqwest::Method;

use super::super::content::{Content, ManifestHead};
use super::super::error::UpstreamError;
use super::super::head_support::Outlook;
use super::super::response::{self, Refusal};
use super::RegistryClient;
use super::content_request::ContentRequest;
use super::requests::content_of;
use crate::domain::manifest::ACCEPTED;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;

impl RegistryClient {
    /// Sends a `HEAD` for a manifest, which Docker Hub does not count as a pull. The digest in the response is not
    /// verified.
    ///
    /// # Errors
    ///
    /// Fails with errors that a `GET` would meet, too.
    pub async fn head_manifest(&self, origin: &Origin, reference: &Reference) -> Result<ManifestHead, UpstreamError> {
        match self.manifest_heads.outlook(origin) {
            Outlook::Likely => {}
            Outlook::Unsupported => return Ok(ManifestHead::NotRequested),
            Outlook::Slow => return Ok(ManifestHead::KnownSlow),
        }
        let wanted =
            ContentRequest::new("manifest_head", Method::HEAD, format!("manifests/{reference}")).accepting(&ACCEPTED);
        let pending = self.manifest_heads.begin(origin);
        let head = tokio::time::timeout(self.head_timeout(), self.request(origin, wanted, Refusal::OfRegistry)).await;
        let Ok(head) = head else { return Ok(ManifestHead::TooSlow) };
        pending.ended();
        match head.map(|response| response::affirmed_manifest(response.headers())) {
            // Without a digest the response does not state which manifest a tag refers to.
            Ok(Some(head)) if head.digest.is_some() || matches!(reference, Reference::Digest(_)) => {
                Ok(ManifestHead::Confirmed(head))
            }
            Err(error) if !error.may_succeed_by_get() => Err(error),
            outcome => {
                if outcome.err().is_none_or(|error| error.refuses_method()) {
                    self.manifest_heads.inconclusive(origin, &reference.to_string());
                }
                Ok(ManifestHead::Open)
            }
        }
    }

    /// Requests a manifest or index, in the form in which upstream stores it. The caller bounds its length and
    /// verifies its digest.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send it.
    pub async fn manifest(&self, origin: &Origin, reference: &Reference) -> Result<Content, UpstreamError> {
        let wanted =
            ContentRequest::new("manifest", Method::GET, format!("manifests/{reference}")).accepting(&ACCEPTED);
        let response = self.request_twice(origin, wanted, Refusal::OfRegistry).await;
        self.manifest_heads.get_ended(origin, &reference.to_string(), response.is_ok());
        let response = response?;
        let head = response::manifest_head(response.headers())?;
        Ok(content_of(head, response, 0, self.header_timeout.min(self.idle_timeout)))
    }
}
