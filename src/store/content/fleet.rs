//! Content that the replicas of a fleet share. Each operation goes by the index and the files of this machine first,
//! which are the same as without a fleet; what they lack is taken over from the shared index and the bucket.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{ContentStore, Engine, Grant, LookUp, Pulled};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::manifest;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::error::StoreError;
use crate::store::fleet::{FleetContent, FleetLookUp, Seen};
use crate::store::images::{CachedImage, ImageKey};
use crate::store::link::{Link, TagEntry, links_of};

impl ContentStore {
    /// Returns the store of a replica: the embedded engine of this machine, and what all replicas share.
    pub fn fleet(content: Arc<EmbeddedContent>, shared: Arc<FleetContent>) -> Self {
        Self(Engine::Fleet(content, shared))
    }

    /// Returns what the replicas share; `None` without a fleet. Only for the operations of the store: they say what is
    /// wanted, and each has a response without a fleet.
    pub(super) fn shared(&self) -> Option<&Arc<FleetContent>> {
        match &self.0 {
            Engine::Embedded(_) => None,
            Engine::Fleet(_, shared) => Some(shared),
        }
    }

    /// Completes what this machine knows of a tag or a digest by what the fleet knows. It was found after these events
    /// were carried out; `None`: what is found is not to be shared.
    pub(super) async fn completed(
        &self,
        (group, origin, reference): (GroupId, &Origin, &Reference),
        (found, events): (Option<LookUp>, Option<Seen>),
        fresh_for: Duration,
    ) -> Result<Option<LookUp>, StoreError> {
        let Some(shared) = self.shared() else { return Ok(found) };
        if let Some(found) = found.filter(|found| is_whole(found, fresh_for)) {
            if let Some(events) = events {
                share_again(shared, (group, origin, reference), &found, events);
            }
            return Ok(Some(found));
        }
        let seen = shared.removals();
        let Some(known) = shared.look_up(group, origin, reference).await else { return Ok(found) };
        // Upstream may have said something else to this replica since then.
        let is_newer = |found: LookUp| match (found.tag, known.tag) {
            (Some(here), Some(there)) => there.is_before(&here) && here.digest != there.digest,
            _ => false,
        };
        if found.is_some_and(is_newer) {
            return Ok(found);
        }
        let Some(length) = self.take_over(group, origin, reference, (&known, seen)).await? else { return Ok(found) };
        let found = found.filter(|found| found.digest == known.digest);
        let link = match (known.link, found.and_then(|found| found.link)) {
            (Some(there), Some(here)) => Some(there.merge(&here)),
            (there, here) => there.or(here),
        };
        let tag = match (known.tag, found.and_then(|found| found.tag)) {
            (Some(there), Some(here)) if there.is_before(&here) => Some(here),
            (there, here) => there.or(here),
        };
        let pulled = known.pulled.or(found.and_then(|found| found.pulled));
        Ok(Some(LookUp { digest: known.digest, tag, link, pulled, length }))
    }

    /// Takes over the manifest, and the links and the image of the group, into the index of this machine. Returns the
    /// length of the manifest; 0 if it cannot be had. Takes nothing over, and returns `None`, if something was removed
    /// since it was looked up, after this number of removals.
    async fn take_over(
        &self,
        group: GroupId,
        origin: &Origin,
        reference: &Reference,
        (known, seen): (&FleetLookUp, u64),
    ) -> Result<Option<u64>, StoreError> {
        let digest = known.digest;
        let mut length = self.run(move |content| content.manifests().length(&digest)).await?;
        let mut fetched = None;
        if length == 0
            && let (Some(shared), Some(object)) = (self.shared(), &known.object)
        {
            fetched = shared.manifest(&digest, object).await;
            length = fetched.as_ref().map_or(0, |manifest| manifest.bytes.len() as u64);
        }
        let (Some(link), Some(shared)) = (known.link, self.shared().cloned()) else {
            if let Some(manifest) = fetched {
                self.run(move |content| content.manifests().put(&manifest)).await?;
            }
            return Ok(Some(length));
        };
        let (origin, reference, known) = (origin.clone(), reference.clone(), known.clone());
        self.run(move |content| {
            let manifest = match fetched {
                None if length > 0 => content.manifests().read(&digest)?,
                fetched => fetched,
            };
            let named =
                manifest.as_ref().and_then(|manifest| manifest::parse(&manifest.media_type, &manifest.bytes).ok());
            let links = links_of(digest, link, &named.unwrap_or_default());
            let pulled = pulled(&reference, &known);
            let take_over = || {
                content.grant(&Grant { group, origin: origin.clone(), links, pulled }, manifest.as_ref())?;
                if known.pinned {
                    content.index().pin(&ImageKey { group, origin, reference }, true)?;
                }
                Ok(length)
            };
            shared.unless_removed(seen, take_over).transpose()
        })
        .await
    }

