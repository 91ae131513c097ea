//! The small files of the index's entries. They are authoritative: the index is rebuilt from them and corrected by
//! them. A file is written before the index, and removed after it.
//!
//! - `groups/<group id>/links/<ab>/<sha256 of the origin>.jsonl` has all links of a group to one origin, including
//!   all links of one manifest. Each new link is appended as a line. A later line of the same digest is merged with
//!   the earlier ones.
//! - `groups/<group id>/tags/<ab>/<sha256 of origin and tag>.json` has one line.
//!
//! A line consists of the first 16 hexadecimal digits of the SHA-256 of the rest, a space, and JSON. A line whose
//! checksum does not match is ignored: it grants no access, and the next pull makes a request to upstream. The same
//! holds for a file or a folder that cannot be read; it is renamed, with `.damaged` appended. Empty lines are
//! ignored. Earlier versions wrote a `.json` file without a checksum for each link; of these, everything that their
//! name confirms is still used.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::index_key as key;
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Tag;
use crate::store::atomic_file;
use crate::store::damage::{self, Kind};
use crate::store::error::StoreError;
use crate::store::link::{Link, TagEntry};

/// Maximum number of attempts to remove a folder that is written to at the same time.
const MAX_REMOVAL_ATTEMPTS: usize = 10;

/// Name of the file that marks a group as to be purged.
const FORGOTTEN: &str = "forgotten";

/// Number of hexadecimal digits of a line's checksum.
const CHECKSUM_DIGITS: usize = 16;

/// Content of a line of a links file.
#[derive(Serialize, Deserialize)]
pub(super) struct LinkFile {
    pub(super) origin: Origin,
    pub(super) digest: Digest,
    #[serde(flatten)]
    pub(super) link: Link,
}

/// Content of the file of a tag.
#[derive(Serialize, Deserialize)]
pub(super) struct TagFile {
    pub(super) origin: Origin,
    pub(super) tag: Tag,
    #[serde(flatten)]
    pub(super) entry: TagEntry,
}

/// Links in one file, and the number of its damaged lines.
pub(super) struct Links {
    pub(super) links: Vec<LinkFile>,
    damaged: usize,
}

/// Appends links to the file of their origin. Fails if the file cannot be written.
pub(super) fn append_links(
    groups: &Path,
    group: GroupId,
    origin: &Origin,
    links: &[(&Digest, Link)],
) -> Result<(), StoreError> {
    // The line break ends a line that a killed process may have left unfinished.
    let mut text = b"\n".to_vec();
    for (digest, link) in links {
        text.extend(line(&LinkFile { origin: origin.clone(), digest: **digest, link: *link })?);
    }
    let path = links_path(groups, group, origin);
    damage::written(Kind::Link, &path, of(group), || atomic_file::append_small(&path, &text))
}

/// Returns the links of a group to these contents from the group's files, in the order of `digests`. Fails if the
/// process lacks open files or memory.
pub(super) fn links(
    groups: &Path,
    group: GroupId,
    origin: &Origin,
    digests: &[Digest],
) -> Result<Vec<Option<Link>>, StoreError> {
    let mut known: HashMap<Digest, Link> = HashMap::new();
    for entry in read_links(&links_path(groups, group, origin), group)?.links {
        if entry.origin == *origin {
            let link = known.get(&entry.digest).map_or(entry.link, |known| known.merge(&entry.link));
            known.insert(entry.digest, link);
        }
    }
    let of_earlier_version = |digest: &Digest| {
        let file = path(groups, group, "links", &key::link(digest, group, origin), "json");
        Ok(read_links(&file, group)?.links.pop().map(|entry| entry.link))
    };
    let link = |digest| known.get(digest).map_or_else(|| of_earlier_version(digest), |known| Ok(Some(*known)));
    digests.iter().map(link).collect()
}

impl TagFile {
    /// Writes the file of the tag. Fails if it cannot be written.
    pub(super) fn write(&self, groups: &Path, group: GroupId) -> Result<(), StoreError> {
        let path = path(groups, group, "tags", &key::tag(&self.origin, &self.tag), "json");
        let line = line(self)?;
        damage::written(Kind::Tag, &path, of(group), || atomic_file::write_small(&path, &line))
    }

    /// Returns the tag of an origin as this group pulled it; `None` if it has not, or if the file is damaged. Fails
    /// if the process lacks open files or memory.
    pub(super) fn read(groups: &Path, group: GroupId, origin: &Origin, tag: &Tag) -> Result<Option<Self>, StoreError> {
        let path = path(groups, group, "tags", &key::tag(origin, tag), "json");
        Ok(read_tag(&path, group)?.filter(|file| file.origin == *origin && file.tag == *tag))
    }

    /// Removes the file of the tag, if there is one. Fails if it cannot be removed.
    pub(super) fn remove(groups: &Path, group: GroupId, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        let path = path(groups, group, "tags", &key::tag(origin, tag), "json");
        damage::written(Kind::Tag, &path, of(group), || atomic_file::remove_file(&path).map(drop))
    }
}

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

