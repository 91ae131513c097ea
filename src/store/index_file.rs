//! The small files that stand for the entries of the index, from which it is rebuilt and by which it is put right: written before
//! the index and removed after it.
//!
//! - `groups/<group id>/links/<ab>/<sha256 of the origin>.jsonl` has all links of a group to one origin, and so all of one manifest: a
//!   line for each that became known, appended. A later line of a digest adds to what an earlier one says.
//! - `groups/<group id>/tags/<ab>/<sha256 of origin and tag>.json` has one line.
//!
//! A line is the first 16 hexadecimal digits of the SHA-256 of what follows, a space, and JSON. A line that does not have its
//! checksum is left out: it opens nothing, and upstream is asked again. So is a file or a folder that cannot be read; it is moved
//! aside, to its name with `.damaged`. Empty lines mean nothing. Earlier versions wrote a file `.json`
//! without a checksum for each link: they are read still, as far as their name confirms them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::damage::{self, Kind};
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

const CHECKSUM_DIGITS: usize = 16;

/// A link in its line.
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

/// What stands in one file of links, and how many of its lines are damaged.
pub(super) struct Links {
    pub(super) links: Vec<LinkFile>,
    damaged: usize,
}

/// Adds links to the file of their origin.
pub(super) fn append_links(
    groups: &Path,
    group: GroupId,
    origin: &Origin,
    links: &[(&Digest, Link)],
) -> Result<(), StoreError> {
    // Behind a line that a killed process left unfinished.
    let mut text = b"\n".to_vec();
    for (digest, link) in links {
        text.extend(line(&LinkFile { origin: origin.clone(), digest: **digest, link: *link })?);
    }
    let path = links_path(groups, group, origin);
    damage::written(Kind::Link, &path, of(group), || durable::append_small(&path, &text))
}

