//! The files of links: one for each group and origin.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{entry, files, key, line, of, path};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::atomic_file::{self, NewFile};
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

impl LinkFile {
    /// Returns true if an entry of the database is the same. Files of earlier versions do not state the length.
    pub(in crate::store::embedded) fn is_same(&self, known: Link) -> bool {
        known == self.link || (known.state == self.link.state && self.link.size.is_none())
    }
}

/// Links in one file, and the number of its damaged lines.
pub(in crate::store::embedded) struct Links {
    pub(in crate::store::embedded) links: Vec<LinkFile>,
    pub(in crate::store::embedded) damaged: usize,
}

/// The replacement of a links file by one without some of its links: written and forced to the disk before others have
/// to wait, so that little more than a rename is left.
pub(in crate::store::embedded) struct Replacement {
    group: GroupId,
    path: PathBuf,
    /// The file from which it was made. It is open, so that no other file gets its number. `None`: there was none.
    of: Option<File>,
    /// Number of bytes that were read of it, up to the end of a line.
    length: u64,
    /// Number of its damaged lines.
    damaged: usize,
    change: Change,
    /// Files of earlier versions, one for each link, that are there.
    earlier: Vec<PathBuf>,
}

enum Change {
    /// No link is in the file.
    None,
    /// No other link is in the file.
    Remove,
    Replace(Box<NewFile>),
}

impl Replacement {
    /// Writes the new file. Others may append to the old one meanwhile. Fails if a file cannot be read or written.
    pub(in crate::store::embedded) fn prepare(
        groups: &Path,
        group: GroupId,
        origin: &Origin,
        digests: &HashSet<Digest>,
    ) -> Result<Self, StoreError> {
        let path = links_path(groups, group, origin);
        let opened = damage::readable(Kind::Link, &path, of(group), open_and_read(&path))?;
        let (file, bytes) = opened.map_or((None, Vec::new()), |(file, bytes)| (Some(file), bytes));
        let Links { links, damaged } = parsed(&bytes);
        let (removed, kept): (Vec<_>, Vec<_>) =
            merged(links).into_iter().partition(|entry| digests.contains(&entry.digest));
        let change = match (removed.is_empty(), kept.is_empty()) {
            (true, _) => Change::None,
            (false, true) => Change::Remove,
            (false, false) => Change::Replace(Box::new(written_beside(&path, &text(&kept)?)?)),
        };
        let earlier = digests.iter().map(|digest| earlier_path(groups, group, origin, digest));
        let earlier = earlier.filter(|path| path.exists()).collect();
        Ok(Self { group, path, of: file, length: bytes.len() as u64, damaged, change, earlier })
    }

    /// Adds to the new file what was appended to the old one meanwhile, apart from these links. Returns false if the
    /// old one was replaced, or has changed in another way. Nothing may be appended between this and [`Self::put`].
    /// Fails if a file cannot be read or written.
    pub(in crate::store::embedded) fn catch_up(&mut self, digests: &HashSet<Digest>) -> Result<bool, StoreError> {
        let (of, now) = match (&self.of, fs::metadata(&self.path)) {
            (Some(of), Ok(now)) => (of, now),
            (None, Err(error)) => return Ok(error.kind() == io::ErrorKind::NotFound),
            _ => return Ok(false),
        };
        let before = of.metadata()?;
        if (before.dev(), before.ino()) != (now.dev(), now.ino()) {
            return Ok(false);
        }
        let Some(appended) = now.len().checked_sub(self.length) else { return Ok(false) };
        match &mut self.change {
            Change::None | Change::Remove => Ok(appended == 0),
            Change::Replace(new) => {
                let mut bytes = vec![0; usize::try_from(appended).map_err(io::Error::other)?];
                of.read_exact_at(&mut bytes, self.length)?;
                let kept = parsed(&bytes).links.into_iter().filter(|entry| !digests.contains(&entry.digest));
                new.write_all(&text(&kept.collect::<Vec<_>>())?)?;
                Ok(true)
            }
        }
    }

    /// Puts the new file in place of the old one. Returns the path if it has changed: that is durable only after a sync
    /// of its folder. Fails if a file cannot be renamed or removed.
    pub(in crate::store::embedded) fn put(self) -> Result<Option<PathBuf>, StoreError> {
        let Self { group, path, damaged, change, earlier, .. } = self;
        let changes = !matches!(change, Change::None);
        match change {
            Change::None => {}
            Change::Remove => drop(atomic_file::unlink(&path)?),
            Change::Replace(file) => drop(file.rename_synced()?),
        }
        if changes {
            report_damaged(&path, group, damaged);
        }
        for path in earlier {
            damage::written(Kind::Link, &path, of(group), || atomic_file::remove_file(&path).map(drop))?;
        }
        Ok(changes.then_some(path))
    }
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
        Ok(read(&earlier_path(groups, group, origin, digest), group)?.links.pop().map(|entry| entry.link))
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
    Ok(parse(path, group, &bytes))
}

