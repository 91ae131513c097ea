//! The work of the ManifestCache, outside the actor: requests one manifest from upstream, verifies it and stores
//! it. Keeps no state and coalesces no requests.

mod invalid_content;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use self::invalid_content::Invalid;
use super::request::ManifestKey;
use super::response::{Fetched, SharedOutcome};
use crate::actors::evictor::Evictor;
use crate::actors::memory_budget::{CollectError, Collected, Lease, MemoryBudget};
use crate::actors::pull_failure::Cause;
use crate::actors::shared_manifests::{Claim, Lead, SharedManifests};
use crate::actors::unstored_reports::UnstoredReports;
use crate::actors::upstream_fetcher::{GetManifest, HeadManifest, UpstreamHandle, Verdict};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::download::Unstored;
use crate::domain::id::GroupId;
use crate::domain::manifest::{self, Named};
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::manifests::Manifest;
use crate::telemetry::LineLimit;
use crate::upstream::{Content, ContentHead, ManifestHead, UpstreamError};

/// Requests, verifies and stores manifests.
#[derive(Clone)]
pub(super) struct Fetcher {
    pub(super) upstream: UpstreamHandle,
    /// Requests that replicas share; `None`: there are no others.
    pub(super) shared: Option<SharedManifests>,
    pub(super) store: ContentStore,
    pub(super) memory: MemoryBudget,
    pub(super) unstored: Arc<UnstoredReports>,
    pub(super) evictor: Evictor,
    /// Maximum length of a stored manifest in bytes; longer ones are passed on without being stored.
    pub(super) max_stored_bytes: u64,
}

/// A valid manifest, what it refers to, and the lease of the group for which it was fetched.
type Received = (Arc<Manifest>, Arc<Named>, Option<Arc<Lease>>);

/// Maximum length of a manifest in bytes. No real manifest is as long; a longer body is treated as an attack.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// Maximum number of times that a manifest is requested again because a mirror did not deliver it whole.
const MAX_MIRROR_FAILURES: usize = 16;

/// Maximum number of times that a request is claimed: a replica that does not have it is replaced.
const MAX_CLAIMS: usize = 3;

impl Fetcher {
    /// Sends a `HEAD` for a manifest. `revalidation` is the time for it if a stale manifest can be served instead.
    pub(super) async fn head(
        &self,
        key: &ManifestKey,
        group: GroupId,
        revalidation: Option<Duration>,
    ) -> SharedOutcome<ManifestHead> {
        if let (Some(limit), Reference::Tag(tag)) = (revalidation, &key.reference)
            && let Some(digest) = self.store.revalidated_elsewhere(&key.origin, tag, limit / 2).await
        {
            let head = ContentHead { digest: Some(digest), ..ContentHead::default() };
            return SharedOutcome::new(Ok(ManifestHead::Confirmed(head)), false);
        }
        let (origin, reference) = (key.origin.clone(), key.reference.clone());
        let head = self.upstream.send(HeadManifest { origin, reference, revalidation, group }).await;
        let sent = match &head {
            Ok(head) => !matches!(head, ManifestHead::NotRequested | ManifestHead::KnownSlow),
            Err(error) => error.was_sent(),
        };
        SharedOutcome::new(head.map_err(|error| cause(key, &error.into())), sent)
    }

    /// Fetches a manifest within this group's share of memory, verifies its digest, and stores it (OCI distribution
    /// specification, "Pulling manifests"). Fails if upstream does not send a manifest with the expected digest, or if
    /// there is no memory. With `has_stale` it does not wait while upstream's limit is reached.
    pub(super) async fn fetch(&self, key: &ManifestKey, group: GroupId, has_stale: bool) -> SharedOutcome<Fetched> {
        let received = async {
            match self.content(key, group, has_stale).await {
                Ok((content, lead)) => {
                    let received = self.receive(key, group, has_stale, content).await;
                    if let Some(lead) = lead {
                        lead.finish(received.as_ref().ok().map(|(manifest, _, _)| manifest.clone()));
                    }
                    (received, true)
                }
                Err(error) => {
                    let was_sent = error.was_sent();
                    (Err(cause(key, &error.into())), was_sent)
                }
            }
        };
        // Storing is not upstream's time.
        let (received, sent) = timeout(deadlines::FETCH, received).await.unwrap_or_else(|_elapsed| {
            self.upstream.report(&key.origin, Verdict::Failed(UpstreamError::TimedOut));
            (Err(Cause::TimedOut), true)
        });
        let (manifest, named, lease) = match received {
            Ok(received) => received,
            Err(cause) => return SharedOutcome::new(Err(cause), sent),
        };
        let stored = self.store(manifest.clone(), &key.origin).await;
        SharedOutcome::of(Ok(Fetched { manifest, named, stored, _lease: lease }))
    }

    /// Returns the content of a manifest: from upstream, or from another replica that fetches it, or has fetched it.
    async fn content(
        &self,
        key: &ManifestKey,
        group: GroupId,
        has_stale: bool,
    ) -> Result<(Content, Option<Lead>), UpstreamError> {
        let ManifestKey { origin, reference } = key;
        let (mut failed, shared) = (None, self.shared.iter());
        // A second attempt takes the place of a replica that does not have it.
        for shared in shared.cycle().take(MAX_CLAIMS) {
            let leader = match shared.claim(origin, reference, failed).await {
                Some(Claim::Lead { epoch }) => {
                    let lead = shared.lead(origin, reference, epoch);
                    return match self.get(key, group, has_stale).await {
                        Ok(content) => Ok((content, Some(lead))),
                        Err(error) => {
                            lead.finish(None);
                            Err(error)
                        }
                    };
                }
                Some(Claim::Follow(leader)) => leader,
                None => break,
            };
            let digest = if leader.complete { self.confirmed_digest(key, group).await } else { None };
            if (digest.is_some() || !leader.complete)
                && let Some(content) = shared.of_leader(&leader, origin, reference, digest).await
            {
                return Ok((content, None));
            }
            failed = Some(leader.epoch);
        }
        Ok((self.get(key, group, has_stale).await?, None))
    }

