//! Removal of single images from a group, and selection of what is removed for quotas and age. `index::removal` has the
//! steps of a removal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;

use jiff::Timestamp;

use super::EmbeddedContent;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::atomic_file;
use crate::store::embedded::index::{LinkRemoval, LinksToRemove};
use crate::store::error::StoreError;
use crate::store::images::{ImageKey, Removal};
use crate::store::outcomes::StartedRemoval;

/// Number of attempts to remove links without keeping others waiting, while others change the same.
const MAX_PREPARATIONS: usize = 4;

impl EmbeddedContent {
    /// Removes images; see [`ContentStore::remove_images`](crate::store::content::ContentStore::remove_images).
    pub(in crate::store) fn remove_images(
        &self,
        group: GroupId,
        origin: &Origin,
        references: Vec<Reference>,
        unpulled_since: Option<Timestamp>,
    ) -> Result<(PathBuf, Removal), StoreError> {
        let mut digests = HashSet::new();
        for reference in &references {
            let name = (&origin.upstream, &origin.repository);
            for (key, record) in self.index().images_of_reference(group, name, reference)? {
                if key.origin == *origin {
                    self.add_content(&key, record.digest, &mut digests)?;
                }
            }
        }
        let digests = digests.into_iter().collect();
        let mut removal = Removal { origin: origin.clone(), references, unpulled_since, digests };
        removal.digests.sort();
        let note = self.index().begin_removal(group, &mut removal)?;
        Ok((note, removal))
    }

    /// Returns the removals that are not complete, after the removal of their images; see
    /// [`ContentStore::removals`](crate::store::content::ContentStore::removals).
    pub(in crate::store) fn started_removals(&self) -> Result<Vec<StartedRemoval>, StoreError> {
        let mut started = Vec::new();
        for (group, note, mut removal) in self.index().removals()? {
            if !removal.references.is_empty() {
                self.index().repeat_removal(group, &note, &mut removal)?;
            }
            started.push(StartedRemoval { group, note, removal });
        }
        Ok(started)
    }

    /// Removes the links that a removal leaves without an image; see
    /// [`ContentStore::remove_links_of`](crate::store::content::ContentStore::remove_links_of).
    pub(in crate::store) fn remove_links_of(
        &self,
        group: GroupId,
        removal: &Removal,
    ) -> Result<Vec<Digest>, StoreError> {
        // Until then it is unknown whether another group has a link to some content.
        self.index().check_against_files()?;
        let (mut kept, mut seen) = (HashSet::new(), HashSet::new());
        let mut unnamed: HashSet<Digest> = removal.digests.iter().copied().collect();
        self.remove_links(group, &removal.origin, &mut unnamed, |unnamed| {
            self.add_images(group, &removal.origin, &mut kept, &mut seen)?;
            unnamed.retain(|digest| !kept.contains(digest));
            Ok(())
        })
    }

    /// Removes the links of a group to these contents, durably, apart from those that `retain` takes out because they
    /// are named by now. Returns the digests that no group can read any more. Others wait for as little as possible:
    /// `retain` and the writing of the file are repeated if the images or the file have changed meanwhile.
    pub(super) fn remove_links(
        &self,
        group: GroupId,
        origin: &Origin,
        digests: &mut HashSet<Digest>,
        mut retain: impl FnMut(&mut HashSet<Digest>) -> Result<(), StoreError>,
    ) -> Result<Vec<Digest>, StoreError> {
        for _ in 0..MAX_PREPARATIONS {
            let images = self.index().image_changes();
            retain(digests)?;
            if digests.is_empty() {
                return Ok(Vec::new());
            }
            let prepared = self.index().prepare_removal(group, origin, digests)?;
            let guard = self.removing.write().unwrap_or_else(PoisonError::into_inner);
            if self.index().image_changes() == images
                && let Some(removed) = self.index().remove_prepared(prepared)?
            {
                drop(guard);
                return orphans(removed);
            }
        }
        let guard = self.removing.write().unwrap_or_else(PoisonError::into_inner);
        retain(digests)?;
        let removed = self.index().remove_links(group, origin, digests)?;
        drop(guard);
        orphans(removed)
    }

