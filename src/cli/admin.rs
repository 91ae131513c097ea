//! `admin`: what is done to a store that no service has open.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::confirmation::Confirmation;
use super::failure::Failure;
use super::output::{note, say};
use super::restoring;
use crate::server::{self, Comparison, Restored};

/// Arguments of `admin`.
#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    #[command(subcommand)]
    verb: AdminVerb,
}

#[derive(Debug, Subcommand)]
enum AdminVerb {
    /// Make a new password for the first administrator; the service must be stopped
    Reset {
        /// The folder with its data (storage.data_dir)
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
    },
    /// Put back the identities of a backup; lists what was revoked since and becomes valid again, and asks. Those that
    /// are there are kept aside, and the service must be stopped
    Restore {
        /// The folder with its data (storage.data_dir)
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
        /// The backup: identity.jsonl or identity.journal of a folder with data, a copy of one, or the folder identity itself
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Leave revoked, blocked or changed what was so after the backup
        #[arg(long)]
        revoke_them: bool,
        #[command(flatten)]
        confirmation: Confirmation,
        /// Leave out what follows the change of this number in a journal, although it is damaged or incomplete there: later changes are
        /// lost, and credentials that they revoked become valid again
        #[arg(long, value_name = "NUMBER")]
        up_to: Option<u64>,
    },
}

impl AdminArgs {
    /// Does it.
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.verb {
            AdminVerb::Reset { data } => {
                let reset = server::reset_admin(&data)?;
                say(&format!("The new password of {} is in {}.", reset.username, reset.password_file.display()));
            }
            AdminVerb::Restore { data, from, revoke_them, up_to, confirmation } => {
                let mut plan = server::plan_restore(&data, &from, up_to)?;
                restoring::describe(&plan, revoke_them);
                if revoke_them {
                    plan.revoke_regained()?;
                }
                if !matches!(plan.comparison(), Comparison::NothingThere) {
                    let (data, from) = (data.display(), from.display());
                    note(&format!("The identities in {data} are to be replaced by those of {from}."));
                    confirmation.ask()?;
                }
                let Restored { users, groups, tokens, aside, incomplete } = plan.carry_out()?;
                say(&format!("Restored {users} users, {groups} groups and {tokens} tokens."));
                if incomplete {
                    say("Its last change is incomplete and was left out.");
                }
                if let Some(aside) = aside {
                    say(&format!("What was there before is in {}.", aside.display()));
                }
            }
        }
        Ok(())
    }
}
