//! Removal of links to what no image of a group names and nobody has read for long: a layer that arrived after its
//! image was removed, what a tag stood for so long ago that it is not in the history, and what a removed manifest named
//! that was too long for its summary.
//!
//! Everything that an image names stays, so a pull loses nothing: its content is named as soon as its image is
//! recorded, and counts as just read until then. Where it is not known what an image names, the links of its origin
//! stay.

use std::collections::HashSet;

use jiff::Timestamp;

use super::EmbeddedContent;
use super::names::MAX_NAMES_OF_ONE;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::manifest;
use crate::domain::origin::Origin;
use crate::store::error::StoreError;
use crate::store::images::ImageKey;
use crate::store::outcomes::RemovedLinks;

/// Blobs and manifests that one manifest names, all of them.
type Names = (Vec<Digest>, Vec<Digest>);

impl EmbeddedContent {
    /// Removes links to what no image names; see
    /// [`ContentStore::remove_unnamed`](crate::store::content::ContentStore::remove_unnamed).
    pub(in crate::store) fn remove_unnamed(
        &self,
        group: GroupId,
        before: Timestamp,
    ) -> Result<RemovedLinks, StoreError> {
        let mut removed = RemovedLinks::default();
        if !self.index().is_checked()? {
            return Ok(removed);
        }
        for unread in self.index().unread_links(group, before)? {
            for (origin, digests) in unread? {
                self.remove_unnamed_of(group, &origin, digests, before, &mut removed)?;
            }
        }
        Ok(removed)
    }

    /// Removes the links to those of these contents of one origin that no image names.
    fn remove_unnamed_of(
        &self,
        group: GroupId,
        origin: &Origin,
        mut unread: HashSet<Digest>,
        before: Timestamp,
        removed: &mut RemovedLinks,
    ) -> Result<(), StoreError> {
        let mut seen = HashSet::new();
        let mut links = 0;
        let orphans = self.remove_links(group, origin, &mut unread, |unread| {
            self.retain_unnamed(group, origin, unread, &mut seen)?;
            unread.retain(|digest| self.index().is_unread(digest, before));
            // If the database has failed meanwhile, names may be missing.
            if !self.index().is_checked()? {
                unread.clear();
            }
            links = unread.len();
            Ok(())
        })?;
        removed.links += links;
        removed.orphans.extend(orphans);
        Ok(())
    }

    /// Keeps only contents that no image of the group in this origin names, now or before its tag moved; none if that
    /// is unknown. `seen` has the images that were considered before.
    fn retain_unnamed(
        &self,
        group: GroupId,
        origin: &Origin,
        contents: &mut HashSet<Digest>,
        seen: &mut HashSet<(ImageKey, Digest)>,
    ) -> Result<(), StoreError> {
        let mut images = Vec::new();
        for (key, record) in self.index().images_of_repository(group, &origin.upstream, &origin.repository)? {
            if contents.is_empty() {
                return Ok(());
            }
            if key.origin != *origin || !seen.insert((key.clone(), record.digest)) {
                continue;
            }
            match self.all_names(group, origin, record.digest)? {
                Some(names) => contents.retain(|digest| !names.contains(digest)),
                None => contents.clear(),
            }
            images.push(key);
        }
        for image in images {
            // No more files of images are read once no content is left.
            if contents.is_empty() {
                return Ok(());
            }
            for earlier in self.index().earlier(&image)? {
                contents.remove(&earlier.digest);
                let names = self.all_names(group, origin, earlier.digest)?.unwrap_or_default();
                contents.retain(|digest| !names.contains(digest));
            }
        }
        Ok(())
    }

    /// Returns what an image is and names, however much that is. `None` if some of it is unknown, because the group has
    /// pulled a manifest that is not stored any more.
    fn all_names(&self, group: GroupId, origin: &Origin, image: Digest) -> Result<Option<HashSet<Digest>>, StoreError> {
        let Some((blobs, manifests)) = self.names_of_one(group, origin, &image)? else { return Ok(None) };
        let children: HashSet<Digest> = manifests.into_iter().collect();
        let mut names: HashSet<Digest> = blobs.into_iter().chain([image]).chain(children.iter().copied()).collect();
        for child in children {
            let Some((blobs, manifests)) = self.names_of_one(group, origin, &child)? else { return Ok(None) };
            names.extend(blobs.into_iter().chain(manifests));
        }
        Ok(Some(names))
    }

