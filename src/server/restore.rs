//! Makes the identities anew from a backup, on a store that no service has open: the way back. What was there
//! is kept aside, never merged.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::domain::directory::{Directory, Record, Service, Write};
use crate::domain::group::GroupPath;
use crate::domain::id::{GroupId, UserId};
use crate::domain::regained::{self, Regained};
use crate::domain::user::Username;
use crate::store::data_dir::DataDir;
use crate::store::error::{OpenError, StoreError};
use crate::store::export::{self, Backup};
use crate::store::identity::{IdentityStore, Present};

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
    /// The backup cannot be read.
    #[error("{} cannot be used as a backup: {error}", path.display())]
    Export {
        /// An export, a journal or the folder of a database.
        path: PathBuf,
        /// What is wrong with it.
        error: StoreError,
    },
    /// Regained credentials were to stay revoked, and nobody can say which they are.
    #[error(
        "nothing was restored: --revoke-them is impossible, because it cannot be told what was revoked after the backup: {0}"
    )]
    NotComparable(String),
    /// It is a backup of nothing.
    #[error("the backup {} has no user in it", .0.display())]
    Empty(PathBuf),
}

/// A restore that was looked into and not begun. While it lives no service gets the folder.
pub struct PlannedRestore {
    data: DataDir,
    directory: Directory,
    number: u64,
    incomplete: bool,
    comparison: Comparison,
}

/// The difference between the backup and the identities that are there.
pub enum Comparison {
    /// Nothing is there to compare with, and nothing to replace.
    NothingThere,
    /// It is not known, for this reason.
    Unknown(String),
    /// These credentials would count again.
    Read {
        /// The credentials.
        regained: Vec<Regained>,
        /// The identities that are there.
        present: Box<Present>,
    },
}

/// What was made after the backup has numbers that are known elsewhere: in the small files of the cache, in the notes of
/// people. They are jumped over, so that none is given away twice; those that the store knows that is replaced, too.
const JUMP: u64 = 1000;

/// Reads the backup `from` (an export, a journal or the folder of a database) that is to be put into the folder of all
/// data `to`, which is made where there is none, and compares the two. `up_to`: the number of the last change of a journal that counts,
/// whatever follows it.
pub fn plan_restore(to: &Path, from: &Path, up_to: Option<u64>) -> Result<PlannedRestore, RestoreError> {
    let backup =
        export::read_up_to(from, up_to).map_err(|error| RestoreError::Export { path: from.to_owned(), error })?;
    let Backup { directory, number, incomplete } = backup;
    if directory.is_empty() {
        return Err(RestoreError::Empty(from.to_owned()));
    }
    let data = DataDir::open(to)?;
    let comparison = Comparison::of(&directory, data.path());
    Ok(PlannedRestore { data, directory, number, incomplete, comparison })
}

impl PlannedRestore {
    /// The difference to the identities that are there.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// The path of a group in the backup.
    pub fn group_path(&self, group: GroupId) -> Option<&GroupPath> {
        self.directory.group(group).map(|group| &group.path)
    }

    /// The name of a user in the backup.
    pub fn username(&self, user: UserId) -> Option<&Username> {
        self.directory.user(user).map(|user| &user.username)
    }

    /// Makes what would count again not do so: users are blocked, tokens revoked, and passwords those of now. Fails
    /// where what is there cannot be read.
    pub fn revoke_regained(&mut self) -> Result<(), RestoreError> {
        match &self.comparison {
            Comparison::NothingThere => Err(RestoreError::NotComparable("there are no identities".to_owned())),
            Comparison::Unknown(reason) => Err(RestoreError::NotComparable(reason.clone())),
            Comparison::Read { regained, present } => {
                regained::revoke(&mut self.directory, &present.directory, regained, Timestamp::now());
                Ok(())
            }
        }
    }

    /// Puts the backup in the place of what is there, which is kept aside.
    pub fn carry_out(mut self) -> Result<Restored, RestoreError> {
        let path = self.data.path();
        jump_ahead(&mut self.directory, &IdentityStore::given_numbers(path));
        let aside = IdentityStore::restore(path, &self.directory, self.number)?;
        self.data.give_to_owner()?;
        let (users, groups) = (self.directory.users().count(), self.directory.groups().count());
        let (tokens, incomplete) = (self.directory.tokens().count(), self.incomplete);
        Ok(Restored { users, groups, tokens, aside, incomplete })
    }
}

impl Comparison {
    fn of(backup: &Directory, data: &Path) -> Self {
        match IdentityStore::present(data) {
            Ok(None) => Self::NothingThere,
            Ok(Some(present)) if regained::are_of_one_service(backup, &present.directory) => {
                let regained = regained::regained(backup, &present.directory, Timestamp::now());
                Self::Read { regained, present: Box::new(present) }
            }
            Ok(Some(_)) => Self::Unknown("the identities that are there are of another service".to_owned()),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
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
        assert!(matches!(plan_restore(&data, &export, None), Err(RestoreError::Export { .. })));
        let empty = folder.path().join("empty");
        IdentityStore::open(&empty).unwrap().write_export().unwrap();
        std::fs::rename(empty.join("identity.jsonl"), &export).unwrap();
        assert!(matches!(plan_restore(&data, &export, None), Err(RestoreError::Empty(_))));
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
