//! The small files of the index's entries. They are authoritative: the index is rebuilt from them and corrected by
//! them. A file is written before the index, and removed after it.
//!
//! - `groups/<group id>/links/<ab>/<sha256 of the origin>.jsonl` has all links of a group to one origin, including
//!   all links of one manifest. Each new link is appended as a line. A later line of the same digest is merged with
//!   the earlier ones.
//! - `groups/<group id>/tags/<ab>/<sha256 of origin and tag or digest>.json` has one line: an image that the group has
//!   pulled.
//! - `groups/<group id>/removals/<sha256>.json` has one line: images whose removal is under way.
//!
//! A line consists of the first 16 hexadecimal digits of the SHA-256 of the rest, a space, and JSON. A line whose
//! checksum does not match is ignored: it grants no access, and the next pull makes a request to upstream. The same
//! holds for a file that cannot be read; it is renamed, with `.damaged` appended. What this process may not read is an
//! error. Empty lines are ignored. Earlier versions wrote a `.json` file without a checksum for each link; of these, everything that their
//! name confirms is still used.

pub(super) mod images;
pub(super) mod links;
pub(super) mod removals;

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::index_key as key;
use crate::auth::sha256;
use crate::domain::id::GroupId;
use crate::store::atomic_file;
use crate::store::damage::{self, Kind};
use crate::store::error::StoreError;

/// Maximum number of attempts to remove a folder that is written to at the same time.
const MAX_REMOVAL_ATTEMPTS: usize = 10;

/// Name of the file that marks a group as to be purged.
pub(super) const FORGOTTEN: &str = "forgotten";

/// Number of hexadecimal digits of a line's checksum.
const CHECKSUM_DIGITS: usize = 16;

/// Returns the groups that have files. Fails if the process lacks open files or memory.
pub(super) fn groups(groups: &Path) -> Result<impl Iterator<Item = Result<GroupId, StoreError>> + use<>, StoreError> {
    let id = |path: PathBuf| path.file_name()?.to_str()?.parse().ok().map(|id| Ok(GroupId(id)));
    Ok(entries(Kind::Link, groups, "all groups")?.into_iter().filter_map(id))
}

/// Records durably that a group is to be purged. The note is removed with the group's other files. Fails if it
/// cannot be written.
pub(super) fn mark_forgotten(groups: &Path, group: GroupId) -> Result<(), StoreError> {
    let path = groups.join(group.to_string()).join(FORGOTTEN);
    damage::written(Kind::Link, &path, of(group), || atomic_file::write_file(&path, b""))
}

/// Returns true if a group is to be purged.
pub(super) fn is_forgotten(groups: &Path, group: GroupId) -> bool {
    groups.join(group.to_string()).join(FORGOTTEN).exists()
}

/// Returns true if a purge or a removal of images has begun and not ended, as after a stop in the middle.
pub(super) fn is_removing(groups: &Path) -> bool {
    let mut folders = fs::read_dir(groups).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.any(|folder| is_removing_from(&folder))
}

/// Returns true if a purge of the group with this folder, or a removal of images from it, has begun and not ended.
pub(super) fn is_removing_from(folder: &Path) -> bool {
    folder.join(FORGOTTEN).exists() || removals::are_there(folder)
}

/// Removes the files of a group, apart from the note of its purge, and leaves the folders. Files that a concurrent pull
/// of the group writes may stay. Fails if a file cannot be removed.
pub(super) fn remove_files(groups: &Path, group: GroupId) -> Result<(), StoreError> {
    let folder = groups.join(group.to_string());
    if folder.is_dir() {
        atomic_file::remove_files_below(&folder, &|entry| Ok(entry.file_name() != FORGOTTEN))?;
    }
    Ok(())
}

/// Removes all files of a group and its folder. Fails if a file cannot be removed.
pub(super) fn remove_all(groups: &Path, group: GroupId) -> Result<(), StoreError> {
    let folder = groups.join(group.to_string());
    for _ in 0..MAX_REMOVAL_ATTEMPTS {
        match fs::remove_dir_all(&folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(fs::remove_file(&folder)?),
            // A pull of the group writes at the same time, or a second purge removes.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns the line of an entry, with its checksum.
fn line<T: Serialize>(entry: &T) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(entry)?;
    let checksum = sha256::digest(&json).hex();
    Ok([&checksum.as_bytes()[..CHECKSUM_DIGITS], b" ", &json, b"\n"].concat())
}

/// Parses a line; `None` if its checksum does not match or it has another format.
fn entry<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (checksum, json) = (line.get(..CHECKSUM_DIGITS)?, line.get(CHECKSUM_DIGITS..)?.strip_prefix(b" ")?);
    let holds = &sha256::digest(json).hex().as_bytes()[..CHECKSUM_DIGITS] == checksum;
    holds.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Returns the path of the file of an entry with this key.
fn path(groups: &Path, group: GroupId, kind: &str, key: &[u8], extension: &str) -> PathBuf {
    let name = sha256::digest(key).hex();
    groups.join(group.to_string()).join(kind).join(&name[..2]).join(format!("{name}.{extension}"))
}

/// Returns the owner of a file, for the log.
fn of(group: GroupId) -> String {
    format!("group {group}")
}

/// Returns the files below a folder, without temporary files and those that were moved aside.
fn files(
    kind: Kind,
    folder: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    let shards = entries(kind, folder, of(group))?.into_iter().filter(|shard| shard.extension().is_none());
    let paths = shards.flat_map(move |shard| match entries(kind, &shard, of(group)) {
        Ok(paths) => paths.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    let is_whole =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl");
    Ok(paths.filter(move |path: &Result<PathBuf, StoreError>| path.as_ref().map_or(true, is_whole)))
}

/// Returns the paths in a folder; none if it does not exist. Fails if it cannot be read.
fn entries(kind: Kind, folder: &Path, what: impl std::fmt::Display) -> Result<Vec<PathBuf>, StoreError> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    Ok(damage::readable_folder(kind, folder, what, read)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
