//! The store of cached content: the index, which knows what each group may read and what tags stand for, and the
//! manifests. Blobs are files of this machine, see [`blobs`](super::blobs).
//!
//! # Contract
//!
//! | operation | atomic | durable when it returns | after a crash during it |
//! |---|---|---|---|
//! | [`look_up`](ContentStore::look_up), [`link`](ContentStore::link) | each tag and each link is read as it was at one time; not all of them at the same | | |
//! | [`manifest`](ContentStore::manifest), [`blobs_of_index`](ContentStore::blobs_of_index) | each manifest is read whole, or counts as missing | | a damaged manifest may be there still; the next read removes it |
//! | [`images`](ContentStore::images), [`image`](ContentStore::image), [`parts`](ContentStore::parts), [`holdings`](ContentStore::holdings), [`earlier`](ContentStore::earlier), [`pinned_bytes_with`](ContentStore::pinned_bytes_with), [`groups`](ContentStore::groups), [`unpulled`](ContentStore::unpulled), [`unlinked`](ContentStore::unlinked) | each entry is read as it was at one time; not all of them at the same | | |
//! | [`totals`](ContentStore::totals), [`count_totals`](ContentStore::count_totals), [`known_totals`](ContentStore::known_totals) | the totals of all groups at one time | | |
//! | [`put_manifest`](ContentStore::put_manifest) | yes | yes | the manifest is there whole, or not |
//! | [`grant`](ContentStore::grant) | each link and the tag by itself; links are added before the tag | links and tag; not the time of a mere confirmation | some links may be there without the tag: upstream is requested once more |
//! | [`drop_tag`](ContentStore::drop_tag), [`deny_tag`](ContentStore::deny_tag) | yes | a denial, yes; a removal may be lost, and upstream decides again | as before or after |
//! | [`record_files`](ContentStore::record_files) | each file by itself | no: what is lost is found by [`reconcile`](ContentStore::reconcile), apart from the number of reads | some records are there |
//! | [`reconcile`](ContentStore::reconcile) | each record by itself | no: to be called after each start | some records are corrected |
//! | [`evict`](ContentStore::evict) | each file by itself | no: an evicted file that comes back is evicted again | some files are gone |
//! | [`record_pulls`](ContentStore::record_pulls) | each image by itself | no: what is lost is lost | some are recorded |
//! | [`record_pullers`](ContentStore::record_pullers), [`forget_pullers_before`](ContentStore::forget_pullers_before) | each record by itself | no: what is lost is lost | some are recorded, or gone |
//! | [`pullers`](ContentStore::pullers) | each record by itself | | |
//! | [`record_traffic`](ContentStore::record_traffic) | each group by itself | no: what is lost is lost | some are recorded |
//! | [`traffic`](ContentStore::traffic), [`forget_traffic_before`](ContentStore::forget_traffic_before) | each hour by itself | no: it is repeated | some are gone |
//! | [`pin`](ContentStore::pin) | yes | yes | as before or after |
//! | [`remove_images`](ContentStore::remove_images) | each image by itself | yes | as before, or the removal is among the [`removals`](ContentStore::removals) |
//! | [`removals`](ContentStore::removals) | each removal by itself; removes the images of those whose first step did not end | yes | repeated by the next call |
//! | [`remove_links_of`](ContentStore::remove_links_of), [`end_removal`](ContentStore::end_removal) | each link by itself | yes | the removal is among the [`removals`](ContentStore::removals) until it ends |
//! | [`trim`](ContentStore::trim), [`remove_unread`](ContentStore::remove_unread), [`remove_unnamed`](ContentStore::remove_unnamed) | each link by itself | yes | some links are gone; content without a link is found by [`unlinked`](ContentStore::unlinked) |
//! | [`mark_purged`](ContentStore::mark_purged) | yes | yes | as before or after |
//! | [`remove_links`](ContentStore::remove_links), [`remove_manifests`](ContentStore::remove_manifests), [`end_purge`](ContentStore::end_purge) | in small steps | when the purge ends | [`groups`](ContentStore::groups) returns the group until the purge is repeated and ends |
//! | [`close`](ContentStore::close) | completes the operations under way; later ones fail | yes: the whole index | as after a crash during any other operation |
//! | [`flush`](ContentStore::flush) | no | yes: the whole index | what is lost is restored from files, apart from the numbers of reads, the numbers and times of pulls, who pulled, and traffic |
//! | [`verify`](ContentStore::verify) | each entry by itself; until it ends, lookups use the files | no: to be called after each start | repeated by the next start |
//! | [`verify_manifest`](ContentStore::verify_manifest), [`verify_again`](ContentStore::verify_again), [`recount`](ContentStore::recount) | each manifest, entry or record by itself | no: to be called now and then | repeated by the next call |
//!
//! # What replicas share
//!
//! The table states what holds on this machine, with and without a fleet. In a fleet, the other replicas get it so:
//!
//! | operation | the others get it | when the process is killed, or the database does not respond |
//! |---|---|---|
//! | [`grant`](ContentStore::grant), [`put_manifest`](ContentStore::put_manifest), [`share`](ContentStore::share) | within seconds, in the background | what waits is lost by a kill, and shared when it is looked up again; an outage is waited for |
//! | [`drop_tag`](ContentStore::drop_tag), [`deny_tag`](ContentStore::deny_tag) | within seconds, in the background | lost by a kill: upstream tells the others when they revalidate the tag |
//! | [`record_files`](ContentStore::record_files) (reads) | within seconds, in the background | what is not written is lost |
//! | [`record_pulls`](ContentStore::record_pulls) | within seconds, in the background; each replica replaces its own numbers by those of all with [`put_pulls_here`](ContentStore::put_pulls_here) | what waits is lost by a kill; an outage is waited for |
//! | [`record_pullers`](ContentStore::record_pullers) | within seconds, in the background | [`share_pull_records`](ContentStore::share_pull_records) repeats it at the next start; an outage is waited for |
//! | [`copy`](ContentStore::copy), [`readable_copy`](ContentStore::readable_copy), [`revalidated_elsewhere`](ContentStore::revalidated_elsewhere) | they return what the others have; nothing without a fleet | they return nothing |
//! | [`pin`](ContentStore::pin), [`remove_images`](ContentStore::remove_images), [`remove_unpulled`](ContentStore::remove_unpulled), [`purge_shared`](ContentStore::purge_shared) | in the shared index before they return; each replica follows | they fail, and nothing has changed; [`purged_here`](ContentStore::purged_here) ends a purge on this machine, which is repeated without it |
//! | [`take_over_image`](ContentStore::take_over_image), [`remove_images_here`](ContentStore::remove_images_here), [`change_tag_here`](ContentStore::change_tag_here), [`pin_here`](ContentStore::pin_here) | they carry out here what another replica has done | repeated: the number of the last event that was carried out is stored after it |
//!
//! [`grant`](ContentStore::grant) and [`remove_manifests`](ContentStore::remove_manifests) exclude each other: a
//! manifest is not removed while a group is given a link to it. Callers may run all operations concurrently, on any
//! thread. Nothing blocks the calling thread, except [`verify`](ContentStore::verify) and the operations below it. A
//! caller that is dropped cancels nothing. [`free_space`](ContentStore::free_space) reads no disk: it returns a handle.
//!
//! [`record_files`](ContentStore::record_files), [`evict`](ContentStore::evict) and
//! [`reconcile`](ContentStore::reconcile) get the blobs of this machine: they read the changes that its
//! [`Usage`](super::usage) recorded, and evict files. So the engine's manifests and
//! [`BlobFiles`](super::blobs::BlobFiles) share one `Usage`.

