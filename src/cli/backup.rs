//! `backup`: writes identities and settings to one file, beside the running service or the replicas of a fleet. It
//! prints no secret.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::engines::engines_of;
use super::failure::Failure;
use super::output::{number_of, print_line, print_note};
use crate::admin::backup::{BackedUp, Output, back_up, back_up_fleet};
use crate::domain::chosen_setting::ChosenSetting;
use crate::domain::key_files::{account_keys_in, signing_keys_in};
use crate::settings::{Chosen, Settings, restored};

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The settings file of the service: its settings are in the backup, and it names the data folder, or the database
    /// of a fleet
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder of the service, if the settings do not name it (storage.data_dir)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// File to write, with mode 0600; an earlier backup is replaced. By default, or with -, the backup is written to
    /// standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Include the keys that sign login tokens and the secrets of accounts at upstreams, and the keys that decrypt
    /// those of groups' accounts
    #[arg(long)]
    with_keys: bool,
    /// Print what is in the backup as JSON to standard output; needs --output
    #[arg(long, requires = "output")]
    json: bool,
}

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const TO_A_TERMINAL: &str =
    "standard output is a terminal: name a file with --output, or redirect standard output to a file or a command";

const NO_JSON: &str = "--json prints to standard output, where the backup is: name a file with --output";

impl BackupArgs {
    /// Writes the backup, and prints to standard error what is in it.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let output = match self.output.as_os_str() == "-" {
            true if self.json => return Err(Failure::Input(NO_JSON.to_owned())),
            true if std::io::stdout().is_terminal() => return Err(Failure::Input(TO_A_TERMINAL.to_owned())),
            true => Output::Standard,
            false => Output::File(self.output),
        };
        let chosen = Chosen::load(self.config.as_deref(), std::env::vars_os(), self.with_keys)?;
        if chosen.settings.iter().any(|setting| setting.key == ["fleet", "database_url"]) {
            let settings = Settings::load(self.config.as_deref(), std::env::vars_os())?;
            if let Some(engines) = engines_of(&settings) {
                let chosen = chosen.settings;
                let done = back_up_fleet(&engines, self.with_keys, chosen.clone(), &output, VERSION).await?;
                print(self.json, &done, &chosen, self.with_keys);
                return Ok(());
            }
        }
        let Chosen { settings, data_dir, key_file, account_key_file } = chosen;
        let data = self.data.unwrap_or(data_dir);
        let key_file = key_file.unwrap_or_else(|| signing_keys_in(&data));
        let account_key_file = account_key_file.unwrap_or_else(|| account_keys_in(&data));
        let key_files = self.with_keys.then_some((key_file.as_path(), account_key_file.as_path()));
        let done = back_up(&data, key_files, settings.clone(), &output, VERSION)?;
        print(self.json, &done, &settings, self.with_keys);
        Ok(())
    }
}

fn print(json: bool, done: &BackedUp, settings: &[ChosenSetting], with_keys: bool) {
    if json {
        print_line(&format!("{:#}", as_json(done, settings, with_keys)));
    } else {
        report(done, settings, with_keys);
    }
}

fn as_json(done: &BackedUp, settings: &[ChosenSetting], with_keys: bool) -> Value {
    let missing = if with_keys { restored(settings, "").to_enter } else { Vec::new() };
    json!({
        "users": done.users,
        "groups": done.groups,
        "tokens": done.tokens,
        "settings": settings.len(),
        "change": done.change,
        "incomplete": done.incomplete,
        "with_keys": with_keys,
        "missing_secrets": missing,
    })
}

fn report(done: &BackedUp, settings: &[ChosenSetting], with_keys: bool) {
    let BackedUp { users, groups, tokens, change, incomplete } = done;
    let [users, groups, tokens, chosen] =
        [(*users, "user"), (*groups, "group"), (*tokens, "token"), (settings.len(), "setting")]
            .map(|(number, thing)| number_of(number as u64, thing));
    print_note(&format!(
        "Backed up {users}, {groups} and {tokens}, with all changes up to number {change}, and {chosen}."
    ));
    if *incomplete {
        print_note("The last change in the journal is incomplete and was left out.");
    }
    if with_keys {
        print_note("The backup contains the signing keys and secrets: keep it where only you can read it.");
    } else {
        print_note("The signing keys and the secrets of accounts are not in it (--with-keys includes them).");
    }
    let missing = restored(settings, "").to_enter;
    if with_keys && !missing.is_empty() {
        print_note(&format!(
            "These secrets are not in the settings here, and not in the backup: {}",
            missing.join("; ")
        ));
    }
}
