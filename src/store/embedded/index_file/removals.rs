//! The files of removals: images of a group that are being removed, so that a start after a crash completes it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{entries, entry, line, of};
use crate::auth::random;
use crate::domain::id::GroupId;
use crate::store::atomic_file;
use crate::store::damage::{self, Kind};
use crate::store::error::StoreError;
use crate::store::images::Removal;

/// Name of the folder of removals in that of a group.
const FOLDER: &str = "removals";

/// Returns the path of the file of a new removal. Each has its own, so that two removals of the same content are both
/// completed.
pub(in crate::store::embedded) fn new_path(groups: &Path, group: GroupId) -> PathBuf {
    folder(groups, group).join(format!("{}.json", random::credential_id()))
}

/// Writes the file of a removal, durably. Fails if it cannot be written.
pub(in crate::store::embedded) fn write(path: &Path, group: GroupId, removal: &Removal) -> Result<(), StoreError> {
    let line = line(removal)?;
    damage::written(Kind::Link, path, of(group), || atomic_file::write_file(path, &line))
}

/// Removes the file of a removal that is complete. Fails if it cannot be removed.
pub(in crate::store::embedded) fn remove(path: &Path, group: GroupId) -> Result<(), StoreError> {
    damage::written(Kind::Link, path, of(group), || atomic_file::remove_file(path).map(drop))
}

/// Returns the removals of a group that are not complete, with the paths of their files. A damaged file is reported and
/// removed. Fails if the process lacks open files or memory.
pub(in crate::store::embedded) fn all(groups: &Path, group: GroupId) -> Result<Vec<(PathBuf, Removal)>, StoreError> {
    let mut removals = Vec::new();
    for path in entries(Kind::Link, &folder(groups, group), of(group))? {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(bytes) = damage::readable(Kind::Link, &path, of(group), fs::read(&path))? else { continue };
        match parse(&bytes) {
            Some(removal) => removals.push((path, removal)),
            None => {
                damage::found(Kind::Link, &path, of(group), "it is removed, and what it names may stay cached");
                remove(&path, group)?;
            }
        }
    }
    Ok(removals)
}

/// Returns true if there are removals that are not complete in the folder of a group.
pub(super) fn are_there(of_group: &Path) -> bool {
    fs::read_dir(of_group.join(FOLDER)).is_ok_and(|mut files| files.next().is_some())
}

/// Returns the removal in the content of a file; `None` if it is damaged.
pub(in crate::store::embedded) fn parse(bytes: &[u8]) -> Option<Removal> {
    entry(bytes.strip_suffix(b"\n").unwrap_or(bytes))
}

fn folder(groups: &Path, group: GroupId) -> PathBuf {
    groups.join(group.to_string()).join(FOLDER)
}
