//! A copy of the index that can be opened without a change of the original.

use std::path::Path;

use super::{Finding, Report};
use crate::store::cache_id;
use crate::store::embedded::index::{Comparison, Index, open_as_it_is, was_interrupted};
use crate::store::embedded::index_file;
use crate::store::error::StoreError;
use crate::store::temporary_copy::TemporaryCopy;

/// The open copy. The index is closed before its files are removed.
pub(super) struct IndexCopy {
    index: Index,
    _copy: TemporaryCopy,
}

/// The folder of the index in the data folder.
const FOLDER: &str = "index";

/// Opens a copy of the index in this data folder; `None`, with a finding, if it cannot be used as a whole.
pub(super) fn open(data: &Path, cache: &Path, report: &mut Report) -> Result<Option<IndexCopy>, StoreError> {
    let findings = &mut report.findings;
    let folder = data.join(FOLDER);
    if !folder.is_dir() {
        findings.add(Finding::Index("is missing, and is built by the next start".to_owned()));
        return Ok(None);
    }
    if cache_id::is_other(data, cache) {
        findings.add(Finding::Index(format!("was built from another cache folder than {}", cache.display())));
        return Ok(None);
    }
    let groups = cache.join("groups");
    if was_interrupted(&folder) || index_file::is_removing(&groups) {
        findings.follow_an_interruption();
    }
    let copy = TemporaryCopy::of(data, &[FOLDER])?;
    match open_as_it_is(&copy.path().join(FOLDER), &groups) {
        Ok(index) => Ok(Some(IndexCopy { index, _copy: copy })),
        Err(reason) => {
            findings.add(Finding::Index(reason));
            Ok(None)
        }
    }
}

impl IndexCopy {
    pub(super) fn comparison(&self) -> Comparison<'_> {
        Comparison::of(&self.index)
    }
}
