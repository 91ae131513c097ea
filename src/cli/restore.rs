//! `restore`, also called `admin restore`: restores a backup into the data folder of a stopped service.

use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::confirmation::Confirmation;
use super::engines::engines_of;
use super::failure::Failure;
use super::output::{number_of, print_line, print_list, print_note};
use super::restoring;
use crate::admin::engines::Engines;
use crate::admin::restore::{
    Accounts, Comparison, Keys, PlannedRestore, Restored, RestoredToFleet, plan_restore, remove_settings,
    restore_into_fleet, write_settings,
};
use crate::domain::chosen_setting::{ChosenSetting, ChosenValue};
use crate::settings::{RestoredSettings, Settings, restored};

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The settings file of the service: it names the data folder, or the database of a fleet, which must be empty
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Data folder of the service (storage.data_dir)
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// The backup: a file of the subcommand backup; or identity.jsonl or identity.journal of a data folder, a copy
    /// of one, or the folder identity itself
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Write the settings of the backup to this new file
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// File of the signing keys, if the settings name another one (auth.key_file) than jwt-keys in the data folder
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// File of the keys of groups' accounts, if the settings name another one (auth.account_key_file) than account-keys
    /// in the data folder
    #[arg(long, value_name = "FILE")]
    account_key_file: Option<PathBuf>,
    /// Keep credentials revoked, blocked or changed that became so after the backup
    #[arg(long)]
    revoke_them: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Restore a damaged or incomplete journal up to the change of this number: later changes are lost, and
    /// credentials that they revoked become valid again
    #[arg(long, value_name = "NUMBER")]
    up_to: Option<u64>,
    /// Replace the identities of this installation by those of another one, which is refused otherwise
    #[arg(long)]
    from_another_installation: bool,
    /// Print the result as JSON; all other output goes to standard error
    #[arg(long)]
    json: bool,
}

impl RestoreArgs {
    /// Restores the backup and prints the result.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        if let Some(config) = &self.config {
            let settings = Settings::load(Some(config), std::env::vars_os())?;
            if let Some(engines) = engines_of(&settings) {
                return self.run_for_fleet(&engines).await;
            }
            let Settings { storage, auth, .. } = settings;
            self.data = storage.data_dir;
            self.key_file = self.key_file.or(auth.key_file);
            self.account_key_file = self.account_key_file.or(auth.account_key_file);
        }
        let mut plan = plan_restore(&self.data, &self.from, self.up_to, self.from_another_installation)?;
        let key_file = plan.key_file(self.key_file.clone())?;
        let account_key_file = plan.account_key_file(self.account_key_file.clone())?;
        let settings = self.settings_of(&plan)?;
        restoring::describe(&plan, self.revoke_them, if self.json { print_note } else { print_line });
        let regained = if self.revoke_them { json!([]) } else { restoring::regained(&plan) };
        if self.revoke_them {
            plan.revoke_regained()?;
        }
        if !matches!(plan.comparison(), Comparison::NothingThere) {
            let (data, from) = (self.data.display(), self.from.display());
            print_note(&format!("This replaces the identities in {data} by those of {from}."));
            self.confirmation.ask()?;
        }
        if let (Some(file), Some(settings)) = (&self.settings, &settings) {
            write_settings(file, settings.text.expose_secret(), settings.has_secrets)?;
        }
        let restored = plan.carry_out(key_file, account_key_file).inspect_err(|_| {
            self.settings.iter().filter(|_| settings.is_some()).for_each(|file| remove_settings(file));
        })?;
        if self.json {
            print_line(&format!("{:#}", as_json(&restored, settings.as_ref(), self.settings.as_deref(), &regained)));
            return Ok(());
        }
        report(&restored);
        if let Some(settings) = settings {
            report_settings(&settings, self.settings.as_deref());
        }
        Ok(())
    }

    /// Restores the backup into the database of a fleet and prints the result.
    async fn run_for_fleet(&self, engines: &Engines) -> Result<(), Failure> {
        let given = [
            ("--settings", self.settings.is_some()),
            ("--key-file", self.key_file.is_some()),
            ("--account-key-file", self.account_key_file.is_some()),
            ("--revoke-them", self.revoke_them),
            ("--from-another-installation", self.from_another_installation),
        ];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Failure::Input(format!(
                "nothing was restored: {option} is for a data folder; a backup is restored into an empty database of a fleet"
            )));
        }
        let restored = restore_into_fleet(&self.from, self.up_to, engines).await?;
        if self.json {
            print_line(&format!("{:#}", fleet_as_json(&restored)));
        } else {
            report_fleet(&restored);
        }
        Ok(())
    }

    /// Returns the settings of the backup as text; `None` if there are none. Fails if they are wanted nevertheless.
    fn settings_of(&self, plan: &PlannedRestore) -> Result<Option<RestoredSettings>, Failure> {
        if plan.settings().is_empty() {
            return match &self.settings {
                Some(_) => Err(Failure::Input(format!(
                    "nothing was restored: {} contains no settings; leave --settings out",
                    self.from.display()
                ))),
                None => Ok(None),
            };
        }
        let comment = "Settings restored from a backup. Keys that are not here have their defaults.";
        Ok(Some(restored(&of_folder(plan.settings(), &self.data), comment)))
    }
}

