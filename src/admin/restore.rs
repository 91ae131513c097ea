//! Offline restore of the identities from a backup, on a store that no service has open. The present identities are
//! kept aside, never merged.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::domain::directory::{Directory, Record, Service, Write};
use crate::domain::group::GroupPath;
use crate::domain::id::{GroupId, UserId};
use crate::domain::regained::{self, Regained};
use crate::domain::user::Username;
use crate::store::data_dir::DataDir;
use crate::store::embedded::export::{self, Backup};
use crate::store::embedded::identity::{EmbeddedIdentities, Present};
use crate::store::error::{OpenError, StoreError};

/// Result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// Number of users after the restore.
    pub users: usize,
    /// Number of groups.
    pub groups: usize,
    /// Number of tokens that are not deleted.
    pub tokens: usize,
    /// Folder with the identities that were replaced, if there were any.
    pub aside: Option<PathBuf>,
    /// True if the last change of the backup was incomplete, and was left out.
    pub incomplete: bool,
}

/// Reason why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder cannot be used, for example because a service is running on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The backup cannot be read.
    #[error("{} cannot be used as a backup: {error}", path.display())]
    Export {
        /// An export, a journal or the folder of a database.
        path: PathBuf,
        /// The problem with it.
        error: StoreError,
    },
    /// Regained credentials were to stay revoked, and cannot be determined.
    #[error(
        "nothing was restored: --revoke-them is impossible, because the changes after the backup are not known: {0}"
    )]
    NotComparable(String),
    /// The backup belongs to another installation than the present identities.
    #[error(
        "nothing was restored: {} is of another installation than the identities in {}. To replace these by those of \
         the other installation, add --from-another-installation", backup.display(), data.display()
    )]
    OtherInstallation {
        /// The backup.
        backup: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// The backup contains no user.
    #[error("the backup {} contains no user", .0.display())]
    Empty(PathBuf),
}

/// A restore that was checked and not carried out. It locks the data folder, so that no service can start on it.
pub struct PlannedRestore {
    data: DataDir,
    directory: Directory,
    number: u64,
    incomplete: bool,
    comparison: Comparison,
}

/// Difference between the backup and the present identities.
pub enum Comparison {
    /// There are no present identities, so nothing is replaced.
    NothingThere,
    /// The present identities have no user in common with the backup, so that the two cannot be compared.
    OtherService,
    /// The difference cannot be determined, for this reason.
    Unknown(String),
    /// The present identities were read. The difference are credentials that would become valid again.
    Read {
        /// The credentials that would become valid again.
        regained: Vec<Regained>,
        /// The present identities.
        present: Box<Present>,
    },
}

/// Reason why a backup cannot be compared with identities with which it has no user in common.
pub const OTHER_SERVICE: &str = "the present identities belong to another service";

/// Distance by which a restore advances the numbers of users, groups and tokens. Records that were created after
/// the backup have numbers that are known elsewhere, such as in the files of the cache. Advancing prevents that
/// such a number is given to another record. The highest numbers of the replaced store are taken into account, too.
const NUMBERS_SKIPPED: u64 = 1000;

/// Prepares to restore the backup `from` (an export, a journal or the folder of a database) into the data folder
/// `to`, which is created if it is missing, and compares the two. `up_to` is the number of the last change of a
/// journal that is restored; later ones are ignored. `may_be_foreign` permits a backup of another installation.
///
/// # Errors
/// The backup cannot be read, contains no user or is of another installation, or the data folder cannot be used.
pub fn plan_restore(
    to: &Path,
    from: &Path,
    up_to: Option<u64>,
    may_be_foreign: bool,
) -> Result<PlannedRestore, RestoreError> {
    let backup =
        export::read_up_to(from, up_to).map_err(|error| RestoreError::Export { path: from.to_owned(), error })?;
    let Backup { directory, number, installation, incomplete } = backup;
    if directory.is_empty() {
        return Err(RestoreError::Empty(from.to_owned()));
    }
    let data = DataDir::open(to)?;
    let comparison = Comparison::of(&directory, data.path());
    let is_same = |present: &Directory| regained::are_of_one_service(&directory, present);
    if matches!(comparison, Comparison::OtherService)
        && !may_be_foreign
        && !EmbeddedIdentities::is_of(data.path(), installation, is_same)
    {
        return Err(RestoreError::OtherInstallation { backup: from.to_owned(), data: to.to_owned() });
    }
    Ok(PlannedRestore { data, directory, number, incomplete, comparison })
}

