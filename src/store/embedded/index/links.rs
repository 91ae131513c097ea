//! Links of groups to content. Each is in a small file, which is authoritative, and in the database.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::{Index, StoreError, index_file, key, link_files, read};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::link::Link;

/// Disk space in bytes that a link requires, in its file and in the database together.
const BYTES_PER_LINK: usize = 1 << 10;

/// Maximum number of used links that are remembered until they are recorded.
const MAX_USED: usize = 100_000;

/// Links of one group to one origin.
type OriginLinks = HashMap<(GroupId, Origin), Vec<(Digest, Link)>>;

/// Referenced links that were used as granted links, because upstream has served the content to the same account.
#[derive(Default)]
pub(super) struct UsedLinks(Mutex<(usize, OriginLinks)>);

impl UsedLinks {
    fn note(&self, group: GroupId, origin: &Origin, digest: &Digest, link: Link) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.0 < MAX_USED {
            noted.0 += 1;
            noted.1.entry((group, origin.clone())).or_default().push((*digest, link));
        }
    }

    fn take(&self) -> OriginLinks {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).1
    }
}

impl Index {
    /// Returns the group's link to this content from this origin. A referenced link counts as granted if upstream
    /// has served the content to the same account in another repository or for another group.
    ///
    /// # Errors
    ///
    /// Fails if the link's file cannot be read because the process lacks open files or memory.
    pub fn link(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Result<Option<Link>, StoreError> {
        let known = self.known_links(group, origin, std::slice::from_ref(digest))?.pop().flatten();
        let Some(link) = known else { return Ok(None) };
        let source = || Ok(self.sources.get(key::source(digest, origin))?);
        let source = if link.is_granted() { None } else { self.in_database(source).flatten() };
        self.database.settle();
        // The size in a referenced link is only the manifest's claim.
        let Some(size) = source else { return Ok(Some(link)) };
        let granted = Link::granted(size.as_ref().try_into().ok().map(u64::from_be_bytes));
        self.used.note(group, origin, digest, granted);
        Ok(Some(granted))
    }

    /// Records granted links in place of those referenced links that were used as such since the last call. On a full
    /// disk they are recorded after their next use.
    ///
    /// # Errors
    ///
    /// Fails if a links' file cannot be read or written.
    pub fn record_used_links(&self) -> Result<(), StoreError> {
        for ((group, origin), links) in self.used.take() {
            let digests: Vec<Digest> = links.iter().map(|(digest, _)| *digest).collect();
            let known = self.known_links(group, &origin, &digests)?;
            // A link that was removed since is not made again.
            let links: Vec<_> =
                links.into_iter().zip(known).filter(|(_, known)| known.is_some()).map(|(link, _)| link).collect();
            match self.add_links(group, &origin, &links) {
                // They are recorded after their next use.
                Err(StoreError::Full) => {}
                added => added?,
            }
        }
        Ok(())
    }

    /// Adds links of the group. They are merged with the links that are known already, so that a granted link stays
    /// granted.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, or if the links' file cannot be read or written.
    pub fn add_links(&self, group: GroupId, origin: &Origin, links: &[(Digest, Link)]) -> Result<(), StoreError> {
        let _guard = self.adding.read().unwrap_or_else(PoisonError::into_inner);
        let mut added = Vec::new();
        let digests: Vec<Digest> = links.iter().map(|(digest, _)| *digest).collect();
        let known = self.known_links(group, origin, &digests)?;
        for ((digest, link), known) in links.iter().zip(known) {
            let link = known.map_or(*link, |known| known.merge(link));
            if known != Some(link) {
                added.push((digest, link));
            }
        }
        if added.is_empty() {
            self.database.settle();
            return Ok(());
        }
        self.check_space(added.len() * BYTES_PER_LINK)?;
        link_files::append(&self.groups, group, origin, &added)?;
        // The files are written first: they keep the links even if the database fails.
        self.in_database(|| self.database.change(|| self.insert_links(group, origin, &added)));
        Ok(())
    }

    /// Puts links of a group into the database.
    pub(super) fn insert_links(
        &self,
        group: GroupId,
        origin: &Origin,
        links: &[(&Digest, Link)],
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let _recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = HashSet::new();
        for (digest, link) in links {
            let key = key::link(digest, group, origin);
            self.found.note(&key);
            batch.insert(key, serde_json::to_vec(link)?);
            if link.is_granted() {
                self.sources.insert(key::source(digest, origin), source_value(link))?;
                if held.insert(**digest)
                    && let Some(file) = self.file(digest)?
                    && !self.holds(group, digest)?
                {
                    self.totals.add(digest, group, file);
                }
            }
        }
        Ok(self.links.apply_batch(batch)?)
    }

    /// Removes a link of a group from the database.
    pub(super) fn forget_link(&self, group: GroupId, digest: &Digest, key: &[u8]) -> Result<(), StoreError> {
        let _recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.holds(group, digest)?;
        self.links.remove(key)?;
        if held
            && let Some(file) = self.file(digest)?
            && !self.holds(group, digest)?
        {
            self.totals.subtract(digest, group, file);
        }
        Ok(())
    }

    /// Returns the group's own links to these contents, in the order of `digests`.
    fn known_links(
        &self,
        group: GroupId,
        origin: &Origin,
        digests: &[Digest],
    ) -> Result<Vec<Option<Link>>, StoreError> {
        let look_up = |digest| read(self.links.get(key::link(digest, group, origin))?);
        self.if_trusted(|| digests.iter().map(look_up).collect()).unwrap_or_else(|| {
            let forgotten = index_file::is_forgotten(&self.groups, group);
            if forgotten {
                Ok(vec![None; digests.len()])
            } else {
                link_files::links(&self.groups, group, origin, digests)
            }
        })
    }

    /// Returns true if any group has a link to this content, and also if that is unknown.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, it returns true.
    pub fn is_linked(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.if_trusted(|| Ok(self.links.scan_prefix(digest.as_bytes()).next().transpose()?.is_some()))
            .unwrap_or(Ok(true))
    }
}

/// Encodes the length of the content; empty if it is unknown.
pub(super) fn source_value(link: &Link) -> Vec<u8> {
    link.size.map(|size| size.to_be_bytes().to_vec()).unwrap_or_default()
}
