//! The small files that stand for the entries of the index: one for each link and each tag of a group, written before the
//! index and removed after it.
//!
//! `groups/<group id>/links/<ab>/<sha256 of the key>.json` and `groups/<group id>/tags/...` alike.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::durable;
use super::error::StoreError;
use super::index::{Link, TagEntry};
use super::index_key as key;
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Tag;

/// How often the removal of a folder begins anew that is written to at the same time.
const REMOVALS: usize = 10;

const FORGOTTEN: &str = "forgotten";

/// A link in its file.
#[derive(Serialize, Deserialize)]
pub(super) struct LinkFile {
    pub(super) origin: Origin,
    pub(super) digest: Digest,
    #[serde(flatten)]
    pub(super) link: Link,
}

/// A tag in its file.
#[derive(Serialize, Deserialize)]
pub(super) struct TagFile {
    pub(super) origin: Origin,
    pub(super) tag: Tag,
    #[serde(flatten)]
    pub(super) entry: TagEntry,
}

impl LinkFile {
    pub(super) fn write(&self, groups: &Path, group: GroupId) -> Result<(), StoreError> {
        let path = path(groups, group, "links", &key::link(&self.digest, group, &self.origin));
        Ok(durable::write_small(&path, &serde_json::to_vec(self)?)?)
    }
}

impl TagFile {
    pub(super) fn write(&self, groups: &Path, group: GroupId) -> Result<(), StoreError> {
        let path = path(groups, group, "tags", &key::tag(&self.origin, &self.tag));
        Ok(durable::write_small(&path, &serde_json::to_vec(self)?)?)
    }

    pub(super) fn remove(groups: &Path, group: GroupId, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        durable::remove_file(&path(groups, group, "tags", &key::tag(origin, tag)))?;
        Ok(())
    }
}

/// The groups that have files.
pub(super) fn groups(groups: &Path) -> Result<impl Iterator<Item = Result<GroupId, StoreError>> + use<>, StoreError> {
    let ids = entries(groups)?.filter_map(|entry| match entry {
        Ok(path) => path.file_name()?.to_str()?.parse().ok().map(|id| Ok(GroupId(id))),
        Err(error) => Some(Err(error)),
    });
    Ok(ids)
}

/// Notes durably that a group is to be forgotten. The note goes with the group's other files.
pub(super) fn mark_forgotten(groups: &Path, group: GroupId) -> Result<(), StoreError> {
    Ok(durable::write_file(&groups.join(group.to_string()).join(FORGOTTEN), b"")?)
}

/// Whether a group is to be forgotten.
pub(super) fn is_forgotten(groups: &Path, group: GroupId) -> bool {
    groups.join(group.to_string()).join(FORGOTTEN).exists()
}

/// The links of a group. What cannot be read is left out: it opens nothing, and is made anew by the next pull.
pub(super) fn links(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<LinkFile, StoreError>> + use<>, StoreError> {
    files(&groups.join(group.to_string()).join("links"))
}

/// The tags of a group, as [`links`].
pub(super) fn tags(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<TagFile, StoreError>> + use<>, StoreError> {
    files(&groups.join(group.to_string()).join("tags"))
}

/// Removes all files of a group. What the group pulls meanwhile may stay.
pub(super) fn remove_all(groups: &Path, group: GroupId) -> Result<(), StoreError> {
    let folder = groups.join(group.to_string());
    for _ in 0..REMOVALS {
        match fs::remove_dir_all(&folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => return Ok(()),
            // The group pulls at the same time, or is purged twice.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn path(groups: &Path, group: GroupId, kind: &str, key: &[u8]) -> PathBuf {
    let name = sha256::digest(key).hex();
    groups.join(group.to_string()).join(kind).join(&name[..2]).join(name + ".json")
}

/// What stands in the files of a folder, one shelf after the other: there may be a million.
fn files<T: DeserializeOwned>(
    folder: &Path,
) -> Result<impl Iterator<Item = Result<T, StoreError>> + use<T>, StoreError> {
    let shelves = entries(folder)?.map(|shelf| entries(&shelf?)?.collect::<Result<Vec<_>, _>>());
    let paths = shelves.flat_map(|paths| match paths {
        Ok(paths) => paths.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    Ok(paths.filter_map(|path| path.and_then(|path| read(&path)).transpose()))
}

/// Nothing where there is no such file any more, or nothing that can be read.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn entries(folder: &Path) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    Ok(read.into_iter().flatten().map(|entry| Ok(entry?.path())))
}