/// Returns the links in the content of a file.
pub(in crate::store::embedded) fn parse(path: &Path, group: GroupId, bytes: &[u8]) -> Links {
    if path.extension().is_none_or(|extension| extension != "json") {
        return parsed(bytes);
    }
    let link = unchecked_link(bytes, path, group);
    Links { damaged: usize::from(link.is_none()), links: link.into_iter().collect() }
}

/// Parses lines of links.
fn parsed(bytes: &[u8]) -> Links {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (mut links, mut damaged) = (Vec::new(), 0);
    for line in lines {
        match entry(line) {
            Some(link) => links.push(link),
            None => damaged += 1,
        }
    }
    Links { links, damaged }
}

/// Returns the links in a file as [`read`] does, merged to one entry per digest. Damaged lines are reported
/// and removed from the file. Nothing may be appended to the file meanwhile.
pub(in crate::store::embedded) fn tidy(path: &Path, group: GroupId) -> Result<Vec<LinkFile>, StoreError> {
    let Links { links, damaged } = read(path, group)?;
    let links = merged(links);
    report_damaged(path, group, damaged);
    if damaged > 0 {
        // The intact lines are used nevertheless.
        if let Err(error) = rewrite(path, group, &links) {
            tracing::warn!(path = %path.display(), %error, "damaged lines could not be removed from a file");
        }
    }
    Ok(links)
}

/// Returns these links of one origin with one entry per digest.
pub(in crate::store::embedded) fn merged(links: Vec<LinkFile>) -> Vec<LinkFile> {
    let mut merged: HashMap<Digest, LinkFile> = HashMap::with_capacity(links.len());
    for entry in links {
        let known = merged.remove(&entry.digest);
        let link = known.map_or(entry.link, |known| known.link.merge(&entry.link));
        merged.insert(entry.digest, LinkFile { link, ..entry });
    }
    merged.into_values().collect()
}

/// Replaces the content of a file by these links, durably; a file without any is removed.
fn rewrite(path: &Path, group: GroupId, links: &[LinkFile]) -> Result<(), StoreError> {
    let text = text(links)?;
    damage::written(Kind::Link, path, of(group), || {
        if text.is_empty() { atomic_file::remove_file(path).map(drop) } else { atomic_file::write_file(path, &text) }
    })
}

fn text(links: &[LinkFile]) -> Result<Vec<u8>, StoreError> {
    Ok(links.iter().map(line).collect::<Result<Vec<_>, _>>()?.concat())
}

fn report_damaged(path: &Path, group: GroupId, lines: usize) {
    if lines > 0 {
        damage::found(Kind::Link, path, format!("{lines} lines, group {group}"), "upstream is requested again");
    }
}

/// Writes a file that is to replace this one, and forces it to the disk.
fn written_beside(path: &Path, text: &[u8]) -> io::Result<NewFile> {
    let mut file = NewFile::begin(path)?;
    file.write_all(text)?;
    file.sync()?;
    Ok(file)
}

/// Returns a file and its whole lines: the last one may not be written yet.
fn open_and_read(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
    Ok((file, bytes))
}

/// Returns the path of the file in which an earlier version recorded one link.
fn earlier_path(groups: &Path, group: GroupId, origin: &Origin, digest: &Digest) -> PathBuf {
    path(groups, group, "links", &key::link(digest, group, origin), "json")
}

/// Parses a link file of an earlier version. The name of the file confirms all of it except the length, which is
/// ignored.
fn unchecked_link(bytes: &[u8], path: &Path, group: GroupId) -> Option<LinkFile> {
    let LinkFile { origin, digest, link } = serde_json::from_slice(bytes).ok()?;
    let name = sha256::digest(&key::link(&digest, group, &origin)).hex();
    let link = Link { size: None, ..link };
    (path.file_stem()?.to_str()? == name).then_some(LinkFile { origin, digest, link })
}

/// Returns the path of the file of a group's links to an origin.
pub(in crate::store::embedded) fn links_path(groups: &Path, group: GroupId, origin: &Origin) -> PathBuf {
    path(groups, group, "links", &key::origin(origin), "jsonl")
}
