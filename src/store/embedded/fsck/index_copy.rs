//! A copy of the index that can be opened without a change of the original.

use std::path::Path;

use super::{Finding, Report};
use crate::store::cache_id;
use crate::store::embedded::index::{Comparison, Index, open_as_it_is};
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
    let mut unusable = |reason: String| {
        report.findings.add(Finding::Index(reason));
        Ok(None)
    };
    if !data.join(FOLDER).is_dir() {
        return unusable("is missing, and is built by the next start".to_owned());
    }
    if cache_id::is_other(data, cache) {
        return unusable(format!("was built from another cache folder than {}", cache.display()));
    }
    let copy = TemporaryCopy::of(data, &[FOLDER])?;
    match open_as_it_is(&copy.path().join(FOLDER), &cache.join("groups")) {
        Ok(index) => Ok(Some(IndexCopy { index, _copy: copy })),
        Err(reason) => unusable(reason),
    }
}

impl IndexCopy {
    pub(super) fn comparison(&self) -> Comparison<'_> {
        Comparison::of(&self.index)
    }
}
