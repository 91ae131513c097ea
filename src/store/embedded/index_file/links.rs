//! The files of links: one for each group and origin.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{entry, files, key, line, of, path};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::atomic_file;
use crate::store::damage::{self, Kind};
use crate::store::error::StoreError;
use crate::store::link::Link;

/// Content of a line of a links file.
#[derive(Serialize, Deserialize)]
pub(in crate::store::embedded) struct LinkFile {
    pub(in crate::store::embedded) origin: Origin,
    pub(in crate::store::embedded) digest: Digest,
    #[serde(flatten)]
    pub(in crate::store::embedded) link: Link,
}

/// Links in one file, and the number of its damaged lines.
pub(in crate::store::embedded) struct Links {
    pub(in crate::store::embedded) links: Vec<LinkFile>,
    damaged: usize,
}

/// Appends links to the file of their origin. Fails if the file cannot be written.
pub(in crate::store::embedded) fn append(
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
pub(in crate::store::embedded) fn links(
    groups: &Path,
    group: GroupId,
    origin: &Origin,
    digests: &[Digest],
) -> Result<Vec<Option<Link>>, StoreError> {
    let mut known: HashMap<Digest, Link> = HashMap::new();
    for entry in read(&links_path(groups, group, origin), group)?.links {
        if entry.origin == *origin {
            let link = known.get(&entry.digest).map_or(entry.link, |known| known.merge(&entry.link));
            known.insert(entry.digest, link);
        }
    }
    let of_earlier_version = |digest: &Digest| {
        let file = path(groups, group, "links", &key::link(digest, group, origin), "json");
        Ok(read(&file, group)?.links.pop().map(|entry| entry.link))
    };
    let link = |digest| known.get(digest).map_or_else(|| of_earlier_version(digest), |known| Ok(Some(*known)));
    digests.iter().map(link).collect()
}

/// Returns the paths of a group's link files, read one folder after the other, because there may be many. Fails if
/// the process lacks open files or memory.
pub(in crate::store::embedded) fn paths(
    groups: &Path,
    group: GroupId,
) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>> + use<>, StoreError> {
    files(Kind::Link, &groups.join(group.to_string()).join("links"), group)
}

/// Returns the links in a file in the order in which they were added; none if there is no file. Fails if the
/// process lacks open files or memory.
pub(in crate::store::embedded) fn read(path: &Path, group: GroupId) -> Result<Links, StoreError> {
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

/// Returns the links in a file as [`read`] does, merged to one entry per digest. Damaged lines are reported
/// and removed from the file. Nothing may be appended to the file meanwhile.
pub(in crate::store::embedded) fn tidy(path: &Path, group: GroupId) -> Result<Vec<LinkFile>, StoreError> {
    let Links { links, damaged } = read(path, group)?;
    let mut merged: HashMap<Digest, LinkFile> = HashMap::with_capacity(links.len());
    for entry in links {
        let known = merged.remove(&entry.digest);
        let link = known.map_or(entry.link, |known| known.link.merge(&entry.link));
        merged.insert(entry.digest, LinkFile { link, ..entry });
    }
    let links: Vec<LinkFile> = merged.into_values().collect();
    if damaged > 0 {
        damage::found(Kind::Link, path, format!("{damaged} lines, group {group}"), "upstream is requested again");
        // The intact lines are used nevertheless.
        if let Err(error) = rewrite(path, group, &links) {
            tracing::warn!(path = %path.display(), %error, "damaged lines could not be removed from a file");
        }
    }
    Ok(links)
}

/// Removes the links of a group to these contents from the file of their origin, and the files of earlier versions.
/// Nothing may be appended to the file meanwhile. Fails if a file cannot be read or written.
pub(in crate::store::embedded) fn remove(
    groups: &Path,
    group: GroupId,
    origin: &Origin,
    digests: &HashSet<Digest>,
) -> Result<(), StoreError> {
    let file = links_path(groups, group, origin);
    let (removed, kept): (Vec<_>, Vec<_>) =
        tidy(&file, group)?.into_iter().partition(|entry| digests.contains(&entry.digest));
    if !removed.is_empty() {
        rewrite(&file, group, &kept)?;
    }
    for digest in digests {
        let earlier = path(groups, group, "links", &key::link(digest, group, origin), "json");
        damage::written(Kind::Link, &earlier, of(group), || atomic_file::remove_file(&earlier).map(drop))?;
    }
    Ok(())
}

/// Replaces the content of a file by these links, durably; a file without any is removed.
fn rewrite(path: &Path, group: GroupId, links: &[LinkFile]) -> Result<(), StoreError> {
    let text = links.iter().map(line).collect::<Result<Vec<_>, _>>()?.concat();
    damage::written(Kind::Link, path, of(group), || {
        if text.is_empty() { atomic_file::remove_file(path).map(drop) } else { atomic_file::write_file(path, &text) }
    })
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
