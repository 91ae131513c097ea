//! The identities: whether a start could open them. They are not repaired here, because only `admin restore` decides
//! what may be lost.

use std::path::Path;

use super::{Finding, Report};
use crate::domain::directory::Directory;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::error::{OpenError, StoreError};
use crate::store::temporary_copy::TemporaryCopy;

/// Opens a copy of the identities, as a start does. Returns them; `None`, with a finding, if a start would be refused,
/// or would begin without any. A database that a start would build again is a finding, too.
pub(super) fn examine(
    data: &Path,
    key_file: Option<&Path>,
    report: &mut Report,
) -> Result<Option<Directory>, StoreError> {
    let copy = TemporaryCopy::of(data, &EmbeddedIdentities::FILES)?;
    let mut unusable = |reason: String| {
        report.findings.add(Finding::Identities(reason));
        Ok(None)
    };
    match EmbeddedIdentities::load_from(copy.path()).map_err(|error| error.with_key_file(key_file)) {
        Ok(directory) if directory.is_empty() => {
            unusable(format!("there are no identities in {}: the next start begins with new ones", data.display()))
        }
        Ok(directory) => {
            if EmbeddedIdentities::has_set_aside(copy.path()) {
                report.findings.add(Finding::Identities(format!(
                    "the database of identities in {} is damaged: the next start moves it aside and builds it again from the \
                     journal, so that nothing is lost",
                    data.display()
                )));
            }
            report.examined.identities = Some((directory.users().count() as u64, directory.groups().count() as u64));
            Ok(Some(directory))
        }
        Err(OpenError::Full { .. }) => Err(StoreError::Full),
        // The sentence names the folder with the copy.
        Err(error) => unusable(error.to_string().replace(&*copy.path().to_string_lossy(), &data.to_string_lossy())),
    }
}
