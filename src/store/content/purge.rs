//! Operations that remove everything that a group has cached.

use super::ContentStore;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::store::error::StoreError;

impl ContentStore {
    /// Removes everything that a group has cached from what replicas share. The others then remove it from theirs.
    /// Returns the number of the event, for [`Self::purged_here`].
    ///
    /// # Errors
    ///
    /// Fails if the database of a fleet cannot be reached.
    pub async fn purge_shared(&self, group: GroupId) -> Result<Option<i64>, StoreError> {
        match self.shared() {
            Some(shared) => shared.purge(group).await.map(Some),
            None => Ok(None),
        }
    }

    /// Records that the purge of an event is recorded here, too.
    pub fn purged_here(&self, event: Option<i64>) {
        if let (Some(shared), Some(event)) = (self.shared(), event) {
            shared.note_done(event);
        }
    }

    /// Records that everything that a group has cached is to be removed.
    ///
    /// # Errors
    ///
    /// Fails if the note cannot be written.
    pub async fn mark_purged(&self, group: GroupId) -> Result<(), StoreError> {
        let shared = self.shared().cloned();
        self.run(move |content| {
            shared.inspect(|shared| shared.note_removal());
            content.index().mark_forgotten(group)
        })
        .await
    }

    /// Returns each group that has something cached, and whether its purge was recorded and has not ended.
    ///
    /// # Errors
    ///
    /// Fails if the groups cannot be listed.
    pub async fn groups(&self) -> Result<Vec<(GroupId, bool)>, StoreError> {
        self.run(|content| content.index().groups_and_purges()).await
    }

    /// Removes the links and tags of a group: the first step of a purge. Returns the digests that no group can read any
    /// more.
    ///
    /// # Errors
    ///
    /// Fails if the group's files cannot be listed.
    pub async fn remove_links(&self, group: GroupId) -> Result<Vec<Digest>, StoreError> {
        self.run(move |content| content.index().forget_group(group)).await
    }

    /// Removes those of these manifests to which no group has a link. Returns the digests without a link, of manifests
    /// and of other content.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed. Some may be removed then.
    pub async fn remove_manifests(&self, digests: Vec<Digest>) -> Result<Vec<Digest>, StoreError> {
        self.run(move |content| content.remove_manifests(digests)).await
    }

    /// Removes the record of the purge of a group: its last step.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed.
    pub async fn end_purge(&self, group: GroupId) -> Result<(), StoreError> {
        self.run(move |content| content.index().remove_files(group)).await
    }
}
