//! The repair: what is broken goes into quarantine, damaged lines leave their files, descriptions are written again,
//! and the index is corrected by the files, or built from them. Each step is complete by itself, so that a repair that
//! was interrupted is simply run again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Entry, Finding, Findings, Report, compare, content, quarantine};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::min_free::MinFree;
use crate::domain::quota::Quota;
use crate::store::blobs::BlobFiles;
use crate::store::damage;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::fsck::index_copy;
use crate::store::embedded::index::{self, Index};
use crate::store::embedded::index_file::{self, links};
use crate::store::error::{OpenError, StoreError};
use crate::store::manifests::ManifestStore;
use crate::store::usage::Usage;

/// Result of a repair.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Number of files and folders that were put into quarantine.
    pub quarantined: u64,
    /// Number of files that were written again without what was damaged in them.
    pub rewritten: u64,
    /// Number of files that were removed, because an interrupted process has left them.
    pub removed: u64,
    /// True if the index was corrected or built.
    pub index: bool,
    /// Findings that could not be repaired.
    pub left: Findings,
    /// Files that could not be moved or written, with the errors.
    pub failures: Vec<(PathBuf, String)>,
}

/// Reason why a repair has ended early. What was done until then stays done.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The index cannot be opened or built.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Number of runs of the correction of records: the first may remove a record of the wrong kind, the second adds the
/// right one.
const RECONCILIATIONS: usize = 2;

/// Repairs what an examination has found in these folders, which no service has open.
///
/// # Errors
///
/// Fails if the index can neither be corrected nor built.
pub fn repair(data: &Path, cache: &Path, report: &Report) -> Result<Repaired, RepairError> {
    let mut repaired = Repaired::default();
    let restored = restore_images(data, cache, report, &mut repaired)?;
    for finding in report.findings.kept() {
        if finding.path().is_some_and(|path| restored.contains(path)) {
            continue;
        }
        if let Err(error) = repair_file(cache, finding, &mut repaired) {
            let path = finding.path().unwrap_or(cache).to_owned();
            repaired.failures.push((path, error.to_string()));
        }
    }
    let is_left = |finding: &Finding| matches!(finding, Finding::Interrupted(_));
    if report.findings.broken() > 0 || report.findings.kept().iter().any(is_left) {
        repaired.left = repair_index(data, cache, report)?;
        repaired.index = true;
    }
    for finding in report.findings.kept().iter().filter(|finding| matches!(finding, Finding::Identities(_))) {
        repaired.left.add(finding.clone());
    }
    Ok(repaired)
}

/// Writes damaged files of images again from the index, if it can be used. Returns their paths.
fn restore_images(
    data: &Path,
    cache: &Path,
    report: &Report,
    repaired: &mut Repaired,
) -> Result<HashSet<PathBuf>, RepairError> {
    let (mut restored, groups) = (HashSet::new(), cache.join("groups"));
    let damaged: Vec<&PathBuf> = report.findings.kept().iter().filter_map(damaged_image).collect();
    // An index that cannot be used would be built from the files, and remove the damaged ones.
    if damaged.is_empty() || report.examined.entries.is_none() {
        return Ok(restored);
    }
    let index = Index::open(data, cache)?;
    for path in damaged {
        let group = group_of(cache, path);
        if let Some(file) = index.image_with_file(group, path)? {
            quarantine::copy(cache, path).map_err(StoreError::from)?;
            file.write_durably(&groups, group)?;
            repaired.quarantined += 1;
            repaired.rewritten += 1;
            restored.insert(path.clone());
        }
    }
    Ok(restored)
}

fn damaged_image(finding: &Finding) -> Option<&PathBuf> {
    let Finding::SmallFile(path) = finding else { return None };
    path.components().rev().nth(2).filter(|kind| kind.as_os_str() == "tags").map(|_| path)
}