/// Returns the settings with this data folder, if they name another one or none.
fn of_folder(settings: &[ChosenSetting], data: &Path) -> Vec<ChosenSetting> {
    const DEFAULT: &str = "./data";
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let names_it = |setting: &&ChosenSetting| setting.key == ["storage", "data_dir"];
    let named = settings.iter().find(names_it).and_then(|setting| match &setting.value {
        ChosenValue::Plain(value) => value.as_str(),
        ChosenValue::Secret { .. } => None,
    });
    let here = absolute(data);
    if absolute(Path::new(named.unwrap_or(DEFAULT))) == here {
        return settings.to_vec();
    }
    let value = ChosenValue::Plain(here.display().to_string().into());
    let folder = ChosenSetting { key: ["storage", "data_dir"].map(str::to_owned).to_vec(), value };
    settings.iter().filter(|setting| !names_it(setting)).cloned().chain([folder]).collect()
}

fn as_json(
    restored: &Restored,
    settings: Option<&RestoredSettings>,
    settings_file: Option<&Path>,
    regained: &Value,
) -> Value {
    let keys = match &restored.keys {
        Keys::OfBackup => "of backup",
        Keys::New => "new",
        Keys::Elsewhere => "elsewhere",
        Keys::Missing(_) => "missing",
    };
    json!({
        "users": restored.users,
        "groups": restored.groups,
        "tokens": restored.tokens,
        "incomplete": restored.incomplete,
        "previous_identities": restored.aside,
        "key_file": restored.key_file,
        "keys": keys,
        "account_key_file": restored.accounts.key_file,
        "account_keys_of_backup": restored.accounts.of_backup,
        "account_keys_problem": restored.accounts.problem,
        "accounts_to_enter": restored.accounts.to_enter,
        "regained": regained,
        "settings_file": settings_file.filter(|_| settings.is_some()),
        "secrets_to_enter": settings.map(|settings| &settings.to_enter),
        "named_files": settings.map(|settings| &settings.files),
    })
}

fn report(restored: &Restored) {
    let Restored { users, groups, tokens, aside, incomplete, key_file, keys, accounts } = restored;
    let [users, groups, tokens] = [(*users, "user"), (*groups, "group"), (*tokens, "token")]
        .map(|(number, thing)| number_of(number as u64, thing));
    print_line(&format!("Restored {users}, {groups} and {tokens}."));
    if *incomplete {
        print_line("The last change of the backup is incomplete and was left out.");
    }
    if let Some(aside) = aside {
        print_line(&format!("The previous identities are in {}.", aside.display()));
    }
    let file = key_file.display();
    print_line(&match keys {
        Keys::OfBackup => format!("The signing keys of the backup are in {file}: its login tokens stay valid."),
        Keys::New => format!(
            "A new signing key is in {file}: login tokens that were issued before are refused, and clients log in again."
        ),
        Keys::Elsewhere => format!(
            "There were no signing keys in {file}. If the settings name another file (auth.key_file), login tokens that \
             were issued before are valid until `dependency-proxy admin rotate-key --now --key-file FILE`."
        ),
        Keys::Missing(error) => format!(
            "There are no signing keys, because they could not be written ({error}). The next start creates a new one, \
             and clients log in again."
        ),
    });
    report_accounts(accounts);
}

fn fleet_as_json(restored: &RestoredToFleet) -> Value {
    json!({
        "users": restored.users,
        "groups": restored.groups,
        "tokens": restored.tokens,
        "incomplete": restored.incomplete,
        "accounts_to_enter": restored.to_enter,
    })
}

fn report_fleet(restored: &RestoredToFleet) {
    let RestoredToFleet { users, groups, tokens, incomplete, to_enter } = restored;
    let [users, groups, tokens] = [(*users, "user"), (*groups, "group"), (*tokens, "token")]
        .map(|(number, thing)| number_of(number as u64, thing));
    print_line(&format!("Restored {users}, {groups} and {tokens} into the database of the fleet."));
    if *incomplete {
        print_line("The last change of the backup is incomplete and was left out.");
    }
    print_line(
        "Login tokens that were issued before are refused, unless this fleet has issued them: clients log in again.",
    );
    print_list("The passwords of these accounts must be entered again (group upstream-account set):", to_enter);
}

fn report_accounts(accounts: &Accounts) {
    let Accounts { key_file, of_backup, to_enter, problem } = accounts;
    if *of_backup {
        print_line(&format!("The keys of groups' accounts in the backup are in {}.", key_file.display()));
    }
    if let Some(problem) = problem {
        print_line(&format!("The keys of groups' accounts in the backup could not be put into the file ({problem})."));
    }
    let title = format!(
        "The passwords of these accounts cannot be decrypted with the keys in {}, and must be entered again (group \
         upstream-account set), unless the file that belongs to the backup is put there:",
        key_file.display()
    );
    print_list(&title, to_enter);
}

fn report_settings(settings: &RestoredSettings, file: Option<&Path>) {
    match file {
        Some(file) if settings.has_secrets => print_line(&format!(
            "The settings of the backup are in {}, with secrets: only you can read it. Let the user of the service read \
             it, too.",
            file.display()
        )),
        Some(file) => print_line(&format!("The settings of the backup are in {}.", file.display())),
        None => print_line("The settings of the backup were not restored (--settings FILE writes them to a new file)."),
    }
    print_list("These secrets are not in the backup and must be entered again:", &settings.to_enter);
    print_list("These files are named by the settings and are not in the backup:", &settings.files);
}
