//! `admin`: what is done to a store that no service has open.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::output::say;
use crate::server;

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
}

impl AdminArgs {
    /// Does it.
    pub(super) fn run(self) -> Result<(), Failure> {
        let AdminVerb::Reset { data } = self.verb;
        let reset = server::reset_admin(&data)?;
        say(&format!("The new password of {} is in {}.", reset.username, reset.password_file.display()));
        Ok(())
    }
}