mod copies;
mod files;
mod fleet;
mod followed;
mod images;
mod purge;
mod removal;
mod verifying;

use std::sync::Arc;
use std::time::Duration;

use super::blocking::blocking;
use super::embedded::content::EmbeddedContent;
use super::error::StoreError;
use super::fleet::FleetContent;
use super::free_space::FreeSpace;
use super::link::Link;
use super::manifests::Manifest;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::manifest::Descriptor;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};

pub use self::copies::{CopyBytes, SharedCopy};
use self::fleet::seen_before;
pub use super::grant::{Grant, LookUp, Pulled};
pub use super::outcomes::{Evicted, Holdings, RemovedLinks, StartedRemoval};

/// Handle of the store. Cheap to clone.
#[derive(Clone)]
pub struct ContentStore(Engine);

/// The engines that can stand behind the store.
#[derive(Clone)]
enum Engine {
    Embedded(Arc<EmbeddedContent>),
    /// The engine of this machine, and what it shares with other replicas.
    Fleet(Arc<EmbeddedContent>, Arc<FleetContent>),
}

impl ContentStore {
    /// Returns the store over the embedded index and files.
    pub fn embedded(content: impl Into<Arc<EmbeddedContent>>) -> Self {
        Self(Engine::Embedded(content.into()))
    }

