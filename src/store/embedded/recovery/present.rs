//! The identities of a folder that no service has open.

use std::path::PathBuf;

use super::files::Files;
use super::found::Found;
use crate::domain::directory::Directory;
use crate::domain::id::InstallationId;
use crate::store::embedded::export;
use crate::store::embedded::restorable::Backup;
use crate::store::error::StoreError;

/// The identities of a folder that no service has open.
#[derive(Debug)]
pub struct Present {
    /// All identities.
    pub directory: Directory,
    /// True if the last changes may be missing, because only an export could be read.
    pub may_lag: bool,
}

impl Files {
    /// Returns the content of the file with the latest change: the journal or the database, and an export only if
    /// neither can be read. A file that is known to be of another history is ignored. Fails if no file can be read.
    pub(in super::super) fn present(&self) -> Result<Option<Present>, StoreError> {
        let previous = export::previous(&self.export);
        let current = [&self.journal, &self.database];
        if current.into_iter().chain([&self.export, &previous]).all(|path| !path.exists()) {
            return Ok(None);
        }
        let outvoted = Found::look(self).outvoted(self);
        let mut reasons = Vec::new();
        let mut newest = |paths: [&PathBuf; 2]| {
            let counts = |path: &&PathBuf| path.exists() && outvoted.as_ref() != Some(*path);
            let found = paths.into_iter().filter(counts).map(|path| export::read(path));
            let read: Vec<Backup> = found.filter_map(|read| read.map_err(|error| reasons.push(error)).ok()).collect();
            read.into_iter().rev().max_by_key(|backup| backup.number)
        };
        let found = newest(current)
            .map(|backup| (backup, false))
            .or_else(|| newest([&self.export, &previous]).map(|backup| (backup, true)));
        match found {
            Some((backup, may_lag)) => Ok(Some(Present { directory: backup.directory, may_lag })),
            None => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                Err(StoreError::Damaged(reasons.join("; ")))
            }
        }
    }

    /// Returns true if the files are known to belong to this installation, or if one of them has identities of which
    /// `is_same` holds. A damaged or foreign file among them makes no difference.
    pub(in super::super) fn are_of(
        &self,
        installation: Option<InstallationId>,
        is_same: impl Fn(&Directory) -> bool,
    ) -> bool {
        let found = Found::look(self);
        let by_id = installation.is_some() && found.installation() == installation;
        // The database is locked while it is open.
        drop(found);
        let previous = export::previous(&self.export);
        let mut files = [&self.journal, &self.database, &self.export, &previous].into_iter();
        by_id || files.any(|path| export::read(path).is_ok_and(|backup| is_same(&backup.directory)))
    }
}
