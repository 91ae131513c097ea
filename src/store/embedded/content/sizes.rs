//! Sizes of images for lists in their order. To count them all takes seconds for a group with very many images, because
//! the summary of each is read. So they are kept for a time that grows with that of the count, and a list is in the
//! order of sizes that may have changed since. The sizes that it shows are the present ones.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::EmbeddedContent;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::store::embedded::index_key;
use crate::store::error::StoreError;

/// Maximum number of images whose sizes are kept, of all groups together, at some 20 bytes each.
const MAX_IMAGES: usize = 2_000_000;

/// Time for which counted sizes are used, as a multiple of the time that the count took.
const REPEAT_AFTER: u32 = 100;

/// Maximum of that time.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Sizes of the images of groups, as they were counted last.
#[derive(Default)]
pub(super) struct SizesOfGroups {
    hasher: RandomState,
    groups: Mutex<HashMap<GroupId, Arc<Sizes>>>,
}

/// Sizes by hashes of keys and digests.
pub(super) struct Sizes {
    of_images: HashMap<u64, u64>,
    until: Instant,
}

impl SizesOfGroups {
    fn hash(&self, key: &[u8], digest: &Digest) -> u64 {
        self.hasher.hash_one((key, digest))
    }

    fn known(&self, group: GroupId) -> Option<Arc<Sizes>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(&group).filter(|sizes| Instant::now() < sizes.until).cloned()
    }

    fn keep(&self, group: GroupId, sizes: Arc<Sizes>) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        groups.retain(|other, sizes| *other != group && now < sizes.until);
        let kept: usize = groups.values().map(|sizes| sizes.of_images.len()).sum();
        if kept + sizes.of_images.len() > MAX_IMAGES {
            groups.clear();
        }
        if sizes.of_images.len() <= MAX_IMAGES {
            groups.insert(group, sizes);
        }
    }
}

impl EmbeddedContent {
    /// Returns the sizes of the images of a group, counted some time ago or now.
    pub(super) fn sizes_of(&self, group: GroupId) -> Result<Arc<Sizes>, StoreError> {
        if let Some(known) = self.sizes.known(group) {
            return Ok(known);
        }
        let begin = Instant::now();
        let images = self.index().listed_images(group)?;
        let of_images = images.iter().map(|(image, record)| {
            let key = index_key::image(image);
            (self.sizes.hash(&key, &record.digest), self.stored(image, record.digest).size)
        });
        let of_images = of_images.collect();
        let age = begin.elapsed().saturating_mul(REPEAT_AFTER).min(MAX_AGE);
        let sizes = Arc::new(Sizes { of_images, until: Instant::now() + age });
        self.sizes.keep(group, sizes.clone());
        Ok(sizes)
    }

    /// Returns the size of an image with this key: the counted one, or that of now for an image that has come since.
    pub(super) fn size_of(&self, sizes: &Sizes, key: &[u8], digest: Digest) -> u64 {
        let counted = sizes.of_images.get(&self.sizes.hash(key, &digest)).copied();
        let of_now = || index_key::image_of(key).map_or(0, |image| self.stored(&image, digest).size);
        counted.unwrap_or_else(of_now)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::domain::manifest::ACCEPTED;
    use crate::domain::origin::{Account, Origin};
    use crate::store::embedded::index::{Index, PageOf};
    use crate::store::grant::{Grant, Pulled};
    use crate::store::images::ImageOrder;
    use crate::store::link::{Link, TagEntry};
    use crate::store::manifests::{Manifest, ManifestStore};

    const GROUP: GroupId = GroupId(1);

    /// Has the group pull a tag whose manifest is longer by this number of bytes.
    fn pull(content: &EmbeddedContent, tag: &str, spaces: usize) {
        let (upstream, repository) = ("docker.io".parse().unwrap(), "library/app".parse().unwrap());
        let origin = Origin { upstream, account: Account::Anonymous, repository };
        let document = json!({"schemaVersion": 2, "layers": []}).to_string() + &" ".repeat(spaces);
        let manifest = Manifest::new(ACCEPTED[2].to_owned(), document.into());
        let entry = TagEntry { digest: manifest.digest, checked_at: Timestamp::now(), denied: false };
        let links = vec![(manifest.digest, Link::granted(Some(1)))];
        let pulled = Pulled::Tag(tag.parse().unwrap(), entry);
        content.grant(&Grant { group: GROUP, origin, links, pulled }, Some(&manifest)).unwrap();
        content.index().record_files(content.manifests().usage(), &HashMap::new()).unwrap();
    }

    #[test]
    fn a_list_by_size_is_counted_once_and_has_what_came_since() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path(), folder.path()).unwrap();
        let content = EmbeddedContent::new(index, ManifestStore::new(folder.path()));
        let tags = || -> String {
            let page = PageOf { order: ImageOrder::Size, descending: true, skip: 0, limit: 9 };
            let (images, total) = content.page(GROUP, page).unwrap().unwrap();
            assert_eq!(images.len(), total);
            images.into_iter().map(|(image, _)| image.reference.to_string()).collect()
        };
        for (tag, spaces) in [("a", 10), ("b", 30), ("c", 20)] {
            pull(&content, tag, spaces);
        }
        assert_eq!(tags(), "bca");
        let mut counted = content.sizes.groups.lock().unwrap().remove(&GROUP).unwrap();
        Arc::get_mut(&mut counted).unwrap().until = Instant::now() + MAX_AGE;
        content.sizes.keep(GROUP, counted);
        pull(&content, "d", 25);
        assert_eq!(tags(), "bdca");
        assert_eq!(content.sizes.known(GROUP).unwrap().of_images.len(), 3, "nothing was counted again");
    }
}