    /// Returns everything that a pull of a manifest needs to know, except the bytes; `None` for an unknown tag. A
    /// replica asks the others about a tag that upstream has not confirmed within `fresh_for`.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn look_up(
        &self,
        group: GroupId,
        origin: &Origin,
        reference: &Reference,
        fresh_for: Duration,
    ) -> Result<Option<LookUp>, StoreError> {
        let (of, by) = (origin.clone(), reference.clone());
        let shared = self.shared().cloned();
        let look_up = move |content: &EmbeddedContent| {
            let seen = shared.and_then(|shared| seen_before(&shared, content, group));
            Ok((content.look_up(group, &of, &by)?, seen))
        };
        let found = self.run(look_up).await?;
        self.completed((group, origin, reference), found, fresh_for).await
    }

    /// Returns the group's link to a digest.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn link(&self, group: GroupId, origin: &Origin, digest: Digest) -> Result<Option<Link>, StoreError> {
        let (of, fleet) = (origin.clone(), self.shared().cloned());
        let look_up = move |content: &EmbeddedContent| {
            let seen = fleet.and_then(|shared| seen_before(&shared, content, group));
            Ok((content.index().link(group, &of, &digest)?, seen))
        };
        let (link, seen) = self.run(look_up).await?;
        let Some(shared) = self.shared() else { return Ok(link) };
        match link.filter(|link| link.is_granted()) {
            Some(granted) => {
                // As in a lookup of a manifest: the replica may have been killed before it shared the link.
                if let Some(seen) = seen {
                    let (origin, links) = (origin.clone(), vec![(digest, granted)]);
                    shared.note(&Grant { group, origin, links, pulled: Pulled::Blob }, false, seen);
                }
                Ok(link)
            }
            None => Ok(self.shared_link(group, origin, digest).await.or(link)),
        }
    }

    /// Returns a manifest; `None` if it is not stored. A damaged one is reported, removed, and counts as missing.
    ///
    /// # Errors
    ///
    /// Fails if the process lacks open files or memory, or if a damaged file cannot be removed.
    pub async fn manifest(&self, digest: Digest) -> Result<Option<Manifest>, StoreError> {
        self.run(move |content| content.manifests().read(&digest)).await
    }

    /// Returns the blobs that the stored manifests of an index name; none if it is no index, or not stored.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::manifest`] does.
    pub async fn blobs_of_index(&self, index: Digest) -> Result<Vec<Descriptor>, StoreError> {
        self.run(move |content| content.blobs_of_index(&index)).await
    }

    /// Stores a manifest, without a link to it.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if the cache may not take more disk space, or if a file cannot be written.
    pub async fn put_manifest(&self, manifest: Arc<Manifest>) -> Result<(), StoreError> {
        let digest = manifest.digest;
        self.run(move |content| content.manifests().put(&manifest)).await?;
        self.share(digest);
        Ok(())
    }

    /// Records links of a group, and what a tag stands for. `manifest` is stored before, if it is given: it may have
    /// been removed since it was fetched, because no group had a link to it. Returns what the tag stood for when the
    /// group pulled it before, if that was something else.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if the cache may not take more disk space, or if a file cannot be written.
    pub async fn grant(&self, grant: Grant, manifest: Option<Arc<Manifest>>) -> Result<Option<Digest>, StoreError> {
        let shared = self.shared().cloned();
        self.run(move |content| {
            // Before the grant: a removal that is followed after it must not be undone.
            let seen = shared.as_ref().map(|shared| shared.seen()).unwrap_or_default();
            let is_image = shared.is_some() && content.makes_image(&grant)?;
            let before = content.grant(&grant, manifest.as_deref())?;
            if let Some(shared) = shared {
                shared.note(&grant, is_image, seen);
                if let Some(manifest) = manifest {
                    shared.upload(manifest.digest);
                }
            }
            Ok(before)
        })
        .await
    }

    /// Removes a tag that upstream no longer has, for all groups.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed.
    pub async fn drop_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        if let Some(shared) = self.shared() {
            shared.note_gone(origin.clone(), tag.clone());
        }
        self.change_tag_here(origin.clone(), tag.clone(), true).await
    }

    /// Records that upstream refuses the repository of a tag to this account. Succeeds on a full disk, too.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be written.
    pub async fn deny_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        if let Some(shared) = self.shared() {
            shared.note_denied(origin.clone(), tag.clone());
        }
        self.change_tag_here(origin.clone(), tag.clone(), false).await
    }

    /// Returns the holdings of these groups together. Content that was only referenced by a manifest is not counted.
    /// Reads every small file of the groups.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub async fn holdings(&self, groups: Vec<GroupId>) -> Result<Holdings, StoreError> {
        self.run(move |content| content.index().holdings(&groups)).await
    }

    /// Writes what waits in memory.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.run(|content| content.index().flush()).await
    }

    /// Writes what waits in memory, at the end of the process. Waits for operations under way, at most for this time.
    /// All later ones that change something fail with [`StoreError::Closed`].
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub async fn close(&self, max_wait: Duration) -> Result<(), StoreError> {
        self.on_thread(move |content| content.close(max_wait)).await
    }

    /// Returns the disk space that is available to manifests.
    pub fn free_space(&self) -> &FreeSpace {
        self.local().manifests().free_space()
    }

    /// Returns the embedded engine.
    pub(crate) fn engine(&self) -> &EmbeddedContent {
        self.local()
    }

    fn local(&self) -> &Arc<EmbeddedContent> {
        let (Engine::Embedded(content) | Engine::Fleet(content, _)) = &self.0;
        content
    }

    /// Runs an operation, which the end of the store's use waits for.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EmbeddedContent) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.on_thread(|content| {
            let _change = content.closing().begin()?;
            work(content)
        })
        .await
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EmbeddedContent) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let content = self.local().clone();
        blocking(move || work(&content)).await
    }
}