impl PlannedRestore {
    /// Returns the difference to the present identities.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// Returns the path of a group in the backup.
    pub fn group_path(&self, group: GroupId) -> Option<&GroupPath> {
        self.directory.group(group).map(|group| &group.path)
    }

    /// Returns the name of a user in the backup.
    pub fn username(&self, user: UserId) -> Option<&Username> {
        self.directory.user(user).map(|user| &user.username)
    }

    /// Keeps regained credentials from becoming valid: blocks their users, revokes their tokens, and keeps the
    /// present passwords.
    ///
    /// # Errors
    /// There are no present identities, or they cannot be compared with the backup.
    pub fn revoke_regained(&mut self) -> Result<(), RestoreError> {
        match &self.comparison {
            Comparison::NothingThere => {
                Err(RestoreError::NotComparable("there are no identities to compare it with".to_owned()))
            }
            Comparison::OtherService => Err(RestoreError::NotComparable(OTHER_SERVICE.to_owned())),
            Comparison::Unknown(reason) => Err(RestoreError::NotComparable(reason.clone())),
            Comparison::Read { regained, present } => {
                regained::revoke(&mut self.directory, &present.directory, regained, Timestamp::now());
                Ok(())
            }
        }
    }

    /// Replaces the present identities with the backup, and keeps them aside.
    ///
    /// # Errors
    /// The data folder cannot be written.
    pub fn carry_out(mut self) -> Result<Restored, RestoreError> {
        let path = self.data.path();
        skip_numbers(&mut self.directory, &EmbeddedIdentities::given_numbers(path));
        let aside = EmbeddedIdentities::restore(path, &self.directory, self.number)?;
        self.data.give_to_owner()?;
        let (users, groups) = (self.directory.users().count(), self.directory.groups().count());
        let (tokens, incomplete) = (self.directory.tokens().count(), self.incomplete);
        Ok(Restored { users, groups, tokens, aside, incomplete })
    }
}

impl Comparison {
    fn of(backup: &Directory, data: &Path) -> Self {
        match EmbeddedIdentities::present(data) {
            Ok(None) => Self::NothingThere,
            Ok(Some(present)) if regained::are_of_one_service(backup, &present.directory) => {
                let regained = regained::regained(backup, &present.directory, Timestamp::now());
                Self::Read { regained, present: Box::new(present) }
            }
            Ok(Some(_)) => Self::OtherService,
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

fn skip_numbers(directory: &mut Directory, used: &Service) {
    let ahead = directory.service().with_numbers_of(used).skipping(NUMBERS_SKIPPED);
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
        assert!(matches!(plan_restore(&data, &export, None, false), Err(RestoreError::Export { .. })));
        let empty = folder.path().join("empty");
        EmbeddedIdentities::open(&empty).unwrap().write_export().unwrap();
        std::fs::rename(empty.join("identity.jsonl"), &export).unwrap();
        assert!(matches!(plan_restore(&data, &export, None, false), Err(RestoreError::Empty(_))));
        assert!(!data.exists());
    }

    #[test]
    fn numbers_given_away_after_the_export_are_not_given_away_again() {
        let mut directory = Directory::from_records([Record::Service(Service { last_user: 7, ..Service::default() })]);
        skip_numbers(&mut directory, &Service { last_group: 12, ..Service::default() });
        let service = directory.service();
        assert_eq!((service.last_user, service.last_group, service.last_token), (1007, 1012, 1000));
    }
}