    /// Returns what one manifest names; nothing if the group has never pulled it, and `None` if it has and the manifest
    /// is not stored any more.
    fn names_of_one(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Result<Option<Names>, StoreError> {
        // A summary with the maximum number of names may lack some.
        let is_whole = |blobs: usize, manifests: usize| blobs.max(manifests) < MAX_NAMES_OF_ONE;
        if let Some(known) = self.index().summary(digest)
            && is_whole(known.blobs.len(), known.manifests.len())
        {
            return Ok(Some((known.blobs, known.manifests.into_iter().map(|(child, _)| child).collect())));
        }
        if let Some(manifest) = self.manifests().read(digest)? {
            let named = manifest::parse(&manifest.media_type, &manifest.bytes).unwrap_or_default();
            let digests = |named: Vec<manifest::Descriptor>| named.into_iter().map(|one| one.digest).collect();
            return Ok(Some((digests(named.blobs), digests(named.manifests))));
        }
        let was_pulled = self.index().is_granted(group, origin, digest).unwrap_or(true);
        Ok((!was_pulled).then(Names::default))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::path::Path;

    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::domain::manifest::ACCEPTED;
    use crate::domain::origin::Account;
    use crate::domain::reference::Reference;
    use crate::store::embedded::index::Index;
    use crate::store::grant::{Grant, Pulled};
    use crate::store::link::{Link, TagEntry};
    use crate::store::manifests::{Manifest, ManifestStore};
    use crate::store::usage::{FileKind, StoredFile};

    const GROUP: GroupId = GroupId(1);

    fn open(folder: &Path) -> EmbeddedContent {
        EmbeddedContent::new(Index::open(folder, folder).unwrap(), ManifestStore::new(folder))
    }

    fn origin() -> Origin {
        let (upstream, repository) = ("docker.io".parse().unwrap(), "library/app".parse().unwrap());
        Origin { upstream, account: Account::Anonymous, repository }
    }

    fn blob(number: u8) -> Digest {
        Digest::from_bytes([number; 32])
    }

    /// Returns a manifest with one blob, followed by this number of spaces.
    fn manifest(number: u8, spaces: usize) -> Manifest {
        let config = json!({"digest": blob(number).to_string(), "size": 1});
        let document = json!({"schemaVersion": 2, "config": config, "layers": []}).to_string();
        Manifest::new(ACCEPTED[2].to_owned(), (document + &" ".repeat(spaces)).into())
    }

    /// Has the group pull a tag with its blob, and records both as stored.
    fn pull(content: &EmbeddedContent, tag: &str, number: u8, spaces: usize) -> Digest {
        let manifest = manifest(number, spaces);
        let entry = TagEntry { digest: manifest.digest, checked_at: Timestamp::now(), denied: false };
        let pulled = Pulled::Tag(tag.parse().unwrap(), entry);
        grant(content, &[manifest.digest, blob(number)], pulled, Some(&manifest));
        manifest.digest
    }

    fn grant(content: &EmbeddedContent, digests: &[Digest], pulled: Pulled, manifest: Option<&Manifest>) {
        let links = digests.iter().map(|digest| (*digest, Link::granted(Some(1)))).collect();
        content.grant(&Grant { group: GROUP, origin: origin(), links, pulled }, manifest).unwrap();
        let usage = content.manifests().usage();
        content.index().record_files(usage, &std::collections::HashMap::new()).unwrap();
        for digest in digests {
            content.index().found_file(usage, digest, StoredFile { kind: FileKind::Blob, size: 1 }).unwrap();
        }
    }

    fn delete(content: &EmbeddedContent, tag: &str) {
        let references = vec![Reference::Tag(tag.parse().unwrap())];
        let (note, removal) = content.remove_images(GROUP, &origin(), references, None).unwrap();
        content.remove_links_of(GROUP, &removal).unwrap();
        content.index().end_removal(GROUP, &note).unwrap();
    }

    /// Removes what nobody has read until this number of hours from now. Returns the blobs of this list that are left.
    fn left_after(content: &EmbeddedContent, hours: i64, blobs: std::ops::Range<u8>) -> Vec<u8> {
        content.remove_unnamed(GROUP, Timestamp::now() + SignedDuration::from_hours(hours)).unwrap();
        let is_left = |number: &u8| content.index().is_granted(GROUP, &origin(), &blob(*number)).unwrap();
        blobs.filter(is_left).collect()
    }

    #[test]
    fn a_layer_that_arrives_after_its_image_was_removed_goes_once_nobody_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let content = open(folder.path());
        pull(&content, "1", 1, 0);
        pull(&content, "2", 2, 0);
        delete(&content, "1");
        grant(&content, &[blob(1)], Pulled::Blob, None);
        assert_eq!(left_after(&content, -1, 1..3), [1, 2], "it was read just now");
        assert_eq!(left_after(&content, 1, 1..3), [2]);
        assert_eq!(content.index().totals().unwrap().unwrap()[&GROUP].blobs, 1);
        drop(content);
        std::fs::remove_dir_all(folder.path().join("index")).unwrap();
        assert_eq!(open(folder.path()).index().is_granted(GROUP, &origin(), &blob(1)), Some(false), "in its file, too");
    }

    #[test]
    fn what_a_tag_stood_for_stays_as_long_as_its_history_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let content = open(folder.path());
        for number in 1..=23 {
            pull(&content, "1", number, 0);
        }
        assert_eq!(left_after(&content, 1, 1..24), (3..24).collect::<Vec<_>>(), "20 moves are in the history");
    }

    #[test]
    fn what_a_long_manifest_names_stays_with_its_image_and_goes_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let content = open(folder.path());
        pull(&content, "1", 1, 2 << 20);
        assert_eq!(left_after(&content, 1, 1..2), [1]);
        delete(&content, "1");
        assert_eq!(left_after(&content, -1, 1..2), [1]);
        assert_eq!(left_after(&content, 1, 1..2), Vec::<u8>::new());
    }

    #[test]
    fn nothing_goes_while_it_is_unknown_what_an_image_names() {
        let folder = tempfile::tempdir().unwrap();
        let content = open(folder.path());
        let evicted = pull(&content, "1", 1, 0);
        pull(&content, "2", 2, 0);
        delete(&content, "2");
        grant(&content, &[blob(2)], Pulled::Blob, None);
        content.manifests().evict(&evicted).unwrap();
        content.index().record_files(content.manifests().usage(), &std::collections::HashMap::new()).unwrap();
        assert_eq!(left_after(&content, 1, 1..3), [1, 2]);
        pull(&content, "1", 1, 0);
        assert_eq!(left_after(&content, 1, 1..3), [1]);
    }
}