    /// Removes links of groups that are over their quotas; see
    /// [`ContentStore::trim`](crate::store::content::ContentStore::trim).
    pub(in crate::store) fn trim(&self, surplus: &HashMap<GroupId, u64>) -> Result<Vec<Digest>, StoreError> {
        let mut pinned = HashSet::new();
        for (key, digest) in self.index().pinned_images()? {
            pinned.extend(self.with_names(digest).into_iter().map(|digest| (key.group, digest)));
        }
        let links = self.index().links_over_quota(surplus, |group, digest| pinned.contains(&(group, *digest)))?;
        self.remove_selected(links)
    }

    /// Returns the images of a group that were last pulled before this time and are not pinned, by origin; none while
    /// the index is damaged. See [`ContentStore::unpulled`](crate::store::content::ContentStore::unpulled).
    pub(in crate::store) fn unpulled(
        &self,
        group: GroupId,
        before: Timestamp,
    ) -> Result<Vec<(Origin, Vec<Reference>)>, StoreError> {
        // Without the database it is not known when an image was pulled.
        if !self.index().is_checked()? {
            return Ok(Vec::new());
        }
        let mut unpulled: BTreeMap<Origin, Vec<Reference>> = BTreeMap::new();
        for (key, record) in self.index().images_of_group(group)? {
            if !record.pinned && record.last_pulled_at < before {
                unpulled.entry(key.origin).or_default().push(key.reference);
            }
        }
        Ok(unpulled.into_iter().collect())
    }

    /// Removes links to what no image names and nobody reads; see
    /// [`ContentStore::remove_unread`](crate::store::content::ContentStore::remove_unread).
    pub(in crate::store) fn remove_unread(
        &self,
        since: &HashMap<GroupId, Timestamp>,
    ) -> Result<Vec<Digest>, StoreError> {
        if !self.index().is_checked()? {
            return Ok(Vec::new());
        }
        let mut named = HashSet::new();
        for group in since.keys() {
            for (_, record) in self.index().images_of_group(*group)? {
                named.extend(self.with_names(record.digest).into_iter().map(|digest| (*group, digest)));
            }
        }
        let links = self.index().links_unread(since, |group, digest| named.contains(&(group, *digest)))?;
        self.remove_selected(links)
    }

    fn remove_selected(&self, links: LinksToRemove) -> Result<Vec<Digest>, StoreError> {
        let mut orphans = Vec::new();
        for ((group, origin), mut digests) in links {
            orphans.extend(self.remove_links(group, &origin, &mut digests, |_| Ok(()))?);
        }
        Ok(orphans)
    }

    /// Adds what the images of a group in an origin are and name. `seen` has the images that were added before.
    fn add_images(
        &self,
        group: GroupId,
        origin: &Origin,
        content: &mut HashSet<Digest>,
        seen: &mut HashSet<(ImageKey, Digest)>,
    ) -> Result<(), StoreError> {
        for (key, record) in self.index().images_of_repository(group, &origin.upstream, &origin.repository)? {
            if key.origin == *origin && seen.insert((key.clone(), record.digest)) {
                self.add_content(&key, record.digest, content)?;
            }
        }
        Ok(())
    }

    /// Adds what an image is and names, now and before its tag moved.
    fn add_content(&self, image: &ImageKey, digest: Digest, content: &mut HashSet<Digest>) -> Result<(), StoreError> {
        let earlier = self.index().earlier(image)?;
        for digest in earlier.into_iter().map(|earlier| earlier.digest).chain([digest]) {
            content.extend(self.with_names(digest));
        }
        Ok(())
    }
}

/// Forces the removal of links to the disk, and returns the digests that no group can read any more.
fn orphans(LinkRemoval { orphans, file }: LinkRemoval) -> Result<Vec<Digest>, StoreError> {
    match file.as_deref().map(atomic_file::sync_name) {
        // The folder may be gone, because the group is purged.
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(orphans),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
