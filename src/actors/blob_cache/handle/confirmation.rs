//! Confirmation by upstream that the account of a group may read a blob that is stored already.

use std::time::{Duration, Instant};

use super::BlobCacheHandle;
use crate::actors::blob_cache::coordinator::ConfirmBlob;
use crate::actors::blob_cache::error::BlobError;
use crate::actors::blob_cache::request::OpenBlob;
use crate::actors::blob_cache::upstream::BlobKey;
use crate::actors::upstream_fetcher::Urgency;
use crate::domain::id::GroupId;
use crate::telemetry::TraceParent;
use crate::upstream::{ContentHead, UpstreamError};

/// Time after a successful `HEAD` within which its link is recorded: a request that finds no link meanwhile uses its
/// outcome.
const LINKING_TIME: Duration = Duration::from_secs(1);

impl BlobCacheHandle {
    /// Grants the group a link to a stored blob if upstream has it for this group's account. Upstream's response
    /// must match the blob: a web page with status 200 grants nothing.
    /// `since` is a time before the link was looked up.
    pub(super) async fn confirm(&self, wanted: &OpenBlob, length: u64, since: Instant) -> Result<(), BlobError> {
        let key = wanted.key();
        let head = self.head_upstream(wanted.group, key.clone(), since, LINKING_TIME).await?;
        if !head.affirms(&key.digest, length) {
            // The stored file may be damaged instead.
            if let Some(verifier) = self.verifier.get() {
                verifier.suspect(&wanted.digest);
            }
            self.confirm_by_range(&key, length).await?;
        }
        self.shared.link(wanted.group, &key, length).await;
        Ok(())
    }

    /// Requests the first byte of a blob, which decides whether upstream has it: a `HEAD` with another
    /// length may be wrong.
    async fn confirm_by_range(&self, key: &BlobKey, length: u64) -> Result<(), BlobError> {
        let content = self.shared.upstream.request(key.range(0..1, Urgency::Awaited)).await?;
        let head = content.map(|content| content.head).unwrap_or_default();
        match head.length {
            _ if head.affirms(&key.digest, length) => Ok(()),
            Some(reported) => Err(BlobError::WrongLength { expected: length, reported }),
            None => {
                Err(UpstreamError::InvalidResponse { what: "neither the length nor the digest of the blob" }.into())
            }
        }
    }

    /// Sends a `HEAD` for the blob to upstream. Concurrent requests for the same blob are coalesced, and so is one that
    /// was completed after `since`, or with success at most `max_age` before.
    pub(super) async fn head_upstream(
        &self,
        group: GroupId,
        key: BlobKey,
        since: Instant,
        max_age: Duration,
    ) -> Result<ContentHead, BlobError> {
        let _permit = self.wait(group)?;
        let confirm = ConfirmBlob { group, key, since, max_age, trace: TraceParent::present() };
        Ok(self.cache.send(confirm).await.map_err(|_| BlobError::Interrupted)??)
    }
}
