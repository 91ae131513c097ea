//! Makes the identities anew from a backup, on a store that no service has open: the way back. What was there
//! is kept aside, never merged.

use std::path::{Path, PathBuf};

use crate::domain::directory::{Directory, Record, Service, Write};
use crate::store::data_dir::DataDir;
use crate::store::error::{OpenError, StoreError};
use crate::store::export::{self, Backup};
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
    /// Whether the last change of the backup was incomplete, and was left out.
    pub incomplete: bool,
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

/// What was made after the backup has numbers that are known elsewhere: in the small files of the cache, in the notes of
/// people. They are jumped over, so that none is given away twice; those that the store knows that is replaced, too.
const JUMP: u64 = 1000;

/// Puts what is in the backup `from` (an export, a journal or the folder of a database) into the folder of all data `to`, which is made where there is none.
pub fn restore(to: &Path, from: &Path) -> Result<Restored, RestoreError> {
    let backup = export::read(from).map_err(|error| RestoreError::Export { path: from.to_owned(), error })?;
    let Backup { mut directory, number, incomplete } = backup;
    if directory.is_empty() {
        return Err(RestoreError::Empty(from.to_owned()));
    }
    let data = DataDir::open(to)?;
    jump_ahead(&mut directory, &IdentityStore::given_numbers(data.path()));
    let aside = IdentityStore::restore(data.path(), &directory, number)?;
    data.give_to_owner()?;
    let (users, groups) = (directory.users().count(), directory.groups().count());
    Ok(Restored { users, groups, tokens: directory.tokens().count(), aside, incomplete })
}

fn jump_ahead(directory: &mut Directory, given: &Service) {
    let service = directory.service().clone();
    let ahead = Service {
        last_user: service.last_user.max(given.last_user) + JUMP,
        last_group: service.last_group.max(given.last_group) + JUMP,
        last_token: service.last_token.max(given.last_token) + JUMP,
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
        let empty = folder.path().join("empty");
        IdentityStore::open(&empty).unwrap().write_export().unwrap();
        std::fs::rename(empty.join("identity.jsonl"), &export).unwrap();
        assert!(matches!(restore(&data, &export), Err(RestoreError::Empty(_))));
        assert!(!data.exists());
    }

    #[test]
    fn numbers_given_away_after_the_export_are_not_given_away_again() {
        let mut directory = Directory::from_records([Record::Service(Service { last_user: 7, ..Service::default() })]);
        jump_ahead(&mut directory, &Service { last_group: 12, ..Service::default() });
        let service = directory.service();
        assert_eq!((service.last_user, service.last_group, service.last_token), (1007, 1012, 1000));
    }
}
