//! Lists of the images that a group has cached.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::EmbeddedContent;
use super::names::MAX_NAMES_OF_ONE;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::platform::Platform;
use crate::domain::reference::Reference;
use crate::domain::repository::{Repository, UpstreamName};
use crate::store::blobs::BlobFiles;
use crate::store::embedded::index::{ImageRecord, PageOf, Summary};
use crate::store::embedded::index_key;
use crate::store::error::StoreError;
use crate::store::images::{CachedImage, GroupTotals, ImageKey, ImageOrder, ImagePage, ImageQuery, KnownTotals, Only};

/// Images with their records, and the number of all of which they are a part.
pub(super) type Listed = (Vec<(ImageKey, ImageRecord)>, usize);

impl EmbeddedContent {
    /// Returns a part of a group's images; see [`ContentStore::images`](crate::store::content::ContentStore::images).
    pub(in crate::store) fn images(
        &self,
        group: GroupId,
        query: &ImageQuery,
        blobs: &BlobFiles,
    ) -> Result<ImagePage, StoreError> {
        self.record_latest()?;
        let filtered =
            query.search.is_some() || query.pinned.is_some() || query.only.is_some() || query.repository.is_some();
        let ImageQuery { order, descending, skip, limit, .. } = *query;
        if !filtered && let Some((images, total)) = self.page(group, PageOf { order, descending, skip, limit })? {
            return Ok(ImagePage { images: self.shown(images, blobs), total });
        }
        let mut all = match (&query.only, &query.repository, query.pinned) {
            (Some(only), _, _) => self.selected(group, only)?,
            (None, Some((upstream, repository)), _) => {
                self.index().listed_of_repository(group, upstream, repository)?
            }
            (None, None, Some(true)) => self.index().pinned_of_group(group)?,
            (None, None, _) => match &query.search {
                Some(text) => self.index().listed_with_text(group, text)?,
                None => self.index().listed_images(group)?,
            },
        };
        all.retain(|(key, record)| is_wanted(key, record, query));
        match query.order {
            ImageOrder::Name => {}
            ImageOrder::Size => all.sort_by_cached_key(|(key, record)| self.stored(key, record.digest).size),
            ImageOrder::CachedAt => all.sort_by_key(|(_, record)| record.cached_at),
            ImageOrder::LastPulledAt => all.sort_by_key(|(_, record)| record.last_pulled_at),
            ImageOrder::Pulls => all.sort_by_key(|(_, record)| record.pulls),
        }
        if query.descending {
            all.reverse();
        }
        let total = all.len();
        let page = all.into_iter().skip(query.skip).take(query.limit).collect();
        Ok(ImagePage { images: self.shown(page, blobs), total })
    }

    /// Returns a part of all images of a group, and their number; `None` if the database cannot be read.
    pub(super) fn page(&self, group: GroupId, page: PageOf) -> Result<Option<Listed>, StoreError> {
        if page.order != ImageOrder::Size {
            return Ok(self.index().listed_page(group, page));
        }
        let sizes = self.sizes_of(group)?;
        let place = |key: &[u8], record: &ImageRecord| self.size_of(&sizes, key, record.digest).into();
        Ok(self.index().listed_page_by(group, page, place))
    }

    /// Returns the selected images of a group, in the order of their names. A selection by the time of the last pull
    /// reads all records of the group, others read only those of the selected images.
    fn selected(&self, group: GroupId, only: &Only) -> Result<Vec<(ImageKey, ImageRecord)>, StoreError> {
        let is_recent = |record: &ImageRecord, since| record.pinned || record.last_pulled_at >= since;
        let mut all = match only {
            Only::UnpulledSince(since) => {
                let mut all = self.index().listed_images(group)?;
                all.retain(|(key, record)| !is_recent(record, *since) && self.is_complete(key, record));
                return Ok(all);
            }
            Only::Tags { tags, pulled_since } => {
                let mut all = Vec::new();
                for (origin, tag) in tags {
                    let (name, reference) = ((&origin.upstream, &origin.repository), Reference::Tag(tag.clone()));
                    all.extend(self.index().listed_of_reference(group, name, &reference)?);
                }
                let tags: HashSet<_> = tags.iter().map(|(origin, tag)| (origin, tag)).collect();
                let is_one = |key: &ImageKey| matches!(&key.reference, Reference::Tag(tag) if tags.contains(&(&key.origin, tag)));
                let is_recent = |record: &ImageRecord| pulled_since.is_none_or(|since| is_recent(record, since));
                all.retain(|(key, record)| is_one(key) && is_recent(record) && self.is_complete(key, record));
                all
            }
            Only::Lacking(content) => {
                let (mut all, origins) = (Vec::new(), content.iter().map(|(origin, _)| origin).collect::<HashSet<_>>());
                for origin in origins {
                    let images = self.index().listed_of_repository(group, &origin.upstream, &origin.repository)?;
                    all.extend(images.into_iter().filter(|(key, _)| key.origin == *origin));
                }
                all.retain(|(key, record)| {
                    let absent = self.stored(key, record.digest).absent;
                    content.iter().any(|(origin, digest)| key.origin == *origin && absent.contains(digest))
                });
                all
            }
        };
        all.sort_by_cached_key(|(key, _)| index_key::image(key));
        all.dedup_by(|(one, _), (other, _)| one == other);
        Ok(all)
    }

    fn is_complete(&self, key: &ImageKey, record: &ImageRecord) -> bool {
        let stored = self.stored(key, record.digest);
        stored.is_complete()
    }

