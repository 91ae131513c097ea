//! Records of what upstream served or refused: links, tags and manifests, in the store and then in memory.

use std::sync::Arc;

use jiff::Timestamp;

use super::CachedManifests;
use crate::actors::manifest_cache::keys::{TagKey, TagOf};
use crate::actors::manifest_cache::references::{links, named};
use crate::actors::manifest_cache::request::PullManifest;
use crate::actors::manifest_cache::response::Fetched;
use crate::actors::pull_failure::Cause;
use crate::domain::digest::Digest;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::content::{Grant, Pulled};
use crate::store::link::{Link, TagEntry};
use crate::store::manifests::Manifest;
use crate::telemetry::LineLimit;

impl CachedManifests {
    /// Grants the group what upstream served to its account: the manifest, and references to what it names.
    pub(in crate::actors::manifest_cache) async fn grant(&self, request: &PullManifest, fetched: &Fetched) {
        let Fetched { manifest, named, stored, _lease: _ } = fetched;
        let again = stored.then(|| manifest.clone());
        self.record(request, manifest.digest, links(manifest, named), again).await;
    }

    /// As [`Self::grant`], for a stored manifest that upstream has confirmed.
    pub(in crate::actors::manifest_cache) async fn grant_stored(
        &self,
        request: &PullManifest,
        manifest: &Arc<Manifest>,
    ) {
        let links = links(manifest, &named(manifest));
        self.record(request, manifest.digest, links, Some(manifest.clone())).await;
    }

    /// Records the digest of a manifest that is not stored. Many clients go on to request it by digest, and their
    /// next pull by tag must find what they got. This grants no access to stored bytes.
    pub(in crate::actors::manifest_cache) async fn note_digest(
        &self,
        request: &PullManifest,
        digest: Digest,
        size: u64,
    ) {
        let links = vec![(digest, Link::referenced(Some(size)))];
        self.record(request, digest, links, None).await;
    }

    /// Records that the group has pulled a tag that another group with the same account has pulled before: this group
    /// has a granted link to the manifest, but no image of the tag, or one of an earlier digest.
    pub(in crate::actors::manifest_cache) async fn record_tag(
        &self,
        request: &PullManifest,
        entry: TagEntry,
        manifest: &Manifest,
    ) {
        let seen = self.removals.seen();
        if self.grant_tag(request, entry, manifest).await {
            self.note_link(request, entry.digest, true, seen);
        }
    }

    /// Remembers that a tag is served stale, and why.
    pub(in crate::actors::manifest_cache) fn note_stale(&self, request: &PullManifest, cause: Arc<Cause>) {
        if let Reference::Tag(tag) = &request.reference {
            self.stale.insert(TagKey::of(request, tag), cause);
        }
    }

    /// Returns the reason why a tag was served stale since upstream last confirmed it; `None` if it was not.
    pub(in crate::actors::manifest_cache) fn stale_because(&self, origin: &Origin, tag: &Tag) -> Option<Arc<Cause>> {
        self.stale.get(&TagOf(origin, tag))
    }

    /// Returns the tags that were served stale since upstream last confirmed them.
    pub(in crate::actors::manifest_cache) fn stale_tags(&self) -> Vec<(Origin, Tag)> {
        self.stale.iter().map(|(key, _)| key.parts()).collect()
    }

    /// Removes a tag that upstream no longer has.
    pub(in crate::actors::manifest_cache) async fn drop_tag(&self, request: &PullManifest) {
        let Reference::Tag(tag) = &request.reference else { return };
        let dropped = self.store.drop_tag(&request.origin, tag).await;
        self.tags.remove(&TagOf(&request.origin, tag));
        self.reported(dropped);
    }

    /// Records that upstream refuses the tag's repository now.
    pub(in crate::actors::manifest_cache) async fn deny_tag(&self, request: &PullManifest) {
        let Reference::Tag(tag) = &request.reference else { return };
        let denied = self.store.deny_tag(&request.origin, tag).await;
        self.tags.remove(&TagOf(&request.origin, tag));
        self.reported(denied);
    }

    /// Records links and the tag of a pull, and stores the manifest, if it is given. Puts what was recorded into
    /// memory.
    async fn record(
        &self,
        request: &PullManifest,
        digest: Digest,
        links: Vec<(Digest, Link)>,
        manifest: Option<Arc<Manifest>>,
    ) {
        if let Reference::Tag(tag) = &request.reference {
            self.stale.remove(&TagOf(&request.origin, tag));
        }
        let seen = self.removals.seen();
        let entry = TagEntry { digest, checked_at: Timestamp::now(), denied: false };
        let granted = links.iter().any(|(linked, link)| *linked == digest && link.is_granted());
        let pulled = match &request.reference {
            Reference::Tag(tag) => Pulled::Tag(tag.clone(), entry),
            Reference::Digest(_) => Pulled::Digest(entry),
        };
        let grant = Grant { group: request.group, origin: request.origin.clone(), links, pulled };
        let bytes = manifest.as_ref().map_or(0, |manifest| manifest.bytes.len() as u64);
        let recorded = self.evictor.with_room(bytes, || self.store.grant(grant.clone(), manifest.clone())).await;
        let Some(before) = self.reported(recorded) else { return };
        if let Some(before) = before {
            report_move(request, before, digest);
        }
        if granted {
            self.note_link(request, digest, true, seen);
        }
        if let Some(manifest) = manifest {
            self.removals.insert(&self.manifests, digest, manifest, seen);
        }
        if let Reference::Tag(tag) = &request.reference {
            self.removals.insert(&self.tags, TagKey::of(request, tag), entry, seen);
        }
    }
}

/// Counts and logs that a tag stands for another manifest than when the group pulled it before.
fn report_move(request: &PullManifest, before: Digest, now: Digest) {
    static LINES: LineLimit<Origin> = LineLimit::new();
    metrics::counter!("dependency_proxy_moved_tags_total").increment(1);
    if let Some(left_out) = LINES.admit(&request.origin) {
        let (image, tag) = (&request.origin, &request.reference);
        tracing::info!(group_id = request.group.0, %image, %tag, %before, %now, left_out, "a tag has moved");
    }
}
