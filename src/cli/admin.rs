//! `admin`: subcommands for the data folder of a stopped service.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::confirmation::Confirmation;
use super::failure::Failure;
use super::output::{print_line, print_note};
use super::restoring;
use crate::admin::reset::reset_admin;
use crate::admin::restore::{Comparison, Restored, plan_restore};

/// Arguments of `admin`.
#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    #[command(subcommand)]
    verb: AdminVerb,
}

#[derive(Debug, Subcommand)]
enum AdminVerb {
    /// Generate a new password for the first administrator; the service must be stopped
    Reset {
        /// Data folder of the service (storage.data_dir)
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
    },
    /// Restore the identities of a backup; lists the credentials that were revoked since and become valid again,
    /// and asks for confirmation. The present identities are kept in another place, and the service must be stopped
    Restore {
        /// Data folder of the service (storage.data_dir)
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
        /// The backup: identity.jsonl or identity.journal of a data folder, a copy of one, or the folder
        /// identity itself
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
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
    },
}

impl AdminArgs {
    /// Runs the subcommand and prints its result.
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.verb {
            AdminVerb::Reset { data } => {
                let reset = reset_admin(&data)?;
                print_line(&format!("The new password of {} is in {}.", reset.username, reset.password_file.display()));
            }
            AdminVerb::Restore { data, from, revoke_them, up_to, from_another_installation, confirmation } => {
                let mut plan = plan_restore(&data, &from, up_to, from_another_installation)?;
                restoring::describe(&plan, revoke_them);
                if revoke_them {
                    plan.revoke_regained()?;
                }
                if !matches!(plan.comparison(), Comparison::NothingThere) {
                    let (data, from) = (data.display(), from.display());
                    print_note(&format!("This replaces the identities in {data} by those of {from}."));
                    confirmation.ask()?;
                }
                let Restored { users, groups, tokens, aside, incomplete } = plan.carry_out()?;
                print_line(&format!("Restored {users} users, {groups} groups and {tokens} tokens."));
                if incomplete {
                    print_line("The last change of the backup is incomplete and was left out.");
                }
                if let Some(aside) = aside {
                    print_line(&format!("The previous identities are in {}.", aside.display()));
                }
            }
        }
        Ok(())
    }
}