/// Repairs the file of one finding. Its entries in the index are corrected later.
fn repair_file(cache: &Path, finding: &Finding, repaired: &mut Repaired) -> Result<(), StoreError> {
    match finding {
        Finding::Blob(path)
        | Finding::Manifest(path)
        | Finding::NoManifest(path)
        | Finding::Unreadable { path, .. }
        | Finding::Foreign(path)
        | Finding::SmallFile(path)
        | Finding::Misplaced(path)
        | Finding::Group { path, .. } => {
            take(cache, path, repaired)?;
            let description = path.with_added_extension("json");
            if description.is_file() { take(cache, &description, repaired) } else { Ok(()) }
        }
        Finding::Description(path) => {
            if let Some(digest) = digest_of(&path.with_extension("")) {
                // Reading writes it again.
                ManifestStore::new(cache).read(&digest)?;
                repaired.rewritten += 1;
            }
            Ok(())
        }
        // A file that went with the folder of its group needs nothing else.
        Finding::Links { path, .. } if !path.exists() => Ok(()),
        Finding::Links { path, .. } => {
            quarantine::copy(cache, path)?;
            links::tidy(path, group_of(cache, path))?;
            repaired.quarantined += 1;
            repaired.rewritten += 1;
            Ok(())
        }
        Finding::Leftover(path) => repair_leftover(cache, path, repaired),
        Finding::Index(_)
        | Finding::MissingEntry(..)
        | Finding::SurplusEntry(..)
        | Finding::DifferingEntry(..)
        | Finding::Length { .. }
        | Finding::Count { .. }
        | Finding::Identities(_)
        | Finding::Interrupted(_) => Ok(()),
    }
}

fn take(cache: &Path, path: &Path, repaired: &mut Repaired) -> Result<(), StoreError> {
    match quarantine::take(cache, path) {
        Ok(()) => repaired.quarantined += 1,
        // It went with the folder in which it was.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn repair_leftover(cache: &Path, path: &Path, repaired: &mut Repaired) -> Result<(), StoreError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name == index_file::FORGOTTEN {
        // A start continues the purge.
        return Ok(());
    }
    if damage::is_set_aside(path) {
        return take(cache, path, repaired);
    }
    // A start removes these, too.
    if path.is_file() && fs::remove_file(path).or_else(if_missing).is_ok() {
        repaired.removed += 1;
    }
    Ok(())
}

fn if_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn digest_of(path: &Path) -> Option<Digest> {
    format!("sha256:{}", path.file_name()?.to_str()?).parse().ok()
}

/// Returns the group in the path of a small file.
fn group_of(cache: &Path, path: &Path) -> GroupId {
    let below = path.strip_prefix(cache.join("groups")).unwrap_or(path);
    let id = below.components().next().and_then(|id| id.as_os_str().to_str()?.parse().ok());
    GroupId(id.unwrap_or_default())
}

/// Corrects the index by the files. Where that is not enough, builds it from them. Returns what differs all the same.
fn repair_index(data: &Path, cache: &Path, report: &Report) -> Result<Findings, RepairError> {
    let index = Index::open(data, cache)?;
    forget_what_differs(&index, report);
    correct(index, cache)?;
    let left = differences(data, cache)?;
    if left.broken() == 0 {
        return Ok(left);
    }
    index::set_aside(&data.join("index"))?;
    correct(Index::open(data, cache)?, cache)?;
    Ok(differences(data, cache)?)
}

/// Removes entries that the comparison with the files does not correct, because they are made again.
fn forget_what_differs(index: &Index, report: &Report) {
    let differs = |entry: Entry| {
        let mut found = report.findings.kept().iter().map(Finding::itself);
        found.any(|finding| matches!(finding, Finding::DifferingEntry(of, _) if *of == entry))
    };
    index.forget(differs(Entry::Tag), differs(Entry::Summary), differs(Entry::File));
}

/// Compares the index with the small files, and the records with the stored files, and corrects both.
fn correct(index: Index, cache: &Path) -> Result<(), RepairError> {
    let usage = Usage::default();
    let index = index.counted_in(&usage);
    index.check_against_files()?;
    let blobs = BlobFiles::open(cache, MinFree::Bytes(0), 1)?.within(Quota::Unlimited, usage.clone());
    let content = EmbeddedContent::new(index, ManifestStore::new(cache).counted_in(usage));
    for _ in 0..RECONCILIATIONS {
        content.reconcile(&blobs, &mut || true)?;
    }
    Ok(content.index().close()?)
}

/// Returns what differs between the index and the files, apart from the bytes of blobs.
fn differences(data: &Path, cache: &Path) -> Result<Findings, StoreError> {
    let mut report = Report::default();
    let content = content::list(cache, &mut report);
    let index = index_copy::open(data, cache, &mut report)?;
    compare(cache, &content, index.as_ref(), None, &mut report)?;
    Ok(report.findings)
}

/// Returns the folder in which a repair keeps what is broken.
pub fn quarantine_folder(cache: &Path) -> PathBuf {
    quarantine::folder(cache)
}