/// Returns the paths of a group's link files, read one folder after the other, because there may be many. Fails if
/// the process lacks open files or memory.
pub(super) fn link_files(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    files(Kind::Link, &groups.join(group.to_string()).join("links"), group)
}

/// Returns the paths of a group's tag files. Fails as [`link_files`] does.
pub(super) fn tag_files(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    files(Kind::Tag, &groups.join(group.to_string()).join("tags"), group)
}

/// Returns the tags of a group. Unreadable files are left out. Fails as [`link_files`] does.
pub(super) fn tags(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<TagFile, StoreError>> + use<>, StoreError> {
    let read = move |path: Result<PathBuf, StoreError>| path.and_then(|path| read_tag(&path, group)).transpose();
    Ok(tag_files(groups, group)?.filter_map(read))
}

/// Returns the links in a file in the order in which they were added; none if there is no file. Fails if the
/// process lacks open files or memory.
pub(super) fn read_links(path: &Path, group: GroupId) -> Result<Links, StoreError> {
    let Some(bytes) = damage::readable(Kind::Link, path, of(group), fs::read(path))? else {
        return Ok(Links { links: Vec::new(), damaged: 0 });
    };
    let found = if path.extension().is_some_and(|extension| extension == "json") {
        vec![unchecked_link(&bytes, path, group)]
    } else {
        bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(entry).collect()
    };
    let lines = found.len();
    let links: Vec<LinkFile> = found.into_iter().flatten().collect();
    Ok(Links { damaged: lines - links.len(), links })
}

/// Returns the links in a file as [`read_links`] does, merged to one entry per digest. Damaged lines are reported
/// and removed from the file. Nothing may be appended to the file meanwhile.
pub(super) fn tidy_links(path: &Path, group: GroupId) -> Result<Vec<LinkFile>, StoreError> {
    let Links { links, damaged } = read_links(path, group)?;
    let mut merged: HashMap<Digest, LinkFile> = HashMap::with_capacity(links.len());
    for entry in links {
        let known = merged.remove(&entry.digest);
        let link = known.map_or(entry.link, |known| known.link.merge(&entry.link));
        merged.insert(entry.digest, LinkFile { link, ..entry });
    }
    let links: Vec<LinkFile> = merged.into_values().collect();
    if damaged > 0 {
        damage::found(Kind::Link, path, format!("{damaged} lines, group {group}"), "upstream is requested again");
        let text = links.iter().map(line).collect::<Result<Vec<_>, _>>()?.concat();
        let rewritten = if text.is_empty() {
            atomic_file::remove_file(path).map(drop)
        } else {
            atomic_file::write_small(path, &text)
        };
        // The intact lines are used nevertheless.
        if let Err(error) = rewritten {
            tracing::warn!(path = %path.display(), %error, "damaged lines could not be removed from a file");
        }
    }
    Ok(links)
}

/// Returns the tag in a file; `None` if there is no file or it is damaged. A damaged file is reported and removed.
/// Fails if the process lacks open files or memory.
pub(super) fn read_tag(path: &Path, group: GroupId) -> Result<Option<TagFile>, StoreError> {
    let Some(bytes) = damage::readable(Kind::Tag, path, of(group), fs::read(path))? else { return Ok(None) };
    // Written by an earlier version.
    let unchecked = || bytes.starts_with(b"{").then(|| serde_json::from_slice(&bytes).ok()).flatten();
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let file: Option<TagFile> = entry(line).or_else(unchecked);
    if file.is_none() {
        damage::found(Kind::Tag, path, of(group), "it is removed, and upstream is requested again");
        if let Err(error) = atomic_file::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "a damaged file could not be removed");
        }
    }
    Ok(file)
}

/// Removes all files of a group. Files that a concurrent pull of the group writes may stay. Fails if a file cannot
/// be removed.
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

/// Parses a link file of an earlier version. The name of the file confirms all of it except the length, which is
/// ignored.
fn unchecked_link(bytes: &[u8], path: &Path, group: GroupId) -> Option<LinkFile> {
    let LinkFile { origin, digest, link } = serde_json::from_slice(bytes).ok()?;
    let name = sha256::digest(&key::link(&digest, group, &origin)).hex();
    let link = Link { size: None, ..link };
    (path.file_stem()?.to_str()? == name).then_some(LinkFile { origin, digest, link })
}

fn links_path(groups: &Path, group: GroupId, origin: &Origin) -> PathBuf {
    path(groups, group, "links", &key::origin(origin), "jsonl")
}

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

/// Returns the paths in a folder; none if it does not exist or cannot be read.
fn entries(kind: Kind, folder: &Path, what: impl std::fmt::Display) -> Result<Vec<PathBuf>, StoreError> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    Ok(damage::readable(kind, folder, what, read)?.unwrap_or_default())
}
