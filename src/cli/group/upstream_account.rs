//! `group upstream-account`: the accounts of a group at upstreams. A password is never an argument, and never printed.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::super::client::Api;
use super::super::connection::{piped_secret, read_secret};
use super::super::failure::Failure;
use super::super::output::{Columns, Output};

/// Arguments of `group upstream-account`.
#[derive(Debug, Args)]
#[command(
    after_help = "Groups below use the account, too, unless they have their own. Each new password has to prove again what it \
                        may pull: what is cached stays stored, and the registry is asked once for each image."
)]
pub(super) struct AccountArgs {
    #[command(subcommand)]
    verb: AccountVerb,
}

#[derive(Debug, Subcommand)]
enum AccountVerb {
    /// List the accounts that a group uses, its own and those of the groups above it
    #[command(after_help = "Example: dependency-proxy group upstream-account list team")]
    List {
        /// Full path or number of the group
        group: String,
    },
    /// Set the account of a group at an upstream; the password is read from standard input or from a file
    #[command(after_help = "Example:\n\
\x20 dependency-proxy group upstream-account set team docker.io robot --secret-file hub-token")]
    Set {
        /// Full path or number of the group
        group: String,
        /// Name of the upstream, such as docker.io
        upstream: String,
        /// User name at the upstream
        identity: String,
        /// Read the password or access token from this file
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Delete the account of a group at an upstream: it uses that of the group above it or of the service again
    #[command(after_help = "Example: dependency-proxy group upstream-account delete team docker.io")]
    Delete {
        /// Full path or number of the group
        group: String,
        /// Name of the upstream
        upstream: String,
    },
    /// Log in at an upstream with the account of a group, and print what the upstream says; the exit code is 1 if it does not
    /// accept it
    #[command(after_help = "Example: dependency-proxy group upstream-account test team docker.io")]
    Test {
        /// Full path or number of the group
        group: String,
        /// Name of the upstream
        upstream: String,
    },
}

/// The last part of the API path of the accounts of a group.
const ACCOUNTS: &str = "upstream_accounts";

const COLUMNS: Columns = &["upstream", "identity", "group", "set_at", "readable", "message"];

impl AccountArgs {
    /// Runs the subcommand.
    pub(super) async fn run(self, api: &Api) -> Result<Output, Failure> {
        match self.verb {
            AccountVerb::List { group } => {
                let path = ["groups", &group, "dependency_proxy", ACCOUNTS];
                Ok(Output::List(COLUMNS, api.list(&path, &[]).await?))
            }
            AccountVerb::Set { group, upstream, identity, secret_file } => {
                let secret = secret(secret_file)?;
                let body = json!({ "identity": identity, "secret": secret.expose_secret() });
                let path = ["groups", &group, "dependency_proxy", ACCOUNTS, &upstream];
                Ok(Output::One(COLUMNS, api.put(&path, &body).await?))
            }
            AccountVerb::Delete { group, upstream } => {
                api.delete(&["groups", &group, "dependency_proxy", ACCOUNTS, &upstream]).await?;
                Ok(Output::Done(format!("the account of {group} at {upstream} is deleted")))
            }
            AccountVerb::Test { group, upstream } => {
                let path = ["groups", &group, "dependency_proxy", ACCOUNTS, &upstream, "test"];
                let test = api.post(&path, &json!({})).await?;
                let message = test["message"].as_str().unwrap_or_default().to_owned();
                match test["result"].as_str() {
                    Some("accepted" | "not_required") => Ok(Output::Done(message)),
                    _ => Err(Failure::AccountTest(message)),
                }
            }
        }
    }
}

fn secret(file: Option<PathBuf>) -> Result<SecretString, Failure> {
    match file {
        Some(file) => read_secret(&file),
        None if stdin().is_terminal() => {
            let text =
                "the terminal would show the password: pipe it into standard input, or name a file with --secret-file";
            Err(Failure::Input(text.to_owned()))
        }
        None => piped_secret(),
    }
}
