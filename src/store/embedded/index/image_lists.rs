//! Lists of the images of a group, as they are shown. They are read from the database also before it was compared with
//! the files after a start: until then they may lack images, or have some that were removed. They open nothing to
//! anybody, and the comparison would keep the first readers waiting for seconds.

use super::{ImageRecord, Index, PageOf, StoreError, key, read};
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::domain::repository::{Repository, UpstreamName};
use crate::store::images::{ImageKey, ImageOrder};
use crate::store::link::TagEntry;

/// Images with their records.
type Records = Vec<(ImageKey, ImageRecord)>;

impl Index {
    /// Returns a part of the images of a group and the number of all; `None` if the database cannot be read, and for an
    /// order that the records do not have. In the order of names no other records are read.
    pub fn listed_page(&self, group: GroupId, page: PageOf) -> Option<(Records, usize)> {
        let place: fn(&ImageRecord) -> i128 = match page.order {
            ImageOrder::Name => {
                return self.in_database(|| Ok((self.page_by_name(group, page)?, self.number_of_images(group)?)));
            }
            ImageOrder::CachedAt => |record| record.cached_at.as_nanosecond(),
            ImageOrder::LastPulledAt => |record| record.last_pulled_at.as_nanosecond(),
            ImageOrder::Pulls => |record| record.pulls.into(),
            ImageOrder::Size => return None,
        };
        self.listed_page_by(group, page, |_, record| place(record))
    }

    /// Returns a part of the images of a group in an order by numbers for their keys and records, and the number of
    /// all; `None` if the database cannot be read. Keys are decoded for the images of the part only.
    pub fn listed_page_by(
        &self,
        group: GroupId,
        page: PageOf,
        place: impl Fn(&[u8], &ImageRecord) -> i128,
    ) -> Option<(Records, usize)> {
        self.in_database(|| {
            let mut gathered = page.gather();
            for entry in self.images.scan_prefix(key::images_of_group(group)) {
                let (key, value) = entry?;
                let place = place(&key, &ImageRecord::decoded(&value)?);
                gathered.add(place, (key, value));
            }
            let total = gathered.total();
            let shown = gathered.page().into_iter().filter_map(|entry| decoded(Ok(entry)).transpose());
            Ok((shown.collect::<Result<_, _>>()?, total))
        })
    }

    fn page_by_name(&self, group: GroupId, page: PageOf) -> Result<Records, StoreError> {
        let entries = self.images.scan_prefix(key::images_of_group(group));
        // Values are decoded for the entries of the page only.
        let page: Vec<_> = if page.descending {
            entries.rev().skip(page.skip).take(page.limit).collect()
        } else {
            entries.skip(page.skip).take(page.limit).collect()
        };
        page.into_iter().filter_map(|entry| decoded(entry).transpose()).collect()
    }

    fn number_of_images(&self, group: GroupId) -> Result<usize, StoreError> {
        match self.totals.images_of(group) {
            Some(images) => Ok(usize::try_from(images).unwrap_or(usize::MAX)),
            None => Ok(self.images.scan_prefix(key::images_of_group(group)).keys().count()),
        }
    }

    /// Returns all images of a group, in the order of their names.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::images_of_group`] does.
    pub fn listed_images(&self, group: GroupId) -> Result<Records, StoreError> {
        let of_database = self.in_database(|| self.images_with(&key::images_of_group(group)));
        of_database.map_or_else(|| self.images_of_group(group), Ok)
    }

    /// Returns the images of a group in a repository, with whatever account they were pulled.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::images_of_repository`] does.
    pub fn listed_of_repository(
        &self,
        group: GroupId,
        upstream: &UpstreamName,
        repository: &Repository,
    ) -> Result<Records, StoreError> {
        let prefix = key::images_of_repository(group, upstream, repository);
        let of_database = self.in_database(|| self.images_with(&prefix));
        of_database.map_or_else(|| self.images_of_repository(group, upstream, repository), Ok)
    }

    /// Returns the images of a group with this name and tag or digest, with whatever account they were pulled.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::images_of_reference`] does.
    pub fn listed_of_reference(
        &self,
        group: GroupId,
        name: (&UpstreamName, &Repository),
        reference: &Reference,
    ) -> Result<Records, StoreError> {
        let prefix = key::images_of_reference(group, name.0, name.1, reference);
        let of_database = self.in_database(|| self.images_with(&prefix));
        of_database.map_or_else(|| self.images_of_reference(group, name, reference), Ok)
    }

    /// Returns those of a group's images whose name with the tag or digest contains this text, or whose digest does, in
    /// the order of their names. Keys are decoded for these only.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::images_of_group`] does.
    pub fn listed_with_text(&self, group: GroupId, text: &str) -> Result<Records, StoreError> {
        let in_database = self.in_database(|| {
            let (mut found, mut name) = (Vec::new(), String::new());
            // To write all digests as text takes as long as to read the records.
            let may_be_of_digest = text.bytes().all(|byte| b"sha256:0123456789abcdef".contains(&byte));
            for entry in self.images.scan_prefix(key::images_of_group(group)) {
                let (key, value) = entry?;
                let record = ImageRecord::decoded(&value)?;
                name.clear();
                let has_text = key::write_name(&key, &mut name)
                    && (name.contains(text) || may_be_of_digest && record.digest.to_string().contains(text));
                if has_text {
                    found.extend(key::image_of(&key).map(|image| (image, record)));
                }
            }
            Ok(found)
        });
        in_database.map_or_else(|| self.images_of_group(group), Ok)
    }

    /// Returns what a tag stands for; `None` if the database does not have it.
    pub fn listed_tag(&self, origin: &Origin, tag: &Tag) -> Option<TagEntry> {
        self.in_database(|| read(self.tags.get(key::tag(origin, tag))?)).flatten()
    }

    /// Returns the images whose keys begin with this prefix.
    pub(super) fn images_with(&self, prefix: &[u8]) -> Result<Records, StoreError> {
        self.images.scan_prefix(prefix).filter_map(|entry| decoded(entry).transpose()).collect()
    }
}

fn decoded(entry: sled::Result<(sled::IVec, sled::IVec)>) -> Result<Option<(ImageKey, ImageRecord)>, StoreError> {
    let (key, value) = entry?;
    Ok(key::image_of(&key).zip(Some(ImageRecord::decoded(&value)?)))
}