/// The links of a group to these contents, each in the place of its digest, by the group's files.
pub(super) fn links(
    groups: &Path,
    group: GroupId,
    origin: &Origin,
    digests: &[Digest],
) -> Result<Vec<Option<Link>>, StoreError> {
    let mut known: HashMap<Digest, Link> = HashMap::new();
    for entry in read_links(&links_path(groups, group, origin), group)?.links {
        if entry.origin == *origin {
            let link = known.get(&entry.digest).map_or(entry.link, |known| known.and(&entry.link));
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
    pub(super) fn write(&self, groups: &Path, group: GroupId) -> Result<(), StoreError> {
        let path = path(groups, group, "tags", &key::tag(&self.origin, &self.tag), "json");
        let line = line(self)?;
        damage::written(Kind::Tag, &path, of(group), || durable::write_small(&path, &line))
    }

    /// The tag of an origin as this group pulled it.
    pub(super) fn read(groups: &Path, group: GroupId, origin: &Origin, tag: &Tag) -> Result<Option<Self>, StoreError> {
        let path = path(groups, group, "tags", &key::tag(origin, tag), "json");
        Ok(read_tag(&path, group)?.filter(|file| file.origin == *origin && file.tag == *tag))
    }

    pub(super) fn remove(groups: &Path, group: GroupId, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        let path = path(groups, group, "tags", &key::tag(origin, tag), "json");
        damage::written(Kind::Tag, &path, of(group), || durable::remove_file(&path).map(drop))
    }
}

/// The groups that have files.
pub(super) fn groups(groups: &Path) -> Result<impl Iterator<Item = Result<GroupId, StoreError>> + use<>, StoreError> {
    let id = |path: PathBuf| path.file_name()?.to_str()?.parse().ok().map(|id| Ok(GroupId(id)));
    Ok(entries(Kind::Link, groups, "all groups")?.into_iter().filter_map(id))
}

/// Notes durably that a group is to be forgotten. The note goes with the group's other files.
pub(super) fn mark_forgotten(groups: &Path, group: GroupId) -> Result<(), StoreError> {
    let path = groups.join(group.to_string()).join(FORGOTTEN);
    damage::written(Kind::Link, &path, of(group), || durable::write_file(&path, b""))
}

/// Whether a group is to be forgotten.
pub(super) fn is_forgotten(groups: &Path, group: GroupId) -> bool {
    groups.join(group.to_string()).join(FORGOTTEN).exists()
}

/// The files of a group's links, one shelf after the other: there may be many.
pub(super) fn link_files(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    files(Kind::Link, &groups.join(group.to_string()).join("links"), group)
}

/// The files of a group's tags.
pub(super) fn tag_files(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    files(Kind::Tag, &groups.join(group.to_string()).join("tags"), group)
}

/// The tags of a group. What cannot be read is left out.
pub(super) fn tags(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<TagFile, StoreError>> + use<>, StoreError> {
    let read = move |path: Result<PathBuf, StoreError>| path.and_then(|path| read_tag(&path, group)).transpose();
    Ok(tag_files(groups, group)?.filter_map(read))
}

/// The links in a file, in the order in which they became known; none where there is no such file.
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

/// As [`read_links`], with one entry for each digest. What is damaged is told, and taken out of the file. Nobody may append meanwhile.
pub(super) fn tidy_links(path: &Path, group: GroupId) -> Result<Vec<LinkFile>, StoreError> {
    let Links { links, damaged } = read_links(path, group)?;
    let mut merged: HashMap<Digest, LinkFile> = HashMap::with_capacity(links.len());
    for entry in links {
        let known = merged.remove(&entry.digest);
        let link = known.map_or(entry.link, |known| known.link.and(&entry.link));
        merged.insert(entry.digest, LinkFile { link, ..entry });
    }
    let links: Vec<LinkFile> = merged.into_values().collect();
    if damaged > 0 {
        damage::found(Kind::Link, path, format!("{damaged} lines, group {group}"), "upstream decides about them again");
        let text = links.iter().map(line).collect::<Result<Vec<_>, _>>()?.concat();
        let rewritten =
            if text.is_empty() { durable::remove_file(path).map(drop) } else { durable::write_small(path, &text) };
        // The lines that are whole count all the same.
        if let Err(error) = rewritten {
            tracing::warn!(path = %path.display(), %error, "damaged lines could not be taken out of a file");
        }
    }
    Ok(links)
}

/// The tag in a file; none where there is no such file, or it is damaged, which is told. Such a file is removed.
pub(super) fn read_tag(path: &Path, group: GroupId) -> Result<Option<TagFile>, StoreError> {
    let Some(bytes) = damage::readable(Kind::Tag, path, of(group), fs::read(path))? else { return Ok(None) };
    // Written by an earlier version.
    let unchecked = || bytes.starts_with(b"{").then(|| serde_json::from_slice(&bytes).ok()).flatten();
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let file: Option<TagFile> = entry(line).or_else(unchecked);
    if file.is_none() {
        damage::found(Kind::Tag, path, of(group), "it is removed, and upstream is asked");
        if let Err(error) = durable::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "a damaged file could not be removed");
        }
    }
    Ok(file)
}

/// Removes all files of a group. What the group pulls meanwhile may stay.
pub(super) fn remove_all(groups: &Path, group: GroupId) -> Result<(), StoreError> {
    let folder = groups.join(group.to_string());
    for _ in 0..REMOVALS {
        match fs::remove_dir_all(&folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(fs::remove_file(&folder)?),
            // The group pulls at the same time, or is purged twice.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn line<T: Serialize>(entry: &T) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(entry)?;
    let checksum = sha256::digest(&json).hex();
    Ok([&checksum.as_bytes()[..CHECKSUM_DIGITS], b" ", &json, b"\n"].concat())
}

fn entry<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (checksum, json) = (line.get(..CHECKSUM_DIGITS)?, line.get(CHECKSUM_DIGITS..)?.strip_prefix(b" ")?);
    let holds = &sha256::digest(json).hex().as_bytes()[..CHECKSUM_DIGITS] == checksum;
    holds.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// A link as earlier versions wrote it: the name of its file confirms all of it but the length, which is left out.
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

/// Whose file it is, for the log.
fn of(group: GroupId) -> String {
    format!("group {group}")
}

/// The files below a folder; what is being written, or was moved aside, is none of them.
fn files(
    kind: Kind,
    folder: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    let shelves = entries(kind, folder, of(group))?.into_iter().filter(|shelf| shelf.extension().is_none());
    let paths = shelves.flat_map(move |shelf| match entries(kind, &shelf, of(group)) {
        Ok(paths) => paths.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    let is_whole =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl");
    Ok(paths.filter(move |path: &Result<PathBuf, StoreError>| path.as_ref().map_or(true, is_whole)))
}

/// What is in a folder; nothing where it is not there or cannot be read.
fn entries(kind: Kind, folder: &Path, what: impl std::fmt::Display) -> Result<Vec<PathBuf>, StoreError> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    Ok(damage::readable(kind, folder, what, read)?.unwrap_or_default())
}