    /// Takes over an image that another replica has cached. Returns false if its manifest is not in the bucket yet.
    ///
    /// # Errors
    ///
    /// Fails if a file of this machine cannot be read or written.
    pub async fn take_over_image(&self, image: &ImageKey) -> Result<bool, StoreError> {
        let Some(shared) = self.shared() else { return Ok(true) };
        let seen = shared.removals();
        let Some(known) = shared.look_up(image.group, &image.origin, &image.reference).await else {
            return Ok(false);
        };
        if known.pulled != Some(known.digest) {
            // It has gone, or moved once more: another event says so.
            return Ok(true);
        }
        let of_image = (&known, seen);
        let Some(length) = self.take_over(image.group, &image.origin, &image.reference, of_image).await? else {
            return Ok(false);
        };
        for child in self.run(move |content| content.children(&known.digest)).await? {
            // Without them its platforms would not be listed. A platform that nobody has pulled has none.
            let child = Reference::Digest(child);
            let of_child = (image.group, &image.origin, &child);
            self.completed(of_child, (None, None), Duration::ZERO).await?;
        }
        Ok(length > 0)
    }

    /// Returns the images with what the bucket has of them: it counts as stored.
    pub(super) async fn with_bucket(&self, mut images: Vec<CachedImage>) -> Vec<CachedImage> {
        let Some(shared) = self.shared() else { return images };
        let absent: Vec<Digest> = images.iter().flat_map(|image| image.absent.iter().copied()).collect();
        let sizes = shared.sizes(&absent).await;
        for image in images.iter_mut().filter(|image| !image.absent.is_empty()) {
            image.size += image.absent.iter().filter_map(|digest| sizes.get(digest)).sum::<u64>();
            image.absent.retain(|digest| !sizes.contains_key(digest));
            image.is_complete |= image.absent.is_empty() && !image.names_more;
        }
        images
    }

    /// Returns the link of the group that the fleet knows, and takes it over.
    pub(super) async fn shared_link(&self, group: GroupId, origin: &Origin, digest: Digest) -> Option<Link> {
        let shared = self.shared()?.clone();
        let seen = shared.removals();
        let known = shared.look_up(group, origin, &Reference::Digest(digest)).await?;
        let (link, origin) = (known.link?, origin.clone());
        let grant = Grant { group, origin, links: vec![(digest, link)], pulled: Pulled::Blob };
        let take_over =
            move |content: &EmbeddedContent| shared.unless_removed(seen, || content.grant(&grant, None)).transpose();
        let taken = self.run(take_over).await;
        if let Err(error) = taken {
            tracing::debug!(%digest, %error, "a link of the fleet could not be taken over");
        }
        Some(link)
    }

    /// Uploads content that was stored, in the background.
    pub fn share(&self, digest: Digest) {
        if let Some(shared) = self.shared() {
            shared.upload(digest);
        }
    }
}

/// Returns what of the group this makes an image: a tag, a digest that was pulled by itself, or nothing.
fn pulled(reference: &Reference, known: &FleetLookUp) -> Pulled {
    let (digest, is_pulled) = (known.digest, known.pulled == Some(known.digest));
    match (reference, known.tag) {
        (Reference::Tag(tag), Some(entry)) if is_pulled => Pulled::Tag(tag.clone(), entry),
        (Reference::Digest(_), _) if is_pulled => {
            Pulled::Digest(TagEntry { digest, checked_at: Timestamp::now(), denied: false })
        }
        _ => Pulled::Blob,
    }
}

/// Adds what this machine knows of a manifest to the index of the fleet: a replica that was killed may not have done so
/// when it was granted. This is the first lookup since its start, or since the manifest went from memory.
fn share_again(
    shared: &FleetContent,
    (group, origin, reference): (GroupId, &Origin, &Reference),
    found: &LookUp,
    seen: Seen,
) {
    let pulled = match (reference, found.tag) {
        (Reference::Tag(tag), Some(entry)) if found.pulled == Some(found.digest) => Pulled::Tag(tag.clone(), entry),
        _ => Pulled::Blob,
    };
    let links = found.link.iter().map(|link| (found.digest, *link)).collect();
    shared.note(&Grant { group, origin: origin.clone(), links, pulled }, false, seen);
}

/// Returns true if nothing is missing to serve a manifest: the link, the manifest, and a tag that is fresh.
fn is_whole(found: &LookUp, fresh_for: Duration) -> bool {
    found.link.is_some_and(Link::is_granted) && found.length > 0 && found.tag.is_none_or(|tag| tag.is_fresh(fresh_for))
}

/// Returns the events that were carried out before something of a group is looked up, so that what is removed after it
/// is not shared again; `None` if a removal from the group has begun and not ended: what is found may be a part of it.
pub(super) fn seen_before(shared: &FleetContent, content: &EmbeddedContent, group: GroupId) -> Option<Seen> {
    let seen = shared.seen();
    (!content.index().is_removing(group)).then_some(seen)
}
