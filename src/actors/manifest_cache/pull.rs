//! One pull of a manifest that is not in memory: served from the store if the group has a granted link and
//! the tag is fresh, otherwise decided by upstream. Decides only; the `CachedManifests` and the [`ManifestCache`]
//! store.

mod stale;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::prelude::*;
use jiff::Timestamp;
use tokio::time::{timeout, timeout_at};

use super::CacheTimes;
use super::cache::{CachedManifests, Known};
use super::coordinator::ManifestCache;
use super::request::{ConfirmManifest, FetchManifest, ManifestKey, PullManifest, RevalidationTimedOut, Since};
use super::response::{Leased, PulledManifest, SharedOutcome};
use crate::actors::cache_status::CacheStatus;
use crate::actors::pull_failure::Cause;
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::reference::Reference;
use crate::store::link::TagEntry;
use crate::store::manifests::Manifest;
use crate::telemetry::TraceParent;
use crate::upstream::{ContentHead, ManifestHead};

/// A pull under way.
pub(super) struct Pull<'a> {
    pub(super) cache: &'a Arc<CachedManifests>,
    pub(super) actor: &'a Addr<ManifestCache>,
    pub(super) request: &'a PullManifest,
    /// The settings at the time of the request.
    pub(super) times: CacheTimes,
    /// Number of upstream requests that this pull caused. Coalesced requests of other pulls are not counted.
    pub(super) upstream_calls: &'a AtomicU32,
    /// Time of the request.
    pub(super) requested_at: Instant,
}

/// Maximum age of a shared outcome that is reused. A response of upstream is on the disk in less than this time.
const MAX_REUSED_AGE: Duration = Duration::from_secs(1);

/// Time that a pull waits for a shared `HEAD` beyond `revalidate_timeout`. A `HEAD` ends by its own timeout before;
/// this bounds the wait if it does not.
const REPLY_MARGIN: Duration = Duration::from_millis(500);

