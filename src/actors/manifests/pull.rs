//! One pull of a manifest that is not answered from memory: what is stored where the group may have it and it is fresh, else
//! as upstream says. Stores nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::prelude::*;
use jiff::Timestamp;
use tokio::time::{timeout, timeout_at};

use super::pulled::{Leased, PullManifest, PulledManifest, Source};
use super::shelf::{Known, Shelf, is_fresh};
use crate::actors::failure::Cause;
use crate::actors::manifest_cache::{
    AskHead, CacheTimes, FetchManifest, ManifestCache, Question, RevalidationTimedOut, Shared, Since,
};
use crate::domain::digest::Digest;
use crate::domain::reference::Reference;
use crate::store::index::TagEntry;
use crate::store::manifests::Manifest;
use crate::upstream::{ContentHead, ManifestHead};

/// A pull under way.
pub(super) struct Pull<'a> {
    pub(super) shelf: &'a Arc<Shelf>,
    pub(super) actor: &'a Addr<ManifestCache>,
    pub(super) request: &'a PullManifest,
    /// Those that hold when the client asked.
    pub(super) times: CacheTimes,
    /// How often this pull asked upstream; what it joined is not counted.
    pub(super) upstream_calls: &'a AtomicU32,
    /// When the client asked.
    pub(super) asked_at: Instant,
}

/// How long a client waits for what a tag has moved to, where there is something older to serve.
const PATIENCE_WITH_FALLBACK: Duration = Duration::from_secs(10);

/// Time after which a fetch that is repeated for want of memory is given up: before the pull is, which would say that
/// upstream is late.
const LATEST_OUTCOME: Duration = Duration::from_secs(23);

/// In less than this time what upstream answered is on the disk.
const MOMENT: Duration = Duration::from_secs(1);

/// A shared question is given up by those who ask it; this is how much later it is by those who joined.
const GRACE: Duration = Duration::from_millis(500);

