//! Examination and repair of a store that no service has open: every file against its digest, the index against the
//! files, and what is counted against what is stored. The examination changes nothing: databases are opened as copies
//! in the temporary folder of the operating system, because sled writes when it opens one.
//!
//! | module | content |
//! |---|---|
//! | [`finding`](super::finding) | what can be broken |
//! | [`content`] | the files of blobs and manifests |
//! | [`small_files`] | the files of links, images and removals |
//! | [`index_copy`], [`identities`] | the index, compared with all of these; whether the identities can be opened |
//! | [`mod@repair`], [`quarantine`] | what `--repair` does, and the folder in which it keeps what is broken |

mod content;
mod identities;
mod index_copy;
mod quarantine;
mod repair;
mod small_files;

use std::path::{Path, PathBuf};

pub use self::quarantine::Quarantined;
pub use self::repair::{RepairError, Repaired, quarantine_folder, repair};
pub use super::content_files::Content;
pub use super::finding::{Entry, Finding, Findings};

use self::index_copy::IndexCopy;
use crate::domain::directory::Directory;
use crate::store::cache_id;
use crate::store::error::StoreError;

/// Result of an examination.
#[derive(Debug, Default)]
pub struct Report {
    /// Findings.
    pub findings: Findings,
    /// Numbers of what was examined.
    pub examined: Examined,
}

/// Numbers of what was examined.
#[derive(Debug, Default)]
pub struct Examined {
    /// Blobs.
    pub blobs: u64,
    /// Manifests and indexes.
    pub manifests: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Files of links, images and removals.
    pub small_files: u64,
    /// Groups that have such files.
    pub groups: u64,
    /// Entries of the index; `None` if it cannot be used.
    pub entries: Option<u64>,
    /// Users and groups of the identities; `None` if they cannot be opened.
    pub identities: Option<(u64, u64)>,
}

/// Progress of an examination.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// The small files and the index are examined.
    Comparing,
    /// This number of bytes of blobs is read now.
    Reading(u64),
    /// This number of further bytes was read.
    Read(u64),
    /// The examination has ended, and the repair begins.
    Repairing,
}

/// Examines the store in these folders, which no service has open, and changes nothing. `key_file` is the file of the
/// signing keys that the advice for damaged identities names; `None`: the one in the data folder.
///
/// # Errors
///
/// Fails if the process lacks open files, memory or temporary disk space. What else cannot be read is a finding.
pub fn examine(
    data: &Path,
    cache: &Path,
    key_file: Option<&Path>,
    progress: &dyn Fn(Progress),
) -> Result<Report, StoreError> {
    progress(Progress::Comparing);
    let mut report = Report::default();
    let directory = identities::examine(data, key_file, &mut report)?;
    let content = content::list(cache, &mut report);
    let index = index_copy::open(data, cache, &mut report)?;
    compare(cache, &content, index.as_ref(), directory.as_ref(), &mut report)?;
    // The copy is removed before the long part begins.
    drop(index);
    content::verify_blobs(cache, &content, progress, &mut report)?;
    Ok(report)
}

/// Examines manifests, small files and the index.
fn compare(
    cache: &Path,
    content: &Content,
    index: Option<&IndexCopy>,
    directory: Option<&Directory>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut comparison = index.map(IndexCopy::comparison);
    content::verify_manifests(cache, content, comparison.as_ref(), report)?;
    small_files::examine(cache, content, directory, comparison.as_mut(), report)?;
    if let Some(comparison) = comparison {
        report.examined.entries = Some(comparison.end(content, &mut report.findings)?);
    }
    Ok(())
}

/// Returns what repairs have put into quarantine.
pub fn quarantined(cache: &Path) -> Quarantined {
    quarantine::amount(cache)
}

/// Returns the cache folder from which the index in this data folder was built, if it is still where it was.
pub fn known_cache_folder(data: &Path) -> Option<PathBuf> {
    cache_id::known_folder(data)
}
