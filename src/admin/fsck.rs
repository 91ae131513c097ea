//! Examination and repair of a store that no service has open. [`store::embedded::fsck`](crate::store::embedded::fsck)
//! defines what is examined.

use std::path::PathBuf;

use crate::store::embedded::fsck::{self, RepairError};
pub use crate::store::embedded::fsck::{Examined, Finding, Findings, Progress, Quarantined, Repaired, Report};

use crate::store::data_dir::DataDir;
use crate::store::error::{OpenError, StoreError};

/// The folders and the file of a stopped service.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The data folder.
    pub data: PathBuf,
    /// The cache folder; `None`: the one from which the index was built, also in a copy of the data folder, or `cache`
    /// in the data folder.
    pub cache: Option<PathBuf>,
    /// The file of the signing keys; `None`: the one in the data folder. It is only named in advice.
    pub key_file: Option<PathBuf>,
}

/// Result of an examination.
#[derive(Debug)]
pub struct Outcome {
    /// Numbers of what was examined, and the findings.
    pub report: Report,
    /// Numbers of what was repaired, if that was requested.
    pub repaired: Option<Repaired>,
    /// The folder in which repairs keep what is broken, whether or not it exists.
    pub quarantine: PathBuf,
    /// Content of that folder now.
    pub quarantined: Quarantined,
}

/// Reason why nothing was examined, or why the examination or the repair has ended early.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// The folder contains no data.
    #[error("there is no data in {}", .0.display())]
    NoData(PathBuf),
    /// There is no cache folder.
    #[error(
        "there is no cache folder {}. If it is on a disk of its own, mount that disk; if it is elsewhere, name it with --cache, \
         or the settings with --config", .0.display()
    )]
    NoCache(PathBuf),
    /// A service is running on the folder.
    #[error(
        "{} is in use: stop the service first. While it runs, it verifies what it stores by itself, at the rate of \
         storage.verify_bytes_per_second, and reports what is damaged in its log and in dependency_proxy_damaged_total",
        .0.display()
    )]
    InUse(PathBuf),
    /// There is no space for copies of the databases.
    #[error(
        "{} has too little free space for copies of the databases, which are as large as identity/ and index/: set TMPDIR to \
         another folder", .0.display()
    )]
    NoSpace(PathBuf),
    /// A folder cannot be used.
    #[error(transparent)]
    Open(OpenError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// The index cannot be repaired.
    #[error("the repair has ended early, and can be run again: {0}")]
    Repair(#[from] RepairError),
}

/// Examines the store in these folders, and repairs it if `repair` is true. Without a repair nothing is changed.
///
/// # Errors
///
/// Fails if the folders do not exist, are in use or cannot be read, or if the index cannot be repaired.
pub fn fsck(folders: Folders, repair: bool, progress: &dyn Fn(Progress)) -> Result<Outcome, FsckError> {
    let Folders { data, cache, key_file } = folders;
    match data.join("lock").try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(FsckError::NoData(data)),
        Err(error) => return Err(FsckError::Open(OpenError::Io { path: data, error: error.into() })),
    }
    let known = || fsck::known_cache_folder(&data).unwrap_or_else(|| data.join("cache"));
    let cache = cache.unwrap_or_else(known);
    if !cache.is_dir() {
        return Err(FsckError::NoCache(cache));
    }
    let folders = if repair { DataDir::open(&data)?.with_cache(&cache)? } else { DataDir::inspect(&data, &cache)? };
    let report = fsck::examine(&data, &cache, key_file.as_deref(), progress).map_err(|error| match error {
        StoreError::Full => FsckError::NoSpace(std::env::temp_dir()),
        StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Closed | StoreError::Fleet(_) => {
            FsckError::Store(error)
        }
    })?;
    let repaired = if repair {
        progress(Progress::Repairing);
        let repaired = fsck::repair(&data, &cache, &report);
        // Also after a failure: the service must be able to read what was written.
        folders.give_to_owner()?;
        Some(repaired?)
    } else {
        None
    };
    let (quarantine, quarantined) = (fsck::quarantine_folder(&cache), fsck::quarantined(&cache));
    Ok(Outcome { report, repaired, quarantine, quarantined })
}

impl Outcome {
    /// Returns the number of findings that are broken still.
    pub fn broken(&self) -> u64 {
        match &self.repaired {
            Some(repaired) => repaired.left.broken() + repaired.failures.len() as u64,
            None => self.report.findings.broken(),
        }
    }
}

impl From<OpenError> for FsckError {
    fn from(error: OpenError) -> Self {
        if let OpenError::InUse(folder) = error { Self::InUse(folder) } else { Self::Open(error) }
    }
}