    /// Returns the images of a group by name and tag or digest; see
    /// [`ContentStore::image`](crate::store::content::ContentStore::image).
    pub(in crate::store) fn image(
        &self,
        group: GroupId,
        upstream: &UpstreamName,
        repository: &Repository,
        reference: &Reference,
        blobs: &BlobFiles,
    ) -> Result<Vec<CachedImage>, StoreError> {
        self.record_latest()?;
        let mut found = self.index().listed_of_reference(group, (upstream, repository), reference)?;
        if found.is_empty() {
            // Before it is compared with the files, the database may lack it.
            found = self.index().images_of_reference(group, (upstream, repository), reference)?;
        }
        Ok(self.shown(found, blobs))
    }

    /// Returns what each group has cached, with the latest changes; see
    /// [`ContentStore::totals`](crate::store::content::ContentStore::totals).
    pub(in crate::store) fn totals(&self) -> Result<Option<HashMap<GroupId, GroupTotals>>, StoreError> {
        self.record_latest()?;
        self.index().totals()
    }

    /// Returns what each group has cached, with the latest changes, as far as that is known; see
    /// [`ContentStore::known_totals`](crate::store::content::ContentStore::known_totals).
    pub(in crate::store) fn known_totals(&self) -> Result<KnownTotals, StoreError> {
        self.record_latest()?;
        Ok(self.index().known_totals())
    }

    /// Records what was stored since the last periodic run, so that what is listed is complete.
    fn record_latest(&self) -> Result<(), StoreError> {
        self.index().record_files(self.manifests().usage(), &HashMap::new())?;
        self.index().record_used_links()
    }

    /// Returns images as they are shown. A platform that is not known, as that of an image that nobody has pulled since
    /// it was warmed, is read once.
    fn shown(&self, images: Vec<(ImageKey, ImageRecord)>, blobs: &BlobFiles) -> Vec<CachedImage> {
        images.iter().for_each(|(_, record)| self.find_platform(&record.digest, blobs));
        images.into_iter().map(|(key, record)| self.cached_image(key, record)).collect()
    }

    fn cached_image(&self, key: ImageKey, record: ImageRecord) -> CachedImage {
        let stored = self.stored(&key, record.digest);
        let is_complete = stored.is_complete();
        let Stored { size, platforms, absent, names_more, .. } = stored;
        let checked_at = match &key.reference {
            Reference::Tag(tag) => self.index().listed_tag(&key.origin, tag).map(|entry| entry.checked_at),
            Reference::Digest(_) => None,
        };
        CachedImage {
            key,
            digest: record.digest,
            platforms: platforms.into_iter().collect(),
            size,
            is_complete,
            names_more,
            absent,
            cached_at: record.cached_at,
            last_pulled_at: record.last_pulled_at,
            pulls: record.pulls,
            pinned: record.pinned,
            checked_at,
        }
    }

    /// Returns what is stored of an image and was pulled by its group.
    pub(super) fn stored(&self, image: &ImageKey, digest: Digest) -> Stored {
        let mut stored = Stored::default();
        if !self.count(image, &digest, &mut stored) {
            return stored;
        }
        let summary = self.summary_for(&digest, &mut stored);
        stored.has_platform = summary.manifests.is_empty();
        stored.platforms.extend(summary.platform);
        for blob in &summary.blobs {
            self.count(image, blob, &mut stored);
        }
        for (child, platform) in summary.manifests {
            // Platforms that nobody has pulled are no part of what is stored.
            if self.index().held_file(image.group, &image.origin, &child).is_none() {
                continue;
            }
            self.count(image, &child, &mut stored);
            stored.has_platform = true;
            let of_child = self.summary_for(&child, &mut stored);
            for blob in &of_child.blobs {
                self.count(image, blob, &mut stored);
            }
            stored.platforms.extend(platform.or(of_child.platform));
        }
        stored
    }

    /// Returns what a manifest of an image names. Notes if that is not known, or not all of it.
    fn summary_for(&self, manifest: &Digest, stored: &mut Stored) -> Summary {
        let summary = self.summary(manifest);
        stored.names_more |= summary.as_ref().is_none_or(|summary| {
            summary.blobs.len() >= MAX_NAMES_OF_ONE || summary.manifests.len() >= MAX_NAMES_OF_ONE
        });
        summary.unwrap_or_default()
    }

    /// Counts one content of an image. Returns true if it is stored, and the group has a granted link to it.
    fn count(&self, image: &ImageKey, digest: &Digest, stored: &mut Stored) -> bool {
        let file = self.index().held_file(image.group, &image.origin, digest);
        if stored.counted.insert(*digest) {
            stored.size += file.map_or(0, |file| file.size);
            stored.absent.extend(file.is_none().then_some(*digest));
        }
        file.is_some()
    }
}

/// Stored content of an image.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) size: u64,
    platforms: BTreeSet<Platform>,
    /// True for a single image, and for an index if one of its manifests is stored.
    has_platform: bool,
    /// Content that is named and not stored.
    absent: Vec<Digest>,
    /// True if its manifests are too long, or name too much, for all that they name to be looked for.
    names_more: bool,
    /// Content that was counted already.
    counted: HashSet<Digest>,
}

impl Stored {
    /// Returns true if nothing is missing. Of an image that names more than is looked for, that is not known.
    fn is_complete(&self) -> bool {
        self.has_platform && self.absent.is_empty() && !self.names_more
    }
}

fn is_wanted(key: &ImageKey, record: &ImageRecord, query: &ImageQuery) -> bool {
    let contains = |text: &String| {
        let name = format!("{}:{}", key.origin.image_name(), key.reference);
        name.contains(text.as_str()) || record.digest.to_string().contains(text.as_str())
    };
    query.search.as_ref().is_none_or(contains) && query.pinned.is_none_or(|pinned| pinned == record.pinned)
}
