//! Offline restore of a backup, on a store that no service has open. The present identities are kept aside, never
//! merged. The present signing keys are replaced by those of the backup, or by a new one: a login token that was issued
//! before must not become valid again together with its credential.

mod accounts;
mod comparison;
mod error;
mod fleet;
mod key_files;

pub use accounts::Accounts;
pub use comparison::{Comparison, OTHER_SERVICE};
pub use error::RestoreError;
pub use fleet::{RestoredToFleet, restore_into_fleet};

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::auth::jwt::KeySet;
use crate::domain::audit::{Author, Entity, Event, Target, Who};
use crate::domain::chosen_setting::ChosenSetting;
use crate::domain::directory::{Directory, Record, Service, Write};
use crate::domain::group::GroupPath;
use crate::domain::id::{GroupId, UserId};
use crate::domain::key_files::signing_keys_in;
use crate::domain::regained;
use crate::domain::user::Username;
use crate::store::atomic_file;
use crate::store::data_dir::DataDir;
use crate::store::embedded::export;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::embedded::restorable::{Backup, Beside, KeptEvents};
use crate::store::error::OpenError;
use crate::store::key_file::ReplacedKeys;

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
    /// The file of the signing keys.
    pub key_file: PathBuf,
    /// The signing keys in that file.
    pub keys: Keys,
    /// The accounts of groups.
    pub accounts: Accounts,
}

/// The signing keys after a restore.
#[derive(Debug)]
pub enum Keys {
    /// Those of the backup.
    OfBackup,
    /// A new one.
    New,
    /// None: there was no such file beside the replaced identities, so the settings of the service probably name
    /// another file.
    Elsewhere,
    /// None, because they could not be written for this reason. The next start creates one.
    Missing(OpenError),
}

/// A restore that was checked and not carried out. It locks the data folder, so that no service can start on it.
pub struct PlannedRestore {
    data: DataDir,
    directory: Directory,
    events: KeptEvents,
    number: u64,
    incomplete: bool,
    beside: Beside,
    comparison: Comparison,
}

/// Distance by which a restore advances the numbers of users, groups and tokens. Records that were created after
/// the backup have numbers that are known elsewhere, such as in the files of the cache. Advancing prevents that
/// such a number is given to another record. The highest numbers of the replaced store are taken into account, too.
const NUMBERS_SKIPPED: u64 = 1000;

/// Prepares to restore `from` (a backup, an export, a journal or the folder of a database) into the data folder
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
    let Backup { directory, events, number, installation, incomplete, beside } = backup;
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
    Ok(PlannedRestore { data, directory, events, number, incomplete, beside, comparison })
}

impl PlannedRestore {
    /// Returns the difference to the present identities.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// Returns the settings in the backup.
    pub fn settings(&self) -> &[ChosenSetting] {
        &self.beside.settings
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

    /// Replaces the present identities with the backup, and keeps them aside. Replaces the signing keys in `key_file`,
    /// and adds the keys of groups' accounts to `account_key_file`.
    ///
    /// # Errors
    /// The data folder cannot be written. The present identities are still in place then. If the disk is not full, the
    /// signing keys may be missing; the next start creates new ones.
    pub fn carry_out(mut self, key_file: PathBuf, account_key_file: PathBuf) -> Result<Restored, RestoreError> {
        let path = self.data.path();
        skip_numbers(&mut self.directory, &EmbeddedIdentities::given_numbers(path));
        let new = self.beside.signing_keys.is_none();
        let json = self.beside.signing_keys.take().unwrap_or_else(KeySet::generate).to_json()?;
        let mut replaced = ReplacedKeys::at(&key_file);
        let set_aside = || replaced.set_aside();
        let failed = |error| OpenError::Io { path: path.to_owned(), error };
        self.events.add(&restored(self.number)).map_err(failed)?;
        let identities = (&self.directory, &self.events);
        let aside = EmbeddedIdentities::restore(path, identities, self.number, set_aside)?;
        let is_elsewhere = new && !replaced.was_there() && aside.is_some() && key_file == signing_keys_in(path);
        let written = if is_elsewhere { Ok(()) } else { replaced.write(path, &json) };
        let keys = match written {
            Ok(()) if is_elsewhere => Keys::Elsewhere,
            Ok(()) if new => Keys::New,
            Ok(()) => Keys::OfBackup,
            Err(error) => Keys::Missing(error),
        };
        let accounts =
            accounts::restore(&self.directory, self.beside.account_keys.take(), account_key_file, self.data.path());
        self.data.give_to_owner()?;
        let (users, groups) = (self.directory.users().count(), self.directory.groups().count());
        let (tokens, incomplete) = (self.directory.tokens().count(), self.incomplete);
        Ok(Restored { users, groups, tokens, aside, incomplete, key_file, keys, accounts })
    }
}

/// Returns the audit event of the restore of this change. Events since the backup stay in the folder that is kept
/// aside.
fn restored(change: u64) -> Event {
    let what = ("identities_restored", "identities restored from a backup");
    let target = Target { kind: "Backup".into(), id: Some(change), name: format!("change {change}") };
    Event::new(Timestamp::now(), Author::local(Who::Operator), what, Entity::Service, target)
}

/// Writes the settings of a backup to a new file, which only its owner can read if it `has_secrets`.
///
/// # Errors
/// There is something at this path, or the file cannot be written.
pub fn write_settings(path: &Path, text: &str, has_secrets: bool) -> Result<(), RestoreError> {
    let written = atomic_file::write_new(path, text.as_bytes(), if has_secrets { 0o600 } else { 0o644 });
    written.map_err(|error| RestoreError::Settings { path: path.to_owned(), error })
}

/// Removes the file that [`write_settings`] wrote, because nothing was restored.
pub fn remove_settings(path: &Path) {
    if let Err(error) = atomic_file::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "the file with the settings of the backup could not be removed");
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