impl Pull<'_> {
    /// Pulls the manifest.
    ///
    /// # Errors
    ///
    /// Fails if upstream refuses it, or cannot deliver it and no stale manifest may be served, or if
    /// there is no memory.
    pub(super) async fn run(&self) -> Result<PulledManifest, Cause> {
        match self.cache.look_up(self.request).await? {
            Some(Known { linked: true, manifest: Some(manifest), tag, recorded }) => {
                self.serve(manifest, tag, recorded).await
            }
            Some(Known { manifest: Some(manifest), .. }) => {
                // Its lease must not hold the group's share during the upstream request.
                drop(manifest);
                self.confirm().await
            }
            _ if self.request.head => self.head().await,
            _ => self.fetch().await,
        }
    }

    /// Serves a stored manifest to which the group has a granted link: at once if it was requested by digest or the
    /// tag is fresh, or stale for a short time only, otherwise after a revalidation. `recorded`: the group has an image
    /// of the tag.
    async fn serve(&self, leased: Leased, tag: Option<TagEntry>, recorded: bool) -> Result<PulledManifest, Cause> {
        let checked_at = tag.map(|entry| entry.checked_at);
        if let Some(status) =
            tag.map_or(Some(CacheStatus::Hit), |entry| self.cache.status_at_once(self.request, &entry))
        {
            if let Some(entry) = tag.filter(|_| !recorded) {
                self.cache.record_tag(self.request, entry, &leased.manifest).await;
            }
            return Ok(PulledManifest::new(leased, status, checked_at));
        }
        // The lease is dropped: if the tag has moved, the new manifest may need the group's share.
        let Leased { manifest, lease } = leased;
        drop(lease);
        let outcome = match self.request_head(!self.request.on_demand).await {
            Ok((head, _)) => match self.confirmed(head.confirmed(), Some(&manifest)).await? {
                Some(confirmed) => Ok(PulledManifest::new(confirmed, CacheStatus::Revalidated, Some(Timestamp::now()))),
                None => self.fetch_after(&head).await,
            },
            Err(cause) => Err(cause),
        };
        match outcome {
            // The `HEAD` was inconclusive, and the `GET` shows that the tag has not moved.
            Ok(pulled) if pulled.digest == manifest.digest => {
                Ok(PulledManifest { source: CacheStatus::Revalidated, ..pulled })
            }
            Ok(pulled) => Ok(pulled),
            Err(cause) => self.stale(manifest, tag, recorded, cause).await,
        }
    }

    /// Fetches the manifest of a stale tag after a `HEAD` that did not decide, within the time for which a client waits
    /// when a stale manifest can be served.
    async fn fetch_after(&self, head: &ManifestHead) -> Result<PulledManifest, Cause> {
        // After a `HEAD` that timed out, the `GET` gets a short time only.
        let limit = if matches!(head, ManifestHead::TooSlow | ManifestHead::KnownSlow) {
            self.times.revalidate_timeout
        } else {
            deadlines::FETCH_WITH_STALE
        };
        timeout(limit, self.fetch_with(!self.request.on_demand)).await.unwrap_or_else(|_elapsed| {
            self.actor.do_send(RevalidationTimedOut(self.request.origin.clone()));
            Err(Cause::TimedOut)
        })
    }

    /// Serves a stored manifest to which the group has no granted link yet, if upstream confirms it.
    async fn confirm(&self) -> Result<PulledManifest, Cause> {
        let (head, coalesced) = self.request_head(false).await?;
        let Some(manifest) = self.confirmed(head.confirmed(), None).await? else { return self.fetch().await };
        let source = if coalesced { CacheStatus::Coalesced } else { CacheStatus::Revalidated };
        Ok(PulledManifest::new(manifest, source, self.by_tag()))
    }

    /// Returns the stored manifest whose digest and length a `HEAD` names, and grants the group a link to it. Returns
    /// `None` if the `HEAD` does not name it or it is not stored. `read` is a manifest that was read already.
    async fn confirmed(
        &self,
        head: Option<&ContentHead>,
        read: Option<&Arc<Manifest>>,
    ) -> Result<Option<Leased>, Cause> {
        let Some(head) = head else { return Ok(None) };
        let Some(digest) = head.digest.filter(|digest| self.fits(digest)) else { return Ok(None) };
        let stored = match read.filter(|manifest| manifest.digest == digest) {
            Some(manifest) => Some(self.cache.leased(self.request.group, manifest.clone()).await?),
            None => self.cache.stored(self.request, digest).await?,
        };
        let Some(leased) = stored else { return Ok(None) };
        if head.length.is_some_and(|length| length != leased.manifest.bytes.len() as u64) {
            return Ok(None);
        }
        self.cache.grant_stored(self.request, &leased.manifest).await;
        Ok(Some(leased))
    }

    /// Responds to a `HEAD` for a manifest that is not stored. Uses upstream's response to a `HEAD`, and fetches the
    /// manifest only if that response is incomplete.
    async fn head(&self) -> Result<PulledManifest, Cause> {
        let (head, coalesced) = self.request_head(false).await?;
        if let Some(manifest) = self.confirmed(head.confirmed(), None).await? {
            return Ok(PulledManifest::new(manifest, CacheStatus::Revalidated, self.by_tag()));
        }
        let ManifestHead::Confirmed(ContentHead { media_type: Some(media_type), length: Some(size), digest }) = head
        else {
            return self.fetch().await;
        };
        let digest = match (&self.request.reference, digest) {
            (Reference::Digest(requested), None) => *requested,
            (Reference::Tag(_), None) => return self.fetch().await,
            (_, Some(digest)) if self.fits(&digest) => digest,
            // A `HEAD` that names another digest than the requested one confirms nothing.
            (_, Some(_)) => return self.fetch().await,
        };
        if self.request.noted {
            self.cache.note_digest(self.request, digest, size).await;
        }
        let source = if coalesced { CacheStatus::Coalesced } else { CacheStatus::Miss };
        Ok(PulledManifest { digest, media_type, size, manifest: None, source, age: None, stale_because: None })
    }

    /// Fetches the manifest from upstream, and grants the group a link to it.
    async fn fetch(&self) -> Result<PulledManifest, Cause> {
        self.fetch_with(false).await
    }

    /// As [`Self::fetch`]; `has_stale` is true if a stale manifest can be served instead.
    async fn fetch_with(&self, has_stale: bool) -> Result<PulledManifest, Cause> {
        let group = self.request.group;
        let fetch = |since| {
            let trace = TraceParent::present();
            self.send(FetchManifest { key: self.key(), group, has_stale, since, trace })
        };
        let mut shared = fetch(self.since()).await?;
        // The fetch failed because the share of another group is in use: of memory, or of upstream's pull limit. This
        // group's share may be free.
        let may_differ = |cause: &Cause| matches!(cause, Cause::NoMemory | Cause::Reserved(_));
        if shared.coalesced
            && let Some(cause) = shared.outcome.as_ref().err().filter(|cause| may_differ(cause)).cloned()
        {
            let since = Since { requested_at: Instant::now(), max_age: Duration::ZERO };
            let late = (self.requested_at + deadlines::REPEATED_FETCH).into();
            shared = timeout_at(late, fetch(since)).await.unwrap_or(Err(cause))?;
        }
        let (fetched, coalesced) = (shared.outcome?, shared.coalesced);
        self.cache.grant(self.request, &fetched).await;
        let source = if coalesced { CacheStatus::Coalesced } else { CacheStatus::Miss };
        let leased = self.cache.leased(group, fetched.manifest).await?;
        Ok(PulledManifest::new(leased, source, self.by_tag()))
    }

    /// Requests a `HEAD`. The flag is true if the request was coalesced with that of another pull.
    async fn request_head(&self, revalidation: bool) -> Result<(ManifestHead, bool), Cause> {
        let limit = if revalidation { self.times.revalidate_timeout + REPLY_MARGIN } else { Duration::MAX };
        let sent = self.send_shared(ConfirmManifest {
            key: self.key(),
            group: self.request.group,
            revalidation,
            since: self.since(),
            trace: TraceParent::present(),
        });
        timeout(limit, sent).await.unwrap_or(Err(Cause::TimedOut))
    }

    /// Sends a message to the actor, and returns the successful outcome and whether it was coalesced.
    async fn send_shared<M, T>(&self, message: M) -> Result<(T, bool), Cause>
    where
        M: Message<Result = SharedOutcome<T>> + Send + 'static,
        T: Send + 'static,
        ManifestCache: Handler<M>,
        <ManifestCache as Actor>::Context: ToEnvelope<ManifestCache, M>,
    {
        let SharedOutcome { outcome, coalesced, sent: _ } = self.send(message).await?;
        Ok((outcome?, coalesced))
    }

    /// Sends a message to the actor, and counts the upstream request that it causes.
    async fn send<M, T>(&self, message: M) -> Result<SharedOutcome<T>, Cause>
    where
        M: Message<Result = SharedOutcome<T>> + Send + 'static,
        T: Send + 'static,
        ManifestCache: Handler<M>,
        <ManifestCache as Actor>::Context: ToEnvelope<ManifestCache, M>,
    {
        let shared = self.actor.send(message).await.map_err(|_| Cause::Busy)?;
        self.upstream_calls.fetch_add(u32::from(shared.sent), Ordering::Relaxed);
        Ok(shared)
    }

    fn key(&self) -> ManifestKey {
        ManifestKey { origin: self.request.origin.clone(), reference: self.request.reference.clone() }
    }

    /// Returns how recent a shared outcome must be: at most as old as a fresh tag, and only as old as it
    /// takes to store it.
    fn since(&self) -> Since {
        Since { requested_at: self.requested_at, max_age: self.request.freshness.time_to_live.min(MAX_REUSED_AGE) }
    }

    /// Returns true if the reference may stand for this digest.
    fn fits(&self, digest: &Digest) -> bool {
        match &self.request.reference {
            Reference::Digest(requested) => requested == digest,
            Reference::Tag(_) => true,
        }
    }

    /// Returns the current time for a tag, which upstream has just confirmed, and `None` for a digest.
    fn by_tag(&self) -> Option<Timestamp> {
        matches!(self.request.reference, Reference::Tag(_)).then(Timestamp::now)
    }
}
