//! `admin`: subcommands for the data folder of a service.

mod progress;
mod share;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use self::share::ShareArgs;
use super::backup::BackupArgs;
use super::failure::Failure;
use super::output::{number_of, print_line};
use super::restore::RestoreArgs;
use crate::admin::keys::{rotate, rotate_account_keys};
use crate::admin::reset::reset_admin;
use crate::domain::key_files::{account_keys_in, signing_keys_in};

/// Arguments of `admin`.
#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    #[command(subcommand)]
    verb: AdminVerb,
}

#[derive(Debug, Subcommand)]
enum AdminVerb {
    /// Generate a new password for the first administrator; the service must be stopped
    #[command(after_help = "Example: dependency-proxy admin reset --data /var/lib/dependency-proxy")]
    Reset {
        /// Data folder of the service (storage.data_dir)
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a new key for login tokens before the present one, which stays valid until the next rotation; the service
    /// uses it after a restart
    #[command(after_help = "Example: dependency-proxy admin rotate-key --data /var/lib/dependency-proxy")]
    RotateKey {
        /// Data folder of the service (storage.data_dir)
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
        /// File of the signing keys, if the settings name another one (auth.key_file) than jwt-keys in the data folder
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Remove the present key, as after it has leaked: login tokens are refused, and clients log in again
        #[arg(long)]
        now: bool,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a new key for the passwords of groups' accounts before the present ones; the service encrypts all of these
    /// passwords with it at its next start, and a second rotation after that removes the older keys
    #[command(after_help = "Example: dependency-proxy admin rotate-account-key --data /var/lib/dependency-proxy")]
    RotateAccountKey {
        /// Data folder of the service (storage.data_dir)
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
        /// File of these keys, if the settings name another one (auth.account_key_file) than account-keys in the data
        /// folder
        #[arg(long, value_name = "FILE")]
        account_key_file: Option<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Move the store of a stopped service into a fleet; a second run goes on where the first one ended
    ///
    /// Users, groups, tokens, audit events and the index of cached images go into the database, which must have none,
    /// and manifests and blobs into the bucket. The data folder becomes that of a replica.
    #[command(after_help = "Example: dependency-proxy admin share --config /etc/dependency-proxy/replica.toml")]
    Share(ShareArgs),
    /// The same as the subcommand backup
    #[command(after_help = "Example:\n\
\x20 dependency-proxy admin export --config /etc/dependency-proxy/config.toml --output backup.json")]
    Export(BackupArgs),
    /// The same as the subcommand restore
    #[command(after_help = "Example:\n\
\x20 dependency-proxy admin restore --data /var/lib/dependency-proxy --from backup.json")]
    Restore(RestoreArgs),
}

impl AdminArgs {
    /// Runs the subcommand and prints its result.
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            AdminVerb::Reset { data, json } => {
                let reset = reset_admin(&data)?;
                let sentence =
                    format!("The new password of {} is in {}.", reset.username, reset.password_file.display());
                let value = json!({ "username": reset.username, "password_file": reset.password_file });
                print_line(&if json { format!("{value:#}") } else { sentence });
            }
            AdminVerb::RotateKey { data, key_file, now, json } => {
                let file = key_file.unwrap_or_else(|| signing_keys_in(&data));
                rotate(&file, &data, now)?;
                let sentence =
                    format!("A new signing key is in {}. The service uses it after a restart.", file.display());
                let value = json!({ "key_file": file, "old_keys_removed": now });
                print_line(&if json { format!("{value:#}") } else { sentence });
            }
            AdminVerb::RotateAccountKey { data, account_key_file, json } => {
                let file = account_key_file.unwrap_or_else(|| account_keys_in(&data));
                let older = rotate_account_keys(&file, &data)?;
                let sentence = format!(
                    "A new key is in {}, before {}. The service encrypts the passwords of groups' accounts with it at its \
                     next start.",
                    file.display(),
                    number_of(older as u64, "older key")
                );
                let value = json!({ "account_key_file": file, "older_keys": older });
                print_line(&if json { format!("{value:#}") } else { sentence });
            }
            AdminVerb::Share(args) => args.run().await?,
            AdminVerb::Export(args) => args.run().await?,
            AdminVerb::Restore(args) => args.run().await?,
        }
        Ok(())
    }
}
