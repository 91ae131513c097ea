//! The small files of groups: their names, and the checksums of what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use super::content::{entries, unexpected, unreadable};
use super::{Content, Finding, Report};
use crate::domain::directory::Directory;
use crate::domain::id::GroupId;
use crate::store::embedded::index::Comparison;
use crate::store::embedded::index_file::{self, images, links, removals};
use crate::store::error::StoreError;

/// The small files of one group while they are examined.
struct Group<'a> {
    id: GroupId,
    /// The folder of all groups.
    groups: &'a Path,
    content: &'a Content,
    /// True if the group is being purged: its entries may be in the index or not.
    purged: bool,
}

/// Examines the small files of all groups, and compares the index with them.
pub(super) fn examine(
    cache: &Path,
    content: &Content,
    directory: Option<&Directory>,
    mut comparison: Option<&mut Comparison<'_>>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let groups = cache.join("groups");
    for (path, name) in entries(&groups, &mut report.findings) {
        let Some(id) = name.parse().ok().map(GroupId).filter(|id| id.to_string() == name && path.is_dir()) else {
            report.findings.add(unexpected(path, &name));
            continue;
        };
        report.examined.groups += 1;
        let purged = index_file::is_forgotten(&groups, id);
        if purged {
            report.findings.add(Finding::Leftover(path.join(index_file::FORGOTTEN)));
        } else if directory.is_some_and(|directory| directory.group(id).is_none()) {
            report.findings.add(Finding::Group { group: id, path: path.clone() });
        }
        let group = Group { id, groups: &groups, content, purged };
        group.examine(&path, comparison.as_deref_mut(), report)?;
    }
    for (path, name) in entries(&cache.join("spool"), &mut report.findings) {
        // The spool leaves folders alone, too.
        report.findings.add(if path.is_dir() { unexpected(path, &name) } else { Finding::Leftover(path) });
    }
    Ok(())
}

impl Group<'_> {
    fn examine(
        &self,
        folder: &Path,
        mut comparison: Option<&mut Comparison<'_>>,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        for (path, name) in entries(folder, &mut report.findings) {
            match name.as_str() {
                index_file::FORGOTTEN => {}
                "removals" => {
                    for (path, name) in entries(&path, &mut report.findings) {
                        self.removal(path, &name, report)?;
                    }
                }
                "links" | "tags" => {
                    for (path, shard) in entries(&path, &mut report.findings) {
                        if shard.len() != 2 || !path.is_dir() {
                            report.findings.add(unexpected(path, &shard));
                            continue;
                        }
                        for (path, file) in entries(&path, &mut report.findings) {
                            if name == "links" {
                                self.links(path, &file, comparison.as_deref_mut(), report)?;
                            } else {
                                self.image(path, &file, comparison.as_deref_mut(), report)?;
                            }
                        }
                    }
                }
                _ => report.findings.add(unexpected(path, &name)),
            }
        }
        Ok(())
    }

    fn links(
        &self,
        path: PathBuf,
        name: &str,
        comparison: Option<&mut Comparison<'_>>,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let Some(bytes) = read(&path, name, &["json", "jsonl"], report)? else { return Ok(()) };
        let links::Links { links, damaged } = links::parse(&path, self.id, &bytes);
        let is_misplaced = |link: &links::LinkFile| links::links_path(self.groups, self.id, &link.origin) != path;
        // The name of a file of an earlier version was verified.
        if name.ends_with(".jsonl") && links.iter().any(is_misplaced) {
            report.findings.add(Finding::Misplaced(path));
            return Ok(());
        }
        if damaged > 0 {
            report.findings.add(Finding::Links { path, lines: damaged });
        }
        if let Some(comparison) = comparison {
            let links = links::merged(links);
            self.compared(report, |report| comparison.links(self.id, &links, self.content, &mut report.findings))?;
        }
        Ok(())
    }

    fn image(
        &self,
        path: PathBuf,
        name: &str,
        comparison: Option<&mut Comparison<'_>>,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let Some(bytes) = read(&path, name, &["json"], report)? else { return Ok(()) };
        let Some(image) = images::parse(&bytes) else {
            report.findings.add(Finding::SmallFile(path));
            return Ok(());
        };
        if images::file_of(self.groups, self.id, &image.origin, &image.reference()) != path {
            report.findings.add(Finding::Misplaced(path));
            return Ok(());
        }
        if let Some(comparison) = comparison {
            self.compared(report, |report| comparison.image(self.id, &image, &mut report.findings))?;
        }
        Ok(())
    }

    /// Compares an entry. Differences of a group that is being purged are left out.
    fn compared(
        &self,
        report: &mut Report,
        compare: impl FnOnce(&mut Report) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.purged { compare(&mut Report::default()) } else { compare(report) }
    }

    fn removal(&self, path: PathBuf, name: &str, report: &mut Report) -> Result<(), StoreError> {
        let Some(bytes) = read(&path, name, &["json"], report)? else { return Ok(()) };
        if removals::parse(&bytes).is_none() {
            report.findings.add(Finding::SmallFile(path));
        }
        Ok(())
    }
}

/// Returns the content of a small file; `None`, with a finding, if it is none of these or cannot be read.
fn read(path: &Path, name: &str, extensions: &[&str], report: &mut Report) -> Result<Option<Vec<u8>>, StoreError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if !extension.is_some_and(|extension| extensions.contains(&extension)) || !path.is_file() {
        report.findings.add(unexpected(path.to_owned(), name));
        return Ok(None);
    }
    report.examined.small_files += 1;
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => {
            report.findings.add(unreadable(path.to_owned(), error)?);
            Ok(None)
        }
    }
}
