//! Limits of what groups cache: their quotas, and the age after which images go that nobody pulls.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::parts::Parts;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::policy;
use crate::store::content::RemovedLinks;
use crate::store::error::StoreError;

/// Number of images whose removal is recorded at once.
const IMAGES_PER_REMOVAL: usize = 256;

/// Time for which content that no image names is kept after it was last read.
const UNNAMED_TTL: SignedDuration = SignedDuration::from_hours(24);

/// Time for which content without a link is kept: that of a pull which has not been recorded yet.
const UNLINKED_TTL: SignedDuration = SignedDuration::from_hours(1);

impl Parts {
    /// Removes links of the groups that hold more than their quotas, and the content to which no group has a link then.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. Some links may be removed then.
    pub(super) async fn trim_groups(&self) -> Result<(), StoreError> {
        let directory = self.policy.directory();
        let quota = |group: &Arc<crate::domain::group::Group>| Some((group.id, group.cache.max_bytes?));
        let quotas: HashMap<GroupId, u64> = directory.groups().filter_map(quota).collect();
        let began = Instant::now();
        if quotas.is_empty() || !self.trims.is_time(began) {
            return Ok(());
        }
        let surplus = self.surplus(&quotas).await?;
        if surplus.is_empty() {
            return Ok(());
        }
        let trimmed = self.content.trim(surplus.clone()).await;
        self.trims.ended(began, Instant::now());
        let orphans = trimmed?;
        self.forget_and_remove(surplus.keys().copied(), &orphans).await?;
        // Pulls add links meanwhile, so a group that is still over its quota is full of pins only if it holds no less.
        let left = self.surplus(&quotas).await?;
        for (group, _) in left.into_iter().filter(|(group, left)| surplus.get(group).is_some_and(|was| left >= was)) {
            self.trims.set_full_of_pins(group);
            let path = directory.group(group).map(|group| group.path.to_string());
            tracing::warn!(group = path, group_id = group.0, "what is pinned in a group is larger than its quota");
        }
        Ok(())
    }

    /// Returns the number of bytes by which each of these groups should hold less: somewhat more than is necessary, so
    /// that not each pull has to be followed by a removal.
    async fn surplus(&self, quotas: &HashMap<GroupId, u64>) -> Result<HashMap<GroupId, u64>, StoreError> {
        let Some(totals) = self.content.count_totals().await? else { return Ok(HashMap::new()) };
        let surplus = |(group, quota): (&GroupId, &u64)| {
            let bytes = totals.get(group)?.bytes;
            let is_over = bytes > *quota && !self.trims.is_full_of_pins(*group);
            is_over.then(|| (*group, bytes - quota + quota / 50))
        };
        Ok(quotas.iter().filter_map(surplus).collect())
    }

    /// Removes the images that nobody has pulled for as many days as their groups keep them, and content that no image
    /// names and nobody has read for as long.
    ///
    /// # Errors
    ///
    /// Fails if the store fails; what is left is removed by the next call.
    pub(super) async fn expire(&self, now: Timestamp) -> Result<(), StoreError> {
        // Without them an image that was just pulled would count as old.
        self.record_pulls().await?;
        if !self.content.sees_all_pulls() {
            // The keeper of the fleet removes what nobody pulls anywhere.
            return self.remove_unlinked(now).await;
        }
        let (directory, mut since) = (self.policy.directory(), HashMap::new());
        for (group, _) in self.content.groups().await? {
            if let Some(days) = policy::unpulled_days(&directory, group, self.unpulled_days) {
                let kept = SignedDuration::from_hours(24 * i64::from(days));
                since.insert(group, now.checked_sub(kept).unwrap_or(Timestamp::MIN));
            }
        }
        for (group, before) in &since {
            let mut images = 0;
            for (origin, references) in self.content.unpulled(*group, *before).await? {
                images += references.len();
                for references in references.chunks(IMAGES_PER_REMOVAL) {
                    self.content.remove_images(*group, origin.clone(), references.to_vec(), Some(*before)).await?;
                }
            }
            if images > 0 {
                let path = directory.group(*group).map(|group| group.path.to_string());
                tracing::info!(group = path, group_id = group.0, images, "images that nobody pulls were removed");
                metrics::counter!("dependency_proxy_expired_images_total").increment(images as u64);
            }
        }
        self.complete_removals().await?;
        let orphans = self.content.remove_unread(since.clone()).await?;
        self.forget_and_remove(since.into_keys(), &orphans).await?;
        self.remove_unlinked(now).await
    }

    /// Removes links of all groups to content that no image names and nobody reads, and the content to which no group
    /// has a link then.
    ///
    /// # Errors
    ///
    /// Fails if the store fails; what is left is removed by the next call.
    pub(super) async fn remove_unnamed(&self, now: Timestamp) -> Result<(), StoreError> {
        // Without them content that was just read would count as unread.
        self.evictor.record().await?;
        let before = now.checked_sub(UNNAMED_TTL).unwrap_or(Timestamp::MIN);
        let directory = self.policy.directory();
        for (group, _) in self.content.groups().await?.into_iter().filter(|(_, purged)| !purged) {
            let RemovedLinks { links, orphans } = self.content.remove_unnamed(group, before).await?;
            if links > 0 {
                self.forget_and_remove([group], &orphans).await?;
                let path = directory.group(group).map(|group| group.path.to_string());
                tracing::info!(group = path, group_id = group.0, links, "links to what no image names were removed");
            }
        }
        Ok(())
    }

    /// Removes content to which no group has a link: what a process was about to remove when it was killed.
    async fn remove_unlinked(&self, now: Timestamp) -> Result<(), StoreError> {
        let unlinked = self.content.unlinked(now.checked_sub(UNLINKED_TTL).unwrap_or(Timestamp::MIN)).await?;
        self.forget_and_remove([], &unlinked).await
    }

    /// Drops the links of these groups from memory, and removes content to which no group has a link.
    async fn forget_and_remove(
        &self,
        groups: impl IntoIterator<Item = GroupId>,
        orphans: &[Digest],
    ) -> Result<(), StoreError> {
        for group in groups.into_iter().collect::<HashSet<_>>() {
            self.forget_links(group);
        }
        self.remove_orphans(orphans).await
    }
}
