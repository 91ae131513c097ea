//! Selection of links to remove: of groups that are over their quotas, and to content that nobody has read for long.
//! The caller decides whether an image names the content.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use jiff::Timestamp;

use super::{Index, StoreError, file_record, key, link_files, read};
use crate::domain::digest::Digest;
use crate::domain::eviction::Selection;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::link::Link;

/// Links to remove, by group and origin.
pub type LinksToRemove = HashMap<(GroupId, Origin), HashSet<Digest>>;

impl Index {
    /// Selects links so that each of these groups holds at least that number of bytes less, if it holds as many.
    /// Content with the lowest priorities for eviction goes first. `keep` names content that stays. Reads the whole
    /// index.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, it selects none.
    pub fn links_over_quota(
        &self,
        surplus: &HashMap<GroupId, u64>,
        keep: impl Fn(GroupId, &Digest) -> bool,
    ) -> Result<LinksToRemove, StoreError> {
        let mut selections: HashMap<GroupId, Selection<Digest>> =
            surplus.iter().map(|(group, bytes)| (*group, Selection::of(*bytes))).collect();
        self.in_database(|| {
            let (mut record, mut seen) = (None, None);
            for entry in &self.links {
                let (key, link) = entry?;
                let Some((digest, group)) = key::holder_of_link(&key) else { continue };
                let Some(selection) = selections.get_mut(&group) else { continue };
                // All links of a group to a content follow one another.
                if seen == Some((digest, group)) || !read::<Link>(Some(link))?.is_some_and(Link::is_granted) {
                    continue;
                }
                if record.is_none_or(|(known, _)| known != digest) {
                    record = Some((digest, self.files.get(digest.as_bytes())?.as_deref().and_then(file_record::usage)));
                }
                seen = Some((digest, group));
                if let Some(usage) = record.and_then(|(_, usage)| usage).filter(|_| !keep(group, &digest)) {
                    selection.consider(usage, digest);
                }
            }
            Ok(())
        });
        let mut links = LinksToRemove::new();
        for (group, selection) in selections {
            for (_, digest) in selection.chosen() {
                self.add_links_of(group, digest, &mut links)?;
            }
        }
        Ok(links)
    }

    /// Selects the links of these groups to content that nobody has read since the time beside the group. `keep` names
    /// content that stays. Reads the whole index.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, it selects none.
    pub fn links_unread(
        &self,
        since: &HashMap<GroupId, Timestamp>,
        keep: impl Fn(GroupId, &Digest) -> bool,
    ) -> Result<LinksToRemove, StoreError> {
        let mut unread = Vec::new();
        self.in_database(|| {
            for key in self.links.iter().keys() {
                let Some((digest, group)) = key::holder_of_link(&key?) else { continue };
                let Some(since) = since.get(&group).filter(|_| !keep(group, &digest)) else { continue };
                let read_at = self.files.get(digest.as_bytes())?.as_deref().and_then(file_record::read_at);
                // A link to what is not stored: a part of an image that nobody has pulled.
                if read_at.is_some_and(|read_at| read_at < *since) && unread.last() != Some(&(group, digest)) {
                    unread.push((group, digest));
                }
            }
            Ok(())
        });
        let mut links = LinksToRemove::new();
        for (group, digest) in unread {
            self.add_links_of(group, digest, &mut links)?;
        }
        Ok(links)
    }

    /// Returns the granted links of a group to stored content that nobody has read since this time: of one file of
    /// links at a time, by origin. Reads each file when it is requested.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn unread_links(
        &self,
        group: GroupId,
        before: Timestamp,
    ) -> Result<impl Iterator<Item = Result<HashMap<Origin, HashSet<Digest>>, StoreError>>, StoreError> {
        let of_file = move |path: PathBuf| {
            let mut unread: HashMap<Origin, HashSet<Digest>> = HashMap::new();
            for entry in link_files::read(&path, group)?.links {
                if entry.link.is_granted() && self.is_unread(&entry.digest, before) {
                    unread.entry(entry.origin).or_default().insert(entry.digest);
                }
            }
            Ok(unread)
        };
        Ok(link_files::paths(&self.groups, group)?.map(move |path| path.and_then(of_file)))
    }

    /// Returns true for stored content that nobody has read since this time; false if that is unknown.
    pub fn is_unread(&self, digest: &Digest, before: Timestamp) -> bool {
        let read_at = || Ok(self.files.get(digest.as_bytes())?.as_deref().and_then(file_record::read_at));
        self.in_database(read_at).flatten().is_some_and(|read_at| read_at < before)
    }

    /// Returns stored files to which no group has a link, and which nobody has read since this time; none until the
    /// database was compared with the files.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, it returns none.
    pub fn unlinked_files(&self, before: Timestamp) -> Result<Vec<Digest>, StoreError> {
        let unlinked = self.if_trusted(|| {
            let mut unlinked = Vec::new();
            for entry in &self.files {
                let (key, record) = entry?;
                let is_old = file_record::read_at(&record).is_some_and(|read_at| read_at < before);
                if is_old && self.links.scan_prefix(&key).next().transpose()?.is_none() {
                    unlinked.extend(file_record::digest_of(&key));
                }
            }
            Ok(unlinked)
        });
        unlinked.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Adds all links of a group to a content.
    fn add_links_of(&self, group: GroupId, digest: Digest, links: &mut LinksToRemove) -> Result<(), StoreError> {
        self.in_database(|| {
            for key in self.links.scan_prefix(key::links_of_group(&digest, group)).keys() {
                if let Some(origin) = key::origin_of_link(&key?) {
                    links.entry((group, origin)).or_default().insert(digest);
                }
            }
            Ok(())
        });
        Ok(())
    }
}
