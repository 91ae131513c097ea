//! The files of images: one for each tag that a group has pulled, and for each digest that it has pulled by itself.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{entry, files, key, line, of, path};
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::atomic_file;
use crate::store::damage::{self, Kind};
use crate::store::error::StoreError;
use crate::store::images::Earlier;
use crate::store::link::TagEntry;

/// Content of the file of an image.
#[derive(Serialize, Deserialize)]
pub(in crate::store::embedded) struct ImageFile {
    pub(in crate::store::embedded) origin: Origin,
    /// `None`: the image was pulled by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::embedded) tag: Option<Tag>,
    /// Present content of the image. The time of its confirmation matters for a tag only.
    #[serde(flatten)]
    pub(in crate::store::embedded) entry: TagEntry,
    /// Time since which the image has this content. `None` in a file of an earlier version, for which the time of the
    /// last confirmation counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::embedded) cached_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::store::embedded) pinned: bool,
    /// Earlier content of the tag, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::store::embedded) earlier: Vec<Earlier>,
}

/// Maximum number of earlier digests of a tag that are kept.
const MAX_EARLIER: usize = 20;

impl ImageFile {
    /// Returns the content of the file of an image that is pulled now, after what the file had before.
    pub(in crate::store::embedded) fn after(
        before: Option<Self>,
        origin: &Origin,
        tag: Option<&Tag>,
        entry: TagEntry,
    ) -> Self {
        let mut file = Self {
            origin: origin.clone(),
            tag: tag.cloned(),
            entry,
            cached_at: Some(entry.checked_at),
            pinned: false,
            earlier: Vec::new(),
        };
        let Some(before) = before else { return file };
        let since = before.since();
        (file.pinned, file.earlier) = (before.pinned, before.earlier);
        if before.entry.digest == entry.digest {
            file.cached_at = Some(since);
        } else {
            file.earlier.push(Earlier { digest: before.entry.digest, cached_at: since });
            let surplus = file.earlier.len().saturating_sub(MAX_EARLIER);
            file.earlier.drain(..surplus);
        }
        file
    }

    /// Returns the tag or digest by which the image is pulled.
    pub(in crate::store::embedded) fn reference(&self) -> Reference {
        self.tag.clone().map_or(Reference::Digest(self.entry.digest), Reference::Tag)
    }

    /// Returns the time since which the image is what it is now.
    pub(in crate::store::embedded) fn since(&self) -> Timestamp {
        self.cached_at.unwrap_or(self.entry.checked_at)
    }

    /// Writes the file. It can be made again by the next pull, unless the image is pinned: then a power cut does not
    /// lose it. Fails if it cannot be written.
    pub(in crate::store::embedded) fn write(&self, groups: &Path, group: GroupId) -> Result<(), StoreError> {
        if self.pinned {
            return self.write_durably(groups, group);
        }
        let path = file_of(groups, group, &self.origin, &self.reference());
        let line = line(self)?;
        damage::written(Kind::Tag, &path, of(group), || atomic_file::write_small(&path, &line))
    }

    /// Writes the file so that a power cut does not lose it. Fails if it cannot be written.
    pub(in crate::store::embedded) fn write_durably(&self, groups: &Path, group: GroupId) -> Result<(), StoreError> {
        let path = file_of(groups, group, &self.origin, &self.reference());
        let line = line(self)?;
        damage::written(Kind::Tag, &path, of(group), || atomic_file::write_file(&path, &line))
    }

    /// Returns an image that this group has pulled; `None` if it has not, or if the file is damaged. Fails if the
    /// process lacks open files or memory.
    pub(in crate::store::embedded) fn read(
        groups: &Path,
        group: GroupId,
        origin: &Origin,
        reference: &Reference,
    ) -> Result<Option<Self>, StoreError> {
        let path = file_of(groups, group, origin, reference);
        Ok(read(&path, group)?.filter(|file| file.origin == *origin && file.reference() == *reference))
    }

    /// Removes the file of an image, if there is one. Fails if it cannot be removed.
    pub(in crate::store::embedded) fn remove(
        groups: &Path,
        group: GroupId,
        origin: &Origin,
        reference: &Reference,
    ) -> Result<(), StoreError> {
        let path = file_of(groups, group, origin, reference);
        damage::written(Kind::Tag, &path, of(group), || atomic_file::remove_file(&path).map(drop))
    }
}

/// Returns the paths of the files of a group's images. Fails if the process lacks open files or memory.
pub(in crate::store::embedded) fn paths(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    files(Kind::Tag, &groups.join(group.to_string()).join("tags"), group)
}

/// Returns the images of a group. Unreadable files are left out. Fails as [`paths`] does.
pub(in crate::store::embedded) fn all(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<ImageFile, StoreError>> + use<>, StoreError> {
    let file = move |path: Result<PathBuf, StoreError>| path.and_then(|path| read(&path, group)).transpose();
    Ok(paths(groups, group)?.filter_map(file))
}

/// Returns the image in a file; `None` if there is no file or it is damaged. A damaged file is reported and removed.
/// Fails if the process lacks open files or memory.
pub(in crate::store::embedded) fn read(path: &Path, group: GroupId) -> Result<Option<ImageFile>, StoreError> {
    let Some(bytes) = damage::readable(Kind::Tag, path, of(group), fs::read(path))? else { return Ok(None) };
    let file = parse(&bytes);
    // Another task may have noticed the damage before, and written it again.
    if file.is_none() && fs::read(path).is_ok_and(|now| now == bytes) {
        damage::found(Kind::Tag, path, of(group), "it is removed, and upstream is requested again");
        if let Err(error) = atomic_file::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "a damaged file could not be removed");
        }
    }
    Ok(file)
}

/// Returns the image in the content of a file; `None` if it is damaged.
pub(in crate::store::embedded) fn parse(bytes: &[u8]) -> Option<ImageFile> {
    // Written by an earlier version.
    let unchecked = || bytes.starts_with(b"{").then(|| serde_json::from_slice(bytes).ok()).flatten();
    entry(bytes.strip_suffix(b"\n").unwrap_or(bytes)).or_else(unchecked)
}

/// Returns the path of the file of an image.
pub(in crate::store::embedded) fn file_of(
    groups: &Path,
    group: GroupId,
    origin: &Origin,
    reference: &Reference,
) -> PathBuf {
    path(groups, group, "tags", &key::reference(origin, reference), "json")
}