    async fn get(&self, key: &ManifestKey, group: GroupId, has_stale: bool) -> Result<Content, UpstreamError> {
        let (origin, reference) = (key.origin.clone(), key.reference.clone());
        self.upstream.send(GetManifest { origin, reference, group, has_stale }).await
    }

    /// Returns the digest that upstream confirms now; `None` if a `GET` has to decide.
    async fn confirmed_digest(&self, key: &ManifestKey, group: GroupId) -> Option<Digest> {
        let (origin, reference) = (key.origin.clone(), key.reference.clone());
        let head = self.upstream.send(HeadManifest { origin, reference, revalidation: None, group }).await.ok()?;
        head.confirmed()?.digest
    }

    /// Receives a manifest. What a mirror cannot deliver whole is requested again: the mirror is skipped for it from
    /// then on, so that the next registry sends it. Nothing of it was sent to a client before.
    async fn receive(
        &self,
        key: &ManifestKey,
        group: GroupId,
        has_stale: bool,
        mut content: Content,
    ) -> Result<Received, Cause> {
        let mut left = MAX_MIRROR_FAILURES;
        loop {
            let mirror = content.mirror.clone();
            let received = self.receive_valid(key, group, content).await;
            let Some(mirror) = mirror else {
                let verdict = received.as_ref().map_or_else(Invalid::verdict, |_| Verdict::Works);
                self.upstream.report(&key.origin, verdict);
                return received.map_err(|error| error.cause(key));
            };
            let error = match received {
                Ok(received) => return Ok(received),
                Err(error) => error,
            };
            if error.is_other_content() {
                mirror.report_wrong();
            }
            if left == 0 || !(error.is_other_content() || error.is_interruption()) {
                return Err(error.cause_at(&mirror, key));
            }
            left -= 1;
            content = self.get(key, group, has_stale).await.map_err(|error| cause(key, &error.into()))?;
        }
    }

    async fn receive_valid(&self, key: &ManifestKey, group: GroupId, content: Content) -> Result<Received, Invalid> {
        let (claimed_type, claimed) = (content.head.media_type.clone(), content.head.digest);
        let (bytes, lease) = collect(&self.memory, group, content).await?;
        let mut manifest = Manifest::new(claimed_type.clone().unwrap_or_default(), bytes);
        let expected = match key.reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => claimed,
        };
        if expected.is_some_and(|expected| expected != manifest.digest) {
            return Err(invalid("the digest does not hold").into());
        }
        let (media_type, named) = manifest::identify(claimed_type.as_deref(), &manifest.bytes)
            .map_err(|error| Invalid::NoManifest { error, digest_holds: expected.is_some() })?;
        manifest.media_type = media_type;
        Ok((Arc::new(manifest), Arc::new(named), lease))
    }

    /// Stores a manifest, unless it is too long. Returns true if it was stored. A failure of the store is reported,
    /// but does not fail the pull.
    async fn store(&self, manifest: Arc<Manifest>, image: &Origin) -> bool {
        let digest = manifest.digest;
        if manifest.bytes.len() as u64 > self.max_stored_bytes {
            self.unstored.report(Unstored::TooLong, Some((image, &digest)));
            return false;
        }
        let bytes = manifest.bytes.len() as u64;
        match self.evictor.with_room(bytes, || self.store.put_manifest(manifest.clone())).await {
            Ok(()) => true,
            Err(StoreError::Closed) => false,
            Err(StoreError::Full) => {
                self.unstored.report(Unstored::NoSpace, Some((image, &digest)));
                false
            }
            Err(error @ (StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Fleet(_))) => {
                static LINES: LineLimit<Origin> = LineLimit::new();
                if let Some(left_out) = LINES.admit(image) {
                    tracing::warn!(%image, %digest, %error, left_out, "a manifest could not be stored");
                }
                self.unstored.report(Unstored::StoreFailed, Some((image, &digest)));
                false
            }
        }
    }
}

/// Collects the whole body, whose length must be the announced one.
async fn collect(memory: &MemoryBudget, group: GroupId, content: Content) -> Result<Collected, CollectError> {
    let announced = content.head.length;
    let collected = memory.collect(group, content, MAX_MANIFEST_BYTES).await?;
    if announced.is_some_and(|length| length != collected.0.len() as u64) {
        return Err(invalid("another length than announced").into());
    }
    Ok(collected)
}

fn invalid(what: &'static str) -> UpstreamError {
    UpstreamError::InvalidResponse { what }
}

/// Returns the cause of a failure. Whoever waits for the manifest reports it: in the line of a refusal, or in that of a
/// tag that is served stale.
fn cause(key: &ManifestKey, error: &CollectError) -> Cause {
    let (image, reference) = (&key.origin, &key.reference);
    match error {
        CollectError::Upstream(error) => tracing::debug!(%image, %reference, %error, "a request to upstream failed"),
        CollectError::NoMemory(error) => tracing::debug!(%image, %reference, %error, "a manifest was not fetched"),
    }
    Cause::from(error)
}
