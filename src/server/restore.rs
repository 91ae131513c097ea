//! Makes the identities anew from an export, on a store that no service has open: the way back from a backup. What was there
//! is kept aside, never merged.

use std::path::{Path, PathBuf};

use crate::domain::directory::{Directory, Record, Service, Write};
use crate::store::data_dir::DataDir;
use crate::store::error::{OpenError, StoreError};
use crate::store::export;
use crate::store::identity::IdentityStore;

/// What was done.
#[derive(Debug)]
pub struct Restored {
    /// How many users there are now.
    pub users: usize,
    /// How many groups.
    pub groups: usize,
    /// How many tokens that are not deleted.
    pub tokens: usize,
    /// Where the identities are that were there before.
    pub aside: Option<PathBuf>,
}

/// Why it was not.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder cannot be used; a service may be running on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The export cannot be read.
    #[error("the export {} cannot be used: {error}", path.display())]
    Export {
        /// The export.
        path: PathBuf,
        /// What is wrong with it.
        error: StoreError,
    },
    /// It is an export of nothing.
    #[error("the export {} has no user in it", .0.display())]
    Empty(PathBuf),
}

/// What was made after the export has numbers that are known elsewhere: in the small files of the cache, in the notes of
/// people. They are jumped over, so that none is given away twice.
const JUMP: u64 = 1000;

/// Puts what is in the export `from` into the folder of all data `to`, which is made where there is none.
pub fn restore(to: &Path, from: &Path) -> Result<Restored, RestoreError> {
    let mut directory = export::read(from).map_err(|error| RestoreError::Export { path: from.to_owned(), error })?;
    if directory.is_empty() {
        return Err(RestoreError::Empty(from.to_owned()));
    }
    let data = DataDir::open(to)?;
    jump_ahead(&mut directory);
    let aside = IdentityStore::restore(data.path(), &directory)?;
    data.give_to_owner()?;
    let (users, groups) = (directory.users().count(), directory.groups().count());
    Ok(Restored { users, groups, tokens: directory.tokens().count(), aside })
}

fn jump_ahead(directory: &mut Directory) {
    let service = directory.service().clone();
    let ahead = Service {
        last_user: service.last_user + JUMP,
        last_group: service.last_group + JUMP,
        last_token: service.last_token + JUMP,
        ..service
    };
    directory.apply(&[Write::Put(Record::Service(ahead))]);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn an_export_of_nothing_and_none_at_all_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (data, export) = (folder.path().join("data"), folder.path().join("export"));
        assert!(matches!(restore(&data, &export), Err(RestoreError::Export { .. })));
        export::write(&export, &Directory::default()).unwrap();
        assert!(matches!(restore(&data, &export), Err(RestoreError::Empty(_))));
        assert!(!data.exists());
    }

    #[test]
    fn numbers_given_away_after_the_export_are_not_given_away_again() {
        let mut directory = Directory::from_records([Record::Service(Service { last_user: 7, ..Service::default() })]);
        jump_ahead(&mut directory);
        assert_eq!((directory.service().last_user, directory.service().last_token), (1007, 1000));
    }
}