impl Pull<'_> {
    pub(super) async fn run(&self) -> Result<PulledManifest, Cause> {
        match self.shelf.look_up(self.request).await? {
            Some(Known { linked: true, manifest: Some(manifest), tag }) => self.serve(manifest, tag).await,
            Some(Known { manifest: Some(manifest), .. }) => {
                drop(manifest);
                self.confirm().await
            }
            _ if self.request.head => self.head().await,
            _ => self.fetch().await,
        }
    }

    /// A stored manifest that the group has: as it is by digest and while the tag is fresh, else as upstream says.
    async fn serve(&self, leased: Leased, tag: Option<TagEntry>) -> Result<PulledManifest, Cause> {
        let checked_at = tag.map(|entry| entry.checked_at);
        if tag.is_none_or(|entry| is_fresh(&entry, self.request.tag_freshness)) {
            return Ok(PulledManifest::new(leased, Source::Hit, checked_at));
        }
        // Without its lease: what the tag has moved to may need the group's share.
        let Leased { manifest, lease: _ } = leased;
        let outcome = match self.ask_head(true).await {
            Ok((head, _)) => match self.confirmed(head.affirmed(), Some(&manifest)).await? {
                Some(told) => Ok(PulledManifest::new(told, Source::Revalidated, Some(Timestamp::now()))),
                None => {
                    // Where not even a `HEAD` ended in time, a `GET` gets no more of it.
                    let limit = if head == ManifestHead::TooSlow {
                        self.times.revalidate_timeout
                    } else {
                        PATIENCE_WITH_FALLBACK
                    };
                    timeout(limit, self.fetch()).await.unwrap_or_else(|_elapsed| {
                        self.actor.do_send(RevalidationTimedOut(self.request.origin.clone()));
                        Err(Cause::TimedOut)
                    })
                }
            },
            Err(cause) => Err(cause),
        };
        match outcome {
            Err(Cause::NotFound) => {
                self.shelf.drop_tag(self.request).await;
                Err(Cause::NotFound)
            }
            Err(cause) if cause.is_denial() => {
                self.shelf.deny_tag(self.request).await;
                Err(cause)
            }
            Err(_) if tag.is_some_and(|entry| entry.denied) => Err(Cause::Denied { message: None }),
            Err(Cause::AccountRefused) if tag.is_none_or(|entry| !is_fresh(&entry, self.times.account_grace)) => {
                Err(Cause::AccountGraceOver)
            }
            Err(cause) => {
                let leased = self.shelf.leased(self.request.group, manifest).await?;
                let stale = PulledManifest::new(leased, Source::Stale, checked_at);
                Ok(PulledManifest { stale_because: Some(Arc::new(cause)), ..stale })
            }
            // Only a `GET` could tell that it has not moved.
            Ok(pulled) if pulled.digest == manifest.digest => {
                Ok(PulledManifest { source: Source::Revalidated, ..pulled })
            }
            pulled => pulled,
        }
    }

    /// A stored manifest that the group does not have yet: upstream decides.
    async fn confirm(&self) -> Result<PulledManifest, Cause> {
        let (head, joined) = self.ask_head(false).await?;
        let Some(manifest) = self.confirmed(head.affirmed(), None).await? else { return self.fetch().await };
        let source = if joined { Source::Joined } else { Source::Revalidated };
        Ok(PulledManifest::new(manifest, source, self.by_tag()))
    }

    /// The stored manifest that a `HEAD` names, if it does; with this the group has it. It is not read again where it
    /// was read already.
    async fn confirmed(
        &self,
        head: Option<&ContentHead>,
        read: Option<&Arc<Manifest>>,
    ) -> Result<Option<Leased>, Cause> {
        let Some(head) = head else { return Ok(None) };
        let Some(told) = head.digest.filter(|told| self.fits(told)) else { return Ok(None) };
        let stored = match read.filter(|manifest| manifest.digest == told) {
            Some(manifest) => Some(self.shelf.leased(self.request.group, manifest.clone()).await?),
            None => self.shelf.stored(self.request.group, told).await?,
        };
        let Some(leased) = stored else { return Ok(None) };
        if head.length.is_some_and(|length| length != leased.manifest.bytes.len() as u64) {
            return Ok(None);
        }
        self.shelf.grant_stored(self.request, &leased.manifest).await;
        Ok(Some(leased))
    }

    /// The headers of what is not stored.
    async fn head(&self) -> Result<PulledManifest, Cause> {
        let (head, joined) = self.ask_head(false).await?;
        if let Some(manifest) = self.confirmed(head.affirmed(), None).await? {
            return Ok(PulledManifest::new(manifest, Source::Revalidated, self.by_tag()));
        }
        let ManifestHead::Affirmed(ContentHead { media_type: Some(media_type), length: Some(size), digest }) = head
        else {
            return self.fetch().await;
        };
        let digest = match (&self.request.reference, digest) {
            (Reference::Digest(asked), None) => *asked,
            (Reference::Tag(_), None) => return self.fetch().await,
            (_, Some(told)) if self.fits(&told) => told,
            // A `HEAD` that names another digest than the one requested affirms nothing.
            (_, Some(_)) => return self.fetch().await,
        };
        self.shelf.told(self.request, digest, size).await;
        let source = if joined { Source::Joined } else { Source::Miss };
        Ok(PulledManifest { digest, media_type, size, manifest: None, source, age: None, stale_because: None })
    }

    async fn fetch(&self) -> Result<PulledManifest, Cause> {
        let group = self.request.group;
        let fetch = |since| self.ask(FetchManifest { question: self.question(), group, since });
        let mut shared = fetch(self.since()).await?;
        // The share of the group that requested it first was taken, which says nothing of this group's.
        if shared.joined && matches!(shared.answer, Err(Cause::NoMemory)) {
            let since = Since { asked_at: Instant::now(), believed: Duration::ZERO };
            let late = (self.asked_at + LATEST_OUTCOME).into();
            shared = timeout_at(late, fetch(since)).await.unwrap_or(Err(Cause::NoMemory))?;
        }
        let (fetched, joined) = (shared.answer?, shared.joined);
        self.shelf.grant(self.request, &fetched).await;
        let source = if joined { Source::Joined } else { Source::Miss };
        let leased = self.shelf.leased(group, fetched.manifest).await?;
        Ok(PulledManifest::new(leased, source, self.by_tag()))
    }

    /// What a `HEAD` says, and whether it was shared with others.
    async fn ask_head(&self, revalidation: bool) -> Result<(ManifestHead, bool), Cause> {
        let limit = if revalidation { self.times.revalidate_timeout + GRACE } else { Duration::MAX };
        let sent = self.send(AskHead { question: self.question(), revalidation, since: self.since() });
        let (head, joined) = timeout(limit, sent).await.unwrap_or(Err(Cause::TimedOut))?;
        if head == ManifestHead::NotRequested && !joined {
            self.upstream_calls.fetch_sub(1, Ordering::Relaxed);
        }
        Ok((head, joined))
    }

    /// Says, beside the answer, whether somebody else had asked.
    async fn send<M, T>(&self, message: M) -> Result<(T, bool), Cause>
    where
        M: Message<Result = Shared<T>> + Send + 'static,
        T: Send + 'static,
        ManifestCache: Handler<M>,
        <ManifestCache as Actor>::Context: ToEnvelope<ManifestCache, M>,
    {
        let Shared { answer, joined, asked: _ } = self.ask(message).await?;
        Ok((answer?, joined))
    }

    async fn ask<M, T>(&self, message: M) -> Result<Shared<T>, Cause>
    where
        M: Message<Result = Shared<T>> + Send + 'static,
        T: Send + 'static,
        ManifestCache: Handler<M>,
        <ManifestCache as Actor>::Context: ToEnvelope<ManifestCache, M>,
    {
        let shared = self.actor.send(message).await.map_err(|_| Cause::Busy)?;
        self.upstream_calls.fetch_add(u32::from(shared.asked), Ordering::Relaxed);
        Ok(shared)
    }

    fn question(&self) -> Question {
        Question { origin: self.request.origin.clone(), reference: self.request.reference.clone() }
    }

    /// A tag is believed as long as is configured, but no longer here than it takes to note what it stands for.
    fn since(&self) -> Since {
        Since { asked_at: self.asked_at, believed: self.request.tag_freshness.min(MOMENT) }
    }

    /// Whether the reference may stand for this digest.
    fn fits(&self, told: &Digest) -> bool {
        match &self.request.reference {
            Reference::Digest(asked) => asked == told,
            Reference::Tag(_) => true,
        }
    }

    /// The time, where upstream just said what a tag stands for.
    fn by_tag(&self) -> Option<Timestamp> {
        matches!(self.request.reference, Reference::Tag(_)).then(Timestamp::now)
    }
}
