//! Removal of what groups have cached: purges, removals of images, and content to which no group has a link any more.

use super::parts::Parts;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::store::blocking::blocking;
use crate::store::content::StartedRemoval;
use crate::store::error::StoreError;

/// Number of files that are removed at a time, so that a large purge does not occupy a thread for long.
const FILES_PER_STEP: usize = 256;

impl Parts {
    /// Removes everything that a group has cached. Returns the number of contents that no other group had a link to.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. The purge is then repeated by [`Self::purge_deleted`].
    pub(super) async fn purge(&self, group: GroupId) -> Result<usize, StoreError> {
        // The links go first: from then on no request of the group can open the content, whatever fails after that.
        let orphans = self.content.remove_links(group).await?;
        self.forget_links(group);
        self.remove_orphans(&orphans).await?;
        self.content.end_purge(group).await?;
        // Links that pulls added meanwhile were removed, too.
        self.forget_links(group);
        Ok(orphans.len())
    }

    /// Purges the groups that are deleted or marked for a purge, but still have cached content: the process may
    /// have been killed during their purge, or a pull ended after it.
    ///
    /// # Errors
    ///
    /// Fails if the store fails; the remaining groups are left for the next call.
    pub(super) async fn purge_deleted(&self) -> Result<(), StoreError> {
        let groups = self.content.groups().await?;
        let directory = self.policy.directory();
        for (group, _) in groups.into_iter().filter(|(group, marked)| *marked || directory.group(*group).is_none()) {
            self.purge(group).await?;
        }
        Ok(())
    }

    /// Completes the removals of images that are recorded: removes the links that no image needs any more, and the
    /// content to which no group has a link.
    ///
    /// # Errors
    ///
    /// Fails if the store fails; what is left is completed by the next call.
    pub(super) async fn complete_removals(&self) -> Result<(), StoreError> {
        // One run at a time: each completes what it finds.
        let _running = self.completing.lock().await;
        let mut completed = Ok(());
        for removal in self.content.removals().await? {
            // One that fails does not prevent the others.
            completed = completed.and(self.complete_removal(removal).await);
        }
        completed
    }

    async fn complete_removal(&self, removal: StartedRemoval) -> Result<(), StoreError> {
        let orphans = self.content.remove_links_of(&removal).await?;
        self.forget_links(removal.group);
        self.remove_orphans(&orphans).await?;
        self.content.end_removal(removal).await
    }

    /// Drops the links of a group from memory, after some were removed from the store.
    pub(super) fn forget_links(&self, group: GroupId) {
        self.manifests.forget_group(group);
        self.blobs.forget_group(group);
    }

    /// Removes content to which no group has a link, in small steps.
    pub(super) async fn remove_orphans(&self, orphans: &[Digest]) -> Result<(), StoreError> {
        for digests in orphans.chunks(FILES_PER_STEP) {
            self.remove_content(digests.to_vec()).await?;
        }
        Ok(())
    }

    /// Removes the manifests and blobs with these digests, except those to which a group got a link meanwhile.
    async fn remove_content(&self, digests: Vec<Digest>) -> Result<(), StoreError> {
        let unlinked = self.content.remove_manifests(digests).await?;
        self.manifests.forget_manifests(&unlinked);
        let files = self.files.clone();
        blocking(move || unlinked.iter().try_for_each(|digest| files.remove(digest).map(drop))).await
    }
}
